"""The folder of all data: set for a command and the processes that it starts."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from official_files import images, write_mnist

from study.data_folder import DATA, set_data_folder

SPEC = """
name = "small"
optimizers = ["adam"]
seeds = 1
space = {{ lr = [0.01] }}
workload = {{ name = "wrn", data = "{data}", batch = 8, steps = 2, validation = 0.5 }}
method = "one-by-one"
"""


def test_it_is_absolute_and_stays_where_none_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATA, "before")
    assert set_data_folder(None) is None
    assert os.environ[DATA] == "before"
    monkeypatch.chdir(tmp_path)
    set_data_folder(Path("sets"))
    assert os.environ[DATA] == str(tmp_path / "sets")


def test_a_study_finds_its_data_below_it(
    cli: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DATA, str(tmp_path))  # put back afterwards: the command sets it in this process
    (tmp_path / "sets" / "few").mkdir(parents=True)
    write_mnist(tmp_path / "sets" / "few", *[images(40, shape=(1, 28, 28))] * 2)
    spec, storage = tmp_path / "small.toml", ("--storage", f"sqlite:///{tmp_path}/t.db")
    spec.write_text(SPEC.format(data="few"))
    code, _, err = cli("run", spec, "--local", *storage)
    assert (code, f"data = 'few' is no folder in {tmp_path}" in err) == (2, True)
    code, out, err = cli("run", spec, "--local", "--data-dir", tmp_path / "sets", *storage)
    assert code == 0, err
    assert "1 of 1 trials stored, 1 of them now" in out
    spec.write_text(SPEC.format(data=tmp_path / "sets" / "few"))
    code, out, _ = cli("run", spec, "--local", *storage)
    assert (code, "1 of 1 trials stored\n" in out) == (
        0,
        True,
    )  # the recipe holds the data's hash, not its place
    assert cli("run", spec, "--local", "--data-dir", tmp_path / "nowhere", *storage)[0] == 2
