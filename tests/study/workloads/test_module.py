"""A workload from a module and data: what it takes, what it makes of it, and one line for what does not fit."""

import itertools
from collections.abc import Callable
from typing import Any

import known_workloads as known
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset, TensorDataset

from study.workloads import ModuleWorkload, WorkloadError, error_rate
from study.workloads.check import check_workload
from study.workloads.draws import no_draws, seeded
from study.workloads.module import EVALUATION_BATCH, chunk_size

X, Y = known.points()
GIVEN: dict[str, Any] = {
    "model": known.perceptron,
    "train": (X, Y),
    "validation": 0.25,
    "loss": F.cross_entropy,
    "metrics": {"validation_error": error_rate},
    "batch": 16,
}


def made(**changes: Any) -> ModuleWorkload:
    return ModuleWorkload(**{**GIVEN, **changes})


class Pairs(Dataset[tuple[Tensor, int]]):
    """A data set that is no tensor."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return X[index], int(Y[index])


@pytest.mark.parametrize(
    "data", [Pairs(), TensorDataset(X, Y), [X.numpy(), Y.numpy()]], ids=["set", "tensors", "arrays"]
)
def test_data_may_come_as_data_sets_and_arrays(data: Any) -> None:
    for one, other in zip(next(made(train=data).batches(0)), next(made().batches(0)), strict=True):
        assert torch.equal(one, other)
        assert one.dtype == other.dtype


def test_integers_stay_integers() -> None:
    workload = known.lstm()
    tokens, labels = next(workload.batches(0))
    assert tokens.dtype == labels.dtype == torch.int64


def test_a_share_is_drawn_by_seed_and_given_data_are_not() -> None:
    own = made(validation=(X[:10], Y[:10]))
    (drawn,), (other,) = (made().evaluation(seed, "validation") for seed in (0, 1))
    (same,), (again,) = (own.evaluation(seed, "validation") for seed in (0, 1))
    assert len(drawn[0]) == 24
    assert not torch.equal(drawn[0], other[0])
    assert torch.equal(same[0], again[0])
    assert torch.equal(same[0], X[:10])


def test_an_epoch_has_each_item_once() -> None:
    workload = made()
    count = workload.batches_of_epoch(0)
    batches = [x for x, _ in itertools.islice(workload.batches(0), count + 1)]
    assert len(torch.cat(batches[:-1]).unique(dim=0)) == count * workload.batch
    assert len(torch.cat(batches).unique(dim=0)) < (count + 1) * workload.batch


def test_large_splits_come_in_batches_of_one_size_where_that_can_be() -> None:
    assert chunk_size(EVALUATION_BATCH) == EVALUATION_BATCH
    assert chunk_size(1000) == 500
    assert chunk_size(1503) == 501
    assert chunk_size(1009) == 505  # a prime: 505 and 504
    big = made(train=(X.repeat(20, 1), Y.repeat(20)), validation=0.5)
    assert [len(labels) for _, labels in big.evaluation(0, "validation")] == [480, 480]


def test_the_metric_can_be_maximised() -> None:
    def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
        return 1 - error_rate(outputs, targets)

    up, down = made(metrics={"validation_accuracy": accuracy}, goal="maximize"), made()
    params, carry = up.init(0)
    (batch,) = up.evaluation(0, "validation")
    (a, count), (b, _) = up.evaluate(params, carry, batch), down.evaluate(params, carry, batch)
    assert a["validation_accuracy"] / count == pytest.approx(-1 + (b["validation_error"] / count).item())
    assert up.worst == pytest.approx((a["validation_accuracy"] / count).item())  # that of the untrained model


def test_the_worst_value_is_told_or_found() -> None:
    assert made().worst == 1.0
    assert made(worst=0.5).worst == 0.5
    untrained = made(metrics={"validation_loss": F.cross_entropy})
    params, carry = untrained.init(0)
    ((batch),) = untrained.evaluation(0, "validation")
    sums, count = untrained.evaluate(params, carry, batch)
    assert untrained.worst == pytest.approx(sums["validation_loss"].item() / count)


def test_frozen_and_unused_weights_are_carried() -> None:
    workload = known.frozen()
    params, carry = workload.init(0)
    assert sorted(params) == ["second.bias", "second.weight"]
    assert {"first.weight", "unused.bias", "seen"} <= carry.keys()
    _, after = workload.loss(params, carry, next(workload.batches(0)), no_draws())
    assert after["seen"].item() == 1
    assert torch.equal(after["first.weight"], carry["first.weight"])


def test_tied_weights_are_one() -> None:
    assert sorted(known.tied().init(0)[0]) == [
        "embedding.weight",
        "hidden.bias",
        "hidden.weight",
        "output.bias",
    ]


def test_making_a_module_leaves_torchs_generator_alone() -> None:
    workload = made()
    before = torch.get_rng_state()
    workload.init(5)
    assert torch.equal(before, torch.get_rng_state())


class Shy(nn.Module):
    """Draws random numbers in evaluation."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(F.dropout(x, 0.5, training=True))


class Counting(nn.Module):
    """Keeps what changes in a Python attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.calls = nn.Linear(6, 3), 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.layer(x) * self.calls


class Overwriting(nn.Module):
    """Writes into its input."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.add_(1))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Shy, "evaluate gives something else at a second call with equal arguments"),
        (Counting, "loss gives something else at a second call"),
        (Overwriting, "gives something else at a second call|writes into its arguments"),
    ],
)
def test_what_is_not_pure_is_noticed(model: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        check_workload(made(model=model))


def test_what_is_random_in_torch_alone_is_pure() -> None:
    for factory in (known.dropout, known.augmentation, known.lstm, known.transformer):
        check_workload(factory())
    check_workload(known.ADVERSARIES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": (X, Y[:-1])}, "train has 96 and 95 items: give as many of each"),
        ({"train": (X[:0], Y[:0])}, "train is empty"),
        ({"train": X}, "train is no data: give a tuple of inputs and targets, or a torch Dataset"),
        ({"validation": (X[:0], Y[:0])}, "validation is empty"),
        ({"validation": 0.001}, "the validation split is empty"),
        ({"validation": 1.5}, "validation = 1.5 is not allowed: give data, or a share between 0 and 1"),
        ({"batch": 0}, "batch = 0 is not allowed"),
        ({"batch": 73}, "batch = 73 is more than the 72 training items"),
        ({"metrics": {}}, "metrics is empty"),
        ({"goal": "up"}, "goal = 'up' is not allowed: give minimize or maximize"),
        ({"worst": float("inf")}, "the worst value of validation_error is inf: give a finite one"),
        (
            {"loss": lambda outputs, targets: outputs},
            r"the loss is a tensor of shape \(16, 3\): give a scalar",
        ),
        (
            {"metrics": {"m": lambda outputs, targets: outputs.mean(1)}},
            r"the metric 'm' is a tensor of shape \(24,\)",
        ),
        ({"metrics": {"m": lambda outputs, targets: 3.0}}, "the metric 'm' is float: give a scalar tensor"),
        (
            {"model": lambda: nn.Linear(5, 3)},
            r"model, data and loss do not fit together \(RuntimeError: mat1 and mat2",
        ),
        ({"loss": F.mse_loss}, "model, data and loss do not fit together"),
        (
            {"model": lambda: nn.Sequential(nn.Linear(6, 3)).requires_grad_(False)},
            "has no parameters to train",
        ),
        ({"model": lambda: 3}, "model\\(\\) gives int: give a function that makes a torch.nn.Module"),
        (
            {"model": lambda: nn.Linear(6, 3, dtype=torch.complex64)},
            "only real weights can be trained|do not fit",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Using a target size:UserWarning")  # torch tells the user of mse_loss, too
def test_what_does_not_fit_is_one_clear_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkloadError, match=message) as caught:
        made(**changes)
    assert "\n" not in str(caught.value)


def test_random_numbers_that_cannot_be_shared_are_refused() -> None:
    class Choosing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return (
                self.layer(x[torch.multinomial(torch.ones(len(x)), len(x))])
                if self.training
                else self.layer(x)
            )

    with pytest.raises(WorkloadError, match=r"multinomial.* cannot be made to depend on the seed alone"):
        made(model=Choosing)


def test_masks_are_those_of_the_draws() -> None:
    workload = known.dropout()
    params, carry = workload.init(0)
    batch = next(workload.batches(0))
    one, same, other = (workload.loss(params, carry, batch, seeded(seed, 1))[0].item() for seed in (0, 0, 1))
    assert one == same != other
