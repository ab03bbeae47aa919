"""Commands that train: `run` and `tune`."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from storage import PATIENCE
from study.cli.options import (
    FAILED,
    INTERRUPTED,
    AddressOption,
    DataDir,
    LocalOption,
    Noise,
    PatienceOption,
    Storage,
    split_tuners,
)
from study.shown.answers import choice_of, show_cost
from study.shown.console import DEFAULT_STORAGE, note, progress_bar, show_next
from study.shown.runs import show_cost_decision, show_decision, show_plan, show_report, show_troubles

if TYPE_CHECKING:
    from study.running.drive import Report
    from study.training.resolve import Study


class How(TypedDict):
    """Where it is trained, and how long a database is waited for."""

    address: str | None
    local: bool
    patience: float


def run(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="The study file (TOML).")],
    storage: Storage = DEFAULT_STORAGE,
    address: AddressOption = None,
    local: LocalOption = False,
    data_dir: DataDir = None,
    patience: PatienceOption = PATIENCE,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell how many trials, blocks and minutes it would take.")
    ] = False,
    until_decided: Annotated[
        bool,
        typer.Option(
            "--until-decided",
            help="Then add seeds until separability is decided, in the cells that matter for it.",
        ),
    ] = False,
    budget: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="TRIALS", help="Most trials to add for that; as many as the study has by default."
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Refuse to go on where stored trials were made by other versions."),
    ] = False,
) -> None:
    """Train every trial of a study that is not stored yet. Killed at any moment, the same command goes on."""
    from study.spec import load_spec

    del data_dir  # it has been set
    refuse_both(address, local)
    if budget is not None and not until_decided:
        raise typer.BadParameter("is the number of trials that --until-decided may add: give both")
    written = load_spec(spec, note)
    from study.running.refuse import refuse_early
    from study.training.resolve import resolve

    refuse_early(written, str(spec), storage, address, local=local)
    if dry_run:
        show_plan(resolve(written, str(spec)), storage)
        return
    from storage.store import open_store
    from study.running.early import early_cluster

    most = written.trials if budget is None else budget
    may_refuse = until_decided or strict
    with nullcontext() if address or local or may_refuse else early_cluster(written, storage):
        study = resolve(written, str(spec))
        from study.running.decide import until_decided as seeds_until_decided
        from study.running.run import run as run_study

        further = seeds_until_decided(study, most) if until_decided else None
        with progress_bar(study.name) as on_progress:
            report = run_study(
                study,
                storage,
                address,
                further=further,
                strict=strict,
                local=local,
                patience=patience,
                on_progress=on_progress,
            )
    with open_store(storage, create=False) as store:
        show_report(study, store, report, storage)
        if until_decided and report.done == study.spec.trials:
            show_decision(study, store, report, most)
    end_unless_done(report)


def tune(
    study: Annotated[
        str, typer.Argument(metavar="SPEC|STUDY", help="A study file (TOML), or a study in the database.")
    ],
    tuners: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Comma-separated, e.g. random,cgld; all by default.")
    ] = None,
    trials: Annotated[int | None, typer.Option(help="Budget of a run.")] = None,
    replicates: Annotated[int | None, typer.Option(help="Runs of each tuner.")] = None,
    target: Annotated[float | None, typer.Option(help="Suboptimality that counts as found.")] = None,
    noise: Annotated[
        Noise | None, typer.Option(help="A run sees one seed, a seed drawn for each cell, or means.")
    ] = None,
    until_decided: Annotated[
        bool,
        typer.Option(
            "--until-decided",
            help="Then add seeds, in the cells that matter for it, until it is decided which optimizer is cheaper.",
        ),
    ] = False,
    extra_budget: Annotated[
        int | None,
        typer.Option(
            "--budget",
            min=0,
            metavar="TRIALS",
            help="Most trainings to add for that; as many as the study has by default.",
        ),
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
    address: AddressOption = None,
    local: LocalOption = False,
    data_dir: DataDir = None,
    patience: PatienceOption = PATIENCE,
) -> None:
    """Measure what tuning costs: run every tuner many times on each optimizer's landscape.

    What a study file's landscapes lack is trained; those of a STUDY must be complete. Runs are stored, and not made
    again. Of scattered trials they are replayed on draws of a surrogate, and not stored.
    """
    from storage.store import open_store
    from study.spec import load_spec, parse_tuning

    del data_dir  # it has been set
    refuse_both(address, local)
    options = {
        "tuners": split_tuners(tuners),
        "trials": trials,
        "replicates": replicates,
        "target": target,
        "noise": noise,
    }
    given = {key: value for key, value in options.items() if value is not None}
    parse_tuning(given)  # refused before what takes seconds to import
    written = load_spec(Path(study), note) if study.endswith(".toml") or Path(study).is_file() else None
    tuning = parse_tuning((written.tuning.model_dump() if written else {}) | given)
    name = written.name if written else study
    if extra_budget is not None and not until_decided:
        raise typer.BadParameter("--budget is the number of trials that --until-decided may add: give both")
    resolved: Study | None = None
    if written is None:
        if until_decided:
            raise typer.BadParameter("--until-decided trains further seeds: give the study file")
        if is_scattered(name, storage):
            if replicates is not None:
                raise typer.BadParameter(
                    "--replicates: runs on draws of a surrogate have a number of their own"
                )
            from analysis.tuning_runs import Choice

            choice = Choice(noise, None, split_tuners(tuners), trials)
            with open_store(storage, create=False) as store:
                show_cost(store, name, choice, tuning.target)
            return
    else:
        from study.running.refuse import refuse_early
        from study.training.resolve import resolve

        refuse_early(written, study, storage, address, local=local)
        resolved = resolve(written.model_copy(update={"tuning": tuning}), study)
    from study.running.tuning import tune as run_tuners

    how: How = {"address": address, "local": local, "patience": patience}
    with progress_bar(f"tuning {name}") as on_progress:
        report = run_tuners(name, storage, tuning, resolved, **how, on_progress=on_progress)
    show_troubles(report)
    trained = f", {report.trained:,} trials trained for them" if report.trained else ""
    print(f"\n{name}: {report.new:,} tuning runs made{trained}")
    if report.interrupted:
        print("stopped: the same command goes on")
    end_unless_done(report)
    added, most = None, 0
    if until_decided and resolved is not None:
        most = resolved.spec.trials if extra_budget is None else extra_budget
        added = decide_cost(resolved, storage, most, how)
    with open_store(storage, create=False) as store:
        show_cost(store, name, choice_of(tuning), tuning.target)
        if resolved is not None and added is not None:
            show_cost_decision(resolved, store, added, most)
        show_next(
            storage,
            store,
            f"plot suboptimality {name} -o suboptimality.png",
            f"plot cost {name} -o cost.png",
        )


def is_scattered(study: str, storage: str) -> bool:
    """Whether a stored study's trials lie on no grid. Raises StoreError when there is no such study."""
    from storage.store import open_store

    with open_store(storage, create=False) as store:
        return not store.about(study).space.is_grid


def decide_cost(study: Study, storage: str, most: int, how: How) -> Report:
    """Add at most so many trials of further seeds, until it is decided which optimizer is cheaper to tune."""
    from study.running.decide import until_cost_decided
    from study.running.run import run as run_study

    further = until_cost_decided(study, most)
    with progress_bar(f"deciding {study.name}") as on_progress:
        report = run_study(study, storage, further=further, **how, on_progress=on_progress)
    show_troubles(report)
    if report.interrupted or report.failures:
        print("stopped: the same command goes on")
    end_unless_done(report)
    return report


def end_unless_done(report: Report) -> None:
    """Raise Exit with the code of a run that was interrupted, or in which trials failed for good."""
    if report.interrupted:
        raise typer.Exit(INTERRUPTED)
    if report.failures:
        raise typer.Exit(FAILED)


def refuse_both(address: str | None, local: bool) -> None:
    if address and local:
        raise typer.BadParameter("--local trains in this process, --address on a cluster: give one of them")
