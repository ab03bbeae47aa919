"""Translation by a Transformer (Vaswani et al., 2017), https://arxiv.org/abs/1706.03762"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from study.workloads.data import data_name
from study.workloads.data.parallel_text import BEGIN, END, Pairs, ParallelText, parallel_text
from study.workloads.module import ModuleWorkload, WorkloadError
from study.workloads.networks.beam import beam_search
from study.workloads.networks.transformer import PAD, Transformer
from study.workloads.workload import Batch, Carry, Params, Split


class TranslationWorkload(ModuleWorkload):
    """A Transformer trained to give each next token of a target, from the source and the tokens before it.

    Batches are sources, targets moved on by one from BEGIN, and targets, (n, m) each. Losses and metrics are means over
    tokens, of which sentences have different numbers: PAD does not count.
    """

    def __init__(self, text: ParallelText, **given: Any) -> None:
        self.text = text
        super().__init__(
            train=shifted(text.train),
            validation=shifted(text.validation),
            test=None if text.test is None else shifted(text.test),
            data_sha256=text.sha256,
            **given,
        )

    def evaluate(self, params: Params, carry: Carry, batch: Batch) -> tuple[dict[str, Tensor], int]:
        means, count = super().evaluate(params, carry, batch)
        tokens = (batch[-1] != PAD).sum().to(next(iter(means.values())).dtype)
        sums = {name: mean / count * tokens for name, mean in means.items()}
        return {**sums, "tokens": tokens}, count

    def finish(self, sums: dict[str, Tensor], items: int) -> dict[str, Tensor]:
        """Means over tokens."""
        del items
        return {name: total / sums["tokens"] for name, total in sums.items() if name != "tokens"}

    def translations(self, params: Params, split: Split = "validation", beam: int = 4) -> list[str]:
        """What trained weights make of a split's sources; greedily with a beam of 1."""
        model = cast(Transformer, self.module(0).eval())
        model.load_state_dict(params)
        found: list[str] = []
        for batch in self.evaluation(0, split):
            longest = batch[-1].shape[1]
            targets = beam_search(model, batch[0], BEGIN, END, longest, beam)
            found += map(self.text.text, targets)
        return found

    def bleu(self, params: Params, split: Split = "validation", beam: int = 4) -> float:
        """BLEU, 0 to 100, of trained weights on a split, by sacrebleu of tokens as they are in the data.

        Raises WorkloadError where sacrebleu is not installed.
        """
        pairs = self.text.validation if split == "validation" else self.text.test
        references = [self.text.text(row) for row in pairs[1]] if pairs else []
        return bleu(self.translations(params, split, beam), references)


def shifted(pairs: Pairs) -> Batch:
    """Sources, targets from BEGIN without their last places, and targets."""
    source, target = pairs
    before = torch.cat((torch.full_like(target[:, :1], BEGIN), target[:, :-1]), 1)
    return source, before, target


def bleu(translations: Sequence[str], references: Sequence[str]) -> float:
    """BLEU (Papineni et al., 2002) of a corpus, 0 to 100, of tokens apart by spaces. Raises WorkloadError, one line."""
    try:
        import sacrebleu
    except ModuleNotFoundError:
        raise WorkloadError("BLEU is computed by sacrebleu: pip install 'tunability[translation]'") from None
    # tokens are the data's own: a tokenizer would cut them again
    return float(sacrebleu.corpus_bleu(translations, [references], tokenize="none", force=True).score)


def cross_entropy(outputs: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Nats a token of scores (n, m, tokens) at targets (n, m) that are not PAD, with labels smoothed (section 5.4)."""
    return F.cross_entropy(
        outputs.flatten(0, 1), targets.flatten(), ignore_index=PAD, label_smoothing=smoothing
    )


def token_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Share of wrong tokens, 0 to 1, where all before them are given."""
    real = targets != PAD
    return ((outputs.argmax(-1) != targets) & real).sum() / real.sum().to(outputs.dtype)


def transformer(
    data: str = "reversal",
    source: str = "en",
    target: str = "de",
    layers: int = 2,
    width: int = 32,
    heads: int = 4,
    inner: int = 64,
    dropout: float = 0.0,
    smoothing: float = 0.1,
    batch: int = 64,
    longest: int = 100,
    rarest: int = 1,
) -> TranslationWorkload:
    """Transformer, small on a generated task of reversed letters; the papers': layers 6, width 512 on WMT's texts"""
    numbers = {"layers": layers, "width": width, "heads": heads, "inner": inner}
    for name, value in (numbers | {"longest": longest, "rarest": rarest}).items():
        if type(value) is not int or value < 1:
            raise WorkloadError(f"{name} = {value!r} is not allowed: give a whole number of at least 1")
    for name, share in (("dropout", dropout), ("smoothing", smoothing)):
        if not isinstance(share, int | float) or not 0 <= share < 1:
            raise WorkloadError(f"{name} = {share!r} is not allowed: give a share from 0 to below 1")
    text = parallel_text(data, source, target, longest, rarest)
    tokens = len(text.vocabulary)
    return TranslationWorkload(
        text,
        model=lambda: Transformer(tokens, text.length, layers, width, heads, inner, dropout),
        loss=partial(cross_entropy, smoothing=smoothing),
        metrics={"validation_cross_entropy": cross_entropy, "validation_error": token_error},
        worst=math.log(tokens),
        batch=batch,
        about=f"Transformer of {layers} layers and width {width} on {data_name(data)}",
    )
