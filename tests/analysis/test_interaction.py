import math

import known_landscapes as known
import numpy as np
import pytest
import xarray as xr
from SALib.analyze import sobol as salib
from SALib.sample import sobol as sample

from analysis.interaction import interaction_share, sobol_indices

SEPARABLE = {
    "valley": known.valley(0.0, 0.3, 0.01),
    "quadratic": known.separable_quadratic(),
    "rastrigin": known.rastrigin(),
    "half diverged": known.mostly_diverged(0.0),
}
COUPLED = {
    "slope 0.25": known.valley(0.25, 0.3, 0.01),
    "slope -1": known.valley(-1.0, 0.3, 0.01),
    "rosenbrock": known.rosenbrock(),
    "two regimes": known.two_regimes(-1.5),
}


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.05])
def test_separable_landscapes_have_little_interaction_and_coupled_ones_much(noise: float) -> None:
    for name, surface in SEPARABLE.items():
        assert interaction_share(known.landscape(surface, noise)).estimate < 0.06, name
    for name, surface in COUPLED.items():
        assert interaction_share(known.landscape(surface, noise)).estimate > 0.2, name


def test_monotone_rescaling_changes_nothing() -> None:
    """As long as the same cells are in the better half of the range."""
    for surface in (COUPLED["slope 0.25"], COUPLED["rosenbrock"], SEPARABLE["valley"]):
        plain = known.landscape(surface, 0.02, seeds=1)
        middle = (plain.min() + plain.max()) / 2
        for rescale in (np.square, np.sqrt, np.exp):
            bent = rescale(plain) / rescale(middle) * middle
            low = bent.min()
            # straight above the middle, and below stretched so that the best value stays where it is
            squeezed = middle - (middle - bent) * (middle - plain.min()) / (middle - low)
            rescaled = xr.where(plain < middle, squeezed, plain).transpose(*plain.dims)
            assert interaction_share(rescaled).estimate == pytest.approx(interaction_share(plain).estimate)


def test_saturated_cells_and_the_order_of_the_axes_change_nothing() -> None:
    landscape = known.landscape(known.valley(0.25, 0.3, 0.01), 0.02).clip(0, 0.9)
    row = (landscape.isel(alpha=slice(0, 4)) * 0 + 0.9).assign_coords(alpha=[1e6, 1e7, 1e8, 1e9])
    more = xr.concat([landscape, row], "alpha")
    expected = interaction_share(landscape)
    for other in (more, landscape.transpose("seed", "eps", "alpha")):
        found = interaction_share(other)
        assert (found.estimate, found.low, found.high) == pytest.approx(
            (expected.estimate, expected.low, expected.high)
        )


@pytest.mark.parametrize("noise", known.NOISE)
@pytest.mark.parametrize(("seeds", "simulations"), [(3, 150), pytest.param(10, 60, marks=pytest.mark.slow)])
def test_intervals_hold_the_truth_without_noise(noise: float, seeds: int, simulations: int) -> None:
    surface = COUPLED["slope 0.25"]
    exact = known.landscape(surface)
    truth = [interaction_share(exact).estimate, sobol_indices(exact)["alpha", "eps"].estimate]
    held = np.zeros(2)
    for simulation in range(simulations):
        made = known.landscape(surface, noise, seeds, simulation)
        found = interaction_share(made), sobol_indices(made)["alpha", "eps"]
        held += [one.low <= true <= one.high for one, true in zip(found, truth, strict=True)]
    assert (held >= 0.86 * simulations).all()


def test_pure_noise_and_too_few_cells_have_no_share() -> None:
    nothing = 0
    for simulation in range(40):
        made = known.landscape(known.flat(), 0.05, rng=simulation)
        nothing += math.isnan(interaction_share(made).estimate)
        nothing += math.isnan(sobol_indices(made)["alpha", "eps"].estimate)
    assert nothing >= 74
    assert math.isnan(interaction_share(known.landscape(known.flat())).estimate)
    narrow = np.where(known.ALPHA == known.EPS, 0.1, 0.9)  # one good cell a row: any additive model fits
    assert math.isnan(interaction_share(known.landscape(narrow)).estimate)


def test_one_seed_has_no_interval() -> None:
    found = interaction_share(known.landscape(COUPLED["slope -1"], 0.01, 1))
    assert found.estimate > 0.2
    assert math.isnan(found.low)


def test_sobol_indices_are_salibs() -> None:
    """On a function of three axes, constant on each cell of the grid."""
    rng = np.random.default_rng(0)
    table = rng.random((4, 5, 6)) + np.arange(4)[:, None, None] * np.arange(6)
    axes = {
        name: (name, np.arange(size), {"scale": "linear"})
        for name, size in zip("abc", (4, 5, 6), strict=True)
    }
    found = sobol_indices(xr.DataArray(table[None], {"seed": [0], **axes}, ("seed", *"abc")))
    problem = {"num_vars": 3, "names": list("abc"), "bounds": [[0, 4], [0, 5], [0, 6]]}
    points = sample.sample(problem, 2**14, calc_second_order=True, seed=0)
    values = table[tuple(np.minimum(points.astype(int), np.array(table.shape) - 1).T)]
    expected = salib.analyze(problem, values, calc_second_order=True, seed=0)
    for i, one in enumerate("abc"):
        assert found[(one,)].estimate == pytest.approx(expected["S1"][i], abs=0.01)
        for j, other in list(enumerate("abc"))[i + 1 :]:
            assert found[one, other].estimate == pytest.approx(expected["S2"][i, j], abs=0.01)
    assert sum(each.estimate for each in found.values()) < 1  # the rest is of third order


def test_a_missing_cell_leaves_sobol_indices_undefined() -> None:
    landscape = known.landscape(COUPLED["slope -1"], 0.01)
    landscape[2, 5, 7] = np.nan
    assert math.isnan(sobol_indices(landscape)["alpha", "eps"].estimate)
    assert interaction_share(landscape).estimate > 0.2
