"""A workload from what a user of torch has: a module, data, a loss and metrics."""

from __future__ import annotations

import copy
import functools
import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.data import Dataset, default_collate

from study.workloads.draws import ORDER, SPLIT, WEIGHTS, Draws, generator, seeded
from study.workloads.workload import Batch, Carry, Params, Phase, Split

Data = Sequence[Any] | Dataset[Any]
Measure = Callable[[Any, Tensor], Tensor]
EVALUATION_BATCH = 512
"""Items that are evaluated at once, at most."""


class WorkloadError(ValueError):
    """A workload that cannot be trained as it is; the message is one line."""


class ModuleWorkload:
    """Training of a `torch.nn.Module` on tensors.

        ModuleWorkload(
            model=lambda: Net(width=64),              # called once a seed, with torch's generator seeded
            train=(x, y),                             # tensors or arrays of one length, targets last; or a Dataset
            validation=0.1,                           # the same, or a share of the training data, drawn by seed
            loss=torch.nn.functional.cross_entropy,   # (outputs, targets) -> scalar, the mean over the batch
            metrics={"validation_error": error_rate}, # (outputs, targets) -> scalar, the mean over the batch
            batch=128,
        )

    Optional: `test`, data evaluated at the end, whose metrics have `test_` for `validation_` in their names;
    `prepare(batch)`, a function of every batch before anything else, such as pixels stored as bytes made numbers;
    `augment(batch, draws)`, a function of a training batch (inputs and targets) and `Draws`; `goal = "maximize"`, which
    stores the first metric's negative; `worst`, what a diverged trial gets, by default the metric's attribute `worst`
    or else its value of the untrained model of seed 0; `about`, a line for people; `data_sha256`, where it is known.

    The first metric is the one that is minimised; the loss is measured too, as `validation_loss`. The module sees
    `train()` while it trains and `eval()` while it is evaluated. Buffers (BatchNorm's statistics, a recurrent net's
    state kept by `register_buffer`) go from step to step, and so do weights that are frozen (`requires_grad = False`)
    or that the loss does not use, unchanged. Random numbers drawn by torch in `forward` depend on seed and step alone.

    Raises WorkloadError when a part does not fit the others.
    """

    def __init__(
        self,
        model: Callable[[], nn.Module],
        train: Data,
        validation: Data | float,
        loss: Measure,
        metrics: Mapping[str, Measure],
        batch: int,
        *,
        test: Data | None = None,
        prepare: Callable[[Batch], Batch] | None = None,
        augment: Callable[[Batch, Draws], Batch] | None = None,
        goal: Literal["minimize", "maximize"] = "minimize",
        worst: float | None = None,
        about: str = "a module of your own",
        data_sha256: str | None = None,
    ) -> None:
        if goal not in ("minimize", "maximize"):
            raise WorkloadError(f"goal = {goal!r} is not allowed: give minimize or maximize")
        if not metrics:
            raise WorkloadError("metrics is empty: give one, such as {'validation_error': error_rate}")
        self.about = about
        self.metric = next(iter(metrics))
        self.batch = batch
        self._model = model
        self._loss = loss
        self._sign = -1.0 if goal == "maximize" else 1.0
        self._metrics = {**metrics} if "validation_loss" in metrics else {**metrics, "validation_loss": loss}
        self._prepare = prepare
        self._augment = augment
        self._known_hash = data_sha256
        self._train = read_data("train", train)
        self._share = validation if isinstance(validation, float) else None
        self._validation = None if isinstance(validation, float) else read_data("validation", validation)
        self._test = None if test is None else read_data("test", test)
        self.phases: tuple[Phase, ...] = (Phase(self.loss, self._trains),)
        self._check_sizes()
        self._check_module()
        self.worst = float(self._find_worst() if worst is None else worst)
        if not math.isfinite(self.worst):
            raise WorkloadError(
                f"the worst value of {self.metric} is {self.worst}: give a finite one, worst = 1.0"
            )

    def init(self, seed: int) -> tuple[Params, Carry]:
        module = self.module(seed)
        tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        values = {name: tensor.detach().clone() for name, tensor in tensors.items()}
        params = {name: value for name, value in values.items() if self._trains(name)}
        return params, {name: value for name, value in values.items() if name not in params}

    def batches(self, seed: int) -> Iterator[Batch]:
        places = self._places(seed)[0]
        source = generator(seed, ORDER)
        while True:
            order = places[torch.randperm(len(places), generator=source)]
            for chosen in order[: self.batches_of_epoch(seed) * self.batch].view(-1, self.batch):
                yield tuple(part.index_select(0, chosen) for part in self._train)

    def batches_of_epoch(self, seed: int) -> int:
        """How many batches of a seed there are before an item comes again."""
        return len(self._places(seed)[0]) // self.batch

    def evaluation(self, seed: int, split: Split) -> list[Batch]:
        data = self._validation if split == "validation" else self._test
        if split == "validation" and data is None:
            held_out = self._places(seed)[1]
            data = tuple(part[held_out] for part in self._train)
        if data is None:
            return []
        size = chunk_size(len(data[0]))
        return list(zip(*(torch.split(part, size) for part in data), strict=True))

    def loss(self, params: Params, carry: Carry, batch: Batch, draws: Draws) -> tuple[Tensor, Carry]:
        """The training loss of a batch and the next carry: the first and only phase."""
        tensors = params | {name: w if name in self._frozen else w.clone() for name, w in carry.items()}
        batch = self._prepared(batch, params)
        with draws.intercepted():
            *inputs, targets = self._augment(batch, draws) if self._augment else batch
            loss = self._loss(self._outputs(self._training, tensors, inputs), targets)
        return loss, {name: tensors[name] for name in carry}

    def evaluate(self, params: Params, carry: Carry, batch: Batch) -> tuple[dict[str, Tensor], int]:
        *inputs, targets = self._prepared(batch, params)
        tensors = params | {name: w if name in self._frozen else w.clone() for name, w in carry.items()}
        outputs = self._outputs(self._evaluating, tensors, inputs)
        count = len(targets)
        sums = {name: measure(outputs, targets) * count for name, measure in self._metrics.items()}
        sums[self.metric] = sums[self.metric] * self._sign
        return sums, count

    def data_hash(self) -> str:
        return self._known_hash or self._hash

    @functools.cached_property
    def _hash(self) -> str:
        digest = hashlib.sha256()
        for data in (self._train, self._validation, self._test):
            for part in data or ():
                digest.update(f"{tuple(part.shape)}{part.dtype}".encode())
                digest.update(part.numpy().tobytes())
        return digest.hexdigest()

    def module(self, seed: int) -> nn.Module:
        """The module of a seed; what a constructor draws comes from torch's generator, which is then put back."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator(seed, WEIGHTS).initial_seed())
            module = self._model()
        if not isinstance(module, nn.Module):
            raise WorkloadError(
                f"model() gives {type(module).__name__}: give a function that makes a torch.nn.Module"
            )
        return module

    def _places(self, seed: int) -> tuple[Tensor, Tensor]:
        """Where in the training data the items of a seed are that train, and those that are held out."""
        items = len(self._train[0])
        if self._share is None:
            return torch.arange(items), torch.empty(0, dtype=torch.int64)
        order = torch.randperm(items, generator=generator(seed, SPLIT))
        held_out, kept = order.tensor_split([round(self._share * items)])
        return kept, held_out

    def _prepared(self, batch: Batch, params: Params) -> Batch:
        if self._prepare is None:
            return batch
        dtype = next(iter(params.values())).dtype
        prepared = self._prepare(batch)
        return tuple(part.to(dtype) if part.is_floating_point() else part for part in prepared)

    def _trains(self, name: str) -> bool:
        return name in self._trained

    def _check_sizes(self) -> None:
        if self._share is not None and not 0 < self._share < 1:
            raise WorkloadError(
                f"validation = {self._share} is not allowed: give data, or a share between 0 and 1"
            )
        if isinstance(self.batch, bool) or not isinstance(self.batch, int) or self.batch < 1:
            raise WorkloadError(f"batch = {self.batch!r} is not allowed: give a whole number of at least 1")
        train, held_out = map(len, self._places(0))
        for name, size in (("training", train), ("validation", held_out if self._share is not None else 1)):
            if size == 0:
                raise WorkloadError(
                    f"the {name} split is empty: give more data, or another share for validation"
                )
        if self.batch > train:
            raise WorkloadError(
                f"batch = {self.batch} is more than the {train:,} training items: give a smaller one"
            )

    def _check_module(self) -> None:
        """Find out what trains, and refuse what does not fit together."""
        module = self.module(0)
        self._training = copy.deepcopy(module).train()
        self._evaluating = copy.deepcopy(module).eval()
        parameters = dict(module.named_parameters())
        every = (
            module.named_parameters(remove_duplicate=False),
            module.named_buffers(remove_duplicate=False),
        )
        named = [id(tensor) for tensors in every for _, tensor in tensors]
        self._tied = len(set(named)) < len(named)
        self._trained = {name for name, w in parameters.items() if w.requires_grad}
        self._frozen = parameters.keys() - self._trained
        if not self._trained:
            raise WorkloadError("the model has no parameters to train: every requires_grad is False")
        odd = [name for name, w in parameters.items() if not w.dtype.is_floating_point]
        if odd:
            raise WorkloadError(
                f"parameter {odd[0]} is {parameters[odd[0]].dtype}: only real weights can be trained"
            )
        params, carry = self.init(0)
        batch = next(self.batches(0))
        with torch.enable_grad():
            leaves = {name: w.requires_grad_() for name, w in params.items()}
            loss = self._attempt("loss", lambda: self.loss(leaves, carry, batch, seeded(0, 1))[0])
            check_scalar("loss", loss)
            if not loss.requires_grad:
                raise WorkloadError(
                    "the loss does not depend on any parameter of the model: nothing could be trained"
                )
            grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        unused = {name for name, grad in zip(leaves, grads, strict=True) if grad is None}
        self._trained -= unused
        self._frozen = self._frozen | unused
        params, carry = self.init(0)
        with torch.no_grad():
            for held_out in self.evaluation(0, "validation")[:1] + self.evaluation(0, "test")[:1]:
                sums, _ = self._attempt("metrics", functools.partial(self.evaluate, params, carry, held_out))
                for name, value in sums.items():
                    check_scalar(f"metric {name!r}", value)

    def _outputs(self, module: nn.Module, tensors: Params, inputs: Sequence[Tensor]) -> Any:
        # looking for tied weights takes longer than a small layer
        return functional_call(module, tensors, tuple(inputs), tie_weights=self._tied)

    def _attempt(self, what: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except WorkloadError:
            raise
        except Exception as error:  # whatever a foreign module raises
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            raise WorkloadError(f"model, data and {what} do not fit together ({reason})") from error

    @torch.no_grad()
    def _find_worst(self) -> float:
        known = getattr(self._metrics[self.metric], "worst", None)
        if known is not None:
            return self._sign * float(known)
        params, carry = self.init(0)
        counted = [self.evaluate(params, carry, batch) for batch in self.evaluation(0, "validation")]
        return sum(float(sums[self.metric]) for sums, _ in counted) / sum(count for _, count in counted)


def error_rate(outputs: Tensor, targets: Tensor) -> Tensor:
    """Share of wrong labels, 0 to 1: outputs (..., classes), targets (...) of classes or (..., classes) one-hot."""
    labels = targets.argmax(-1) if targets.ndim == outputs.ndim else targets
    return (outputs.argmax(-1) != labels).to(outputs.dtype).mean()


error_rate.worst = 1.0  # type: ignore[attr-defined]


def read_data(name: str, data: Data) -> Batch:
    """A split as tensors of one length, floating ones in float32. Raises WorkloadError when it is none."""
    if isinstance(data, Dataset):
        items = [data[i] for i in range(len(data))]  # type: ignore[arg-type]
        data = default_collate(items) if items else ()
    if not isinstance(data, (tuple, list)) or len(data) < 2:
        raise WorkloadError(
            f"{name} is no data: give a tuple of inputs and targets, or a torch Dataset of such pairs"
        )
    parts = tuple(part if isinstance(part, Tensor) else torch.as_tensor(part) for part in data)
    lengths = [len(part) if part.ndim else 0 for part in parts]
    if len(set(lengths)) > 1:
        raise WorkloadError(
            f"{name} has {' and '.join(f'{n:,}' for n in lengths)} items: give as many of each"
        )
    if lengths[0] == 0:
        raise WorkloadError(f"{name} is empty: give at least one item")
    return tuple(part.detach().float() if part.is_floating_point() else part.detach() for part in parts)


def check_scalar(name: str, value: object) -> None:
    """Raise WorkloadError unless the value is one number."""
    if not isinstance(value, Tensor) or value.ndim:
        came = (
            f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        )
        raise WorkloadError(f"the {name} is {came}: give a scalar tensor, the mean over the batch")


def chunk_size(items: int) -> int:
    """How many items to evaluate at once: all chunks of one size if that can be."""
    fewest = math.ceil(items / EVALUATION_BATCH)
    even = (count for count in range(fewest, 4 * fewest + 1) if items % count == 0)
    return math.ceil(items / next(itertools.chain(even, [fewest])))
