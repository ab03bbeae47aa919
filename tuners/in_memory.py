"""Optuna's studies in memory."""

from __future__ import annotations

import logging

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler


def in_memory_study(sampler: BaseSampler | None = None, pruner: BasePruner | None = None) -> optuna.Study:
    """A study that is not announced in the log."""
    log = logging.getLogger("optuna.storages._in_memory")
    level = log.level
    log.setLevel(logging.WARNING)
    study = optuna.create_study(sampler=sampler, pruner=pruner)
    log.setLevel(level)
    return study
