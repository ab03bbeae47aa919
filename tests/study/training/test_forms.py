"""Fast formulations against torch's own, in float64, and the bits of a lane in blocks of different sizes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._inductor import standalone_compile
from torch.func import functional_call, grad, grad_and_value, jvp, vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from study.training.forms import FastForms

Tensors = dict[str, Tensor]
LANES = 3


class Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def convolutional(first: int = 4, second: int = 6) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, first, 3, 1, 1, bias=False),
        nn.BatchNorm2d(first),
        nn.ReLU(),
        nn.Conv2d(first, second, 3, 2, 1, bias=False),
        nn.BatchNorm2d(second),
        nn.ReLU(),
        Mean(),
        nn.Linear(second, 10),
    )


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "conv, BatchNorm, relu": (convolutional, (1, 8, 8)),
    "1x1": (lambda: nn.Sequential(nn.Conv2d(3, 10, 1), Mean()), (3, 4, 5)),
    "1x1, stride 2": (lambda: nn.Sequential(nn.Conv2d(3, 10, 1, 2, bias=False), Mean()), (3, 5, 4)),
    "uneven kernel": (lambda: nn.Sequential(nn.Conv2d(2, 10, (2, 5), (3, 1), (1, 2)), Mean()), (2, 9, 7)),
    "dilation": (lambda: nn.Sequential(nn.Conv2d(2, 10, 3, 2, 3, dilation=2), Mean()), (2, 9, 8)),
    "padding same": (lambda: nn.Sequential(nn.Conv2d(2, 10, (4, 3), padding="same"), Mean()), (2, 6, 5)),
    "padding valid": (lambda: nn.Sequential(nn.Conv2d(2, 10, 3, padding="valid"), Mean()), (2, 6, 5)),
    "padding circular": (
        lambda: nn.Sequential(nn.Conv2d(2, 10, 3, padding=1, padding_mode="circular"), Mean()),
        (2, 6, 5),
    ),
    "groups": (lambda: nn.Sequential(nn.Conv2d(4, 10, 3, groups=2), Mean()), (4, 6, 5)),
    "transposed": (lambda: nn.Sequential(nn.ConvTranspose2d(2, 10, 4, 2, 1), Mean()), (2, 3, 4)),
    "transposed, stride 3": (
        lambda: nn.Sequential(nn.ConvTranspose2d(2, 10, 9, 3, 3, bias=False), Mean()),
        (2, 2, 3),
    ),
    "transposed, uneven": (lambda: nn.Sequential(nn.ConvTranspose2d(2, 10, (3, 2), 2), Mean()), (2, 3, 4)),
    "perceptron": (
        lambda: nn.Sequential(
            nn.Flatten(), nn.Linear(12, 7), nn.BatchNorm1d(7), nn.Tanh(), nn.Linear(7, 10, bias=False)
        ),
        (3, 2, 2),
    ),
    "max pool": (
        lambda: nn.Sequential(nn.Conv2d(1, 10, 3), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        (1, 9, 8),
    ),
    "max pool of relu": (
        lambda: nn.Sequential(nn.Conv2d(1, 10, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1), Mean()),
        (1, 9, 8),
    ),
    "average pool": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 10, 3), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten()
        ),
        (1, 9, 8),
    ),
    "average pool, padded": (
        lambda: nn.Sequential(nn.Conv2d(1, 10, 3), nn.AvgPool2d(3, 2, 1), Mean()),
        (1, 9, 8),
    ),
    "BatchNorm without weights or statistics": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 10, 3),
            nn.BatchNorm2d(10, affine=False, track_running_stats=False),
            nn.ReLU(),
            Mean(),
        ),
        (1, 6, 6),
    ),
}


def model_of(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    """A model in float64 whose BatchNorm has seen a batch, and another batch of 7."""
    torch.manual_seed(0)
    make, shape = MODELS[name]
    model = make().double()
    with torch.no_grad():
        model(torch.randn(7, *shape, dtype=torch.float64))
    return model, torch.randn(7, *shape, dtype=torch.float64), torch.randint(10, (7,))


def tensors_of(model: nn.Module) -> tuple[Tensors, Tensors]:
    params = {key: value.detach().clone() for key, value in model.named_parameters()}
    return params, {key: value.clone() for key, value in model.named_buffers()}


def gradient(
    model: nn.Module, *, fast: bool, lanes: bool = True
) -> Callable[..., tuple[Tensors, tuple[Tensor, Tensor, Tensors]]]:
    """`(params, buffers, images, labels) -> grads, (loss, outputs, new buffers)` of one lane."""

    def loss(params: Tensors, buffers: Tensors, images: Tensor, labels: Tensor) -> tuple[Tensor, Any]:
        buffers = {key: value.clone() for key, value in buffers.items()}
        with FastForms(lanes=lanes) if fast else nullcontext():
            out = functional_call(model, (params, buffers), (images,))
            value = F.cross_entropy(out, labels)
        return value, (value, out, buffers)

    return grad(loss, has_aux=True)


def assert_same(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", MODELS)
def test_outputs_gradients_and_statistics_equal_those_of_the_plain_module(name: str, training: bool) -> None:
    model, images, labels = model_of(name)
    model.train(training)
    params, buffers = tensors_of(model)
    plain = copy.deepcopy(model)
    out = plain(images)
    loss = F.cross_entropy(out, labels)
    loss.backward()
    grads = {key: value.grad for key, value in plain.named_parameters()}
    expected = (grads, (loss, out, dict(plain.named_buffers())))
    for lanes in (True, False):
        found = gradient(model, fast=True, lanes=lanes)(params, buffers, images, labels)
        assert_same(found, expected)


@pytest.mark.parametrize("name", MODELS)
def test_each_lane_equals_its_own_module(name: str) -> None:
    model, images, labels = model_of(name)
    lanes = []
    for lane in range(LANES):
        params, buffers = tensors_of(model)
        lanes.append(({key: value * (1 + lane / 4) for key, value in params.items()}, buffers))
    stacked = pytree.tree_map(lambda *tensors: torch.stack(tensors), *lanes)
    found = vmap(gradient(model, fast=True), in_dims=(0, 0, None, None))(*stacked, images, labels)
    each = [gradient(model, fast=False)(*lane, images, labels) for lane in lanes]
    assert_same(found, pytree.tree_map(lambda *tensors: torch.stack(tensors), *each))


@pytest.mark.parametrize("name", MODELS)
def test_products_with_the_hessian_equal_those_of_the_plain_module(name: str) -> None:
    model, images, labels = model_of(name)
    params, buffers = tensors_of(model)
    signs = {key: torch.randn_like(value).sign() for key, value in params.items()}

    def products(fast: bool) -> Any:
        function = gradient(model, fast=fast)
        return jvp(lambda at: function(at, buffers, images, labels)[0], (params,), (signs,))[1]

    torch.testing.assert_close(products(True), products(False), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "arguments", [{}, {"reduction": "sum"}, {"ignore_index": 3}, {"label_smoothing": 0.1}]
)
@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 2)], ids=str)
def test_cross_entropy(arguments: dict[str, Any], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    logits = torch.randn(shape, dtype=torch.float64)
    labels = torch.tensor([0, 3, 4, 0, 3, 1])
    if not arguments:
        labels[2] = -100  # the default of ignore_index
    labels = labels if len(shape) == 2 else labels[:, None].expand(6, 2)

    def value(x: Tensor, function: Callable[..., Tensor]) -> Tensor:
        return function(x, labels, **arguments)

    with FastForms():
        found = grad_and_value(lambda x: value(x, F.cross_entropy))(logits)
    assert_same(found, grad_and_value(lambda x: value(x, F.cross_entropy))(logits))
    if "label_smoothing" not in arguments:
        with FastForms():
            found = grad_and_value(lambda x: value(x.log_softmax(1), F.nll_loss))(logits)
        assert_same(found, grad_and_value(lambda x: value(x.log_softmax(1), F.nll_loss))(logits))


def test_class_probabilities_weights_and_unreduced_losses_are_torchs_own() -> None:
    torch.manual_seed(0)
    logits, weight = torch.randn(6, 5), torch.rand(5)
    labels, probabilities = torch.arange(6) % 5, torch.rand(6, 5).softmax(1)
    for target, arguments in (
        (probabilities, {}),
        (labels, {"weight": weight}),
        (labels, {"reduction": "none"}),
    ):
        expected = F.cross_entropy(logits, target, **arguments)
        with FastForms():
            assert torch.equal(F.cross_entropy(logits, target, **arguments), expected)


def test_torch_still_says_what_cannot_be() -> None:
    with FastForms(), pytest.raises(ValueError, match="more than 1 value per channel"):
        nn.BatchNorm1d(3)(torch.zeros(1, 3))


def test_a_product_has_the_same_bits_at_any_place_in_memory() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(24, 10, 64), torch.randn(24, 64, 5)
    products = torch.bmm(a, b)
    for _ in range(10):
        order = torch.randperm(24)
        assert torch.equal(torch.bmm(a[order], b[order]), products[order])


def trained(rates: Tensor, widths: tuple[int, int], steps: int = 20) -> Tensors:
    """Float32 weights and statistics, by lane, of `convolutional` under compiled SGD with a lane's own rate."""
    torch.manual_seed(0)
    model, lanes = convolutional(*widths), len(rates)
    batches = [(torch.randn(64, 1, 8, 8), torch.randint(10, (64,))) for _ in range(steps)]
    start = pytree.tree_map(lambda t: t.expand(lanes, *t.shape).clone(), tensors_of(model))
    function = vmap(gradient(model, fast=True), in_dims=(0, 0, None, None))

    def step(params: Tensors, buffers: Tensors, *batch: Tensor) -> tuple[Tensors, Tensors]:
        grads, (_, _, buffers) = function(params, buffers, *batch)
        new = {key: w - rates.view(-1, *[1] * (w.ndim - 1)) * grads[key] for key, w in params.items()}
        return new, buffers

    leaves, shape = pytree.tree_flatten((*start, *batches[0]))
    graph = make_fx(lambda *t: pytree.tree_leaves(step(*pytree.tree_unflatten(t, shape))))(*leaves)
    program = standalone_compile(graph, leaves, dynamic_shapes="from_example_inputs")
    state, shape = pytree.tree_flatten(start)
    for batch in batches:
        state = program(*state, *batch)
    return {key: value for part in pytree.tree_unflatten(state, shape) for key, value in part.items()}


@pytest.mark.slow  # compiled nets are held to the same, whole, in test_modules.py
@pytest.mark.parametrize("widths", [(3, 5), (8, 16)], ids=str)
def test_bits_of_a_lane_do_not_depend_on_the_others(widths: tuple[int, int]) -> None:
    rates = torch.logspace(-3, 0, 20)
    with torch.no_grad():
        alone = trained(rates, widths)
        for chosen in ([7, 3], [0, 19, 5, 7, 12, 3]):
            block = trained(rates[chosen], widths)
            for place, lane in enumerate(chosen):
                for key, value in block.items():
                    assert torch.equal(value[place], alone[key][lane]), (key, chosen, lane)
