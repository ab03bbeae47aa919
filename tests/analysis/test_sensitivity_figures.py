"""The figure of sensitivity shows what it is given."""

import numpy as np
import pytest

from analysis.estimate import Estimate
from analysis.sensitivity.defaults import placed
from analysis.sensitivity.result import AxisSensitivity, Sensitivity, Tuned, Width
from analysis.sensitivity_figures import sensitivity_figure
from search_spaces import Axis

SURE = Estimate(1.5, 1.0, 2.0)


def of_axis(axis: Axis, default: float) -> AxisSensitivity:
    median = np.array([0.3, 0.0, 0.008, 0.05])
    width = Width(0.01, SURE, SURE, (0.0, 0.0))
    found = placed(axis, default)
    return AxisSensitivity(
        axis, (width,), found, SURE, np.stack([median, median / 2, 2 * median]), (0.5, 0.5)
    )


def of(optimizer: str, *axes: AxisSensitivity) -> Sensitivity:
    tuned = Tuned((SURE,) * (len(axes) + 1), Estimate(1, 1, 2), (0.1, 0.9), (axes[0].axis.name,))
    known = all(axis.default.problem is None for axis in axes)
    problem = None if known else "the default is not within the grid"
    return Sensitivity("s", optimizer, "error", True, 3, axes, SURE, tuned if known else None, problem)


ALPHA, BETA = Axis("alpha", [0.01, 0.1, 1.0, 10.0]), Axis("beta", [0.1, 0.2, 0.3, 0.4], scale="linear")


def test_a_panel_for_each_hyperparameter_with_its_profile_threshold_and_default() -> None:
    figure = sensitivity_figure(
        [of("adam", of_axis(ALPHA, 1.0), of_axis(BETA, 0.2))], {"s/x": "nothing trained"}
    )
    left, right = figure.axes
    assert (left.get_xscale(), right.get_xscale()) == ("log", "linear")
    profile = max(left.get_lines(), key=lambda line: len(line.get_xdata()))
    np.testing.assert_allclose(profile.get_ydata(), [30, 0, 0.8, 5])
    # within a point from 0.1 - a thirtieth of a decade on: to 1 and 0.2 / 4.2 of the next
    stretch = next(line for line in left.get_lines() if line.get_linewidth() == 4)
    np.testing.assert_allclose(stretch.get_ydata(), [1, 1])
    np.testing.assert_allclose(np.log10(stretch.get_xdata()), [-1 - 1 / 30, 0.2 / 4.2])
    assert 1.0 in [line.get_xdata()[0] for line in left.get_lines() if line.get_linestyle() == "--"]
    texts = [text.get_text() for text in left.texts]
    assert "1.5 [1.0, 2.0] decades" in texts
    assert "default α = 1\nloses 150.0 [100.0, 200.0] points" in texts
    assert right.texts[0].get_text() == "150% [100%, 200%]"
    assert figure.get_supxlabel() == "s/x: nothing trained"


def test_a_default_outside_the_grid_is_told_in_the_panel() -> None:
    figure = sensitivity_figure(
        [of("adam", of_axis(ALPHA, 100.0)), of("b", of_axis(ALPHA, 1.0), of_axis(BETA, 1.0))]
    )
    shown = [panel for panel in figure.axes if panel.axison]
    assert len(shown) == 3
    assert shown[0].get_title() == "the default alpha = 100 is not within the grid, 0.01 to 10"
    assert not [line for line in shown[0].get_lines() if line.get_linestyle() == "--"]


@pytest.mark.parametrize("highest", [0.0, 1e-9, 1e6])
def test_losses_of_any_size_are_drawn(highest: float) -> None:
    axis = of_axis(ALPHA, 1.0)
    other = AxisSensitivity(
        axis.axis, axis.widths, axis.default, axis.lost, np.full((3, 4), highest), axis.importance
    )
    figure = sensitivity_figure([of("adam", other)])
    figure.canvas.draw()
    low, high = figure.axes[0].get_ylim()
    assert low < 0 < max(1.0, 100 * highest) <= high
