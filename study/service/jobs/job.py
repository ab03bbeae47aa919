"""What a job runs: a study that the service declared, as `tunability run` runs it, then its tuners if asked for.

    python -m study.service.jobs.job JOB STUDY STORAGE

Progress goes to standard output, which is the job's log. How it ended is kept in the store, for services that come when
the cluster is gone: exit code 1 when blocks failed for good or it broke, 2 when nothing could be run, 130 when it was
stopped. That it is to stop it learns by SIGINT, or from the store after the block that it is at.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from storage.errors import StoreError
from storage.store import open_store
from study.errors import is_ours

if TYPE_CHECKING:
    from study.running.drive import Report

TRIALS, RUNS, FURTHER = "trials stored", "tuning runs made", "further trials stored"
"""What a job may be doing."""
SECONDS_BETWEEN_LINES, SHARE_BETWEEN_LINES = 1.0, 0.01
"""Between lines on how far it is: a second, and later so much of the time so far: some hundreds in a week."""
SECONDS_BETWEEN_LOOKS = 5.0
LINES_KEPT, CHARACTERS_KEPT = 30, 500


class Job:
    """A job of a study, and what it said last."""

    def __init__(self, job: str, study: str, storage: str) -> None:
        self.job, self.study, self.storage = job, study, storage
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._next_line = self._next_look = 0.0
        self._doing: dict[str, Any] = {"what": None}

    def say(self, line: str) -> None:
        """Into the job's log."""
        self._lines.append(line[:CHARACTERS_KEPT])
        print(line, flush=True)

    def run(self) -> int:
        """Run the study; returns the exit code, which the store keeps with the reason."""
        try:
            code, reason = self._run()
        except KeyboardInterrupt:
            code, reason = 130, "stopped"
        except Exception as error:  # noqa: BLE001 - whatever it was, the store is to tell
            if is_ours(error):
                code, reason = 2, str(error)
            else:
                traceback.print_exc()
                code, reason = 1, f"{type(error).__name__}: {error}"
        self.say(f"error: {reason}" if code == 2 else f"{self.study}: {reason}")
        ended = {"code": code, "reason": reason[:1_000], "log": "\n".join(self._lines), "at": time.time()}
        doing = {"doing": self._doing} if self._doing["what"] else {}
        with contextlib.suppress(StoreError), open_store(self.storage, create=True) as store:
            if store.launches().get(self.study, {}).get("job") == self.job:
                store.set_launch(self.study, {"ended": ended, **doing})
        return code

    def _run(self) -> tuple[int, str]:
        launch = self._begun()
        if launch is None:
            return 130, "stopped before its turn, or run by another job"
        self.say(f"{self.study}: starting")
        reports: list[Report] = []
        for step in self._steps(launch):
            reports.append(step())
            if reports[-1].interrupted or reports[-1].failures:
                break
        for warning in sorted({warning for report in reports for warning in report.warnings}):
            self.say(f"warning: {warning}")
        failures = [failure for report in reports for failure in report.failures]
        for failure in failures:
            self.say(f"failed: {failure}")
        if reports[-1].interrupted:
            return 130, "stopped"
        if failures:
            others = f", and {len(failures) - 1} more" if len(failures) > 1 else ""
            return 1, f"failed in part: {failures[0]}{others}"
        return 0, "done"

    def _begun(self) -> dict[str, Any] | None:
        """What is launched, noted as started; None where it is no longer this job's to run."""
        with open_store(self.storage, create=True) as store:
            launch = store.launches().get(self.study, {})
            if self._is_over(launch):
                return None
            about = store.about(self.study)
            before = sum(store.summary(self.study, each, about.seeds).trials for each in about.optimizers)
            store.set_launch(self.study, {"started": time.time(), "before": before})
        return launch

    def _steps(self, launch: Mapping[str, Any]) -> list[Callable[[], Report]]:
        """Training, tuning, and training of further seeds, as far as they were asked for."""
        from study.running.decide import DECISIONS
        from study.running.run import run
        from study.running.tuning import tune
        from study.spec import parse_spec
        from study.training.resolve import resolve

        study, address = (
            resolve(parse_spec(launch["spec"], self.study), self.study),
            os.environ["RAY_ADDRESS"],
        )
        decide = launch.get("decide")
        further = DECISIONS[decide["of"]](study, decide["budget"]) if decide else None
        costs = decide is not None and decide["of"] == "cost"
        train = partial(
            run, study, self.storage, address, on_progress=partial(self.trained, study.spec.trials)
        )
        tune_it = partial(
            tune,
            self.study,
            self.storage,
            study.spec.tuning,
            study,
            address,
            on_progress=partial(self.progressed, RUNS),
            on_share=self.shared,
        )
        if costs:
            return [train, tune_it, partial(train, further=further)]
        train = partial(train, further=further)
        return [train, tune_it] if launch.get("tune") else [train]

    def _is_over(self, launch: dict[str, object]) -> bool:
        """Whether the study was stopped, or is another job's by now."""
        return launch.get("job") != self.job or bool(launch.get("stopped"))

    def trained(self, asked: int, done: int, total: int) -> None:
        """As `progressed`, of trials; those beyond what the study asks for are further ones."""
        if done < asked or total == asked:
            self.progressed(TRIALS, done, total)
        else:
            self.progressed(FURTHER, done - asked, total - asked)

    def shared(self, share: float) -> None:
        """Which share of the tuners' work is done, told with the runs that are made."""
        self._doing["share"] = share

    def progressed(self, what: str, done: int, total: int) -> None:
        """Say how far it is, now and then and at the end; look whether to go on, and keep how far it is."""
        now = time.monotonic()
        begins = what != self._doing["what"]
        if begins:
            self._doing = {"what": what, "since": time.time(), "before": done}
            self._doing |= dict.fromkeys(("landed", "share", "first_share"))
        lands = self._doing["landed"] is None and done > self._doing["before"]
        if lands:  # what comes after it tells the pace: before it are a cluster's start and compiling
            self._doing |= {"landed": [time.time(), done], "first_share": self._doing["share"]}
        self._doing |= {"done": done, "total": total, "at": time.time()}
        if now >= self._next_line or done == total:
            self.say(f"{done:,} of {total:,} {what}")
            so_far = time.time() - self._doing["since"]
            self._next_line = now + max(SECONDS_BETWEEN_LINES, SHARE_BETWEEN_LINES * so_far)
        if now >= self._next_look or begins or lands:
            self._next_look = now + SECONDS_BETWEEN_LOOKS
            with contextlib.suppress(StoreError), open_store(self.storage, create=True) as store:
                if self._is_over(store.launches().get(self.study, {})):
                    raise KeyboardInterrupt
                store.set_launch(self.study, {"doing": self._doing})


def main(job: str, study: str, storage: str) -> int:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # who started it may ignore it
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until Ray has another handler
    return Job(job, study, storage).run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
