"""The study files that come with the program, to begin with; in a checkout they are in `studies`."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

from search_spaces import nearest_name
from study.spec import SpecError, parse_spec

FOLDER = "studies"
NAMED = re.compile(rf"\b{FOLDER}[./](\w+)(?:\.py|:)")
"""Code beside it that a study file names, as a path or for import."""


def examples() -> dict[str, Path]:
    """Name -> study file."""
    return {path.stem: path for path in sorted(_files()) if path.suffix == ".toml"}


def about(path: Path) -> tuple[int, str]:
    """How many trials a study file asks for, and its first line."""
    text = path.read_text(encoding="utf-8")
    return parse_spec(tomllib.loads(text), path.name).trials, text.splitlines()[0].removeprefix("# ")


def write_example(name: str, into: Path) -> list[Path]:
    """Copy a study file, and the code that it names, into `into`/studies, where its paths lead from `into`.

    Raises SpecError when there is none of that name, or one of the files is there already; nothing is written then.
    """
    known = examples()
    if name not in known:
        raise SpecError(
            f"no study {name!r} comes with it{nearest_name(name, known)}: there are {', '.join(known)}"
        )
    source = known[name]
    code = dict.fromkeys(NAMED.findall(source.read_text(encoding="utf-8")))
    sources = [source, *(source.with_name(f"{module}.py") for module in code)]
    targets = [into / FOLDER / each.name for each in sources]
    for target in targets:
        if target.exists():
            raise SpecError(f"{target} is there already: move it away, or use it as it is")
    targets[0].parent.mkdir(parents=True, exist_ok=True)
    for each, target in zip(sources, targets, strict=True):
        target.write_bytes(each.read_bytes())
    return targets


def _files() -> list[Path]:
    """Beside these sources, or where a wheel put them."""
    beside = Path(__file__).parents[1] / FOLDER
    if beside.is_dir():
        return list(beside.iterdir())
    installed = importlib.metadata.files("tunability") or []
    return [Path(str(each.locate())) for each in installed if each.parent.name == FOLDER]
