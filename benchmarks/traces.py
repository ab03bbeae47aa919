"""Gradient norms and gradient noise of each weight tensor during training: AdaL's Figures 1 to 3.

For each tensor and optimizer: ||g||_1 of the batch's gradient; and the noise, u = (mean gradient of an epoch's batches)
- g, as the optimizer moves by it, after AdaL's section 2.4: SGD by u itself, Adam by its bias-corrected exponential
average with beta1, AdaL by that of the noise of ||g||_1 · g. Its formulas write the mean gradient as a sum of earlier
ones; here it is the gradient at the same weights.

    python benchmarks/traces.py --figure docs/adal-traces.png    # mnist-mlp, half a minute on one core

Printed: norms as means over the first, the middle and the last tenth of the steps, and how heavy the noise's tails are:
the kurtosis of a tensor's noise over its elements but exact zeros (of weights that saw blank pixels alone), the median
over steps; 3 for a normal distribution.
"""

from __future__ import annotations

import argparse
import itertools
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from study.optimizers import OPTIMIZERS
from study.shown.console import show_table
from study.training.one_by_one import gradient_function
from study.workloads import WORKLOADS, ModuleWorkload
from study.workloads.workload import Batch, Params

RATES = {"sgd": 0.1, "adam": 1e-3, "adal": 1e-3}
"""Usual ones; `--lr` gives others."""
BETA1 = 0.9
SEED = 0
Traces = dict[str, list[float]]
"""Tensor -> value at each step."""


def traced(workload: str, optimizer: str, lr: float, steps: int) -> tuple[Traces, Traces, Traces]:
    """By tensor and step: ||g||_1, the Euclidean norm of the noise as the optimizer moves by it, and its kurtosis."""
    made = WORKLOADS[workload]()
    if not isinstance(made, ModuleWorkload) or made.init(SEED)[1]:
        raise SystemExit(
            f"{workload} has no epochs, or a state such as BatchNorm's: which gradient is the mean one?"
        )
    gradients, weights = gradient_function(made.phases[0]), made.init(SEED)[0]
    whole = list(itertools.islice(made.batches(SEED), made.batches_of_epoch(SEED)))
    steps_of = OPTIMIZERS[optimizer](list(weights.values()), lr=lr)
    averages = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    norms, noises, tails = (defaultdict[str, list[float]](list) for _ in range(3))

    def at(batch: Batch) -> Params:
        return gradients(weights, {}, {}, batch, ())[0]

    for step, batch in enumerate(itertools.islice(made.batches(SEED), steps), 1):
        grads, each = at(batch), [at(one) for one in whole]
        for name, grad in grads.items():
            expected = torch.stack([one[name] for one in each]).mean(0)
            if optimizer == "adal":
                noise = expected.abs().sum() * expected - grad.abs().sum() * grad
            else:
                noise = expected - grad
            if optimizer != "sgd":
                averages[name] = BETA1 * averages[name] + (1 - BETA1) * noise
                noise = averages[name] / (1 - BETA1**step)
            norms[name].append(float(grad.abs().sum()))
            noises[name].append(float(noise.norm()))
            tails[name].append(kurtosis(noise[noise != 0]))
            weights[name].grad = grad
        steps_of.step()
    return norms, noises, tails


def kurtosis(values: Tensor) -> float:
    offset = (values - values.mean()).double()
    return float((offset**4).mean() / (offset**2).mean() ** 2) if len(values) > 1 else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", default="mnist-mlp", choices=list(WORKLOADS))
    parser.add_argument("--optimizers", nargs="+", default=list(RATES), choices=list(RATES))
    parser.add_argument("--lr", type=float, nargs="+", help="one for each optimizer")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--figure", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.lr and len(asked.lr) != len(asked.optimizers):
        parser.error("give --lr one number for each optimizer")
    rates = asked.lr or [RATES[name] for name in asked.optimizers]
    found = {
        name: traced(asked.workload, name, rate, asked.steps)
        for name, rate in zip(asked.optimizers, rates, strict=True)
    }
    rows = [
        (name, tensor, *tenths(norms[tensor]), *tenths(noises[tensor]), f"{median(tails[tensor]):.1f}")
        for name, (norms, noises, tails) in found.items()
        for tensor in norms
    ]
    show_table(
        (
            "optimizer",
            "tensor",
            "gradient's 1-norm",
            "middle",
            "last",
            "noise's norm",
            "middle",
            "last",
            "kurtosis",
        ),
        rows,
    )
    if asked.figure:
        draw(found, asked.workload, asked.figure)


def tenths(values: Sequence[float]) -> list[str]:
    """Means over the first, the middle and the last tenth."""
    size = max(1, len(values) // 10)
    middle = (len(values) - size) // 2
    parts = (values[:size], values[middle : middle + size], values[-size:])
    return [f"{sum(part) / len(part):.3g}" for part in parts]


def median(values: Sequence[float]) -> float:
    return float(torch.tensor(values).nanmedian())


def draw(found: dict[str, tuple[Traces, Traces, Traces]], workload: str, to: Path) -> None:
    import matplotlib.pyplot as plt

    tensors = list(next(iter(found.values()))[0])
    figure, places = plt.subplots(
        2, len(tensors), figsize=(3.6 * len(tensors), 6), sharex=True, layout="constrained", squeeze=False
    )
    for row, label in enumerate(("gradient, 1-norm", "noise, 2-norm")):
        for column, tensor in enumerate(tensors):
            place = places[row][column]
            for name, traces in found.items():
                place.semilogy(traces[row][tensor], label=name, linewidth=0.8)
            if row == 0:
                place.set_title(tensor)
            else:
                place.set_xlabel("step")
        places[row][0].set_ylabel(label)
    places[0][0].legend()
    figure.suptitle(f"{workload}, seed {SEED}")
    figure.savefig(to, dpi=80)


if __name__ == "__main__":
    main()
