"""`plot`."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from storage.store import open_store

Cli = Callable[..., tuple[int, str, str]]
Refused = Callable[..., str]


def test_plot_landscape(cli: Cli, url: str, tmp_path: Path) -> None:
    png, pdf = tmp_path / "f.png", tmp_path / "f.pdf"
    code, out, _ = cli("plot", "landscape", "made-up", "-o", png, "-o", pdf, "--storage", url)
    assert code == 0
    assert out == f"wrote {png}\nwrote {pdf}\n"
    with Image.open(png) as picture:
        assert min(picture.size) > 500
    assert pdf.read_bytes().startswith(b"%PDF")


def test_axes_are_chosen_and_held(cli: Cli, url: str, tmp_path: Path) -> None:
    whole, turned = tmp_path / "whole.png", tmp_path / "turned.png"
    storage = ("--storage", url)
    assert cli("plot", "landscape", "made-up", "-o", whole, *storage)[0] == 0
    assert cli("plot", "landscape", "made-up", "--axes", "eps,alpha", "-o", turned, *storage)[0] == 0
    assert whole.read_bytes() != turned.read_bytes()
    for given, said in (
        (("--at", "eps=3"), "eps = 3 is not on the grid: it has 1e-08, 0.0001"),
        (("--at", "eps"), "'eps' is not understood: write an axis and its value, as in beta1=0.9"),
        (("--axes", "alpha,beta"), "there is no axis 'beta': there are alpha, eps"),
        (("--axes", "alpha", "--pairs"), "pairs need two axes or more, and there is only alpha"),
    ):
        refused = tmp_path / "refused.png"
        code, _, err = cli("plot", "landscape", "made-up", *given, "-o", refused, *storage)
        assert (code, err, refused.exists()) == (2, f"error: {said}\n", False)
    code, _, err = cli("separability", "made-up", "--axes", "eps,alpha", "--at", "alpha=1", *storage)
    assert (code, err.count("\n"), "'alpha' is given twice" in err) == (2, 1, True)


def test_plot_of_a_half_run_study_draws_what_is_there(cli: Cli, url: str, tmp_path: Path) -> None:
    with open_store(url, create=True) as store:
        space = store.space("made-up")
        store.declare(
            "half", {key: {} for key in ["adam"]}, space=space, metric="error", spec={}, provenance={}
        )
    code, _, err = cli("plot", "landscape", "half", "-o", tmp_path / "f.png", "--storage", url)
    assert (code, err) == (2, "error: there are no trials: run the study first, or widen the filter\n")
    where = ("--where", "optimizer = 'adam'")
    code, _, err = cli("plot", "landscape", "made-up", *where, "-o", tmp_path / "f.png", "--storage", url)
    assert (code, err) == (0, "no trials of made-up/avagrad: left out\n")


@pytest.mark.parametrize("kind", ["suboptimality", "cost", "profile"])
def test_tuning_figures_are_written(cli: Cli, tuned: str, tmp_path: Path, kind: str) -> None:
    paths = [tmp_path / f"figure.{suffix}" for suffix in ("png", "pdf", "svg")]
    options = [argument for path in paths for argument in ("-o", path)]
    code, out, err = cli("plot", kind, "made-up", *options, "--target", "0.1", "--storage", tuned)
    assert (code, err) == (0, "")
    assert out.splitlines() == [f"wrote {path}" for path in paths]
    assert all(path.stat().st_size > 3000 for path in paths)
