"""Optimizers and workloads by name and by import path."""

from pathlib import Path

import pytest

from study.optimizers import OPTIMIZERS, Rule
from study.training.named import optimizer_named, workload_named
from study.training.torch_class import TorchClass
from study.workloads import WORKLOADS

MODULE = """
import study.optimizers.sgd
from study.optimizers import Rule
from study.optimizers.rule import optimizer_class
from study.workloads import WORKLOADS

RULE = Rule(study.optimizers.sgd.init, study.optimizers.sgd.update, study.optimizers.sgd.ARGUMENTS)
Mine = optimizer_class("Mine", RULE, "My own.", __name__)
WORKLOAD = WORKLOADS["digits-mlp"]


class Changed(Mine):
    def step(self, closure=None):
        pass


NOTHING = 3


class Half:
    about = metric = "half"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with somebody's module in it."""
    (tmp_path / "somebodys.py").write_text(MODULE)
    (tmp_path / "leaves.py").write_text("import sys; sys.exit(0)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_ours_run_fused(name: str) -> None:
    assert optimizer_named(name) is OPTIMIZERS[name].rule


@pytest.mark.usefixtures("folder")
def test_own_rules_run_fused_and_own_workloads_are_taken() -> None:
    assert isinstance(optimizer_named("somebodys:RULE"), Rule)
    assert isinstance(optimizer_named("somebodys:Mine"), Rule)
    assert workload_named("somebodys:WORKLOAD") is WORKLOADS["digits-mlp"]


@pytest.mark.usefixtures("folder")
def test_other_torch_optimizers_do_not() -> None:
    assert isinstance(optimizer_named("somebodys:Changed"), TorchClass)  # it is not what its rule is
    assert isinstance(optimizer_named("torch.optim:Adam"), TorchClass)
    assert isinstance(optimizer_named("study.optimizers:SGD"), Rule)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "somebodys:NOTHING",
            "somebodys:NOTHING is no optimizer: give the path of a torch.optim.Optimizer class",
        ),
        ("study.optimizers:RuleOptimizer", "RuleOptimizer is no optimizer"),
        ("leaves:RULE", r"leaves:RULE cannot be imported \(SystemExit: 0\)"),
        ("somebodys:MISSING", r"somebodys:MISSING cannot be imported \(AttributeError: module 'somebodys'"),
        (
            "nobodys:RULE",
            r"nobodys:RULE cannot be imported \(ModuleNotFoundError: No module named 'nobodys'\)",
        ),
        (":RULE", "cannot be imported"),
        ("adma", r"unknown optimizer 'adma' \(did you mean 'adam'\?\): known are sgd, adam"),
    ],
)
def test_what_is_no_optimizer(path: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        optimizer_named(path)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("somebodys:NOTHING", r"no workload \(it lacks about, metric, worst, flops_per_step"),
        ("somebodys:Half", "somebodys:Half is no workload: give the path of an object"),
        ("digits-mpl", r"did you mean 'digits-mlp'\?"),
    ],
)
def test_what_is_no_workload(path: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        workload_named(path)
