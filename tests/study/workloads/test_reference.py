"""What every workload of ours promises, at the sizes at which it trains in seconds."""

import functools
import itertools

import pytest
import torch
from torch import Tensor

from study.workloads import WORKLOADS, Workload
from study.workloads.check import check_workload

DETERMINISTIC = ("rastrigin", "rosenbrock")
RARE = {"avagrad-equation-11": 3000}
"""Batches among which some differ."""


@functools.cache
def made(name: str) -> Workload:
    return WORKLOADS[name]()


@pytest.mark.parametrize("name", WORKLOADS)
def test_it_keeps_its_promises(name: str) -> None:
    check_workload(made(name))
    assert "\n" not in made(name).about
    assert len(made(name).data_hash()) == 64


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_seed_decides_weights_split_and_order(name: str) -> None:
    workload = made(name)

    def everything(seed: int) -> Tensor:
        parts = [*workload.init(seed)[0].values(), *itertools.chain(*workload.evaluation(seed, "validation"))]
        parts += itertools.chain.from_iterable(itertools.islice(workload.batches(seed), RARE.get(name, 3)))
        return torch.cat([part.flatten().float() for part in parts])

    assert torch.equal(everything(1), everything(1))
    assert torch.equal(everything(1), everything(2)) == (name in DETERMINISTIC)
