"""What the doctor says of machines; what is wrong with databases is tests/storage/test_health.py's."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from storage.store import open_store
from study import doctor
from study.cli import app

OLD = Path(__file__).parents[1] / "storage" / "data" / "version-3.db"


def states(found: list[doctor.Diagnosis]) -> dict[str, str]:
    return {each.check: each.state for each in found}


def test_this_machine_is_well() -> None:
    found = states(doctor.diagnose_machine())
    assert found["Python"] == found["packages"] == found["Ray"] == "ok"
    assert set(found.values()) <= {"ok", "note"}


def test_what_a_machine_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "false")
    monkeypatch.setenv("RAY_TMPDIR", "/" + "x" * 100)
    monkeypatch.setattr(
        "importlib.metadata.requires", lambda _name: ["nothing-at-all>=1", "numpy<1", "x; extra=='y'"]
    )
    found = {each.check: each for each in doctor.diagnose_machine()}
    assert found["compiler"].detail == "false makes no library (it said nothing): install g++"
    assert found["Ray's folder"].state == "broken"
    assert "nothing-at-all>=1 is not installed; numpy<1 is needed, and" in found["packages"].detail
    monkeypatch.delenv("CXX")
    monkeypatch.setattr("shutil.which", lambda _name: None)
    assert states(doctor.diagnose_machine())["compiler"] == "note"


def test_the_command_repairs_only_when_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "diagnose_machine", list)
    url = f"sqlite:///{tmp_path}/a.db"
    runner = CliRunner()
    assert "there is no such file" in runner.invoke(app, ["doctor", "--storage", url]).output
    open_store(url, create=True).close()
    assert runner.invoke(app, ["doctor", "--storage", url]).exit_code == 0
    shutil.copy(OLD, tmp_path / "a.db")
    for options, code, said in (([], 1, "broken"), (["--repair"], 0, "repaired"), ([], 0, "ok")):
        answer = runner.invoke(app, ["doctor", "--storage", url, *options])
        assert (answer.exit_code, said in answer.output) == (code, True), answer.output
    path = tmp_path / "b.db"
    path.write_text("no database at all, but a text of some length")
    answer = runner.invoke(app, ["doctor", "--storage", f"sqlite:///{path}"])
    assert answer.exit_code == 1
    assert "is not an SQLite file" in answer.output.replace("\n", " ")
