"""Surrogates of scattered trials whose landscape is known: ridge, best place, what is not known, what is refused."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest

from analysis.errors import AnalysisError
from analysis.figures import landscape_figure
from analysis.observations import Observations
from analysis.separability import judge
from analysis.separability_figures import separability_figure
from analysis.surrogate import fit_surrogate, surrogate_landscape, without_seed_effects
from search_spaces import Axis, SearchSpace

SPACE = SearchSpace([Axis("alpha", low=1e-5, high=1e5), Axis("eps", low=1e-5, high=1e5)])


def observations(slope: float, count: int = 150, narrow: float = 5.0, seed: int = 0) -> Observations:
    """The best alpha follows eps^slope, least at eps = 1; eps within 10^±narrow."""
    rng = np.random.default_rng(seed)
    alpha, eps = rng.uniform(-5, 5, count), rng.uniform(-narrow, narrow, count)
    error = (
        0.02 + 0.9 * np.tanh(0.15 * (alpha - slope * eps) ** 2 + 0.02 * eps**2) + rng.normal(0, 0.01, count)
    )
    frame = pd.DataFrame({"seed": 0, "alpha": 10**alpha, "eps": 10**eps, "error": error})
    return Observations.of_trials(frame, SPACE, "error")


@pytest.mark.parametrize(("slope", "verdict"), [(0.0, "decoupled"), (0.5, "coupled"), (-0.7, "coupled")])
def test_the_interval_holds_the_slope(slope: float, verdict: str) -> None:
    (found,) = judge("adam", surrogate_landscape(observations(slope)))
    assert found.verdict == verdict
    (regime,) = found.ridge.regimes
    assert regime.slope.low <= slope <= regime.slope.high
    assert regime.slope.high - regime.slope.low < 0.15
    assert found.best is not None
    for place in found.best:
        assert place.low <= 1 <= place.high
    assert found.sentence.endswith("; by a surrogate of 150 scattered trials")
    assert (found.to_json()["trials"], found.seeds_to_decide, found.advice) == (150, None, None)
    coupled = slope != 0
    assert (found.interaction.estimate > 0.2) == coupled


@pytest.mark.slow
def test_two_regimes_are_told_apart() -> None:
    held = 0
    for seed in range(5):
        rng = np.random.default_rng(seed)
        alpha, eps = rng.uniform(-5, 5, (2, 200))
        error = (
            0.02
            + 0.9 * np.tanh(0.15 * (alpha + 2 - np.maximum(eps + 1.5, 0)) ** 2)
            + rng.normal(0, 0.01, 200)
        )
        trials = Observations(SPACE, 10 ** np.column_stack([alpha, eps]), np.zeros(200, int), error, "error")
        (found,) = judge("adam", surrogate_landscape(trials))
        assert found.ridge.kinds[0] != "coupled"
        assert found.ridge.kinds[1] == "coupled"
        assert found.ridge.transition is not None
        held += found.ridge.transition.low <= 10**-1.5 <= found.ridge.transition.high
        for regime, true in zip(found.ridge.regimes, (0.0, 1.0), strict=True):
            held += regime.slope.low <= true <= regime.slope.high
    assert held >= 13


def test_trials_on_a_part_of_an_axis_do_not_tell_of_the_rest() -> None:
    """Level where there are trials: elsewhere it need not be."""
    (found,) = judge("adam", surrogate_landscape(observations(0.0, narrow=1.0)))
    (regime,) = found.ridge.regimes
    assert 0.1 <= regime.start < 0.2
    assert 5 < regime.end <= 10


def test_noise_alone_is_undecided() -> None:
    rng = np.random.default_rng(1)
    noise = Observations(
        SPACE, 10 ** rng.uniform(-5, 5, (150, 2)), np.zeros(150, int), rng.random(150), "error"
    )
    (found,) = judge("adam", surrogate_landscape(noise))
    assert found.verdict == "undecided"
    assert "where the best alpha lies is known at" in found.sentence


def test_what_is_far_from_all_trials_is_not_known_and_hatched() -> None:
    panel = surrogate_landscape(observations(0.5, narrow=1.5))
    assert 10**-1.5 <= panel["eps"].min() < panel["eps"].max() <= 10**1.5
    figure = landscape_figure({"adam": panel})
    (axes, _) = figure.axes
    (points, *_) = axes.lines
    assert len(points.get_xdata()) == 150
    assert axes.get_xlim() == axes.get_ylim() == (1e-5, 1e5)
    assert "too uncertain" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert any("150 scattered trials" in text.get_text() for text in axes.texts)
    figure = separability_figure(judge("adam", panel))
    assert figure.axes[0].get_title() == "landscape and ridge"


def test_of_three_axes_the_others_are_held_at_their_best() -> None:
    rng = np.random.default_rng(0)
    decades = rng.uniform(-2, 2, (200, 3))
    error = (decades[:, 0] - decades[:, 1]) ** 2 + (decades[:, 2] - 1) ** 2 + 0.2 * decades[:, 1] ** 2
    space = SearchSpace(Axis(name, low=0.01, high=100) for name in "abc")
    surrogate = fit_surrogate(Observations(space, 10**decades, np.zeros(200, int), error, "error"))
    mean, draws = surrogate.slice("a", "b")
    assert mean.dims == draws.dims == ("seed", "a", "b")
    assert 3 < float(mean["c"]) < 30
    verdicts = judge("adam", mean)
    assert [(found.axes, found.verdict) for found in verdicts][:2] == [
        (("a", "b"), "coupled"),
        (("a", "c"), "decoupled"),
    ]


def refined(common: float, own: float, seeds: int = 3) -> Observations:
    """A coarse grid and a finer one around its best cells, each cell with all seeds; alpha* = eps^0.5."""
    rng = np.random.default_rng(5)
    coarse, fine = np.linspace(-4.8, 4.8, 7), np.linspace(-2.4, 2.3, 9)
    cells = np.array([*itertools.product(coarse, coarse), *itertools.product(fine, fine)])
    error = 0.1 + 0.8 * np.tanh(0.15 * (cells[:, 0] - 0.5 * cells[:, 1]) ** 2)
    values = error[:, None] + rng.normal(0, common, seeds) + rng.normal(0, own, (len(cells), seeds))
    return Observations(
        SPACE,
        10 ** np.repeat(cells, seeds, axis=0),
        np.tile(np.arange(seeds), len(cells)),
        values.ravel(),
        "error",
    )


@pytest.mark.parametrize("common", [0.0, 0.03])
def test_seeds_of_a_cell_are_replicates_and_what_they_share_is_no_noise(common: float) -> None:
    seen = refined(common, own=0.01)
    surrogate = fit_surrogate(seen)
    assert surrogate.noise == pytest.approx(0.01, rel=0.15)
    (found,) = judge("adam", surrogate.slice("alpha", "eps")[0])
    (regime,) = found.ridge.regimes
    assert regime.slope.low <= 0.5 <= regime.slope.high
    assert regime.slope.high - regime.slope.low < 0.03
    assert found.sentence.endswith("; by a surrogate of 390 scattered trials")
    left = without_seed_effects(seen)
    by_seed = [left[seen.seeds == seed].mean() for seed in range(3)]
    assert np.ptp(by_seed) < 0.004


def test_seeds_that_share_no_points_are_left_alone() -> None:
    seen = observations(0.5)
    apart = dataclasses.replace(seen, seeds=np.arange(len(seen)))
    for each in (seen, apart):
        np.testing.assert_array_equal(without_seed_effects(each), seen.values)


def test_what_is_refused() -> None:
    with pytest.raises(AnalysisError, match="10 scattered trials of s/adam: a surrogate needs 20"):
        surrogate_landscape(observations(0.5, 10), "s/adam")
    one = Observations(SearchSpace(SPACE.axes[:1]), np.ones((30, 1)), np.zeros(30, int), np.ones(30), "error")
    with pytest.raises(AnalysisError, match="have one axis"):
        fit_surrogate(one)
