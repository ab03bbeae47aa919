"""Views of landscapes: which axes are shown, where the others are; on grids and surrogates."""

import numpy as np
import pytest
import xarray as xr

from analysis.errors import AnalysisError
from analysis.figures import landscape_figure, pairs_figure
from analysis.observations import Observations
from analysis.separability import judge
from analysis.surrogate import surrogate_landscape
from analysis.views import View, pairs_shown, shown
from search_spaces import Axis, SearchSpace

ALPHAS, EPSILONS, BETAS = [0.01, 0.1, 1.0], [1e-8, 1e-4, 1.0], [0.5, 0.9]


@pytest.fixture
def cube() -> xr.DataArray:
    """Best at beta1 = 0.9 where alpha is 0.1, elsewhere at 0.5."""
    values = np.random.default_rng(0).uniform(0.3, 0.5, (2, 3, 3, 2))
    values[..., 0] -= 0.2
    values[:, 1, :, 1] -= 0.25
    names = {"alpha": ALPHAS, "eps": EPSILONS, "beta1": BETAS}
    coordinates = {name: (name, each, {"scale": "log"}) for name, each in names.items()}
    return xr.DataArray(values, {"seed": [0, 1], **coordinates}, ("seed", *names), attrs={"metric": "error"})


@pytest.fixture(scope="module")
def surrogate() -> xr.DataArray:
    """alpha* = eps at beta = 0, alpha* = 1 whatever eps at beta = 1; in decades."""
    decades = np.random.default_rng(0).uniform((-2, -2, 0), (2, 2, 1), (250, 3))
    alpha, eps, beta = decades.T
    error = 0.1 + np.tanh(0.3 * (alpha - (1 - beta) * eps) ** 2)
    space = SearchSpace(
        [Axis("alpha", low=0.01, high=100), Axis("eps", low=0.01, high=100), Axis("beta", low=0, high=1)]
    )
    points = np.column_stack([10**alpha, 10**eps, beta])
    return surrogate_landscape(Observations(space, points, np.zeros(250, int), error, "error"))


def test_others_are_at_their_best_or_at_a_value(cube: xr.DataArray) -> None:
    best = shown(cube)
    assert best.dims == ("seed", "alpha", "eps")
    mean = cube.mean("seed").values
    chosen = mean.argmin(axis=-1)
    np.testing.assert_array_equal(chosen, [[0] * 3, [1] * 3, [0] * 3])
    np.testing.assert_allclose(best.mean("seed"), mean.min(axis=-1), rtol=1e-14)
    title = landscape_figure({"adam": best}).axes[0].texts[0].get_text()
    assert title.replace("\n", " ").endswith("2 seeds, beta1 at its best")

    held = shown(cube, View(("eps", "alpha"), (("beta1", 0.9),)))
    assert held.dims == ("seed", "eps", "alpha", "beta1")
    np.testing.assert_array_equal(held.values[..., 0], cube.values[..., 1].transpose(0, 2, 1))
    figure = landscape_figure({"adam": held})
    assert figure.axes[0].get_ylabel() == "ε"
    assert figure.axes[0].texts[0].get_text().endswith("2 seeds, beta1 = 0.9")

    curve = shown(cube, View(("beta1",)))
    assert curve.dims == ("seed", "beta1")
    np.testing.assert_allclose(curve.mean("seed").min(), mean.min(), rtol=1e-14)


def test_two_axes_stay_as_they_are(cube: xr.DataArray) -> None:
    flat = cube.isel(beta1=0, drop=True)
    assert shown(flat).identical(flat)


def test_pairs_are_a_matrix_on_one_scale(cube: xr.DataArray) -> None:
    pairs = pairs_shown(cube)
    assert list(pairs) == [("alpha", "eps"), ("alpha", "beta1"), ("eps", "beta1")]
    figure = pairs_figure({"adam": pairs, "sgd": pairs})
    panels = [ax for ax in figure.axes if ax.get_title() in ("adam", "sgd")]
    assert [(ax.get_ylabel()[0], ax.get_xlabel()) for ax in panels] == 2 * [
        ("α", "ε"), ("α", "beta1"), ("ε", "beta1"),
    ]  # fmt: skip
    assert len({id(ax.collections[0].norm) for ax in panels}) == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "best cell",
        "best value upwards for each value across",
    ]
    only = pairs_shown(cube, View(("eps", "alpha"), (("beta1", 0.5),)))
    assert list(only) == [("eps", "alpha")]


def test_a_surrogate_is_cut_anew(surrogate: xr.DataArray) -> None:
    cut = shown(surrogate, View(("alpha", "beta"), (("eps", 10.0),)))
    assert cut.dims == ("seed", "alpha", "beta")
    assert float(cut["eps"]) == 10
    along = cut["alpha"].values[cut.isel(seed=0).argmin("alpha")]
    assert along[0] == pytest.approx(10, rel=0.5)
    assert along[-1] == pytest.approx(1, rel=0.5)
    assert list(pairs_shown(surrogate)) == [("alpha", "eps"), ("alpha", "beta"), ("eps", "beta")]


def test_verdicts_are_of_the_view(surrogate: xr.DataArray, cube: xr.DataArray) -> None:
    slopes = []
    for beta in (0.0, 1.0):
        (found,) = judge("adam", surrogate, view=View(("alpha", "eps"), (("beta", beta),)))
        slopes.append(found.ridge.slope)
    assert slopes[0].low <= 1 <= slopes[0].high
    assert slopes[1].low <= 0 <= slopes[1].high
    found = judge("adam", cube, view=View((), (("beta1", 0.9),)))
    assert [each.axes for each in found] == [("alpha", "eps")]
    (turned,) = judge("adam", cube, view=View(("eps", "alpha")))
    assert turned.axes == ("eps", "alpha")


@pytest.mark.parametrize(
    ("view", "said"),
    [
        (View((), (("beta1", 0.6),)), r"beta1 = 0\.6 is not on the grid: it has 0\.5, 0\.9$"),
        (
            View((), (("beta", 0.9),)),
            r"no axis 'beta' \(did you mean 'beta1'\?\): there are alpha, eps, beta1",
        ),
        (View(("alpha", "epsilon")), "no axis 'epsilon'"),
        (View(("alpha", "eps", "beta1")), "one figure shows two axes, not alpha, eps, beta1"),
        (View((), (("alpha", 0.1), ("eps", 1.0), ("beta1", 0.9))), "all axes are held at a value"),
    ],
)
def test_what_is_refused_of_a_grid(cube: xr.DataArray, view: View, said: str) -> None:
    with pytest.raises(AnalysisError, match=said):
        shown(cube, view)


def test_what_is_refused_of_a_surrogate(surrogate: xr.DataArray, cube: xr.DataArray) -> None:
    with pytest.raises(AnalysisError, match="beta = 2 is outside of its range: give one from 0 to 1"):
        shown(surrogate, View((), (("beta", 2.0),)))
    with pytest.raises(AnalysisError, match="over two axes, not alpha alone"):
        shown(surrogate, View(("alpha",)))
    with pytest.raises(AnalysisError, match="pairs need two axes or more, and there is only alpha"):
        pairs_shown(cube, View(("alpha",)))


@pytest.mark.parametrize(
    ("axes", "at", "said"),
    [
        (None, ["beta1"], "'beta1' is not understood"),
        (None, ["beta1=nan"], "'beta1=nan' is not understood"),
        (None, ["=3"], "'=3' is not understood"),
        ("alpha,alpha", [], "'alpha' is given twice"),
        ("alpha,eps", ["eps=1"], "'eps' is given twice: show it, or hold it at one value"),
    ],
)
def test_texts_that_are_refused(axes: str | None, at: list[str], said: str) -> None:
    with pytest.raises(AnalysisError, match=said):
        View.of_texts(axes, at)


def test_an_ordered_axis_is_held_at_a_word(cube: xr.DataArray) -> None:
    sized = cube.copy()
    name, count = str(cube.dims[-1]), cube.sizes[cube.dims[-1]]
    words = tuple(f"size {place}" for place in range(count))
    sized[name] = (name, np.arange(count, dtype=float), {"scale": "linear", "words": words})
    held = shown(sized, View.of_texts(None, [f"{name}=size 1"]))
    np.testing.assert_array_equal(held.values.squeeze(), cube.isel({name: 1}).values)
    doubled = tuple(str(2**place) for place in range(count))
    sized[name].attrs["words"] = doubled
    held = shown(sized, View.of_texts(None, [f"{name}=2"]))  # the word, not the place
    np.testing.assert_array_equal(held.values.squeeze(), cube.isel({name: 1}).values)
    sized[name].attrs["words"] = words
    with pytest.raises(AnalysisError, match=f"{name} = huge is not on the grid: it has size 0, size 1"):
        shown(sized, View.of_texts(None, [f"{name}=huge"]))
    with pytest.raises(AnalysisError, match=f"'{name}=size 1' is not understood"):
        shown(cube, View.of_texts(None, [f"{name}=size 1"]))


def test_texts() -> None:
    assert View.of_texts("alpha, eps", ["beta1=0.9", "gamma=1e-3"]) == View(
        ("alpha", "eps"), (("beta1", 0.9), ("gamma", 1e-3))
    )
    assert View.of_texts(None, []) == View()
