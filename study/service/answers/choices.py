"""What a study can name, for forms: workloads, optimizers and their arguments, schedules, published spaces, tuners."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from analysis.estimate import finite
from study.service.answers.documents import ArgumentChoice, ChoicesDocument, Kind

if TYPE_CHECKING:
    from study.optimizers import Hyperparameter, Option

KINDS: tuple[tuple[type, Kind], ...] = ((bool, "flag"), (int, "whole"), (float, "number"), (str, "text"))
"""A bool is an int, so that it comes first."""


@cache
def read() -> ChoicesDocument:
    """Names with a line about each."""
    from search_spaces import CATALOG
    from study.optimizers import OPTIMIZERS
    from study.spec import TuningSpec
    from study.spec.schedules import Schedule, WeightDecay
    from study.workloads import WORKLOADS
    from tuners import TUNERS, tuner_class

    return {
        "workloads": {
            name: {
                "about": (inspect.getdoc(each) or name).splitlines()[0],
                "arguments": arguments_of(each),
            }
            for name, each in WORKLOADS.items()
        },
        "optimizers": {
            name: {
                "about": about(each),
                "arguments": {key: of_a_rule(one) for key, one in each.rule.arguments.items()},
            }
            for name, each in OPTIMIZERS.items()
        },
        "schedules": list(get_args(Schedule.model_fields["name"].annotation)),
        "weight_decays": list(get_args(WeightDecay.model_fields["kind"].annotation)),
        "spaces": {
            name: {
                "cells": each.space.size,
                "source": each.source,
                "note": each.note,
                "axes": [
                    {
                        "name": axis.name,
                        "values": list(axis.values),
                        "scale": axis.scale,
                        "words": list(axis.words),
                    }
                    for axis in each.space.axes
                ],
            }
            for name, each in CATALOG.items()
        },
        "tuners": {name: about(tuner_class(name)) for name in TUNERS},
        "tuning": TuningSpec().model_dump(mode="json"),
    }


def about(algorithm: type) -> str:
    """Name, author and year: the first line of the algorithm's file."""
    return (inspect.getdoc(inspect.getmodule(algorithm)) or algorithm.__name__).splitlines()[0]


def arguments_of(factory: Callable[..., Any]) -> dict[str, ArgumentChoice]:
    """The arguments of a workload's factory by its signature."""
    found = inspect.signature(factory, eval_str=True).parameters.values()
    return {each.name: of_a_parameter(each) for each in found}


def of_a_parameter(parameter: inspect.Parameter) -> ArgumentChoice:
    asked = parameter.annotation
    options = [each for each in get_args(asked) if each is not type(None)]
    kind: Kind
    if get_origin(asked) is Literal:
        kind = "choice"
    elif get_origin(asked) is Sequence:
        kind, options = "numbers", []
    else:
        known, options = options[0] if options else asked, []
        kind = next(kind for type_, kind in KINDS if issubclass(known, type_))
    default = list(parameter.default) if kind == "numbers" else parameter.default
    return {"kind": kind, "default": default, "choices": options, "low": None, "high": None, "about": ""}


def of_a_rule(argument: Hyperparameter | Option) -> ArgumentChoice:
    """An optimizer's argument; of a default that is a multiple of another one's, how it is told."""
    from study.optimizers import Hyperparameter

    if isinstance(argument, Hyperparameter):
        return {
            "kind": "number",
            "default": str(argument) if argument.of else argument.default,
            "choices": [],
            "low": argument.low,
            "high": finite(argument.high),
            "about": argument.source,
        }
    flag = set(argument.choices) == {False, True}
    return {
        "kind": "flag" if flag else "choice" if argument.choices else "whole",
        "default": argument.default,
        "choices": [] if flag else list(argument.choices),
        "low": None if argument.choices else 1,
        "high": None,
        "about": argument.source,
    }
