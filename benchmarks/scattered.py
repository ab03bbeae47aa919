"""How often the intervals of a surrogate's ridge hold the truth, from scattered trials of landscapes that are known.

`python benchmarks/scattered.py [--simulations 200] [--trials 100 200 400] [--noise 0.002 0.01 0.05] [--tpe]` prints,
for every landscape: how often the 95% interval holds the true slope (of those with a ridge), the verdicts, and the
importance of both axes by Optuna's own evaluator (PED-ANOVA), which knows of no interaction. Points are random, or with
`--tpe` asked for by Optuna's TPE.
"""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from collections.abc import Callable

import numpy as np
import optuna
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from analysis.observations import Observations
from analysis.ridge import Ridge, ridge_of_draws
from analysis.surrogate import fit_surrogate
from search_spaces import Axis, SearchSpace

Array = NDArray[np.float64]
SPACE = SearchSpace([Axis("alpha", low=1e-5, high=1e5), Axis("eps", low=1e-5, high=1e5)])


def valley(distance: Array) -> Array:
    return 0.02 + 0.9 * np.tanh(0.15 * distance**2)


def along(slope: float) -> Callable[[Array, Array], Array]:
    return lambda a, e: valley(a - 0.3 - slope * e)


def rosenbrock(a: Array, e: Array) -> Array:
    a, e = a / 5, e / 5
    return 0.02 + 0.9 * np.tanh(0.05 * (1 - e) ** 2 + 10 * (0.8 * a - 0.8 * e**2 + 0.3) ** 2)


# Each with its true slopes by regime; None where the ridge is a curve that no line is.
SURFACES: dict[str, tuple[Callable[[Array, Array], Array], tuple[float, ...] | None]] = {
    "flat": (lambda a, _e: np.full_like(a, 0.5), None),
    "slope 0": (along(0.0), (0.0,)),
    "slope 0.5": (along(0.5), (0.5,)),
    "slope 1": (along(1.0), (1.0,)),
    "slope -0.7": (along(-0.7), (-0.7,)),
    "two regimes": (lambda a, e: valley(a + 2 - np.maximum(e + 1.5, 0)), (0.0, 1.0)),
    "Rosenbrock": (rosenbrock, None),
}


def sample(
    surface: Callable[[Array, Array], Array], count: int, noise: float, seed: int, tpe: bool
) -> tuple[Array, Array, optuna.Study]:
    """Points (N, 2) in decades, values (N,), and the Optuna study that they make."""
    rng = np.random.default_rng([seed, count])
    sampler = optuna.samplers.TPESampler(seed=seed) if tpe else None
    study = optuna.create_study(sampler=sampler)
    ranges = {name: optuna.distributions.FloatDistribution(1e-5, 1e5, log=True) for name in SPACE.names}

    def measured(points: Array) -> Array:
        shocks = rng.normal(0, noise, len(points))
        return np.clip(surface(points[:, 0], points[:, 1]) + shocks, 0, 1)

    if not tpe:
        points = rng.uniform(-5, 5, (count, 2))
        values = measured(points)
        study.add_trials(
            [
                optuna.trial.create_trial(
                    params=dict(zip(SPACE.names, 10**point, strict=True)), distributions=ranges, value=value
                )
                for point, value in zip(points, values.tolist(), strict=True)
            ]
        )
        return points, values, study
    for _ in range(count):
        trial = study.ask(ranges)
        study.tell(trial, float(measured(np.log10([list(trial.params.values())]))[0]))
    trials = study.get_trials(deepcopy=False)
    return (
        np.log10([[trial.params[name] for name in SPACE.names] for trial in trials]),
        np.array([trial.value for trial in trials], dtype=float),
        study,
    )


def ridge_of(points: Array, values: Array) -> Ridge:
    seen = Observations(SPACE, 10**points, np.zeros(len(values), dtype=np.int64), values, "error")
    return ridge_of_draws(fit_surrogate(seen).slice(*SPACE.names)[1])


def holds(found: Ridge, truth: tuple[float, ...]) -> bool | None:
    """Whether all intervals hold their slopes; None without a ridge, or with another number of regimes."""
    if len(found.regimes) != len(truth):
        return None
    pairs = zip(found.regimes, truth, strict=True)
    return all(regime.slope.low <= true <= regime.slope.high for regime, true in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 200, 400])
    parser.add_argument("--noise", type=float, nargs="+", default=[0.002, 0.01, 0.05])
    parser.add_argument("--tpe", action="store_true")
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore")  # that Optuna's evaluator is an experiment
    header = (
        "landscape",
        "trials",
        "noise",
        "as many regimes",
        "holds the slope",
        "coupled",
        "decoupled",
        "PED-ANOVA",
    )
    table = Table(*header, title=f"{'TPE' if asked.tpe else 'random'}, {asked.simulations} simulations each")
    for count in asked.trials:
        for noise in asked.noise:
            for name, (surface, truth) in SURFACES.items():
                held: list[bool] = []
                verdicts: Counter[str] = Counter()
                shares = []
                for seed in range(asked.simulations):
                    points, values, study = sample(surface, count, noise, seed, asked.tpe)
                    found = ridge_of(points, values)
                    verdicts[found.verdict] += 1
                    is_held = holds(found, truth) if truth else None
                    held += [] if is_held is None else [is_held]
                    if seed < 5:
                        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
                        importance = optuna.importance.get_param_importances(study, evaluator=evaluator)
                        shares.append([importance[axis] for axis in SPACE.names])
                alpha, eps = np.mean(shares, axis=0)
                row = (
                    name,
                    str(count),
                    f"{noise:g}",
                    f"{len(held) / asked.simulations:.0%}" if truth else "-",
                    f"{np.mean(held):.1%}" if held else "-",
                    *(f"{verdicts[kind] / asked.simulations:.1%}" for kind in ("coupled", "decoupled")),
                    f"alpha {alpha:.2f}, eps {eps:.2f}",
                )
                table.add_row(*row)
                print(*row, sep="\t", flush=True)
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
