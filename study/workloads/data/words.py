"""Texts as words: Python's own help topics, or files with a sentence a line from a folder.

Such as One Billion Words (Chelba et al., 2013), https://arxiv.org/abs/1312.3005

Words are numbered from the most frequent one of the training text, as an adaptive softmax wants them; each sentence is
closed by `</S>`. Of the topics, a word is a run of letters, digits and underscores, or any other sign.
"""

from __future__ import annotations

import functools
import hashlib
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from study.workloads.data.folder import data_folder
from study.workloads.data.text import Text, topics
from study.workloads.module import WorkloadError

END, UNKNOWN = "</S>", "<UNK>"
BILLION = (
    "training-monolingual.tokenized.shuffled/news.en-*",
    "heldout-monolingual.tokenized.shuffled/news.en.heldout-*",
)
PLAIN = ("train.txt", "valid.txt", "test.txt")
LAYOUT = (
    f"One Billion Words: {BILLION[0]} and {BILLION[1]}, the first held-out file to test and the others to validate; or "
    "train.txt, valid.txt and perhaps test.txt; a sentence a line, words apart by spaces"
)
HELD_OUT = 0.1
"""Share of each topic, at its end, that is the validation split."""
Lines = Callable[[], Iterator[list[str]]]
"""Reads a split anew, sentence by sentence: large ones do not fit memory as words."""


@functools.lru_cache(maxsize=4)
def words(data: str, rarest: int) -> Text:
    """A text by name, "topics", the end of each of which is the validation split; or a folder's files.

    Words that come less than `rarest` times in the training text are unknown. Raises WorkloadError, one line, with the
    expected layout when a file is missing or damaged.
    """
    if data == "topics":
        lines = [list(lines_of(text)) for text in topics()]
        cuts = [round(len(each) * (1 - HELD_OUT)) for each in lines]
        train = [line for each, cut in zip(lines, cuts, strict=True) for line in each[:cut]]
        held_out = [line for each, cut in zip(lines, cuts, strict=True) for line in each[cut:]]
        return numbered([lambda: iter(train), lambda: iter(held_out)], rarest)
    folder = data_folder(data, "topics")
    training, others = (sorted(folder.glob(pattern)) for pattern in BILLION)
    if training and len(others) > 1:
        return numbered(
            [functools.partial(read, each) for each in (training, others[1:], others[:1])], rarest
        )
    if training or others:
        raise WorkloadError(f"data = {data!r} lacks files of One Billion Words: expected is {LAYOUT}")
    found = [[folder / name] for name in PLAIN if name != "test.txt" or (folder / name).is_file()]
    if not any(path.is_file() for (path,) in found):
        raise WorkloadError(f"data = {data!r} holds no text that is known: expected is {LAYOUT}")
    return numbered([functools.partial(read, each) for each in found], rarest)


def lines_of(text: str) -> Iterator[list[str]]:
    return filter(None, (re.findall(r"\w+|[^\w\s]", line) for line in text.splitlines()))


def read(paths: Sequence[Path]) -> Iterator[list[str]]:
    for path in paths:
        empty = True
        try:
            with path.open(encoding="utf-8", newline="\n") as file:
                for line in file:
                    found = line.split()
                    if found:
                        empty = False
                        yield found
        except FileNotFoundError:
            raise WorkloadError(f"{path} is missing: expected is {LAYOUT}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise WorkloadError(f"{path} cannot be read ({error}): expected is {LAYOUT}") from error
        if empty:
            raise WorkloadError(f"{path} is damaged (it is empty): expected is {LAYOUT}")


def numbered(splits: Sequence[Lines], rarest: int) -> Text:
    counts = Counter(word for line in splits[0]() for word in (*line, END))
    rare = sum(n for n in counts.values() if n < rarest) + counts.pop(UNKNOWN, 0)
    kept = Counter({word: n for word, n in counts.items() if n >= rarest}) + Counter({UNKNOWN: max(rare, 1)})
    number = {word: i for i, word in enumerate(sorted(kept, key=lambda word: (-kept[word], word)))}
    unknown, digest, tensors = number[UNKNOWN], hashlib.sha256(), []
    for split in splits:
        found = array("q")
        for line in split():
            found.extend(number.get(word, unknown) for word in (*line, END))
        digest.update(memoryview(found).cast("B"))
        tensors.append(torch.from_numpy(np.frombuffer(found, np.int64)))
    digest.update("\0".join(number).encode())
    train, validation, *test = tensors
    return Text(train, validation, test[0] if test else None, len(number), digest.hexdigest())
