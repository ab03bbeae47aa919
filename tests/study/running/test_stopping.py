"""Hopeless trials of black boxes are stopped early, and stored as what they are; killed ones find their checkpoints."""

import contextlib
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import psutil
import pytest
from patience import PATIENCE, wait_until
from trained_here import quiet, train_here

from analysis.landscape import best_cell, stopped_early
from analysis.stored import stored_landscapes
from storage.records import STOPPED_AT
from storage.store import Store, StoreError, open_store
from study.running.drive import checkpoints_of, trials_of
from study.running.plan import plan
from study.running.run import declare, run
from study.running.stopping import Stopping
from study.spec import SpecError, parse_spec
from study.spec.black_box import StopSpec
from study.training.black_box import own_folder
from study.training.block import Block, Outcome
from study.training.resolve import Study, resolve

MODULE = """
import pathlib, time

def note(text):
    with open("log", "a") as file:
        file.write(text + "\\n")

def train(hyperparameters, optimizer, seed):
    x, y = hyperparameters["x"], hyperparameters["y"]
    for step in range(1, 11):
        note(f"{x} {y} {seed} {step}")
        time.sleep(0.03)
        yield step, {"loss": abs(x) + abs(y) + 3 / step}

def slow(hyperparameters, optimizer, seed, checkpoints):
    kept = pathlib.Path(checkpoints, "step")
    first = int(kept.read_text()) if kept.exists() else 0
    note(f"from {first}")
    for step in range(first + 1, 21):
        time.sleep(0.2)
        kept.write_text(str(step))
        yield step, {"loss": hyperparameters["x"] + 1 / step}
"""
STOP = {"method": "median", "warmup_steps": 3}


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNABILITY_CACHE", str(tmp_path / "cache"))
    (tmp_path / "hopeless.py").write_text(MODULE)
    sys.modules.pop("hopeless", None)
    return f"sqlite:///{tmp_path}/t.db"


def study(stop: dict[str, Any] | None, **changes: Any) -> Study:
    workload = {"function": "hopeless:train", "metric": "loss"} | ({"stop": stop} if stop else {})
    space = {"x": [0, 1, 2, 3], "y": [-1, 0, 1]}
    return resolve(
        parse_spec(
            {"name": "early", "workload": workload, "optimizers": ["a"], "space": space, "seeds": 2} | changes
        )
    )


def attempts(tmp_path: Path) -> Counter[str]:
    return Counter(line.rpartition(" ")[0] for line in (tmp_path / "log").read_text().splitlines())


def stopped_at(store: Store) -> dict[tuple[float, float, int], float]:
    frame = store.trials("early")
    frame = frame[frame[STOPPED_AT].notna()] if STOPPED_AT in frame else frame[:0]
    return {(row.x, row.y, row.seed): row.stopped_at for row in frame.itertuples()}


def test_by_the_median_and_stored_as_stopped(tmp_path: Path, url: str) -> None:
    report = run(study(STOP), url, on_progress=quiet)
    assert (report.new, report.failures) == (24, [])
    with open_store(url, create=False) as store:
        early = stopped_at(store)
        assert 6 <= len(early) <= 19
        assert min(early.values()) == 3
        assert (0.0, 0.0, 0) not in early
        for trials in store.read("early", "a"):
            assert trials.curve.shape[1] == trials.curve_steps[-1]
            np.testing.assert_array_equal(trials.curve[:, -1], trials.value)
            for lane, x in enumerate(trials.hyperparameters["x"]):
                known = early.get((x, trials.hyperparameters["y"][lane], trials.seed), 10)
                assert trials.curve_steps[-1] == known
        told: list[str] = []
        (shown,) = stored_landscapes(store, ["early"], tell=told.append).values()
    assert told == [
        f"note: early/a: {len(early)} of 24 trials stopped early: they count as what they were then"
    ]
    cells = {(x, y) for x, y, _ in early}
    assert {(float(c["x"]), float(c["y"])) for c in marked(shown)} == cells
    assert best_cell(shown).coordinates == {"x": 0.0, "y": 0.0}
    states = Counter(t.state.name for t in optuna.load_study(study_name="early/a", storage=url).trials)
    assert states == {"PRUNED": len(early), "COMPLETE": 24 - len(early)}

    assert len((tmp_path / "log").read_text().splitlines()) < 24 * 10
    assert run(study(STOP), url, on_progress=quiet).new == 0
    assert set(attempts(tmp_path).values()) <= set(range(3, 11))
    with pytest.raises(StoreError, match="stop"):
        run(study({**STOP, "warmup_steps": 4}), url, on_progress=quiet)
    here = url.replace("t.db", "here.db")
    assert train_here(study(STOP), here).new == 24
    with open_store(here, create=False) as store:
        early = stopped_at(store)
    assert min(early.values()) == 3
    assert (0.0, 0.0, 0) not in early


def marked(shown: Any) -> list[Any]:
    early = stopped_early(shown)
    return [early.isel(x=i, y=j).coords for i, j in np.argwhere(early.transpose("x", "y").values)]


@pytest.mark.parametrize(
    ("stop", "message"),
    [
        ({"method": "best"}, "'median' or 'asha'"),
        (
            {"method": "asha", "warmup_steps": 3},
            "warmup_steps is nothing that method = 'asha' has: leave it out",
        ),
        ({"method": "asha", "reduction_factor": 1}, "reduction_factor"),
    ],
)
def test_what_is_no_rule(stop: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse_spec(
            {"name": "early", "workload": {"function": "m:f", "metric": "loss", "stop": stop}}
            | {"optimizers": ["a"], "space": {"x": [1, 2]}, "seeds": 1}
        )


def test_a_killed_worker_s_trial_goes_on_from_its_checkpoint(tmp_path: Path, url: str, start: Any) -> None:
    from study.spec import to_toml

    workload = {"function": "hopeless:slow", "metric": "loss"}
    spec = {"name": "kept", "workload": workload, "optimizers": ["a"], "space": {"x": [1, 2]}, "seeds": 1}
    (tmp_path / "kept.toml").write_text(to_toml(spec))
    process = start("run", tmp_path / "kept.toml", "--storage", url)
    kept = tmp_path / "cache" / "checkpoints"
    wait_until(lambda: any(int(file.read_text() or 0) >= 5 for file in kept.rglob("step")))
    for child in psutil.Process(process.pid).children(recursive=True):
        if "hopeless:slow" in child.cmdline():
            parent = child.parent()
            assert parent is not None
            parent.kill()
            break
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    assert "2 of 2 trials stored" in out
    began = Counter((tmp_path / "log").read_text().splitlines())
    assert began.pop("from 0") == 2
    (again,) = began
    assert int(again.removeprefix("from ")) > 0
    assert not [*kept.rglob("step")]
    with open_store(url, create=False) as store:
        assert sorted(store.trials("kept")["loss"]) == [1.05, 2.05]


def outcome_at(curve: list[float], first: int = 1, **further: float) -> Outcome:
    """What a trial has told that is at the end of its curve."""
    steps = np.arange(first, first + len(curve))
    metrics = {name: np.array([value]) for name, value in further.items()} | {"loss": np.array(curve[-1:])}
    return Outcome(metrics, steps, np.array([curve]), np.array([-1]), np.array([1.0]))


@pytest.fixture
def stored(
    url: str,
) -> Iterator[Callable[[dict[str, Any], list[list[float]]], tuple[Stopping, Sequence[Block]]]]:
    """Stores trials with these curves; what then stops others, and the blocks that are left."""
    with contextlib.ExitStack() as opened:

        def make(stop: dict[str, Any], curves: list[list[float]]) -> tuple[Stopping, Sequence[Block]]:
            store = opened.enter_context(open_store(url, create=True))
            declared = declare(study(stop), store)
            for block, curve in zip(plan(declared, store, 1).blocks, curves, strict=False):
                store.append("early", "a", trials_of(declared, block, outcome_at(curve)))
            return Stopping(StopSpec(**stop), declared, store), plan(declared, store, 1).blocks

        yield make


def test_rungs_of_stored_trials_are_what_they_were_at_their_steps(stored: Any) -> None:
    stopping, (block, *_) = stored(
        {"method": "asha", "reduction_factor": 2}, [[5.0, 0.5], [6.0, 0.4], [7.0, 0.3]]
    )
    assert not stopping.hopeless(
        block, outcome_at([4.0])
    )  # the best at the first step, if not of all that ended
    assert stopping.hopeless(block, outcome_at([4.0, 3.0]))


def test_a_trial_that_is_tried_again_is_judged_by_new_steps_alone(stored: Any) -> None:
    curves = [[2.0, 1.0, 0.5, 0.2]] * 5
    stopping, (block, *_) = stored({"method": "median", "warmup_steps": 3}, curves)
    assert not stopping.hopeless(block, outcome_at([3.0, 2.0]))
    assert stopping.hopeless(block, outcome_at([3.0, 2.0, 1.5]))
    assert not stopping.hopeless(block, outcome_at([3.0]))  # its worker died before it was stopped
    assert stopping.hopeless(block, outcome_at([3.0, 2.0, 1.5, 1.5]))


def test_what_is_not_finite_is_not_judged(stored: Any) -> None:
    stopping, (block, *_) = stored({"method": "median"}, [[2.0, 1.0]] * 5)
    assert not stopping.hopeless(block, outcome_at([math.inf]))
    assert not stopping.hopeless(block, outcome_at([math.inf, math.nan]))
    assert not stopping.hopeless(block, outcome_at([math.inf, math.nan, 0.5]))


def test_ended_trials_count_by_their_metric(stored: Any) -> None:
    stopping, blocks = stored({"method": "median", "startup_trials": 2}, [])
    for block in blocks[:2]:
        stopping.ended(block, outcome_at([2.0, 1.0], gradient_norm=math.nan))
    assert stopping.hopeless(blocks[2], outcome_at([2.0, 1.5]))


def test_two_drivers_do_not_share_a_folder_for_checkpoints(tmp_path: Path) -> None:
    wanted = tmp_path / "checkpoints" / "trial"
    with own_folder(wanted) as first, own_folder(wanted) as second:
        assert first == wanted
        assert second != wanted
    with own_folder(wanted) as again:
        assert again == wanted
    assert not [*wanted.parent.iterdir()]


def test_another_recipe_has_other_checkpoints(url: str) -> None:
    with open_store(url, create=True) as store:
        before = checkpoints_of(study(STOP), store)
        assert before == checkpoints_of(study(STOP, seeds=3), store)
        assert before != checkpoints_of(study({**STOP, "warmup_steps": 4}), store)
