"""Random numbers of training steps: dropout's masks, augmentation, noise.

They depend on a trial's seed and on the step alone, so equal seeds share them whatever else differs (common random
numbers), and whether trials are trained together or alone makes no difference. All are made from uniform and normal
float32 numbers in the order in which a step asks for them; a module's own random operations are answered from here too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

SPLIT, WEIGHTS, ORDER, STEP, SIGNS = range(5)
"""Streams of a seed: data split, initial weights, data order, a step's draws, second-order optimizers' signs."""
Site = tuple[str, tuple[int, ...]]
"""What a step asks for: "uniform" or "normal", and a shape."""
Drawn = tuple[tuple[Tensor, ...], ...]
"""The draws of a step, phase by phase."""
aten = torch.ops.aten


def generator(seed: int, stream: int, step: int = 0) -> torch.Generator:
    """A generator of one of the streams of a seed."""
    # torch's own seeding looks at 32 bits only
    (state,) = np.random.SeedSequence((seed, stream, step)).generate_state(1)
    return torch.Generator().manual_seed(int(state))


class Draws:
    """The random numbers of one step. `sites` says what has been asked for so far."""

    def __init__(
        self, source: Callable[[Site], Tensor], dtype: torch.dtype = torch.float32, *, none: bool = False
    ) -> None:
        self._source = source
        self._dtype = dtype
        self._none = none  # a step is known to ask for none
        self.sites: list[Site] = []

    def uniform(self, *shape: int) -> Tensor:
        """Numbers in [0, 1), float32."""
        return self._next("uniform", shape)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, float32."""
        return self._next("normal", shape)

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Whole numbers in [low, high), int64; at most 2^24 different ones."""
        return (self.uniform(*shape) * (high - low)).long().clamp(max=high - low - 1) + low

    def intercepted(self) -> AbstractContextManager[object]:
        """While it is entered, torch's random operations take their numbers from here.

        They raise TypeError when there is no way to. Where a step asks for none, nothing is looked at: that takes time.
        """
        return contextlib.nullcontext() if self._none else _Intercept(self)

    def _next(self, kind: str, shape: Sequence[int]) -> Tensor:
        site = (kind, tuple(map(int, shape)))
        self.sites.append(site)
        return self._source(site)


def seeded(seed: int, step: int, device: torch.device | str = "cpu") -> Draws:
    """The draws of a step of a seed, made when asked for."""
    source: torch.Generator | None = None

    def make(site: Site) -> Tensor:
        nonlocal source
        source = source or generator(seed, STEP, step)
        kind, shape = site
        made = (
            torch.rand(shape, generator=source) if kind == "uniform" else torch.randn(shape, generator=source)
        )
        return made.to(device)

    return Draws(make)


def given(tensors: Sequence[Tensor]) -> Draws:
    """Draws that hand out what `made` made, in that order."""
    left = iter(tensors)
    return Draws(lambda _: next(left), none=not tensors)


def made(sites: Sequence[Sequence[Site]], seed: int, step: int, device: torch.device | str = "cpu") -> Drawn:
    """All draws of a step as tensors, inputs of a program; `sites` of every phase."""
    draws = seeded(seed, step, device)
    return tuple(
        tuple(draws.uniform(*shape) if kind == "uniform" else draws.normal(*shape) for kind, shape in phase)
        for phase in sites
    )


def no_draws() -> Draws:
    """For what must not be random."""

    def refuse(site: Site) -> Tensor:
        raise TypeError(f"asks for {site[0]} random numbers where none are drawn")

    return Draws(refuse)


class _Intercept(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Answers torch's random operations from `Draws`. It sees tensors without vmap's lanes: all lanes share them."""

    def __init__(self, draws: Draws) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._draws = draws

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags or kwargs.get("generator") is not None:
            return func(*args, **kwargs)
        if drops_nothing(func, args, kwargs):
            return func(*args, **kwargs)
        answer = ANSWERS.get(func)
        if answer is None:
            raise TypeError(
                f"{func} draws random numbers in a way that cannot be made to depend on the seed alone"
            )
        return answer(self._draws, *args, **kwargs)


def drops_nothing(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether it is attention without dropout, which is marked as random all the same."""
    names = [argument.name for argument in func._schema.arguments]
    if "dropout_p" not in names:
        return False
    place = names.index("dropout_p")
    return bool((args[place] if place < len(args) else kwargs.get("dropout_p", 0.0)) == 0)


def _like(values: Tensor, dtype: torch.dtype | None, device: Any) -> Tensor:
    return values.to(device=device, dtype=dtype or torch.get_default_dtype())


def _bernoulli_(d: Draws, x: Tensor, p: Any = 0.5, **_: Any) -> Tensor:
    return x.copy_(d.uniform(*x.shape) < p)


def _bernoulli(d: Draws, x: Tensor, p: Any = None, **_: Any) -> Tensor:
    return (d.uniform(*x.shape) < (x if p is None else p)).to(x.dtype)


def _dropout(d: Draws, x: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    if train is False or p == 0:
        return x.clone(), torch.ones_like(x, dtype=torch.bool)
    kept = d.uniform(*x.shape) >= p
    return x * kept * (1 / (1 - p) if p < 1 else 0.0), kept


def _rand(d: Draws, size: Sequence[int], *, dtype: Any = None, device: Any = None, **_: Any) -> Tensor:
    return _like(d.uniform(*size), dtype, device)


def _randn(d: Draws, size: Sequence[int], *, dtype: Any = None, device: Any = None, **_: Any) -> Tensor:
    return _like(d.normal(*size), dtype, device)


def _rand_like(d: Draws, x: Tensor, *, dtype: Any = None, **_: Any) -> Tensor:
    return _like(d.uniform(*x.shape), dtype or x.dtype, x.device)


def _randn_like(d: Draws, x: Tensor, *, dtype: Any = None, **_: Any) -> Tensor:
    return _like(d.normal(*x.shape), dtype or x.dtype, x.device)


def _uniform_(d: Draws, x: Tensor, low: float = 0, high: float = 1, **_: Any) -> Tensor:
    return x.copy_(d.uniform(*x.shape) * (high - low) + low)


def _normal_(d: Draws, x: Tensor, mean: float = 0, std: float = 1, **_: Any) -> Tensor:
    return x.copy_(d.normal(*x.shape) * std + mean)


def _exponential_(d: Draws, x: Tensor, rate: float = 1, **_: Any) -> Tensor:
    return x.copy_(-torch.log1p(-d.uniform(*x.shape)) / rate)


def _randint(d: Draws, high: int, size: Sequence[int], *, dtype: Any = None, **_: Any) -> Tensor:
    return d.integers(0, high, *size).to(dtype or torch.int64)


def _randint_low(
    d: Draws, low: int, high: int, size: Sequence[int], *, dtype: Any = None, **_: Any
) -> Tensor:
    return d.integers(low, high, *size).to(dtype or torch.int64)


def _randperm(d: Draws, n: int, *, dtype: Any = None, **_: Any) -> Tensor:
    return d.uniform(n).argsort().to(dtype or torch.int64)


ANSWERS: dict[Any, Callable[..., Any]] = {
    aten.bernoulli_.float: _bernoulli_,
    aten.bernoulli_.Tensor: _bernoulli_,
    aten.bernoulli.default: _bernoulli,
    aten.bernoulli.p: _bernoulli,
    aten.native_dropout.default: _dropout,
    aten.rand.default: _rand,
    aten.randn.default: _randn,
    aten.rand_like.default: _rand_like,
    aten.randn_like.default: _randn_like,
    aten.uniform_.default: _uniform_,
    aten.normal_.default: _normal_,
    aten.exponential_.default: _exponential_,
    aten.randint.default: _randint,
    aten.randint.low: _randint_low,
    aten.randperm.default: _randperm,
}
"""Random operation -> how it is answered. Others, such as multinomial, are refused."""
