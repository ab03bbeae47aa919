"""What a training step of a workload takes, measured rather than declared."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from study.workloads.draws import seeded
from study.workloads.workload import Workload


@lru_cache(maxsize=32)
def flops_per_step(workload: Workload) -> int:
    """Floating-point operations of the matrix products and convolutions of a step, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        _differentiate(workload)
    return int(counter.get_total_flops())


@lru_cache(maxsize=32)
def bytes_per_lane(workload: Workload) -> int:
    """Float32 working set of a lane in one step without optimizer state: weights, gradients, what backward needs."""
    params, carry = workload.init(0)
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    inputs = {part.untyped_storage().data_ptr() for part in next(workload.batches(0))}
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        _differentiate(workload)
    saved = sum(size for pointer, size in kept.items() if pointer not in inputs)
    own = sum(w.numel() * w.element_size() for w in params.values())
    return 2 * own + sum(w.numel() * w.element_size() for w in carry.values()) + saved


def _differentiate(workload: Workload) -> None:
    params, carry = workload.init(0)
    batch = next(workload.batches(0))
    for phase in workload.phases:
        with torch.enable_grad():
            leaves = {name: w.detach().requires_grad_(phase.trains(name)) for name, w in params.items()}
            loss, carry = phase.loss(leaves, carry, batch, seeded(0, 1))
            carry = {name: value.detach() for name, value in carry.items()}
            torch.autograd.grad(loss, [w for w in leaves.values() if w.requires_grad])
