"""Costs, verdicts and sensitivities as tables and sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from study.shown.console import note, show_table, write_rows

if TYPE_CHECKING:
    from analysis.sensitivity.result import AxisSensitivity, Sensitivity
    from analysis.sensitivity.stored import Sensitivities
    from analysis.separability import Verdict
    from analysis.tuning_runs import Choice
    from storage.store import Store
    from study.spec import TuningSpec


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


def show_verdicts(verdicts: Sequence[Verdict]) -> None:
    from analysis.estimate import FEWEST_FOR_INTERVAL
    from analysis.landscape import best_cell, mean_over_seeds
    from analysis.pairs import whole_seeds

    for verdict in verdicts:
        about = "" if verdict.axes == verdicts[0].axes else f" ({verdict.axes[0]}, {verdict.axes[1]})"
        pair = whole_seeds(verdict.pair)
        known = not verdict.trials and bool(mean_over_seeds(pair).notnull().any())
        edge = best_cell(pair).at_edge() if known else ""
        print(f"{verdict.sentence}{about}{f'; best {edge}' if edge else ''}")
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
    without = [verdict for verdict in verdicts if math.isnan(verdict.penalty.low)]
    seeds = min((whole_seeds(verdict.pair).sizes["seed"] for verdict in without), default=FEWEST_FOR_INTERVAL)
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
