"""Language models: what comes next in a text, read in order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from study.workloads.data import data_name
from study.workloads.data.characters import characters
from study.workloads.data.text import Text
from study.workloads.data.words import words
from study.workloads.draws import ORDER, generator
from study.workloads.module import ModuleWorkload, WorkloadError
from study.workloads.networks.adaptive_softmax import AdaptiveSoftmax
from study.workloads.networks.lstm import LanguageLSTM
from study.workloads.workload import Batch


class TextWorkload(ModuleWorkload):
    """A module trained on a text that is cut into `batch` streams, each read on by `length` symbols a step.

    The streams close to a ring at the text's end. A seed decides where the text begins. A text is evaluated in windows
    of twice that length, from a state of zero; of each the second half counts, so that every symbol has `length` others
    before it.
    """

    def __init__(self, text: Text, batch: int, length: int, **given: Any) -> None:
        for name, value in (("batch", batch), ("length", length)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise WorkloadError(f"{name} = {value!r} is not allowed: give a whole number of at least 1")
        self._length, self._text = length, text.train
        self._steps = len(text.train) // (batch * length)
        if not self._steps:
            raise WorkloadError(
                f"batch = {batch} and length = {length} are more than the {len(text.train):,} symbols"
            )
        windows = None if text.test is None else cut(text.test, length)
        super().__init__(
            train=streams(text.train, batch, length, 0)[0],
            validation=cut(text.validation, length),
            test=windows,
            batch=batch,
            data_sha256=text.sha256,
            **given,
        )

    def batches(self, seed: int) -> Iterator[Batch]:
        source = generator(seed, ORDER)
        offset = int(torch.randint(len(self._text), (), generator=source))
        step = 0
        every = streams(self._text, self.batch, self._length, offset)
        while True:
            yield every[step % self._steps]
            step += 1


class WordWorkload(TextWorkload):
    """The same with perplexity for a metric: what is measured is nats a word, and e to their mean over a split."""

    def finish(self, sums: dict[str, Tensor], items: int) -> dict[str, Tensor]:
        """Perplexity and the loss."""
        means = {name: total / items for name, total in sums.items()}
        return {**means, self.metric: means[self.metric].exp()}


def streams(text: Tensor, batch: int, length: int, offset: int) -> list[Batch]:
    """The steps of an epoch: inputs and targets (batch, length), row by row the next of each stream."""
    steps = len(text) // (batch * length)
    ring = text.roll(-offset)
    inputs, targets = (
        part[: batch * steps * length].view(batch, steps, length) for part in (ring, ring.roll(-1))
    )
    return list(zip(inputs.unbind(1), targets.unbind(1), strict=True))


def cut(text: Tensor, length: int) -> Batch:
    """Windows (n, 2 · length) of a text that overlap by half, and what follows each symbol of their second halves."""
    if len(text) <= 2 * length:
        raise WorkloadError(
            f"length = {length} is too long for a text of {len(text):,} symbols to evaluate on"
        )
    return text[:-1].unfold(0, 2 * length, length).contiguous(), text[1:].unfold(0, 2 * length, length)[
        :, length:
    ]


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Nats a symbol: of scores (batch, time, symbols) the last as many as there are targets (batch, time)."""
    last = outputs[:, -targets.shape[1] :]
    return F.cross_entropy(last.flatten(0, 1), targets.flatten())


def surprise(outputs: Tensor, targets: Tensor) -> Tensor:
    """Nats a symbol, of log-probabilities (batch, time, symbols) the last as many as there are targets."""
    last = outputs[:, -targets.shape[1] :]
    return F.nll_loss(last.flatten(0, 1), targets.flatten())


def bits(outputs: Tensor, targets: Tensor) -> Tensor:
    """Bits a character."""
    return cross_entropy(outputs, targets) / math.log(2)


def char_lstm(
    data: str = "topics",
    layers: int = 3,
    hidden: int = 32,
    embedding: int = 16,
    length: int = 12,
    batch: int = 32,
    weight_drop: float = 0.0,
    dropout: float = 0.0,
) -> TextWorkload:
    """LSTM of three layers by characters, small on Python's help topics; the papers': 1000 units on Penn Treebank"""
    check_shares(weight_drop=weight_drop, dropout=dropout)
    text = characters(data)
    return TextWorkload(
        text,
        batch,
        length,
        model=lambda: LanguageLSTM(
            text.symbols, embedding, hidden, layers, batch, weight_drop=weight_drop, dropout=dropout
        ),
        loss=cross_entropy,
        metrics={"validation_bits": bits},
        worst=math.log2(text.symbols),
        about=f"LSTM of {layers} x {hidden} by characters on {data_name(data)}",
    )


def word_lstm(
    data: str = "topics",
    layers: int = 2,
    hidden: int = 32,
    embedding: int = 16,
    cutoffs: Sequence[int] = (200, 1000),
    length: int = 12,
    batch: int = 16,
    dropout: float = 0.0,
    rarest: int = 3,
) -> WordWorkload:
    """LSTM of two layers by words with adaptive softmax, small on Python's help topics; Apollo's: One Billion Words"""
    check_shares(dropout=dropout)
    if type(rarest) is not int or rarest < 1:
        raise WorkloadError(f"rarest = {rarest!r} is not allowed: give a whole number of at least 1")
    text = words(data, rarest)
    return WordWorkload(
        text,
        batch,
        length,
        model=lambda: LanguageLSTM(
            text.symbols,
            embedding,
            hidden,
            layers,
            batch,
            dropout=dropout,
            output=AdaptiveSoftmax(hidden, text.symbols, cutoffs),
        ),
        loss=surprise,
        metrics={"validation_perplexity": surprise},
        worst=text.symbols,
        about=f"LSTM of {layers} x {hidden} by words, adaptive softmax, on {data_name(data)}",
    )


def check_shares(**shares: float) -> None:
    for name, share in shares.items():
        if not isinstance(share, int | float) or not 0 <= share < 1:
            raise WorkloadError(f"{name} = {share!r} is not allowed: give a share from 0 to below 1")
