"""Verdicts on landscapes whose truth is known."""

import json

import known_landscapes as known
import numpy as np
import pytest
import xarray as xr

from analysis.errors import AnalysisError
from analysis.ridge import UNDECIDED, ridge
from analysis.separability import judge

SEPARABLE = {
    "quadratic": known.separable_quadratic(),
    "rastrigin": known.rastrigin(),
    "half diverged": known.mostly_diverged(0.0),
    "constant": known.flat(),
}
COUPLED = {
    "slope 0.25": known.valley(0.25, 0.3, 0.01),
    "slope 1": known.valley(1.0, 0.3, 0.01),
    "slope -1": known.valley(-1.0, 0.3, 0.01),
    "rosenbrock": known.rosenbrock(),
    "two regimes": known.two_regimes(-1.5),
    "mostly diverged": known.mostly_diverged(1.0),
}


@pytest.mark.parametrize("seeds", [3, pytest.param(5, marks=pytest.mark.slow)])
def test_separable_landscapes_are_called_coupled_in_at_most_one_of_twenty(seeds: int) -> None:
    """Five hundred simulations of each kind and noise together, pure noise among them."""
    rng = np.random.default_rng(0)
    wrong = 0
    for simulation in range(500):
        surface = [*SEPARABLE.values(), known.valley(0.0, rng.uniform(-1.5, 1.5), rng.uniform(0, 0.05))][
            simulation % 5
        ]
        wrong += ridge(known.landscape(surface, rng.choice(known.NOISE), seeds, rng)).verdict == "coupled"
    assert wrong <= 25


def test_pure_noise_is_seldom_called_anything() -> None:
    found = [ridge(known.landscape(known.flat(), 0.05, rng=source)).verdict for source in range(200)]
    assert found.count("coupled") <= 15
    assert found.count(UNDECIDED) >= 180


@pytest.mark.parametrize("noise", known.NOISE)
@pytest.mark.parametrize("name", COUPLED)
def test_coupled_landscapes_are_called_coupled(name: str, noise: float) -> None:
    found = [ridge(known.landscape(COUPLED[name], noise, rng=source)).verdict for source in range(20)]
    assert found.count("coupled") == 20


def test_verdicts_in_words() -> None:
    (bent,) = judge("adam", known.landscape(known.two_regimes(-1.5), 0.01))
    assert bent.verdict == "coupled"
    assert bent.axes == ("alpha", "eps")
    assert bent.sentence.startswith("adam: coupled above eps = 0.03")
    assert ", decoupled below (slope 0.0" in bent.sentence or ", decoupled below (slope -0.0" in bent.sentence
    assert "alpha/max(eps, 0.03" in bent.sentence
    assert "CGLD needs" in bent.sentence
    (straight,) = judge("avagrad", known.landscape(known.valley(0.0, 0.3, 0.01), 0.01))
    assert straight.sentence.startswith("avagrad: decoupled (slope ")
    assert straight.advice is None
    (single,) = judge("apollo", known.landscape(known.valley(1.0, 0.3), 0.005))
    assert (
        "alpha/eps decouples them, the one effective parameter, without clear gain: CGLD needs"
        in single.sentence
    )
    (tilted,) = judge("adam", known.landscape(known.valley(1.0, 0.3, 0.02), 0.005))
    assert "; tune alpha/eps instead: CGLD needs" in tilted.sentence
    (alone,) = judge("x", known.landscape(known.valley(0.1, 0.3), 0.3, seeds=1, rng=1))
    assert alone.sentence.endswith("; 3 seeds are needed to tell how many would decide it")
    (nothing,) = judge("x", known.landscape(known.flat()))
    assert nothing.sentence == "x: undecided: all cells are alike"
    with pytest.raises(AnalysisError, match="fewer than two axes with several values"):
        judge("x", known.landscape(known.valley(0.0)).isel(eps=[3]))
    with pytest.raises(AnalysisError, match="at least 0"):
        judge("x", known.landscape(known.valley(0.0)), target=-1)


def test_a_verdict_says_of_which_values_it_speaks() -> None:
    (whole,) = judge("adam", known.landscape(known.valley(0.0, 0.3, 0.01), 0.01))
    assert "nothing is said" not in whole.sentence
    (turns,) = judge("adam", known.landscape(known.two_regimes(4.2), 0.01))
    assert turns.sentence.startswith("adam: decoupled (slope ")
    assert turns.sentence.endswith(
        "; nothing is said of eps above 10000, where the best alpha turns off, at too few values to tell how"
    )
    (steep,) = judge("adam", known.landscape(known.valley(1.0, 0.0), 0.01))
    assert (
        "; nothing is said of eps below 0.0001 and above 10000, where no best alpha lies inside the grid"
        in steep.sentence
    )


def test_the_json_has_what_others_rely_on() -> None:
    (bent,) = judge("adam", known.landscape(known.two_regimes(-1.5), 0.01))
    found = json.loads(json.dumps(bent.to_json(), allow_nan=False))
    for key in ("slope", "transition", "penalty", "interaction"):
        assert found[key]["low"] <= found[key]["estimate"] <= found[key]["high"]
    assert found["axes"] == ["alpha", "eps"]
    assert [regime["verdict"] for regime in found["regimes"]] == ["decoupled", "coupled"]
    assert found["regimes"][0]["to"] == found["regimes"][1]["from"] == found["transition"]["estimate"]
    assert found["advice"]["used"] == [0, 1]
    nothing = judge("x", known.landscape(known.flat()))[0].to_json()
    json.dumps(nothing, allow_nan=False)
    assert nothing["transition"] is nothing["advice"] is nothing["slope"]["estimate"] is None
    assert nothing["regimes"] == []


def test_the_storage_order_of_the_axes_does_not_matter() -> None:
    landscape = known.landscape(known.valley(0.5, 0.3, 0.01), 0.02)
    (one,) = judge("x", landscape)
    (other,) = judge("x", landscape.transpose("alpha", "seed", "eps"))
    assert one.to_json() == other.to_json()
    (turned,) = judge("x", landscape.transpose("seed", "eps", "alpha"))
    assert turned.verdict == one.verdict
    assert turned.interaction.estimate == pytest.approx(one.interaction.estimate)
    assert turned.penalty.estimate == pytest.approx(one.penalty.estimate)


def test_monotone_rescaling_keeps_the_verdict() -> None:
    for surface in (known.valley(0.5, 0.3, 0.01), known.valley(0.0, 0.3, 0.01), known.two_regimes(-1.5)):
        plain = known.landscape(surface, 0.01)
        for rescaled in (np.sqrt(plain), plain**2, 5 + 3 * plain):
            rescaled["alpha"].attrs = rescaled["eps"].attrs = {"scale": "log"}
            one, other = ridge(plain), ridge(rescaled)
            assert one.kinds == other.kinds
            assert other.slope.estimate == pytest.approx(one.slope.estimate, abs=0.03)


def test_three_axes_have_three_verdicts() -> None:
    third = xr.DataArray([0.3, 0.0, 0.1], {"beta": ("beta", [0.1, 0.5, 0.9], {"scale": "linear"})}, ("beta",))
    found = judge("x", known.landscape(known.valley(1.0) * 0.5) + third)
    assert [verdict.axes for verdict in found] == [("alpha", "eps"), ("alpha", "beta"), ("eps", "beta")]
    assert found[0].verdict == "coupled"
    assert found[0].sobol.estimate > 0.5


def test_slopes_of_linear_axes_are_not_rounded_away() -> None:
    """A slope of 1 decade a decade is 1e-6 where the second axis counts in millionths."""
    values = known.landscape(known.valley(1.0, 0.3, 0.01), 0.01)
    linear = values.assign_coords(
        alpha=("alpha", 1e-6 * known.DECADES, {"scale": "linear"}),
        eps=("eps", known.DECADES, {"scale": "linear"}),
    )
    (found,) = judge("adam", linear)
    assert found.sentence.startswith(("adam: coupled (slope 1e-06 [", "adam: coupled (slope 9.9"))
