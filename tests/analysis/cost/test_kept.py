"""Processes that make curves on draws; what they make is held by test_costs.py and test_drawn.py."""

import os
import subprocess
import sys

import psutil
from patience import PATIENCE

SLEEPERS = """
import time, joblib
from analysis.cost.kept import parallel

def work():
    print("at it", flush=True)
    time.sleep(3600)

parallel(2)([joblib.delayed(work)()] * 2)
"""
ORPHAN = (
    "import sys, time; from analysis.cost.kept import end_with; end_with(int(sys.argv[1])); time.sleep(3600)"
)


def test_processes_end_with_a_killed_one() -> None:
    with psutil.Popen([sys.executable, "-c", SLEEPERS], stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert [parent.stdout.readline() for _ in range(2)] == ["at it\n"] * 2
            started = parent.children()
        finally:
            parent.kill()
    gone, left = psutil.wait_procs(started, timeout=20)
    for each in left:
        each.kill()
    assert not left
    assert len(gone) >= 2


def test_a_process_whose_starter_has_ended_already_ends() -> None:
    other = os.getpid() + 1  # any but the one that starts it
    ended = subprocess.run([sys.executable, "-c", ORPHAN, str(other)], timeout=PATIENCE, check=False)
    assert ended.returncode == 1
