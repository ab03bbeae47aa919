"""Trials that were killed go on from their checkpoint, and end as if nothing had happened."""

import dataclasses
import math
import os
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from study.training import checkpoints, loop
from study.training.block import CURVE_POINTS, Block, Outcome, Recipe
from study.training.checkpoints import DAYS_KEPT, Checkpoint, Checkpoints, prune
from study.training.named import workload_named
from study.training.trainer import Trainer

STEPS, SAVED = 60, 8
RATES = np.array([0.003, 0.03, 1e30, 1e31, 0.3])
"""Of five trials two diverge at once: two programs of two lanes hold the others."""


class Killed(BaseException):
    """As a kill, it is nothing that is caught."""


@pytest.fixture(autouse=True)
def always_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", math.inf)
    monkeypatch.setattr(loop, "STEPS_AT_ONCE", 7)


def block(workload: str, optimizer: str, method: str, **recipe: Any) -> Block:
    settings = {"steps": STEPS, "method": method, "compile": False, **recipe}
    return Block(Recipe(workload, optimizer, **settings), 1, {"lr": RATES}, width=2, optimizer="it")


def equal(one: Outcome, other: Outcome) -> None:
    assert one.metrics.keys() == other.metrics.keys()
    for name, values in one.metrics.items():
        np.testing.assert_array_equal(other.metrics[name], values, err_msg=name)
    np.testing.assert_array_equal(other.curve, one.curve)
    np.testing.assert_array_equal(other.diverged_at, one.diverged_at)


def kill_after(saves: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the process die right after a checkpoint was written for the so-many-th time."""
    left, save = [saves], Checkpoint.save

    def last_one(self: Checkpoint, state: Any) -> None:
        save(self, state)
        left[0] -= 1
        if not left[0]:
            raise Killed

    monkeypatch.setattr(Checkpoint, "save", last_one)


def goes_on(given: Block, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Assert that the trials, killed, go on where they were, to the same bits, and leave nothing."""
    undisturbed, folders = Trainer(2).train(given), {"it": folder / "it"}
    with monkeypatch.context() as patched:
        kill_after(SAVED, patched)
        with pytest.raises(Killed):
            Trainer(2, checkpoints=folders).train(given)
    assert list(folders["it"].iterdir())
    taken, makes = list[int](), loop.made
    monkeypatch.setattr(loop, "made", lambda *given: (taken.append(given[2]), makes(*given))[1])
    equal(undisturbed, Trainer(2, checkpoints=folders).train(given))
    assert taken[0] == SAVED * STEPS // CURVE_POINTS + 1, "it began anew"
    assert not list(folders["it"].iterdir())


@pytest.mark.parametrize(
    ("workload", "optimizer", "method"),
    [
        ("digits-mlp", "adam", "fused"),
        ("digits-mlp", "adahessian", "fused"),
        ("known_workloads:dropout", "adam", "fused"),
        ("known_workloads:lstm", "avagrad", "fused"),
        ("known_workloads:batch_norm", "adam", "one-by-one"),
        ("known_workloads:lstm", "adam", "one-by-one"),
        ("digits-mlp", "torch.optim:Adam", "one-by-one"),
        ("known_workloads:dropout", "torch.optim:RAdam", "one-by-one"),
        ("digits-mlp", "pytorch_optimizer:ScheduleFreeAdamW", "one-by-one"),
    ],
)
def test_after_a_kill_it_goes_on_to_the_same_bits(
    workload: str, optimizer: str, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on(block(workload, optimizer, method), tmp_path, monkeypatch)


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Trainer(2, checkpoints={"another": tmp_path / "another"}).train(block("digits-mlp", "adam", "fused"))
    assert not list(tmp_path.iterdir())


def test_short_trials_keep_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 30.0)
    Trainer(2, checkpoints={"it": tmp_path / "it"}).train(block("digits-mlp", "adam", "fused"))
    assert not list(tmp_path.iterdir())


UNREADABLE = {
    "empty": b"",
    "text": b"half of one",
    "code": pickle.dumps({"progress": Path("x")}, protocol=2),
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_as_if_it_were_not_there(content: bytes, tmp_path: Path) -> None:
    given, folders = block("digits-mlp", "adam", "fused"), {"it": tmp_path}
    path = Checkpoints(folders).of(given)._path
    assert path is not None
    path.write_bytes(content)
    equal(Trainer(2).train(given), Trainer(2, checkpoints=folders).train(given))
    assert not list(tmp_path.iterdir())


def test_each_has_its_own() -> None:
    folders, cpu = Checkpoints({"it": Path("x")}), block("digits-mlp", "adam", "fused")
    others = [
        block("digits-mlp", "adam", "fused", steps=61),
        block("digits-mlp", "adam", "one-by-one"),
        cpu.part(slice(2)),
        cpu.part(slice(None), width=4),
        Block(cpu.recipe, 2, cpu.hyperparameters, width=2, optimizer="it"),
    ]
    assert len({folders.of(each)._path for each in (cpu, *others)}) == 6
    assert folders.of(cpu)._path == folders.of(block("digits-mlp", "adam", "fused"))._path


@pytest.mark.parametrize("harm", ["too few", "none"])
def test_what_is_not_taken_back_begins_anew(
    harm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, folders = block("digits-mlp", "adam", "fused"), {"it": tmp_path}
    trainer = Trainer(2, checkpoints=folders)
    with monkeypatch.context() as patched:
        kill_after(2, patched)
        with pytest.raises(Killed):
            trainer.train(given)
    (path,) = tmp_path.iterdir()
    kept = torch.load(path, weights_only=True)
    if harm == "too few":
        kept["run"]["runs"][0]["tensors"].pop()
    else:
        del kept["run"]
    torch.save(kept, path)
    equal(Trainer(2).train(given), trainer.train(given))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("saves_first", [False, True])
def test_a_failure_that_the_checkpoint_may_have_caused_is_not_met_again(
    saves_first: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that comes after it was saved again is none of its doing, and costs nothing that was saved."""
    given, folders = block("digits-mlp", "adam", "fused"), {"it": tmp_path}
    with monkeypatch.context() as patched:
        kill_after(2, patched)
        with pytest.raises(Killed):
            Trainer(2, checkpoints=folders).train(given)
    makes, calls = loop.made, list[int]()

    def fails(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) > (STEPS // CURVE_POINTS if saves_first else 0):
            raise ValueError("read error")
        return makes(*arguments)

    monkeypatch.setattr(loop, "made", fails)
    with pytest.raises(ValueError, match="read error"):
        Trainer(2, checkpoints=folders).train(given)
    assert len(list(tmp_path.iterdir())) == saves_first


class Counting(torch.optim.SGD):
    """Remembers beside its state, and in it under a word."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, lr)
        self.count = 0

    def step(self, closure: Any = None) -> Any:
        self.count += 1
        self.state["steps"] = {"taken": self.state.get("steps", {}).get("taken", 0) + 1}
        for group in self.param_groups:
            group["lr"] = 0.1 / self.count / self.state["steps"]["taken"]
        return super().step(closure)


def test_what_an_optimizer_remembers_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on(block("digits-mlp", f"{__name__}:Counting", "one-by-one"), tmp_path, monkeypatch)


def test_a_carry_that_a_loss_gives_in_another_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workload = workload_named("known_workloads:lstm")
    (phase,) = workload.phases

    def loss(*arguments: Any) -> Any:
        value, carry = phase.loss(*arguments)
        return value, {name: carry[name] for name in names}

    names = list(workload.init(0)[1])[::-1]
    assert len(names) > 1
    monkeypatch.setattr(workload, "phases", (dataclasses.replace(phase, loss=loss),))
    goes_on(block("known_workloads:lstm", "adam", "one-by-one"), tmp_path, monkeypatch)


def test_a_full_disk_costs_the_checkpoint_alone(tmp_path: Path) -> None:
    (tmp_path / "it").write_text("a file where the folder should be")
    given = block("digits-mlp", "adam", "fused")
    equal(Trainer(2).train(given), Trainer(2, checkpoints={"it": tmp_path / "it"}).train(given))


def test_old_ones_are_removed_and_nothing_else(tmp_path: Path) -> None:
    own, another = "0123456789abcdef", "my-run"
    paths = {
        tmp_path / own / f"{'0' * 32}.pt": True,
        tmp_path / own / f"{'1' * 32}.4711": True,  # half of one
        tmp_path / own / f"{'2' * 32}.pt": False,
        tmp_path / own / "best.pt": False,
        tmp_path / another / f"{'0' * 32}.pt": False,
        tmp_path / f"{'0' * 32}.pt": False,
    }
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.touch()
        days = DAYS_KEPT + 1 if path.name[0] != "2" else DAYS_KEPT - 1
        os.utime(path, (time.time() - days * 86_400,) * 2)
    empty = tmp_path / "fedcba9876543210"
    empty.mkdir()
    os.utime(empty, (0, 0))
    prune(tmp_path)
    prune(tmp_path / "not there")
    assert [path.exists() for path in paths] == [not gone for gone in paths.values()]
    assert not empty.exists()


def test_half_of_one_is_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(state: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", write)
    with pytest.raises(KeyboardInterrupt):
        Checkpoint(tmp_path / "it.pt").save({})
    assert not list(tmp_path.iterdir())


def test_what_takes_long_to_save_is_saved_more_rarely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "SHARE", 0.05)
    checkpoint = Checkpoint(tmp_path / "it.pt")
    assert checkpoint.is_due
    monkeypatch.setattr(torch, "save", lambda state, path: (time.sleep(0.2), path.touch()))
    checkpoint.save({})
    assert checkpoint.was_saved
    assert not checkpoint.is_due
