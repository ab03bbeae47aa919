"""What all commands share."""

import contextlib
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

from study.cli import main

Cli = Callable[..., tuple[int, str, str]]


def test_version(cli: Cli) -> None:
    assert cli("--version") == (0, f"tunability {metadata.version('tunability')}\n", "")


def test_quiet_leaves_results_and_errors(cli: Cli, url: str, tmp_path: Path) -> None:
    said = "no trial of made-up failed\n"
    assert cli("failures", "made-up", "--storage", url) == (0, "", said)
    assert cli("--quiet", "failures", "made-up", "--storage", url) == (0, "", "")
    assert cli("failures", "made-up", "--storage", url) == (0, "", said)  # each command says it anew
    assert cli("-q", "studies", "--storage", url) == cli("studies", "--storage", url)
    code, out, err = cli("--quiet", "failures", "maed-up", "--storage", url)
    assert (code, out, err.count("\n"), err[:7]) == (2, "", 1, "error: ")
    file = tmp_path / "few.toml"
    file.write_text(
        'name = "few"\nworkload = { name = "digits-mlp", steps = 2 }\noptimizers = ["adam"]\nseeds = 1\n'
        "space = { alpha = [0.01, 0.1] }\n"
    )
    code, out, err = cli("-q", "run", file, "--local", "--storage", f"sqlite:///{tmp_path}/few.db")
    assert (code, err, "2 of 2 trials stored" in out, "next:" in out) == (0, "", True, False)


COLOUR = re.compile(r"\x1b\[[\d;]*\b(?:3[0-8]|9[0-7])[\d;]*m")


@pytest.mark.parametrize(("given", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_no_color_is_heeded(given: dict[str, str], coloured: bool) -> None:
    """In a terminal, of the help and of an error."""
    environment = {**os.environ, "TERM": "xterm-256color", **given}
    for variable in ("NO_COLOR", "FORCE_COLOR"):
        if variable not in given:
            environment.pop(variable, None)
    script = "from study.cli import main; main()"
    for arguments in (["--help"], ["cost"]):
        ours, theirs = pty.openpty()
        done = subprocess.Popen(
            [sys.executable, "-c", script, *arguments], stdout=theirs, stderr=theirs, env=environment
        )
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # at its end
            while piece := os.read(ours, 10_000):
                said += piece
        done.wait()
        os.close(ours)
        assert b"Usage" in said
        assert bool(COLOUR.search(said.decode())) == coloured


def test_light_commands_import_neither_torch_nor_ray(url: str) -> None:
    script = (
        "import sys; from study.cli import main\n"
        "try: main()\n"
        "except SystemExit as exit: assert not exit.code\n"
        "print('LOADED', *sorted({'torch', 'ray', 'optuna'} & set(sys.modules)))\n"
    )
    for arguments in (["--help"], ["trials", "made-up", "--storage", url], ["studies", "--storage", url]):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1].strip() == "LOADED"


def test_a_bug_keeps_its_traceback(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("storage.export.write", broken)
    monkeypatch.setattr(sys, "argv", ["tunability", "studies", "--storage", url])
    with pytest.raises(ZeroDivisionError):
        main()
