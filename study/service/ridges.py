"""What the pages draw of a separability verdict: the ridge's dots, its lines, and where it bends."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.errors import AnalysisError
from analysis.stored import stored_landscapes
from storage.store import Store
from study.service.panels import panel_axis
from study.service.reads import number

if TYPE_CHECKING:
    import xarray as xr

    from analysis.separability import Verdict


def ridges(store: Store, study: str, optimizer: str | None = None) -> dict[str, Any]:
    """Verdicts as the API gives them, each with `drawn`; and why there is none of the other optimizers.

    Raises:
        AnalysisError: there are no trials yet.
    """
    from analysis.separability import judge

    verdicts: list[dict[str, Any]] = []
    problems: list[dict[str, str]] = []
    names = [study if optimizer is None else f"{study}/{optimizer}"]
    for name, values in stored_landscapes(store, names, extra=True).items():
        try:
            verdicts += [
                verdict.to_json() | {"drawn": drawn(values, verdict)} for verdict in judge(name, values)
            ]
        except AnalysisError as error:
            problems.append({"optimizer": name, "detail": str(error)})
    return {"study": study, "metric": store.metric(study), "verdicts": verdicts, "problems": problems}


def drawn(whole: xr.DataArray, verdict: Verdict) -> dict[str, Any]:
    """Axes, a dot (second, first) a row whose optimum counts, and the fitted lines' ends, in the axes' own units."""
    from analysis.pairs import own_unit, positions

    first, second = verdict.axes
    found, y = verdict.ridge, positions(whole, second)
    rows = np.flatnonzero(~np.isnan(found.optima))

    def points(places: list[float], best: Any) -> list[list[float | None]]:
        return [
            [number(own_unit(whole, second, place)), number(own_unit(whole, first, value))]
            for place, value in zip(places, best, strict=True)
        ]

    lines = []
    if found.regimes:
        corners = [y[rows[0]], *([found.bend] if found.transition else []), y[rows[-1]]]
        lines = [points(list(part), found.at(np.array(part))) for part in itertools.pairwise(corners)]
    return {
        "axes": [panel_axis(whole, name) for name in verdict.axes],
        "dots": points(y[rows].tolist(), found.optima[rows]),
        "lines": lines,
    }
