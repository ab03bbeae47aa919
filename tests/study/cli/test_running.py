"""`run` and `tune`: what they print, and one clear line with exit code 2 for every wrong input."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import study.running.plan
from analysis.stored import stored_landscapes
from storage.store import open_store
from study.cli import main
from study.shown.runs import diverged_shares, show_summary
from study.training.block import Block

Cli = Callable[..., tuple[int, str, str]]
Refused = Callable[..., str]
WriteStudy = Callable[..., Path]


SOMEBODYS = """
import study.optimizers.sgd
from study.optimizers import Rule
from study.workloads import WORKLOADS

RULE = Rule(study.optimizers.sgd.init, study.optimizers.sgd.update, study.optimizers.sgd.ARGUMENTS)


def workload(hidden=8):
    return WORKLOADS["digits-mlp"](hidden)
"""


NOTHING = "nothing trained, all 24 trials diverged"


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


def test_the_summary_shows_the_stored_numbers(cli: Cli, url: str, capfd: pytest.CaptureFixture[str]) -> None:
    with open_store(url, create=False) as store:
        show_summary(stored_landscapes(store, ["made-up"]), diverged_shares(store, "made-up"))
    lines = [" ".join(line.split()) for line in capfd.readouterr().out.splitlines()]
    assert "adam alpha = 0.01, eps = 1e-08 0.1050 ± 0.0050 0.1050 8.3%" in lines
    assert "avagrad alpha = 0.01, eps = 1e-08 0.1050 ± 0.0050 0.1050 0.0%" in lines
    assert "1e-08 0.01 0.01" in lines
    assert "adam: best at the edge of alpha" in lines
    assert "avagrad: best at the edge of alpha" in lines


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
    command = [tunability, "run", "study.toml", "--local", "--storage", "sqlite:///t.db"]
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
    assert [NOTHING in line for line in out.splitlines()[1:]] == [True, True]
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
    refused: Refused, write_study: WriteStudy, tmp_path: Path, old: str, new: str, message: str
) -> None:
    spec = write_study(old=old, new=new)
    assert message in refused(tmp_path, "run", spec, "--storage", f"sqlite:///{tmp_path}/t.db")


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
    refused: Refused,
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
    line = refused(tmp_path, "run", spec, "--storage", f"sqlite:///{tmp_path}/t.db")
    assert any(each in line for each in message.split("|"))
