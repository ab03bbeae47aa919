"""Pairs of token sequences: a generated transduction task, or two text files a split from a folder.

`reversal`: sequences of random letters, whose targets are the same letters backwards, each exchanged for another by a
fixed permutation. It is generated here, from a fixed seed, and is no natural language.
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from study.workloads.data.folder import data_folder
from study.workloads.data.text import read_text
from study.workloads.module import WorkloadError
from study.workloads.networks.transformer import PAD

BEGIN, END, UNKNOWN = 1, 2, 3
SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
LETTERS, SHORTEST, LONGEST = 16, 3, 8
TRAINING, HELD_OUT = 4000, 400
LAYOUT = (
    "two files a split, train.SOURCE and train.TARGET, valid.SOURCE and valid.TARGET, and perhaps test.SOURCE and "
    "test.TARGET, a line a sentence, tokens apart by spaces"
)
Pairs = tuple[Tensor, Tensor]
"""Sources (n, m) and targets (n, m), int64, each closed by END and filled up by PAD."""
Sentences = list[list[str]]


@dataclass(frozen=True)
class ParallelText:
    """Both languages share the vocabulary, whose first four tokens are PAD, BEGIN, END and UNKNOWN."""

    train: Pairs
    validation: Pairs
    test: Pairs | None
    vocabulary: tuple[str, ...]
    sha256: str

    @property
    def length(self) -> int:
        """Tokens of the longest sentence of all splits, END among them."""
        splits = (self.train, self.validation, *([self.test] if self.test else []))
        return max(part.shape[1] for split in splits for part in split)

    def text(self, tokens: Tensor) -> str:
        """What tokens (m,) up to the first END say."""
        found = tokens.tolist()
        end = found.index(END) if END in found else len(found)
        return " ".join(self.vocabulary[i] for i in found[:end])


@functools.lru_cache(maxsize=4)
def parallel_text(data: str, source: str, target: str, longest: int, rarest: int) -> ParallelText:
    """The generated task by name, "reversal", or a folder's files, whose endings are `source` and `target`.

    Sentences of more than `longest` tokens do not train and are cut where they are evaluated; tokens that come less
    than `rarest` times in both training files are unknown. Raises WorkloadError, one line, with the expected layout.
    """
    if data == "reversal":
        return reversal()
    folder = data_folder(data, "reversal")
    splits = ["train", "valid", *(["test"] if any(folder.glob("test.*")) else [])]
    read = {split: read_pairs(folder, split, source, target) for split in splits}
    kept = [pair for pair in zip(*read["train"], strict=True) if max(map(len, pair)) <= longest]
    if not kept:
        raise WorkloadError(f"longest = {longest} leaves no pair of {folder}/train to train on: give more")
    read["train"] = [each for each, _ in kept], [each for _, each in kept]
    return numbered(read, longest, rarest)


def reversal() -> ParallelText:
    generator = torch.Generator().manual_seed(0)
    exchanged = torch.randperm(LETTERS, generator=generator).tolist()
    letters = [chr(ord("a") + i) for i in range(LETTERS)]

    def split(count: int) -> tuple[Sentences, Sentences]:
        lengths = torch.randint(SHORTEST, LONGEST + 1, (count,), generator=generator).tolist()
        drawn = [torch.randint(LETTERS, (n,), generator=generator).tolist() for n in lengths]
        return (
            [[letters[i] for i in each] for each in drawn],
            [[letters[exchanged[i]] for i in reversed(each)] for each in drawn],
        )

    return numbered({"train": split(TRAINING), "valid": split(HELD_OUT), "test": split(HELD_OUT)}, LONGEST, 1)


def read_pairs(folder: Path, split: str, source: str, target: str) -> tuple[Sentences, Sentences]:
    one, other = (read_lines(folder / f"{split}.{ending}") for ending in (source, target))
    if len(one) != len(other):
        raise WorkloadError(
            f"{folder}/{split} has {len(one):,} lines of {source} and {len(other):,} of {target}: expected is {LAYOUT}"
        )
    pairs = [pair for pair in zip(one, other, strict=True) if all(pair)]
    if not pairs:
        raise WorkloadError(f"{folder}/{split}.{source} is empty: expected is {LAYOUT}")
    return [each for each, _ in pairs], [each for _, each in pairs]


def read_lines(path: Path) -> Sentences:
    # not splitlines, which also breaks at characters that sentences hold
    return [line.split() for line in read_text(path, LAYOUT).removesuffix("\n").split("\n")]


def numbered(splits: dict[str, tuple[Sentences, Sentences]], longest: int, rarest: int) -> ParallelText:
    """Tokens are numbered from the most frequent one of the training files."""
    counts = Counter(token for side in splits["train"] for sentence in side for token in sentence)
    common = [
        token for token, n in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])) if n >= rarest
    ]
    vocabulary = (*SPECIAL, *(token for token in common if token not in SPECIAL))
    number = {token: i for i, token in enumerate(vocabulary)}
    digest = hashlib.sha256(repr((longest, rarest)).encode())
    pairs: list[Pairs] = []
    for sides in splits.values():
        for sentences in sides:
            digest.update("\n".join(map(" ".join, sentences)).encode() + b"\1")
        pairs.append(tuple(filled(sentences, number, longest) for sentences in sides))  # type: ignore[arg-type]
    train, validation, *test = pairs
    return ParallelText(train, validation, test[0] if test else None, vocabulary, digest.hexdigest())


def filled(sentences: Sentences, number: dict[str, int], longest: int) -> Tensor:
    rows = [[*(number.get(token, UNKNOWN) for token in each[:longest]), END] for each in sentences]
    table = torch.full((len(rows), max(map(len, rows))), PAD)
    for place, row in enumerate(rows):
        table[place, : len(row)] = torch.tensor(row)
    return table
