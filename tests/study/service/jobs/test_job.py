"""What a job says of itself while it runs; how it ends is tested with how far it is, `studies/test_progress.py`."""

import itertools

import pytest

from storage.store import open_store
from study.service.jobs import job as module
from study.service.jobs.job import Job

DAY = 24 * 60 * 60


class Clock:
    """Time that passes when it is told to."""

    now = 1_000_000.0

    def time(self) -> float:
        return self.now

    monotonic = time


def test_a_days_progress_is_some_hundred_lines(
    url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with open_store(url, create=True) as store:
        store.set_launch("small", {"job": "j"})
    clock, job = Clock(), Job("j", "small", url)
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LOOKS", DAY)
    said = []
    for done in range(1, 2 * DAY + 1):  # twice a second
        clock.now += 0.5
        job.progressed("trials stored", done, 2 * DAY)
        lines = capfd.readouterr().out.splitlines()
        said += [(done, line) for line in lines]
    at = [done / 2 for done, _ in said]
    assert sum(second <= 60 for second in at) in (59, 60)  # one a second at first
    assert len(said) < 1_000
    gaps = [later - before for before, later in itertools.pairwise(at)]
    assert max(gaps) <= 0.01 * DAY + 1
    assert said[-1] == (2 * DAY, "172,800 of 172,800 trials stored")
