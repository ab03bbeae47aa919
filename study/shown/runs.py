"""How a run went, or would go, and what decided it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from study.shown.answers import choice_of, show_verdicts
from study.shown.console import complain, note, show_next, show_table, write_rows

if TYPE_CHECKING:
    import xarray as xr

    from storage.store import Store
    from study.running.drive import Report
    from study.training.resolve import Study

FAILURES_SHOWN = 20
"""At the end of a run; what several say alike is told once."""


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
        complain(f"failed: {failure if lines not in seen else reason}")
        seen.add(lines)
    if len(report.failures) > FAILURES_SHOWN:
        complain(f"failed: {len(report.failures) - FAILURES_SHOWN:,} more")


def show_report(study: Study, store: Store, report: Report, storage: str) -> None:
    """What happened, where it is, what to type next."""
    from analysis.stored import stored_landscapes

    show_troubles(report)
    speed = ""
    if report.new:
        rate = report.new / report.elapsed
        speed = f", {report.new:,} of them now ({rate:{'.0f' if rate >= 10 else '.2g'}} trials/s)"
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
    edges = []
    for name, panel in panels.items():
        best = best_cell(panel)
        place = ", ".join(
            f"{axis} = {text_at(panel, axis, value)}" for axis, value in best.coordinates.items()
        )
        error = f" ± {best.standard_error:.4f}" if best.seeds > 1 else ""
        unseen = f"{held_out_best(panel):.4f}" if best.seeds > 1 else "-"
        edges += [f"{name}: best {best.at_edge()}"] if best.edge else []
        rows.append((name, place, f"{best.mean:.4f}{error}", unseen, f"{diverged[name]:.1%}"))
    first = next(iter(panels.values()))
    metric = first.attrs["metric"] + (" ± s.e." if first.sizes["seed"] > 1 else "")
    show_table(("optimizer", "best cell", metric, "on unseen seeds", "diverged"), rows)
    if edges:
        print(*edges, "a grid that goes further may have better cells", sep="\n")
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


def diverged_shares(store: Store, study: str) -> dict[str, float]:
    """Of each optimizer's trials, without seeds that were added for a verdict."""
    from analysis.stored import stored_observations

    found = stored_observations(store, study)
    return {name: float(seen.diverged.mean()) for name, seen in found.items() if len(seen)}


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
