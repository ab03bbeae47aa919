"""Curves on draws of landscapes, made once: kept in a folder by what they depend on, the losses among it.

The folder is ``tunability`` in the user's cache, or ``$TUNABILITY_CACHE``. It may be deleted at any time.
"""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
from joblib.externals.loky import get_reusable_executor
from joblib.memory import JobLibCollisionWarning
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from analysis.cost.drawn import GridDraws, SurrogateDraws, draw_surrogate
from analysis.cost.posterior import Draws, LandscapePosterior, fit_posterior
from analysis.cost.replays import DRAWS, SLOW, Asked, replay_draws
from analysis.observations import Observations
from analysis.surrogate import fit_surrogate

# What another version of this file kept is made anew, here and in processes that joblib starts.
warnings.filterwarnings("ignore", category=JobLibCollisionWarning)
FloatArray = NDArray[np.float64]

METHOD = 2
"""Counts up when the same losses give other curves: what was kept before is not used any more."""
MOST_BYTES = 256 * 2**20
LOOK_SECONDS = 1.0
MANY_TRIALS = 200
"""Budgets of fast tuners, added up, that one process replays in about five seconds; more are shared by all cores."""


def folder() -> Path | None:
    """Where things are kept; None where nothing can be."""
    given = os.environ.get("TUNABILITY_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    path = Path(given) if given else Path(home) / "tunability"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return path if os.access(path, os.W_OK) else None


def memory_of() -> joblib.Memory:
    return joblib.Memory(folder(), verbose=0, compress=True)


def fitted(values: FloatArray, shape: tuple[int, ...], target: float, method: int) -> LandscapePosterior:
    del method
    return fit_posterior(values, shape, target, np.random.default_rng(0))


def drawn(
    values: FloatArray, shape: tuple[int, ...], target: float, count: int = DRAWS
) -> tuple[LandscapePosterior, Draws]:
    """The posterior of a landscape of losses (N, S), and draws of it: by default those that runs are made on."""
    posterior = memory_of().cache(fitted)(values, shape, target, METHOD)
    return posterior, posterior.draw(count, np.random.default_rng(1))


def drawn_surrogate(observations: Observations, method: int) -> SurrogateDraws:
    del method
    return draw_surrogate(fit_surrogate(observations), DRAWS)


def replayed(known: FloatArray | Observations, asked: Asked, target: float, method: int) -> FloatArray:
    """Suboptimality (D, R, T) on draws of the landscape of losses (N, S), or of a surrogate of scattered trials."""
    del method
    with threadpool_limits(1):
        if isinstance(known, Observations):
            surrogate = memory_of().cache(drawn_surrogate)(known, METHOD)
            return replay_draws(surrogate, replace(asked, space=surrogate.space))
        return replay_draws(GridDraws(*drawn(known, asked.space.shape, target)), asked)


def curves_on_draws(
    tables: Mapping[str, FloatArray | Observations], asked: Sequence[Asked], target: float
) -> dict[tuple[str, str], FloatArray]:
    """Suboptimality (D, R, T), by optimizer and tuner, of losses (N, S) or scattered trials by optimizer.

    Raises:
        AnalysisError: as `fit_posterior`, or `fit_surrogate` and `draw_surrogate`.
    """
    memory = memory_of()
    kept = memory.cache(replayed)
    jobs = [(name, each) for each in asked for name in tables]
    jobs.sort(key=lambda job: list(SLOW).index(job[1].tuner) if job[1].tuner in SLOW else len(SLOW))
    new = [each for name, each in jobs if not kept.check_call_in_cache(tables[name], each, target, METHOD)]
    many = any(each.tuner in SLOW for each in new) or sum(each.budget for each in new) > MANY_TRIALS
    made = parallel(-1 if many else 1)(
        joblib.delayed(kept)(tables[name], each, target, METHOD) for name, each in jobs
    )
    if new and memory.store_backend is not None:
        memory.reduce_size(bytes_limit=MOST_BYTES)
    return {(name, each.tuner): curves for (name, each), curves in zip(jobs, made, strict=True)}


def parallel(jobs: int) -> joblib.Parallel:
    """Processes, `jobs` of them or -1 for all cores, that end when this one is killed."""
    return joblib.Parallel(n_jobs=jobs, initializer=end_with, initargs=(os.getpid(),))


def end_with(parent: int) -> None:
    """End this process soon after the one that started it, which may have ended already."""

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        os._exit(1)

    threading.Thread(target=look, daemon=True).start()


def end_workers() -> None:
    """End the processes that replay, and what they are at: they would outlive this one by minutes, its output open."""
    get_reusable_executor(reuse=True).shutdown(wait=True, kill_workers=True)
