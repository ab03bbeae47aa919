"""Studies declared, launched, stopped, resumed and deleted: what the store and the jobs say decides, nothing else."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

from storage.store import open_store
from study.service.answers.documents import DecisionDocument, PlanDocument
from study.service.answers.reads import Reads
from study.service.guard.incoming import check_limits, check_trials
from study.service.guard.problems import Problem
from study.service.jobs.cluster import ClusterError
from study.service.jobs.jobs import Jobs, JobsError
from study.service.settings import Settings
from study.spec import StudySpec, Tell, parse_spec, silent, to_toml

if TYPE_CHECKING:
    from study.running.plan import Plan
    from study.training.resolve import Study


class Launcher:
    """Changes studies. Every method waits for databases and clusters: call it in a thread."""

    def __init__(self, settings: Settings, reads: Reads, jobs: Jobs) -> None:
        self._settings = settings
        self._reads = reads
        self._jobs = jobs
        self._changing = threading.Lock()
        self._planning = threading.Lock()  # estimates set torch's number of threads

    def keep_priority(self) -> None:
        """Have studies run with the priority that this process has now, also when it lowers its own."""
        self._jobs.cluster.keep_priority()

    def running_slots(self) -> int | None:
        """How many studies run at once on the service's own cluster, if it runs already."""
        return self._jobs.cluster.slots() if self._jobs.own else None

    def parse(self, given: Mapping[str, Any], tell: Tell = silent) -> Study:
        """A checked study, of import paths only where they are allowed; raises Problem or SpecError, also for no GPU.

        `tell` as for `study.spec.parse_spec`.
        """
        check_limits(given, self._settings)
        spec = parse_spec(given, tell=tell)
        check_trials(spec.trials, self._settings)
        from study.running.refuse import refuse_without_gpu
        from study.training.resolve import resolve

        if self._settings.address is None:
            refuse_without_gpu(spec, "study", self._settings.storage)
        return resolve(spec, allow_imports=self._settings.allow_imports)

    def plan(self, given: Mapping[str, Any]) -> PlanDocument:
        """What running a spec would take; writes nothing. Raises as `parse`, StoreError when its name is taken."""
        said: list[str] = []
        study = self.parse(given, said.append)
        study, todo, seconds, notes = self._estimate(study)
        tunes = "tuning" in given
        tuning = self._tuning_seconds(study) if tunes else 0.0
        return {
            "name": study.name,
            "trials": study.spec.trials,
            "stored": todo.stored,
            "to_train": todo.trials,
            "blocks": len(todo.blocks),
            "lanes": max((block.lanes for block in todo.blocks), default=0),
            "estimated_seconds": None if seconds is None else seconds + tuning,
            "tuning_seconds": tuning,
            "notes": [*said, *notes],
            "tunes": tunes,
            "toml": to_toml(({"tuning": {}} if tunes else {}) | as_given(study.spec)),
        }

    def _estimate(self, study: Study) -> tuple[Study, Plan, float | None, list[str]]:
        """The study as it will be trained, what is left of it, seconds, and a line about each optimizer."""
        from study.running.forecast import cores, forecast, notes

        with self._planning:
            study, todo, seconds = forecast(study, self._settings.storage, cores())
        return study, todo, seconds, list(notes(study))

    def _tuning_seconds(self, study: Study) -> float:
        from study.running.forecast import cores
        from study.running.price import tuning_seconds

        return tuning_seconds(study, self._settings.storage, cores())

    def price(self, study: str, decision: str, budget: int) -> DecisionDocument:
        """What deciding takes of at most `budget` further trials; writes nothing.

        Raises as `decide`.
        """
        from study.running.forecast import cores
        from study.running.price import price

        parsed = self._stored(study, budget)
        with self._planning:
            found = price(parsed, self._settings.storage, decision, budget, cores())
        return cast(DecisionDocument, {"study": study, "of": decision, "budget": budget, **asdict(found)})

    def decide(self, study: str, decision: str, budget: int) -> None:
        """Launch a study for further seeds, until its separability or its costs are decided.

        Raises Problem when it is queued or running, too large or imported, SpecError when there is nothing to decide.
        """
        from study.running.decide import DECISIONS

        parsed = self._stored(study, budget)
        DECISIONS[decision](parsed, budget)
        if self._jobs.look().alive(self._launch_of(study)):
            raise Problem(409, f"{study} is queued or running: decide when it is done, or stop it first")
        self._go_on(study, parsed, {"of": decision, "budget": budget}, tune=decision == "cost")

    def _stored(self, study: str, further: int = 0) -> Study:
        """A stored study, as it was launched last. Raises Problem when it was imported, or is too large."""
        store = self._reads.store()
        given = (store.launches().get(study, {})).get("spec") or store.spec(study)
        if given.get("imported"):
            raise Problem(
                409,
                f"{study} was imported, there is nothing to train: tunability tune {study} runs tuners on it",
            )
        parsed = self.parse(given)
        check_trials(parsed.spec.trials + further, self._settings)
        return parsed

    def create(self, given: Mapping[str, Any], tune: bool) -> tuple[str, bool]:
        """Declare a study and launch it, unless it was launched before; its name, and whether it is new.

        One that stored no trial with another spec is new.

        Raises Problem, SpecError or StoreError when nothing was written, ClusterError when it was declared only.
        """
        from study.running.run import declare

        study = self.parse(given)
        study, todo, seconds, _ = self._estimate(study)
        wanted, missing = self._wanted(study, todo, seconds, tune)
        with self._changing:
            with open_store(self._settings.storage, create=True) as store:
                known = bool(store.recipes(study.name))
                other = known and store.spec(study.name) != study.extent()
                new = not known or (other and not store.has_trials(study.name))
                launch = store.launches().get(study.name, {})
                if other and self._jobs.look().alive(launch):
                    raise Problem(409, f"{study.name} is queued or running with another spec: stop it first")
                launched = (
                    not new and not other and launch.get("submitted") and (launch.get("tune") or not tune)
                )
                needed = not launched and missing and not self._alive(study.name, launch, tune)
                if needed:
                    self._jobs_left()
                declare(study, store)
                launch = store.launches().get(study.name, {})
            if needed:
                self._launch(study.name, launch, wanted)
        return study.name, new

    def resume(self, study: str, tune: bool) -> None:
        """Launch a study again for what is missing; nothing if it is queued or running, or nothing is missing."""
        parsed, launch = self._stored(study), self._launch_of(study)
        over = (launch.get("ended") or {}).get("code") == 0
        self._go_on(
            study, parsed, None if over else launch.get("decide"), tune=tune or bool(launch.get("tune"))
        )

    def _go_on(self, study: str, parsed: Study, decide: Mapping[str, Any] | None, *, tune: bool) -> None:
        """Launch a stored study, unless nothing is missing or it is queued or running."""
        wanted, missing = self._wanted(*self._estimate(parsed)[:3], tune, decide)
        with self._changing:
            launch = self._reads.store().launches().get(study, {})
            if self._alive(study, launch, tune) or not missing:
                return
            self._jobs_left()
            self._launch(study, launch, wanted)

    def _wanted(
        self,
        study: Study,
        todo: Plan,
        seconds: float | None,
        tune: bool,
        decide: Mapping[str, Any] | None = None,
    ) -> tuple[dict[str, Any], bool]:
        """What a launch is told, with what it is estimated to take, and whether there is anything to do."""
        from study.running.forecast import STARTUP_SECONDS

        pace = None if seconds is None or not todo.trials else (seconds - STARTUP_SECONDS) / todo.trials
        told = {
            "spec": as_given(study.spec),
            "tune": tune,
            "decide": decide,
            "estimate": seconds,
            "pace": pace,
            "tuning_estimate": self._tuning_seconds(study) if tune else 0.0,
        }
        return told, bool(todo.blocks or tune or decide)

    def stop(self, study: str) -> None:
        """Stop a study's job, queued or running. Raises Problem when there is none."""
        with self._changing:
            launch, table = self._launch_of(study), self._jobs.look()
            if not table.alive(launch):
                raise Problem(409, f"{study} is neither queued nor running: there is nothing to stop")
            # Jobs look at this when they start and after each block; being told is only sooner.
            self._keep(study, {"stopped": True})
            if table.knows(launch):
                with contextlib.suppress(JobsError):
                    self._jobs.stop(launch["job"])

    def delete(self, study: str, confirm: str | None) -> None:
        """Delete a study with all its trials. Raises Problem when that is not confirmed, or it is queued or running."""
        with self._changing:
            launch = self._launch_of(study)
            if confirm != study:
                raise Problem(
                    400, f"this deletes {study} with all its trials for good: say so with ?confirm={study}"
                )
            if self._jobs.look().alive(launch):
                raise Problem(409, f"{study} is queued or running: stop it first")
            with open_store(self._settings.storage, create=True) as store:
                store.delete(study)

    def log(self, study: str) -> tuple[str, str]:
        """The last job of a study and its log; when its cluster is gone or another service's, the last lines of it."""
        launch = self._launch_of(study)
        job, ended = launch.get("job"), launch.get("ended")
        if job is None:
            raise Problem(404, f"{study} was not launched by the service: there is no log of it")
        try:
            return job, self._jobs.log(job)
        except JobsError:
            if not ended:
                raise
            return job, f"(the last lines of what the job said)\n{ended['log']}"

    def active(self) -> list[str]:
        """The studies that are queued or running on the service's own cluster."""
        if not self._jobs.own:
            return []
        launches, table = self._reads.store().launches(), self._jobs.look()
        return sorted(
            name for name, launch in launches.items() if table.knows(launch) and table.alive(launch)
        )

    def _launch_of(self, study: str) -> dict[str, Any]:
        store = self._reads.store()
        store.optimizers(study)  # raises when there is no such study
        return store.launches().get(study, {})

    def _alive(self, study: str, launch: Mapping[str, Any], tune: bool) -> bool:
        """Whether a study is queued or running. Raises Problem when it is, without the tuners that are asked for."""
        found = self._jobs.look().alive(launch)
        if found and tune and not launch.get("tune"):
            raise Problem(
                409,
                f"{study} is queued or running without its tuners: ask for them when it is done, or stop it first",
            )
        return found

    def _jobs_left(self) -> None:
        """Raise Problem when as many studies as are allowed are queued or running."""
        table = self._jobs.look()
        alive = sum(table.alive(launch) for launch in self._reads.store().launches().values())
        if alive >= self._settings.max_active:
            raise Problem(429, f"{alive} studies are queued or running: wait for one to end, or stop one")

    def _launch(self, study: str, before: Mapping[str, Any], launch: Mapping[str, Any]) -> None:
        job = f"tunability-{study}-{secrets.token_hex(4)}"
        fresh = {
            "job": job,
            "cluster": self._jobs.name,
            "asked": time.time(),
            "submitted": False,
            "started": None,
            "before": 0,
            "doing": None,
            "stopped": False,
            "ended": None,
        }
        with open_store(self._settings.storage, create=True) as store:
            if store.launches().get(study, {}) != before:
                return  # another service was faster
            store.set_launch(study, {**launch, **fresh})
        try:
            self._jobs.submit(job, study)
        except ClusterError as error:
            self._keep(study, {"ended": {"code": 2, "reason": str(error), "log": ""}})
            raise
        self._keep(study, {"submitted": True})

    def _keep(self, study: str, changes: Mapping[str, Any]) -> None:
        with open_store(self._settings.storage, create=True) as store:
            store.set_launch(study, changes)


def as_given(spec: StudySpec) -> dict[str, Any]:
    """A spec as JSON types, as a study file would say it: without defaults, names instead of tables of a name alone."""

    def short(table: dict[str, Any]) -> Any:
        return table["name"] if table.keys() == {"name"} else table

    given = spec.model_dump(mode="json", exclude_defaults=True)
    return {
        **given,
        "workload": short(given["workload"]),
        "optimizers": list(map(short, given["optimizers"])),
    }
