"""What the pages draw of a separability verdict: the ridge's dots, its lines, and where it bends."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from analysis.pairs import own_unit, positions
from analysis.separability import Verdict
from storage.store import Store
from study.service.answers.panels import panel_axis, words_of
from study.service.answers.reads import judged, number


def ridges(store: Store, study: str, optimizer: str | None = None) -> dict[str, Any]:
    """Verdicts as the API gives them, each with `drawn`; and why there is none of the other optimizers.

    Raises:
        AnalysisError: there are no trials yet.
    """
    verdicts, problems = judged(store, study, optimizer)
    documents = [verdict.to_json() | {"drawn": drawn(verdict)} for verdict in verdicts]
    return {"study": study, "metric": store.metric(study), "verdicts": documents, "problems": problems}


def drawn(verdict: Verdict) -> dict[str, Any]:
    """Axes, a dot (second, first) a row whose optimum counts, and the fitted lines' ends, in the axes' own units."""
    (first, second), pair, found = verdict.axes, verdict.pair, verdict.ridge
    y = positions(pair, second)
    rows = np.flatnonzero(~np.isnan(found.optima))

    def points(places: list[float], best: Any) -> list[list[float | None]]:
        return [
            [number(own_unit(pair, second, place)), number(own_unit(pair, first, value))]
            for place, value in zip(places, best, strict=True)
        ]

    lines = []
    if found.regimes:
        corners = [y[rows[0]], *([found.bend] if found.transition else []), y[rows[-1]]]
        lines = [points(list(part), found.at(np.array(part))) for part in itertools.pairwise(corners)]
    return {
        "axes": [panel_axis(pair, name) for name in verdict.axes],
        "words": words_of(pair),
        "dots": points(y[rows].tolist(), found.optima[rows]),
        "lines": lines,
    }
