"""Sensitivity of stored studies whose landscapes are known."""

import json
from collections.abc import Callable

import known_landscapes as known
import numpy as np
import pytest

from analysis.errors import AnalysisError
from analysis.sensitivity.stored import known as told
from analysis.sensitivity.stored import parse_within, stored_sensitivities
from search_spaces import SearchSpace
from storage.store import Store

Keep = Callable[..., Store]
SPACE = SearchSpace.from_table({"alpha": (10**known.DECADES).tolist(), "eps": (10**known.DECADES).tolist()})
DEFAULTS = {"lr": 1e-2, "eps": 1e-3}
SMALL = SearchSpace.from_table({"alpha": [0.01, 0.1, 1.0, 10.0, 100.0], "beta": [0.0, 0.25, 0.5, 0.75, 1.0]})
BOWL = 0.1 + 0.05 * (np.arange(5) - 2)[:, None] ** 2 + 0.01 * (np.arange(5) - 2) ** 2


def test_the_known_numbers_of_an_exact_quadratic(keep: Keep) -> None:
    """Profiles are (a - 0.3)² / 50 and (e + 0.3)² / 100 in decades, less what the nearest grid values lose."""
    store = keep("exact", SPACE, {"adam": known.separable_quadratic()}, DEFAULTS)
    (found,) = stored_sensitivities(store, ["exact"]).found
    alpha, eps = found.axes
    assert [width.within for width in alpha.widths] == [0.005, 0.01, 0.02]
    # from 0.5: to the right 1 loses 0.009 and 1.5 loses 0.028, to the left 0 loses 0.001 and -0.5 loses 0.012
    width = 1 + 0.5 * (0.01 - 0.001) / 0.011 + 0.5 * (0.01 - 0.009) / 0.019
    for estimate in (alpha.widths[1].tuned, alpha.widths[1].held):
        assert estimate.estimate == pytest.approx(width, abs=0.02)
        assert estimate.high - estimate.low < 0.06  # a twentieth of a step to either side
    assert not alpha.widths[1].is_open
    assert alpha.lost.estimate == pytest.approx((2.3**2 - 0.2**2) / 50, rel=0.02)
    assert eps.lost.estimate == pytest.approx((2.7**2 - 0.2**2) / 100, rel=0.02)
    cost = (2.3**2 - 0.2**2) / 50 + (2.7**2 - 0.2**2) / 100
    assert found.cost.estimate == pytest.approx(cost, rel=0.02)
    assert found.tuned is not None
    assert found.tuned.needed.estimate == 2
    assert found.tuned.likely == (0, 0, 1)
    assert found.tuned.shares[1].estimate == pytest.approx((2.3**2 - 0.2**2) / 50 / cost, rel=0.02)
    assert found.problem is None
    assert "the default (alpha = 0.01, eps = 0.001) costs 17." in found.sentence
    assert found.sentence.endswith("by tuning 2 [2, 2] of 2 (alpha, eps)")


def test_a_coupled_valley_is_wide_when_the_other_is_tuned_and_narrow_when_it_is_held(keep: Keep) -> None:
    store = keep("coupled", SPACE, {"adam": known.valley(1.0)}, DEFAULTS, noise=0.002)
    alpha = stored_sensitivities(store, ["coupled"]).found[0].axes[0]
    assert alpha.widths[2].tuned.low > 8
    assert alpha.widths[2].is_open
    assert alpha.widths[2].held.high < 1.5
    assert alpha.lost.estimate == pytest.approx(0, abs=0.005)


def test_tuning_one_of_two_is_enough_where_the_other_does_not_matter(keep: Keep) -> None:
    store = keep("one", SPACE, {"adam": known.valley(0.0)}, DEFAULTS, noise=0.002)
    (found,) = stored_sensitivities(store, ["one"]).found
    assert found.tuned is not None
    assert found.tuned.needed.estimate == 1
    assert found.tuned.which == ("alpha",)
    assert found.axes[1].widths[0].tuned.estimate > 5
    assert found.axes[0].importance[0] > 0.9


def test_intervals_hold_known_widths_and_costs() -> None:
    from analysis.sensitivity.draws import LandscapeDraws
    from analysis.sensitivity.statistics import profiles, widths
    from analysis.sensitivity.stored import WITHIN, tuned_of, width_of

    space = SearchSpace.from_table(
        {"alpha": (10.0 ** np.arange(9)).tolist(), "eps": (10.0 ** np.arange(9)).tolist()}
    )
    row, column = np.indices((9, 9)) / 8 - 0.5
    truth = 0.02 + 0.3 * (row**2 + column**2)
    width = widths(profiles(truth[None], 0), np.arange(9.0), 0.01)[0]
    held = []
    for study in range(10):
        rng = np.random.default_rng(study)
        values = truth.ravel()[:, None] + 0.02 * rng.standard_normal(3) + 0.006 * rng.standard_normal((81, 3))
        draws = LandscapeDraws(values, space.shape, WITHIN)
        found = width_of(draws, 0, space.axes[0], 0.01).tuned
        cost, _ = tuned_of(draws, (1, 2), space.names)
        held += [found.low <= width <= found.high, cost.low <= truth[1, 2] - truth.min() <= cost.high]
    assert sum(held) >= 17


def test_three_axes_one_of_which_does_nothing(keep: Keep) -> None:
    space = SearchSpace.from_table(
        {"alpha": [0.01, 0.1, 1.0, 10.0], "eps": [1e-8, 1e-4, 1.0], "beta": [0.1, 0.5, 0.9]}
    )
    a, e, _ = np.indices(space.shape)
    surface = 0.1 + 0.05 * (a - 2) ** 2 + 0.03 * (e - 1) ** 2 + 0.0 * a
    store = keep("three", space, {"adam": surface}, {"lr": 0.01, "eps": 1e-8, "beta": 0.5})
    (found,) = stored_sensitivities(store, ["three"]).found
    assert found.tuned is not None
    assert found.tuned.needed.estimate == 2
    assert found.tuned.which == ("alpha", "eps")
    beta = found.axes[2]
    assert beta.unit == "share of its range"
    assert beta.widths[0].tuned.estimate == pytest.approx(1.0)
    assert beta.lost.estimate == pytest.approx(0.0, abs=1e-3)


def test_one_axis_and_one_that_has_one_value(keep: Keep) -> None:
    space = SearchSpace.from_table({"alpha": [0.01, 0.1, 1.0, 10.0], "eps": [1e-8]})
    surface = np.array([0.3, 0.1, 0.2, 0.9])[:, None]
    (found,) = stored_sensitivities(
        keep("line", space, {"adam": surface}, {"lr": 1.0, "eps": 1.0}), ["line"]
    ).found
    assert [axis.axis.name for axis in found.axes] == ["alpha"]
    assert found.cost.estimate == pytest.approx(0.1, abs=1e-3)
    assert found.tuned is not None
    assert found.tuned.needed.estimate == 1


def test_a_default_that_is_the_best_costs_nothing(keep: Keep) -> None:
    (found,) = stored_sensitivities(
        keep("best", SMALL, {"adam": BOWL}, {"lr": 1.0, "beta": 0.5}), ["best"]
    ).found
    assert found.cost.high < 1e-3
    assert found.tuned is not None
    assert found.tuned.needed.estimate == 0
    assert "by tuning 0 [0, 0] of 2" in found.sentence


def test_a_default_outside_the_grid_leaves_the_rest_known(keep: Keep) -> None:
    store = keep("outside", SMALL, {"adam": BOWL}, {"lr": 1e-5, "beta": 0.6})
    (found,) = stored_sensitivities(store, ["outside"]).found
    assert found.tuned is None
    assert found.problem == "the default alpha = 1e-05 is not within the grid, 0.01 to 100"
    assert found.axes[1].lost.estimate == pytest.approx(0, abs=1e-3)
    assert found.axes[1].default.off == pytest.approx(-0.1)
    text = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert text["tuned"] is text["default_cost"]["estimate"] is None
    (given,) = stored_sensitivities(store, ["outside"], defaults={"alpha": 0.1}).found
    assert given.cost.estimate == pytest.approx(0.05, abs=1e-3)
    assert "beta = 0.6 is 0.1 of its range away" in given.sentence


def test_thresholds_of_what_is_no_rate_are_shares_of_its_range(keep: Keep) -> None:
    store = keep("loss", SMALL, {"adam": 100 * BOWL}, {"lr": 1.0, "beta": 0.5}, metric="loss")
    (found,) = stored_sensitivities(store, ["loss"]).found
    span = 100 * float(np.ptp(BOWL))
    np.testing.assert_allclose(
        [width.within for width in found.axes[0].widths], np.array([0.005, 0.01, 0.02]) * span
    )
    assert not found.is_rate
    assert "points" not in found.sentence
    (other,) = stored_sensitivities(store, ["loss"], within=(5.0, 1.0)).found
    assert [width.within for width in other.axes[0].widths] == [1.0, 5.0]
    assert other.axes[0].widths[1].tuned.estimate == pytest.approx(2.0, abs=0.01)  # its neighbours lose 5
    assert other.cost == found.cost


@pytest.mark.parametrize("within", [(1e-300,), (1e300,), (1e-9, 0.5)])
def test_absurd_thresholds_have_an_answer(keep: Keep, within: tuple[float, ...]) -> None:
    store = keep("small", SMALL, {"adam": BOWL}, {"lr": 1.0, "beta": 0.5}, noise=0.01, seeds=2)
    (found,) = stored_sensitivities(store, ["small"], within).found
    assert all(0 <= width.tuned.low <= width.tuned.high <= 4 for width in found.axes[0].widths)


def test_where_all_cells_are_alike(keep: Keep) -> None:
    store = keep("flat", SMALL, {"adam": np.full(SMALL.shape, 0.5)}, {"lr": 1.0, "beta": 0.5})
    (found,) = stored_sensitivities(store, ["flat"]).found
    assert found.axes[0].widths[0].tuned.estimate == pytest.approx(4.0)
    assert found.cost.estimate == pytest.approx(0.0, abs=1e-4)
    json.dumps(found.to_json(), allow_nan=False)


def test_what_is_not_known_is_said(keep: Keep) -> None:
    surfaces = {"adam": BOWL, "avagrad": np.full(SMALL.shape, 0.9)}
    store = keep("half", SMALL, surfaces, {"lr": 1.0, "beta": 0.5}, diverged=("avagrad",))
    notes: list[str] = []
    found = told(stored_sensitivities(store, ["half"]), notes.append)
    assert [each.optimizer for each in found.found] == ["adam"]
    assert notes == ["note: no sensitivity of half/avagrad: nothing trained, all 75 trials diverged"]
    with pytest.raises(AnalysisError, match="half/avagrad: nothing trained, all 75 trials diverged"):
        told(stored_sensitivities(store, ["half/avagrad"]))
    store = keep("alone", SMALL, {"adam": BOWL}, seeds=1)
    with pytest.raises(AnalysisError, match="one seed tells nothing of the noise, train a second"):
        told(stored_sensitivities(store, ["alone"]))


def test_wrong_input() -> None:
    for wrong in ("", "a", "1,,2"):
        with pytest.raises(AnalysisError, match=r"written as 0\.005,0\.01"):
            parse_within(wrong)


@pytest.mark.parametrize("within", [(0.0,), (-1.0,), (float("nan"),), (float("inf"),)])
def test_wrong_thresholds(keep: Keep, within: tuple[float, ...]) -> None:
    with pytest.raises(AnalysisError, match="give numbers above 0"):
        stored_sensitivities(keep("small", SMALL, {"adam": BOWL}), ["small"], within)


def test_scattered_trials_and_a_single_cell_are_refused(keep: Keep) -> None:
    space = SearchSpace.from_table({"alpha": {"low": 0.1, "high": 10.0}})
    store = keep("one", SearchSpace.from_table({"alpha": [1.0]}), {"adam": np.array([0.5])})
    store.declare("scattered", {"adam": {}}, space=space, metric="error", spec={}, provenance={})
    with pytest.raises(AnalysisError, match="sensitivity is of grids alone"):
        stored_sensitivities(store, ["scattered"])
    with pytest.raises(AnalysisError, match="has one cell"):
        stored_sensitivities(store, ["one"])


def test_over_workloads(keep: Keep) -> None:
    """Two bowls two steps apart: one setting for both loses something on one of them at least."""
    other = np.roll(BOWL, 2, axis=0)
    other[:2] = 0.6
    keep("first", SMALL, {"adam": BOWL}, {"lr": 1.0, "beta": 0.5})
    store = keep("second", SMALL, {"adam": other}, {"lr": 1.0, "beta": 0.5})
    (found,) = stored_sensitivities(store, ["first", "second"]).across
    scores = []
    for surface in (BOWL, other):
        low, high = np.percentile(surface, [5, 95])
        scores.append((high - surface) / (high - low))
    tuned = np.mean([each.max() for each in scores])
    shared = np.mean(scores, axis=0).max()
    assert found.tuned.estimate == pytest.approx(tuned, rel=0.02)
    assert found.shared.estimate == pytest.approx(shared, rel=0.02)
    assert found.sensitivity.estimate == pytest.approx(tuned - shared, rel=0.1)
    assert found.needed.estimate == 1  # alpha
    assert found.studies == ("first", "second")
    assert "of 2 must be tuned for each" in found.sentence
    json.dumps(found.to_json(), allow_nan=False)


def test_studies_on_other_grids_are_not_workloads_of_one(keep: Keep) -> None:
    narrow = SearchSpace.from_table({"alpha": [0.1, 1.0, 10.0], "beta": [0.0, 0.5]})
    keep("first", SMALL, {"adam": BOWL})
    store = keep("second", narrow, {"adam": BOWL[1:4, :2]})
    found = stored_sensitivities(store, ["first", "second"])
    assert len(found.found) == 2
    assert found.across == ()
