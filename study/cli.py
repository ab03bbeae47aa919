"""The command line: parses, calls, shows. Heavy imports happen inside the commands that need them."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from study.errors import is_ours

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure

    from analysis.separability import Verdict
    from storage.store import Store
    from study.run import Report
    from study.spec import StudySpec, TuningSpec

app = typer.Typer(
    help="How sensitive is an optimizer to its hyperparameters, and what does tuning them cost?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
plot_app = typer.Typer(help="Draw figures of stored trials.", no_args_is_help=True)
app.add_typer(plot_app, name="plot")

CatalogTable = tuple[tuple[str, ...], list[tuple[str, ...]]]
BAD_INPUT, FAILED, INTERRUPTED = 2, 1, 130


class Format(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


class CostFormat(StrEnum):
    TABLE = "table"
    CSV = "csv"
    JSON = "json"


class VerdictFormat(StrEnum):
    TABLE = "table"
    JSON = "json"


class Noise(StrEnum):
    SEED = "seed"
    MEAN = "mean"


class Catalog(StrEnum):
    OPTIMIZERS = "optimizers"
    TUNERS = "tuners"
    WORKLOADS = "workloads"
    SPACES = "spaces"


Storage = Annotated[
    str,
    typer.Option(
        envvar="TUNABILITY_STORAGE",
        metavar="URL",
        help="The trial database: sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE.",
    ),
]
DEFAULT_STORAGE = "sqlite:///tunability.db"
StudyName = Annotated[str, typer.Argument(metavar="STUDY", help="A study, or STUDY/OPTIMIZER.")]
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
NoiseOption = Annotated[
    Noise | None, typer.Option(help="Runs on single seeds, or on means; single seeds when there are both.")
]
TunersOption = Annotated[
    str | None, typer.Option(metavar="NAMES", help="Only these, comma-separated; all by default.")
]
Out = Annotated[
    list[Path], typer.Option("--out", "-o", metavar="FILE", help="PNG, PDF or SVG; may be repeated.")
]


def main() -> None:
    """Entry point. An input that our own errors refuse is one line on standard error and exit code 2."""
    try:
        app()
    except Exception as error:
        if not is_ours(error):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)


@app.command()
def run(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="The study file (TOML).")],
    storage: Storage = DEFAULT_STORAGE,
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="A running Ray cluster instead of this machine.")
    ] = None,
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
) -> None:
    """Train every trial of a study that is not stored yet. Killed at any moment, the same command goes on."""
    from study.spec import load_spec

    study = load_spec(spec)
    if budget is not None and not until_decided:
        raise typer.BadParameter("is the number of trials that --until-decided may add: give both")
    if dry_run:
        show_plan(study, storage)
        return
    from storage.store import open_store
    from study.decide import until_decided as seeds_until_decided
    from study.run import run as run_study

    most = study.trials if budget is None else budget
    further = seeds_until_decided(study, most) if until_decided else None
    with progress_bar(study.name) as on_progress:
        report = run_study(study, storage, address, further=further, on_progress=on_progress)
    with open_store(storage, create=False) as store:
        show_report(study, store, report, storage)
        if until_decided and report.done == study.trials:
            show_decision(study, store, report, most)
    if report.interrupted:
        raise typer.Exit(INTERRUPTED)
    if report.failures:
        raise typer.Exit(FAILED)


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
        Noise | None, typer.Option(help="A run sees one seed of each cell, or the mean over seeds.")
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="A running Ray cluster instead of this machine.")
    ] = None,
) -> None:
    """Measure what tuning costs: run every tuner many times on each optimizer's landscape.

    What a study file's landscapes lack is trained; those of a STUDY must be complete. Runs are stored, and not made
    again.
    """
    from storage.store import open_store
    from study.spec import load_spec, parse_tuning
    from study.tuning import tune as run_tuners

    spec = load_spec(Path(study)) if study.endswith(".toml") or Path(study).is_file() else None
    given = {
        "tuners": split_names(tuners) if tuners is not None else None,
        "trials": trials,
        "replicates": replicates,
        "target": target,
        "noise": noise.value if noise else None,
    }
    base = spec.tuning.model_dump() if spec else {}
    tuning = parse_tuning(base | {key: value for key, value in given.items() if value is not None})
    name = spec.name if spec else study
    with progress_bar(f"tuning {name}") as on_progress:
        report = run_tuners(name, storage, tuning, spec, address, on_progress=on_progress)
    show_troubles(report)
    trained = f", {report.trained:,} trials trained for them" if report.trained else ""
    print(f"\n{name}: {report.new:,} tuning runs made{trained}")
    if report.interrupted:
        print("stopped: the same command goes on")
        raise typer.Exit(INTERRUPTED)
    if report.failures:
        raise typer.Exit(FAILED)
    with open_store(storage, create=False) as store:
        show_cost(store, name, tuning)
    option = "" if storage == DEFAULT_STORAGE else f" --storage {shlex.quote(store.database.name)}"
    command = "tunability" if shutil.which("tunability") else os.path.relpath(sys.argv[0])
    print(f"next:\n  {command} plot suboptimality {name} -o suboptimality.png{option}")
    print(f"  {command} plot cost {name} -o cost.png{option}")


@app.command()
def cost(
    study: StudyName,
    target: Target = 0.005,
    noise: NoiseOption = None,
    tuners: TunersOption = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare every pair of tuners instead, and of optimizers.")
    ] = False,
    format: Annotated[CostFormat, typer.Option(help="How to write it.")] = CostFormat.TABLE,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Tell how many trials each tuner needed to come within a target of the best."""
    from analysis.suboptimality import comparison_table, cost_table
    from storage.store import open_store

    with open_store(storage, create=False) as store:
        curves = read_curves(store, study, noise, tuners)
    frame = comparison_table(curves, target) if compare else cost_table(curves, target)
    write_rows(frame, format)


@app.command()
def separability(
    study: StudyNames,
    where: Where = None,
    target: AdviceTarget = None,
    format: Annotated[VerdictFormat, typer.Option(help="How to write it.")] = VerdictFormat.TABLE,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Tell whether hyperparameters can be tuned one at a time: coupled, decoupled or undecided, with intervals.

    For coupled ones also what to tune instead, and how many trials that takes.
    """
    verdicts = [verdict for verdict, _ in judged(study, where, target, storage)]
    if format == VerdictFormat.JSON:
        import json

        print(json.dumps([verdict.to_json() for verdict in verdicts], indent=2))
        return
    show_verdicts(verdicts)


@app.command()
def studies(storage: Storage = DEFAULT_STORAGE) -> None:
    """List the stored studies: trials, diverged ones, best value."""
    from storage.query import write
    from storage.store import open_store

    with open_store(storage, create=False) as store:
        write(store.studies(), "table", None)


@app.command()
def trials(
    study: StudyName,
    where: Where = None,
    format: Annotated[Format, typer.Option(help="How to write them.")] = Format.TABLE,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write there, not to the terminal.")
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Write the stored trials of a study: hyperparameters, seed, final metrics, divergence."""
    from storage.query import write
    from storage.store import open_store

    with open_store(storage, create=False) as store:
        frame = store.trials(*split_name(study), where=where)
    write(frame, format.value, out)


@app.command("import")
def import_trials(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A table, one row a trial: CSV or Parquet.")],
    name: Annotated[str, typer.Option(metavar="NAME", help="The study that it becomes.")],
    optimizer: Annotated[str, typer.Option(metavar="NAME", help="The optimizer that was tuned.")],
    axes: Annotated[str, typer.Option(metavar="COLUMNS", help="Hyperparameters, e.g. alpha,eps.")],
    metric: Annotated[str, typer.Option(metavar="COLUMN", help="What was measured; lower is better.")],
    seed: Annotated[str | None, typer.Option(metavar="COLUMN", help="Seeds, if the table has them.")] = None,
    maximize: Annotated[
        bool, typer.Option("--maximize", help="Higher is better: store the negative.")
    ] = False,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Take somebody's grid search into the database; every analysis and `tune` work on it."""
    from storage.foreign import import_table, read_table
    from storage.store import open_store

    columns = split_names(axes)
    read_table(file, [*columns, metric, *([seed] if seed else [])])  # before a database is made
    with open_store(storage, create=True) as store:
        rows, new = import_table(store, file, name, optimizer, columns, metric, seed=seed, maximize=maximize)
    print(f"{name}/{optimizer}: {rows:,} trials in {file}, {new:,} of them new")


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
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Draw each optimizer's metric over the search space, one colour scale for all (AvaGrad, Figure 1)."""
    from analysis.figures import landscape_figure
    from storage.store import open_store

    check_targets(out)
    with open_store(storage, create=False) as store:
        panels = landscapes(store, study, where)
    save(landscape_figure(panels), out)


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
    from analysis.suboptimality import check_suboptimality_target, summary_table
    from analysis.tuning_figures import suboptimality_figure
    from storage.store import open_store

    check_targets(out)
    if target is not None:
        check_suboptimality_target(target)
    with open_store(storage, create=False) as store:
        curves = read_curves(store, study, noise, tuners)
    summary = summary_table(curves)
    figure = suboptimality_figure(summary, curves.attrs["metric"], curves.sizes["replicate"], target)
    save(figure, out)


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
    from analysis.suboptimality import cost_table
    from analysis.tuning_figures import cost_figure
    from storage.store import open_store

    check_targets(out)
    with open_store(storage, create=False) as store:
        curves = read_curves(store, study, noise, tuners)
    save(cost_figure(cost_table(curves, target)), out)


@plot_app.command("separability")
def plot_separability(
    study: StudyNames,
    out: Out,
    where: Where = None,
    target: AdviceTarget = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Draw ridges and transitions on the landscapes, transfer regret, and tuning before and after the advice."""
    from analysis.separability_figures import separability_figure

    check_targets(out)
    save(separability_figure(judged(study, where, target, storage)), out)


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
    import pandas as pd

    from analysis.suboptimality import cost_table, performance_profile
    from analysis.tuning_figures import profile_figure
    from storage.store import open_store

    check_targets(out)
    with open_store(storage, create=False) as store:
        tables = []
        for name in study:
            curves = read_curves(store, name, noise, tuners)
            table = cost_table(curves, target)
            tables.append(table.assign(landscape=name.partition("/")[0] + "/" + table["optimizer"]))
    save(profile_figure(performance_profile(pd.concat(tables))), out)


@app.command("list")
def list_catalog(what: Annotated[Catalog, typer.Argument(help="What to list.")]) -> None:
    """List what a study file can name."""
    rows = {
        Catalog.OPTIMIZERS: optimizer_rows,
        Catalog.TUNERS: tuner_rows,
        Catalog.WORKLOADS: workload_rows,
        Catalog.SPACES: space_rows,
    }
    show_table(*rows[what]())


def optimizer_rows() -> CatalogTable:
    from study.optimizers import OPTIMIZERS
    from study.optimizers.rule import SYMBOLS

    rows: list[tuple[str, ...]] = []
    for name, optimizer in OPTIMIZERS.items():
        rule = optimizer.rule
        runs = "fused, second order" if rule.second_order else "fused"
        for own, argument in rule.arguments.items():
            letters = [
                letter for letter, meant in SYMBOLS.items() if meant == own and letter not in rule.arguments
            ]
            rows.append((name, ", ".join([own, *letters]), str(argument), argument.source, runs))
    rows.append(
        ("package.module:Class", "its arguments", "its own", "any torch.optim.Optimizer", "one by one")
    )
    return ("optimizer", "argument", "default", "source of the default", "runs"), rows


def tuner_rows() -> CatalogTable:
    import inspect

    from tuners import TUNERS, tuner_class

    rows: list[tuple[str, ...]] = []
    for name in TUNERS:
        module = inspect.getdoc(inspect.getmodule(tuner_class(name))) or ""
        rows.append((name, module.splitlines()[0]))
    return ("tuner", "what it is"), rows


def workload_rows() -> CatalogTable:
    from study.workloads import WORKLOADS

    rows: list[tuple[str, ...]] = []
    for name, workload in WORKLOADS.items():
        weights = sum(weight.numel() for weight in workload.init(0).values())
        rows.append(
            (name, f"{weights:,}", f"{workload.flops_per_step / 1e6:.1f}", workload.metric, workload.about)
        )
    return ("workload", "weights", "MFLOP a step", "metric", "what it is"), rows


def space_rows() -> CatalogTable:
    from search_spaces import CATALOG

    rows: list[tuple[str, ...]] = []
    for name, published in CATALOG.items():
        axes = ", ".join(
            f"{axis.name} {axis.low:g}..{axis.high:g} ({len(axis.values)})" for axis in published.space.axes
        )
        rows.append((name, axes, str(published.space.size), f"{published.source}: {published.note}"))
    return ("space", "axes", "cells", "source"), rows


def show_plan(study: StudySpec, storage: str) -> None:
    from study.run import estimate_seconds, plan, stored_plan

    workers = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    todo = stored_plan(study, storage, workers) or plan(study, None, workers)
    seconds, unfused = estimate_seconds(study, todo, workers)
    print(f"{study.name}: {study.trials:,} trials, {todo.stored:,} of them stored")
    largest = max((block.lanes for block in todo.blocks), default=0)
    print(f"to train: {todo.trials:,} trials in {len(todo.blocks)} blocks of up to {largest}")
    for name, each in unfused.items():
        print(f"note: {name} is no rule: its trials are trained one after another, about {each:.2g} s each")
    minutes = seconds / 60 if todo.blocks else 0
    print(f"estimated time: {minutes:.1f} minutes on this machine's {workers} cores")


def show_troubles(report: Report) -> None:
    for warning in sorted(report.warnings):
        print(f"warning: {warning}", file=sys.stderr)
    for failure in report.failures:
        print(f"failed: {failure}", file=sys.stderr)


def show_report(study: StudySpec, store: Store, report: Report, storage: str) -> None:
    """What happened, where it is, what to type next."""
    show_troubles(report)
    speed = f", {report.new:,} of them now ({report.new / report.elapsed:.0f} trials/s)" if report.new else ""
    print(f"\n{study.name}: {report.done:,} of {study.trials:,} trials stored{speed}")
    option = "" if storage == DEFAULT_STORAGE else f" --storage {shlex.quote(store.database.name)}"
    if report.done < study.trials:
        print(f"{'stopped' if report.interrupted else 'incomplete'}: the same command trains the rest")
    else:
        show_summary(landscapes(store, [study.name]), diverged_shares(store, study.name))
    command = "tunability" if shutil.which("tunability") else os.path.relpath(sys.argv[0])
    print(f"\ndatabase: {store.database.name}\nnext:")
    if report.done == study.trials:
        print(f"  {command} plot landscape {study.name} -o {study.name}.png{option}")
    print(f'  {command} trials {study.name} --where "seed = 0"{option}')


def show_decision(study: StudySpec, store: Store, report: Report, budget: int) -> None:
    """The verdicts, and why no more seeds were added."""
    from analysis.separability import judge
    from study.decide import stored_extra
    from study.decide import until_decided as seeds_until_decided

    panels = landscapes(store, [study.name], extra=True)
    extra = stored_extra(study, store)
    print(
        f"\nseeds added for the verdict: {extra:,} trials, {report.extra:,} of them now, of at most {budget:,}"
    )
    show_verdicts([verdict for name, values in panels.items() for verdict in judge(name, values)])
    unlimited = seeds_until_decided(study, sys.maxsize)
    if not (report.interrupted or report.failures) and unlimited(store, 1):
        print("not decided: the next seed does not fit into --budget")


def show_summary(panels: dict[str, xr.DataArray], diverged: dict[str, float]) -> None:
    """The best cell of each optimizer, and along the second axis the best value of the first."""
    from analysis.landscape import axis_names, best_along, best_cell

    rows: list[tuple[str, ...]] = []
    for name, panel in panels.items():
        best = best_cell(panel)
        place = ", ".join(f"{axis} = {value:g}" for axis, value in best.coordinates.items())
        error = f" ± {best.standard_error:.4f}" if best.seeds > 1 else ""
        rows.append((name, place, f"{best.mean:.4f}{error}", f"{diverged[name]:.1%}"))
    first = next(iter(panels.values()))
    metric = first.attrs["metric"] + (" ± s.e." if first.sizes["seed"] > 1 else "")
    show_table(("optimizer", "best cell", metric, "diverged"), rows)
    axes = axis_names(first)
    if len(axes) == 2:
        lines_of = {name: best_along(panel, axes[0], axes[1]) for name, panel in panels.items()}
        lines = [
            (f"{given:g}", *(f"{panel.sel({axes[1]: given}).item():g}" for panel in lines_of.values()))
            for given in first[axes[1]].values
        ]
        show_table((axes[1], *(f"best {axes[0]}, {name}" for name in lines_of)), lines)


def show_cost(store: Store, study: str, tuning: TuningSpec) -> None:
    """The cost table of the runs that a spec asks for."""
    from analysis.suboptimality import cost_table
    from analysis.tuning_runs import Choice, stored_curves

    choice = Choice(tuning.noise, tuning.repeats, tuning.tuners, tuning.trials, tuning.replicates)
    curves = stored_curves(store, study, choice=choice)
    tell_incomplete(curves)
    write_rows(cost_table(curves, tuning.target), CostFormat.TABLE)


def read_curves(store: Store, study: str, noise: Noise | None, tuners: str | None) -> xr.DataArray:
    """Suboptimality of the stored runs of STUDY or STUDY/OPTIMIZER; tells when a landscape is not complete."""
    from analysis.tuning_runs import Choice, stored_curves

    names = split_names(tuners) if tuners is not None else None
    curves = stored_curves(
        store, *split_name(study), choice=Choice(noise.value if noise else None, tuners=names)
    )
    tell_incomplete(curves)
    return curves


def tell_incomplete(curves: xr.DataArray) -> None:
    if curves.attrs["incomplete"]:
        print(f"note: suboptimality of {curves.attrs['incomplete']} known", file=sys.stderr)


def split_names(names: str) -> list[str]:
    return [name.strip() for name in names.split(",")]


def write_rows(frame: pd.DataFrame, format: CostFormat) -> None:
    """A table with NaN as a dash, CSV with NaN empty, or JSON with NaN as null."""
    match format:
        case CostFormat.JSON:
            import json

            rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
            print(json.dumps(rows, indent=2))
        case CostFormat.CSV:
            print(frame.to_csv(index=False), end="")
        case CostFormat.TABLE:
            rows_of_text = [
                tuple(
                    cell if isinstance(cell, str) else "-" if cell != cell else f"{cell:.4g}" for cell in row
                )
                for row in frame.itertuples(index=False)
            ]
            show_table(tuple(map(str, frame.columns)), rows_of_text)


def check_targets(paths: Sequence[Path]) -> None:
    from analysis.figures import check_target

    for path in paths:
        check_target(path)


def save(figure: Figure, paths: Sequence[Path]) -> None:
    from analysis.figures import save_figure

    for path in paths:
        save_figure(figure, path)
        print(f"wrote {path}")


def landscapes(
    store: Store, studies: Sequence[str], where: str | None = None, *, extra: bool = False
) -> dict[str, xr.DataArray]:
    """Landscapes as `stored_landscapes` has them; tells which optimizers have no trials."""
    from analysis.stored import stored_landscapes

    found = stored_landscapes(store, studies, where, extra=extra)
    for study in studies:
        name, optimizer = split_name(study)
        for each in [] if optimizer else store.optimizers(name):
            if not {each, f"{name}/{each}"} & found.keys():
                print(f"no trials of {name}/{each}: left out", file=sys.stderr)
    return found


def judged(
    studies: Sequence[str], where: str | None, target: float | None, storage: str
) -> list[tuple[Verdict, xr.DataArray]]:
    """The verdicts on the landscapes of studies, each with its landscape."""
    from analysis.separability import judge
    from storage.store import open_store

    with open_store(storage, create=False) as store:
        panels = landscapes(store, studies, where, extra=True)
    return [(verdict, values) for name, values in panels.items() for verdict in judge(name, values, target)]


def show_verdicts(verdicts: Sequence[Verdict]) -> None:
    for verdict in verdicts:
        about = "" if verdict.axes == verdicts[0].axes else f" ({verdict.axes[0]}, {verdict.axes[1]})"
        print(f"{verdict.sentence}{about}")
    rows = []
    for verdict in verdicts:
        advice = verdict.advice
        after = advice.penalty.text("z.4f") if advice else "-"
        rows.append(
            (
                verdict.optimizer,
                ", ".join(verdict.axes),
                verdict.penalty.text("z.4f"),
                after,
                verdict.interaction.text("z.2f"),
                verdict.sobol.text("z.2f"),
                "-" if verdict.seeds_to_decide is None else f"{verdict.seeds} of {verdict.seeds_to_decide}",
            )
        )
    header = (
        "optimizer",
        "axes",
        "lost one at a time",
        "lost as advised",
        "interaction",
        "Sobol' index",
        "seeds to decide",
    )
    show_table(header, rows)


def diverged_shares(store: Store, study: str) -> dict[str, float]:
    """Of each optimizer's trials, without seeds that were added for a verdict."""
    from analysis.landscape import diverged_share
    from analysis.stored import asked_seeds

    asked = asked_seeds(store.spec(study))
    where = None if asked is None else f"seed < {asked}"
    return {each: diverged_share(store.trials(study, each, where)) for each in store.optimizers(study)}


def split_name(study: str) -> tuple[str, str | None]:
    name, _, optimizer = study.partition("/")
    return name, optimizer or None


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table)


@contextmanager
def progress_bar(title: str) -> Iterator[Any]:
    """A callback for `study.run.run` that draws a bar with the time left; quiet when not a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"{title}: starting the workers", total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, description=title, completed=done, total=total)

        yield advance
