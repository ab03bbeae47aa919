"""Beam search for a Transformer's translations.

With the length penalty of Wu et al. (2016), equation 14, https://arxiv.org/abs/1609.08144
"""

from __future__ import annotations

import torch
from torch import Tensor

from study.workloads.networks.transformer import Transformer

ALPHA = 0.6
"""Of the length penalty (Vaswani et al., 2017, section 6.1)."""


@torch.no_grad()
def beam_search(
    model: Transformer,
    source: Tensor,
    begin: int,
    end: int,
    longest: int,
    beam: int = 4,
    alpha: float = ALPHA,
) -> Tensor:
    """The best target found of each source (batch, m): (batch, longest), filled up by `end`; greedy with a beam of 1.

    Hypotheses are extended together, and one that has ended stays among the `beam` best as it is.
    """
    memory, seen = (each.repeat_interleave(beam, 0) for each in model.encode(source))
    batch = len(source)
    found = torch.full((batch, beam, 1), begin)
    scores = torch.full((batch, beam), -torch.inf, dtype=memory.dtype)
    scores[:, 0] = 0  # all hypotheses are the same at first
    done = torch.zeros(batch, beam, dtype=torch.bool)
    lengths = torch.zeros(batch, beam)
    for _ in range(longest):
        logits = model.decode(found.flatten(0, 1), memory, seen)[:, -1]
        steps = logits.log_softmax(-1).view(batch, beam, -1)
        tokens = steps.shape[-1]
        stay = torch.full((tokens,), -torch.inf, dtype=steps.dtype).index_fill(0, torch.tensor(end), 0)
        totals = scores[:, :, None] + torch.where(done[:, :, None], stay, steps)
        after = lengths + (~done)
        best = (totals / penalty(after, alpha)[:, :, None]).flatten(1).topk(beam).indices
        parent, token = best // tokens, best % tokens
        scores = totals.flatten(1).gather(1, best)
        found = torch.cat((found.gather(1, parent[:, :, None].expand_as(found)), token[:, :, None]), 2)
        lengths, done = after.gather(1, parent), done.gather(1, parent) | (token == end)
        if done.all():
            break
    chosen = (scores / penalty(lengths, alpha)).argmax(1)
    targets = found[torch.arange(batch), chosen, 1:]
    return torch.nn.functional.pad(targets, (0, longest - targets.shape[1]), value=end)


def penalty(lengths: Tensor, alpha: float) -> Tensor:
    """((5 + length) / 6)^alpha."""
    return ((5 + lengths) / 6) ** alpha
