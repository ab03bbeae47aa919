"""Result folders of Ray Tune (Liaw et al., 2018), https://arxiv.org/abs/1807.05118: a folder a trial.

In each, ``params.json`` has the trial's config and ``result.json`` a line for every report. The last line of a class
says that it is done; how a function ended is known to the experiment's newest ``experiment_state-*.json`` alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from search_spaces import nearest_name
from storage.errors import StoreError
from storage.foreign import Curve, ForeignFailure, ForeignTrials, axis_name

STEP = "training_iteration"


def read_ray(
    folder: Path,
    metric: str,
    axes: Sequence[str] | None = None,
    *,
    seed: str | None = None,
    maximize: bool = False,
) -> ForeignTrials:
    """Read the finished trials of an experiment's folder: the last report of each, and all of them as its curve.

    Axes are the config's numbers that differ between trials, ``a/b`` for a nested one, or those that are named. `seed`
    is one of the config's as well. A trial ended with its last report, and began as long before as it took. Trials with
    an ``error.txt`` failed, for the reason in its last line. Those that did not end are counted and left out. One that
    a scheduler stopped early has ended, and its last report counts.

    Raises:
        StoreError: the folder has no such trials, a file cannot be read, or an axis, the seed or the metric is missing
            in a trial or no number.
    """
    unfinished, errors = 0, list[Path]()
    configs: list[dict[str, Any]] = []
    reports: list[list[dict[str, Any]]] = []
    paths: list[Path] = []
    ended = _ended(folder)
    for params in sorted(folder.glob("*/params.json")):
        path = params.parent
        if (path / "error.txt").exists():
            errors.append(path)
            continue
        lines = _reports(path / "result.json")
        if not lines or not (lines[-1].get("done") or lines[-1].get("trial_id") in ended):
            unfinished += 1
            continue
        configs.append(dict(_flat(_json(params.read_text(), params))))
        reports.append(lines)
        paths.append(path)
    if not configs:
        counts = {"failed": len(errors), "unfinished": unfinished}
        said = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        raise StoreError(f"{folder} has no finished trials of Ray Tune{': ' + said if said else ''}")
    varying = [name for name in configs[0] if name != seed and _varies([each.get(name) for each in configs])]
    chosen = list(axes) if axes else varying
    if not chosen:
        raise StoreError(f"{folder}: no number of the config differs between trials")
    rows = list(zip(paths, configs, reports, strict=True))
    seeds = [_number(config, seed, path) for path, config, _ in rows] if seed else []
    if any(each != int(each) or each < 0 for each in seeds):
        raise StoreError(f"{folder}: {seed} has to hold whole numbers from 0 on")
    seconds = [float(lines[-1].get("time_total_s", 0.0)) for lines in reports]
    finished = [_moment(lines[-1]) for lines in reports]
    failed = [found for path in errors if (found := _failure(path, chosen, seed)) is not None]
    return ForeignTrials(
        str(folder),
        tuple(map(axis_name, chosen)),
        np.array([[_number(config, name, path) for name in chosen] for path, config, _ in rows]),
        np.array([_number(lines[-1], metric, path) for path, _, lines in rows]),
        metric,
        maximize,
        np.array(seeds, dtype=np.int64) if seed else None,
        curves=[_curve(lines, metric) for lines in reports],
        seconds=np.array(seconds),
        started=[at and at - timedelta(seconds=took) for at, took in zip(finished, seconds, strict=True)],
        finished=finished,
        failed=failed,
        left_out={"failed": len(errors) - len(failed), "unfinished": unfinished},
    )


def _moment(report: Mapping[str, Any]) -> datetime | None:
    """When it was made, in seconds of Unix time."""
    at = report.get("timestamp")
    return datetime.fromtimestamp(at, UTC) if isinstance(at, int | float) else None


def _failure(path: Path, axes: Sequence[str], seed: str | None) -> ForeignFailure | None:
    """A failed trial; None if its config does not tell which one it was."""
    config = dict(_flat(_json((path / "params.json").read_text(), path)))
    try:
        point = tuple(_number(config, name, path) for name in axes)
        which = int(_number(config, seed, path)) if seed else 0
    except StoreError:
        return None
    lines = [line.strip() for line in (path / "error.txt").read_text().split("\n")]
    return ForeignFailure(point, next((line for line in reversed(lines) if line), "failed"), which)


def _ended(folder: Path) -> set[str]:
    """Ids of the trials that ended, as the newest state of the experiment has them; none without one."""
    states = sorted(folder.glob("experiment_state-*.json"))
    if not states:
        return set()
    kept = _json(states[-1].read_text(), states[-1]).get("trial_data", [])
    trials = [_json(each[0], states[-1]) for each in kept]
    return {trial["trial_id"] for trial in trials if trial.get("status") == "TERMINATED"}


def _reports(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [_json(line, path) for line in path.read_text().splitlines() if line.strip()]


def _json(text: str, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise StoreError(f"{path} cannot be read ({error})") from error
    if not isinstance(found, dict):
        raise StoreError(f"{path} cannot be read (it holds no objects)")
    return found


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value


def _varies(values: Sequence[Any]) -> bool:
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return numbers and len(set(values)) > 1


def _number(of: Mapping[str, Any], name: str, path: Path) -> float:
    if name not in of:
        raise StoreError(f"{path} has no {name!r}{nearest_name(name, of)}: it has {', '.join(of)}")
    if isinstance(of[name], bool) or not isinstance(of[name], int | float):
        raise StoreError(f"{path}: {name} = {of[name]!r} is no number")
    return float(of[name])


def _curve(lines: Sequence[Mapping[str, Any]], metric: str) -> Curve:
    known = {int(line[STEP]): float(line[metric]) for line in lines if STEP in line and metric in line}
    steps = sorted(known)
    return np.array(steps, dtype=np.int64), np.array([known[step] for step in steps])
