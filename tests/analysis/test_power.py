"""Seeds that would decide, and where they are needed, on landscapes whose truth is known."""

import known_landscapes as known
import numpy as np
import pytest
import xarray as xr

from analysis.power import further_trials, seeds_to_decide
from analysis.ridge import UNDECIDED, ridge

NOISE = 0.35


@pytest.mark.parametrize("slope", [0.05, 0.15])
def test_as_many_seeds_as_asked_for_decide_more_often_than_not(slope: float) -> None:
    surface, rng = known.valley(slope, 0.3, 0.02), np.random.default_rng(5)
    decided = []
    for _ in range(60):
        found = ridge(known.landscape(surface, NOISE, 3, rng))
        needed = seeds_to_decide(found)
        if found.verdict == UNDECIDED and needed is not None and needed <= 60:
            assert needed > 3
            decided.append(ridge(known.landscape(surface, NOISE, needed, rng)).verdict != UNDECIDED)
    assert len(decided) >= 20
    assert np.mean(decided) > 0.5


def test_no_number_of_seeds_decides_what_scatter_leaves_open() -> None:
    """Rows that scatter about the line for good, with hardly any noise."""
    jagged = known.ALPHA - 0.1 * known.EPS - np.where(np.arange(21) % 2, 0.8, -0.8)
    landscape = known.landscape(0.02 + 0.9 * np.tanh(0.15 * jagged**2), 0.001)
    found = ridge(landscape)
    assert found.verdict == UNDECIDED
    assert seeds_to_decide(found) is None
    assert further_trials(landscape) is None


def test_what_is_decided_needs_no_more() -> None:
    landscape = known.landscape(known.valley(1.0), 0.01)
    assert seeds_to_decide(ridge(landscape)) == 5
    assert further_trials(landscape) is None


def test_nothing_is_asked_for_where_there_is_no_ridge() -> None:
    found = ridge(known.landscape(known.flat()))
    assert (found.kinds, found.verdict) == ((), UNDECIDED)
    assert seeds_to_decide(found) is None
    assert further_trials(known.landscape(known.flat())) is None


def test_one_seed_asks_for_three() -> None:
    landscape = known.landscape(known.valley(0.1, 0.3), 0.3, seeds=1, rng=1)
    assert ridge(landscape).verdict == UNDECIDED
    further = further_trials(landscape)
    assert further is not None
    assert further.seeds == 3
    assert seeds_to_decide(ridge(landscape)) is None


@pytest.mark.parametrize("slope", [0.05, 0.15])
def test_further_seeds_near_the_ridge_decide(slope: float) -> None:
    """Round after round, as `tunability run --until-decided` does, with all seeds in reserve."""
    decided, right, seeds = 0, 0, []
    for simulation in range(30):
        reserve = known.landscape(known.valley(slope, 0.3, 0.02), NOISE, 60, simulation, asked=3)
        have = reserve.isel(seed=slice(0, 3))
        for _ in range(10):
            further = further_trials(have)
            if further is None:
                break
            assert further.cells.mean() < 0.8
            wanted = (reserve["seed"] < 3) | (further.cells & (reserve["seed"] < further.seeds))
            known_before = have.notnull().reindex(seed=reserve["seed"], fill_value=False)
            have = reserve.where(known_before | wanted).dropna("seed", how="all")
        verdict = ridge(have).verdict
        decided += verdict != UNDECIDED
        right += verdict == ("coupled" if slope > 0.1 else "decoupled")
        seeds.append(have.sizes["seed"])
    assert decided >= 22
    assert right >= 21
    assert max(seeds) > 3


def test_only_rows_of_undecided_regimes_are_asked_about_and_their_seeds_count() -> None:
    """One regime is decided; the other gets seeds, round after round, though they know nothing of the first."""
    flat_then_rising = -2 + 0.15 * np.maximum(known.EPS, 0)
    surface = 0.02 + 0.9 * np.tanh(
        np.where(known.EPS < 0, 0.6, 0.15) * (known.ALPHA - flat_then_rising) ** 2 + 0.005 * known.EPS
    ).clip(0)
    asked = decided = 0
    for simulation in range(40):
        reserve = known.landscape(surface, 0.12, 40, simulation, asked=3)
        have = reserve.isel(seed=slice(0, 3))
        found = ridge(have)
        if found.verdict != UNDECIDED or len(found.regimes) < 2:
            continue
        asked += 1
        for _ in range(12):
            further = further_trials(have)
            if further is None:
                break
            before = int(have.notnull().sum())
            kept = have.notnull().reindex(seed=reserve["seed"], fill_value=False)
            have = reserve.where(kept | (further.cells & (reserve["seed"] < further.seeds))).dropna(
                "seed", how="all"
            )
            assert have.notnull().sum() > before
        decided += ridge(have).verdict != UNDECIDED
    assert asked >= 5
    assert decided >= 0.5 * asked


def test_three_axes() -> None:
    third = xr.DataArray([0.3, 0.0, 0.1], {"beta": ("beta", [1.0, 2.0, 3.0], {"scale": "linear"})}, ("beta",))
    cube = (known.landscape(known.valley(0.15, 0.3, 0.02) * 0.5, 0.3, 3) + third).clip(0, 2)
    further = further_trials(cube)
    assert further is not None
    assert further.cells.dims == ("alpha", "eps", "beta")
    assert 0 < further.cells.sum() < 0.5 * further.cells.size
