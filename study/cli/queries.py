"""Commands that read the trial database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli.options import (
    CostFormat,
    Format,
    Storage,
    StudyName,
    StudyNames,
    Where,
    WholeStudy,
    split_names,
)
from study.shown.console import DEFAULT_STORAGE, note
from study.shown.stored import show_failures, show_launches, show_studies

if TYPE_CHECKING:
    from pandas import DataFrame


def studies(storage: Storage = DEFAULT_STORAGE) -> None:
    """List the stored studies: trials, diverged ones, best value, and failed ones where there are any."""
    from storage.store import open_store

    with open_store(storage, create=False) as store:
        show_studies(store)


def trials(
    study: StudyNames,
    where: Where = None,
    per_cell: Annotated[
        bool,
        typer.Option(
            "--per-cell", help="A row a cell: the metric's mean over seeds, its spread, how many seeds."
        ),
    ] = False,
    within: Annotated[
        float | None,
        typer.Option(
            metavar="DISTANCE", help="With --per-cell: only cells so near to their optimizer's best."
        ),
    ] = None,
    times: Annotated[
        bool, typer.Option("--times", help="Also when each started and finished, and in which launch.")
    ] = False,
    curves: Annotated[
        bool,
        typer.Option(
            "--curves",
            help="A row a point of these trials' learning curves; --sort and --limit choose the trials.",
        ),
    ] = False,
    sort: Annotated[
        str | None, typer.Option(metavar="[-]COLUMN", help="In this order; with a minus the largest first.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=0, metavar="ROWS", help="Only the first ones.")] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Only these, comma-separated; all by default.")
    ] = None,
    format: Annotated[
        Format | None,
        typer.Option(
            help="How to write them; by default as the file's name says, else a table.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write there, not to the terminal.")
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Write stored trials: hyperparameters, seed, final metrics, divergence, seconds; or their cells or curves."""
    from analysis.tables import arranged, asked_curves, asked_trials
    from storage.export import format_of, write, write_pieces
    from storage.query import with_words
    from storage.records import split_name
    from storage.store import open_store

    written = format or format_of(out)
    if curves and (per_cell or within is not None):
        raise typer.BadParameter("--curves are of trials, --per-cell and --within of cells: give one of them")
    chosen = split_names(columns) if columns else None
    nothing = f"no trial of {', '.join(study)} {f'matches {where}' if where else 'is stored'}"
    with open_store(storage, create=False) as store:
        frame: DataFrame | None
        if curves:
            frame = asked_curves(store, study, where, sort=sort, limit=limit, columns=chosen)
        elif per_cell or within is not None or times or sort or limit is not None or len(study) > 1:
            frame = asked_trials(
                store,
                study,
                where=where,
                per_cell=per_cell,
                within=within,
                times=times,
                sort=sort,
                limit=limit,
                columns=chosen,
            )
        else:  # as many as there are, a piece at a time
            name, optimizer = split_name(study[0])
            space = store.space(name)
            rows = 0

            def pieces() -> Iterator[DataFrame]:
                nonlocal rows
                rows = 0
                for each in store.trial_pages(name, optimizer, where):
                    rows += len(each)
                    yield arranged(with_words(each, space), columns=chosen)

            write_pieces(pieces, written, out)
            frame = None
    if frame is not None:
        rows = len(frame)
        write(frame, written, out)
    if not rows:
        note(nothing)
    if out is not None:
        print(f"wrote {out}")


def launches(
    study: WholeStudy,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Show how often a study was launched, when and with what; `trials --where "launch = 0"` shows the first one's."""
    from storage.store import open_store

    with open_store(storage, create=False) as store:
        show_launches(study, store)


def failures(
    study: StudyName,
    format: Annotated[
        CostFormat, typer.Option(help="How to write them; of equal last lines a table shows one.")
    ] = "table",
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """List the trials that failed for good: why, and the last lines that they wrote. `run` tries them again."""
    from storage.export import write
    from storage.query import with_words
    from storage.records import split_name
    from storage.store import open_store

    with open_store(storage, create=False) as store:
        name, optimizer = split_name(study)
        frame = with_words(store.failures(name, optimizer), store.space(name))
    if format != "table":
        write(frame, format, None)
    elif frame.empty:
        note(f"no trial of {study} failed")
    else:
        show_failures(frame)
