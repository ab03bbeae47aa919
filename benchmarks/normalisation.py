"""Why AvaGrad's best alpha depends on eps for some networks: what the norm of eta = 1 / (sqrt(v) + eps) is made of.

AvaGrad's step is alpha / ||eta / sqrt(d)||_2 · eta · m, over all d weights. Three tables, small networks on 8x8 digits:

1. weights whose gradient is exactly zero at every step of a training, by cause;
2. shares of the squared norm, and the normalised eta of a median weight relative to eps = 0.1;
3. the alphas that train, for several eps: as published, and with the suspected weights removed or added.

    python benchmarks/normalisation.py --figure docs/avagrad-normalisation.png    # five minutes on one core
"""

from __future__ import annotations

import argparse
import collections
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

Tensors = dict[str, Tensor]
BATCH = 64
STEPS, SEEDS = 400, (0, 1)
ALPHAS = (0.05, 0.1, 0.5, 1, 5, 10, 50, 100, 500, 1000, 5000, 10000, 50000, 100000)
SWEPT_EPS = (1e-8, 1e-6, 1e-4, 1e-1)
NORM_EPS = (1e-8, 1e-6, 1e-4, 1e-2, 1e-1, 1)
ALPHA, EPS = 1.0, 0.1  # of the training that tables 1 and 2 look at
SHOWN = (2, 11, 101, 400)  # steps; table 2 is about the v that they divide by
TINY = 0.01  # sqrt(v) below this share of its median over the weights with v > 0
TRAINS = 0.15  # an alpha trains when its validation error, mean over seeds, is at most this

PIXELS = torch.tensor(load_digits().data / 16, dtype=torch.float32)
IMAGES, LABELS = PIXELS.view(-1, 1, 8, 8), torch.tensor(load_digits().target)
LIT = PIXELS[:, (PIXELS > 0).float().mean(0) > 0.1]  # pixels that are lit in over 10% of the images: 48 of 64


def split(seed: int) -> tuple[Tensor, Tensor]:
    """Indices of the 1,438 training and the 359 validation images."""
    order = torch.randperm(len(LABELS), generator=torch.Generator().manual_seed(3 * seed))
    return order[359:], order[:359]


def batches(chosen: Tensor, seed: int) -> Iterator[Tensor]:
    source = torch.Generator().manual_seed(3 * seed + 2)
    while True:
        order = torch.randperm(len(chosen), generator=source)
        yield from chosen[order[: len(order) // BATCH * BATCH]].view(-1, BATCH)


def mlp(inputs: int, norm: bool, unit: nn.Module) -> nn.Module:
    hidden = [nn.Linear(inputs, 64, bias=False), nn.BatchNorm1d(64)] if norm else [nn.Linear(inputs, 64)]
    return nn.Sequential(*hidden, unit, nn.Linear(64, 10))


def cnn(channels: int, norm: bool, bias: bool, unit: nn.Module) -> nn.Module:
    layers: list[nn.Module] = []
    for inputs, outputs, stride in ((channels, 8, 1), (8, 16, 2)):
        layers.append(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=bias))
        layers += [nn.BatchNorm2d(outputs), unit] if norm else [unit]
    return nn.Sequential(*layers, nn.AvgPool2d(4), nn.Flatten(), nn.Linear(16, 10))


relu, leaky = nn.ReLU(), nn.LeakyReLU(0.1)
MAIN: dict[str, tuple[Tensor, Callable[[], nn.Module]]] = {
    "digits-mlp": (PIXELS, lambda: mlp(64, False, relu)),
    "digits-mlp-bn": (PIXELS, lambda: mlp(64, True, relu)),
    "digits-cnn": (IMAGES, lambda: cnn(1, False, True, relu)),
    "digits-cnn-bn": (IMAGES, lambda: cnn(1, True, False, relu)),
    "digits-cnn-bn + blank channel": (F.pad(IMAGES, (0, 0, 0, 0, 0, 1)), lambda: cnn(2, True, False, relu)),
    "digits-cnn-bn + biases": (IMAGES, lambda: cnn(1, True, True, relu)),  # which BatchNorm takes away again
}
NETWORKS = MAIN | {
    "digits-mlp, lit pixels": (LIT, lambda: mlp(48, False, relu)),
    "digits-mlp, lit pixels, leaky": (LIT, lambda: mlp(48, False, leaky)),
    "digits-mlp-bn, lit pixels": (LIT, lambda: mlp(48, True, relu)),
    "digits-cnn, leaky": (IMAGES, lambda: cnn(1, False, True, leaky)),
}
RULES = {"as published": None, "without v = 0": 0.0, "ordinary weights": TINY, "no first step": None}
"""Weights whose sqrt(v) is at most this share of the median are left out of the norm and do not move until v grows."""

FURTHER = {
    "digits-mlp": list(RULES)[1:],
    **dict.fromkeys(("digits-mlp-bn", "digits-cnn", "digits-cnn-bn + biases"), list(RULES)[2:]),
    "digits-cnn-bn + blank channel": ["no first step"],
}
SWEEPS = [(name, rule) for name in sorted(NETWORKS) for rule in ("as published", *FURTHER.get(name, []))]


def joined(tensors: Tensors) -> Tensor:
    return torch.cat([tensor.flatten(1) for tensor in tensors.values()], 1)


def median_positive(roots: Tensor) -> Tensor:
    """(lanes, 1) from (lanes, weights); 0 where none is positive."""
    return torch.where(roots > 0, roots, torch.nan).nanmedian(1, keepdim=True).values.nan_to_num(0.0)


@functools.cache
def compiled_step(
    name: str, share: float | None
) -> Callable[..., tuple[Tensors, Tensors, Tensor, Tensor, Tensor]]:
    """One step of all lanes; the optimizer sees a lane's weights as one row of d."""
    network = NETWORKS[name][1]()

    def loss(params: Tensors, buffers: Tensors, x: Tensor, y: Tensor) -> tuple[Tensor, Tensors]:
        buffers = {key: value.clone() for key, value in buffers.items()}  # BatchNorm writes into them
        return F.cross_entropy(functional_call(network, (params, buffers), (x,)), y), buffers

    def step(
        params: Tensors,
        buffers: Tensors,
        m: Tensor,
        v: Tensor,
        alpha: Tensor,
        eps: Tensor,
        x: Tensor,
        y: Tensor,
    ) -> tuple[Tensors, Tensors, Tensor, Tensor, Tensor]:
        gradients = vmap(grad_and_value(loss, has_aux=True), (0, 0, None, None))
        grads, (_, buffers) = gradients(params, buffers, x, y)
        g = joined(grads)
        m = 0.9 * m + 0.1 * g
        eta, counted = 1 / (v.sqrt() + eps), torch.ones_like(v)
        if share is not None:
            counted = (v.sqrt() > share * median_positive(v.sqrt())).to(v.dtype)
            counted = torch.where(counted.any(1, keepdim=True), counted, 1.0)  # at t = 1 all, as published
        norm = ((eta.square() * counted).sum(1) / counted.sum(1)).sqrt()[:, None]
        moves = torch.split(alpha / norm * eta * m * counted, [w[0].numel() for w in params.values()], 1)
        params = {key: w - move.view_as(w) for (key, w), move in zip(params.items(), moves, strict=True)}
        return params, buffers, m, 0.999 * v + 0.001 * g * g, g

    return torch.compile(step, dynamic=False)


@torch.no_grad()
def train(
    name: str, rule: str, alphas: Sequence[float], eps: float, seed: int
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """A lane for each alpha: validation errors; where a gradient was never anything but 0; v before each of SHOWN."""
    inputs, make = NETWORKS[name]
    with torch.random.fork_rng():
        torch.manual_seed(1000 + seed)
        network = make()
    both = network.named_parameters(), network.named_buffers()
    params, buffers = ({k: torch.stack([x] * len(alphas)) for k, x in part} for part in both)
    m = torch.zeros_like(joined(params))
    v, never, shown = m.clone(), m == 0, []
    alpha = torch.tensor(alphas, dtype=torch.float32)[:, None]
    kept, held_out = split(seed)
    for t, chosen in enumerate(itertools.islice(batches(kept, seed), STEPS), 1):
        if t in SHOWN:
            shown.append(v.clone())
        now = alpha * (t > 1 or rule != "no first step")
        state = params, buffers, m, v, now, torch.tensor(eps), inputs[chosen], LABELS[chosen]
        params, buffers, m, v, g = compiled_step(name, RULES[rule])(*state)
        never &= g == 0
    network.eval()
    logits = vmap(lambda p, b: functional_call(network, (p, b), (inputs[held_out],)))(params, buffers)
    wrong = (logits.argmax(-1) != LABELS[held_out]).float().mean(1)
    return wrong.where(logits.isfinite().flatten(1).all(1), 1.0), never, shown


def print_never(name: str, eps: float, seed: int, never: Tensor, shown: list[Tensor]) -> None:
    inputs, make = NETWORKS[name]
    blank = (inputs[split(seed)[0]].transpose(0, 1).flatten(1) == 0).all(1)
    first = next(make().parameters())
    of = never[: first.numel()].view(*first.shape[:2], -1)  # (units, inputs, ...)
    dead = of.flatten(1).all(1)
    behind, into, total = int(of[:, blank].sum()), int(of[dead][:, ~blank].sum()), int(never.sum())
    row = [len(never), total, behind, into, int(of.sum()) - behind - into, total - int(of.sum())]
    row += [int((v == 0).sum()) for v in shown]
    print(f"{name:30s} {eps:5.0e} {seed:4d} " + "".join(f"{number:8d}" for number in row))


def norm_parts(v: Tensor, eps: float) -> tuple[float, float, float]:
    """Shares of the squared norm from v = 0 and from tiny v; the normalised eta of a weight of median v > 0."""
    roots = v.sqrt().double()
    median = median_positive(roots[None])[0]
    squares = (1 / (roots + eps)).square()
    zero = squares[roots == 0].sum() / squares.sum()
    tiny = squares[(roots > 0) & (roots < TINY * median)].sum() / squares.sum()
    return float(zero), float(tiny), float(1 / (median + eps) / squares.mean().sqrt())


def print_norm(name: str, by_seed: list[list[Tensor]]) -> None:
    for place, t in enumerate(SHOWN):
        row = f"{name:30s} t = {t:3d}"
        at = {eps: torch.tensor([norm_parts(v[place], eps) for v in by_seed]).mean(0) for eps in NORM_EPS}
        for zero, tiny, step in at.values():
            row += f" | {zero:.2f} {tiny:.2f} {step / at[EPS][2]:7.2g}"
        print(row)


def alphas_up_to(limit: float, errors: Tensor) -> list[float]:
    return [alpha for alpha, error in zip(ALPHAS, errors, strict=True) if error <= limit]


def print_sweep(name: str, rule: str, sweep: dict[float, Tensor]) -> None:
    print(f"{name}, {rule}")
    for eps, errors in sweep.items():
        near, good = alphas_up_to(float(errors.min()) + 0.01, errors), alphas_up_to(TRAINS, errors)
        row, ties = " ".join(f"{100 * error:3.0f}" for error in errors), ", ".join(f"{a:g}" for a in near)
        lowest = f"{good[0]:g}" if good else "none"
        best = f"{ALPHAS[int(errors.argmin())]:5g} {100 * errors.min():5.1f}%"
        print(f"    {eps:5.0e} | {best} | {ties:16s} | {lowest:6s} | {row}", flush=True)


def draw(shown: dict[str, Tensor], sweeps: dict[tuple[str, str], dict[float, Tensor]], to: Path) -> None:
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 8), width_ratios=(1, 1.4), layout="constrained")
    for name, v in shown.items():
        relative = [norm_parts(v, eps)[2] / norm_parts(v, EPS)[2] for eps in NORM_EPS]
        left.loglog(NORM_EPS, relative, "o-", label=name)
    left.legend(fontsize=8)
    left.set(title=f"Median weight's normalised eta, relative to eps = {EPS:g}\n(step 101)", xlabel="eps")
    for (place, sweep), line in itertools.product(enumerate(sweeps.values()), range(len(SWEPT_EPS))):
        errors, y = sweep[SWEPT_EPS[line]], place + 0.18 * (line - 1.5)
        good, label = errors <= TRAINS, None if place else f"eps = {SWEPT_EPS[line]:.0e}"
        right.plot(ALPHAS, torch.where(good, y, torch.nan), color=f"C{line}", marker="|", lw=3, label=label)
        right.plot(ALPHAS[int(errors.argmin())], y, "o", color=f"C{line}", mfc=None if good.any() else "none")
    right.set_yticks(range(len(sweeps)), [f"{name}\n{rule}" for name, rule in sweeps], fontsize=8)
    right.set_title(f"Alphas with a validation error of at most {TRAINS:.0%}; dot: the best (hollow: none)")
    right.set(xscale="log", xlabel="alpha", xlim=(ALPHAS[0], ALPHAS[-1]))
    right.invert_yaxis()
    right.legend(fontsize=8, loc=(0.8, 0.69))
    figure.savefig(to, dpi=100)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw tables 2 and 3 into this file")
    figure = parser.parse_args().figure
    torch.set_num_threads(1)
    torch._dynamo.config.recompile_limit = 100  # a program for each network and rule
    print(f"1. Gradient always 0, alpha = {ALPHA:g}: network, eps, seed; all weights; always 0; 1st layer:")
    print("   at blank inputs, else at dead units, others; later layers; v = 0 before steps", *SHOWN)
    shown: dict[tuple[str, float], list[list[Tensor]]] = collections.defaultdict(list)
    for name, eps, seed in itertools.product(MAIN, (EPS, 1e-8), SEEDS):
        _, never, by_step = train(name, "as published", [ALPHA] * len(ALPHAS), eps, seed)
        shown[name, eps].append([v[0] for v in by_step])
        print_never(name, eps, seed, never[0], shown[name, eps][-1])
    print("\n2. Squared norm: share of v = 0, of tiny v; median eta relative to eps = 0.1; eps", *NORM_EPS)
    for name in MAIN:
        print_norm(name, shown[name, EPS])
    print(f"\n3. eps | best alpha, error | within 1 point | lowest to {TRAINS:.0%} | errors (%) at", *ALPHAS)
    sweeps: dict[tuple[str, str], dict[float, Tensor]] = collections.defaultdict(dict)
    for name, rule in SWEEPS:
        for eps in SWEPT_EPS:
            errors = torch.stack([train(name, rule, ALPHAS, eps, seed)[0] for seed in SEEDS])
            sweeps[name, rule][eps] = errors.mean(0)
        print_sweep(name, rule, sweeps[name, rule])
    if figure:
        draw({name: shown[name, EPS][0][SHOWN.index(101)] for name in MAIN}, sweeps, figure)


if __name__ == "__main__":
    main()
