"""Recurrent layers step by step: what a fused program runs in place of torch's kernels, which take no lane axis.

The arguments are those of the functions that `torch.nn.LSTM`, `GRU` and `RNN` call. Equal results, dropout included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

State = tuple[Tensor, ...]
Cell = Callable[[Tensor, State, Tensor, Tensor | None], State]
"""(input's share of the gates (batch, gates), state, recurrent weight and bias) -> the next state, output first."""


def lstm_cell(gates: Tensor, state: State, weight: Tensor, bias: Tensor | None) -> State:
    h, c = state
    i, f, g, o = (gates + F.linear(h, weight, bias)).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def gru_cell(gates: Tensor, state: State, weight: Tensor, bias: Tensor | None) -> State:
    (h,) = state
    r, z, n = gates.chunk(3, -1)
    hr, hz, hn = F.linear(h, weight, bias).chunk(3, -1)
    r, z = torch.sigmoid(r + hr), torch.sigmoid(z + hz)
    n = torch.tanh(n + r * hn)
    return (n + z * (h - n),)


def tanh_cell(gates: Tensor, state: State, weight: Tensor, bias: Tensor | None) -> State:
    return (torch.tanh(gates + F.linear(state[0], weight, bias)),)


def relu_cell(gates: Tensor, state: State, weight: Tensor, bias: Tensor | None) -> State:
    return (torch.relu(gates + F.linear(state[0], weight, bias)),)


def layers(
    cell: Cell,
    x: Tensor,
    states: State,
    weights: Sequence[Tensor],
    biases: bool,
    count: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Tensor, State]:
    """Sequences (time, batch, in), or (batch, time, in), -> outputs, and each state (layers · directions, batch, ·)."""
    x = x.transpose(0, 1) if batch_first else x
    directions = 2 if bidirectional else 1
    each = 4 if biases else 2
    last: list[State] = []
    for layer in range(count):
        outputs = []
        for direction in range(directions):
            place = layer * directions + direction
            w_in, w_rec, *b = weights[place * each : (place + 1) * each]
            b_in, b_rec = b or (None, None)
            gates = F.linear(x, w_in, b_in).unbind(0)
            state = tuple(s[place] for s in states)
            steps = []
            for share in gates[::-1] if direction else gates:
                state = cell(share, state, w_rec, b_rec)
                steps.append(state[0])
            last.append(state)
            outputs.append(torch.stack(steps[::-1] if direction else steps))
        x = torch.cat(outputs, -1) if bidirectional else outputs[0]
        if dropout and train and layer < count - 1:
            x = F.dropout(x, dropout, True)
    return x.transpose(0, 1) if batch_first else x, tuple(
        torch.stack(parts) for parts in zip(*last, strict=True)
    )


def lstm(x: Tensor, states: Any, weights: Any, *more: Any) -> tuple[Tensor, Tensor, Tensor] | None:
    """As `torch.lstm`; None for packed sequences and projections, which it does not know."""
    if not isinstance(weights, (list, tuple)) or len(weights) % (4 if more[0] else 2):
        return None
    outputs, (h, c) = layers(lstm_cell, x, tuple(states), weights, *more)
    return outputs, h, c


def one_state(cell: Cell) -> Callable[..., tuple[Tensor, Tensor] | None]:
    """As `torch.gru` and `torch.rnn_tanh`; None for packed sequences."""

    def run(x: Tensor, state: Any, weights: Any, *more: Any) -> tuple[Tensor, Tensor] | None:
        if not isinstance(weights, (list, tuple)):
            return None
        outputs, (h,) = layers(cell, x, (state,), weights, *more)
        return outputs, h

    return run


RECURRENT: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.lstm: lstm,
    torch.gru: one_state(gru_cell),
    torch.rnn_tanh: one_state(tanh_cell),
    torch.rnn_relu: one_state(relu_cell),
}
"""torch's function -> the same step by step, or None where it does not apply."""
