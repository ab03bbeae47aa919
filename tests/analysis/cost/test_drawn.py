"""Costs of tuning on scattered trials of a landscape that is known, by draws of a surrogate."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from analysis.cost.costs import comparison_table, cost_table, curve_table
from analysis.cost.drawn import SurrogateDraws, draw_surrogate
from analysis.cost.replays import Asked, replay_draws, trials_to
from analysis.errors import AnalysisError
from analysis.observations import Observations
from analysis.stored_figures import FIGURES, FigureRequest
from analysis.surrogate import fit_surrogate
from analysis.tuning_runs import Choice, stored_curves
from search_spaces import Axis, SearchSpace
from storage.foreign import ForeignTrials, import_trials
from storage.store import Store, open_store

NOISE, TARGET = 0.02, 0.05


def levels(points: np.ndarray) -> np.ndarray:
    alpha, eps = np.log10(points).T
    return 0.1 + np.tanh(0.15 * (alpha - 0.5 * eps) ** 2 + 0.02 * eps**2)


def scattered(count: int = 150) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    points = 10 ** rng.uniform(-3, 3, (count, 2))
    return points, levels(points) + rng.normal(0, NOISE, count)


def observations() -> Observations:
    points, values = scattered()
    space = SearchSpace(Axis(name, low=1e-3, high=1e3) for name in ("alpha", "eps"))
    return Observations(space, points, np.zeros(len(values), dtype=np.int64), values, "error")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    points, values = scattered()
    with open_store(f"sqlite:///{tmp_path}/t.db", create=True) as store:
        for optimizer, worse in (("adam", 0.0), ("sgd", 0.1)):
            trials = ForeignTrials("here", ("alpha", "eps"), points, values + worse, "error")
            import_trials(store, trials, "s", optimizer)
        yield store


def test_draws_are_of_the_landscape_without_its_noise() -> None:
    drawn = draw_surrogate(fit_surrogate(observations()), 50)
    assert drawn.space.shape == (21, 21)
    assert drawn.levels.shape == (50, 441)
    assert all(1e-3 <= axis.low < axis.high <= 1e3 for axis in drawn.space.axes)
    assert drawn.noise == pytest.approx(NOISE, rel=0.3)
    true = levels(drawn.space.cells())
    near = true < 0.5
    assert np.abs(drawn.levels.mean(axis=0) - true)[near].max() < 0.06
    rng = np.random.default_rng(0)
    seen = drawn.seen(3, 400, "seed", rng) - drawn.levels[3]
    assert seen.std() == pytest.approx(drawn.noise, rel=0.01)


def test_the_interval_holds_the_cost_on_the_true_landscape(store: Store) -> None:
    notes: list[str] = []
    curves = stored_curves(store, "s", "adam", Choice(tuners=("random", "cgld")))
    assert dict(curves.sizes) == {"optimizer": 1, "tuner": 2, "replicate": 0, "trial": 100}
    rows = cost_table(store, curves, TARGET, notes.append)
    drawn = draw_surrogate(fit_surrogate(observations()), 2)
    truth = SurrogateDraws(drawn.space, np.tile(levels(drawn.space.cells()), (40, 1)), NOISE)
    for row in rows.itertuples():
        asked = Asked(drawn.space, row.tuner, 100, "seed", "free")
        true = np.median(trials_to(replay_draws(truth, asked), TARGET))
        assert row.low <= true <= row.high < 100
        assert (np.isnan(row.observed), row.replicates) == (True, 0)
    assert notes == [
        "note: adam: replayed on draws of a surrogate of 150 scattered trials; no runs are stored"
    ]


def test_pruned_trials_are_not_among_those_of_the_surrogate(store: Store) -> None:
    points, values = scattered()
    pruned = np.where(np.arange(len(values)) < 30, 1.0, np.nan)
    trials = ForeignTrials("here", ("alpha", "eps"), points, values, "error", stopped_at=pruned)
    import_trials(store, trials, "pruned", "adam")
    notes: list[str] = []
    curves = stored_curves(store, "pruned", choice=Choice(tuners=("random",), trials=5))
    cost_table(store, curves, TARGET, notes.append)
    assert notes[0].startswith("note: adam: replayed on draws of a surrogate of 120 scattered trials")


def test_tables_and_figures(store: Store) -> None:
    choice = Choice(tuners=("random", "grid"), trials=30)
    curves = stored_curves(store, "s", choice=choice)
    table = comparison_table(store, curves, TARGET)
    assert [(row.on, row.first, row.second) for row in table.itertuples()] == [
        ("adam", "random", "grid"), ("sgd", "random", "grid"), ("random", "adam", "sgd"), ("grid", "adam", "sgd"),
    ]  # fmt: skip
    assert set(curve_table(store, curves, TARGET)["trial"]) == set(range(1, 31))
    request = FigureRequest(("s",), tuners=("random",))
    for kind in ("suboptimality", "cost"):
        FIGURES[kind](store, request).draw_without_rendering()
    with pytest.raises(AnalysisError, match="s has scattered trials, without tuning runs"):
        FIGURES["profile"](store, request)


def test_without_names_the_slow_tuners_are_left_out(store: Store) -> None:
    told: list[str] = []
    curves = stored_curves(store, "s", tell=told.append)
    assert curves["tuner"].values.tolist() == ["random", "grid", "gld", "cgld", "line-search"]
    assert told == [
        "note: by random, grid, gld, cgld, line-search; other tuners take minutes each and have to be named"
    ]


def test_what_is_refused(store: Store) -> None:
    with pytest.raises(AnalysisError, match=r"'run': scattered trials have noise each of its own, 'seed'"):
        stored_curves(store, "s", choice=Choice("run"))
    with pytest.raises(AnalysisError, match="there is no tuner 'cgdl'"):
        stored_curves(store, "s", choice=Choice(tuners=("cgdl",)))
    points = 10 ** np.random.default_rng(0).uniform(-1, 1, (60, 4))
    trials = ForeignTrials("here", tuple("abcd"), points, points.sum(axis=1), "error")
    import_trials(store, trials, "four", "adam")
    curves = stored_curves(store, "four", choice=Choice(tuners=("random",)))
    with pytest.raises(AnalysisError, match="surrogates of two or three axes, not of 4: import fewer"):
        cost_table(store, curves, TARGET)
