"""What is read from files is what these say when they are run."""

import inspect

import pytest

from study.optimizers import OPTIMIZERS
from study.training.unloaded import unloaded_parameters, unloaded_rule
from study.workloads import WORKLOADS


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_arguments_of_optimizers(name: str) -> None:
    assert unloaded_rule(name).arguments == OPTIMIZERS[name].rule.arguments


@pytest.mark.parametrize("name", WORKLOADS)
def test_parameters_of_workloads(name: str) -> None:
    parameters = inspect.signature(WORKLOADS[name]).parameters.values()
    told = [(each.name, each.kind, each.default is each.empty) for each in unloaded_parameters(name)]
    assert told == [(each.name, each.kind, each.default is each.empty) for each in parameters]


def test_an_unloaded_rule_does_not_train() -> None:
    with pytest.raises(TypeError, match=r"was not loaded: .*optimizer_named gives one that trains"):
        unloaded_rule("adam").init({}, {})
