"""Answers read from the store, kept until the store has something new."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import anyio.to_thread
import numpy as np
import xarray as xr

from analysis.cost.best import held_out_best
from analysis.documents import ComparisonRow, CostRow
from analysis.errors import AnalysisError
from analysis.estimate import finite
from analysis.landscape import (
    axis_names,
    best_cell,
    coordinates_of,
    mean_of_known,
    spread_of_known,
    stopped_early,
)
from analysis.observations import Observations
from analysis.separability import Verdict, judge
from analysis.stored import landscape_of, stored_landscapes, stored_observations
from analysis.surrogate import surrogate_of
from analysis.tables import asked_trials
from analysis.trained import UNTRAINED, NothingTrainedError, untrained
from analysis.views import WHOLE, View, ViewError, shown
from search_spaces import SearchSpace
from storage.errors import MissingDatabaseError
from storage.failures import FailureCount
from storage.query import with_words
from storage.records import split_name
from storage.store import Store, Version, open_store
from study.service.answers.cache import Answer, Cache
from study.service.answers.documents import (
    AxisDocument,
    BestDocument,
    CostDocument,
    FailureList,
    LandscapeDocument,
    OptimizerLandscape,
    OptimizerProblem,
    SensitivityDocument,
    SeveralTrialPage,
    SuboptimalityDocument,
    TrialDetails,
    TrialPage,
    TrialRow,
    TunerCurve,
)
from study.service.answers.shared import Shared

if TYPE_CHECKING:
    import pandas as pd

FRESH_SECONDS = 0.5
"""For how long the store is not asked again whether it has something new."""
ROWS_PER_CHUNK = 5_000
CURVE_TARGETS = 40
"""Targets at which the cost of the stored runs is told."""


@dataclass(frozen=True)
class Snapshot:
    """What there is: a version of each study, which changes with its trials, how it is run, and failures."""

    versions: Mapping[str, Version]
    launches: Mapping[str, Mapping[str, Any]]
    failures: Mapping[str, FailureCount]


class Reads:
    """The store, opened when it is there, and answers from it."""

    def __init__(self, storage: str) -> None:
        self._storage = storage
        self._store: Store | None = None
        self._snapshot = Shared(lambda: anyio.to_thread.run_sync(self._read_snapshot), FRESH_SECONDS)
        self._metrics: dict[str, tuple[Version, list[str]]] = {}
        self.cache = Cache()

    def store(self) -> Store:
        """The store, for reading. Raises MissingDatabaseError before there is one."""
        if self._store is None:
            self._store = open_store(self._storage, create=False)
        return self._store

    def close(self) -> None:
        if self._store is not None:
            self._store.close()

    def forget(self) -> None:
        """Ask the store again next time: something was just changed."""
        self._snapshot.forget()

    async def snapshot(self) -> Snapshot:
        """What there is, at most `FRESH_SECONDS` old; one question to the store for all who ask meanwhile."""
        return await self._snapshot.get()

    def _read_snapshot(self) -> Snapshot:
        try:
            store = self.store()
        except MissingDatabaseError:
            return Snapshot({}, {}, {})
        return Snapshot(store.versions(), store.launches(), store.failure_counts())

    async def of_study(
        self,
        study: str,
        key: Hashable,
        make: Callable[[Store], Any],
        media_type: str = "application/json",
        *,
        one_at_a_time: bool = False,
    ) -> Answer:
        """What `make` reads of a study: an answer, bytes, or what becomes JSON.

        `one_at_a_time` is for figures: Matplotlib's fonts and settings are the process's. Raises StoreError when there
        is no such study.
        """
        version = await self._version(study)

        def compute() -> Answer:
            made = make(self.store())
            if isinstance(made, Answer):
                return made
            return Answer(made if isinstance(made, bytes) else encode(made), media_type)

        return await self.cache.get((study, version, key), compute, one_at_a_time=one_at_a_time)

    async def metrics(self, study: str) -> list[str]:
        """The further metrics of a study's trials. Raises as `of_study`."""
        version = await self._version(study)
        before, known = self._metrics.get(study, (None, []))
        if version != before:
            known = await anyio.to_thread.run_sync(self.store().metrics, study)
            self._metrics[study] = version, known
        return known

    async def _version(self, study: str) -> Version:
        version = (await self.snapshot()).versions.get(study)
        if version is None:  # it is new, or there is none and the store says so
            version = await anyio.to_thread.run_sync(self._fresh_version, study)
        return version

    def _fresh_version(self, study: str) -> Version:
        store = self.store()
        store.optimizers(study)
        return store.versions()[study]


def encode(document: Any) -> bytes:
    """Compact JSON."""
    return json.dumps(document, allow_nan=False, separators=(",", ":"), default=str).encode()


def nested(values: np.ndarray[Any, Any]) -> Any:
    """An array as nested lists, null for what is not finite."""
    objects = values.astype(object)
    objects[~np.isfinite(values)] = None
    return objects.tolist()


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A table as a list of objects, null for what is missing."""
    return [
        {
            str(name): None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in row.items()
        }
        for row in frame.astype(object).where(frame.notna(), None).to_dict("records")
    ]


def trial_rows(frame: pd.DataFrame) -> list[TrialRow]:
    return cast("list[TrialRow]", records(frame))


def axes_of(space: SearchSpace) -> list[AxisDocument]:
    return [
        {
            "name": axis.name,
            "scale": axis.scale,
            "values": list(map(float, axis.values)) if axis.is_grid else [],
            "words": list(axis.words),
        }
        for axis in space.axes
    ]


def landscapes(
    store: Store,
    study: str,
    optimizer: str | None,
    where: str | None,
    view: View = WHOLE,
    step: int | None = None,
) -> LandscapeDocument:
    """Mean, spread and number of seeds in every cell of each optimizer's landscape, the whole or a view of it.

    With `step` as it was after so many steps of training.
    """
    about, found = store.about(study), stored_observations(store, study, optimizer, where, step=step)
    documents = [one_landscape(study, name, seen, about.seeds, view) for name, seen in found.items()]
    return {"study": study, "metric": about.metric, "axes": axes_of(about.space), "optimizers": documents}


def whole_landscape(study: str, name: str, seen: Observations) -> xr.DataArray:
    """An optimizer's landscape over its whole space, without seeds when it has no trials yet."""
    space = seen.space
    if len(seen) or not space.is_grid:
        return landscape_of(seen, f"{study}/{name}")
    return xr.DataArray(
        np.empty((0, *space.shape)),
        {"seed": np.empty(0, int), **coordinates_of(space)},
        ("seed", *space.names),
        attrs={"metric": seen.metric},
    )


def trials_of(values: xr.DataArray, seeds: int) -> tuple[int, int]:
    """How many trials a landscape is of, and of how many it will be."""
    surrogate = surrogate_of(values.attrs)
    if surrogate:
        return len(surrogate.observations), len(surrogate.observations)
    return int(values.notnull().sum()), seeds * int(np.prod(values.shape[1:]))


def one_landscape(
    study: str, name: str, seen: Observations, seeds: int | None, view: View = WHOLE
) -> OptimizerLandscape:
    whole = whole_landscape(study, name, seen)
    array = whole if view == WHOLE else shown(whole, view)
    values, present = array.values, array["seed"].values.tolist()
    mean, count = mean_of_known(values)
    trials, expected = trials_of(whole, seeds or len(present))
    over: list[AxisDocument] = [
        {
            "name": each,
            "scale": array[each].attrs["scale"],
            "values": array[each].values.tolist(),
            "words": list(array[each].attrs.get("words", ())),
        }
        for each in axis_names(array)
    ]
    drawn = surrogate_of(array.attrs) is not None
    return {
        "name": name,
        "surrogate": over if drawn else None,
        "shown": over if drawn or view != WHOLE else None,
        "held": {str(each): at.item() for each, at in array.coords.items() if at.ndim == 0},
        "seeds": list(range(seeds)) if seeds else present,
        "trials": trials,
        "expected": expected,
        "complete": bool(expected and trials >= expected),
        "mean": nested(mean),
        "std": nested(spread_of_known(values)),
        "count": count.tolist(),
        "stopped": stopped_early(array).values.tolist(),
        "best": best_document(array),
        "problem": seen.nothing_trained,
    }


def best_document(values: xr.DataArray, whole: xr.DataArray | None = None) -> BestDocument | None:
    """The best cell of those that have all seeds, where something trained; `values` may show a `whole`."""
    if untrained(values) or not values.sizes["seed"] or np.isnan(values.values).any(axis=0).all():
        return None
    cell = best_cell(values)
    return {
        "coordinates": cell.coordinates,
        "mean": cell.mean,
        "unseen": finite(held_out_best(values if whole is None else whole)),
        "standard_error": finite(cell.standard_error),
        "seeds": cell.seeds,
        "edge": list(cell.edge),
    }


def judged(
    store: Store,
    study: str,
    optimizer: str | None,
    where: str | None = None,
    view: View = WHOLE,
    step: int | None = None,
) -> tuple[list[Verdict], list[OptimizerProblem]]:
    """Verdicts, also by seeds that were added for them, and why there is none where there is none."""
    verdicts: list[Verdict] = []
    problems: list[OptimizerProblem] = []
    names = [study if optimizer is None else f"{study}/{optimizer}"]
    for name, values in stored_landscapes(store, names, where, step=step, extra=True).items():
        said = untrained(values)
        if said:
            problems.append({"optimizer": name, "detail": said})
            continue
        try:
            verdicts += judge(name, values, view=view)
        except ViewError:
            raise
        except AnalysisError as error:
            problems.append({"optimizer": name, "detail": str(error)})
    return verdicts, problems


def sensitivity(
    store: Store, study: str, optimizer: str | None, within: str | None, defaults: str | None
) -> SensitivityDocument:
    """How wide each hyperparameter's good range is, what defaults cost, and how much must be tuned."""
    from analysis.sensitivity.defaults import parse_defaults
    from analysis.sensitivity.stored import parse_within, stored_sensitivities

    found = stored_sensitivities(
        store,
        [study if optimizer is None else f"{study}/{optimizer}"],
        parse_within(within) if within else None,
        parse_defaults(defaults) if defaults else None,
    )
    return {
        "study": study,
        "optimizers": [each.to_json() for each in found.found],
        "problems": [
            {"optimizer": name.partition("/")[2], "detail": why} for name, why in found.left_out.items()
        ],
    }


def cost(
    store: Store,
    study: str,
    optimizer: str | None,
    target: float | None,
    noise: str | None,
    compare: bool,
    trials: int | None = None,
) -> CostDocument:
    """The cost table of the stored tuning runs, or the comparison of every pair; no rows when nothing trained.

    To the study's own target if no other is given.
    """
    from analysis.cost.costs import comparison_table, cost_table
    from analysis.target import target_of
    from analysis.tuning_runs import Choice, stored_curves

    target = target_of(store, study, target)
    rows: list[CostRow] | list[ComparisonRow] = []
    incomplete, budget = None, None
    notes: list[str] = []
    try:
        curves = stored_curves(store, study, optimizer, Choice(noise, trials=trials))
        made = (comparison_table if compare else cost_table)(store, curves, target, notes.append)
        rows = cast("list[CostRow] | list[ComparisonRow]", records(made))
        budget = curves.sizes["trial"]
        incomplete, untrained = curves.attrs["incomplete"] or None, curves.attrs[UNTRAINED]
    except NothingTrainedError as error:
        untrained = error.said
    return {
        "study": study,
        "metric": store.metric(study),
        "target": target,
        "budget": budget,
        "incomplete": incomplete,
        "notes": [each.removeprefix("note: ") for each in notes],
        "problems": [{"optimizer": name, "detail": said} for name, said in untrained.items()],
        "rows": rows,
    }


def suboptimality(
    store: Store,
    study: str,
    optimizer: str | None,
    target: float | None,
    noise: str | None,
    trials: int | None = None,
) -> SuboptimalityDocument:
    """How far tuners are from the best after each trial, and what each target costs; none when nothing trained."""
    from analysis.cost.costs import curve_table
    from analysis.suboptimality import trials_to_target
    from analysis.target import target_of
    from analysis.tuning_runs import Choice, stored_curves

    target = target_of(store, study, target)
    curves: list[TunerCurve] = []
    notes: list[str] = []
    try:
        runs = stored_curves(store, study, optimizer, Choice(noise, trials=trials))
        table = curve_table(store, runs, target, notes.append)
        untrained = runs.attrs[UNTRAINED]
        levels = targets_of(runs)
        for (name, tuner), rows in table.groupby(["optimizer", "tuner"], sort=False):
            costs = [trials_to_target(runs, str(name), str(tuner), level).median for level in levels]
            curves.append(
                {
                    "optimizer": str(name),
                    "tuner": str(tuner),
                    "trial": rows["trial"].tolist(),
                    "median": nested(rows["median"].to_numpy()),
                    "low": nested(rows["low"].to_numpy()),
                    "high": nested(rows["high"].to_numpy()),
                    "observed": nested(rows["observed"].to_numpy(dtype=float)),
                    "targets": levels,
                    "costs": [finite(cost) for cost in costs],
                }
            )
    except NothingTrainedError as error:
        untrained = error.said
    return {
        "study": study,
        "metric": store.metric(study),
        "target": target,
        "notes": [each.removeprefix("note: ") for each in notes],
        "problems": [{"optimizer": name, "detail": said} for name, said in untrained.items()],
        "curves": curves,
    }


def targets_of(curves: xr.DataArray) -> list[float]:
    """From the least suboptimality above 0 that half of some tuner's runs reach to the largest, even in logarithms."""
    medians = curves.median("replicate").values if curves.sizes["replicate"] else np.empty(0)
    above = medians[np.isfinite(medians) & (medians > 0)]
    if not above.size:
        return []
    return [float(each) for each in np.geomspace(above.min(), above.max(), CURVE_TARGETS)]


def trial(store: Store, study: str, optimizer: str, which: int, metrics: list[str]) -> TrialDetails:
    """A trial and its learning curve."""
    row, curve = store.trial(study, optimizer, which, metrics)
    return {
        "study": study,
        "trial": trial_rows(with_words(row, store.space(study)))[0],
        "curve": [{"step": step, "value": finite(value)} for step, value in curve],
    }


def failures(store: Store, study: str, optimizer: str | None, limit: int) -> FailureList:
    """Trials that failed for good, the last first."""
    space = store.space(study)
    frame, axes = with_words(store.failures(study, optimizer, limit), space), space.names
    return {
        "study": study,
        "failures": [
            {
                "optimizer": row["optimizer"],
                "cell": {axis: row[axis] for axis in axes},
                "seed": row["seed"],
                "failed_at": row["failed_at"].isoformat(),
                "launch": row["launch"],
                "reason": row["reason"],
                "lines": row["lines"],
            }
            for row in records(frame)
        ],
    }


@dataclass(frozen=True)
class TrialQuery:
    """Which trials, in which order; see `storage.page.PageRequest`."""

    study: str
    optimizer: str | None
    where: str | None
    sort: str | None
    descending: bool


def trial_page(
    store: Store, query: TrialQuery, metrics: list[str], limit: int, cursor: str | None
) -> tuple[pd.DataFrame, str | None]:
    frame, following = store.page(
        query.study,
        query.optimizer,
        query.where,
        sort=query.sort,
        descending=query.descending,
        limit=limit,
        cursor=cursor,
        metrics=metrics,
    )
    return with_words(frame, store.space(query.study)), following


def trials_json(
    store: Store, query: TrialQuery, metrics: list[str], limit: int, cursor: str | None
) -> Answer:
    frame, following = trial_page(store, query, metrics, limit, cursor)
    page: TrialPage = {"trials": trial_rows(frame), "next": following}
    return Answer(encode(page), following=following)


def trial_chunks(
    store: Store, query: TrialQuery, metrics: list[str], limit: int | None, cursor: str | None
) -> Iterator[pd.DataFrame]:
    """One page, or without a limit all trials in pieces: never more than one piece in memory."""
    while True:
        frame, cursor = trial_page(store, query, metrics, limit or ROWS_PER_CHUNK, cursor)
        yield frame
        if limit is not None or cursor is None:
            return


def several_trials(
    store: Store, studies: tuple[str, ...], where: str | None, sort: str | None
) -> pd.DataFrame:
    """The trials of studies, STUDY or STUDY/OPTIMIZER, with a column `study`, as `analysis.tables` has them."""
    frame = asked_trials(store, studies, where=where, sort=sort)
    if len(studies) == 1:
        frame.insert(0, "study", split_name(studies[0])[0])
    return frame


def several_json(frame: pd.DataFrame, limit: int, start: int) -> Answer:
    """A page of such trials."""
    following = str(start + limit) if start + limit < len(frame) else None
    rows = trial_rows(frame.iloc[start : start + limit])
    page: SeveralTrialPage = {"trials": rows, "next": following, "found": len(frame)}
    return Answer(encode(page), following=following)
