"""Which code is sent to other machines."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from study.running.code import imported_code, is_installed, place_of


def test_this_projects_code_and_what_the_user_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_model.py").write_text("RATE = 1\n")
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package/__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    before = imported_code()
    root = Path(__file__).parents[3]
    assert {str(root / name) for name in ("analysis", "search_spaces", "storage", "study", "tuners")} <= {
        *before
    }
    for name in ("my_model", "my_package"):
        monkeypatch.setitem(sys.modules, name, importlib.import_module(name))
    assert {*imported_code()} - {*before} == {str(tmp_path / "my_model.py"), str(tmp_path / "my_package")}


def test_installed_packages_and_python_itself_are_not_sent() -> None:
    sent = imported_code()
    assert is_installed(Path(np.__file__))
    assert is_installed(Path(json.__file__).resolve())
    assert not [path for path in sent if is_installed(Path(path))]


def test_modules_without_a_file_of_their_name_are_not_sent(tmp_path: Path) -> None:
    assert place_of("sys", sys) is None  # built in
    assert place_of("alias", json) is None
    gone = type(sys)("gone")
    gone.__file__ = str(tmp_path / "gone.py")
    assert place_of("gone", gone) is None
