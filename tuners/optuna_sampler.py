"""Any tuner as an Optuna sampler.

    study = optuna.create_study(sampler=TunerSampler("cgld", seed=0))

The tuner sees the parameters that all finished trials of the study share, as Optuna's own relative samplers do; the
first trial, and parameters that come and go, are sampled at random. A step, an integer or a choice makes a grid axis
(choices in the order given), everything else a continuous one.

The tuner lives in the sampler: it learns from the trials that it proposed, not from those of another process or an
earlier run, and not from enqueued ones. While proposals are still being tried (`n_jobs` above 1), further trials are
random.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from search_spaces import Axis, SearchSpace
from tuners import Tuner, make_tuner, tuner_class
from tuners.tuner import FloatArray

MOST_VALUES = 1000
"""Ranges of integers or steps with more values than this count as continuous, and are rounded."""


class TunerSampler(BaseSampler):
    """Optuna sampler around a tuner of this package.

    Raises TunerError when there is no tuner of that name; like Optuna's single-objective samplers, ValueError when it
    is used in a study with several objectives.
    """

    def __init__(self, tuner: str, seed: int | None = None) -> None:
        tuner_class(tuner)  # raises for an unknown name
        self._name = tuner
        self._seeds = np.random.SeedSequence(seed)
        self._lock = threading.RLock()
        self._random = RandomSampler(seed=seed)
        self._shared = IntersectionSearchSpace()
        self._distributions: dict[str, BaseDistribution] = {}
        self._tuner: Tuner | None = None
        self._proposals: FloatArray = np.empty((0, 0))
        self._next = 0
        self._losses: dict[int, float] = {}
        self._place_of: dict[int, int] = {}  # trial number -> row of the proposals

    def reseed_rng(self) -> None:
        """New random streams, as Optuna asks for in each of several threads."""
        self._random.reseed_rng()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters that all finished trials share and that have more than one value."""
        self._raise_error_if_multi_objective(study)
        shared = self._shared.calculate(study)
        return {name: each for name, each in shared.items() if not each.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The tuner's next proposal; a random one while it waits for results, or has ended."""
        self._raise_error_if_multi_objective(study)
        if not search_space:
            return {}
        enqueued = "fixed_params" in trial.system_attrs  # its parameters would not be the proposal's
        with self._lock:
            if search_space != self._distributions:
                self._start(search_space)
            place = None if enqueued else self._next_place()
            if place is not None:
                self._place_of[trial.number] = place
                return {
                    name: from_unit(each, float(unit))
                    for (name, each), unit in zip(search_space.items(), self._proposals[place], strict=True)
                }
        return {
            name: self._random.sample_independent(study, trial, name, each)
            for name, each in search_space.items()
        }

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """At random."""
        self._raise_error_if_multi_objective(study)
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Tell the tuner a batch of proposals once all of it has been tried; a failure is an infinite loss."""
        sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
        known = state == TrialState.COMPLETE and values is not None and not np.isnan(values[0])
        loss = sign * values[0] if known and values is not None else np.inf
        with self._lock:
            place = self._place_of.pop(trial.number, None)
            if place is None or self._tuner is None:
                return
            self._losses[place] = loss if loss > -np.inf else -np.finfo(float).max
            if len(self._losses) == len(self._proposals):
                losses = [self._losses[place] for place in range(len(self._proposals))]
                self._tuner.tell(self._proposals, losses)
                self._proposals, self._next, self._losses = self._proposals[:0], 0, {}

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.RLock())

    def _start(self, search_space: Mapping[str, BaseDistribution]) -> None:
        """A new tuner, for other parameters than before."""
        self._distributions = dict(search_space)
        space = SearchSpace([axis_of(f"p{i}", each) for i, each in enumerate(search_space.values())])
        (seed,) = self._seeds.spawn(1)
        self._tuner = make_tuner(self._name, space, seed)
        self._proposals, self._next = np.empty((0, len(search_space))), 0
        self._losses, self._place_of = {}, {}

    def _next_place(self) -> int | None:
        """Row of the next proposal, asking the tuner when there is none left and none is out."""
        if self._tuner is None:
            return None
        if self._next == len(self._proposals):
            if len(self._proposals):
                return None
            self._proposals = self._tuner.ask(1)
            if not len(self._proposals):
                return None
        self._next += 1
        return self._next - 1


def axis_of(name: str, distribution: BaseDistribution) -> Axis:
    """The axis that stands for a distribution with more than one value."""
    values = values_of(distribution)
    if values is not None:
        return Axis(name, range(len(values)), scale="linear") if len(values) > 1 else Axis(name, [0])
    return Axis(name, low=0.0, high=1.0, scale="linear")


def values_of(distribution: BaseDistribution) -> Sequence[Any] | None:
    """All values of a distribution in order, or None when it is continuous or has too many."""
    match distribution:
        case CategoricalDistribution():
            return distribution.choices
        case IntDistribution() if not distribution.log:
            values = range(distribution.low, distribution.high + 1, distribution.step)
            return values if len(values) <= MOST_VALUES else None
        case FloatDistribution() if distribution.step is not None:
            count = round((distribution.high - distribution.low) / distribution.step) + 1
            if count > MOST_VALUES:
                return None
            return [float(round(distribution.low + i * distribution.step, 12)) for i in range(count)]
        case _:
            return None


def from_unit(distribution: BaseDistribution, unit: float) -> Any:
    """The parameter at a place of [0, 1], of the type that Optuna gives."""
    values = values_of(distribution)
    if values is not None:
        return values[min(int(unit * len(values)), len(values) - 1)]
    if not isinstance(distribution, (FloatDistribution, IntDistribution)):
        raise TypeError(f"{distribution} is no distribution of numbers or choices")
    whole = isinstance(distribution, IntDistribution)
    # each integer has the same width, as in Optuna
    low = distribution.low - 0.5 * (distribution.step or 1) if whole else distribution.low
    high = distribution.high + 0.5 * (distribution.step or 1) if whole else distribution.high
    value = (
        float(np.exp(np.log(low) + unit * np.log(high / low)))
        if distribution.log
        else low + unit * (high - low)
    )
    if whole or distribution.step is not None:
        step = distribution.step or 1
        value = distribution.low + round((value - distribution.low) / step) * step
    value = min(max(value, distribution.low), distribution.high)
    return int(value) if whole else float(value)
