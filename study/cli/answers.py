"""Commands that judge: what tuning costs, what must be tuned together, how sensitive optimizers are."""

from __future__ import annotations

from typing import Annotated

import typer

from study.cli.options import (
    AdviceTarget,
    AtOption,
    CostFormat,
    Defaults,
    JudgedAxes,
    NoiseOption,
    Step,
    Storage,
    StudyName,
    StudyNames,
    Target,
    TunersOption,
    VerdictFormat,
    Where,
    Within,
    split_tuners,
    view_of,
)
from study.shown.answers import show_sensitivities, show_verdicts
from study.shown.console import DEFAULT_STORAGE, note, write_rows


def cost(
    study: StudyName,
    target: Target = None,
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
    from analysis.target import target_of
    from analysis.tuning_runs import Choice, stored_curves
    from storage.records import split_name
    from storage.store import open_store

    choice = Choice(noise, tuners=split_tuners(tuners))
    with open_store(storage, create=False) as store:
        curves = stored_curves(store, *split_name(study), choice=choice, tell=note)
        to = target_of(store, split_name(study)[0], target)
        frame = (comparison_table if compare else cost_table)(store, curves, to, note)
    write_rows(frame, format)


def separability(
    study: StudyNames,
    where: Where = None,
    step: Step = None,
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
        panels = stored_landscapes(store, study, where, step=step, extra=True, tell=note)
    verdicts = judge_all(trained(panels, note if format == "json" else print), target, view)
    if format == "json":
        import json

        print(json.dumps([verdict.to_json() for verdict in verdicts], indent=2))
        return
    show_verdicts(verdicts)


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
