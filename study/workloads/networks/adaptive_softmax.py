"""Adaptive softmax (Grave et al., 2017), https://arxiv.org/abs/1609.04309, with shapes that do not depend on targets.

Words are sorted from the most frequent. The head scores the first `cutoffs[0]` of them and each further cluster as a
whole; a cluster's words are scored from a projection whose size is the hidden one's divided by 4, 16, ...

Differs from the paper: each place scores the words of all clusters, also where its target is in none of them, which a
program of many trials needs. Fewer weights remain of what it saves, not fewer products.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from study.workloads.module import WorkloadError

SHRINK = 4
"""By how much each cluster's projection is smaller than the one before (section 4.3)."""


class AdaptiveSoftmax(nn.Module):
    """(..., hidden) -> log-probabilities (..., words). Raises WorkloadError unless cutoffs rise, below words."""

    def __init__(self, hidden: int, words: int, cutoffs: Sequence[int]) -> None:
        super().__init__()
        edges = [0, *cutoffs, words]
        if not cutoffs or any(type(at) is not int for at in cutoffs) or edges != sorted({*edges}):
            raise WorkloadError(
                f"cutoffs = {[*cutoffs]} is not allowed for {words:,} words: give rising numbers below that"
            )
        self.first = cutoffs[0]
        self.head = nn.Linear(hidden, self.first + len(cutoffs), bias=False)
        self.tails = nn.ModuleList(
            nn.Sequential(nn.Linear(hidden, size, bias=False), nn.Linear(size, stop - start, bias=False))
            for size, (start, stop) in zip(
                (max(1, hidden // SHRINK ** (i + 1)) for i in range(len(cutoffs))),
                itertools.pairwise(edges[1:]),
                strict=True,
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        head: Tensor = self.head(x).log_softmax(-1)
        clusters = [
            tail(x).log_softmax(-1) + head[..., self.first + i, None] for i, tail in enumerate(self.tails)
        ]
        return torch.cat([head[..., : self.first], *clusters], -1)
