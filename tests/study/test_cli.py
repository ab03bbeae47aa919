"""The command line: what it prints, and one clear line with exit code 2 for every wrong input."""

import dataclasses
import itertools
import json
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest
from PIL import Image

import study.running.plan
from analysis.stored import stored_landscapes
from search_spaces import SearchSpace
from storage.records import Trials, TuningRun
from storage.store import open_store
from study.cli import main
from study.shown import diverged_shares, show_summary
from study.training.block import Block

Cli = Callable[..., tuple[int, str, str]]
WriteStudy = Callable[..., Path]
ALPHA, EPS = [0.01, 0.1, 1.0], [1e-8, 1e-4]


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store with the study `made-up`, two optimizers, 3 x 2 cells, 2 seeds; one trial has diverged."""
    url = f"sqlite:///{tmp_path}/made.db"
    space = SearchSpace.from_table({"alpha": ALPHA, "eps": EPS})
    now = datetime.now(UTC)
    cells = space.cells()
    with open_store(url, create=True) as store:
        store.declare(
            "made-up",
            {key: {} for key in ["adam", "avagrad"]},
            space=space,
            metric="error",
            spec={"a": 1},
            provenance={},
        )
        for optimizer in ("adam", "avagrad"):
            for seed in (0, 1):
                value = np.linspace(0.1, 0.6, 6) + seed / 100
                diverged_at = np.where((np.arange(6) == 5) & (seed == 1) & (optimizer == "adam"), 7, -1)
                trials = Trials(
                    hyperparameters={"alpha": cells[:, 0], "eps": cells[:, 1]},
                    seed=seed,
                    value=value,
                    metrics={"loss": 2 * value},
                    curve_steps=np.array([10, 20]),
                    curve=np.stack([value + 0.1, value], 1),
                    diverged_at=diverged_at,
                    seconds=np.full(6, 0.5),
                    started=now,
                    finished=now,
                )
                assert store.append("made-up", optimizer, trials) == 6
    return url


def test_studies(cli: Cli, url: str) -> None:
    code, out, _ = cli("studies", "--storage", url)
    assert code == 0
    adam = next(line.split() for line in out.splitlines() if " adam " in line)
    assert adam[:6] == ["made-up", "adam", "error", "12", "1", "0.1"]
    assert "failed" not in out


def test_failures(cli: Cli, url: str) -> None:
    code, out, err = cli("failures", "made-up", "--storage", url)
    assert (code, out, err) == (0, "", "no trial of made-up failed\n")
    with open_store(url, create=True) as store:
        cells = [f"alpha={alpha!r},eps=1e-08" for alpha in ALPHA]
        store.append_failures("made-up", "adam", cells, 2, "ValueError: [/no] x", "Traceback\n[red]no")
        store.append_failures("made-up", "avagrad", cells[:1], 2, "the worker died")
    _, out, _ = cli("studies", "--storage", url)
    header, adam, avagrad = (line.split() for line in out.splitlines())
    assert (header[-1], adam[-1], avagrad[-1]) == ("failed", "3", "1")
    code, out, _ = cli("failures", "made-up", "--storage", url)
    assert code == 0
    rows = [line.split() for line in out.splitlines() if line.split()[:1] in (["adam"], ["avagrad"])]
    assert [row[0] for row in rows] == ["avagrad", "adam", "adam", "adam"]
    assert rows[1][1:4] == [f"{ALPHA[0]:g}", "1e-08", "2"]
    assert rows[1][-3:] == ["ValueError:", "[/no]", "x"]
    assert out.endswith("3 of them: ValueError: [/no] x\n  | Traceback\n  | [red]no\n")
    _, out, _ = cli("failures", "made-up/adam", "--format", "json", "--storage", url)
    found = json.loads(out)
    assert [row["alpha"] for row in found] == ALPHA
    assert (found[0]["lines"], found[0]["launch"], found[0]["seed"]) == ("Traceback\n[red]no", None, 2)
    _, out, _ = cli("failures", "made-up", "--format", "csv", "--storage", url)
    assert out.splitlines()[0] == "optimizer,alpha,eps,seed,failed_at,launch,reason,lines"
    code, _, err = cli("failures", "made", "--storage", url)
    assert (code, len(err.splitlines())) == (2, 1)


def test_trials_as_json_and_filter(cli: Cli, url: str) -> None:
    _, out, _ = cli(
        "trials", "made-up/adam", "--where", "alpha < 1 and seed = 0", "--format", "json", "--storage", url
    )
    rows = json.loads(out)
    assert [(row["alpha"], row["eps"]) for row in rows] == [(a, e) for a in ALPHA[:2] for e in EPS]
    assert {row["optimizer"] for row in rows} == {"adam"}
    assert rows[0]["loss"] == 2 * rows[0]["error"]
    _, out, _ = cli(
        "trials", "made-up", "--where", "diverged_at is not null", "--format", "json", "--storage", url
    )
    assert [(row["alpha"], row["seed"], row["diverged_at"]) for row in json.loads(out)] == [(1.0, 1, 7)]


@pytest.mark.parametrize(
    ("format", "read"), [("csv", pd.read_csv), ("parquet", pd.read_parquet), ("json", pd.read_json)]
)
def test_trials_to_a_file(
    cli: Cli, url: str, tmp_path: Path, format: str, read: Callable[[Path], pd.DataFrame]
) -> None:
    path = tmp_path / f"trials.{format}"  # its name says how they are written
    code, out, _ = cli("trials", "made-up", "-o", path, "--storage", url)
    assert (code, out) == (0, "")
    assert len(read(path)) == 24
    assert read(path)["error"].min() == 0.1


@pytest.mark.parametrize("further", [(), ("--sort", "seed")])
def test_a_filter_that_nothing_passes_says_so(cli: Cli, url: str, further: tuple[str, ...]) -> None:
    code, out, err = cli(
        "trials", "made-up", "--where", "alpha > 9", "--format", "csv", *further, "--storage", url
    )
    assert (code, len(out.splitlines()), err) == (0, 1, "no trial of made-up is so\n")


def test_version(cli: Cli) -> None:
    assert cli("--version") == (0, f"tunability {metadata.version('tunability')}\n", "")


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


def test_the_summary_shows_the_stored_numbers(cli: Cli, url: str, capfd: pytest.CaptureFixture[str]) -> None:
    with open_store(url, create=False) as store:
        show_summary(stored_landscapes(store, ["made-up"]), diverged_shares(store, "made-up"))
    lines = [" ".join(line.split()) for line in capfd.readouterr().out.splitlines()]
    assert "adam alpha = 0.01, eps = 1e-08 0.1050 ± 0.0050 0.1050 8.3%" in lines
    assert "avagrad alpha = 0.01, eps = 1e-08 0.1050 ± 0.0050 0.1050 0.0%" in lines
    assert "1e-08 0.01 0.01" in lines


@pytest.mark.parametrize(
    ("what", "names"),
    [
        (
            "optimizers",
            ["adam", "avagrad-official", "lr, alpha, eta", "0.001", "Algorithm 1", "fused, second order"],
        ),
        ("tuners", ["tpe-multivariate", "Gradientless descent", "Gaussian process"]),
        ("optimizers", ["constant (or belief)", "0.001 · lr", "package.module:Class", "one by one"]),
        (
            "workloads",
            ["digits-mlp", "digits-cnn-bn", "mnist-cnn-bn", "4,810", "64x64, 64", "depth = 10", "400 + 400"],
        ),
        ("spaces", ["avagrad-cifar", "441", "AvaGrad, section 5.1"]),
    ],
)
def test_list(cli: Cli, what: str, names: list[str]) -> None:
    code, out, _ = cli("list", what)
    assert code == 0
    assert all(name in out for name in names)


SOMEBODYS = """
import study.optimizers.sgd
from study.optimizers import Rule
from study.workloads import WORKLOADS

RULE = Rule(study.optimizers.sgd.init, study.optimizers.sgd.update, study.optimizers.sgd.ARGUMENTS)


def workload(hidden=8):
    return WORKLOADS["digits-mlp"](hidden)
"""


def test_import_paths_from_spec_to_store(tmp_path: Path) -> None:
    """An own rule on an own workload, and a library's optimizer, in the folder where the command is started."""
    (tmp_path / "somebodys.py").write_text(SOMEBODYS)
    (tmp_path / "study.toml").write_text(
        """
        name = "foreign"
        workload = { name = "somebodys:workload", hidden = 16, steps = 20, schedule = "cosine", clip_norm = 1.0 }
        optimizers = ["somebodys:RULE", { name = "pytorch_optimizer:Lion", axes = { alpha = "lr" } }]
        space = { alpha = [1e-3, 1e-2, 1e-1] }
        seeds = 2
        """
    )
    tunability = str(Path(sys.executable).with_name("tunability"))
    command = [tunability, "run", "study.toml", "--storage", "sqlite:///t.db"]
    planned = subprocess.run(
        [*command, "--dry-run"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "pytorch_optimizer:Lion: one-by-one, uncompiled, about" in planned.stdout
    assert "somebodys:RULE is no rule" not in planned.stdout
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "12 of 12 trials stored" in ran.stdout
    with open_store(f"sqlite:///{tmp_path}/t.db", create=False) as store:
        assert store.optimizers("foreign") == ["somebodys:RULE", "pytorch_optimizer:Lion"]
        packages = store.provenance("foreign", "somebodys:RULE")["packages"]
    assert packages["pytorch_optimizer"].startswith("4.")


def test_an_optimizer_that_cannot_take_a_step_is_one_line(
    cli: Cli, write_study: WriteStudy, tmp_path: Path
) -> None:
    path = write_study(old='"avagrad"', new='{ name = "torch.optim:SparseAdam" }')
    for more in ([], ["--dry-run"]):
        code, _, err = cli("run", path, "--storage", f"sqlite:///{tmp_path}/new.db", *more)
        assert code == 2
        assert err.startswith("error: torch.optim:SparseAdam cannot train digits-mlp (RuntimeError: ")
        assert not (tmp_path / "new.db").exists()


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


def test_an_optuna_study_from_its_database_to_the_verdict(cli: Cli, tmp_path: Path) -> None:
    """alpha* follows eps^0.5: scattered trials, made through plain Optuna."""
    theirs = f"sqlite:///{tmp_path}/theirs.db"
    ranges = {name: optuna.distributions.FloatDistribution(1e-5, 1e5, log=True) for name in ("alpha", "eps")}
    decades = np.random.default_rng(0).uniform(-5, 5, (120, 2))
    errors = 0.02 + 0.9 * np.tanh(0.15 * (decades[:, 0] - 0.5 * decades[:, 1]) ** 2)
    plain = optuna.storages.RDBStorage(theirs)
    optuna.create_study(storage=plain, study_name="random").add_trials(
        [
            optuna.trial.create_trial(
                params={"alpha": 10**a, "eps": 10**e}, distributions=ranges, value=error
            )
            for (a, e), error in zip(decades, errors, strict=True)
        ]
    )
    plain.remove_session()
    plain.engine.dispose()
    storage = ("--storage", f"sqlite:///{tmp_path}/ours.db")
    code, out, _ = cli("import", theirs, "--optimizer", "adam", *storage)
    assert (code, out) == (0, f"random/adam: 120 trials in {theirs}, 120 of them new\n")
    code, out, _ = cli("separability", "random", *storage)
    assert code == 0
    assert out.startswith("adam: coupled (slope 0.5")
    assert "by a surrogate of 120 scattered trials" in out
    for kind in ("landscape", "separability"):
        code, _, _ = cli("plot", kind, "random", "-o", tmp_path / f"{kind}.png", *storage)
        assert code == 0
    for command in (("tune", "random", "--trials", 60), ("cost", "random")):
        code, out, err = cli(*command, "--tuners", "random", "--target", "0.1", *storage)
        assert (code, " random " in out) == (0, True)
        assert (
            err
            == "note: adam: replayed on draws of a surrogate of 120 scattered trials; no runs are stored\n"
        )
    code, _, err = cli("cost", "random", "--noise", "run", *storage)
    assert (code, err.count("\n"), "noise each of its own" in err) == (2, 1, True)
    code, _, err = cli("tune", "random", "--replicates", 3, *storage)
    assert (code, "--replicates" in err) == (2, True)
    code, _, err = cli("import", theirs, "--study", "randm", *storage)
    assert (code, err.count("\n"), "did you mean 'random'" in err) == (2, 1, True)
    code, _, err = cli("import", tmp_path / "grid.csv", *storage)
    assert (code, err) == (2, "error: what is to be imported does not say its axes: give --axes\n")


@pytest.fixture
def tuned(url: str) -> str:
    """The study `made-up` with made-up tuning runs: two tuners, three replicates, five trials on single seeds."""
    with open_store(url, create=True) as store:
        for optimizer in ("adam", "avagrad"):
            store.append_runs(
                "made-up",
                optimizer,
                [
                    TuningRun(
                        tuner,
                        replicate,
                        "seed",
                        "free",
                        2,
                        store.space("made-up"),
                        5,
                        np.roll(np.arange(6), shift + replicate)[:5],
                    )
                    for tuner, shift in (("random", 0), ("cgld", -1))
                    for replicate in range(3)
                ],
            )
    return url


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
    code, out, _ = cli("cost", "made-up", "--compare", "--format", "json", "--storage", tuned)
    pairs = json.loads(out)
    assert [(pair["on"], pair["first"], pair["second"]) for pair in pairs] == [
        ("adam", "random", "cgld"), ("avagrad", "random", "cgld"),
        ("random", "adam", "avagrad"), ("cgld", "adam", "avagrad"),
    ]  # fmt: skip
    assert {pair["verdict"] for pair in pairs} <= {"cheaper", "dearer", "equal", "undecided"}


@pytest.mark.parametrize("kind", ["suboptimality", "cost", "profile"])
def test_tuning_figures_are_written(cli: Cli, tuned: str, tmp_path: Path, kind: str) -> None:
    paths = [tmp_path / f"figure.{suffix}" for suffix in ("png", "pdf", "svg")]
    options = [argument for path in paths for argument in ("-o", path)]
    code, out, err = cli("plot", kind, "made-up", *options, "--target", "0.1", "--storage", tuned)
    assert (code, err) == (0, "")
    assert out.splitlines() == [f"wrote {path}" for path in paths]
    assert all(path.stat().st_size > 3000 for path in paths)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tune", "made-up", "--tuners", "random,cgdl"), "unknown tuner 'cgdl' (did you mean 'cgld'?)"),
        (("tune", "made-up", "--tuners", "random,random"), "tuner 'random' is listed twice"),
        (("tune", "made-up", "--tuners", ""), "unknown tuner ''"),
        (
            ("tune", "made-up", "--trials", "0"),
            "trials = 0 is not allowed: give at least 1",
        ),
        (("tune", "made-up", "--replicates", "0"), "replicates = 0 is not allowed"),
        (("tune", "made-up", "--target", "-1"), "target = -1.0 is not allowed"),
        (("tune", "made-down"), "there is no study 'made-down'"),
        (("tune", "nothing.toml"), "nothing.toml: cannot be read"),
        (("cost", "made-up"), "made-up/adam has no tuning runs: run tunability tune"),
        (
            ("plot", "suboptimality", "made-up", "-o", "x.png", "--target", "nan"),
            "the target nan is not allowed",
        ),
        (("cost", "made-up", "--noise", "mean"), "made-up/adam has no tuning runs (noise 'mean')"),
        (("plot", "cost", "made-up", "-o", "x.gif"), "cannot write a figure to 'x.gif'"),
    ],
)
def test_bad_tuning_input_is_one_line(cli: Cli, url: str, arguments: tuple[str, ...], message: str) -> None:
    code, _, err = cli(*arguments, "--storage", url)
    assert code == 2
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_target_that_is_no_number(cli: Cli, tuned: str) -> None:
    code, _, err = cli("cost", "made-up", "--target", "nan", "--storage", tuned)
    assert (code, err) == (2, "error: the target nan is not allowed: give a suboptimality of at least 0\n")


NOTHING = "nothing trained, all 24 trials diverged"


def test_a_study_that_diverged_everywhere_says_so(cli: Cli, write_study: WriteStudy, tmp_path: Path) -> None:
    """Learning rates of 1e28 and more: no best cell, no cost, no verdict, wherever one might be told."""
    spec = write_study(lanes=12, old="[0.001, 0.01, 0.1, 1]", new="[1e28, 1e29, 1e30, 1e31]")
    storage = ("--storage", f"sqlite:///{tmp_path}/t.db")
    code, out, err = cli("run", spec, "--until-decided", "--local", *storage)
    assert (code, err) == (0, "")
    assert "48 of 48 trials stored" in out
    assert f"\nadam: {NOTHING}; avagrad: {NOTHING}\n" in out
    assert "seeds added for the verdict: 0 trials, 0 of them now" in out
    assert "best" not in out
    _, out, _ = cli("studies", *storage)
    assert [NOTHING in line and "0.9" not in line for line in out.splitlines()[1:]] == [True, True]
    refusal = f"error: adam: {NOTHING}; avagrad: {NOTHING}\n"
    assert cli("separability", "small", *storage) == (2, "", refusal)
    assert cli("plot", "separability", "small", "-o", tmp_path / "f.png", *storage) == (2, "", refusal)

    few = ("--tuners", "random,cgld", "--replicates", 5, "--trials", 8, "--local")
    code, out, err = cli("tune", spec, *few, *storage)
    assert (code, err) == (0, "")
    assert f"20 tuning runs made\nadam: {NOTHING}; avagrad: {NOTHING}\n" in out
    assert "median" not in out
    for format in ("table", "csv", "json"):
        assert cli("cost", "small", "--format", format, *storage) == (2, "", refusal)
    assert cli("cost", "small/adam", *storage) == (2, "", f"error: adam: {NOTHING}\n")
    for kind in ("suboptimality", "cost"):
        assert cli("plot", kind, "small", "-o", tmp_path / "f.png", *storage) == (2, "", refusal)
    refusal = f"error: small/adam: {NOTHING}; small/avagrad: {NOTHING}\n"
    assert cli("plot", "profile", "small", "-o", tmp_path / "f.png", *storage) == (2, "", refusal)
    assert not (tmp_path / "f.png").exists()
    # what there is can be drawn: every cell the worst, and the words instead of a star
    svg = tmp_path / "f.svg"
    assert cli("plot", "landscape", "small", "-o", svg, *storage)[0] == 0
    assert f"<!-- {NOTHING}, 2 seeds -->" in svg.read_text()
    assert "best" not in svg.read_text().replace("better", "")


@pytest.fixture
def half_trained(tmp_path: Path) -> str:
    """`half`: adam trained in half of its cells, sgd in none; with tuning runs of both."""
    url = f"sqlite:///{tmp_path}/half.db"
    space = SearchSpace.from_table({"alpha": ALPHA, "eps": EPS})
    now, cells = datetime.now(UTC), space.cells()
    with open_store(url, create=True) as store:
        spec = {"seeds": 2}
        store.declare(
            "half",
            {key: {} for key in ["adam", "sgd"]},
            space=space,
            metric="error",
            spec=spec,
            provenance={},
        )
        for optimizer, seed in itertools.product(("adam", "sgd"), (0, 1)):
            fails = (np.arange(6) >= 3) | (optimizer == "sgd")
            trials = Trials(
                hyperparameters={"alpha": cells[:, 0], "eps": cells[:, 1]},
                seed=seed,
                value=np.where(fails, 0.9, np.linspace(0.1, 0.6, 6) + seed / 100),
                metrics={},
                curve_steps=np.array([10]),
                curve=np.full((6, 1), 0.9),
                diverged_at=np.where(fails, 1, -1),
                seconds=np.full(6, 0.5),
                started=now,
                finished=now,
            )
            assert store.append("half", optimizer, trials) == 6
        for optimizer in ("adam", "sgd"):
            orders = [np.roll(np.arange(6), replicate)[:5] for replicate in range(3)]
            runs = [
                TuningRun("random", replicate, "seed", "free", 2, space, 5, order)
                for replicate, order in enumerate(orders)
            ]
            store.append_runs("half", optimizer, runs)
    return url


def test_one_that_trained_is_told_beside_one_that_did_not(
    cli: Cli, half_trained: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said, storage = "sgd: nothing trained, all 12 trials diverged\n", ("--storage", half_trained)
    with open_store(half_trained, create=False) as store:
        show_summary(stored_landscapes(store, ["half"]), diverged_shares(store, "half"))
    out = capfd.readouterr().out
    assert out.startswith(said)
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "adam alpha = 0.01, eps = 1e-08 0.1050 ± 0.0050 0.1050 50.0%" in lines
    assert "eps best alpha, adam" in lines
    _, out, _ = cli("studies", *storage)
    assert [line.split()[2:6] for line in out.splitlines()[1:]] == [
        ["error", "12", "6", "0.1"],
        ["error", "12", "12", "nothing"],
    ]
    code, out, err = cli("cost", "half", "--format", "json", *storage)
    assert (code, err) == (0, said)
    assert [row["optimizer"] for row in json.loads(out)] == ["adam"]
    code, out, err = cli("separability", "half", *storage)
    assert (code, err) == (0, "")
    assert out.startswith(said + "adam: ")
    code, out, err = cli("separability", "half", "--format", "json", *storage)
    assert (code, err) == (0, said)
    assert [verdict["optimizer"] for verdict in json.loads(out)] == ["adam"]
    for kind in ("separability", "suboptimality", "cost", "profile"):
        svg = tmp_path / f"{kind}.svg"
        code, out, err = cli("plot", kind, "half", "-o", svg, *storage)
        assert (code, out, err) == (0, f"wrote {svg}\n", f"half/{said}" if kind == "profile" else said)
        assert "sgd: nothing trained, all 12 trials diverged -->" in svg.read_text()
    where = ("--where", "alpha > 0.5")  # adam's corner that diverged
    code, _, err = cli("separability", "half/adam", *where, *storage)
    assert (code, err) == (2, "error: adam: nothing trained, all 4 trials diverged\n")


def test_dry_run_tells_and_writes_nothing(cli: Cli, write_study: WriteStudy, tmp_path: Path) -> None:
    code, out, _ = cli("run", write_study(), "--dry-run", "--storage", f"sqlite:///{tmp_path}/new.db")
    assert code == 0
    assert "48 trials, 0 of them stored" in out
    assert "48 trials in 12 blocks of up to 4" in out
    assert "estimated time: " in out
    assert not (tmp_path / "new.db").exists()


def test_light_commands_import_neither_torch_nor_ray(url: str) -> None:
    script = (
        "import sys; from study.cli import main\n"
        "try: main()\n"
        "except SystemExit as exit: assert not exit.code\n"
        "print('LOADED', *sorted({'torch', 'ray', 'optuna'} & set(sys.modules)))\n"
    )
    for arguments in (["--help"], ["trials", "made-up", "--storage", url], ["studies", "--storage", url]):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
        )
        assert done.stdout.splitlines()[-1].strip() == "LOADED"


def test_a_block_that_fails_for_good(
    cli: Cli, write_study: WriteStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reported with exit code 1; the rest is stored, and the next run trains what is missing."""
    make_block = study.running.plan.make_block

    def spoil(*arguments: object) -> Block:
        block = make_block(*arguments)  # type: ignore[arg-type]
        if (block.recipe.optimizer, block.seed) == ("avagrad", 1):
            bad = {**block.hyperparameters, "eps": -np.ones(block.lanes)}
            return dataclasses.replace(block, hyperparameters=bad)
        return block

    command = ("run", write_study(lanes=12), "--local", "--storage", f"sqlite:///{tmp_path}/t.db")
    monkeypatch.setattr(study.running.plan, "make_block", spoil)
    code, out, err = cli(*command)
    assert code == 1
    assert "failed: avagrad, alpha = 0.001, eps = 1e-08, seed 1: ValueError: eps = -1.0 is not" in err
    assert "Traceback" not in err
    assert "36 of 48 trials stored" in out
    with open_store(f"sqlite:///{tmp_path}/t.db", create=False) as store:
        failed = store.failures("small")
    assert failed["optimizer"].tolist() == ["avagrad"] * 12
    assert set(failed["seed"]) == {1}
    assert not failed.duplicated(["alpha", "eps"]).any()
    assert failed["reason"].str.startswith("ValueError: eps = -1.0 is not allowed").all()
    assert failed["lines"].str.contains("Traceback|File").all()
    monkeypatch.undo()
    monkeypatch.setattr(sys, "argv", ["tunability", *map(str, command)])
    with pytest.raises(SystemExit) as exit:
        main()
    assert not exit.value.code
    with open_store(f"sqlite:///{tmp_path}/t.db", create=False) as store:
        assert store.studies()["trials"].tolist() == [24, 24]
        assert store.failures("small").empty


def refused(cli: Cli, folder: Path, *arguments: object) -> str:
    """The one line with which a command is refused, having written nothing."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    code, out, err = cli(*arguments)
    assert code == 2
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    return line


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"adam"', '"adma"', "did you mean 'adam'?"),
        ('name = "digits-mlp"', 'name = "digits-mpl"', "did you mean 'digits-mlp'?"),
        ("seeds = 2", "seeds = 0", "seeds = 0 is not allowed"),
        ("seeds = 2", "seeds = = 2", "not valid TOML: Invalid value (at line 6"),
        ("seeds = 2", "seeds = 2\nsteps = 3", "unknown key 'steps'"),
        ("alpha = [0.001, 0.01, 0.1, 1]", "alpha = []", "axis 'alpha' is empty"),
        ("alpha = [0.001, 0.01, 0.1, 1]", "alpha = [1, 1]", "axis 'alpha' has the value 1 twice"),
        (
            "{ alpha = [0.001, 0.01, 0.1, 1], eps = [1e-8, 1e-4, 1] }",
            '"avagrad"',
            "unknown search space 'avagrad'",
        ),
    ],
)
def test_wrong_study_files(
    cli: Cli, write_study: WriteStudy, tmp_path: Path, old: str, new: str, message: str
) -> None:
    spec = write_study(old=old, new=new)
    assert message in refused(cli, tmp_path, "run", spec, "--storage", f"sqlite:///{tmp_path}/t.db")


MODULES = """
import torch
import torch.nn.functional as F
from study.workloads import ModuleWorkload, error_rate

x, y = torch.rand(96, 6), torch.arange(96) % 3


def workload(inputs=6, outputs=3, batch=16, labels=96, kept=96, mistake=None, dropout=0.0):
    if mistake == "raises":
        raise OSError("no such file: images.npy")

    def loss(predicted, targets):
        return predicted.sum(1) if mistake == "loss" else F.cross_entropy(predicted, targets)

    def metric(predicted, targets):
        return predicted.mean(0) if mistake == "metric" else error_rate(predicted, targets)

    def model():
        return torch.nn.Sequential(torch.nn.Dropout(dropout), torch.nn.Linear(inputs, outputs))

    data = x[:kept], y[:labels]
    return ModuleWorkload(model, data, 0.25, loss, {"validation_error": metric}, batch)


def needs(width):
    return workload()
"""


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            'name = "modules:workload", mistake = "raises"',
            "modules:workload cannot be made (FileNotFoundError|OSError",
        ),
        ('name = "modules:needs"', "modules:needs needs width: give it in the study file"),
        ('name = "modules:workload", inptus = 3', "unknown key 'inptus' (did you mean 'inputs'?)"),
        (
            'name = "modules:workload", mistake = "metric"',
            "the metric 'validation_error' is a tensor of shape (3,)",
        ),
        ('name = "modules:workload", mistake = "loss"', "the loss is a tensor of shape (16,): give a scalar"),
        ('name = "modules:workload", kept = 0, labels = 0', "train is empty: give at least one item"),
        ('name = "modules:workload", batch = 73', "batch = 73 is more than the 72 training items"),
        ('name = "modules:workload", labels = 95', "train has 96 and 95 items: give as many of each"),
        (
            'name = "modules:workload", outputs = 2',
            "model, data and loss do not fit together (IndexError: Target",
        ),
        (
            'name = "modules:workload", inputs = 5',
            "model, data and loss do not fit together (RuntimeError: mat1",
        ),
        ('name = "modules:nothing"', "modules:nothing cannot be imported (AttributeError"),
        ('name = "digits-mlp", hidden = 0.5', "digits-mlp cannot be made (TypeError"),
    ],
)
def test_wrong_workloads(
    cli: Cli,
    write_study: WriteStudy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    table: str,
    message: str,
) -> None:
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "modules.py").write_text(MODULES)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    spec = write_study(old='name = "digits-mlp"', new=table)
    line = refused(cli, tmp_path, "run", spec, "--storage", f"sqlite:///{tmp_path}/t.db")
    assert any(each in line for each in message.split("|"))


def other_sqlite(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE mine (x INTEGER)")
    connection.close()


def later_schema(path: Path) -> None:
    open_store(f"sqlite:///{path}", create=True).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v9.9.9'")
    connection.close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (other_sqlite, "not an Optuna database"),
        (lambda path: path.write_text("hello"), "is not an SQLite file"),
        (later_schema, "v9.9.9"),
    ],
)
@pytest.mark.parametrize("command", ["run", "trials"])
def test_wrong_databases(
    cli: Cli,
    write_study: WriteStudy,
    tmp_path: Path,
    make: Callable[[Path], None],
    message: str,
    command: str,
) -> None:
    make(tmp_path / "t.db")
    target = write_study() if command == "run" else "small"
    assert message in refused(cli, tmp_path, command, target, "--storage", f"sqlite:///{tmp_path}/t.db")


def test_other_wrong_inputs(cli: Cli, url: str, write_study: WriteStudy, tmp_path: Path) -> None:
    spec, storage = write_study(), ("--storage", url)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    new = ("--storage", f"sqlite:///{tmp_path}/new.db")
    assert f"cannot reach a Ray cluster at '{address}'" in refused(
        cli, tmp_path, "run", spec, "--address", address, *new
    )
    assert "cannot reach" in refused(cli, tmp_path, "run", spec, "--address", "nonsense", *new)
    assert "cannot be read" in refused(cli, tmp_path, "run", tmp_path / "no.toml", *new)
    assert "does not exist" in refused(
        cli, tmp_path, "run", spec, "--storage", f"sqlite:///{tmp_path}/no/t.db"
    )
    assert "there is no such file" in refused(cli, tmp_path, "studies", *new)
    assert "did you mean 'made-up'?" in refused(cli, tmp_path, "trials", "mode-up", *storage)
    assert "did you mean 'adam'?" in refused(cli, tmp_path, "trials", "made-up/adma", *storage)
    assert "alhpa" in refused(cli, tmp_path, "trials", "made-up", "--where", "alhpa < 1", *storage)
    missing = tmp_path / "no" / "f.png"
    folder = tmp_path / "folder.png"
    folder.mkdir()
    assert "does not exist" in refused(cli, tmp_path, "plot", "landscape", "made-up", "-o", missing, *storage)
    assert "is a folder" in refused(
        cli, folder.parent, "plot", "landscape", "made-up", "-o", folder, *storage
    )
    assert "end its name with" in refused(
        cli, tmp_path, "plot", "landscape", "made-up", "-o", "f.jpg", *storage
    )
    table = missing.with_suffix(".csv")
    assert "folder that exists" in refused(cli, tmp_path, "trials", "made-up", "-o", table, *storage)
    assert "end it in .csv" in refused(cli, tmp_path, "trials", "made-up", "-o", missing, *storage)


def test_a_bug_keeps_its_traceback(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("storage.export.write", broken)
    monkeypatch.setattr(sys, "argv", ["tunability", "studies", "--storage", url])
    with pytest.raises(ZeroDivisionError):
        main()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "lets other machines in"),
        (["--token", "short"], "the token is not allowed"),
        (["--address", "localhost"], "--address localhost is not allowed"),
        (["--host", "192.0.2.77", "--token", "a-long-enough-token"], "cannot listen on"),
        (["--storage", "mysql://u:secret@h/d", "--port", "0"], "is a mysql database"),
        (["--storage", "nonsense", "--port", "0"], "is not a database URL"),
    ],
)
def test_a_service_that_cannot_be_started(cli: Cli, arguments: list[str], said: str) -> None:
    code, out, err = cli("serve", *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
    assert "secret" not in err


def test_a_port_that_is_taken(cli: Cli, url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = cli("serve", "--storage", url, "--port", taken.getsockname()[1])
    assert code == 2
    assert "give another --host or --port" in err


def test_copy_merge_rename_and_delete(cli: Cli, url: str, tmp_path: Path) -> None:
    there = f"sqlite:///{tmp_path}/there.db"
    code, _, err = cli("copy", url, there, "made-up", "other")
    assert (code, err.count("\n")) == (2, 1)
    assert "there is no study 'other'" in err
    code, _, err = cli("merge", url, there, "made-up")
    assert (code, err.count("\n")) == (2, 1)
    assert not (tmp_path / "there.db").exists()
    code, out, err = cli("copy", url, there)
    assert (code, err) == (0, "")
    assert out.startswith("made-up: 24 trials and 0 tuning runs copied; verified: 24 trials, checksum ")
    for command in ("copy", "merge"):
        again = cli(command, url, there, "made-up")[1]
        assert again.startswith("made-up: 0 trials and 0 tuning runs copied; verified: 24 trials, checksum ")
        assert again.endswith(", 24 of them there before\n")
        code, _, err = cli(command, url, url, "made-up")
        assert (code, err.count("\n"), "are one database" in err) == (2, 1, True)
    assert cli("trials", "made-up", "--storage", there)[1] == cli("trials", "made-up", "--storage", url)[1]
    assert cli("rename", "made-up", "mine", "--storage", there)[:2] == (
        0,
        "made-up is mine now: write name = 'mine' in its study file\n",
    )
    for command in (["rename", "made-up", "x"], ["delete", "made-up"]):
        code, _, err = cli(*command, "--storage", there)
        assert (code, err.count("\n")) == (2, 1)
        assert "there is no study 'made-up'" in err
    code, out, err = cli("delete", "mine", "--storage", there)
    assert (code, out, err) == (
        2,
        "",
        "mine: 24 trials, 0 tuning runs: nothing was deleted; --yes deletes them without asking\n",
    )
    assert cli("delete", "mine", "--yes", "--storage", there)[:2] == (
        0,
        "deleted mine: 24 trials, 0 tuning runs\n",
    )
    with open_store(there, create=False) as store:
        assert store.studies().empty
