"""What a study file can name, as tables: their headers and rows."""

from __future__ import annotations

import inspect
import json
from typing import Literal

SPLITS: tuple[Literal["validation", "test"], ...] = ("validation", "test")
TIMED = 100
"""Trials of the study that a workload is timed for."""
Table = tuple[tuple[str, ...], list[tuple[str, ...]]]


def optimizers() -> Table:
    from search_spaces.symbols import SYMBOLS
    from study.optimizers import OPTIMIZERS

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


def tuners() -> Table:
    from tuners import TUNERS, tuner_class

    rows: list[tuple[str, ...]] = []
    for name in TUNERS:
        module = inspect.getdoc(inspect.getmodule(tuner_class(name))) or ""
        rows.append((name, module.splitlines()[0]))
    return ("tuner", "what it is"), rows


def workloads(*, timed: bool = False) -> Table:
    """At their defaults: weights, the tensors of a batch, the items of the validation and test splits.

    `timed`: and how this machine would train `TIMED` trials of each, and how long one takes on a core.
    """
    from study.workloads import WORKLOADS
    from study.workloads.measure import flops_per_step

    rows: list[tuple[str, ...]] = []
    for name, factory in WORKLOADS.items():
        workload = factory()
        weights = sum(weight.numel() for weight in workload.init(0)[0].values())
        millions = f"{flops_per_step(workload) / 1e6:.1f}"
        step = ", ".join("x".join(map(str, part.shape)) for part in next(workload.batches(0)))
        held_out = [sum(len(batch[-1]) for batch in workload.evaluation(0, split)) for split in SPLITS]
        evaluated = " + ".join(f"{items:,}" for items in held_out if items)
        given = inspect.signature(factory).parameters.values()
        settings = ", ".join(
            f"{each.name} = {json.dumps(each.default)}" for each in given if each.default is not None
        )
        about = f"{workload.about} ({settings})" if settings else workload.about
        times = time_of(name) if timed else ()
        rows.append((name, f"{weights:,}", millions, step, evaluated, workload.metric, *times, about))
    header = ("workload", "weights", "MFLOP a step", "a step sees", "evaluated on", "metric")
    of_time = ("method", "seconds a trial") if timed else ()
    return (*header, *of_time, "what it is (its settings)"), rows


def time_of(workload: str) -> tuple[str, str]:
    """How this machine would train a study of `TIMED` trials of Adam's default steps, and seconds of one on a core."""
    from study.spec import parse_spec
    from study.training.choose import choose, with_seconds
    from study.training.resolve import resolve

    space = {"lr": {"low": 1e-5, "high": 1.0, "num": TIMED}}
    spec = {"name": "time", "workload": workload, "optimizers": ["adam"], "space": space, "seeds": 1}
    study = resolve(parse_spec(spec))
    (adam,) = study.optimizers
    choice = with_seconds(study, adam, choose(study, adam))
    seconds = choice.seconds or 0.0
    lanes = f", {choice.lanes} lanes" if choice.method == "fused" else ""
    return (
        f"{choice.method}{lanes}, {'' if choice.compile else 'un'}compiled",
        f"{seconds:.2g}" if seconds < 10 else f"{seconds:.0f}",
    )


def spaces() -> Table:
    from search_spaces import CATALOG

    rows: list[tuple[str, ...]] = []
    for name, published in CATALOG.items():
        axes = ", ".join(
            f"{axis.name} {axis.low:g}..{axis.high:g} ({len(axis.values)})" for axis in published.space.axes
        )
        rows.append((name, axes, str(published.space.size), f"{published.source}: {published.note}"))
    return ("space", "axes", "cells", "source"), rows


def studies() -> Table:
    from study.examples import about, examples

    found = {name: about(path) for name, path in examples().items()}
    rows: list[tuple[str, ...]] = [(name, f"{trials:,}", said) for name, (trials, said) in found.items()]
    return ("study", "trials", "what it is; tunability example NAME writes it"), rows
