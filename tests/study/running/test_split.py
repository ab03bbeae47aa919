"""Of a block that fails, only what fails alone fails; what does not fit into memory is trained in parts."""

from pathlib import Path

import numpy as np
import pandas as pd
import picky
import pytest
import torch
from trained_here import train_here

from storage.store import open_store
from study.black_boxes import TrialError
from study.running.drive import Report
from study.running.run import run
from study.running.split import A_DEATH, ENOUGH, Splitter
from study.spec import parse_spec
from study.training.block import Block, Outcome, Recipe
from study.training.fused import Fused
from study.training.resolve import Study, resolve

ALPHA = [0.01, 0.03, 0.1, 0.3, 1.0]


def study(**changes: object) -> Study:
    given = {
        "name": "few",
        "workload": {"name": "digits-mlp", "steps": 5},
        "optimizers": ["adam"],
        "space": {"alpha": ALPHA, "eps": [1e-8, 1e-4]},
        "seeds": 2,
        "lanes": 10,
    }
    return resolve(parse_spec(given | changes))


def stored(url: str) -> pd.DataFrame:
    with open_store(url, create=False) as store:
        frame = store.trials("few").drop(columns=["number", "seconds"])
    return frame.sort_values(["optimizer", "seed", frame.columns[2]], ignore_index=True)


def ran(given: Study, url: str) -> Report:
    return run(given, url, local=True, on_progress=lambda done, total: None)


def test_the_others_of_a_block_are_kept_bit_for_bit(tmp_path: Path) -> None:
    some, all_well = f"sqlite:///{tmp_path}/some.db", f"sqlite:///{tmp_path}/well.db"
    picky = {"optimizers": ["picky:Picky"]}
    report = ran(study(space={"lr": [*ALPHA, 0.5]}, **picky), some)
    assert report.done == 10
    assert report.failures == [
        f"picky:Picky, lr = 0.5, seed {seed}: ArithmeticError: not with this rate" for seed in (0, 1)
    ]
    with open_store(some, create=False) as store:
        failures = store.failures("few")
    assert failures["lr"].tolist() == [0.5, 0.5]
    assert failures["lines"].str.endswith("ArithmeticError: not with this rate").all()
    train_here(study(space={"lr": ALPHA}, **picky), all_well)
    pd.testing.assert_frame_equal(stored(some), stored(all_well))


@pytest.mark.slow
def test_of_a_block_whose_worker_dies_the_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(picky.__file__).parent))  # of the workers
    url = f"sqlite:///{tmp_path}/t.db"
    given = study(space={"lr": [0.1, 0.3, 7]}, optimizers=["picky:Picky"], seeds=1, lanes=3)
    report = run(given, url, on_progress=lambda done, total: None)
    assert report.done == 2
    assert stored(url)["lr"].tolist() == [0.1, 0.3]
    (said,) = report.failures
    assert said.startswith("picky:Picky, lr = 7, seed 0: ")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: not enough memory"),
        MemoryError(),
    ],
    ids=["gpu", "cpu", "python"],
)
def test_blocks_too_large_for_the_memory_are_halved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    whole, tight = f"sqlite:///{tmp_path}/whole.db", f"sqlite:///{tmp_path}/tight.db"
    train_here(study(), whole)
    train, widths = Fused.train, list[int]()

    def with_room_for_three(self: Fused, block: Block) -> Outcome:
        widths.append(max(block.width, block.lanes))
        if widths[-1] > 3:
            raise error
        return train(self, block)

    monkeypatch.setattr(Fused, "train", with_room_for_three)
    report = ran(study(), tight)
    assert (report.done, report.failures) == (20, [])
    assert report.warnings == {
        "adam: 10 trials at once did not fit into memory: 5 at once",
        "adam: 5 trials at once did not fit into memory: 3 at once",
    }
    assert [width for width in widths if width > 3] == [10, 5, 5]  # the second seed's are cut before
    pd.testing.assert_frame_equal(stored(tight), stored(whole))


def failing(splitter: Splitter, error: TrialError, lanes: int = 64) -> tuple[int, int]:
    """How many attempts it takes until nothing is waiting where all fail, and how many trials failed in the end."""
    left = [Block(Recipe("w", "o"), 0, {"lr": np.arange(float(lanes))}, {}, lanes, "o")]
    attempts = lost = 0
    while left:
        block = left.pop()
        attempts += 1
        if not splitter.split(block, error):
            lost += block.lanes
        left += splitter.waiting()
    return attempts, lost


def test_where_all_fail_it_is_soon_left_at_that() -> None:
    attempts, lost = failing(Splitter(), TrialError("ValueError: no"))
    assert lost == 64
    assert attempts <= 2 * ENOUGH
    attempts, lost = failing(Splitter(), TrialError("the worker died"))
    assert lost == 64
    assert attempts <= 2 * ENOUGH / A_DEATH


@pytest.mark.parametrize("said", ["torch.OutOfMemoryError: CUDA out of memory.", "MemoryError"])
def test_what_does_not_fit_is_halved_until_it_does(said: str) -> None:
    assert failing(Splitter(), TrialError(said)) == (127, 64)


def test_a_small_block_of_a_wide_program_is_narrowed_too() -> None:
    splitter = Splitter()
    splitter.split(Block(Recipe("w", "o"), 0, {"lr": np.ones(8)}, {}, 8, "o"), TrialError("MemoryError"))
    (part,) = splitter.fitting(Block(Recipe("w", "o"), 1, {"lr": np.ones(3)}, {}, 8, "o"))
    assert (part.lanes, part.width) == (3, 4)


def test_where_some_were_trained_each_is_tried_alone() -> None:
    splitter = Splitter()
    splitter.trained(Block(Recipe("w", "o"), 0, {"lr": np.ones(1)}, {}, 1, "o"))
    assert failing(splitter, TrialError("ValueError: no")) == (127, 64)
