"""Trials that were killed go on from their checkpoint, and end as if nothing had happened."""

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
from study.training.trainer import Trainer

STEPS, SAVED = 60, 8
RATES = np.array([0.003, 0.03, 1e30, 1e31, 0.3])
"""Of five trials two diverge at once: two programs of two lanes hold the others."""


class Killed(BaseException):
    """As a kill, it is nothing that is caught."""


@pytest.fixture(autouse=True)
def always_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "SECONDS_BETWEEN", 0.0)
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
    given = block(workload, optimizer, method)
    undisturbed = Trainer(2).train(given)
    folders = {"it": tmp_path / "it"}
    with monkeypatch.context() as patched:
        kill_after(SAVED, patched)
        with pytest.raises(Killed):
            Trainer(2, checkpoints=folders).train(given)
    assert list(folders["it"].iterdir())

    taken = list[int]()
    makes = loop.made
    monkeypatch.setattr(loop, "made", lambda *given: (taken.append(given[2]), makes(*given))[1])
    equal(undisturbed, Trainer(2, checkpoints=folders).train(given))
    assert taken[0] == SAVED * STEPS // CURVE_POINTS + 1
    assert not list(folders["it"].iterdir())


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


def test_what_fails_begins_anew_when_it_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be the checkpoint that makes it fail."""
    given, folders = block("digits-mlp", "adam", "fused"), {"it": tmp_path}
    trainer = Trainer(2, checkpoints=folders)
    with monkeypatch.context() as patched:
        kill_after(2, patched)
        with pytest.raises(Killed):
            trainer.train(given)
    (path,) = tmp_path.iterdir()
    kept = torch.load(path, weights_only=True)
    kept["run"]["runs"][0]["tensors"].pop()
    torch.save(kept, path)
    with pytest.raises(ValueError, match="unflatten"):
        trainer.train(given)
    assert not list(tmp_path.iterdir())
    equal(Trainer(2).train(given), trainer.train(given))


def test_a_full_disk_costs_the_checkpoint_alone(tmp_path: Path) -> None:
    (tmp_path / "it").write_text("a file where the folder should be")
    given = block("digits-mlp", "adam", "fused")
    equal(Trainer(2).train(given), Trainer(2, checkpoints={"it": tmp_path / "it"}).train(given))


def test_old_ones_are_removed(tmp_path: Path) -> None:
    (tmp_path / "recipe").mkdir()
    old, new, another = (tmp_path / "recipe" / name for name in ("old.pt", "new.pt", "another.txt"))
    for path in (old, new, another):
        path.touch()
        days = DAYS_KEPT + 1 if path is not new else DAYS_KEPT - 1
        os.utime(path, (time.time() - days * 86_400,) * 2)
    prune(tmp_path)
    prune(tmp_path / "not there")
    assert not old.exists()
    assert new.exists()
    assert another.exists()
