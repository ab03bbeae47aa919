"""What a training step of a workload takes, measured rather than declared."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from study.workloads.draws import seeded
from study.workloads.workload import Batch, Carry, Params, Workload


def _of_recurrent_layer(inputs: Sequence[int], weights: Sequence[int], *_: Any, **__: Any) -> int:
    """Of a layer over (length, batch, inputs) whose gates' weights are (gates, inputs); as many again for its state."""
    length, batch, size = inputs
    gates, _size = weights
    return 2 * length * batch * gates * (size + gates // GATES)


def _of_recurrent_gradients(*shapes: Any, **further: Any) -> int:
    return 2 * _of_recurrent_layer(*shapes, **further)


GATES = 4
"""Of an LSTM, the only recurrent layer that torch has as one operation on a CPU, and does not count."""
RECURRENT = {
    torch.ops.aten.mkldnn_rnn_layer: _of_recurrent_layer,
    torch.ops.aten.mkldnn_rnn_layer_backward: _of_recurrent_gradients,
}


@lru_cache(maxsize=32)
def flops_per_step(workload: Workload) -> int:
    """Floating-point operations of the matrix products and convolutions of a step, forward and backward."""
    with FlopCounterMode(display=False, custom_mapping=RECURRENT) as counter:
        _differentiate(workload, *workload.init(0), next(workload.batches(0)))
    return int(counter.get_total_flops())


@lru_cache(maxsize=32)
def bytes_per_lane(workload: Workload) -> int:
    """Float32 working set of a lane in one step without optimizer state: weights, gradients, what backward needs."""
    params, carry = workload.init(0)
    batch = next(workload.batches(0))
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        _differentiate(workload, params, carry, batch)
    known = {part.untyped_storage().data_ptr() for part in (*batch, *params.values(), *carry.values())}
    saved = sum(each.untyped_storage().nbytes() for pointer, each in kept.items() if pointer not in known)
    return saved + sum(count * w.nbytes for part, count in ((params, 2), (carry, 1)) for w in part.values())


def _differentiate(workload: Workload, params: Params, carry: Carry, batch: Batch) -> None:
    for phase in workload.phases:
        with torch.enable_grad():
            leaves = {name: w.detach().requires_grad_(phase.trains(name)) for name, w in params.items()}
            loss, carry = phase.loss(leaves, carry, batch, seeded(0, 1))
            carry = {name: value.detach() for name, value in carry.items()}
            torch.autograd.grad(loss, [w for w in leaves.values() if w.requires_grad])
