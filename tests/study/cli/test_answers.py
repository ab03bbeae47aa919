"""`cost`, `separability` and `sensitivity`."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

Cli = Callable[..., tuple[int, str, str]]


def test_separability_of_an_imported_table(cli: Cli, tmp_path: Path) -> None:
    """alpha* follows eps: anybody's table, from the file to the verdict."""
    decades = np.arange(-3, 3.5, 0.5)
    alpha, eps = (grid.ravel() for grid in np.meshgrid(decades, decades, indexing="ij"))
    error = 0.02 + 0.9 * np.tanh(0.15 * (alpha - 0.5 * eps) ** 2)
    frame = pd.DataFrame({"alpha": 10**alpha, "eps": 10**eps, "error": error})
    noise = np.random.default_rng(0).normal(0, 0.005, (3, len(frame)))
    pd.concat([frame.assign(seed=i, error=error + noise[i]) for i in range(3)]).to_csv(tmp_path / "grid.csv")
    storage = ("--storage", f"sqlite:///{tmp_path}/t.db")
    named = (
        "--name",
        "theirs",
        "--optimizer",
        "lion",
        "--axes",
        "alpha,eps",
        "--metric",
        "error",
        "--seed",
        "seed",
    )
    code, out, _ = cli("import", tmp_path / "grid.csv", *named, *storage)
    assert (code, out) == (0, f"theirs/lion: 507 trials in {tmp_path}/grid.csv, 507 of them new\n")
    code, out, _ = cli("separability", "theirs", "--format", "json", *storage)
    (found,) = json.loads(out)
    assert (found["optimizer"], found["axes"], found["verdict"]) == ("lion", ["alpha", "eps"], "coupled")
    assert found["slope"]["low"] <= 0.5 <= found["slope"]["high"]
    assert found["transition"] is None
    code, out, _ = cli("separability", "theirs", "--target", "0.01", *storage)
    assert out.startswith("lion: coupled (slope 0.5")
    assert "alpha/eps^0.5" in out
    code, _, err = cli("separability", "theirs", "--target", "-1", *storage)
    assert (code, err.count("\n")) == (2, 1)
    code, out, _ = cli("plot", "separability", "theirs", "-o", tmp_path / "ridge.png", *storage)
    assert (code, out) == (0, f"wrote {tmp_path}/ridge.png\n")
    code, _, err = cli(
        "import",
        tmp_path / "grid.csv",
        "--name",
        "x",
        "--optimizer",
        "y",
        "--axes",
        "alpha",
        "--metric",
        "loss",
        "--storage",
        f"sqlite:///{tmp_path}/new.db",
    )
    assert (code, "has no column 'loss'" in err) == (2, True)
    assert not (tmp_path / "new.db").exists()


def test_sensitivity_in_every_format_and_as_a_figure(cli: Cli, url: str, tmp_path: Path) -> None:
    code, out, _ = cli("sensitivity", "made-up", "--storage", url)
    assert code == 0
    assert "made-up/adam: what the default costs is not known, for the default of alpha is not known" in out
    row = next(line.split() for line in out.splitlines() if " alpha " in line and " held " in line)
    assert row[:3] == ["made-up/adam", "alpha", "held"]
    assert "fANOVA" in out
    assert "not what tuning gains" in out
    given = ("--within", "0.2", "--defaults", "alpha=0.1,eps=1e-8")
    _, out, _ = cli("sensitivity", "made-up", *given, "--format", "json", "--storage", url)
    found = json.loads(out)
    assert [each["optimizer"] for each in found["landscapes"]] == ["adam", "avagrad"]
    assert (found["across"], found["left_out"]) == ([], {})
    adam = found["landscapes"][0]
    alpha, eps = adam["hyperparameters"]
    assert [width["within"] for width in alpha["widths"]] == [0.2]
    # its values lose 0, 0.2 and 0.4
    assert alpha["widths"][0]["tuned"]["estimate"] == pytest.approx(1.0, abs=0.05)
    assert adam["default_cost"]["estimate"] == pytest.approx(0.2, abs=0.02)
    assert eps["lost_at_default"]["estimate"] == pytest.approx(0.0, abs=0.02)
    assert (adam["tuned"]["needed"]["estimate"], adam["tuned"]["which"]) == (1, ["alpha"])
    path = tmp_path / "sensitivity.png"
    assert cli("plot", "sensitivity", "made-up", *given, "-o", path, "--storage", url)[0] == 0
    with Image.open(path) as picture:
        assert min(picture.size) > 500


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("made-up", "--within", "0.01,x"), "error: thresholds are written as 0.005,0.01, not '0.01,x'"),
        (
            ("made-up", "--within", "0"),
            "error: a threshold of 0.0 is not allowed: give numbers above 0, such as 0.01",
        ),
        (
            ("made-up", "--defaults", "alpha"),
            "error: defaults are written as alpha=0.1,eps=1e-8, not 'alpha'",
        ),
        (
            ("made-up", "--defaults", "lr=1"),
            "error: there is no axis 'lr': defaults may be given of alpha, eps",
        ),
    ],
)
def test_wrong_input_to_sensitivity_is_one_line(
    cli: Cli, url: str, arguments: tuple[str, ...], said: str
) -> None:
    assert cli("sensitivity", *arguments, "--storage", url) == (2, "", said + "\n")


def test_sensitivity_of_what_has_one_seed_says_so(cli: Cli, tmp_path: Path) -> None:
    table, url = tmp_path / "grid.csv", f"sqlite:///{tmp_path}/one.db"
    cells = [(a, e, 0.1 + a * e) for a, e in itertools.product((0.1, 1, 10), (0.1, 1, 10))]
    pd.DataFrame(cells, columns=["alpha", "eps", "error"]).to_csv(table, index=False)
    imported = ("--name", "mine", "--axes", "alpha,eps", "--metric", "error", "--storage", url)
    assert cli("import", table, *imported)[0] == 0
    said = "error: mine/imported: one seed tells nothing of the noise, train a second\n"
    assert cli("sensitivity", "mine", "--storage", url) == (2, "", said)


def test_cost_in_every_format(cli: Cli, tuned: str) -> None:
    code, out, _ = cli("cost", "made-up", "--target", "0.05", "--format", "json", "--storage", tuned)
    rows = json.loads(out)
    assert code == 0
    assert [(row["optimizer"], row["tuner"]) for row in rows] == [
        ("adam", "random"), ("adam", "cgld"), ("avagrad", "random"), ("avagrad", "cgld"),
    ]  # fmt: skip
    names = "optimizer tuner target median low high reached reached_low reached_high observed replicates"
    assert list(rows[0]) == names.split()
    assert all(row["low"] <= row["median"] <= row["high"] for row in rows)
    assert all(row["reached_low"] <= row["reached"] <= row["reached_high"] <= 1 for row in rows)
    assert (rows[0]["observed"], rows[0]["replicates"]) == (2.0, 3)
    code, out, _ = cli("cost", "made-up/adam", "--target", "0.05", "--format", "csv", "--storage", tuned)
    assert out.splitlines()[2].startswith("adam,cgld,0.05,")
    code, out, _ = cli("cost", "made-up", "--storage", tuned)
    assert "cgld" in out
    _, out, _ = cli("cost", "made-up", "--format", "json", "--storage", tuned)
    assert {row["target"] for row in json.loads(out)} == {0.005}
    code, out, _ = cli("cost", "made-up", "--compare", "--format", "json", "--storage", tuned)
    pairs = json.loads(out)
    assert [(pair["on"], pair["first"], pair["second"]) for pair in pairs] == [
        ("adam", "random", "cgld"), ("avagrad", "random", "cgld"),
        ("random", "adam", "avagrad"), ("cgld", "adam", "avagrad"),
    ]  # fmt: skip
    assert {pair["verdict"] for pair in pairs} <= {"cheaper", "dearer", "equal", "undecided"}


def test_a_target_that_is_no_number(cli: Cli, tuned: str) -> None:
    code, _, err = cli("cost", "made-up", "--target", "nan", "--storage", tuned)
    assert (code, err) == (2, "error: the target nan is not allowed: give a suboptimality of at least 0\n")


def test_separability_after_fewer_steps(cli: Cli, url: str) -> None:
    code, _, err = cli("separability", "made-up", "--step", "10", "--storage", url)
    assert (code, err.splitlines()[0]) == (0, "note: as after 10 steps of training")
    code, _, err = cli("separability", "made-up", "--step", "9", "--storage", url)
    assert code != 0
    assert "no trial is known after 9 steps: learning curves begin at step 10" in err
