"""Processes that make curves on draws; what they make is held by test_costs.py and test_drawn.py."""

import subprocess
import sys

import psutil
from patience import PATIENCE, wait_until

SLEEPERS = """
import time, joblib
from analysis.cost.kept import parallel
parallel(2)([joblib.delayed(time.sleep)(3600)] * 2)
"""


def test_processes_end_with_a_killed_one() -> None:
    parent = psutil.Popen([sys.executable, "-c", SLEEPERS], stderr=subprocess.DEVNULL)
    try:
        workers = wait_until(
            lambda: [each for each in parent.children() if "LokyProcess" in " ".join(each.cmdline())],
            alive=parent.is_running,
        )
        started = parent.children()
    finally:
        parent.kill()
        parent.wait()
    assert workers
    gone, left = psutil.wait_procs(started, timeout=PATIENCE)  # they import much before they look
    for each in left:
        each.kill()
    assert not left
    assert len(gone) >= 2
