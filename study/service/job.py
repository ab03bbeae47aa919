"""What a job runs: a study that the service declared, as `tunability run` runs it, then its tuners if asked for.

    python -m study.service.job JOB STUDY STORAGE

Progress goes to standard output, which is the job's log; it ends with 1 when blocks failed for good, 2 when nothing
could be run. SIGINT stops it as it stops the command line.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from analysis.stored import asked_seeds
from storage.store import open_store
from study.errors import is_ours

SECONDS_BETWEEN_LINES = 1.0


def main(job: str, study: str, storage: str) -> int:
    """Run a study; returns the exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # who started it may ignore it
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until Ray has another handler
    with open_store(storage, create=True) as store:
        launch = store.launches().get(study, {})
        if launch.get("job") != job or launch.get("stopped"):
            print(f"{study} was stopped, or is run by another job")
            return 0
        seeds = asked_seeds(store.spec(study))
        before = sum(store.summary(study, each, seeds).trials for each in store.optimizers(study))
        store.set_launch(study, {"started": time.time(), "before": before})
    from study.run import Report, run
    from study.spec import parse_spec
    from study.tuning import tune

    spec, address = parse_spec(launch["spec"], study), os.environ["RAY_ADDRESS"]
    print(f"{study}: starting", flush=True)
    reports: list[Report] = [run(spec, storage, address, on_progress=Printer("trials stored"))]
    if launch.get("tune") and not (reports[0].interrupted or reports[0].failures):
        reports.append(
            tune(study, storage, spec.tuning, spec, address, on_progress=Printer("tuning runs made"))
        )
    for report in reports:
        for warning in sorted(report.warnings):
            print(f"warning: {warning}")
        for failure in report.failures:
            print(f"failed: {failure}")
    last = reports[-1]
    print(f"{study}: {'stopped' if last.interrupted else 'failed in part' if last.failures else 'done'}")
    return 1 if last.failures else 0


class Printer:
    """Writes progress as lines, at most one a second and the last."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._next = 0.0

    def __call__(self, done: int, total: int) -> None:
        if time.monotonic() >= self._next or done == total:
            print(f"{done:,} of {total:,} {self._what}", flush=True)
            self._next = time.monotonic() + SECONDS_BETWEEN_LINES


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        print("stopped")
        sys.exit(130)
    except Exception as error:
        if not is_ours(error):
            raise
        print(f"error: {error}")
        sys.exit(2)
