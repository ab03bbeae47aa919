"""What a study file can name, as tables: their headers and rows."""

from __future__ import annotations

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
    import inspect

    from tuners import TUNERS, tuner_class

    rows: list[tuple[str, ...]] = []
    for name in TUNERS:
        module = inspect.getdoc(inspect.getmodule(tuner_class(name))) or ""
        rows.append((name, module.splitlines()[0]))
    return ("tuner", "what it is"), rows


def workloads() -> Table:
    from study.workloads import WORKLOADS
    from study.workloads.measure import flops_per_step

    rows: list[tuple[str, ...]] = []
    for name, factory in WORKLOADS.items():
        workload = factory()
        weights = sum(weight.numel() for weight in workload.init(0)[0].values())
        millions = f"{flops_per_step(workload) / 1e6:.1f}"
        rows.append((name, f"{weights:,}", millions, workload.metric, workload.about))
    return ("workload", "weights", "MFLOP a step", "metric", "what it is"), rows


def spaces() -> Table:
    from search_spaces import CATALOG

    rows: list[tuple[str, ...]] = []
    for name, published in CATALOG.items():
        axes = ", ".join(
            f"{axis.name} {axis.low:g}..{axis.high:g} ({len(axis.values)})" for axis in published.space.axes
        )
        rows.append((name, axes, str(published.space.size), f"{published.source}: {published.note}"))
    return ("space", "axes", "cells", "source"), rows
