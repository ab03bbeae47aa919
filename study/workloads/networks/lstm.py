"""LSTM language model (Merity, Keskar & Socher, 2018), https://arxiv.org/abs/1708.02182 and https://arxiv.org/abs/1803.08240

Layers of LSTM whose recurrent weights are dropped (DropConnect, section 2), with dropout masks that stay the same over
time (section 4.2); the state goes on from batch to batch, gradients stop there.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LanguageLSTM(nn.Module):
    """(batch, time) of symbols -> (batch, time, symbols), the scores of what comes next.

    `output` makes them of the last layer's (batch, time, hidden), by default a linear layer.
    """

    h: Tensor  # (layers, batch, hidden), and so is c: where the last batch left off
    c: Tensor

    def __init__(
        self,
        symbols: int,
        embedding: int,
        hidden: int,
        layers: int,
        batch: int,
        *,
        weight_drop: float = 0.0,
        dropout: float = 0.0,
        output: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.weight_drop, self.dropout = weight_drop, dropout
        self.embedding = nn.Embedding(symbols, embedding)
        sizes = [embedding, *[hidden] * layers]
        self.layers = nn.ModuleList(nn.LSTM(size, hidden, batch_first=True) for size in sizes[:-1])
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.output = output or linear_output(hidden, symbols)
        for name in ("h", "c"):
            self.register_buffer(name, torch.zeros(layers, batch, hidden))

    def forward(self, symbols: Tensor) -> Tensor:
        x: Tensor = self.embedding(symbols)
        states: list[tuple[Tensor, Tensor]] = []
        for i, layer in enumerate(self.layers):
            if self.training:
                start = self.h[i : i + 1], self.c[i : i + 1]
            else:
                zero = x.new_zeros(1, len(x), self.h.shape[2])
                start = zero, zero
            w_in, w_recurrent, *biases = layer.parameters()
            dropped = F.dropout(w_recurrent, self.weight_drop, self.training)
            weights = [w_in, dropped, *biases]
            x, h, c = torch.lstm(x, start, weights, True, 1, 0.0, self.training, False, True)
            states.append((h.detach(), c.detach()))
            # one mask for all times
            x = x * F.dropout(torch.ones_like(x[:, :1]), self.dropout, self.training)
        if self.training:
            self.h, self.c = (torch.cat(parts) for parts in zip(*states, strict=True))
        scores: Tensor = self.output(x)
        return scores


def linear_output(hidden: int, symbols: int) -> nn.Module:
    layer = nn.Linear(hidden, symbols)
    nn.init.uniform_(layer.weight, -0.1, 0.1)
    nn.init.zeros_(layer.bias)
    return layer
