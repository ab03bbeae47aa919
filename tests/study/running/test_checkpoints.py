"""Long trials of our own training go on from their checkpoint, whoever of those who train them is killed."""

import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from patience import PATIENCE, wait_until

from storage.store import open_store
from study.spec import to_toml

MODULE = """
import os, sys, time
import torch
from study.training import checkpoints
from study.workloads import ModuleWorkload, error_rate

checkpoints.SECONDS_BETWEEN = 0.0

def slowly(outputs, targets):
    if "default_worker" in sys.argv[0]:  # not where the driver finds out how to train
        time.sleep(0.5)
        with open(__file__ + ".log", "a") as file:
            file.write(f"{os.getpid()}\\n")
    return error_rate(outputs, targets)

def workload():
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    y = (x.sum(1) > 0).long()
    return ModuleWorkload(
        model=lambda: torch.nn.Linear(3, 2), train=(x[:48], y[:48]), validation=(x[48:], y[48:]),
        loss=torch.nn.functional.cross_entropy, metrics={"validation_error": slowly}, batch=8,
    )
"""
POINTS = 20


@pytest.mark.parametrize("killed", [pytest.param("worker", marks=pytest.mark.slow), "driver"])
def test_a_killed_trial_goes_on(
    killed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNABILITY_CACHE", str(tmp_path / "cache"))
    (tmp_path / "long.py").write_text(MODULE)
    spec = {
        "name": "long",
        "workload": {"name": "long:workload", "steps": 200},
        "optimizers": ["torch.optim:SGD"],
        "space": {"lr": [0.1]},
        "seeds": 1,
    }
    (tmp_path / "long.toml").write_text(to_toml(spec))
    url = f"sqlite:///{tmp_path}/t.db"
    process = start("run", tmp_path / "long.toml", "--storage", url)
    kept, log = tmp_path / "cache" / "checkpoints", tmp_path / "long.py.log"

    def evaluated() -> list[int]:
        return [int(line) for line in log.read_text().splitlines()] if log.exists() else []

    wait_until(lambda: list(kept.rglob("*.pt")) and len(evaluated()) >= POINTS * 3 // 5)
    worker = evaluated()[-1]
    if killed == "worker":
        psutil.Process(worker).kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
        process = start("run", tmp_path / "long.toml", "--storage", url)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert "1 of 1 trials stored" in out
    (again,) = {pid for pid in evaluated() if pid != worker}
    assert (
        0 < evaluated().count(again) < POINTS
    )  # of a whole trial, there are a few more: the workload is checked
    assert not list(kept.rglob("*.pt"))
    with open_store(url, create=False) as store:
        assert len(store.trials("long")) == 1
