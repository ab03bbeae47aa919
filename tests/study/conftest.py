"""Small studies, and the command line as a process of its own."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from study.cli import main

COMMAND = Path(sys.executable).with_name("tunability")
STUDY = """
name = "{name}"
workload = {{ name = "digits-mlp", steps = {steps} }}
optimizers = ["adam", "avagrad"]
space = {{ alpha = [0.001, 0.01, 0.1, 1], eps = [1e-8, 1e-4, 1] }}
seeds = 2
lanes = {lanes}
"""

WriteStudy = Callable[..., Path]
Start = Callable[..., subprocess.Popen[str]]
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def write_study(tmp_path: Path) -> WriteStudy:
    """Writes a study of 48 trials, too small to be compiled."""

    def write(name: str = "small", steps: int = 20, lanes: int = 4, old: str = "", new: str = "") -> Path:
        path = tmp_path / f"{name}.toml"
        path.write_text(STUDY.format(name=name, steps=steps, lanes=lanes).replace(old, new))
        return path

    return write


def start_command(*arguments: object) -> subprocess.Popen[str]:
    """The command line in a process group of its own, as a terminal starts it."""
    return subprocess.Popen(
        [str(COMMAND), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture
def start() -> Start:
    """Starts `tunability` with the given arguments."""
    return start_command


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Cli:
    """Runs `tunability ARGUMENTS` in this process: exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tunability", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit:
            main()
        return int(exit.value.code or 0), *capfd.readouterr()

    return run
