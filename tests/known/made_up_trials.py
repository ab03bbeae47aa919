"""Trials that nobody trained, of studies as they are really declared: for what plans further ones."""

from datetime import UTC, datetime

import numpy as np

from storage.records import Trials
from storage.store import open_store
from study.running.run import declare
from study.training.resolve import Study


def store_all(study: Study, url: str) -> None:
    """A bowl about the middle of the grid for each optimizer, the later ones a bit better, with noise in the seeds."""
    space = study.spec.space
    away = ((space.value_to_unit(space.cells()) - 0.5) ** 2).sum(axis=1)
    now = datetime.now(UTC)
    with open_store(url, create=True) as store:
        study = declare(study, store)
        for place, optimizer in enumerate(study.optimizers):
            for seed in range(study.spec.seeds):
                noise = np.random.default_rng([place, seed]).normal(0, 0.01, len(away))
                error = 0.1 + 0.3 * away - 0.01 * place + noise
                trials = Trials(
                    hyperparameters=dict(zip(space.names, space.cells().T, strict=True)),
                    seed=seed,
                    value=error,
                    metrics={},
                    curve_steps=np.array([10, 20]),
                    curve=np.stack([error + 0.1, error], axis=1),
                    diverged_at=np.full(len(away), -1),
                    seconds=np.full(len(away), 0.5),
                    started=now,
                    finished=now,
                )
                store.append(study.name, optimizer.key, trials)
