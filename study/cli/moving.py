"""Commands that bring trials in, and studies elsewhere, to another name, or away."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from study.cli.options import (
    BAD_INPUT,
    From,
    Into,
    Storage,
    WholeStudy,
    split_names,
)
from study.shown.console import DEFAULT_STORAGE, complain, note, progress_bar
from study.shown.stored import show_copied

Given = TypeVar("Given")


def import_trials(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|FOLDER|URL",
            help="A CSV or Parquet table, a row a trial; Ray Tune's results; or an Optuna database.",
        ),
    ],
    study: Annotated[
        str | None, typer.Option(metavar="NAME", help="The Optuna study, if there are several.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The study that it becomes; by default as Optuna calls it."),
    ] = None,
    optimizer: Annotated[
        str, typer.Option(metavar="NAME", help="The optimizer that was tuned.")
    ] = "imported",
    axes: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMNS",
            help="Hyperparameters, e.g. alpha,eps; by default all numbers that differ between trials.",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="What was measured; lower is better. Optuna knows it."),
    ] = None,
    seed: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Seeds, if it has them; of Optuna, a user attribute.")
    ] = None,
    maximize: Annotated[
        bool, typer.Option("--maximize", help="Higher is better: store the negative. Optuna knows it.")
    ] = False,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Take somebody's trials into the database, a grid or scattered ones; every analysis works on them."""
    from storage.foreign import import_trials as keep
    from storage.foreign import space_of
    from storage.store import open_store

    columns = split_names(axes) if axes else None
    if "://" in source:
        from storage.foreign_optuna import read_optuna

        found, trials = read_optuna(source, study, columns, metric, seed=seed)
        name = name or found.replace("/", "-")
    elif Path(source).is_dir():
        from storage.foreign_ray import read_ray

        trials = read_ray(Path(source), needed(metric, "--metric"), columns, seed=seed, maximize=maximize)
    else:
        from storage.foreign_table import read_table

        trials = read_table(Path(source), columns, needed(metric, "--metric"), seed=seed, maximize=maximize)
    name = needed(name, "--name")
    space_of(trials)  # before a database is made
    with open_store(storage, create=True) as store:
        new = keep(store, trials, name, optimizer)
    print(f"{name}/{optimizer}: {trials.in_words()} in {source}, {new:,} of them new")
    if columns is None:
        note(f"note: axes are {', '.join(trials.axes)}: --axes takes others")


def copy(
    source: From,
    target: Into,
    studies: Annotated[
        list[str] | None, typer.Argument(metavar="[STUDY]...", help="Only these; all by default.")
    ] = None,
) -> None:
    """Copy studies into another database, made if it is missing, where they can go on.

    Killed at any moment, the same command goes on; it adds what the copy lacks. At the end both are compared.
    """
    from storage.copy import copy_study
    from storage.store import open_store

    with open_store(source, create=False) as here:
        names = list(dict.fromkeys(studies or here.studies()["study"]))
        for name in names:
            here.optimizers(name)  # raises before a database is made
        if not names:
            note(f"{here.database.name} has no studies")
            return
        with open_store(target, create=True) as there:
            for name in names:
                with progress_bar(f"copying {name}") as on_progress:
                    copied = copy_study(here, there, name, on_progress)
                show_copied(name, copied)


def merge(source: From, target: Into, study: WholeStudy) -> None:
    """Add a study to the one of its name in another database: its cells, seeds, optimizers, trials and tuning runs.

    The recipes have to be the same. A cell and seed that both have stays as it is in DST.
    """
    from storage.copy import merge_study
    from storage.store import open_store

    with open_store(source, create=False) as here:
        here.optimizers(study)  # raises before DST is touched
        open_store(target, create=False).close()  # raises when there is none
        with open_store(target, create=True) as there, progress_bar(f"merging {study}") as on_progress:
            copied = merge_study(here, there, study, on_progress)
    show_copied(study, copied)


def rename(
    study: WholeStudy,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The name that it gets.")],
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Give a study another name. Its file has to be given that name, too, to go on with it."""
    from storage.store import open_store

    open_store(storage, create=False).close()  # raises when there is none
    with open_store(storage, create=True) as store:
        store.rename(study, new)
    print(f"{study} is {new} now: write name = {new!r} in its study file")


def delete(
    study: WholeStudy,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Delete a study with all its trials and tuning runs, for good."""
    from storage.copy import foreign_trials
    from storage.store import open_store

    open_store(storage, create=False).close()  # raises when there is none
    with open_store(storage, create=True) as store:
        ours = sum(len(store.stored(study, each)) for each in store.about(study).recipes)
        foreign, runs = foreign_trials(store, study), store.versions()[study].runs
        others = f", {foreign:,} that others added through Optuna" if foreign else ""
        what = f"{study}: {ours:,} trials{others}, {runs:,} tuning runs"
        if not yes and not (sys.stdin.isatty() and typer.confirm(f"delete {what}?")):
            complain(f"{what}: nothing was deleted; --yes deletes them without asking")
            raise typer.Exit(BAD_INPUT)
        store.delete(study)
    print(f"deleted {what}")


def needed(given: Given | None, option: str) -> Given:
    if given is None:
        from storage.errors import StoreError

        raise StoreError(f"what is to be imported does not say its {option[2:]}: give {option}")
    return given
