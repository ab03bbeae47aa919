"""Texts as characters: Python's own help topics, or Penn Treebank's files (Mikolov et al., 2012) from a folder.

They are numbered in alphabetical order.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch

from study.workloads.data.folder import data_folder
from study.workloads.data.text import Text, read_text, topics
from study.workloads.module import WorkloadError

FILES = (
    ("train.txt", "valid.txt", "test.txt"),
    ("ptb.char.train.txt", "ptb.char.valid.txt", "ptb.char.test.txt"),
)
LAYOUT = (
    "Penn Treebank by characters: train.txt, valid.txt and test.txt, or ptb.char.train.txt and so on, a line a "
    "sentence, characters apart by spaces, _ for a space"
)
END = "<eos>"


@functools.lru_cache(maxsize=4)
def characters(data: str, held_out: float = 0.02) -> Text:
    """A text by name, "topics", whose last share `held_out` is the validation split; or a folder's files.

    Raises WorkloadError, one line, with the expected layout when a file is missing or damaged.
    """
    if data == "topics":
        text = "\n".join(topics())
        cut = round(len(text) * (1 - held_out))
        return numbered(list(text[:cut]), list(text[cut:]), None)
    folder = data_folder(data, "topics")
    names = next((each for each in FILES if any((folder / name).is_file() for name in each)), None)
    if names is None:
        raise WorkloadError(f"data = {data!r} holds no text that is known: expected is {LAYOUT}")
    train, validation, test = (read(folder / name) for name in names)
    return numbered(train, validation, test)


def read(path: Path) -> list[str]:
    found = [symbol for line in read_text(path, LAYOUT).splitlines() for symbol in (*line.split(), END)]
    long = next((symbol for symbol in found if len(symbol) > 1 and symbol[0] != "<"), None)
    if long is not None or not found:
        why = "it is empty" if long is None else f"{long[:20]!r} is no single character"
        raise WorkloadError(f"{path} is damaged ({why}): expected is {LAYOUT}")
    return found


def numbered(train: Sequence[str], validation: Sequence[str], test: Sequence[str] | None) -> Text:
    parts = [train, validation, *([test] if test is not None else [])]
    number = {symbol: i for i, symbol in enumerate(sorted({symbol for part in parts for symbol in part}))}
    digest = hashlib.sha256()
    for part in parts:
        digest.update("\0".join(part).encode() + b"\1")
    tensors = [torch.tensor([number[symbol] for symbol in part]) for part in parts]
    return Text(
        tensors[0], tensors[1], tensors[2] if test is not None else None, len(number), digest.hexdigest()
    )
