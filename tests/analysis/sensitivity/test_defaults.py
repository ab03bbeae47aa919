"""Where defaults lie on a grid."""

import math

import pytest

from analysis.errors import AnalysisError
from analysis.sensitivity.defaults import defaults_of, parse_defaults
from search_spaces import SearchSpace

SPACE = SearchSpace.from_table(
    {
        "alpha": [0.001, 0.01, 0.1, 1.0],
        "eps": [1e-8, 1e-4, 1.0],
        "beta": [0.8, 0.9, 1.0],
        "factor": [0.1, 1.0, 10.0],
    }
)
RECIPE = {"settings": {"lr": 0.01, "eps": 1e-6, "betas": [0.85, 0.999]}, "axes": {"beta": "betas[0]"}}


def test_a_default_is_the_nearest_cell_on_its_axis_scale() -> None:
    alpha, eps, beta, factor = defaults_of(RECIPE, SPACE)
    assert (alpha.value, alpha.index, alpha.off) == (0.01, 1, 0.0)  # alpha is torch's lr
    assert eps.index in (0, 1)
    assert abs(eps.off) == pytest.approx(2.0)  # decades
    assert beta.value == 0.85
    assert abs(beta.off) == pytest.approx(0.25)  # of the range
    assert (factor.value, factor.index) == (1.0, 1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"lr": 10.0}, "the default alpha = 10 is not within the grid, 0.001 to 1"),
        ({"lr": 0.0}, "the default alpha = 0 is not within the grid, 0.001 to 1"),
        ({"lr": "0.1 · eta"}, "the default of alpha is 0.1 · eta, which is no number"),
        ({}, "the default of alpha is not known"),
    ],
)
def test_where_there_is_none(settings: dict[str, object], said: str) -> None:
    alpha = defaults_of({"settings": settings}, SPACE)[0]
    assert alpha.index is None
    assert math.isnan(alpha.off)
    assert alpha.problem == said


def test_of_imported_trials_nobody_knows_defaults_but_they_may_be_given() -> None:
    assert all(each.index is None for each in defaults_of({"imported": True}, SPACE)[:3])
    given = parse_defaults("alpha=0.1, eps=1e-8")
    assert [each.index for each in defaults_of({"imported": True}, SPACE, given)][:2] == [2, 0]
    with pytest.raises(AnalysisError, match="there is no axis 'lr'"):
        defaults_of(RECIPE, SPACE, {"lr": 1.0})
    for wrong in ("alpha", "alpha=", "alpha=x", ","):
        with pytest.raises(AnalysisError, match="written as"):
            parse_defaults(wrong)
