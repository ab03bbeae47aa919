"""Ridge slopes and transitions on landscapes whose truth is known."""

import math

import known_landscapes as known
import numpy as np
import pytest
import xarray as xr

from analysis.bands import near_optimal
from analysis.ridge import ridge, ridge_of_draws

MOSTLY_SLOW = [known.NOISE[1], *(pytest.param(each, marks=pytest.mark.slow) for each in known.NOISE[::2])]
SLOPES = (0.0, 0.25, 0.5, 1.0, -1.0)


@pytest.mark.parametrize("noise", MOSTLY_SLOW)
def test_slope_intervals_hold_the_truth_in_three_hundred_simulations(noise: float) -> None:
    rng = np.random.default_rng(3)
    held, widths, smallest = 0, [], []
    for simulation in range(300):
        slope, offset, seeds = rng.choice(SLOPES), rng.uniform(-1, 1), (3, 5)[simulation % 2]
        found = ridge(known.landscape(known.valley(slope, offset), noise, seeds, rng)).slope
        held += found.low <= slope <= found.high
        widths.append(found.high - found.low)
        if simulation < 50:
            smallest.append(known.smallest_width(slope, offset, noise, seeds))
    assert held >= 279
    print(f"median width {np.median(widths):.4f}, smallest {np.median(smallest):.4f}")
    # where there is hardly any noise the valley's shape is most of the interval
    assert np.median(widths) < (2 if noise > min(known.NOISE) else 2.5) * np.median(smallest)


@pytest.mark.parametrize("noise", known.NOISE)
@pytest.mark.parametrize("bend", [-1.5, 0.2])
def test_two_regimes_and_where_they_meet(bend: float, noise: float) -> None:
    held, near = np.zeros(3), 0
    for simulation in range(100):
        found = ridge(known.landscape(known.two_regimes(bend), noise, rng=simulation))
        assert found.transition is not None
        near += abs(math.log10(found.transition.estimate) - bend) <= 0.5  # a grid step
        before, after = found.regimes
        held += [
            found.transition.low <= 10**bend <= found.transition.high,
            before.slope.low <= 0 <= before.slope.high,
            after.slope.low <= 1 <= after.slope.high,
        ]
        assert before.end == after.start == found.transition.estimate
        assert after.slope.low > before.slope.high
    assert near == 100
    assert (held >= 89).all()  # a fair 95% interval gives fewer than 89 in one run of 200


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0])
def test_a_straight_ridge_seldom_bends(slope: float) -> None:
    bends = 0
    for simulation in range(100):
        found = ridge(known.landscape(known.valley(slope), 0.02, rng=simulation))
        bends += found.transition is not None
        assert len(found.regimes) == 1 + (found.transition is not None)
    assert bends <= 3


def test_noise_that_is_alike_in_neighbouring_cells_seldom_looks_like_a_bend() -> None:
    """Seeds differ smoothly over the landscape; the rows' scatter alone would call that a bend."""
    rng, bends, held = np.random.default_rng(0), 0, 0
    smooth = np.exp(-0.5 * (np.subtract.outer(known.DECADES, known.DECADES) / 0.75) ** 2)
    smooth /= np.sqrt((smooth**2).sum(axis=1, keepdims=True))
    for _ in range(100):
        shocks = smooth @ rng.normal(0, 0.05, (5, 21, 21)) @ smooth.T
        found = ridge((known.landscape(known.valley(0.5)) + shocks).clip(0, 1))
        bends += found.transition is not None
        held += found.slope.low <= 0.5 <= found.slope.high
    assert bends <= 10
    assert held >= 90


@pytest.mark.parametrize("noise", known.NOISE)
def test_valleys_that_are_not_symmetric_are_not_taken_for_slopes(noise: float) -> None:
    """Where they widen tenfold along the ridge too, the intervals may miss the truth, but by nothing that matters."""
    held = narrow = coupled = 0
    for simulation in range(60):
        found = ridge(known.landscape(known.cliff(), noise, rng=simulation)).slope
        held += found.low <= 0 <= found.high
        widening = ridge(known.landscape(known.cliff(widening=0.1), noise, rng=simulation))
        coupled += widening.verdict == "coupled"
        narrow += widening.slope.low <= 0 <= widening.slope.high
        assert abs(widening.slope.estimate) < 0.1
    assert held >= 54
    assert coupled <= 3
    if noise < max(known.NOISE):  # where the bottom of the valley can be seen
        assert narrow >= 40
    steep = [
        ridge(known.landscape(known.cliff(1.0), noise, rng=simulation)).slope for simulation in range(20)
    ]
    assert sum(each.low <= 1 <= each.high for each in steep) >= 16


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_ridge_is_where_the_best_cells_are(noise: float) -> None:
    """The same cell is best in all rows, next to a cliff: the ridge may not wander off into the gentle side."""
    distance = known.ALPHA - 0.1
    made = known.landscape(0.02 + 0.9 * np.tanh(np.where(distance < 0, 0.03, 3.0) * distance**2), noise)
    best = known.DECADES[made.mean("seed").argmin("alpha").values]
    found = ridge(made)
    np.testing.assert_allclose(found.optima, best, atol=0.5)  # a grid step
    assert found.verdict == "decoupled"


def test_a_seed_that_is_half_there_does_not_bend_the_ridge() -> None:
    """As a killed study leaves it: the last seed's trials end in the middle of the grid."""
    for slope in (0.5, 1.0):
        bends, found = 0, []
        for simulation in range(40):
            landscape = known.landscape(known.valley(slope, 0.2), 0.01, 3, simulation)
            landscape[2, 12:] = np.nan
            each = ridge(landscape)
            bends += each.transition is not None
            found.append(each.slope.estimate)
        assert bends <= 2
        assert np.median(found) == pytest.approx(slope, abs=0.01)


def test_the_fitted_line_is_the_ridge() -> None:
    places = np.array([-2.0, 0.0, 1.0])
    straight = ridge(known.landscape(known.valley(0.5, 0.3), 0.002))
    np.testing.assert_allclose(straight.at(places), 0.3 + 0.5 * places, atol=0.02)
    bent = ridge(known.landscape(known.two_regimes(-1.5), 0.002))
    np.testing.assert_allclose(bent.at(places), [-2, -0.5, 0.5], atol=0.05)
    np.testing.assert_allclose(bent.optima[10], -0.5, atol=0.05)


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_the_middle_of_tied_cells_is_the_best(noise: float) -> None:
    """Errors in steps of a twentieth, as a small validation set gives them, have flat valleys."""
    exact = known.landscape(known.valley(0.5, 0.3), noise)
    found = ridge((exact * 20).round() / 20).slope
    assert found.low <= 0.5 <= found.high
    assert found.high - found.low < 0.2
    plateau = known.landscape(np.where(np.abs(known.ALPHA - known.EPS) < 1.2, 0.1, 0.9))
    # which of exactly equal windows is taken hangs on rounding: one processor gives 1.000, another 0.966 [0.838, 1.093]
    assert ridge(plateau).slope.estimate == pytest.approx(1, abs=0.05)
    assert ridge(plateau).slope.low <= 1 <= ridge(plateau).slope.high


def test_cells_that_are_missing_away_from_the_ridge_do_not_matter() -> None:
    whole = known.landscape(known.valley(1.0), 0.01)
    holes = whole.where(np.abs(known.ALPHA - known.EPS) < 3)
    np.testing.assert_allclose(ridge(holes).slope.estimate, ridge(whole).slope.estimate, atol=0.01)
    on_ridge = whole.copy()
    on_ridge[0, 10, 10] = np.nan  # the row has the other seeds
    assert ridge(on_ridge).optima[10] == pytest.approx(0, abs=0.05)
    on_ridge[:, 10, 10] = np.nan  # one row less
    found = ridge(on_ridge)
    assert np.isnan(found.optima[10])
    assert found.slope.low < 1 < found.slope.high
    for row in range(21):
        holes[:, row, row] = np.nan
    assert math.isnan(ridge(holes).slope.estimate)


@pytest.mark.parametrize("slope", [0.0, 1.0])
def test_diverged_cells_do_not_hide_the_ridge(slope: float) -> None:
    surface = known.mostly_diverged(slope)
    assert (surface == 0.92).mean() > 0.7
    found = ridge(known.landscape(surface, 0.01)).slope
    assert found.low <= slope <= found.high
    assert found.high - found.low < 0.05


def test_saturated_cells_change_nothing() -> None:
    landscape = known.landscape(known.valley(0.0, 0.3, 0.01), 0.01)
    more = xr.concat(
        [landscape, (landscape * 0 + 0.95).assign_coords(alpha=landscape["alpha"] * 1e11)], "alpha"
    )
    more["alpha"].attrs = landscape["alpha"].attrs
    with_them, without = (ridge(each.clip(0, 0.95)) for each in (more, landscape))
    # but for draws of the noise, by which a window is chosen
    np.testing.assert_allclose(with_them.optima, without.optima, atol=0.002)
    assert with_them.slope.estimate == pytest.approx(without.slope.estimate, abs=0.001)


def test_a_flat_landscape_has_no_ridge() -> None:
    found = ridge(known.landscape(known.flat()))
    assert found.problem == "all cells are alike"
    assert math.isnan(found.slope.estimate)
    assert found.regimes == ()
    assert np.isnan(found.optima).all()
    whole = known.landscape(known.valley(1.0))
    for few, problem in {
        "alpha": "alpha has 3 values, and a ridge needs 5",
        "eps": "eps has 3 values, and a ridge needs 4",
    }.items():
        found = ridge(whole.isel({few: slice(9, 12)}))
        assert math.isnan(found.slope.estimate)
        assert found.problem == problem
    edge = ridge(known.landscape(known.valley(0.0, 5.0)))
    assert edge.problem == "only 0 of 21 values of eps have their best alpha well inside the grid"


def test_one_seed_has_an_interval_from_the_scatter_of_its_rows() -> None:
    found = ridge(known.landscape(known.valley(0.5), 0.01, seeds=1)).slope
    assert found.low < 0.5 < found.high


@pytest.mark.parametrize(("slope", "kind"), [(0.0, "decoupled"), (1.0, "coupled")])
def test_the_unit_of_a_linear_axis_does_not_matter(slope: float, kind: str) -> None:
    plain = known.landscape(known.valley(slope, 0.3), 0.002)
    for first, second in ((1.0, 1.0), (1e-3, 1.0), (1e6, 1e-4), (1.0, 1e5)):
        landscape = plain.assign_coords(
            alpha=("alpha", 1e7 + first * known.DECADES, {"scale": "linear"}),
            eps=("eps", 3 + second * known.DECADES, {"scale": "linear"}),
        )
        found = ridge(landscape)
        assert found.verdict == kind
        assert found.slope.low <= slope * first / second <= found.slope.high


def test_linear_axes_count_as_they_are() -> None:
    landscape = known.landscape(known.valley(0.5, 0.3), 0.002)
    for axis in ("alpha", "eps"):
        landscape = landscape.assign_coords({axis: (axis, known.DECADES, {"scale": "linear"})})
    found = ridge(landscape).slope
    assert found.low <= 0.5 <= found.high


def test_extra_seeds_of_the_band_narrow_the_interval() -> None:
    """Trained only near the ridge, they count there; elsewhere nothing is known of them."""
    narrower, held = 0, 0
    for simulation in range(100):
        many = known.landscape(known.valley(0.5), 0.2, seeds=12, rng=simulation, asked=3)
        few = many.isel(seed=slice(0, 3))
        wanted = near_optimal(few).cells(21, wider=1)
        extra = many.where((many["seed"] < 3) | xr.DataArray(wanted, dims=("alpha", "eps")))
        assert extra.notnull().sum() < 0.8 * many.size
        one, other = ridge(few).slope, ridge(extra).slope
        narrower += other.high - other.low < one.high - one.low
        held += other.low <= 0.5 <= other.high
    assert narrower >= 90
    assert held >= 89


@pytest.mark.parametrize(("bend", "slopes"), [(-1.5, (0.0, 1.0)), (-4.1, (1.0,)), (4.1, (0.0,))])
def test_rows_beyond_a_bend_that_are_too_few_for_a_slope_tell_none(
    bend: float, slopes: tuple[float, ...]
) -> None:
    """Draws of a landscape that bends near the end of what is known: the other side's slope is told alone."""
    decades = np.linspace(-5, 5, 21)
    rng = np.random.default_rng(0)
    offsets = rng.normal(0, 0.02, (100, 1, 1)) + rng.normal(0, 0.02, (100, 1, 21))
    valley = np.maximum(decades - bend, 0) - (2 if bend < 0 else 0) + offsets
    values = 0.02 + 0.9 * np.tanh(0.15 * (decades[:, None] - valley) ** 2)
    axes = {name: (name, 10**decades, {"scale": "log"}) for name in ("alpha", "eps")}
    found = ridge_of_draws(
        xr.DataArray(
            values, {"seed": range(100), **axes}, ("seed", "alpha", "eps"), attrs={"metric": "error"}
        )
    )
    assert len(found.regimes) == len(slopes)
    for regime, slope in zip(found.regimes, slopes, strict=True):
        assert regime.slope.low <= slope <= regime.slope.high
        assert regime.slope.high - regime.slope.low < 0.1
    ends = (found.regimes[0].start, found.regimes[-1].end)
    if bend < -4:
        assert ends[0] > 10**bend
    if bend > 4:
        assert ends[1] < 10**bend


@pytest.mark.parametrize("beyond", [1, 2, 3, 5])
def test_a_few_rows_beyond_a_bend_do_not_spoil_the_slope_before_it(beyond: int) -> None:
    """A line through them too would have a slope that is nowhere the valley's: 0 before the bend and 1 after it."""
    held, bend = 0, known.DECADES[-1] - 0.5 * beyond + 0.2
    for simulation in range(20):
        found = ridge(known.landscape(known.two_regimes(bend), 0.01, seeds=3, rng=simulation))
        slopes = [regime.slope for regime in found.regimes]
        held += all(each.low <= true <= each.high for each, true in zip(slopes, (0, 1), strict=False))
        assert len(slopes) == (1 if beyond < 4 else 2)
        assert found.turning.sum() in ((beyond, beyond + 1) if beyond < 4 else (0,))
        assert not found.turning[: 20 - beyond].any()
    assert held >= 17
