"""Networks as people train them, on random data of the usual shapes: workloads for trainer.py."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from study.workloads import ModuleWorkload, error_rate
from study.workloads.networks.wide_resnet import WideResNet

BATCH = 64
TRAINING, VALIDATION = 10 * BATCH, BATCH
CLASSES = 10
TOKENS, LENGTH, WIDTH, HEADS, LAYERS = 64, 32, 64, 4, 2


def wrn() -> ModuleWorkload:
    """images in CIFAR's shape, WRN-10-1 (Zagoruyko & Komodakis, 2016)"""
    source = torch.Generator().manual_seed(0)
    images = torch.randn(TRAINING + VALIDATION, 3, 32, 32, generator=source)
    labels = torch.randint(CLASSES, (len(images),), generator=source)
    return workload(wrn.__doc__, lambda: WideResNet(10, 1), images, labels)


def lstm() -> ModuleWorkload:
    """sequences of 32 tokens, an LSTM of two layers"""
    return sequences(lstm.__doc__, Recurrent)


def transformer() -> ModuleWorkload:
    """sequences of 32 tokens, a causal Transformer of two layers"""
    return sequences(transformer.__doc__, Transformer)


def sequences(about: str | None, model: Callable[[], nn.Module]) -> ModuleWorkload:
    """Predicts the next token of random ones."""
    source = torch.Generator().manual_seed(0)
    tokens = torch.randint(TOKENS, (TRAINING + VALIDATION, LENGTH + 1), generator=source)
    return workload(about, model, tokens[:, :-1], tokens[:, 1:].contiguous())


def workload(
    about: str | None, model: Callable[[], nn.Module], inputs: Tensor, targets: Tensor
) -> ModuleWorkload:
    return ModuleWorkload(
        model=model,
        train=(inputs[VALIDATION:], targets[VALIDATION:]),
        validation=(inputs[:VALIDATION], targets[:VALIDATION]),
        loss=cross_entropy,
        metrics={"validation_error": error_rate},
        batch=BATCH,
        about=about or "",
    )


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over a batch, or over all places of a batch of sequences: (..., classes) and (...)."""
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten())


class Recurrent(nn.Module):
    """(batch, length) tokens -> (batch, length, tokens)."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, WIDTH)
        self.lstm = nn.LSTM(WIDTH, WIDTH, LAYERS, batch_first=True)
        self.last = nn.Linear(WIDTH, TOKENS)

    def forward(self, tokens: Tensor) -> Tensor:
        scores: Tensor = self.last(self.lstm(self.embedding(tokens))[0])
        return scores


class Transformer(nn.Module):
    """(batch, length) tokens -> (batch, length, tokens): learned places, normalised before each part."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(TOKENS, WIDTH)
        self.places = nn.Parameter(0.02 * torch.randn(LENGTH, WIDTH))
        self.layers = nn.Sequential(*(Layer() for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(WIDTH)
        self.last = nn.Linear(WIDTH, TOKENS)

    def forward(self, tokens: Tensor) -> Tensor:
        scores: Tensor = self.last(self.norm(self.layers(self.embedding(tokens) + self.places)))
        return scores


class Layer(nn.Module):
    """Causal attention, then a perceptron of four times the width."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, _ = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, length, 3, HEADS, WIDTH // HEADS)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        changes: Tensor = self.down(F.gelu(self.up(self.norm2(x))))
        return x + changes
