"""What the command line prints. Heavy imports happen inside the functions that need them."""

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
    import xarray as xr

    from analysis.sensitivity.result import AxisSensitivity, Sensitivity
    from analysis.sensitivity.stored import Sensitivities
    from analysis.separability import Verdict
    from analysis.tuning_runs import Choice
    from storage.copy import Copied
    from storage.store import Store
    from study.running.drive import Report
    from study.spec import TuningSpec
    from study.training.resolve import Study

DEFAULT_STORAGE = "sqlite:///tunability.db"
FAILURES_SHOWN = 20
"""At the end of a run; what several say alike is told once."""


def note(text: str) -> None:
    print(text, file=sys.stderr)


def show_launches(study: str, store: Store) -> None:
    """Every launch of a study's optimizers: when, with which versions, on what, and how many trials are from it."""
    made: dict[int, dict[str, Any]] = {}
    for optimizer in store.optimizers(study):
        for each in store.provenances(study, optimizer):
            launch = made.setdefault(each["launch"], {**each, "trials": 0})
            launch["trials"] += each["trials"]
    rows = []
    for number, each in sorted(made.items()):
        packages = each.get("packages", {})
        versions = " ".join(
            f"{name} {packages[name]}" for name in ("tunability", "torch") if name in packages
        )
        machine = each.get("machine")
        processor = machine.get("processor", "") if isinstance(machine, dict) else ""
        when = each.get("declared", each.get("imported", ""))
        rows.append((str(number), str(when), f"{each['trials']:,}", versions, str(processor)))
    show_table(("launch", "when", "trials", "versions", "processor"), rows)


def show_failures(frame: pd.DataFrame) -> None:
    """Trials that failed, the last first, then the last lines that they wrote; those that several did, once."""
    from rich.markup import escape

    when = frame["failed_at"].dt.strftime("%Y-%m-%d %H:%M:%S")
    shown = frame.drop(columns="lines").assign(failed_at=when, reason=frame["reason"].map(escape))
    shown = shown.astype(object).where(shown.notna(), "-")
    rows = [
        tuple(f"{value:g}" if isinstance(value, float) else str(value) for value in row)
        for row in shown.itertuples(index=False)
    ]
    show_table(tuple(shown.columns), rows)
    for said, group in frame.groupby(["reason", "lines"], sort=False):
        reason, lines = map(str, said)
        if lines:
            told = [f"  | {line}" for line in lines.splitlines()]
            print(f"{len(group):,} of them: {reason}", *told, sep="\n")


def show_copied(study: str, copied: Copied) -> None:
    """What came of copying or merging a study, and what stayed behind."""
    if copied.foreign:
        note(f"{study}: {copied.foreign:,} trials that others added through Optuna have no seed: not copied")
    for optimizer in copied.kept:
        note(f"{study}/{optimizer}: some trials have other values there, which stay")
    print(
        f"{study}: {copied.new:,} trials and {copied.runs:,} tuning runs copied; verified: {copied.found}, "
        f"{copied.before:,} of them there before"
    )


def show_plan(study: Study, storage: str) -> None:
    from study.running.forecast import cores, forecast, notes

    workers = cores()
    study, todo, seconds = forecast(study, storage, workers)
    print(f"{study.name}: {study.spec.trials:,} trials, {todo.stored:,} of them stored")
    largest = max((block.lanes for block in todo.blocks), default=0)
    print(f"to train: {todo.trials:,} trials in {len(todo.blocks)} blocks of up to {largest}")
    for line in notes(study):
        print(line)
    if seconds is None:
        print("estimated time: not known before some trials of the black box are stored")
    else:
        print(f"estimated time: {seconds / 60:.1f} minutes on this machine's {workers} cores")


def show_troubles(report: Report) -> None:
    for warning in sorted(report.warnings):
        note(f"warning: {warning}")
    seen = set[str]()
    for failure in report.failures[:FAILURES_SHOWN]:
        reason, _, lines = failure.partition("\n")
        note(f"failed: {failure if lines not in seen else reason}")
        seen.add(lines)
    if len(report.failures) > FAILURES_SHOWN:
        note(f"failed: {len(report.failures) - FAILURES_SHOWN:,} more")


def show_report(study: Study, store: Store, report: Report, storage: str) -> None:
    """What happened, where it is, what to type next."""
    from analysis.stored import stored_landscapes

    show_troubles(report)
    speed = f", {report.new:,} of them now ({report.new / report.elapsed:.0f} trials/s)" if report.new else ""
    print(f"\n{study.name}: {report.done:,} of {study.spec.trials:,} trials stored{speed}")
    if report.done < study.spec.trials:
        print(f"{'stopped' if report.interrupted else 'incomplete'}: the same command trains the rest")
    else:
        show_summary(stored_landscapes(store, [study.name], tell=note), diverged_shares(store, study.name))
    print(f"\ndatabase: {store.database.name}")
    plot = f"plot landscape {study.name} -o {study.name}.png"
    show_next(
        storage,
        store,
        *([plot] if report.done == study.spec.trials else []),
        *([f"failures {study.name}"] if report.failures else []),
        f'trials {study.name} --where "seed = 0"',
    )


def show_next(storage: str, store: Store, *commands: str) -> None:
    """What to type next, on the same database."""
    option = "" if storage == DEFAULT_STORAGE else f" --storage {shlex.quote(store.database.name)}"
    program = "tunability" if shutil.which("tunability") else os.path.relpath(sys.argv[0])
    print("next:", *(f"{program} {command}{option}" for command in commands), sep="\n  ")


def show_decision(study: Study, store: Store, report: Report, budget: int) -> None:
    """The verdicts, and why no more seeds were added."""
    from analysis.separability import judge_all
    from analysis.stored import stored_landscapes
    from analysis.trained import NothingTrainedError, trained
    from study.running.decide import stored_extra
    from study.running.decide import until_decided as seeds_until_decided

    panels = stored_landscapes(store, [study.name], extra=True, tell=note)
    extra = stored_extra(study, store)
    print(
        f"\nseeds added for the verdict: {extra:,} trials, {report.extra:,} of them now, of at most {budget:,}"
    )
    try:
        panels = trained(panels, print)
    except NothingTrainedError as error:
        print(error)
        return
    show_verdicts(judge_all(panels))
    unlimited = seeds_until_decided(study, sys.maxsize)
    if not (report.interrupted or report.failures) and unlimited(store, 1):
        print("not decided: the next seed does not fit into --budget")


def show_summary(panels: dict[str, xr.DataArray], diverged: dict[str, float]) -> None:
    """The best cell of each optimizer, and along the second axis the best value of the first.

    Of one that trained nothing, that.
    """
    from analysis.cost.best import held_out_best
    from analysis.landscape import axis_names, best_along, best_cell, text_at
    from analysis.trained import NothingTrainedError, trained

    try:
        panels = trained(panels, print)
    except NothingTrainedError as problem:
        print(problem)
        return
    rows: list[tuple[str, ...]] = []
    for name, panel in panels.items():
        best = best_cell(panel)
        place = ", ".join(
            f"{axis} = {text_at(panel, axis, value)}" for axis, value in best.coordinates.items()
        )
        error = f" ± {best.standard_error:.4f}" if best.seeds > 1 else ""
        unseen = f"{held_out_best(panel):.4f}" if best.seeds > 1 else "-"
        rows.append((name, place, f"{best.mean:.4f}{error}", unseen, f"{diverged[name]:.1%}"))
    first = next(iter(panels.values()))
    metric = first.attrs["metric"] + (" ± s.e." if first.sizes["seed"] > 1 else "")
    show_table(("optimizer", "best cell", metric, "on unseen seeds", "diverged"), rows)
    axes = axis_names(first)
    if len(axes) == 2:
        lines_of = {name: best_along(panel, axes[0], axes[1]) for name, panel in panels.items()}
        lines = [
            (
                text_at(first, axes[1], given),
                *(text_at(first, axes[0], panel.sel({axes[1]: given}).item()) for panel in lines_of.values()),
            )
            for given in first[axes[1]].values
        ]
        show_table((axes[1], *(f"best {axes[0]}, {name}" for name in lines_of)), lines)


def choice_of(tuning: TuningSpec) -> Choice:
    """The runs that a spec asks for."""
    from analysis.tuning_runs import Choice

    return Choice(tuning.noise, tuning.repeats, tuning.tuners, tuning.trials, tuning.replicates)


def show_cost(store: Store, study: str, choice: Choice, target: float) -> None:
    """The cost table of the chosen runs."""
    from analysis.cost.costs import cost_table
    from analysis.trained import NothingTrainedError
    from analysis.tuning_runs import stored_curves

    try:
        curves = stored_curves(store, study, choice=choice, tell=note)
    except NothingTrainedError as error:
        print(error)
        return
    write_rows(cost_table(store, curves, target, note), "table")


def show_cost_decision(study: Study, store: Store, report: Report, budget: int) -> None:
    """Which optimizer is cheaper, and why no more seeds were added."""
    from analysis.cost.costs import comparison_table
    from analysis.trained import NothingTrainedError
    from analysis.tuning_runs import stored_curves
    from study.running.decide import stored_extra, until_cost_decided

    extra = stored_extra(study, store)
    print(f"seeds added to compare: {extra:,} trials, {report.extra:,} of them now, of at most {budget:,}")
    try:
        curves = stored_curves(store, study.name, choice=choice_of(study.spec.tuning), tell=note)
    except NothingTrainedError:
        return  # said beside the costs
    frame = comparison_table(store, curves, study.spec.tuning.target, note)
    tuners = set(map(str, curves["tuner"].values))
    write_rows(frame[frame["on"].isin(tuners)], "table")
    print("the chance that any look at these comparisons ends in a wrong verdict is at most 5% each")
    if until_cost_decided(study, sys.maxsize)(store, 1):
        print("not decided: the next seed does not fit into --budget")


def show_studies(store: Store) -> None:
    """A row for each study and optimizer; instead of the best value, that nothing trained; failed trials if any."""
    from analysis.trained import nothing_trained
    from storage.export import write

    frame = store.studies()
    best = [
        nothing_trained(trials, diverged) or value
        for trials, diverged, value in zip(frame["trials"], frame["diverged"], frame["best"], strict=True)
    ]
    frame["best"] = frame["best"].astype(object)
    frame.loc[:, "best"] = best
    if not frame["failed"].any():
        del frame["failed"]
    write(frame, "table", None)


def show_verdicts(verdicts: Sequence[Verdict]) -> None:
    from analysis.estimate import FEWEST_FOR_INTERVAL
    from analysis.pairs import whole_seeds

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
                "-"
                if verdict.seeds_to_decide is None
                else f"{verdict.ridge.seeds} of {verdict.seeds_to_decide}",
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
    seeds = min(whole_seeds(verdict.pair).sizes["seed"] for verdict in verdicts)
    if seeds < FEWEST_FOR_INTERVAL:
        print(
            f"losses and shares have no intervals: {seeds} of the {FEWEST_FOR_INTERVAL} seeds that those take"
        )


def show_sensitivities(found: Sensitivities) -> None:
    """What defaults cost in words, widths (a table for each set of thresholds), and what is lost at each default."""
    for sentence in (each.sentence for several in (found.found, found.across) for each in several):
        print(sentence)
    by_header: dict[tuple[str, ...], list[Sensitivity]] = {}
    for each in found.found:
        by_header.setdefault(tuple(each.within_in_words()), []).append(each)
    for header, some in by_header.items():
        rows = [
            (each.name, axis.axis.name, others, *widths_in_words(axis, others))
            for each in some
            for axis in each.axes
            for others in ("tuned", "held")
        ]
        show_table(("landscape", "width of", "the others", *(f"within {each}" for each in header)), rows)
    rows = [
        (
            each.name,
            axis.axis.name,
            f"{axis.default.value:g}" if axis.default.value == axis.default.value else "-",
            axis.axis.text(axis.cell) if axis.default.problem is None else "-",
            each.amount(axis.lost) if axis.default.problem is None else "-",
            *(f"{share:.2f}" if share == share else "-" for share in axis.importance),
        )
        for each in found.found
        for axis in each.axes
    ]
    show_table(
        (
            "landscape",
            "hyperparameter",
            "default",
            "on the grid",
            "lost at it, others tuned",
            "fANOVA",
            "PED-ANOVA",
        ),
        rows,
    )
    print(
        "widths end with the grid: those with ≥ reach its end. fANOVA and PED-ANOVA, by Optuna, are shares of the "
        "metric's variance\nover the whole grid, and of what tells its best tenth from the rest, not what tuning gains"
    )


def widths_in_words(axis: AxisSensitivity, others: str) -> list[str]:
    """Decades, or on a linear axis percentages of its range."""
    log = axis.unit == "decades"
    texts = [getattr(width, others).text(".1f" if log else ".0%") for width in axis.widths]
    ends = ["≥ " if width.is_open and others == "tuned" else "" for width in axis.widths]
    return [f"{end}{text}{' decades' if log else ''}" for end, text in zip(ends, texts, strict=True)]


def diverged_shares(store: Store, study: str) -> dict[str, float]:
    """Of each optimizer's trials, without seeds that were added for a verdict."""
    from analysis.landscape import diverged_share
    from analysis.stored import stored_values

    return {name: diverged_share(frame) for name, frame in stored_values(store, study).items()}


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
def progress_bar(title: str, show: bool = True) -> Iterator[Any]:
    """A callback for `study.running.run.run` that draws a bar with the time left, in a terminal or a notebook."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, disable=not (show and (console.is_terminal or console.is_jupyter))
    ) as bar:
        task = bar.add_task(f"{title}: starting the workers", total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, description=title, completed=done, total=total)

        yield advance
