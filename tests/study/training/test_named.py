"""Optimizers and workloads by name and by import path."""

from pathlib import Path

import pytest

from study.optimizers import OPTIMIZERS, Rule
from study.training.named import imported, optimizer_named, workload_named
from study.training.torch_class import TorchClass

MODULE = """
import study.optimizers.sgd
from study.optimizers import Rule
from study.optimizers.torch_rule import optimizer_class
from study.workloads import WORKLOADS

RULE = Rule(study.optimizers.sgd.init, study.optimizers.sgd.update, study.optimizers.sgd.ARGUMENTS)
Mine = optimizer_class("Mine", RULE, "My own.", __name__)
WORKLOAD = WORKLOADS["digits-mlp"]
MADE = WORKLOAD()


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
    assert workload_named("somebodys:WORKLOAD").metric == "validation_error"
    assert workload_named("somebodys:MADE") is imported("somebodys:MADE")
    assert workload_named("somebodys:WORKLOAD", '{"hidden": 3}').init(0)[0]["0.bias"].shape == (3,)


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
        ("somebodys:NOTHING", r"no workload \(it lacks about, metric, worst, phases, init"),
        (
            "somebodys:Half",
            r"Half is no workload \(it lacks worst, .*: give the path of a function that makes a",
        ),
        ("digits-mpl", r"did you mean 'digits-mlp'\?"),
    ],
)
def test_what_is_no_workload(path: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        workload_named(path)


FACTORIES = """
from study.workloads import ModuleWorkload, WORKLOADS
import torch

class Changing:
    def __init__(self, inner):
        self.inner, self.phases, self.calls = inner, inner.phases, 0
    def __getattr__(self, name):
        return getattr(self.inner, name)
    def evaluate(self, *given):
        self.calls += 1
        sums, count = self.inner.evaluate(*given)
        return {name: value * self.calls for name, value in sums.items()}, count

def needs(width): return WORKLOADS["digits-mlp"](width)
def raises(width=3): raise RuntimeError("no data here")
def gives_nothing(): return None
def impure(): return Changing(WORKLOADS["digits-mlp"]())
def one_batch(batch=10_000):
    x = torch.rand(20, 3)
    mean = lambda outputs, targets: outputs.mean()
    return ModuleWorkload(lambda: torch.nn.Linear(3, 1), (x, x.sum(1)), 0.5, mean, {"mean": mean}, batch)
"""


@pytest.fixture
def factories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "factories.py").write_text(FACTORIES)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("factories")
@pytest.mark.parametrize(
    ("path", "settings", "message"),
    [
        (
            "factories:needs",
            "{}",
            r"factories:needs needs width: give it in the study file, \[workload\] width = ",
        ),
        ("factories:needs", '{"witdh": 3}', r"unknown key 'witdh' \(did you mean 'width'\?\)"),
        ("factories:raises", "{}", r"factories:raises cannot be made \(RuntimeError: no data here\)"),
        ("factories:gives_nothing", "{}", "factories:gives_nothing is no workload"),
        ("factories:impure", "{}", "evaluate gives something else at a second call with equal arguments"),
        ("factories:one_batch", "{}", "batch = 10000 is more than the 10 training items"),
        ("factories:one_batch", '{"batch": 2.5}', r"batch = 2\.5 is not allowed: give a whole number"),
    ],
)
def test_what_a_factory_may_not_do(path: str, settings: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        workload_named(path, settings)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("folder")
def test_what_is_made_already_takes_no_arguments() -> None:
    with pytest.raises(ValueError, match="somebodys:MADE is a workload already, and takes no hidden"):
        workload_named("somebodys:MADE", '{"hidden": 3}')
