"""Every source file has its mirrored test, `tuners/gld.py` ↔ `tests/tuners/test_gld.py`, or a suite that covers it."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PARTS = ("analysis", "search_spaces", "storage", "study", "tuners")

COVERED_BY = {
    "analysis/cost/test_costs.py": "analysis/cost/replays analysis/tuning_runs",
    "analysis/cost/test_posterior.py": "analysis/cost/seen",
    "analysis/sensitivity/test_stored.py": "analysis/sensitivity/draws analysis/sensitivity/workloads",
    "analysis/test_figures.py": "analysis/curves analysis/heatmap analysis/labels analysis/metric_scale",
    "analysis/test_ridge.py": "analysis/bands",
    "analysis/test_sensitivity_figures.py": "analysis/sensitivity/result",
    "analysis/test_target.py": "analysis/stored_figures",
    "search_spaces/test_space.py": "search_spaces/table search_spaces/errors",
    "storage/test_copy.py": "storage/counts storage/delete storage/rename storage/union",
    "storage/test_failures.py": "storage/schema storage/sqlite_file storage/optuna_api",
    "storage/test_query.py": "storage/export",
    "storage/test_store.py": "storage/attributes storage/declare storage/errors storage/launches storage/summaries",
    "storage/test_where.py": "storage/characters",
    "study/black_boxes/test_command.py": "study/black_boxes",
    "study/cli/test_machine.py": "study/catalog study/shown/console",
    "study/cli/test_main.py": "study/cli study/errors",
    "study/cli/test_queries.py": "analysis/tables study/shown",
    "study/optimizers/test_reference.py": "study/optimizers study/lazy",
    "study/running/test_decide.py": "study/running/forecast study/running/price",
    "study/running/test_run.py": "study/running",
    "study/service/answers/test_documents.py": "study/service/answers/ridges",
    "study/service/api/test_page_routes.py": "study/service/answers/panels study/service/pages/assets",
    "study/service/api/test_routes.py": "study/service",
    "study/service/studies/test_launching.py": "study/service/jobs study/service/server",
    "study/spec/test_study.py": "study/spec",
    "study/training/test_fused.py": "study/training study/workloads/threads",
    "study/workloads/data/test_cifar.py": "study/workloads/data/pickles",
    "study/workloads/networks/test_image_networks.py": "study/workloads/networks",
    "study/workloads/test_own.py": "study/workloads/measure",
    "study/workloads/test_reference.py": "study/workloads",
    "study/workloads/test_language.py": "study/workloads/data",
    "study/workloads/test_translation.py": "study/workloads/data/parallel_text",
    "tuners/test_reference.py": "tuners",
}
"""Test file -> the source files and folders that it covers, which have no mirrored test."""


def sources() -> Iterator[Path]:
    """Files with something to run: a function, or a class that is more than a name."""
    for part in PARTS:
        for path in sorted((ROOT / part).rglob("*.py")):
            if any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree(path))):
                yield path.relative_to(ROOT)


def mirrored(source: Path) -> Path:
    """Its own test; a package's is named after the package."""
    place = source.parent if source.name == "__init__.py" else source.with_suffix("")
    return ROOT / "tests" / place.parent / f"test_{place.name}.py"


def covering(source: Path) -> list[str]:
    """The suites of the table whose entries have this file, or a folder above it."""
    place = source.with_suffix("").as_posix()
    return [
        suite
        for suite, entries in COVERED_BY.items()
        if any(place == entry or place.startswith(f"{entry}/") for entry in entries.split())
    ]


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imported(path: Path) -> frozenset[str]:
    """What a file imports, also inside functions, and what it names as "module:attribute" to be imported later."""
    found: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= {node.value.partition(":")[0]} if node.value.startswith(PARTS) else set()
    return frozenset(found)


def module_file(name: str) -> Path | None:
    place = ROOT.joinpath(*name.split("."))
    known = ROOT / "tests/known" / f"{name}.py"
    return next(
        (path for path in (place.with_suffix(".py"), place / "__init__.py", known) if path.is_file()), None
    )


def reached(test: Path) -> set[Path]:
    """The files that a test and its fixtures import, and those that these import, by packages that name them or not."""
    folders = [folder for folder in test.parents if folder.is_relative_to(ROOT / "tests")]
    found = {test, *(folder / "conftest.py" for folder in folders if (folder / "conftest.py").is_file())}
    for _ in range(2):
        found = through_packages(found | imports(found))
    return found


def through_packages(files: set[Path]) -> set[Path]:
    """With all that packages among them re-export."""
    packages = {file for file in files if file.name == "__init__.py"}
    return files | imports(packages)


def imports(files: set[Path]) -> set[Path]:
    return {file for path in files for name in imported(path) if (file := module_file(name))}


@pytest.mark.parametrize("source", list(sources()), ids=str)
def test_a_source_file_has_its_test_or_a_suite_that_covers_it(source: Path) -> None:
    suites = covering(source)
    if mirrored(source).is_file():
        assert all(source.with_suffix("").as_posix() not in COVERED_BY[suite].split() for suite in suites)
        return
    assert suites, (
        f"write tests/{mirrored(source).relative_to(ROOT / 'tests')}, or name the suite in COVERED_BY"
    )
    assert any(ROOT / source in reached(ROOT / "tests" / suite) for suite in suites), (
        f"{suites} do not import it"
    )


@pytest.mark.parametrize(
    ("suite", "entry"), [(s, e) for s, entries in COVERED_BY.items() for e in entries.split()]
)
def test_an_entry_of_the_table_is_needed(suite: str, entry: str) -> None:
    assert (ROOT / "tests" / suite).is_file()
    lacking = [source for source in sources() if suite in covering(source) and not mirrored(source).is_file()]
    assert any(source.with_suffix("").as_posix().startswith(entry) for source in lacking), (
        f"{entry}: no such file"
    )
