"""The documents say what the program does."""

import re
import tomllib
from pathlib import Path
from typing import Any

import typer

from study.cli import app
from study.optimizers import OPTIMIZERS
from study.spec import StudySpec, TuningSpec, WorkloadSpec, parse_spec

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def commands(command: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = getattr(command, "commands", {})
    return [found for name, child in inner.items() for found in commands(child, (*path, name))] or [path]


def test_every_command_is_documented() -> None:
    pages = README + "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))
    paths = commands(typer.main.get_command(app))
    assert ("plot", "landscape") in paths
    for path in paths:
        assert f"tunability {' '.join(path)}" in pages, path


def test_the_readmes_study_files_are_allowed() -> None:
    whole, tables, space, own, black, tuning = (
        tomllib.loads(text) for text in re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    )
    assert parse_spec(whole).trials == 2646
    assert parse_spec(whole | tables).workload.clip_norm == 1.0
    assert parse_spec(whole | space).space.shape == (2, 21)
    assert parse_spec(whole | own).workload.settings == {"width": 128}
    assert parse_spec(whole | black).space.shape == (8, 8, 3)
    assert parse_spec(whole | tuning).tuning == TuningSpec()  # it shows the defaults


def test_the_study_files_of_the_page_on_any_training_code_are_allowed() -> None:
    page = (ROOT / "docs" / "any-training-code.md").read_text(encoding="utf-8")
    function, stop, command = (
        tomllib.loads(text) for text in re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    )
    assert parse_spec(function | {"workload": function["workload"] | stop}).trials == 56
    assert parse_spec(command).trials == 28


def test_the_readme_counts_the_optimizers() -> None:
    assert f"the {len(OPTIMIZERS)} there are" in README


def test_every_key_of_the_study_file_is_in_the_readme() -> None:
    for key in [*StudySpec.model_fields, *WorkloadSpec.model_fields, *TuningSpec.model_fields]:
        assert re.search(rf"\b{key}\b", README), key


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make (demo|test|check|bench|\w+(?=`))", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_links_in_the_readme_exist() -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)]+)\)", README):
        assert (ROOT / target).exists(), target
