"""Workloads that have what people train: each a factory, as a study file names it, and the module that it trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from study.workloads import Batch, Carry, Draws, ModuleWorkload, Params, Phase, error_rate
from study.workloads.draws import ORDER, WEIGHTS, generator

CLASSES, BATCH, WORDS, LENGTH = 3, 16, 7, 5


def points() -> tuple[Tensor, Tensor]:
    """Points (96, 6) of three overlapping clouds, and which of them."""
    source = torch.Generator().manual_seed(5)
    labels = torch.arange(96) % CLASSES
    return torch.randn(96, 6, generator=source) + 0.7 * labels[:, None], labels


def words() -> tuple[Tensor, Tensor]:
    """Sequences (96, 5) of seven words, and a class that depends on them."""
    source = torch.Generator().manual_seed(6)
    sequences = torch.randint(WORDS, (96, LENGTH), generator=source)
    return sequences, sequences.sum(1) % CLASSES


def made(model: Callable[[], nn.Module], data: tuple[Tensor, Tensor], **changes: Any) -> ModuleWorkload:
    return ModuleWorkload(
        **{  # type: ignore[arg-type]
            "model": model,
            "train": data,
            "validation": 0.25,
            "test": tuple(part[:20] for part in data),
            "loss": F.cross_entropy,
            "metrics": {"validation_error": error_rate},
            "batch": BATCH,
            **changes,
        }
    )


def perceptron(*between: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), *between, nn.ReLU(), nn.Linear(8, CLASSES))


def plain() -> ModuleWorkload:
    return made(perceptron, points())


def batch_norm() -> ModuleWorkload:
    return made(lambda: perceptron(nn.BatchNorm1d(8)), points())


class Images(nn.Module):
    """A convolution with BatchNorm over images of 3x2 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.output = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.norm(self.convolution(x.view(-1, 1, 3, 2))).relu().mean((2, 3)))


def batch_norm_images() -> ModuleWorkload:
    return made(Images, points())


def dropout(p: float = 0.3) -> ModuleWorkload:
    return made(lambda: perceptron(nn.Dropout(p)), points())


class Late(nn.Module):
    """Drops out from its twentieth step on: what it did at first does not tell."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, CLASSES)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.layer(F.dropout(x, 0.5, training=self.training and self.calls > 20))


def late() -> ModuleWorkload:
    return made(Late, points())


def shifted(batch: Batch, draws: Draws) -> Batch:
    """Noise and a shift for every item, and labels as they are."""
    x, labels = batch
    return x + 0.2 * torch.randn_like(x) + draws.normal(len(x), 1).to(x.dtype), labels


def augmentation() -> ModuleWorkload:
    return made(perceptron, points(), augment=shifted)


class Recurrent(nn.Module):
    """Two layers of LSTM with dropout between, whose state goes on from batch to batch."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 4)
        self.lstm = nn.LSTM(4, 5, 2, batch_first=True, dropout=0.2)
        self.output = nn.Linear(5, CLASSES)
        for name in ("h", "c"):
            self.register_buffer(name, torch.zeros(2, BATCH, 5))

    def forward(self, x: Tensor) -> Tensor:
        start = (self.h, self.c) if self.training else None
        outputs, (h, c) = self.lstm(self.embedding(x), start)
        if self.training:
            self.h, self.c = h.detach(), c.detach()
        return self.output(outputs[:, -1])


def lstm() -> ModuleWorkload:
    return made(Recurrent, words())


class Attentive(nn.Module):
    """A Transformer block with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True)
        self.output = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.block(self.embedding(x)).mean(1))


def transformer() -> ModuleWorkload:
    return made(Attentive, words())


class Tied(nn.Module):
    """Words are read and predicted with the same weights."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 8)
        self.hidden = nn.Linear(8, 8)
        self.output = nn.Linear(8, WORDS)
        self.output.weight = self.embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.output(torch.tanh(self.hidden(self.embedding(x).mean(1))))


def tied() -> ModuleWorkload:
    return made(Tied, words())


class Partly(nn.Module):
    """The first layer is frozen, another one is not used, and a buffer counts batches in integers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.unused = nn.Linear(6, 8), nn.Linear(8, CLASSES), nn.Linear(2, 2)
        self.first.requires_grad_(False)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen += 1
        return self.second(self.first(x).relu()) * (1 + 0.01 * (self.seen % 3))


def frozen() -> ModuleWorkload:
    return made(Partly, points())


class Deciding(nn.Module):
    """Looks at the values of its tensors, which neither vmap nor tracing can."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(6, CLASSES), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.one(x) + (self.other(x) if self.one(x).mean() > -100 else 0 * self.other(x))


def deciding() -> ModuleWorkload:
    return made(Deciding, points())


MODULES: dict[str, Callable[[], nn.Module]] = {
    "batch_norm": lambda: perceptron(nn.BatchNorm1d(8)),
    "batch_norm_images": Images,
    "dropout": lambda: perceptron(nn.Dropout(0.3)),
    "augmentation": perceptron,
    "lstm": Recurrent,
    "transformer": Attentive,
    "tied": Tied,
    "frozen": Partly,
}
"""Factory above -> the module that it trains."""


class Adversaries:
    """A generative adversarial pair on points of a line, as the protocol has it: two phases for one side, then one."""

    about = "three losses a step"
    metric, worst = "validation_distance", 100.0

    def __init__(self) -> None:
        self.phases = (
            Phase(self._discriminator_loss, lambda name: name.startswith("d.")),
            Phase(self._discriminator_loss, lambda name: name.startswith("d.")),
            Phase(self._generator_loss, lambda name: name.startswith("g.")),
        )

    def init(self, seed: int) -> tuple[Params, Carry]:
        source = generator(seed, WEIGHTS)
        shapes = {"g.w": (2, 4), "g.o": (4, 1), "d.w": (1, 4), "d.o": (4, 1)}
        return {name: torch.randn(shape, generator=source) for name, shape in shapes.items()}, {
            "steps": torch.zeros(())
        }

    def batches(self, seed: int) -> Iterator[Batch]:
        source = generator(seed, ORDER)
        while True:
            yield (torch.randn(BATCH, 1, generator=source) * 0.5 + 2,)

    def evaluation(self, seed: int, split: str) -> Sequence[Batch]:
        del seed
        return [(torch.linspace(-1, 1, 40).view(20, 2),)] if split == "validation" else []

    def evaluate(self, params: Params, carry: Carry, batch: Batch) -> tuple[dict[str, Tensor], int]:
        del carry
        return {"made": self.generate(params, batch[0]).sum(0)}, len(batch[0])

    def finish(self, sums: dict[str, Tensor], items: int) -> dict[str, Tensor]:
        return {"validation_distance": (sums["made"] / items - 2).square().sum().sqrt()}

    def generate(self, params: Params, z: Tensor) -> Tensor:
        return torch.tanh(z @ params["g.w"]) @ params["g.o"]

    def judge(self, params: Params, x: Tensor) -> Tensor:
        return torch.tanh(x @ params["d.w"]) @ params["d.o"]

    def _discriminator_loss(
        self, params: Params, carry: Carry, batch: Batch, draws: Draws
    ) -> tuple[Tensor, Carry]:
        (real,) = batch
        made = self.generate(params, draws.normal(BATCH, 2).to(real.dtype))
        loss = F.softplus(-self.judge(params, real)).mean() + F.softplus(self.judge(params, made)).mean()
        return loss, {"steps": carry["steps"] + 1}

    def _generator_loss(
        self, params: Params, carry: Carry, batch: Batch, draws: Draws
    ) -> tuple[Tensor, Carry]:
        made = self.generate(params, draws.normal(BATCH, 2).to(batch[0].dtype))
        return F.softplus(-self.judge(params, made)).mean(), carry

    def data_hash(self) -> str:
        return "none"


ADVERSARIES = Adversaries()


class Refusing(torch.optim.SGD):
    """An optimizer that takes no step."""

    def step(self, closure: Any = None) -> None:
        del closure
        raise RuntimeError("never")
