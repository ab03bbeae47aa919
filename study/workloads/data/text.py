"""A text as numbers, and the text that comes with Python: what `help()` says about the language."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from study.workloads.module import WorkloadError


@dataclass(frozen=True)
class Text:
    """Symbols (n,), int64, numbered from 0 over all splits: characters or words."""

    train: Tensor
    validation: Tensor
    test: Tensor | None
    symbols: int
    sha256: str


def topics() -> list[str]:
    """English prose, by topic, some 465,000 characters (`pydoc_data.topics`); it differs between releases of Python."""
    from pydoc_data.topics import topics

    return [topics[name] for name in sorted(topics)]


def read_text(path: Path, layout: str) -> str:
    """A file of text. Raises WorkloadError, one line, with the `layout` that is expected."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise WorkloadError(f"{path} is missing: expected is {layout}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise WorkloadError(f"{path} cannot be read ({error}): expected is {layout}") from error
