"""Foreign trials on their way into the store: grid or scattered, seeds, what is refused."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

import storage.insert
from search_spaces import Axis, SearchSpace
from storage.errors import StoreError
from storage.foreign import ForeignFailure, ForeignTrials, import_trials, seeds_of, space_of
from storage.store import Store, open_store

RNG = np.random.default_rng(0)
SCATTERED = ForeignTrials(
    "theirs.csv", ("lr", "wd"), 10 ** RNG.uniform(-4, 0, (50, 2)), RNG.random(50), "error"
)
GRID = replace(
    SCATTERED,
    points=np.array([[lr, wd] for lr in (0.1, 0.01) for wd in (0.0, 1e-4) for _ in range(2)]),
    values=np.arange(8.0),
)


@pytest.fixture
def empty(prepared: Callable[[str], str]) -> Store:
    return open_store(prepared("sqlite"), create=True)


def test_a_grid_is_told_from_scattered_points() -> None:
    assert space_of(GRID) == SearchSpace.from_table({"lr": [0.01, 0.1], "wd": [0, 1e-4]})
    lr, wd = SCATTERED.points.T
    assert space_of(SCATTERED) == SearchSpace(
        [Axis("lr", low=lr.min(), high=lr.max()), Axis("wd", low=wd.min(), high=wd.max())]
    )
    known = replace(SCATTERED, ranges={"lr": Axis("lr", low=1e-5, high=10, scale="linear")})
    assert space_of(known).axes[0] == Axis("lr", low=1e-5, high=10, scale="linear")
    # two of four combinations are no grid, three are
    corner = replace(GRID, points=GRID.points[[0, 6]], values=GRID.values[:2])
    assert not space_of(corner).is_grid
    assert space_of(replace(GRID, points=GRID.points[[0, 2, 4]], values=GRID.values[:3])).is_grid


def test_a_coarse_and_a_finer_grid_together_are_scattered() -> None:
    def of(*grids: tuple[range, ...]) -> ForeignTrials:
        points = np.array([point for grid in grids for point in itertools.product(*grid)], dtype=float)
        axes = ("lr", "wd", "eps")[: points.shape[1]]
        return replace(SCATTERED, axes=axes, points=points, values=np.zeros(len(points)))

    coarse, fine = (range(0, 28, 4),) * 2, (range(8, 16),) * 2
    both = of(coarse, fine)
    cells = np.unique(both.points, axis=0)
    assert len(cells) > 0.5 * 13**2  # it might be a grid with holes
    assert not space_of(both).is_grid
    assert not space_of(of((*coarse, range(2)), (*fine, range(2)))).is_grid
    whole = of((range(7), range(9)))
    for left in (
        whole.points[:40],  # it ends in the middle of a row
        whole.points[RNG.permutation(63)[:50]],  # some are missing here and there
        whole.points[(whole.points[:, 0] < 4) | (whole.points[:, 1] > 2)],  # a corner is missing
    ):
        assert space_of(replace(whole, points=left, values=np.zeros(len(left)))).is_grid


def test_repeated_cells_of_a_grid_are_seeds() -> None:
    assert seeds_of(GRID, space_of(GRID)).tolist() == [0, 1] * 4
    mixed = replace(GRID, points=GRID.points[[0, 2, 1, 4, 6, 3, 0, 2]])
    assert seeds_of(mixed, space_of(mixed)).tolist() == [0, 0, 1, 0, 0, 1, 2, 2]


def test_scattered_trials_are_stored_with_their_curves(empty: Store) -> None:
    curves = [(np.arange(1, 3 + row % 2), RNG.random(2 + row % 2)) for row in range(50)]
    trials = replace(SCATTERED, curves=curves, seconds=np.full(50, 2.0), left_out={"pruned": 3, "failed": 0})
    assert trials.in_words() == "50 trials (3 pruned: left out)"
    pruned = np.where(np.arange(50) < 2, 1.0, np.nan)
    failed = [ForeignFailure((1.0, 1.0), "nan"), ForeignFailure((2.0, 1.0), "nan")]
    some = replace(trials, stopped_at=pruned, failed=failed)
    assert some.in_words() == "50 trials (2 pruned) and 2 failed ones (3 pruned: left out)"
    assert import_trials(empty, trials, "theirs", "lion") == 50
    assert import_trials(empty, trials, "theirs", "lion") == 0
    stored = empty.trials("theirs", "lion").sort_values("lr", ignore_index=True)
    order = trials.points[:, 0].argsort()
    np.testing.assert_array_equal(stored[["lr", "wd"]], trials.points[order])
    np.testing.assert_array_equal(stored["error"], trials.values[order])
    assert set(stored["seconds"]) == {2.0}
    _, curve = empty.trial("theirs", "lion", int(stored["number"][0]))
    assert curve == list(zip(*(each.tolist() for each in curves[order[0]]), strict=True))
    assert empty.provenance("theirs", "lion")["left_out"] == {"pruned": 3, "failed": 0}
    again = replace(SCATTERED, values=-SCATTERED.values, maximize=True)
    with pytest.raises(StoreError, match="another recipe"):
        import_trials(empty, again, "theirs", "tiger")


def test_what_is_not_finite_is_the_worst_and_diverged_and_maximising_negates(empty: Store) -> None:
    values = np.array([0.1, np.nan, 0.3, 0.4, 0.5, 0.6, -np.inf, 0.8])
    import_trials(empty, replace(GRID, values=values, maximize=True), "theirs", "lion")
    assert empty.metric("theirs") == "negated_error"
    assert empty.trials("theirs", where="diverged_at = 0")["negated_error"].tolist() == [-0.1, -0.1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": GRID.points * [1, 0]}, "wd is 0 in every trial: leave it out of the axes"),
        ({"points": GRID.points * [1, np.nan]}, "wd is nan in trial 1"),
        ({"points": np.where(np.eye(8, 2, dtype=bool), np.inf, GRID.points)}, "lr is inf in trial 1"),
        ({"points": np.empty((0, 2)), "values": np.empty(0), "left_out": {"pruned": 2}}, "no finished .*: 2 pruned"),
        ({"seeds": np.zeros(8, int)}, "lr = 0.1, wd = 0 has the seed 0 twice"),
        ({"values": np.full(8, np.nan)}, "no value of 'error' is a finite number"),
        ({"points": 10 ** np.repeat(np.arange(8.0).reshape(4, 2), 2, axis=0)}, "lr = 1, wd = 10 occurs more than once"),
    ],
)  # fmt: skip
def test_what_is_refused_leaves_nothing(empty: Store, changes: dict[str, object], message: str) -> None:
    with pytest.raises(StoreError, match=message):
        import_trials(empty, replace(GRID, **changes), "theirs", "lion")
    assert empty.studies().empty


def test_trials_keep_their_times_and_their_order(empty: Store) -> None:
    noon = datetime(2026, 1, 2, 12, tzinfo=timezone(timedelta(hours=2)))
    started = [None if row in (1, 2) else noon + timedelta(hours=row) for row in range(50)]
    finished = [None if row in (2, 3) else noon + timedelta(hours=row, minutes=9) for row in range(50)]
    seeds = RNG.permutation(np.arange(50) % 3)
    curves = [(np.arange(1, 2 + row % 3), RNG.random(1 + row % 3)) for row in range(50)]
    trials = replace(SCATTERED, seeds=seeds, curves=curves, started=started, finished=finished)
    before = datetime.now(UTC)
    import_trials(empty, trials, "theirs", "lion")
    frame = empty.trials("theirs", "lion")
    assert frame["number"].tolist() == list(range(50))
    np.testing.assert_array_equal(frame[["lr", "wd"]], trials.points)
    stored = [batch for batch in empty.read("theirs") for _ in range(len(batch))]
    for row in (0, *range(4, 50)):
        assert (stored[row].started, stored[row].finished) == (started[row], finished[row])
    assert stored[1].started == stored[1].finished == finished[1]
    assert before <= stored[2].started == stored[2].finished <= datetime.now(UTC)
    assert stored[3].started == stored[3].finished == started[3]
    assert empty.studies()["last_finished"].tolist() == [stored[2].finished]


@pytest.mark.parametrize("there", [False, True])
def test_an_import_that_breaks_off_leaves_no_trial(
    empty: Store, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    insert, calls = storage.insert.insert_rows, []

    def broken(*given: Any) -> None:
        calls.append(given)
        if len(calls) == 3:
            raise StoreError("the disk is full")
        insert(*given)

    if there:
        import_trials(empty, GRID, "theirs", "adam")
    before = empty.studies()
    monkeypatch.setattr("storage.insert.insert_rows", broken)
    with pytest.raises(StoreError, match="full"):
        import_trials(empty, GRID, "theirs", "lion")
    assert len(calls) == 3  # two tables had been written
    after = empty.studies()
    assert after[after["trials"] > 0].equals(before)
    assert set(after["optimizer"]) == ({"adam", "lion"} if there else set())
