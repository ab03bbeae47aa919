"""How far each study is: computed from the store and the job that runs it, never remembered."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import anyio.to_thread

from analysis.stored import asked_seeds
from storage.store import Store, Version
from study.service.documents import OptimizerProgress, State, StudyDocument
from study.service.jobs import Job, Jobs
from study.service.reads import Reads, Snapshot, axes_of, number
from study.service.toml import to_toml


@dataclass(frozen=True)
class Stored:
    """What the store alone says of a study; the fields are those of `StudyDocument`."""

    metric: str
    seeds: int | None
    cells: int
    optimizers: list[OptimizerProgress]
    expected: int | None
    last_finished: str | None

    @property
    def trials(self) -> int:
        return sum(each["trials"] for each in self.optimizers)


class Progress:
    """The progress of all studies, read again when the store or the jobs have something new."""

    def __init__(self, reads: Reads, jobs: Jobs) -> None:
        self._reads = reads
        self._jobs = jobs
        self._stored: dict[str, tuple[Version, Stored]] = {}

    async def documents(self) -> dict[str, StudyDocument]:
        """Study name -> its progress, in the order of the studies' names."""
        snapshot = await self._reads.snapshot()
        jobs = await self._jobs.table()
        fresh = {
            name: version
            for name, version in snapshot.versions.items()
            if name not in self._stored or self._stored[name][0] != version
        }
        if fresh:
            await anyio.to_thread.run_sync(self._read, fresh)
        for name in self._stored.keys() - snapshot.versions.keys():
            del self._stored[name]
        return {name: self._document(name, snapshot, jobs) for name in sorted(snapshot.versions)}

    async def document(self, study: str) -> StudyDocument:
        """The progress of one study. Raises StoreError when there is none of that name."""
        found = (await self.documents()).get(study)
        if found is None:
            await anyio.to_thread.run_sync(lambda: self._reads.store().optimizers(study))
            self._reads.forget()  # it was made just now
            found = (await self.documents())[study]
        return found

    def _read(self, versions: Mapping[str, Version]) -> None:
        for name, version in versions.items():
            self._stored[name] = version, read_stored(self._reads.store(), name)

    def _document(self, name: str, snapshot: Snapshot, jobs: Mapping[str, Job]) -> StudyDocument:
        version, stored = self._stored[name]
        launch = snapshot.launches.get(name, {})
        job = jobs.get(str(launch.get("job")))
        complete = stored.expected is None or stored.trials >= stored.expected
        state, message = judge_state(complete, launch, job)
        if state == "stopped" and launch and self._jobs.problem:
            message = self._jobs.problem
        eta, rate = time_left(stored, launch) if state == "running" else (None, None)
        return {
            "name": name,
            "state": state,
            "message": message,
            "stopping": state == "running" and bool(launch.get("stopped")),
            "metric": stored.metric,
            "seeds": stored.seeds,
            "cells": stored.cells,
            "trials": stored.trials,
            "expected": stored.expected,
            "eta_seconds": eta,
            "trials_per_second": rate,
            "last_finished": stored.last_finished,
            "tuning_runs": version.runs,
            "job": job.id if job else None,
            "optimizers": stored.optimizers,
        }


def read_stored(store: Store, study: str) -> Stored:
    frame, spec = store.studies(study), store.spec(study)
    seeds, cells = asked_seeds(spec), store.space(study).size
    expected = None if seeds is None else cells * seeds
    rows = {row["optimizer"]: row for row in frame.to_dict("records")}
    optimizers: list[OptimizerProgress] = [
        {
            "name": name,
            "trials": int(rows[name]["trials"]),
            "expected": expected,
            "diverged": int(rows[name]["diverged"]),
            "best": number(rows[name]["best"]),
        }
        for name in store.optimizers(study)
        if name in rows
    ]
    last = frame["last_finished"].max()
    return Stored(
        metric=store.metric(study),
        seeds=seeds,
        cells=cells,
        optimizers=optimizers,
        expected=None if expected is None else expected * len(optimizers),
        last_finished=None if last != last else last.isoformat(),
    )


def judge_state(complete: bool, launch: Mapping[str, Any], job: Job | None) -> tuple[State, str | None]:
    """State and, where there is more to say, a message.

    The job decides while it is alive, then whether every trial is there, then how the job ended.
    """
    stopped = bool(launch.get("stopped"))
    if job and job.status == "RUNNING":
        if complete:
            return "running", "tuners are running" if launch.get("tune") else "ending"
        return "running", None if launch.get("started") else "starting"
    if job and job.status == "PENDING" and not stopped:  # a stopped one ends as soon as it gets its turn
        return "queued", "waiting for its turn"
    if job and job.status == "FAILED" and not stopped and (not complete or launch.get("tune")):
        return "failed", job.message
    if complete:
        return "done", None
    if stopped:
        return "stopped", "stopped on request: resume it to go on"
    return "stopped", "incomplete, and no job is running it: resume it, or run it from the command line"


def time_left(stored: Stored, launch: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Seconds until all trials are there, and trials a second, from those since the job began; or its estimate."""
    started = launch.get("started")
    if started is None or stored.expected is None or stored.trials >= stored.expected:
        return None, None
    elapsed = max(time.time() - started, 1e-3)
    new, left = stored.trials - launch.get("before", 0), stored.expected - stored.trials
    if new > 0:
        return left * elapsed / new, new / elapsed
    estimate = launch.get("estimate")
    return (None if estimate is None else max(estimate - elapsed, 0.0)), None


def fixed_details(store: Store, study: str, launch: Mapping[str, Any]) -> dict[str, Any]:
    """What `StudyDetails` has beside the progress: it changes only with a launch."""
    spec = dict(launch.get("spec") or store.spec(study))
    return {
        "axes": axes_of(store.space(study)),
        "spec": spec,
        "toml": to_toml(spec),
        "provenance": store.provenance(study, store.optimizers(study)[0]),
    }
