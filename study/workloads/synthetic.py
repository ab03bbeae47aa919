"""Functions of a few numbers as workloads, whose minima are known: nothing is learnt, only the optimizer is seen."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

from study.workloads.draws import ORDER, WEIGHTS, Draws, generator
from study.workloads.module import WorkloadError
from study.workloads.workload import Batch, Carry, Params, Phase, Split

Measures = Mapping[str, Callable[[Tensor, Carry], Tensor]]


@dataclass(eq=False)
class FunctionWorkload:
    """Minimisation of a function of w (d,).

    `value(w, sample)` is what a step sees of it, `sample` what a step draws; `measures` are functions of w and the
    carry, the first of which is minimised by tuning. `watch(w, carry)` is the next carry.
    """

    about: str
    worst: float
    start: Callable[[Generator], Tensor]
    value: Callable[[Tensor, Tensor], Tensor]
    measures: Measures
    sample: Callable[[Generator], Tensor] = lambda _: torch.zeros(1)
    project: Callable[[Params], Params] | None = None
    carried: Mapping[str, float] = field(default_factory=dict)
    watch: Callable[[Tensor, Carry], Carry] | None = None
    metric: str = field(init=False)
    phases: tuple[Phase, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.metric = next(iter(self.measures))
        self.phases = (Phase(self.loss, project=self.project),)

    def init(self, seed: int) -> tuple[Params, Carry]:
        carry = {name: torch.tensor(value) for name, value in self.carried.items()}
        return {"w": self.start(generator(seed, WEIGHTS))}, carry

    def batches(self, seed: int) -> Iterator[Batch]:
        source = generator(seed, ORDER)
        while True:
            yield (self.sample(source),)

    def evaluation(self, seed: int, split: Split) -> Sequence[Batch]:
        """One batch of nothing: the function is known."""
        del seed
        return [(torch.zeros(1),)] if split == "validation" else []

    def loss(self, params: Params, carry: Carry, batch: Batch, draws: Draws) -> tuple[Tensor, Carry]:
        """What a step sees of the function, and the next carry."""
        del draws
        after = self.watch(params["w"].detach(), carry) if self.watch else carry
        return self.value(params["w"], batch[0]), after

    def evaluate(self, params: Params, carry: Carry, batch: Batch) -> tuple[dict[str, Tensor], int]:
        del batch
        return {name: measure(params["w"], carry) for name, measure in self.measures.items()}, 1

    def data_hash(self) -> str:
        """Of the line about it: there are no data."""
        return hashlib.sha256(self.about.encode()).hexdigest()


def avagrad_stochastic() -> FunctionWorkload:
    """AvaGrad's equation (11), on which Adam does not converge: a rare steep parabola against a frequent slope

    f(w, s) = 999 w^2 / 2 with probability 1/500, else -w; its mean has the gradient (999 w - 499) / 500 and the minimum
    499/999. Starts at 0, is projected to [0, 1] (Savarese et al., 2021, section 4).
    """

    def gradient(w: Tensor) -> Tensor:
        return (999 * w[0] - 499) / 500

    def watch(w: Tensor, carry: Carry) -> Carry:
        steps = carry["steps"] + 1
        mean = carry["mean"] + (gradient(w).square() - carry["mean"]) / steps
        return {"steps": steps, "mean": mean}

    return FunctionWorkload(
        about="AvaGrad's equation (11): 999 w^2 / 2 with probability 1/500, else -w, projected to [0, 1]",
        worst=1.0,
        start=lambda _: torch.zeros(1),
        sample=lambda source: (torch.rand(1, generator=source) < 1 / 500).float(),
        value=lambda w, rare: (rare * 999 * w.square() / 2 - (1 - rare) * w)[0],
        measures={
            "mean_squared_gradient": lambda _, carry: carry["mean"] * 1,
            "squared_gradient": lambda w, _: gradient(w).square(),
            "w": lambda w, _: w[0] * 1,
        },
        project=lambda params: {name: w.clamp(0, 1) for name, w in params.items()},
        carried={"steps": 0.0, "mean": 0.0},
        watch=watch,
    )


def rastrigin() -> FunctionWorkload:
    """Rastrigin's function of two numbers from (-2, 3.5), as AdaL's authors have it; they clip: clip_norm = 1.0"""

    def value(w: Tensor) -> Tensor:
        return 10 * len(w) + (w.square() - 10 * torch.cos(2 * math.pi * w)).sum()

    return known_minimum("Rastrigin's function from (-2, 3.5)", value, (-2.0, 3.5), (0.0, 0.0))


def rosenbrock() -> FunctionWorkload:
    """Rosenbrock's function of two numbers from (-2, 2), as AdaL's authors have it; they clip: clip_norm = 1.0"""

    def value(w: Tensor) -> Tensor:
        return (1 - w[0]).square() + 100 * (w[1] - w[0].square()).square()

    return known_minimum("Rosenbrock's function from (-2, 2)", value, (-2.0, 2.0), (1.0, 1.0))


def known_minimum(
    about: str, value: Callable[[Tensor], Tensor], start: tuple[float, ...], minimum: tuple[float, ...]
) -> FunctionWorkload:
    """A function without noise; the squared distance to its minimum is minimised, the start's is the worst."""

    def distance(w: Tensor) -> Tensor:
        return sum((w[i] - at).square() for i, at in enumerate(minimum))  # type: ignore[return-value]

    return FunctionWorkload(
        about=about,
        worst=sum((a - b) ** 2 for a, b in zip(start, minimum, strict=True)),
        start=lambda _: torch.tensor(start),
        value=lambda w, _: value(w),
        measures={
            "squared_distance": lambda w, _: distance(w),
            "validation_loss": lambda w, _: value(w),
        },
    )


def noisy_quadratic(
    dimensions: int = 10, condition: float = 100.0, rotation: float = 0.0, noise: float = 0.1
) -> FunctionWorkload:
    """a quadratic form with chosen condition number, rotation of its axes in degrees, and noise of the gradient

    w'Hw / 2, the eigenvalues of H evenly spaced in logarithm from 1 down to 1 / condition. `rotation` turns the plane
    of the first and last axis, that of the second and last but one, and so on: at 0 the axes are the coordinates', at
    45 they lie between them. The gradient has normal noise of standard deviation `noise` in each coordinate.
    """
    if isinstance(dimensions, bool) or not isinstance(dimensions, int) or dimensions < 1:
        raise WorkloadError(f"dimensions = {dimensions!r} is not allowed: give a whole number of at least 1")
    for name, value, least in (("condition", condition, 1.0), ("noise", noise, 0.0)):
        if not isinstance(value, int | float) or not least <= value < math.inf:
            raise WorkloadError(f"{name} = {value!r} is not allowed: give a number of at least {least:g}")
    if not isinstance(rotation, int | float) or not math.isfinite(rotation):
        raise WorkloadError(f"rotation = {rotation!r} is not allowed: give degrees")
    form = quadratic_form(dimensions, condition, rotation)

    def value_of(w: Tensor) -> Tensor:
        return (w[:, None] * form.to(w) * w).sum() / 2

    untrained = form.trace().item() / 2  # the mean value at a standard normal start
    return FunctionWorkload(
        about=f"a quadratic form of {dimensions} numbers, condition {condition:g}, rotated by {rotation:g} degrees, "
        f"gradient noise {noise:g}",
        worst=untrained,
        start=lambda source: torch.randn(dimensions, generator=source),
        sample=lambda source: noise * torch.randn(dimensions, generator=source),
        value=lambda w, drawn: value_of(w) + (w * drawn).sum(),
        measures={"validation_loss": lambda w, _: value_of(w)},
    )


def quadratic_form(dimensions: int, condition: float, rotation: float) -> Tensor:
    """H (d, d), float64."""
    values = torch.logspace(0, -math.log10(condition), dimensions, dtype=torch.float64)
    turn = torch.eye(dimensions, dtype=torch.float64)
    cos, sin = math.cos(math.radians(rotation)), math.sin(math.radians(rotation))
    for i in range(dimensions // 2):
        j = dimensions - 1 - i
        turn[i, i] = turn[j, j] = cos
        turn[i, j], turn[j, i] = -sin, sin
    return turn @ torch.diag(values) @ turn.T
