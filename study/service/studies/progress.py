"""How far each study is: computed from the store and the job that runs it, never remembered."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio.to_thread

from analysis.estimate import finite
from analysis.target import own_target
from analysis.trained import nothing_trained
from storage.failures import FailureCount
from storage.store import Store, Summary, Version
from study.service.answers.cache import Answer
from study.service.answers.documents import OptimizerProgress, State, StudyDocument
from study.service.answers.reads import Reads, Snapshot, axes_of, encode
from study.service.answers.shared import Shared
from study.service.jobs.job import FURTHER, RUNS
from study.service.jobs.jobs import Jobs, Table
from study.spec import TuningSpec, to_toml

LATELY = timedelta(seconds=30)
KNOWN = 0.1
"""The share of tuners' work that counts as much as the estimate of it."""


@dataclass(frozen=True)
class Stored:
    """What the store alone says of a study; summaries by optimizer, in the order of their declaration.

    Scattered trials have no `cells`. `target` is the suboptimality that counts as found by its file.
    """

    metric: str
    seeds: int | None
    cells: int | None
    target: float
    summaries: Mapping[str, Summary]

    @property
    def each(self) -> int | None:
        """Trials that an optimizer should have; unknown of an imported study."""
        return None if self.seeds is None or self.cells is None else self.cells * self.seeds

    @property
    def expected(self) -> int | None:
        return None if self.each is None else self.each * len(self.summaries)

    @property
    def trials(self) -> int:
        return sum(each.trials for each in self.summaries.values())

    @property
    def last_finished(self) -> datetime | None:
        finished = [each.last_finished for each in self.summaries.values() if each.last_finished]
        return max(finished).replace(tzinfo=UTC) if finished else None

    def grew_lately(self) -> bool:
        """Whether a trial was stored so lately that something seems to be storing more."""
        return self.last_finished is not None and datetime.now(UTC) - self.last_finished < LATELY

    def optimizers(self) -> list[OptimizerProgress]:
        return [
            {
                "name": name,
                "trials": summary.trials,
                "expected": self.each,
                "diverged": summary.diverged,
                "best": None if summary.best is None else finite(summary.best),
                "problem": nothing_trained(summary.trials, summary.diverged),
            }
            for name, summary in self.summaries.items()
        ]


@dataclass(frozen=True)
class Made:
    """The documents, and what they were made of."""

    snapshot: Snapshot
    jobs: Table
    documents: dict[str, StudyDocument]


class Progress:
    """The progress of all studies, read again when the store or the jobs have something new."""

    def __init__(self, reads: Reads, jobs: Jobs) -> None:
        self._reads = reads
        self._jobs = jobs
        self._stored: dict[str, tuple[Version, Stored]] = {}
        self._documents = Shared(self._make, 0)
        self._made: Made | None = None
        self._listed: tuple[Made, Answer] | None = None

    async def documents(self) -> dict[str, StudyDocument]:
        """Study name -> its progress, in the order of the studies' names; the same object while nothing is new."""
        return (await self._documents.get()).documents

    async def listed(self) -> Answer:
        """All of them as a `StudyList`, written once for all who ask."""
        made = await self._documents.get()
        if self._listed is None or self._listed[0] is not made:
            self._listed = made, Answer(encode({"studies": list(made.documents.values())}))
        return self._listed[1]

    async def _make(self) -> Made:
        snapshot = await self._reads.snapshot()
        jobs = await self._jobs.table()
        made = self._made
        if made is not None and made.snapshot is snapshot and made.jobs is jobs:
            return made
        known = self._stored
        fresh = {
            name: version
            for name, version in snapshot.versions.items()
            if name not in known or known[name][0] != version
        }
        read = await anyio.to_thread.run_sync(self._read, fresh, known) if fresh else {}
        stored = {name: read.get(name) or known[name] for name in sorted(snapshot.versions)}
        documents = {name: self._document(name, *each, snapshot, jobs) for name, each in stored.items()}
        self._stored, self._made = stored, Made(snapshot, jobs, documents)
        return self._made

    async def document(self, study: str) -> StudyDocument:
        """The progress of one study. Raises StoreError when there is none of that name."""
        found = (await self.documents()).get(study)
        if found is None:
            await anyio.to_thread.run_sync(lambda: self._reads.store().optimizers(study))
            self.forget()  # it was made just now
            found = (await self.documents())[study]
        return found

    def forget(self) -> None:
        """Ask the store and the cluster again next time: something was just changed."""
        self._reads.forget()
        self._jobs.forget()
        self._documents.forget()

    def _read(
        self, versions: Mapping[str, Version], known: Mapping[str, tuple[Version, Stored]]
    ) -> dict[str, tuple[Version, Stored]]:
        store = self._reads.store()
        return {
            name: (version, read_stored(store, name, version, known.get(name)))
            for name, version in versions.items()
        }

    def _document(
        self, name: str, version: Version, stored: Stored, snapshot: Snapshot, jobs: Table
    ) -> StudyDocument:
        launch, failed = snapshot.launches.get(name, {}), snapshot.failures.get(name, FailureCount())
        complete = stored.expected is None or stored.trials >= stored.expected
        runs = runs_asked(launch)
        state, message = judge_state(complete, launch, jobs, untuned=version.runs < runs)
        if state == "stopped" and complete:
            message = f"{version.runs:,} of {runs:,} tuning runs are stored: resume it to make the others"
        if state == "stopped" and not launch.get("stopped") and stored.grew_lately():
            message = "trials are landing: it is run from elsewhere, as by tunability run"
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
            "failed": failed.trials,
            "last_failed": failed.last.replace(tzinfo=UTC).isoformat() if failed.last else None,
            "expected": stored.expected,
            "eta_seconds": eta,
            "trials_per_second": rate,
            "last_finished": stored.last_finished.isoformat() if stored.last_finished else None,
            "job_seconds": job_seconds(launch, state),
            "target": stored.target,
            "tuning_runs": version.runs,
            "job": launch.get("job"),
            "optimizers": stored.optimizers(),
        }


def read_stored(store: Store, study: str, version: Version, before: tuple[Version, Stored] | None) -> Stored:
    """What the store says of a study's asked seeds; of one that was read before, only new trials are looked at."""
    if before is not None and version.follows(before[0]):
        (since, known), seeds = before, before[1].seeds
        metric, cells, target, names = known.metric, known.cells, known.target, list(known.summaries)
        summaries = {
            name: known.summaries[name] + store.summary(study, name, seeds, after, upto)
            for name, after, upto in zip(names, since.last_trials, version.last_trials, strict=True)
        }
    else:
        about = store.about(study)
        metric, seeds, target = about.metric, about.seeds, own_target(about.spec)
        cells = about.space.size if about.space.is_grid else None
        summaries = {
            name: store.summary(study, name, seeds, upto=upto)
            for name, upto in zip(about.optimizers, version.last_trials, strict=True)
        }
    return Stored(metric, seeds, cells, target, summaries)


def job_seconds(launch: Mapping[str, Any], state: State) -> float | None:
    """How long the last job ran; of a running one in whole minutes, for the document changes with it."""
    started, ended = launch.get("started"), (launch.get("ended") or {}).get("at")
    if started is None:
        return None
    if ended is not None:
        return float(max(ended - started, 0.0))
    return (time.time() - started) // 60 * 60 if state == "running" else None


def runs_asked(launch: Mapping[str, Any]) -> int:
    """How many tuning runs a launch is to make, in all."""
    if not launch.get("tune"):
        return 0
    tuning = TuningSpec.model_validate(launch["spec"].get("tuning", {}))
    return len(launch["spec"]["optimizers"]) * len(tuning.tuners) * tuning.replicates


def at_work(launch: Mapping[str, Any]) -> str:
    """What a job does that has stored all trials that the study asks for."""
    doing = launch.get("doing") or {}
    what = doing.get("what")
    far = f": {doing['done']:,} of {doing['total']:,} {what}" if what in (RUNS, FURTHER) else ""
    if what == RUNS or (not far and launch.get("tune")):
        return f"tuners are running{far}"
    return f"deciding{far}" if launch.get("decide") else "ending"


def judge_state(
    complete: bool, launch: Mapping[str, Any], jobs: Table, *, untuned: bool = False
) -> tuple[State, str | None]:
    """State and, where there is more to say, a message.

    The job decides while it is alive, then whether every trial is there, and, `untuned`, tuning runs that were asked
    for are not, then how the job ended.
    """
    status, stopped = jobs.status(launch), bool(launch.get("stopped"))
    elsewhere = None
    if launch.get("submitted") and not launch.get("ended") and not jobs.knows(launch):
        elsewhere = jobs.problem or f"by the service whose cluster is {launch['cluster']}"
    if status == "RUNNING":
        if complete:
            return "running", elsewhere or at_work(launch)
        return "running", elsewhere or (None if launch.get("started") else "starting")
    if status == "PENDING" and not stopped:  # a stopped one ends as soon as it gets its turn
        return "queued", elsewhere or (
            "waiting for its turn" if launch.get("submitted") else "the cluster is starting"
        )
    if status == "FAILED" and not stopped and (not complete or launch.get("tune") or launch.get("decide")):
        job, ended = jobs.jobs.get(str(launch["job"])), launch.get("ended")
        return "failed", ended["reason"] if ended else job.message if job else None
    if complete and not untuned:
        return "done", None
    if stopped:
        return "stopped", "stopped on request: resume it to go on"
    return "stopped", "incomplete, and no job is running it: resume it, or run it from the command line"


def time_left(stored: Stored, launch: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Seconds until all is there that was asked for, and trials a second while they are trained.

    Their pace is that of those after the first that landed: before are a cluster's start and compiling. What is to come
    after them is estimated as when it was launched.
    """
    started, doing = launch.get("started"), launch.get("doing") or {}
    if started is None or stored.expected is None:
        return None, None
    what, tuning = doing.get("what"), launch.get("tuning_estimate") or 0.0
    if what == RUNS:
        return runs_left(doing, tuning), None
    if what == FURTHER:
        done, left = doing["done"], doing["total"] - doing["done"]
        return (left * (time.time() - doing["since"]) / done if done else None), None
    left = stored.expected - stored.trials
    if left <= 0:
        return (tuning or None), None
    seconds, rate = training_left(stored, launch, left)
    return (None if seconds is None else seconds + tuning), rate


def runs_left(doing: Mapping[str, Any], estimate: float) -> float:
    """Seconds until all tuning runs are made: by their pace after the first, where `KNOWN` of them count as estimated.

    The share that is made is of when it was told, now and then.
    """
    if not doing["landed"] or doing.get("first_share") is None:  # an older version's job does not tell it
        return float(max(estimate - (time.time() - doing["since"]), estimate / 2))
    elapsed, share = doing["at"] - doing["landed"][0], doing["share"]
    pace = (elapsed + KNOWN * estimate) / (share - doing["first_share"] + KNOWN)
    return float(max((1 - share) * pace - (time.time() - doing["at"]), 0))


def training_left(stored: Stored, launch: Mapping[str, Any], left: int) -> tuple[float | None, float | None]:
    """Seconds until the trials are there that are left, and trials a second where some landed."""
    elapsed, before = max(time.time() - launch["started"], 1e-3), launch.get("before", 0)
    estimate, estimated = launch.get("estimate"), launch.get("pace") or 0.0
    new = stored.trials - before
    if new <= 0:
        return (None if estimate is None else max(estimate - elapsed, left * estimated)), None
    when, then = (launch.get("doing") or {}).get("landed") or (launch["started"], before)
    first = then - before if estimated else 0  # what the estimate counts as
    landed = stored.trials - then
    if first + landed <= 0:
        return left * elapsed / new, new / elapsed
    pace = (max(time.time() - when, 1e-3) + first * estimated) / (first + landed)
    return left * pace, new / elapsed


def fixed_details(store: Store, study: str, launch: Mapping[str, Any]) -> dict[str, Any]:
    """What `StudyDetails` has beside the progress: it changes only with a launch."""
    about = store.about(study)
    spec = dict(launch.get("spec") or about.spec)
    return {
        "axes": axes_of(about.space),
        "spec": spec,
        "toml": to_toml(spec),
        "provenance": store.provenance(study, about.optimizers[0]),
    }
