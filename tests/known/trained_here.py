"""Studies trained in this process, without a cluster: for tests of what comes before and after training."""

from storage.store import open_store
from study.black_boxes import Function
from study.running.drive import Report, trials_of
from study.running.plan import plan, stored_plan
from study.running.run import declare
from study.training.resolve import Study
from study.training.trainer import Trainer


def train_here(study: Study, url: str) -> Report:
    """As `study.running.run.run` does, one block after another."""
    stored_plan(study, url, 1)  # refuses what cannot be compared
    trainer, new = Trainer(), 0
    with open_store(url, create=True) as store:
        study = declare(study, store)
        for block in plan(study, store, 1).blocks:
            new += store.append(study.name, block.optimizer, trials_of(study, block, trainer.train(block)))
        report = Report(plan(study, store, 1).stored, new)
    for made in trainer.black_boxes.made.values():
        if isinstance(made, Function):
            made.end()
    return report
