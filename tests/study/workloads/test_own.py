"""The small classifiers of digits, and the data they stand on."""

import functools
import itertools

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from study.workloads import WORKLOADS, ModuleWorkload, Workload
from study.workloads.data.images import digits, mnist
from study.workloads.draws import no_draws
from study.workloads.measure import bytes_per_lane, flops_per_step

NAMES = ["digits-mlp", "digits-cnn", "digits-cnn-bn", "mnist-mlp", "mnist-cnn-bn"]


@functools.cache
def made(name: str) -> Workload:
    return WORKLOADS[name]()


def loss_of(workload: Workload, params: dict[str, Tensor], carry: dict[str, Tensor]) -> Tensor:
    (phase,) = workload.phases
    return phase.loss(params, carry, next(workload.batches(0)), no_draws())[0]


@pytest.mark.parametrize("name", NAMES)
def test_training_and_validation_images_are_disjoint_and_complete(name: str) -> None:
    workload = made(name)
    pixels, _ = digits() if "digits" in name else mnist()
    held_out = torch.cat([images for images, _ in workload.evaluation(0, "validation")])
    assert len(held_out) == round(0.2 * len(pixels))
    per_epoch = (len(pixels) - len(held_out)) // 64
    epoch = torch.cat([images for images, _ in itertools.islice(workload.batches(0), per_epoch)])

    def count(images: Tensor) -> dict[bytes, int]:
        texts = [image.numpy().tobytes() for image in images]
        return {text: texts.count(text) for text in set(texts)}

    trained, validated, all_images = count(epoch), count(held_out), count(torch.from_numpy(pixels))
    # a few images occur twice in the data; apart from those no image is on both sides
    for text, times in trained.items():
        assert times + validated.get(text, 0) <= all_images[text]
    assert sum(trained.values()) == per_epoch * 64


@pytest.mark.parametrize("name", NAMES)
def test_every_class_is_in_both_splits(name: str) -> None:
    workload = made(name)
    assert all(labels.shape == (64,) for _, labels in itertools.islice(workload.batches(3), 20))
    labels = torch.cat([labels for _, labels in workload.evaluation(3, "validation")])
    assert labels.dtype == torch.int64
    assert set(labels.tolist()) == set(range(10))


@pytest.mark.parametrize("name", NAMES)
def test_loss_is_differentiable_and_starts_near_chance(name: str) -> None:
    workload = made(name)
    params, carry = workload.init(0)
    loss = loss_of(workload, {key: value.requires_grad_() for key, value in params.items()}, carry)
    assert loss.item() == pytest.approx(np.log(10), abs=0.4)
    loss.backward()
    assert all(param.grad is not None and param.grad.abs().sum() > 0 for param in params.values())


@pytest.mark.parametrize("name", NAMES)
def test_evaluate_counts_wrong_labels(name: str) -> None:
    workload = made(name)
    params, carry = workload.init(0)
    params = {key: torch.zeros_like(value) for key, value in params.items()}
    params[[key for key in params if key.endswith("bias")][-1]][3] = 1.0  # the output's
    batch = workload.evaluation(0, "validation")[0]
    sums, count = workload.evaluate(params, carry, batch)
    assert count == len(batch[1])
    assert sums[workload.metric].item() == pytest.approx((batch[1] != 3).sum().item())
    assert set(sums) == {"validation_error", "validation_loss"}


def test_factories_take_sizes() -> None:
    assert WORKLOADS["digits-mlp"](hidden=5).init(0)[0]["0.weight"].shape == (5, 64)


def test_digits_are_scikit_learns() -> None:
    reference = load_digits()
    pixels, labels = digits()
    np.testing.assert_array_equal(pixels, (reference.data / 16).astype(np.float32))
    np.testing.assert_array_equal(labels, reference.target)


def test_mnist_is_balanced_and_scaled() -> None:
    pixels, labels = mnist()
    assert pixels.shape == (5000, 784)
    assert pixels.min() == 0
    assert pixels.max() == 1
    assert np.bincount(labels).tolist() == [500] * 10


@pytest.mark.parametrize(
    ("name", "millions"),
    [("digits-mlp", 1.29), ("mnist-mlp", 13.1), ("digits-cnn", 8.3), ("digits-cnn-bn", 8.3)],
)
def test_operations_of_a_step_are_those_of_its_products(name: str, millions: float) -> None:
    """Twice the multiply-adds forward; for weights and, but for the first layer, inputs backward."""
    assert flops_per_step(made(name)) / 1e6 == pytest.approx(millions, rel=0.01)


def test_operations_of_an_lstm_are_counted() -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = torch.nn.LSTM(3, 5, 2, batch_first=True)

        def forward(self, sequences: torch.Tensor) -> torch.Tensor:
            return self.lstm(sequences)[0].mean((1, 2))

    data = torch.zeros(8, 7, 3), torch.zeros(8)
    mse = torch.nn.functional.mse_loss
    counted = flops_per_step(
        ModuleWorkload(model=Net, train=data, validation=data, loss=mse, metrics={"mse": mse}, batch=4)
    )
    # four gates of each step and sequence, from the layer's input and its own output; three times with gradients
    assert counted == 3 * 2 * 7 * 4 * 4 * 5 * ((3 + 5) + (5 + 5))


def test_working_sets_are_of_the_size_of_their_parts() -> None:
    weights = 64 * 64 + 64 + 64 * 10 + 10
    kept = 64 * (64 + 10)  # relu's output, log-probabilities; the input is shared by all lanes
    assert bytes_per_lane(made("digits-mlp")) == pytest.approx(4 * (2 * weights + kept), rel=0.3)
    assert bytes_per_lane(made("digits-cnn-bn")) > bytes_per_lane(made("digits-cnn"))
