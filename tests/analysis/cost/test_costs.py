"""Costs of stored studies whose truth is known."""

import dataclasses
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from analysis.cost.costs import (
    Question,
    comparison_table,
    cost_table,
    further_seeds,
    question_of,
    study_costs,
)
from analysis.cost.kept import folder
from analysis.errors import AnalysisError
from analysis.target import DEFAULT_TARGET
from analysis.tuning_runs import stored_curves
from search_spaces import SearchSpace
from storage.records import Trials, TuningRun
from storage.store import Store, open_store
from study.spec import TuningSpec

SPACE = SearchSpace.from_table(
    {"alpha": {"low": 1e-3, "high": 1.0, "num": 7}, "eps": {"low": 1e-8, "high": 1.0, "num": 7}}
)
TARGET, BUDGET = 0.01, 30


def losses(good: int) -> np.ndarray:
    """Of all cells, with exactly so many within the target of the best, far from all others."""
    return np.where(np.arange(SPACE.size) < good, 0.1, 0.5)


def stored(path: Path, seeds: Sequence[int], asked: int = 3) -> Store:
    """Two optimizers, with 24 and 6 good cells of 49, and stored runs of random search."""
    store = open_store(f"sqlite:///{path}/t.db", create=True)
    store.declare(
        "s",
        {key: {} for key in ["easy", "hard"]},
        space=SPACE,
        metric="error",
        spec={"seeds": asked},
        provenance={},
    )
    cells, now = SPACE.cells(), datetime.now(UTC)
    for optimizer, good in (("easy", 24), ("hard", 6)):
        for seed in seeds:
            noise = np.random.default_rng([good, seed]).normal(0, 0.001, SPACE.size)
            trials = Trials(
                hyperparameters={"alpha": cells[:, 0], "eps": cells[:, 1]},
                seed=seed,
                value=losses(good) + noise,
                metrics={},
                curve_steps=np.array([1]),
                curve=np.full((SPACE.size, 1), 0.5),
                diverged_at=np.full(SPACE.size, -1),
                seconds=np.full(SPACE.size, 0.1),
                started=now,
                finished=now,
            )
            store.append("s", optimizer, trials)
        order = [np.random.default_rng(each).permutation(SPACE.size)[:BUDGET] for each in range(4)]
        runs = [
            TuningRun("random", each, "run", "free", asked, SPACE, BUDGET, cells)
            for each, cells in enumerate(order)
        ]
        store.append_runs("s", optimizer, runs)
    return store


def true_median(good: int) -> int:
    """Of the first of `good` cells in a random order of all."""
    missed = np.cumprod([(SPACE.size - good - t) / (SPACE.size - t) for t in range(BUDGET)])
    return int(np.flatnonzero(missed <= 0.5)[0] + 1)


def test_costs_of_random_search_are_those_of_drawing_without_replacement(tmp_path: Path) -> None:
    with stored(tmp_path, range(3)) as store:
        curves = stored_curves(store, "s")
        rows = cost_table(store, curves, TARGET).set_index("optimizer")
        pairs = comparison_table(store, curves, TARGET)
    for optimizer, good in (("easy", 24), ("hard", 6)):
        row = rows.loc[optimizer]
        assert row["low"] <= true_median(good) <= row["high"]
        assert row["high"] <= row["low"] + 3
        assert row["replicates"] == 4
    assert rows.loc["hard", "reached"] == pytest.approx(1 - math.comb(19, 6) / math.comb(49, 6), abs=0.03)
    assert pairs.loc[0, ["on", "first", "second", "verdict"]].tolist() == [
        "random",
        "easy",
        "hard",
        "cheaper",
    ]
    assert pairs.loc[0, "low"] <= true_median(24) / true_median(6) <= pairs.loc[0, "high"]


def test_one_seed_has_no_cost_and_says_why(tmp_path: Path) -> None:
    told: list[str] = []
    with stored(tmp_path, range(1), asked=1) as store:
        curves = stored_curves(store, "s")
        rows = cost_table(store, curves, TARGET, told.append)
        assert rows[["median", "low", "high", "reached"]].isna().all(axis=None)
        assert rows["observed"].notna().all()
        with pytest.raises(AnalysisError, match="whose cost is known"):
            comparison_table(store, curves, TARGET)
    assert told == [
        f"note: no interval for {name}: one seed tells nothing of the noise, train a second"
        for name in ("easy", "hard")
    ]


def test_costs_are_made_once_and_anew_with_further_seeds(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    with stored(tmp_path, range(3)) as store:
        curves = stored_curves(store, "s")
        first = study_costs(store, question_of(curves, TARGET))
        assert folder() is not None
        before = sorted((folder() or Path()).rglob("output.pkl"))
        again = study_costs(store, question_of(curves, TARGET))
        assert sorted((folder() or Path()).rglob("output.pkl")) == before
    for key, made in first.curves.items():
        np.testing.assert_array_equal(again.curves[key], made)
    with stored(tmp_path / "more", range(5)) as store:  # two seeds more than the study asks for
        more = study_costs(store, question_of(stored_curves(store, "s"), TARGET))
    assert not np.array_equal(more.curves["hard", "random"], first.curves["hard", "random"])


def test_the_defaults_are_one() -> None:
    assert TuningSpec().target == DEFAULT_TARGET
    assert TuningSpec().noise == "run"


def test_further_seeds_are_asked_for_where_it_is_open(tmp_path: Path) -> None:
    asked = Question("s", ("easy", "hard"), ("random",), BUDGET, "run", "free", TARGET)
    with stored(tmp_path, range(3)) as store:
        assert further_seeds(study_costs(store, asked)) == {}  # easy is cheaper
        assert (
            further_seeds(study_costs(store, dataclasses.replace(asked, optimizers=("hard",)))) == {}
        )  # nothing to compare
        # with this target every cell is near enough, so both cost one trial
        assert further_seeds(study_costs(store, dataclasses.replace(asked, target=0.45))) == {}
        # all cells but the good ones are just at the target, so it is open which are within
        found = further_seeds(study_costs(store, dataclasses.replace(asked, target=0.4)))
    assert {name: each.seeds for name, each in found.items()} == {"easy": 6, "hard": 6}
    assert all(0 < len(each.cells) < SPACE.size for each in found.values())


def test_what_would_help_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    with stored(tmp_path, range(3)) as store:
        comparison_table(store, stored_curves(store, "s"), 0.4, told.append)
    assert len(told) == 1
    pattern = r"about 3 more seeds on \d+ cells of easy and 3 more seeds on \d+ cells of hard, \d+ seconds of training"
    assert re.search(pattern, told[0])


def test_intervals_say_that_seeds_were_added(tmp_path: Path) -> None:
    told: list[str] = []
    with stored(tmp_path, range(6)) as store:  # three of them beyond what the study asks for
        curves = stored_curves(store, "s")
        table = cost_table(store, curves, TARGET, told.append)
        pairs = comparison_table(store, curves, TARGET)
    assert table["low"].notna().all()
    assert pairs["confidence"].tolist() == [1 - 0.05 / 6]  # the second look
    assert told == [
        f"note: seeds were added to {name} until something was decided: its intervals are at 99.2%"
        for name in ("easy", "hard")
    ]
