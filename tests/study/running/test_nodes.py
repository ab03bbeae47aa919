"""Studies on several Ray nodes: code reaches them, one that dies costs what it trains, a driver may move."""

import contextlib
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from patience import PATIENCE, wait_until

from storage.store import open_store
from study.running.launch.cluster import fitting
from study.spec import to_toml

Start = Callable[..., subprocess.Popen[str]]
MODULE = """
import time
from helping import loss
import study

def train(hyperparameters, optimizer, seed):
    with open(LOG, "a") as file: file.write(f"{hyperparameters['lr']} {seed}\\n")
    time.sleep(SECONDS)
    return {"loss": loss(hyperparameters["lr"], seed), "sent": float("py_modules" in study.__file__)}
"""
HELPING = "def loss(lr, seed): return abs(lr - 0.1) + seed / 100\n"
SHARING = """
import glob, os, time

def train(hyperparameters, optimizer, seed):
    open(os.path.join(FOLDER, f"began-{hyperparameters['lr']}"), "w").close()
    until = time.monotonic() + PATIENCE
    while len(glob.glob(os.path.join(FOLDER, "began-*"))) < 4:
        if time.monotonic() > until: raise RuntimeError("alone")
        time.sleep(0.1)
    return {"loss": 1.0, "gpu": float(os.environ["CUDA_VISIBLE_DEVICES"])}
"""
SPEC: dict[str, Any] = {
    "name": "far",
    "workload": {"function": "calling:train", "metric": "loss"},
    "optimizers": ["mine"],
    "space": {"lr": [0.01, 0.1, 1]},
    "seeds": 2,
}
CAN_HIDE = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0


def write_code(folder: Path, log: Path, seconds: float) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "calling.py").write_text(MODULE.replace("LOG", repr(str(log))).replace("SECONDS", str(seconds)))
    (folder / "helping.py").write_text(HELPING)


def contents(url: str) -> pd.DataFrame:
    with contextlib.suppress(ValueError), open_store(url, create=False) as store:
        return store.trials("far")
    return pd.DataFrame()


def wait_for(url: str, trials: int) -> None:
    wait_until(lambda: len(contents(url)) >= trials)


@pytest.mark.skipif(not CAN_HIDE, reason="hiding a folder from a process needs root on Linux")
@pytest.mark.parametrize("ray_head", [["--num-cpus=0"]], indirect=True)
def test_code_reaches_a_node_that_does_not_have_it(
    tmp_path: Path, start: Start, ray_head: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's modules, those that they import, and this project's own."""
    here, log, url = tmp_path / "here", tmp_path / "log", f"sqlite:///{tmp_path}/t.db"
    write_code(here, log, 0.0)
    (tmp_path / "far.toml").write_text(to_toml(SPEC))
    monkeypatch.chdir(here)
    with ray_head.with_node("--node-ip-address=127.0.0.2", cpus=1, hidden=here):  # as another machine
        run = start("run", tmp_path / "far.toml", "--storage", url, "--address", ray_head.address)
        out, err = run.communicate(timeout=PATIENCE)
    assert "6 of 6 trials stored" in out, err
    assert contents(url)["sent"].tolist() == [1.0] * 6


@pytest.mark.parametrize("ray_head", [["--num-cpus=1", "--num-gpus=2"]], indirect=True)
def test_several_trials_share_a_gpu(
    tmp_path: Path, start: Start, ray_head: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray is told that there are two; each trial waits until four of them run."""
    url, spec = f"sqlite:///{tmp_path}/t.db", tmp_path / "far.toml"
    (tmp_path / "gpus.py").write_text(
        SHARING.replace("FOLDER", repr(str(tmp_path))).replace("PATIENCE", str(PATIENCE))
    )
    spec.write_text(
        to_toml(
            SPEC
            | {"workload": {"function": "gpus:train", "metric": "loss"}, "seeds": 1}
            | {"space": {"lr": [1, 2, 3, 4]}, "resources": {"cpu": 0.1, "gpu": 0.5}}
        )
    )
    monkeypatch.chdir(tmp_path)
    run = start("run", spec, "--storage", url, "--address", ray_head.address)
    out, err = run.communicate(timeout=PATIENCE)
    assert "4 of 4 trials stored" in out, err
    assert sorted(contents(url)["gpu"]) == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("has", "amount", "times"),
    [(2, 0.5, 4), (2, 0.6, 2), (3, 0.3, 9), (2, 1, 2), (4, 2, 2), (0, 0.5, 0)],
)
def test_a_share_is_of_one_gpu(has: float, amount: float, times: int) -> None:
    assert fitting({"GPU": has}, "GPU", amount) == times


@pytest.mark.slow
@pytest.mark.parametrize("ray_head", [["--num-cpus=0"]], indirect=True)
def test_a_dead_node_costs_what_it_trains_and_a_driver_may_move(
    tmp_path: Path, start: Start, ray_head: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, url, seeds = tmp_path / "log", f"sqlite:///{tmp_path}/t.db", 10
    spec = tmp_path / "far.toml"
    spec.write_text(to_toml(SPEC | {"seeds": seeds}))
    run = ["run", spec, "--storage", url, "--address", ray_head.address]
    for place in ("one", "two"):
        write_code(tmp_path / place, log, 1.0)
    with ray_head.with_node(cpus=1), ray_head.with_node(cpus=1) as dying:
        monkeypatch.chdir(tmp_path / "one")
        driver = start(*run)
        wait_for(url, 4)
        driver.kill()
        driver.communicate(timeout=PATIENCE)
        monkeypatch.chdir(tmp_path / "two")
        driver = start(*run)
        wait_for(url, 10)
        for process in psutil.Process(dying.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        out, err = driver.communicate(timeout=PATIENCE)
    assert f"{3 * seeds} of {3 * seeds} trials stored" in out, err
    trials = contents(url)
    assert len(trials) == 3 * seeds
    assert not trials.duplicated(["lr", "seed"]).any()
    again = Counter(log.read_text().splitlines()).total() - 3 * seeds
    assert again <= 2 * 2, (
        "two workers had a trial each when the driver died, and one of them when its node did"
    )
