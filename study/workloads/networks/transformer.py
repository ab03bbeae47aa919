"""Transformer (Vaswani et al., 2017), https://arxiv.org/abs/1706.03762

Encoder and decoder of one width, normalised after each sublayer's sum (section 3.1), sinusoidal places (section 3.5),
one matrix for both embeddings and the output (section 3.4), dropout of each sublayer's output and of the embeddings'
sums with places (section 5.4). Base: 6 layers, width 512, 8 heads, feed-forward width 2048 (Table 3).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from study.workloads.module import WorkloadError

PAD = 0
"""The token that fills up sequences; attention does not look at it."""


class Attention(nn.Module):
    """Heads of scaled dot-product attention of x (batch, m, width) to memory (batch, n, width) (section 3.2.2)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.output = (nn.Linear(width, width) for _ in range(4))

    def forward(
        self, x: Tensor, memory: Tensor, seen: Tensor | None = None, *, causal: bool = False
    ) -> Tensor:
        q, k, v = self._split(self.query(x)), self._split(self.key(memory)), self._split(self.value(memory))
        attended = F.scaled_dot_product_attention(q, k, v, seen, is_causal=causal)
        result: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return result

    def _split(self, x: Tensor) -> Tensor:
        """(batch, heads, m, width / heads)."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


class FeedForward(nn.Module):
    """max(0, x W1 + b1) W2 + b2 (equation 2)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.outer(F.relu(self.inner(x)))
        return result


class EncoderLayer(nn.Module):
    """LayerNorm(x + Sublayer(x)) of self-attention and of the feed-forward network."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.attention, self.feed_forward = Attention(width, heads), FeedForward(width, inner)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        x = self.norm1(x + self.dropout(self.attention(x, x, seen)))
        normed: Tensor = self.norm2(x + self.dropout(self.feed_forward(x)))
        return normed


class DecoderLayer(nn.Module):
    """The same with attention to what was encoded between the two; self-attention looks at no later place."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.attention, self.cross = Attention(width, heads), Attention(width, heads)
        self.feed_forward = FeedForward(width, inner)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, memory: Tensor, seen: Tensor) -> Tensor:
        x = self.norm1(x + self.dropout(self.attention(x, x, causal=True)))
        x = self.norm2(x + self.dropout(self.cross(x, memory, seen)))
        normed: Tensor = self.norm3(x + self.dropout(self.feed_forward(x)))
        return normed


class Transformer(nn.Module):
    """Source (batch, m) and target so far (batch, n) of one vocabulary -> scores (batch, n, tokens) of what is next."""

    places: Tensor  # (length, width)

    def __init__(
        self, tokens: int, length: int, layers: int, width: int, heads: int, inner: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if width % heads or width % 2:
            raise WorkloadError(
                f"width = {width} is not allowed with heads = {heads}: give an even multiple of them"
            )
        self.width = width
        self.embedding = nn.Embedding(tokens, width)
        self.encoder = nn.ModuleList(EncoderLayer(width, heads, inner, dropout) for _ in range(layers))
        self.decoder = nn.ModuleList(DecoderLayer(width, heads, inner, dropout) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("places", sinusoids(length, width), persistent=False)
        for weight in self.parameters():
            if weight.ndim > 1:
                nn.init.xavier_uniform_(weight)
        nn.init.normal_(self.embedding.weight, 0, width**-0.5)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        return self.decode(target, *self.encode(source))

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """What the decoder attends to (batch, m, width), and where there is something (batch, 1, 1, m)."""
        seen = (source != PAD)[:, None, None]
        x = self._embed(source)
        for layer in self.encoder:
            x = layer(x, seen)
        return x, seen

    def decode(self, target: Tensor, memory: Tensor, seen: Tensor) -> Tensor:
        x = self._embed(target)
        for layer in self.decoder:
            x = layer(x, memory, seen)
        return F.linear(x, self.embedding.weight)

    def _embed(self, tokens: Tensor) -> Tensor:
        x: Tensor = self.embedding(tokens) * math.sqrt(self.width) + self.places[: tokens.shape[1]]
        dropped: Tensor = self.dropout(x)
        return dropped


def sinusoids(length: int, width: int) -> Tensor:
    """PE(pos, 2i) = sin(pos / 10000^(2i / width)), PE(pos, 2i + 1) its cosine: (length, width) (section 3.5)."""
    angles = torch.arange(length)[:, None] / 10000 ** (torch.arange(0, width, 2) / width)
    return torch.stack((angles.sin(), angles.cos()), 2).flatten(1)
