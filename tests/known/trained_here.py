"""Studies trained in this process, without a cluster: for tests of what comes before and after training."""

from study.running.drive import Report
from study.running.run import run
from study.training.resolve import Study


def quiet(done: int, total: int) -> None:
    pass


def train_here(study: Study, url: str) -> Report:
    """As `tunability run --local`, one block after another. Raises AssertionError when a trial failed."""
    report = run(study, url, local=True, on_progress=quiet)
    assert not report.failures, report.failures
    return report
