"""Studies of black boxes through Ray: exactly once, each trial failing alone, nothing left behind."""

import os
import signal
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from patience import PATIENCE, wait_until
from trained_here import quiet, train_here

from storage.store import StoreError, open_store
from study.running.address import LaunchError
from study.running.forecast import forecast
from study.running.launch.cluster import cluster
from study.running.plan import stored_plan
from study.running.tuning import tune
from study.spec import SpecError, TuningSpec, parse_spec
from study.training.resolve import Study, resolve

ROOT = Path(__file__).parents[3]
Start = Callable[..., subprocess.Popen[str]]
MODULE = """
import os, time

def log(what):
    with open("log", "a") as file:
        file.write(what + "\\n")

def train(hyperparameters, optimizer, seed):
    lr, depth = hyperparameters["lr"], hyperparameters["depth"]
    log(f"{optimizer} {lr} {depth} {seed}")
    time.sleep(SECONDS)
    if os.path.exists("broken"):
        print("uses", os.environ.get("SOME_TOKEN"))
        if lr == 0.1 and depth == 2: raise RuntimeError("no luck")
        if lr == 1 and depth == 2: os._exit(9)
    if depth == 3: return {"loss": float("nan")}
    for step in (1, 2): yield step, {"loss": abs(lr - 0.1) + depth + seed / 100 + 1 / step}

def plain(hyperparameters, optimizer, seed):
    log(f"{optimizer} {hyperparameters} {seed}")
    if hyperparameters["depth"] == 3: return float("nan")
    return {"accuracy": 1 - abs(hyperparameters["lr"] - 0.1) / 2, "loss": 3}
"""
SPEC: dict[str, Any] = {
    "name": "boxed",
    "workload": {"function": "somebodys:train", "metric": "loss"},
    "optimizers": ["mine", {"name": "mine", "label": "other", "extra": "text"}],
    "space": {"lr": [0.01, 0.1, 1], "depth": [1, 2]},
    "seeds": 2,
}


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.startswith("somebodys")]:
        del sys.modules[name]
    return f"sqlite:///{tmp_path}/t.db"


def write(tmp_path: Path, name: str, seconds: float = 0.0) -> dict[str, Any]:
    """A module of that name, for modules stay imported; the spec with it."""
    (tmp_path / f"{name}.py").write_text(MODULE.replace("SECONDS", str(seconds)))
    return SPEC | {"workload": {"function": f"{name}:train", "metric": "loss"}}


def write_toml(tmp_path: Path, spec: dict[str, Any]) -> Path:
    from study.spec import to_toml

    path = tmp_path / "boxed.toml"
    path.write_text(to_toml(spec))
    return path


def contents(url: str) -> pd.DataFrame:
    with open_store(url, create=False) as store:
        frame = store.trials("boxed").drop(columns=["seconds", "number"])
    return frame.sort_values(["optimizer", "seed", "lr", "depth"], ignore_index=True)


def attempts(tmp_path: Path) -> Counter[str]:
    return Counter((tmp_path / "log").read_text().splitlines())


def test_each_trial_fails_alone_is_retried_and_is_tried_again(
    tmp_path: Path, url: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "tell-nobody")
    spec = write_toml(tmp_path, write(tmp_path, "failing"))
    (tmp_path / "broken").touch()
    process = start("run", spec, "--storage", url)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "16 of 24 trials stored" in out
    assert "the same command trains the rest" in out
    assert "failed: mine, lr = 0.1, depth = 2, seed 0: RuntimeError: no luck\n" in err
    assert "failed: other, lr = 1, depth = 2, seed 1: it ended with exit code 9\n" in err
    assert err.count("failed: ") == 8
    assert 'raise RuntimeError("no luck")' in err
    assert "uses ***" in err
    assert "tell-nobody" not in err
    with open_store(url, create=False) as store:
        failed = store.failures("boxed").set_index(["optimizer", "lr", "depth", "seed"]).sort_index()
        assert store.studies()["failed"].tolist() == [4, 4]
        assert len(store.stored("boxed", "mine")) == 8
    assert len(failed) == 8
    (raised,) = failed.loc[[("mine", 0.1, 2, 0)]].itertuples()
    assert (raised.reason, raised.launch) == ("RuntimeError: no luck", 0)
    assert raised.lines.startswith("uses ***\nTraceback")
    assert raised.lines.endswith("RuntimeError: no luck")
    (exited,) = failed.loc[[("other", 1, 2, 1)]].itertuples()
    assert (exited.reason, exited.lines) == ("it ended with exit code 9", "uses ***")
    counted = attempts(tmp_path)
    assert counted["mine 0.1 2 0"] == counted["mine 1.0 2 1"] == 6  # both optimizers, three times each
    assert counted["mine 0.01 1 0"] == counted["mine 1.0 1 0"] == 2
    (tmp_path / "broken").unlink()
    process = start("run", spec, "--storage", url)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert "24 of 24 trials stored, 8 of them now" in out
    with open_store(url, create=False) as store:
        assert store.failures("boxed").empty
    table = contents(url)
    assert not table.duplicated(["optimizer", "lr", "depth", "seed"]).any()
    assert table.groupby("optimizer")["loss"].min().tolist() == [1.5, 1.5]
    assert attempts(tmp_path)["mine 0.01 1 0"] == 2


@pytest.mark.slow
def test_a_driver_and_a_worker_killed_in_mid_trial(tmp_path: Path, url: str, start: Start) -> None:
    spec = write_toml(tmp_path, write(tmp_path, "slow", 0.7))
    process = start("run", spec, "--storage", url)
    wait_for_trials(tmp_path, url, 3)
    everybody = psutil.Process(process.pid).children(recursive=True)
    ours = [each for each in everybody if "slow:train" in each.cmdline()]
    assert ours
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    _, alive = psutil.wait_procs(ours, timeout=60)
    assert not alive
    before = contents(url)
    assert 3 <= len(before) < 24
    process = start("run", spec, "--storage", url)
    wait_for_trials(tmp_path, url, len(before) + 2)
    everybody = psutil.Process(process.pid).children(recursive=True)
    (child, *_) = [each for each in everybody if "slow:train" in each.cmdline()]
    worker = child.parent()
    assert worker is not None
    worker.kill()
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert "24 of 24 trials stored" in out
    psutil.wait_procs([child], timeout=20)
    assert not child.is_running()
    table = contents(url)
    assert len(table) == 24
    assert not table.duplicated(["optimizer", "lr", "depth", "seed"]).any()


def wait_for_trials(tmp_path: Path, url: str, at_least: int) -> None:
    wait_until(lambda: (tmp_path / "t.db").exists() and len(contents_or_none(url)) >= at_least)


def contents_or_none(url: str) -> pd.DataFrame:
    try:
        return contents(url)
    except StoreError:
        return pd.DataFrame()


def boxed(given: dict[str, Any]) -> Study:
    return resolve(parse_spec(given))


def test_maximised_diverging_grown_tuned_and_guarded_by_its_source(tmp_path: Path, url: str) -> None:
    write(tmp_path, "plain")
    (tmp_path / "data").write_text("1")
    workload = {
        "function": "plain:plain",
        "metric": "accuracy",
        "goal": "maximize",
        "worst": 0.25,
        "sources": ["data"],
    }
    spec = SPEC | {"workload": workload, "optimizers": ["mine"]}
    study = boxed(spec)
    assert forecast(study, url, 2)[2] is None
    report = train_here(study, url)
    assert (report.done, report.warnings) == (12, set())
    spec |= {"space": {"lr": [0.01, 0.1, 1], "depth": [1, 2, 3]}}
    report = train_here(boxed(spec), url)
    assert (report.done, report.new) == (18, 6)
    table = contents(url)
    best = table[(table.lr == 0.1) & (table.depth == 2)]
    assert best["negated_accuracy"].tolist() == [-1, -1]
    assert (best["accuracy"].tolist(), best["loss"].tolist()) == ([1, 1], [3, 3])
    diverged = table[table.depth == 3]
    assert diverged["negated_accuracy"].tolist() == [-0.25] * 6
    assert diverged["diverged_at"].tolist() == [0] * 6
    assert diverged["accuracy"].isna().all()
    assert max(attempts(tmp_path).values()) == 1
    with open_store(url, create=False) as store:
        recipe = store.recipes("boxed")["mine"]
    assert recipe["function"] == "plain:plain"
    assert sorted(recipe["sources"]) == ["data", "plain:plain"]
    assert "timeout" not in str(recipe)
    # how to run may change, what decides a trial may not
    other = boxed(spec | {"workload": workload | {"timeout": 60.0}, "resources": {"cpu": 0.5}})
    plan = stored_plan(other, url, 2)
    assert plan is not None
    assert plan.blocks == ()
    (tmp_path / "data").write_text("2")
    with pytest.raises(StoreError, match=r"stored .* with another recipe \(sources\.data = "):
        train_here(boxed(spec), url)


def test_tuners_train_what_is_missing_once(tmp_path: Path, url: str) -> None:
    study = boxed(write(tmp_path, "live") | {"optimizers": ["mine"]})
    tuning = TuningSpec(tuners=("random", "cgld"), trials=6, replicates=3)
    made = tune("boxed", url, tuning, study, on_progress=quiet)
    assert (made.new, made.failures) == (6, [])
    assert made.trained == sum(attempts(tmp_path).values()) == len(attempts(tmp_path))
    assert train_here(study, url).done == 12
    assert max(attempts(tmp_path).values()) == 1
    assert (
        tune(
            "boxed",
            url,
            TuningSpec(tuners=("random", "gld"), trials=6, replicates=3),
            local=True,
            on_progress=quiet,
        ).new
        == 3
    )


def test_a_command(tmp_path: Path, url: str, start: Start) -> None:
    (tmp_path / "train.py").write_text(
        "import json, sys, time\nlr, depth, seed = map(float, sys.argv[1:])\n"
        'print(\'{"step": 1, "loss": 9}\', flush=True)\n'
        "if lr == 1: print('to no avail'); sys.exit(3)\n"
        "print(json.dumps({'loss': lr + depth + seed}))\n"
    )
    workload = {"command": f"{sys.executable} train.py {{lr}} {{depth}} {{seed}}", "metric": "loss"}
    spec = SPEC | {"workload": workload | {"sources": ["train.py"]}, "optimizers": ["mine"]}
    process = start("run", write_toml(tmp_path, spec), "--storage", url)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "8 of 12 trials stored" in out
    assert err.count("it ended with exit code 3 (its folder is ") == 4
    assert "  | to no avail" in err
    table = contents(url)
    assert table["loss"].tolist() == (table["lr"] + table["depth"] + table["seed"]).tolist()


def test_the_example_of_a_torch_script(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # where its study file says that it is run, and with which Python
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    given = tomllib.loads((ROOT / "studies" / "torch-script.toml").read_text(encoding="utf-8"))
    workload = given["workload"] | {"command": given["workload"]["command"] + " --epochs 3"}
    space = {"lr": [0.001, 0.1], "weight_decay": [0.0]}
    study = boxed(given | {"workload": workload, "space": space, "seeds": 1})
    assert train_here(study, url).done == 4
    with open_store(url, create=False) as store:
        table = store.trials("torch-script")
        _, curve = store.trial("torch-script", "adam", 0)
    assert [step for step, _ in curve] == [1, 2, 3]
    errors = table.set_index(["optimizer", "lr"])["val_error"]
    assert errors["adam", 0.1] < 0.2  # of ten digits, by chance 0.9
    assert errors["sgd", 0.001] > 0.5
    assert (table["train_loss"] > 0).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workload": {"function": "nobodys:train", "metric": "m"}}, "nobodys:train cannot be imported"),
        ({"workload": {"function": "os:name", "metric": "m"}}, "os:name is no function"),
        ({"workload": {"function": "os.path:join", "metric": "m"}}, ""),
        (
            {"workload": {"function": "shutil:which", "metric": "m", "sources": ["none.py"]}},
            "none.py cannot be read",
        ),
        (
            {"workload": {"function": "os:getcwd", "metric": "m"}},
            "define it as train(hyperparameters, optimizer, seed)",
        ),
        ({"workload": {"command": "nosuchprogram {lr}", "metric": "m"}}, "'nosuchprogram' is not found"),
        ({"workload": {"command": "./train.sh {lr}", "metric": "m"}}, "'./train.sh' is not found"),
        ({"workload": {"command": "ls", "metric": "m", "folder": "none"}}, "folder = 'none' is no folder"),
        ({"optimizers": [{"name": "mine", "betas": [1, 2]}]}, "betas = [1, 2] is not allowed"),
        ({"optimizers": [{"name": "mine", "lr": 2}]}, "lr is given twice (axis 'lr')"),
        (
            {"optimizers": [{"name": "mine", "axes": {"eps": "lr"}}]},
            "axes names 'eps', which the space does not have",
        ),
    ],
)
def test_what_is_wrong_is_one_line(url: str, changes: dict[str, Any], message: str) -> None:
    spec = parse_spec(SPEC | {"workload": {"function": "shutil:which", "metric": "loss"}} | changes)
    if not message:
        assert resolve(spec).is_black_box
        return
    with pytest.raises(SpecError) as caught:
        resolve(spec)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("workload", [{"function": "nobodys:train"}, {"command": "ls"}])
def test_without_leave_nothing_is_imported_or_run(workload: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="allowed by tunability serve --allow-imports") as caught:
        resolve(parse_spec(SPEC | {"workload": workload | {"metric": "m"}}), allow_imports=False)
    assert [error["location"] for error in caught.value.errors] == ["workload"]


def test_resources_are_scheduled_and_what_nobody_has_is_refused() -> None:
    cores = os.cpu_count() or 1
    with cluster(None, {"CPU": 1.0}) as alone:
        pass
    with cluster(None, {"CPU": float(alone), "memory": 1e6}) as together:
        assert together == 1
    with cluster(None, {"CPU": 0.5}) as shared:
        assert shared == 2 * alone <= 2 * cores
    said = r"no machine .*: CPU 1, GPU 1; they have up to CPU \d+, GPU 0"
    with pytest.raises(LaunchError, match=said), cluster(None, {"CPU": 1.0, "GPU": 1.0}):
        pass
