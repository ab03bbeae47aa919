"""A terminal's lines, tables and progress."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from storage.store import Store

DEFAULT_STORAGE = "sqlite:///tunability.db"


class Quiet:
    """Whether notes, progress and what to type next are left out: `tunability --quiet`."""

    wanted = False


def complain(text: str) -> None:
    """What is wrong, on standard error."""
    print(text, file=sys.stderr)


def note(text: str) -> None:
    """What to know beside the answer, on standard error."""
    if not Quiet.wanted:
        complain(text)


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table)


def write_rows(frame: pd.DataFrame, format: str) -> None:
    """A table with NaN as a dash, CSV with NaN empty, or JSON with NaN as null."""
    match format:
        case "json":
            import json

            rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
            print(json.dumps(rows, indent=2))
        case "csv":
            print(frame.to_csv(index=False), end="")
        case _:
            rows_of_text = [
                tuple(
                    cell if isinstance(cell, str) else "-" if cell != cell else f"{cell:.4g}" for cell in row
                )
                for row in frame.itertuples(index=False)
            ]
            show_table(tuple(map(str, frame.columns)), rows_of_text)


def show_next(storage: str, store: Store, *commands: str) -> None:
    """What to type next, on the same database."""
    if Quiet.wanted:
        return
    option = "" if storage == DEFAULT_STORAGE else f" --storage {shlex.quote(store.database.name)}"
    program = "tunability" if shutil.which("tunability") else os.path.relpath(sys.argv[0])
    print("next:", *(f"{program} {command}{option}" for command in commands), sep="\n  ")


@contextmanager
def progress_bar(title: str, show: bool = True) -> Iterator[Any]:
    """A callback for `study.running.run.run` that draws a bar with the time left, in a terminal or a notebook."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    drawn = show and not Quiet.wanted and (console.is_terminal or console.is_jupyter)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not drawn) as bar:
        task = bar.add_task(f"{title}: starting the workers", total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, description=title, completed=done, total=total)

        yield advance
