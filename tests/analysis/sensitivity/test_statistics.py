"""Statistics of landscapes that are known, worked out by hand."""

import numpy as np
import pytest

from analysis.sensitivity.statistics import (
    best_by_tuned,
    chosen_and_judged,
    needed,
    profiles,
    slices,
    stretches,
    widths,
)

# rows: values of the first axis, columns: of the second
LEVELS = np.array([[5.0, 4.0, 9.0], [6.0, 1.0, 3.0], [2.0, 8.0, 7.0]])


def test_profiles_have_the_others_at_their_best_and_slices_at_the_best_cell() -> None:
    np.testing.assert_allclose(profiles(LEVELS[None], 0), [[3, 0, 1]])
    np.testing.assert_allclose(profiles(LEVELS[None], 1), [[1, 0, 2]])
    np.testing.assert_allclose(slices(LEVELS[None], 0), [[3, 0, 7]])
    np.testing.assert_allclose(slices(LEVELS[None], 1), [[5, 0, 2]])


def test_each_draw_has_its_own_best_cell() -> None:
    both = np.stack([LEVELS, LEVELS[::-1]])
    np.testing.assert_allclose(profiles(both, 0), [[3, 0, 1], [1, 0, 3]])
    np.testing.assert_allclose(slices(both, 0), [[3, 0, 7], [7, 0, 3]])


def test_three_axes() -> None:
    levels = np.random.default_rng(0).random((4, 3, 2, 5))
    for axis in range(3):
        others = tuple(place for place in range(1, 4) if place != axis + 1)
        expected = levels.min(axis=others) - levels.min(axis=(1, 2, 3))[:, None]
        np.testing.assert_allclose(profiles(levels, axis), expected)
        for draw, each in enumerate(levels):
            best = np.unravel_index(each.argmin(), each.shape)
            held = [slice(None) if place == axis else best[place] for place in range(3)]
            np.testing.assert_allclose(slices(levels, axis)[draw], each[tuple(held)] - each.min())


@pytest.mark.parametrize(
    ("within", "width"),
    [
        (0.0, 0.0),  # the best value alone
        (1.0, 0.5 + 0.25),  # half of the step down to 0, a quarter of the longer one up
        (2.0, 1.0 + 0.5),
        (3.0, 1.0 + 0.75),
        (4.0, 2.0),
        (9.0, 2.0),
    ],
)
def test_widths_count_steps_in_part(within: float, width: float) -> None:
    lost, positions = np.array([[2.0, 0.0, 4.0]]), np.array([0.0, 1.0, 2.0])
    np.testing.assert_allclose(widths(lost, positions, within), [width])
    assert sum(end - start for start, end in stretches(lost[0], positions, within)) == pytest.approx(width)


def test_a_set_need_not_be_connected() -> None:
    lost, positions = np.array([0.0, 2.0, 0.0, 0.0]), np.array([0.0, 1.0, 2.0, 4.0])
    assert stretches(lost, positions, 1.0) == [(0.0, 0.5), (1.5, 4.0)]
    np.testing.assert_allclose(widths(lost[None], positions, 1.0), [3.0])
    assert stretches(lost, positions, 2.0) == [(0.0, 4.0)]


def test_how_many_must_be_tuned() -> None:
    best, which = best_by_tuned(LEVELS[None], (0, 2))
    np.testing.assert_allclose(best, [9, 3, 1])  # the default; the first axis alone; both
    assert which == [(), (0,), (0, 1)]
    assert needed(best[0] - best) == 2  # 6 of 8 is three quarters
    assert needed(np.array([0.0, 9.6, 10.0])) == 1
    assert needed(np.array([0.0, 0.0, 0.0])) == 0  # the default is the best
    assert needed(np.array([0.0, 0.0, 1.0])) == 2


def test_over_workloads_the_same_hyperparameters_are_tuned_for_each() -> None:
    other = LEVELS.T.copy()
    best, which = best_by_tuned(np.stack([LEVELS, other]), (0, 0))
    assert best[0] == 5
    assert best[2] == 1
    # the first axis: 2 and 4; the second: 4 and 2
    assert best[1] == 3
    assert which[1] == (0,)


def test_what_one_draw_chose_another_judges() -> None:
    judged = chosen_and_judged(LEVELS[None], LEVELS[None] + np.arange(9).reshape(1, 3, 3), 0)
    np.testing.assert_allclose(judged, [[4 + 1, 1 + 4, 2 + 6]])
