"""The documents say what the program does."""

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

import tunability as tb
from study.cli import app
from study.optimizers import OPTIMIZERS
from study.spec import StudySpec, TuningSpec, WorkloadSpec, parse_spec

ROOT = Path(__file__).parents[1]
PAGES = {
    path: path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
}
EVERY = "\n".join(PAGES.values())


def page(name: str) -> str:
    return PAGES[ROOT / "docs" / name]


def study_files(name: str) -> list[dict[str, Any]]:
    return [tomllib.loads(text) for text in re.findall(r"```toml\n(.*?)```", page(name), re.DOTALL)]


def commands(command: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = getattr(command, "commands", {})
    return [found for name, child in inner.items() for found in commands(child, (*path, name))] or [path]


def test_docstrings_say_what_is_given_not_that_it_is_returned() -> None:
    """The rest of the dialect is ruff's to check."""
    for part in ("analysis", "search_spaces", "storage", "study", "tuners", "tunability.py"):
        for path in (ROOT / part).rglob("*.py") if part.isidentifier() else [ROOT / part]:
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
                    first = (ast.get_docstring(node) or "").split("\n")[0]
                    assert not re.match(r"(Returns?|Yields?|Gets?) (?!when)", first), (path, first)


def test_every_command_is_shown() -> None:
    paths = commands(typer.main.get_command(app))
    assert ("plot", "landscape") in paths
    for path in paths:
        assert f"tunability {' '.join(path)}" in EVERY, path


def test_the_study_files_shown_are_allowed() -> None:
    whole, tables, space = study_files("study-file.md")
    assert parse_spec(whole).trials == 2646
    assert parse_spec(whole | tables).workload.clip_norm == 1.0
    assert parse_spec(whole | space).space.shape == (2, 21)
    (own,) = study_files("own-model.md")
    assert parse_spec(whole | own).workload.settings == {"width": 128}
    (tuning,) = study_files("reading.md")
    assert parse_spec(whole | tuning).tuning == TuningSpec()  # it shows the defaults
    (first,) = study_files("start.md")
    assert parse_spec(first).trials == 858
    for optimizers in study_files("own-optimizer.md"):
        assert parse_spec(whole | optimizers).optimizers


def test_the_page_on_any_training_code_leads_to_verdicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = page("any-training-code.md")
    function, command, stop, axes = study_files("any-training-code.md")
    for name in ("my_training.py", "train.py"):
        (source,) = re.findall(rf"```python\n# {name}\n(.*?)```", text, re.DOTALL)
        (tmp_path / name).write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert parse_spec(function | {"workload": function["workload"] | stop}).trials == 162
    assert len(parse_spec(function | axes).optimizers) == 2
    few = command["space"] | {"batch": command["space"]["batch"][::2]}
    url = f"sqlite:///{tmp_path}/t.db"
    for study in (function, command | {"space": few, "seeds": 1}):
        assert tb.run(study, url, local=True).failures == []
    with tb.open(url) as database:
        (mine,) = database.separability("my-study")
        assert f"\n{mine.sentence.partition(';')[0]}; tune lr/batch instead" in text
        curves = database.curves("command-study", limit=1)
    assert curves["step"].tolist() == [1, 2, 3]
    assert (mine.verdict, "sgd: coupled" in text) == ("coupled", True)


def test_the_rule_that_is_shown_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source,) = re.findall(r"```python\n# my_rule.py\n(.*?)```", page("own-optimizer.md"), re.DOTALL)
    (tmp_path / "my_rule.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    spec = {
        "name": "own",
        "workload": {"name": "digits-mlp", "steps": 100},
        "optimizers": ["my_rule:RULE"],
        "space": {"lr": [0.001, 0.01], "beta": [0.0, 0.9]},
        "seeds": 1,
    }
    url = f"sqlite:///{tmp_path}/t.db"
    assert tb.run(spec, url, local=True).failures == []
    with tb.open(url) as database:
        assert database.trials("own")["validation_error"].min() < 0.15


def test_the_optimizers_are_counted() -> None:
    assert f"the {len(OPTIMIZERS)} there are" in page("study-file.md")


def test_every_key_of_the_study_file_is_explained() -> None:
    for key in [*StudySpec.model_fields, *WorkloadSpec.model_fields, *TuningSpec.model_fields]:
        assert re.search(rf"\b{key}\b", EVERY), key


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make (demo|test|check|bench|docs|\w+(?=`))", EVERY):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_links_exist() -> None:
    for path, text in PAGES.items():
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)(?:#[^)]*)?\)", text):
            made = target.startswith("reference/")  # when the site is built
            assert made or (path.parent / target).exists(), (path.name, target)


def test_every_page_is_in_the_site() -> None:
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for path in (ROOT / "docs").glob("*.md"):
        assert path.name in site, path
