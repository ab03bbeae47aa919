"""Commands that draw: `tunability plot ...`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from study.cli.options import (
    AdviceTarget,
    AtOption,
    AxesOption,
    Defaults,
    JudgedAxes,
    NoiseOption,
    Out,
    Step,
    Storage,
    StudyName,
    StudyNames,
    Target,
    TunersOption,
    Where,
    Within,
    split_tuners,
    view_of,
)
from study.shown.console import DEFAULT_STORAGE, note


def landscape(
    study: StudyNames,
    out: Out,
    where: Where = None,
    step: Step = None,
    axes: AxesOption = None,
    at: AtOption = None,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="A matrix of all pairs of the axes, or of those named.")
    ] = False,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Draw each optimizer's metric over the search space, one colour scale for all (AvaGrad, Figure 1)."""
    draw("landscape", study, out, storage, where=where, step=step, view=view_of(axes, at), pairs=pairs)


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


def cost(
    study: StudyName,
    out: Out,
    target: Target = None,
    noise: NoiseOption = None,
    tuners: TunersOption = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Draw the trials that each tuner needed as bars, optimizers beside each other (AvaGrad, Figure 2 left)."""
    draw("cost", [study], out, storage, target=target, noise=noise, tuners=split_tuners(tuners))


def separability(
    study: StudyNames,
    out: Out,
    where: Where = None,
    step: Step = None,
    axes: JudgedAxes = None,
    at: AtOption = None,
    target: AdviceTarget = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Draw ridges and transitions on the landscapes, transfer regret, and tuning before and after the advice."""
    draw("separability", study, out, storage, where=where, step=step, view=view_of(axes, at), target=target)


def sensitivity(
    study: StudyNames,
    out: Out,
    within: Within = None,
    defaults: Defaults = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Draw what each value of a hyperparameter loses with the others at their best, and where the default is."""
    draw("sensitivity", study, out, storage, within=within, defaults=defaults)


def profile(
    study: StudyNames,
    out: Out,
    target: Target = None,
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
