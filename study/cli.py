"""The command line: parses, calls, shows. Heavy imports happen inside the commands that need them."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from storage import PATIENCE
from study.errors import is_ours
from study.shown import (
    DEFAULT_STORAGE,
    choice_of,
    note,
    progress_bar,
    show_copied,
    show_cost,
    show_cost_decision,
    show_decision,
    show_failures,
    show_launches,
    show_next,
    show_plan,
    show_report,
    show_sensitivities,
    show_studies,
    show_table,
    show_troubles,
    show_verdicts,
    write_rows,
)

app = typer.Typer(
    help="How sensitive is an optimizer to its hyperparameters, and what does tuning them cost?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
plot_app = typer.Typer(help="Draw figures of stored trials.", no_args_is_help=True)
app.add_typer(plot_app, name="plot")

if TYPE_CHECKING:
    from pandas import DataFrame

    from analysis.views import View
    from study.training.resolve import Study

Given = TypeVar("Given")

BAD_INPUT, FAILED, INTERRUPTED = 2, 1, 130
Format = Literal["table", "csv", "json", "parquet"]
CostFormat = Literal["table", "csv", "json"]
VerdictFormat = Literal["table", "json"]
Noise = Literal["run", "seed", "mean"]
Catalog = Literal["optimizers", "tuners", "workloads", "spaces"]

Storage = Annotated[
    str,
    typer.Option(
        envvar="TUNABILITY_STORAGE",
        metavar="URL",
        help="The trial database: sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE.",
    ),
]
StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="A study, or STUDY/OPTIMIZER.")]
WholeStudy = Annotated[str, typer.Argument(metavar="STUDY", help="The study's name.")]
From = Annotated[str, typer.Argument(metavar="SRC", help="The database to read, a URL as for --storage.")]
Into = Annotated[str, typer.Argument(metavar="DST", help="The database to write, a URL as for --storage.")]
StudyNames = Annotated[list[str], typer.Argument(metavar="STUDY...", help="Studies, or STUDY/OPTIMIZER.")]
Where = Annotated[
    str | None,
    typer.Option(metavar="FILTER", help='Only these trials, e.g. "alpha < 0.1 and seed = 0".'),
]
Target = Annotated[float, typer.Option(help="Suboptimality that counts as found, in units of the metric.")]
AdviceTarget = Annotated[
    float | None,
    typer.Option(help="Suboptimality to which advice is checked; by default 1% of the landscape's range."),
]
Within = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBERS",
        help="Losses that are tolerated, comma-separated, in units of the metric; by default 0.005,0.01,0.02 of a "
        "rate, those shares of the range of another metric.",
    ),
]
Defaults = Annotated[
    str | None,
    typer.Option(
        metavar="AXIS=NUMBER,...",
        help="Defaults to go by, e.g. alpha=0.1,eps=1e-8; the optimizer's own if not.",
    ),
]
AxesOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="The axes to show, e.g. alpha,eps: upwards and to the right; else the first two.",
    ),
]
JudgedAxes = Annotated[
    str | None,
    typer.Option(metavar="NAMES", help="Only pairs of these, the first one's best value against the second."),
]
LocalOption = Annotated[
    bool,
    typer.Option(
        "--local",
        help="Train in this process, without a cluster: one core, but a small study is done sooner.",
    ),
]
PatienceOption = Annotated[
    float,
    typer.Option(
        min=0, metavar="SECONDS", help="Wait so long for a database that is gone or locked meanwhile."
    ),
]
AtOption = Annotated[
    list[str] | None,
    typer.Option(
        "--at", metavar="AXIS=VALUE", help="Hold a further axis there, not at its best; may be repeated."
    ),
]
NoiseOption = Annotated[
    Noise | None,
    typer.Option(help="Runs on one seed each, a seed drawn for each cell, or means; the first there is."),
]
TunersOption = Annotated[
    str | None, typer.Option(metavar="NAMES", help="Only these, comma-separated; all by default.")
]
Out = Annotated[
    list[Path], typer.Option("--out", "-o", metavar="FILE", help="PNG, PDF or SVG; may be repeated.")
]


def main() -> None:
    """Entry point. An input that our own errors refuse is one line on standard error and exit code 2."""
    # Or Python looks through all of torch for cycles in the end, which takes a second of a free core.
    atexit.register(gc.freeze)
    try:
        app()
    except Exception as error:
        if not is_ours(error):
            raise
        note(f"error: {error}")
        sys.exit(BAD_INPUT)


def show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"tunability {version('tunability')}")
        raise typer.Exit


@app.callback()
def program(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """How sensitive is an optimizer to its hyperparameters, and what does tuning them cost?"""


@app.command()
def run(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="The study file (TOML).")],
    storage: Storage = DEFAULT_STORAGE,
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="A running Ray cluster instead of this machine.")
    ] = None,
    local: LocalOption = False,
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

    refuse_both(address, local)
    written = load_spec(spec, note)
    from study.running.refuse import refuse_early
    from study.training.resolve import resolve

    refuse_early(written, str(spec), storage, address, local=local)
    study = resolve(written, str(spec))
    if budget is not None and not until_decided:
        raise typer.BadParameter("is the number of trials that --until-decided may add: give both")
    if dry_run:
        show_plan(study, storage)
        return
    from storage.store import open_store
    from study.running.decide import until_decided as seeds_until_decided
    from study.running.run import run as run_study

    most = study.spec.trials if budget is None else budget
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
    if report.interrupted:
        raise typer.Exit(INTERRUPTED)
    if report.failures:
        raise typer.Exit(FAILED)


def refuse_both(address: str | None, local: bool) -> None:
    if address and local:
        raise typer.BadParameter("--local trains in this process, --address on a cluster: give one of them")


@app.command()
def launches(
    study: WholeStudy,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Show how often a study was launched, when and with what; `trials --where "launch = 1"` shows one's trials."""
    from storage.store import open_store

    with open_store(storage, create=False) as store:
        show_launches(study, store)


@app.command()
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
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="A running Ray cluster instead of this machine.")
    ] = None,
    local: LocalOption = False,
    patience: PatienceOption = PATIENCE,
) -> None:
    """Measure what tuning costs: run every tuner many times on each optimizer's landscape.

    What a study file's landscapes lack is trained; those of a STUDY must be complete. Runs are stored, and not made
    again. Of scattered trials they are replayed on draws of a surrogate, and not stored.
    """
    from study.spec import parse_tuning

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
    from study.spec import load_spec

    written = load_spec(Path(study), note) if study.endswith(".toml") or Path(study).is_file() else None
    tuning = parse_tuning((written.tuning.model_dump() if written else {}) | given)
    name = written.name if written else study
    if extra_budget is not None and not until_decided:
        raise typer.BadParameter("--budget is the number of trials that --until-decided may add: give both")
    from storage.store import open_store

    if written is None:
        with open_store(storage, create=False) as store:
            store.optimizers(name)  # raises when there is no such study
    else:
        from study.running.refuse import refuse_early

        refuse_early(written, study, storage, address, local=local)
    if until_decided and written is None:
        raise typer.BadParameter("--until-decided trains further seeds: give the study file")
    given_study: Study | None = None
    if written is None:
        from analysis.tuning_runs import Choice

        with open_store(storage, create=False) as store:
            if not store.about(name).space.is_grid:
                if replicates is not None:
                    raise typer.BadParameter(
                        "--replicates: runs on draws of a surrogate have a number of their own"
                    )
                show_cost(store, name, Choice(noise, None, split_tuners(tuners), trials), tuning.target)
                return
    else:
        from study.training.resolve import resolve

        given_study = resolve(written.model_copy(update={"tuning": tuning}), study)
    from study.running.tuning import tune as run_tuners

    most = 0
    further = None
    if until_decided and given_study is not None:
        from study.running.decide import until_cost_decided

        most = given_study.spec.trials if extra_budget is None else extra_budget
        further = until_cost_decided(given_study, most)
    with progress_bar(f"tuning {name}") as on_progress:
        report = run_tuners(
            name,
            storage,
            tuning,
            given_study,
            address,
            local=local,
            patience=patience,
            on_progress=on_progress,
        )
    show_troubles(report)
    trained = f", {report.trained:,} trials trained for them" if report.trained else ""
    print(f"\n{name}: {report.new:,} tuning runs made{trained}")
    if report.interrupted:
        print("stopped: the same command goes on")
        raise typer.Exit(INTERRUPTED)
    if report.failures:
        raise typer.Exit(FAILED)
    if given_study is not None and further is not None:
        from study.running.run import run as run_study

        with progress_bar(f"deciding {name}") as on_progress:
            added = run_study(
                given_study,
                storage,
                address,
                further=further,
                local=local,
                patience=patience,
                on_progress=on_progress,
            )
        show_troubles(added)
        if added.interrupted or added.failures:
            print("stopped: the same command goes on")
            raise typer.Exit(INTERRUPTED if added.interrupted else FAILED)
    with open_store(storage, create=False) as store:
        show_cost(store, name, choice_of(tuning), tuning.target)
        if given_study is not None and further is not None:
            show_cost_decision(given_study, store, added, most)
        show_next(
            storage,
            store,
            f"plot suboptimality {name} -o suboptimality.png",
            f"plot cost {name} -o cost.png",
        )


@app.command()
def cost(
    study: StudyName,
    target: Target = 0.005,
    noise: NoiseOption = None,
    tuners: TunersOption = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare every pair of tuners instead, and of optimizers.")
    ] = False,
    format: Annotated[CostFormat, typer.Option(help="How to write it.")] = "table",
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Tell how many trials each tuner needs to come within a target of the best, with 95% intervals."""
    from analysis.cost.costs import comparison_table, cost_table
    from analysis.tuning_runs import Choice, stored_curves
    from storage.records import split_name
    from storage.store import open_store

    choice = Choice(noise, tuners=split_tuners(tuners))
    with open_store(storage, create=False) as store:
        curves = stored_curves(store, *split_name(study), choice=choice, tell=note)
        frame = (comparison_table if compare else cost_table)(store, curves, target, note)
    write_rows(frame, format)


@app.command()
def separability(
    study: StudyNames,
    where: Where = None,
    axes: JudgedAxes = None,
    at: AtOption = None,
    target: AdviceTarget = None,
    format: Annotated[VerdictFormat, typer.Option(help="How to write it.")] = "table",
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Tell whether hyperparameters can be tuned one at a time: coupled, decoupled or undecided, with intervals.

    For coupled ones also what to tune instead, and how many trials that takes.
    """
    from analysis.separability import judge_all
    from analysis.stored import stored_landscapes
    from analysis.trained import trained
    from storage.store import open_store

    view = view_of(axes, at)
    with open_store(storage, create=False) as store:
        panels = stored_landscapes(store, study, where, extra=True, tell=note)
    verdicts = judge_all(trained(panels, note if format == "json" else print), target, view)
    if format == "json":
        import json

        print(json.dumps([verdict.to_json() for verdict in verdicts], indent=2))
        return
    show_verdicts(verdicts)


@app.command()
def sensitivity(
    study: StudyNames,
    within: Within = None,
    defaults: Defaults = None,
    format: Annotated[VerdictFormat, typer.Option(help="How to write it.")] = "table",
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Tell how wide each hyperparameter's good range is, what defaults cost, and how much must be tuned.

    Of several studies with the same grid also how much their tuning differs.
    """
    from analysis.sensitivity.defaults import parse_defaults
    from analysis.sensitivity.stored import known, parse_within, stored_sensitivities
    from storage.store import open_store

    thresholds = parse_within(within) if within else None
    given = parse_defaults(defaults) if defaults else None
    with open_store(storage, create=False) as store:
        found = known(stored_sensitivities(store, study, thresholds, given), note)
    if format == "json":
        import json

        print(json.dumps(found.to_json(), indent=2))
        return
    show_sensitivities(found)


@app.command()
def studies(storage: Storage = DEFAULT_STORAGE) -> None:
    """List the stored studies: trials, diverged ones, best value, and failed ones where there are any."""
    from storage.store import open_store

    with open_store(storage, create=False) as store:
        show_studies(store)


@app.command()
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
    nothing = f"no trial of {', '.join(study)} {'is so' if where else 'is stored'}"
    with open_store(storage, create=False) as store:
        if curves:
            frame = asked_curves(store, study, where, sort=sort, limit=limit, columns=chosen)
        elif per_cell or within is not None or times or sort or limit is not None or len(study) > 1:
            frame = asked_trials(
                store,
                study,
                where,
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
            if not rows:
                note(nothing)
            return
    if frame.empty:
        note(nothing)
    write(frame, written, out)


@app.command()
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


@app.command("import")
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
        typer.Option(metavar="COLUMNS", help="Hyperparameters, e.g. alpha,eps; a table needs them named."),
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

        named = needed(columns, "--axes"), needed(metric, "--metric")
        trials = read_table(Path(source), *named, seed=seed, maximize=maximize)
    name = needed(name, "--name")
    space_of(trials)  # before a database is made
    with open_store(storage, create=True) as store:
        new = keep(store, trials, name, optimizer)
    print(f"{name}/{optimizer}: {trials.in_words()} in {source}, {new:,} of them new")


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
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
            note(f"{what}: nothing was deleted; --yes deletes them without asking")
            raise typer.Exit(BAD_INPUT)
        store.delete(study)
    print(f"deleted {what}")


@app.command()
def doctor(
    storage: Storage = DEFAULT_STORAGE,
    repair: Annotated[
        bool, typer.Option("--repair", help="Put right what can be in the database; else nothing is written.")
    ] = False,
) -> None:
    """Tell whether this machine and the database are fit for studies, and what is wrong with them."""
    from rich.markup import escape

    from study.doctor import diagnose_machine, diagnose_storage

    found = [*diagnose_machine(), *diagnose_storage(storage, repair=repair)]
    show_table(("check", "state", "found"), [(each.check, each.state, escape(each.detail)) for each in found])
    broken = [each for each in found if each.state == "broken"]
    if any(each.repairable for each in broken):
        note("--repair puts right what is wrong in the database")
    if broken:
        raise typer.Exit(FAILED)


@app.command()
def serve(
    storage: Storage = DEFAULT_STORAGE,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Jobs API of a running Ray cluster, http://HOST:8265, instead of one of its own here.",
        ),
    ] = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0 for any free port.")] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="TUNABILITY_TOKEN",
            metavar="TEXT",
            show_envvar=True,
            help="What clients have to know; made up and printed by default. Others can see command lines: "
            "better in the environment.",
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Another name that clients may call it by.")
    ] = None,
    allow_imports: Annotated[
        bool, typer.Option("--allow-imports", help="Let specs name import paths: clients may run any code.")
    ] = False,
    at_once: Annotated[
        int, typer.Option(min=1, max=100, help="Studies that run at once on its own cluster; others wait.")
    ] = 1,
    stop_cluster: Annotated[
        bool,
        typer.Option("--stop-cluster", help="Stop what an earlier service left running, and serve nothing."),
    ] = False,
) -> None:
    """Launch, watch, query and plot studies over HTTP. Studies that run go on when it is stopped."""
    from study.service import server
    from study.service.settings import check_settings

    if stop_cluster:
        print("stopped" if server.stop_cluster(storage) else "nothing was running")
        return
    check_settings(host, token, address)
    server.serve(
        storage,
        address=address,
        slots=at_once,
        host=host,
        port=port,
        hosts=tuple(allow_host or ()),
        allow_imports=allow_imports,
        **({"token": token} if token is not None else {}),
    )


@plot_app.command()
def landscape(
    study: StudyNames,
    out: Out,
    where: Where = None,
    axes: AxesOption = None,
    at: AtOption = None,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="A matrix of all pairs of the axes, or of those named.")
    ] = False,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Draw each optimizer's metric over the search space, one colour scale for all (AvaGrad, Figure 1)."""
    draw("landscape", study, out, storage, where=where, view=view_of(axes, at), pairs=pairs)


@plot_app.command()
def suboptimality(
    study: StudyName,
    out: Out,
    target: Annotated[float | None, typer.Option(help="Draw a line there.")] = None,
    noise: NoiseOption = None,
    tuners: TunersOption = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Draw suboptimality against trials, a panel a tuner, a colour an optimizer (AvaGrad, Figure 2 right)."""
    draw("suboptimality", [study], out, storage, target=target, noise=noise, tuners=split_tuners(tuners))


@plot_app.command("cost")
def plot_cost(
    study: StudyName,
    out: Out,
    target: Target = 0.005,
    noise: NoiseOption = None,
    tuners: TunersOption = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Draw the trials that each tuner needed as bars, optimizers beside each other (AvaGrad, Figure 2 left)."""
    draw("cost", [study], out, storage, target=target, noise=noise, tuners=split_tuners(tuners))


@plot_app.command("separability")
def plot_separability(
    study: StudyNames,
    out: Out,
    where: Where = None,
    axes: JudgedAxes = None,
    at: AtOption = None,
    target: AdviceTarget = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Draw ridges and transitions on the landscapes, transfer regret, and tuning before and after the advice."""
    draw("separability", study, out, storage, where=where, view=view_of(axes, at), target=target)


@plot_app.command("sensitivity")
def plot_sensitivity(
    study: StudyNames,
    out: Out,
    within: Within = None,
    defaults: Defaults = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Draw what each value of a hyperparameter loses with the others at their best, and where the default is."""
    draw("sensitivity", study, out, storage, within=within, defaults=defaults)


@plot_app.command()
def profile(
    study: StudyNames,
    out: Out,
    target: Target = 0.005,
    noise: NoiseOption = None,
    tuners: TunersOption = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Draw tuners' performance profiles over the landscapes of one or more studies (Dolan & Moré, 2002)."""
    draw("profile", study, out, storage, target=target, noise=noise, tuners=split_tuners(tuners))


def draw(kind: str, studies: Sequence[str], paths: Sequence[Path], storage: str, **request: Any) -> None:
    """Write one of `analysis.stored_figures` to files."""
    from analysis.figures import check_target, save_figure
    from analysis.stored_figures import FIGURES, FigureRequest
    from storage.store import open_store

    for path in paths:
        check_target(path)
    with open_store(storage, create=False) as store:
        figure = FIGURES[kind](store, FigureRequest(tuple(studies), tell=note, **request))
    for path in paths:
        save_figure(figure, path)
        print(f"wrote {path}")


@app.command("list")
def list_catalog(what: Annotated[Catalog, typer.Argument(metavar="WHAT", help="What to list.")]) -> None:
    """List what a study file can name."""
    from study import catalog

    rows = {
        "optimizers": catalog.optimizers,
        "tuners": catalog.tuners,
        "workloads": catalog.workloads,
        "spaces": catalog.spaces,
    }
    show_table(*rows[what]())


def needed(given: Given | None, option: str) -> Given:
    if given is None:
        from storage.errors import StoreError

        raise StoreError(f"what is to be imported does not say its {option[2:]}: give {option}")
    return given


def view_of(axes: str | None, at: Sequence[str] | None) -> View:
    from analysis.views import View

    return View.of_texts(axes, at or ())


def split_names(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(","))


def split_tuners(names: str | None) -> tuple[str, ...] | None:
    return None if names is None else split_names(names)
