"""What figures show, read from their artists: positions, colours, marks and words; and their files."""

import re

import numpy as np
import pytest
import xarray as xr
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from analysis.figures import landscape_figure, save_figure
from analysis.heatmap import cell_edges
from analysis.landscape import STOPPED
from search_spaces import get_space

ALPHAS, EPSILONS = (np.array(axis.values) for axis in get_space("avagrad-cifar").axes)


def avagrad_like(coupled: bool, seeds: int = 3, metric: str = "validation_error") -> xr.DataArray:
    """Errors with their valley at alpha = 1, or at alpha = 0.01 and in proportion to eps above 1e-3."""
    log_alpha, log_eps = np.log10(ALPHAS)[:, None], np.log10(EPSILONS)
    valley = -2 + np.maximum(0, log_eps + 3) if coupled else 0 * log_eps
    distance = log_alpha - valley
    error = np.where(distance > 1.6, 0.9, np.minimum(0.9, 0.02 * 3 ** np.abs(distance)))
    noise = np.random.default_rng(0).normal(0, 0.02, (seeds, *error.shape))
    scales = {"alpha": ("alpha", ALPHAS, {"scale": "log"}), "eps": ("eps", EPSILONS, {"scale": "log"})}
    return xr.DataArray(
        np.minimum(0.9, error * np.exp(noise)),
        {"seed": range(seeds), **scales},
        ("seed", "alpha", "eps"),
        attrs={"metric": metric},
    )


@pytest.fixture(scope="module")
def both() -> dict[str, xr.DataArray]:
    return {"adam": avagrad_like(True), "avagrad": avagrad_like(False)}


@pytest.fixture(scope="module")
def figure(both: dict[str, xr.DataArray]) -> Figure:
    return landscape_figure(both)


def mesh_of(ax) -> QuadMesh:
    (mesh,) = (artist for artist in ax.collections if isinstance(artist, QuadMesh))
    return mesh


def marks_of(ax, marker: str) -> np.ndarray:
    (line,) = (line for line in ax.lines if line.get_marker() == marker)
    return np.column_stack(line.get_data())


def texts_of(ax) -> str:
    return "\n".join([ax.get_title(), *(text.get_text() for text in ax.texts)])


def test_two_panels_and_one_colour_bar(figure: Figure) -> None:
    assert len(figure.axes) == 3
    assert figure.get_size_inches().tolist() == [10.0, 4.5]
    first, second, bar = figure.axes
    assert (first.get_title(), second.get_title()) == ("adam", "avagrad")
    assert bar.get_ylabel() == "validation error (mean of 3 seeds)"
    assert (bar.get_title(loc="left"), bar.get_xlabel()) == ("worse", "better")
    for ax in (first, second):
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("ε", "α (learning rate)")
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_all_panels_share_one_norm_from_the_best_to_the_worst(figure: Figure, both) -> None:
    norms = [mesh_of(ax).norm for ax in figure.axes[:2]]
    assert norms[0] is norms[1]
    assert isinstance(norms[0], LogNorm)
    means = np.stack([landscape.mean("seed").values for landscape in both.values()])
    assert norms[0].vmin == pytest.approx(means.min(), rel=1e-14)
    assert norms[0].vmax == pytest.approx(0.9, rel=1e-14)


def test_colours_are_the_means_of_the_cells(figure: Figure, both) -> None:
    for ax, landscape in zip(figure.axes, both.values(), strict=False):
        drawn = mesh_of(ax).get_array().reshape(21, 21)
        np.testing.assert_allclose(drawn, landscape.mean("seed").values, rtol=1e-14)


def test_good_cells_are_lighter_in_grey(figure: Figure) -> None:
    mesh = mesh_of(figure.axes[0])
    red, green, blue, _ = mesh.cmap(mesh.norm(np.geomspace(0.02, 0.9, 50))).T
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    assert (np.diff(grey) < 0).all()
    assert grey[0] - grey[-1] > 0.6


def test_every_value_lies_in_its_own_cell(figure: Figure) -> None:
    corners = mesh_of(figure.axes[0]).get_coordinates()
    for values, edges in ((EPSILONS, corners[0, :, 0]), (ALPHAS, corners[:, 0, 1])):
        assert edges.size == 22
        assert (edges[:-1] < values).all()
        assert (values < edges[1:]).all()
        np.testing.assert_allclose(edges[1:-1], np.sqrt(values[1:] * values[:-1]), rtol=1e-12)
    assert figure.axes[0].get_xlim() == (corners[0, 0, 0], corners[0, -1, 0])
    assert figure.axes[0].get_ylim() == (corners[0, 0, 1], corners[-1, 0, 1])


def test_the_star_is_at_the_best_cell(figure: Figure, both) -> None:
    for ax, landscape in zip(figure.axes, both.values(), strict=False):
        mean = landscape.mean("seed")
        alpha, eps = np.unravel_index(mean.values.argmin(), mean.shape)
        assert marks_of(ax, "*").tolist() == [[EPSILONS[eps], ALPHAS[alpha]]]


def test_a_dot_is_at_the_best_alpha_of_each_eps(figure: Figure, both) -> None:
    for ax, landscape in zip(figure.axes, both.values(), strict=False):
        best = ALPHAS[landscape.mean("seed").values.argmin(axis=0)]
        np.testing.assert_array_equal(marks_of(ax, "o"), np.column_stack([EPSILONS, best]))
    # AvaGrad's valley is level, Adam's rises with eps.
    assert set(marks_of(figure.axes[1], "o")[:, 1]) == {1.0}
    assert marks_of(figure.axes[0], "o")[-1].tolist() == [100.0, 1000.0]


def test_marks_are_white_with_a_dark_edge_and_explained(figure: Figure) -> None:
    for line in figure.axes[0].lines:
        assert (line.get_markerfacecolor(), line.get_markeredgecolor()) == ("white", "black")
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["best cell", "best α for each ε"]


def test_the_colour_bar_is_read_in_percent_with_both_ends(figure: Figure) -> None:
    labels = [label.get_text() for label in figure.axes[2].get_yticklabels()]
    assert labels[1:-1] == ["5%", "10%", "20%", "50%"]
    assert labels[0].startswith("1.9")
    assert labels[-1] == "90%"


def test_the_summary_tells_best_seeds_and_what_is_missing(both) -> None:
    holed = both["adam"].copy()
    holed[1, 3, 4] = np.nan
    holed[2, 3, 4] = np.nan
    figure = landscape_figure({"adam": holed, "avagrad": both["avagrad"].sel(seed=[0, 1])})
    best = float(holed.mean("seed").min())
    text = texts_of(figure.axes[0])
    assert re.search(
        rf"best {100 * best:.3g}% \([\d.]+% on unseen seeds\), 3 seeds,\s2 of 1323 trials missing", text
    )
    assert texts_of(figure.axes[1]).endswith("2 seeds")
    assert figure.axes[2].get_ylabel() == "validation error (mean of 2 or 3 seeds)"
    mask = np.ma.getmaskarray(mesh_of(figure.axes[0]).get_array()).reshape(21, 21)
    assert np.argwhere(mask).tolist() == [[3, 4]]
    assert figure.axes[0].patch.get_hatch() == "////"
    assert figure.legends[0].get_texts()[-1].get_text() == "a seed's trial is missing"


def test_the_summary_tells_that_the_best_is_at_the_edge(both) -> None:
    upper = both["adam"].isel(alpha=slice(int(both["adam"].mean("seed").min("eps").values.argmin()), None))
    assert ", at the edge of α,\n3 seeds" in texts_of(landscape_figure({"adam": upper}).axes[0])
    assert "edge" not in texts_of(landscape_figure({"adam": both["adam"]}).axes[0])


@pytest.mark.parametrize("panels", [1, 2, 5])
def test_no_words_are_cut_off_or_run_into_the_colour_bar(both, panels: int) -> None:
    holed = both["adam"].isel(alpha=slice(8, None)).copy()
    holed[1, 3, 4] = np.nan
    holed.attrs[STOPPED] = xr.zeros_like(holed, dtype=bool)
    holed.attrs[STOPPED][:, :5, :9] = True
    figure = landscape_figure({f"optimizer {number}": holed for number in range(panels)})
    figure.canvas.draw()
    legend = figure.legends[0]
    assert len(legend.get_texts()) == 4
    for text in legend.get_texts():
        assert figure.bbox.x0 <= text.get_window_extent().x0 <= text.get_window_extent().x1 <= figure.bbox.x1
    (worse,) = figure.axes[panels].findobj(
        lambda artist: isinstance(artist, Text) and artist.get_text() == "worse"
    )
    for ax in figure.axes[:panels]:
        (said,) = (text for text in ax.texts if "best" in text.get_text())
        words = said.get_window_extent()
        assert not words.overlaps(worse.get_window_extent())
        assert not words.overlaps(ax.title.get_window_extent())
        assert words.y1 < figure.bbox.y1


def test_a_panel_without_a_complete_cell_is_drawn_empty(both) -> None:
    empty = both["adam"].copy()
    empty[0] = np.nan
    figure = landscape_figure({"adam": empty, "avagrad": both["avagrad"]})
    assert "no complete cell, 3 seeds, 441 of 1323 trials missing" in texts_of(figure.axes[0])
    assert not figure.axes[0].lines
    with pytest.raises(
        ValueError, match="no cell has a trial of each of the 3 seeds; 441 trials are missing"
    ):
        landscape_figure({"adam": empty})


def test_another_metric_keeps_its_units_and_a_narrow_range_is_linear() -> None:
    landscape = 1 + avagrad_like(True)
    landscape.attrs["metric"] = "validation_bpc"
    figure = landscape_figure({"adam": landscape})
    mesh = mesh_of(figure.axes[0])
    assert not isinstance(mesh.norm, LogNorm)
    assert figure.axes[1].get_yticklabels()[-1].get_text() == "1.9"
    assert re.search(r"best 1.02 \(1.02 on unseen seeds\), 3 seeds", texts_of(figure.axes[0]))


def test_zero_and_infinity_have_the_colours_of_the_ends() -> None:
    landscape = avagrad_like(False, seeds=1)
    landscape[0, 0, 0], landscape[0, 0, 1] = 0.0, np.inf
    figure = landscape_figure({"avagrad": landscape})
    mesh = mesh_of(figure.axes[0])
    places = np.ma.getdata(mesh.norm(mesh.get_array())).reshape(21, 21)
    assert (places[0, 0], places[0, 1]) == (0.0, 1.0)
    assert mesh.norm.vmin == float(landscape.values[landscape.values > 0].min())
    assert mesh.norm.vmax == 0.9
    assert figure.axes[1].get_ylabel() == "validation error (1 seed)"
    figure.draw_without_rendering()


def test_a_constant_landscape_can_be_drawn() -> None:
    figure = landscape_figure({"sgd": xr.full_like(avagrad_like(True), 0.9)})
    figure.draw_without_rendering()
    assert "best 90%" in texts_of(figure.axes[0])


def test_five_panels_take_two_rows(both) -> None:
    figure = landscape_figure({f"optimizer {place}": both["adam"] for place in range(5)})
    assert len(figure.axes) == 6
    assert figure.get_size_inches().tolist() == [20.0, 9.0]


def test_one_axis_is_drawn_as_curves_with_every_seed(both) -> None:
    figure = landscape_figure({name: landscape.sel(eps=1e-8) for name, landscape in both.items()})
    (ax,) = figure.axes
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("α (learning rate)", "validation error (mean of 3 seeds)")
    seeds, mean, star = ax.lines[:3], ax.lines[3], ax.lines[4]
    for seed, line in enumerate(seeds):
        np.testing.assert_array_equal(line.get_xdata(), ALPHAS)
        np.testing.assert_array_equal(line.get_ydata(), both["adam"].sel(eps=1e-8, seed=seed))
    np.testing.assert_allclose(mean.get_ydata(), both["adam"].sel(eps=1e-8).mean("seed"), rtol=1e-14)
    assert star.get_xdata() == [0.01]
    assert star.get_ydata() == [pytest.approx(float(both["adam"].sel(eps=1e-8).mean("seed").min()))]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [label.split(":")[0] for label in labels] == ["adam", "avagrad"]
    assert labels[0].endswith("3 seeds, ε = 1e-08")
    assert mean.get_linestyle() != ax.lines[8].get_linestyle()


def test_single_valued_axes_are_left_out_and_named(both) -> None:
    beta = ("beta", [0.95], {"scale": "linear"})
    figure = landscape_figure({"adam": both["adam"].expand_dims("beta", axis=1).assign_coords(beta=beta)})
    assert figure.axes[0].get_ylabel() == "α (learning rate)"
    assert "3 seeds, β = 0.95" in texts_of(figure.axes[0])
    figure = landscape_figure({"adam": both["adam"].sel(alpha=[0.1])})
    assert figure.axes[0].get_xlabel() == "ε"
    assert "3 seeds, α = 0.1" in figure.legends[0].get_texts()[0].get_text()
    figure = landscape_figure({"adam": both["adam"].sel(alpha=[0.1], eps=[1e-8])})
    assert figure.axes[0].get_xlabel() == "α (learning rate)"


def test_more_than_two_axes_are_refused_with_what_to_do(both) -> None:
    beta = xr.IndexVariable("beta", [0.9, 0.99], {"scale": "linear"})
    cube = xr.concat([both["adam"]] * 2, beta).transpose("seed", "alpha", "eps", "beta")
    with pytest.raises(
        ValueError, match=r"varies along alpha, eps, beta, .* a where filter, such as 'beta = 0\.9'"
    ):
        landscape_figure({"adam": cube})


def test_landscapes_that_do_not_compare_are_refused(both) -> None:
    with pytest.raises(
        ValueError, match="'adam' and 'apollo' have different axes, 'alpha, eps' and 'eta, sigma'"
    ):
        landscape_figure({"adam": both["adam"], "apollo": both["adam"].rename(alpha="eta", eps="sigma")})
    with pytest.raises(ValueError, match="different metrics, 'validation_error' and 'loss'"):
        landscape_figure({"adam": both["adam"], "avagrad": avagrad_like(False, metric="loss")})
    with pytest.raises(ValueError, match="there is no landscape to draw"):
        landscape_figure({})
    with pytest.raises(
        ValueError, match=r"'adam' does not say its metric .*: make it with analysis\.landscape"
    ):
        landscape_figure({"adam": both["adam"].drop_attrs()})
    with pytest.raises(ValueError, match="no cell has a finite 'validation_error'"):
        landscape_figure({"adam": xr.full_like(both["adam"], np.inf)})


@pytest.mark.parametrize(
    ("values", "scale", "edges"),
    [
        ([1.0, 100.0], "log", [0.1, 10.0, 1000.0]),
        ([1.0, 2.0, 10.0], "log", [2**-0.5, 2**0.5, 20**0.5, 500**0.5]),
        ([0.0, 1.0, 4.0], "linear", [-0.5, 0.5, 2.5, 5.5]),
    ],
)
def test_cell_edges(values: list[float], scale: str, edges: list[float]) -> None:
    np.testing.assert_allclose(cell_edges(np.array(values), scale), edges, rtol=1e-13)


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_the_same_landscapes_give_the_same_bytes(suffix: str, both, tmp_path) -> None:
    small = {name: landscape.isel(alpha=slice(6), eps=slice(5)) for name, landscape in both.items()}
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix.upper()}"
    save_figure(landscape_figure(small), first)
    save_figure(landscape_figure(small), str(second))
    assert first.read_bytes() == second.read_bytes()
    start = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[suffix]
    assert first.read_bytes().startswith(start)


def test_a_png_has_the_figures_size(figure: Figure, tmp_path) -> None:
    save_figure(figure, tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as image:
        assert image.size == (2000, 900)


def test_wrong_paths_are_refused(figure: Figure, tmp_path) -> None:
    with pytest.raises(
        ValueError, match=r"cannot write a figure to 'figure\.gif': end its name with \.png or \.pdf"
    ):
        save_figure(figure, "figure.gif")
    with pytest.raises(ValueError, match=r"the folder '.*absent' does not exist: create it, or name another"):
        save_figure(figure, tmp_path / "absent" / "figure.png")
    assert not (tmp_path / "absent").exists()


def diverged(like: xr.DataArray) -> xr.DataArray:
    """The same landscape, had every trial diverged."""
    said = "nothing trained, all 99 trials diverged"
    return xr.full_like(like, 0.9).assign_attrs(like.attrs, untrained=said)


def test_no_star_where_nothing_trained(both: dict[str, xr.DataArray]) -> None:
    figure = landscape_figure({"adam": both["adam"], "sgd": diverged(both["adam"])})
    stars = [[line.get_marker() for line in ax.lines] for ax in figure.axes[:2]]
    assert stars == [["o", "*"], []]
    assert "nothing trained, all 99 trials diverged, 3 seeds" in texts_of(figure.axes[1])
    assert "best" not in texts_of(figure.axes[1])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["best cell", "best α for each ε"]

    alone = landscape_figure({"sgd": diverged(both["adam"])})
    assert alone.axes[0].lines[:] == []
    assert alone.legends == []
    alone.draw_without_rendering()


def test_no_star_on_a_curve_where_nothing_trained(both: dict[str, xr.DataArray]) -> None:
    curve = both["adam"].isel(eps=[3])
    (ax,) = landscape_figure({"adam": curve, "sgd": diverged(curve)}).axes
    assert [line.get_marker() for line in ax.lines].count("*") == 1
    (ax,) = landscape_figure({"sgd": diverged(curve)}).axes
    assert {line.get_marker() for line in ax.lines} == {"None"}
