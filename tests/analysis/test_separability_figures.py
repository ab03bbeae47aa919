"""Figures of separability show what they are given."""

import known_landscapes as known
import numpy as np
import pytest

from analysis.advice import BUDGET
from analysis.errors import AnalysisError
from analysis.penalty import transfer_regret
from analysis.separability import judge, judge_all
from analysis.separability_figures import separability_figure


def test_a_row_for_each_verdict() -> None:
    bent = known.landscape(known.two_regimes(-1.5), 0.01)
    straight = known.landscape(known.valley(0.0, 0.3, 0.01), 0.01)
    nothing = known.landscape(known.flat())
    landscapes = {"adam": bent, "x": straight, "y": nothing}
    verdicts = judge_all(landscapes)
    figure = separability_figure(verdicts)
    for row, verdict, landscape in zip(figure.subfigs, verdicts, landscapes.values(), strict=True):
        assert row.get_suptitle().replace("\n", " ") == verdict.sentence
        ridge, regret, *_ = row.axes
        lines = {len(line.get_xdata()): line for line in ridge.get_lines()}
        if not verdict.ridge.regimes:
            assert not lines
            continue
        dots = lines[int((~np.isnan(verdict.ridge.optima)).sum())]
        np.testing.assert_allclose(
            np.log10(np.asarray(dots.get_ydata())), verdict.ridge.optima[~np.isnan(verdict.ridge.optima)]
        )
        shown = np.asarray(regret.collections[0].get_array())
        np.testing.assert_allclose(shown, transfer_regret(landscape)["estimate"])
    (transition,) = [line for line in figure.subfigs[0].axes[0].get_lines() if line.get_linestyle() == "--"]
    assert verdicts[0].ridge.transition is not None
    assert transition.get_xdata()[0] == verdicts[0].ridge.transition.estimate


def test_bars_are_the_medians_before_and_after() -> None:
    landscape = known.landscape(known.valley(1.0, 0.3, 0.02), 0.005)
    (verdict,) = judge("adam", landscape)
    assert verdict.advice is not None
    figure = separability_figure([verdict])
    right = next(each for each in figure.subfigs[0].axes if each.get_title().startswith("median of"))
    heights = [bar.get_height() for bar in right.patches]
    costs = verdict.advice.cost.values()
    medians = [step for cost in costs for step in (cost.before.estimate, cost.after.estimate)]
    assert heights == [min(median, BUDGET) for median in medians]
    _, labels = right.get_legend_handles_labels()
    assert labels == ["tuning alpha", "tuning alpha/eps"]


def test_nothing_to_draw() -> None:
    with pytest.raises(AnalysisError, match="give one or more studies"):
        separability_figure([])
