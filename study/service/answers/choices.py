"""What the form of a new study offers: workloads, optimizers, published spaces, tuners."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any


@cache
def read() -> dict[str, Any]:
    """Names with a line about each, and the published spaces' axes."""
    from search_spaces import CATALOG
    from study.optimizers import OPTIMIZERS
    from study.spec import TuningSpec
    from study.workloads import WORKLOADS
    from tuners import TUNERS, tuner_class

    return {
        "workloads": {
            name: (inspect.getdoc(each) or name).splitlines()[0] for name, each in WORKLOADS.items()
        },
        "optimizers": {name: about(each) for name, each in OPTIMIZERS.items()},
        "spaces": {
            name: {
                "cells": each.space.size,
                "source": each.source,
                "note": each.note,
                "axes": [
                    {"name": axis.name, "values": list(axis.values), "scale": axis.scale}
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
