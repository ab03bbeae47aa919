"""One suite for every workload."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from study.workloads import WORKLOADS
from study.workloads.classifier import cross_entropy
from study.workloads.images import digits, fingerprint, mnist

NAMES = list(WORKLOADS)


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_decides_weights_split_and_order(name: str) -> None:
    workload = WORKLOADS[name]

    def everything(seed: int) -> torch.Tensor:
        parts = [*workload.init(seed).values(), *workload.validation(seed)]
        parts += itertools.chain.from_iterable(itertools.islice(workload.batches(seed), 3))
        return torch.cat([part.flatten() for part in parts])

    assert torch.equal(everything(1), everything(1))
    assert not torch.equal(everything(1), everything(2))


@pytest.mark.parametrize("name", NAMES)
def test_training_and_validation_images_are_disjoint_and_complete(name: str) -> None:
    workload = WORKLOADS[name]
    pixels, _ = digits() if "digits" in name else mnist()
    held_out, _ = workload.validation(0)
    assert len(held_out) == round(0.2 * len(pixels))
    per_epoch = (len(pixels) - len(held_out)) // 64
    epoch = torch.cat([images for images, _ in itertools.islice(workload.batches(0), per_epoch)])

    def count(images: torch.Tensor) -> dict[bytes, int]:
        texts = [image.numpy().tobytes() for image in images]
        return {text: texts.count(text) for text in set(texts)}

    trained, validated, all_images = count(epoch), count(held_out), count(torch.from_numpy(pixels))
    # a few images occur twice in the data; apart from those no image is on both sides
    for text, times in trained.items():
        assert times + validated.get(text, 0) <= all_images[text]
    assert sum(trained.values()) == per_epoch * 64


@pytest.mark.parametrize("name", NAMES)
def test_every_class_is_in_both_splits(name: str) -> None:
    workload = WORKLOADS[name]
    batches = itertools.islice(workload.batches(3), 20)
    assert all(targets.shape == (64, 10) and (targets.sum(1) == 1).all() for _, targets in batches)
    assert (workload.validation(3)[1].sum(0) > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_loss_is_differentiable_and_starts_at_chance(name: str) -> None:
    workload = WORKLOADS[name]
    params = {key: value.requires_grad_() for key, value in workload.init(0).items()}
    loss = workload.loss(params, next(workload.batches(0)))
    assert loss.item() == pytest.approx(np.log(10), abs=0.2)
    loss.backward()
    assert all(param.grad is not None and param.grad.abs().sum() > 0 for param in params.values())


@pytest.mark.parametrize("name", NAMES)
def test_evaluate_counts_wrong_labels(name: str) -> None:
    workload = WORKLOADS[name]
    images, targets = workload.validation(0)
    params = {key: torch.zeros_like(value) for key, value in workload.init(0).items()}
    params["output.bias"][3] = 1.0
    metrics = workload.evaluate(params, (images, targets))
    assert metrics[workload.metric].item() == pytest.approx(1 - targets[:, 3].mean().item())
    assert set(metrics) == {"validation_error", "validation_loss"}


def test_cnn_is_the_network_that_conv2d_computes() -> None:
    workload = WORKLOADS["digits-cnn"]
    params = workload.init(0)
    images, targets = workload.validation(0)
    h = images.reshape(-1, 1, 8, 8)
    for layer, stride in (("first", 1), ("second", 2)):
        h = torch.conv2d(
            h, params[f"{layer}.weight"], params[f"{layer}.bias"], padding=1, stride=stride
        ).relu()
    logits = h.mean((2, 3)) @ params["output.weight"] + params["output.bias"]
    ours = workload.evaluate(params, (images, targets))["validation_loss"]
    torch.testing.assert_close(ours, cross_entropy(logits, targets), rtol=1e-5, atol=0)


def test_cross_entropy_is_torchs() -> None:
    logits, labels = torch.randn(7, 10), torch.arange(7)
    targets = torch.nn.functional.one_hot(labels, 10).float()
    torch.testing.assert_close(
        cross_entropy(logits, targets), torch.nn.functional.cross_entropy(logits, labels)
    )


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


def test_fingerprint_notices_one_changed_label() -> None:
    pixels, labels = digits()
    changed = labels.copy()
    changed[0] += 1
    assert fingerprint((pixels, labels)) == fingerprint((pixels.copy(), labels.copy()))
    assert fingerprint((pixels, changed)) != fingerprint((pixels, labels))


@pytest.mark.parametrize(
    ("name", "millions"), [("digits-mlp", 1.29), ("mnist-mlp", 13.1), ("digits-cnn", 8.3)]
)
def test_operations_of_a_step(name: str, millions: float) -> None:
    assert WORKLOADS[name].flops_per_step / 1e6 == pytest.approx(millions, rel=0.01)
