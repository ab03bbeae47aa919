"""Commands that bring trials in, elsewhere, or away."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna

from storage.store import open_store

Cli = Callable[..., tuple[int, str, str]]


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
    code, out, err = cli("import", theirs, "--optimizer", "adam", *storage)
    assert err == "note: axes are alpha, eps: --axes takes others\n"
    assert (code, out) == (0, f"random/adam: 120 trials in {theirs}, 120 of them new\n")
    code, out, _ = cli("separability", "random", *storage)
    assert code == 0
    assert out.startswith("adam: coupled (slope 0.5")
    assert "by a surrogate of 120 scattered trials" in out
    assert "have no intervals" not in out  # the surrogate gives them, whatever the seeds
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
    assert (code, err) == (2, "error: what is to be imported does not say its metric: give --metric\n")


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
