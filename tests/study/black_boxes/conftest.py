"""Black boxes in a folder of their own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from patience import wait_until


@pytest.fixture
def arguments() -> dict[str, Any]:
    """Of one trial."""
    return {
        "hyperparameters": {"lr": 0.5, "depth": 3},
        "optimizer": "mine",
        "seed": 7,
        "resources": {"cpu": 2.0, "gpu": 0.0, "memory": None},
    }


def running(mark: str) -> list[psutil.Process]:
    """Processes whose command line has the mark."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if any(mark in word for word in words) and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


@pytest.fixture
def nobody_left() -> Callable[[str], bool]:
    """Whether all processes with a mark in their command lines end in some seconds."""

    def gone(mark: str) -> bool:
        wait_until(lambda: not running(mark), 20)
        return True

    return gone


@pytest.fixture
def killed_in_mid_trial(tmp_path: Path) -> Callable[[str], None]:
    """Runs a script until it says "ready", and kills it with SIGKILL."""

    def kill(script: str) -> None:
        root = Path(__file__).parents[3]
        environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
        with subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
        ) as process:
            assert process.stdout is not None
            wait_until((tmp_path / "ready").exists)
            process.kill()

    return kill
