"""What all commands share."""

import subprocess
import sys
from collections.abc import Callable
from importlib import metadata

import pytest

from study.cli import main

Cli = Callable[..., tuple[int, str, str]]


def test_version(cli: Cli) -> None:
    assert cli("--version") == (0, f"tunability {metadata.version('tunability')}\n", "")


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
