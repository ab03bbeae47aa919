"""Which child processes have died."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from study.running.children import Children


@pytest.fixture
def sleeping() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_a_dead_child_has_a_name_and_a_living_one_has_not(sleeping: subprocess.Popen[bytes]) -> None:
    children = Children(["sleep"])
    assert children
    assert children.dead() is None
    sleeping.kill()
    os.waitid(os.P_PID, sleeping.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
    assert children.dead() == "sleep"
    sleeping.wait()
    assert children.dead() == "sleep"


def test_only_names_that_are_asked_for_are_looked_after(sleeping: subprocess.Popen[bytes]) -> None:
    children = Children(["raylet"])
    assert not children
    sleeping.kill()
    sleeping.wait()
    assert children.dead() is None
