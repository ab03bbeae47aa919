"""Landscapes of stored studies: which seeds, which grid, which names."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.labels import summary
from analysis.metric_scale import MetricScale
from analysis.stored import stored_landscapes, stored_observations
from search_spaces import SearchSpace
from storage.errors import UnknownStudyError
from storage.records import Trials
from storage.store import Store, open_store

SPACE = SearchSpace.from_table({"alpha": [0.01, 0.1, 1.0], "eps": [1e-8, 1e-4]})


def made_up(seed: int) -> Trials:
    values, now = SPACE.cells(), datetime.now(UTC)
    return Trials(
        hyperparameters=dict(zip(SPACE.names, values.T, strict=True)),
        seed=seed,
        value=values[:, 0] + seed,
        metrics={},
        curve_steps=np.array([1]),
        curve=values[:, :1],
        diverged_at=np.full(len(values), -1),
        seconds=np.full(len(values), 1.0),
        started=now,
        finished=now,
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """`asked` of two seeds, with a third for adam; `free`, whose spec asks for none, with three; both lack sgd."""
    with open_store(f"sqlite:///{tmp_path}/tunability.db", create=True) as store:
        for study, spec in (("asked", {"seeds": 2}), ("free", {"imported": True})):
            store.declare(
                study,
                {key: {} for key in ["adam", "sgd"]},
                space=SPACE,
                metric="error",
                spec=spec,
                provenance={},
            )
            for seed in range(3):
                store.append(study, "adam", made_up(seed))
        yield store


def test_seeds_that_were_not_asked_for_are_left_out(store: Store) -> None:
    for study, extra, seeds in (
        ("asked", False, [0, 1]),
        ("asked", True, [0, 1, 2]),
        ("free", False, [0, 1, 2]),
    ):
        found = stored_landscapes(store, [study], extra=extra)
        assert list(found) == ["adam"]
        assert found["adam"]["seed"].values.tolist() == seeds
        assert found["adam"].sel(seed=1, alpha=0.1, eps=1e-4) == 1.1
    assert {name: len(seen) for name, seen in stored_observations(store, "asked").items()} == {
        "adam": 12,
        "sgd": 0,
    }


def test_a_filter_leaves_the_values_that_occur(store: Store) -> None:
    found = stored_landscapes(store, ["asked/adam"], "alpha < 1")["adam"]
    assert dict(found.sizes) == {"seed": 2, "alpha": 2, "eps": 2}
    with pytest.raises(AnalysisError, match="there are no trials"):
        stored_landscapes(store, ["asked"], "alpha > 1")


def test_landscapes_after_fewer_steps(store: Store) -> None:
    ended, then = (stored_landscapes(store, ["asked/adam"], step=step)["adam"] for step in (None, 1))
    assert ended.sel(seed=1, alpha=0.1, eps=1e-4) == 1.1
    assert then.sel(seed=1, alpha=0.1, eps=1e-4) == 0.1  # the curve's only point
    scale = MetricScale("error", ended.values)
    assert summary(then, scale).endswith("after 1 steps")
    assert "after" not in summary(ended, scale)
    only = stored_landscapes(store, ["asked/adam"], "alpha < 1", step=7)["adam"]
    assert only.sizes["alpha"] == 2


def test_several_have_both_names(store: Store) -> None:
    assert list(stored_landscapes(store, ["asked", "free/adam"])) == ["asked/adam", "free/adam"]
    with pytest.raises(AnalysisError, match="there are no trials"):
        stored_landscapes(store, ["asked", "free/sgd"])
    with pytest.raises(UnknownStudyError, match="has no optimizer 'lion'"):
        stored_landscapes(store, ["asked/lion"])
