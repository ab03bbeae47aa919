"""Early stopping of hopeless trials, by Optuna's pruners: each among the trials of its optimizer, stored or running."""

from __future__ import annotations

import math

import numpy as np
import optuna
from optuna.pruners import BasePruner, MedianPruner, SuccessiveHalvingPruner
from optuna.trial import TrialState

from storage.records import STOPPED_AT, cell_keys
from storage.store import Store
from study.spec.black_box import StopSpec
from study.training.block import Block, Outcome
from study.training.resolve import Study
from tuners.in_memory import in_memory_study

Key = tuple[str, str, int]
"""Of a trial: optimizer, cell, seed."""


class Stopping:
    """Tells of running trials whether they are hopeless. Optuna's trials here have learning curves and nothing else."""

    def __init__(self, spec: StopSpec, study: Study, store: Store) -> None:
        self._metric = study.workload.metric
        self._by_rungs = spec.method == "asha"
        self._known = {each.key: in_memory_study(pruner=pruner_of(spec)) for each in study.optimizers}
        self._running: dict[Key, optuna.Trial] = {}
        self._told: dict[Key, int] = {}
        for optimizer in self._known.keys() & store.recipes(study.name):
            for trials in store.read(study.name, optimizer):
                stopped = np.isfinite(trials.metrics.get(STOPPED_AT, np.full(len(trials), np.nan)))
                for lane, cell in enumerate(trials.cells()):
                    key = optimizer, cell, trials.seed
                    self._tell(key, trials.curve_steps.tolist(), trials.curve[lane].tolist(), self._by_rungs)
                    self._end(key, stopped=bool(stopped[lane]), value=float(trials.value[lane]))

    def hopeless(self, block: Block, so_far: Outcome) -> bool:
        """Whether a running trial should be stopped, by what it has told since it was asked for the last time."""
        return self._tell(key_of(block), so_far.curve_steps.tolist(), so_far.curve[0].tolist(), judge=True)

    def ended(self, block: Block, outcome: Outcome | None) -> None:
        """Note how a trial has ended; without an outcome it has failed."""
        key = key_of(block)
        if outcome is None:
            if key in self._running:
                self._known[block.optimizer].tell(self._running.pop(key), state=TrialState.FAIL)
                del self._told[key]
            return
        self._tell(key, outcome.curve_steps.tolist(), outcome.curve[0].tolist(), self._by_rungs)
        self._end(key, stopped=outcome.stopped, value=float(outcome.metrics[self._metric][0]))

    def _tell(self, key: Key, steps: list[int], curve: list[float], judge: bool) -> bool:
        """Report the steps that are new, and whether the pruner, asked at each, says that the trial is hopeless.

        A trial that is tried again tells its steps again; what is not finite may become better, and is not reported.
        """
        if key not in self._running:
            self._running[key], self._told[key] = self._known[key[0]].ask(), -1
        trial = self._running[key]
        for step, value in zip(steps, curve, strict=True):
            if step > self._told[key] and math.isfinite(value):
                trial.report(value, step)
                self._told[key] = step
                if judge and trial.should_prune():
                    return True
        return False

    def _end(self, key: Key, *, stopped: bool, value: float) -> None:
        trial = self._running.pop(key)
        del self._told[key]
        if stopped:
            self._known[key[0]].tell(trial, state=TrialState.PRUNED)
        else:
            self._known[key[0]].tell(trial, value)


def pruner_of(spec: StopSpec) -> BasePruner:
    if spec.method == "median":
        return MedianPruner(spec.startup_trials, spec.warmup_steps)
    return SuccessiveHalvingPruner(spec.first_step, spec.reduction_factor)


def key_of(block: Block) -> Key:
    (cell,) = cell_keys(block.cells)
    return block.optimizer, cell, block.seed
