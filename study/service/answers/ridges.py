"""Separability verdicts, with what to draw of them: the ridge's dots, its lines, and where it bends."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from analysis.estimate import finite
from analysis.pairs import own_unit, positions
from analysis.separability import Verdict
from analysis.views import WHOLE, View
from storage.store import Store
from study.service.answers.documents import DrawnDocument, DrawnVerdict, SeparabilityDocument
from study.service.answers.panels import colours, panel_axis, words_of
from study.service.answers.reads import judged, nested

BAND_POINTS = 60


def separability(
    store: Store,
    study: str,
    optimizer: str | None,
    where: str | None = None,
    view: View = WHOLE,
    step: int | None = None,
) -> SeparabilityDocument:
    """Verdicts, each with what to draw of it; and why there is none of the other optimizers.

    Raises:
        AnalysisError: there are no trials yet.
    """
    verdicts, problems = judged(store, study, optimizer, where, view, step)
    return {
        "study": study,
        "metric": store.metric(study),
        "colours": colours(),
        "verdicts": [document_of(verdict) for verdict in verdicts],
        "problems": problems,
    }


def document_of(verdict: Verdict) -> DrawnVerdict:
    return {**verdict.to_json(), "drawn": drawn(verdict)}


def drawn(verdict: Verdict) -> DrawnDocument:
    (first, second), pair, found = verdict.axes, verdict.pair, verdict.ridge
    y = positions(pair, second)
    rows = np.flatnonzero(~np.isnan(found.optima))

    def points(places: list[float], best: Any) -> list[list[float | None]]:
        return [
            [finite(own_unit(pair, second, place)), finite(own_unit(pair, first, value))]
            for place, value in zip(places, best, strict=True)
        ]

    def first_unit(value: float) -> float | None:
        return finite(own_unit(pair, first, value))

    dots = [
        [*point, first_unit(best - half), first_unit(best + half)]
        for point, best, half in zip(
            points(y[rows].tolist(), found.optima[rows]), found.optima[rows], found.halves[rows], strict=True
        )
    ]
    lines, band = [], []
    if found.regimes:
        along = np.unique(np.append(np.linspace(y[rows[0]], y[rows[-1]], BAND_POINTS), found.bend))
        for place, best, half in zip(along, found.at(along), found.half_width(along), strict=True):
            band.append(
                [finite(own_unit(pair, second, place)), first_unit(best - half), first_unit(best + half)]
            )
        corners = [y[rows[0]], *([found.bend] if found.transition else []), y[rows[-1]]]
        lines = [points(list(part), found.at(np.array(part))) for part in itertools.pairwise(corners)]
    return {
        "axes": [panel_axis(pair, name) for name in verdict.axes],
        "words": words_of(pair),
        "dots": dots,
        "left_out": pair[second].values[np.isnan(found.optima)].tolist(),
        "lines": lines,
        "band": band,
        "lose": nested(verdict.regret["estimate"].values),
        "lose_most": verdict.regret_range,
    }
