"""Networks of the papers: as many weights as were published, and layers joined as the papers draw them."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from study.workloads import WorkloadError
from study.workloads.networks.densenet import BLOCKS, DenseNet
from study.workloads.networks.resnet import cifar_resnet, resnet
from study.workloads.networks.wide_resnet import WideResNet

PUBLISHED: list[tuple[str, Callable[[], nn.Module], int]] = [
    ("WRN-28-10", lambda: WideResNet(28, 10), 36_479_194),
    ("ResNet-34, CIFAR", lambda: resnet(34, large=False), 21_282_122),
    ("ResNet-18", lambda: resnet(18, classes=1000), 11_689_512),
    ("ResNet-34", lambda: resnet(34, classes=1000), 21_797_672),
    ("ResNet-50", lambda: resnet(50, classes=1000), 25_557_032),
    ("ResNet-101", lambda: resnet(101, classes=1000), 44_549_160),
    ("ResNeXt-50", lambda: resnet(50, classes=1000, groups=32, group_width=4), 25_028_904),
    ("DenseNet-121", lambda: DenseNet(BLOCKS[121], 32, classes=1000), 7_978_856),
    ("DenseNet-121, CIFAR", lambda: DenseNet(BLOCKS[121], 32, large=False), 6_956_298),
]
"""To the last weight, in torchvision's models and, for CIFAR, in the code that the papers on optimizers used."""
PRINTED: list[tuple[str, Callable[[], nn.Module], float]] = [
    ("WRN-40-1", lambda: WideResNet(40, 1), 0.6),
    ("WRN-40-2", lambda: WideResNet(40, 2), 2.2),
    ("WRN-40-4", lambda: WideResNet(40, 4), 8.9),
    ("WRN-16-8", lambda: WideResNet(16, 8), 11.0),
    ("WRN-16-10", lambda: WideResNet(16, 10), 17.1),
    ("WRN-22-8", lambda: WideResNet(22, 8), 17.2),
    ("WRN-28-10", lambda: WideResNet(28, 10), 36.5),
    ("WRN-28-12", lambda: WideResNet(28, 12), 52.5),
    ("ResNet-20", lambda: cifar_resnet(20), 0.27),
    ("ResNet-32", lambda: cifar_resnet(32), 0.46),
    ("ResNet-44", lambda: cifar_resnet(44), 0.66),
    ("ResNet-56", lambda: cifar_resnet(56), 0.85),
    ("ResNet-110", lambda: cifar_resnet(110), 1.7),
]
"""Millions, as the papers' tables print them (Zagoruyko & Komodakis, Table 4; He et al., Table 6)."""


def weights(make: Callable[[], nn.Module]) -> int:
    with torch.device("meta"):
        return sum(weight.numel() for weight in make().parameters())


@pytest.mark.parametrize(("name", "make", "count"), PUBLISHED, ids=[name for name, _, _ in PUBLISHED])
def test_as_many_weights_as_published(name: str, make: Callable[[], nn.Module], count: int) -> None:
    assert weights(make) == count


@pytest.mark.parametrize(("name", "make", "millions"), PRINTED, ids=[name for name, _, _ in PRINTED])
def test_as_many_weights_as_printed(name: str, make: Callable[[], nn.Module], millions: float) -> None:
    digits = 2 if millions < 1 and round(millions, 1) != millions else 1
    assert round(weights(make) / 1e6, digits) == millions


def random(network: nn.Module) -> dict[str, Tensor]:
    """Gives a network's tensors random values, scales and running statistics too; evaluates from here on."""
    source = torch.Generator().manual_seed(0)
    for name, tensor in network.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.rand(tensor.shape, generator=source) + (0.5 if "var" in name else -0.3))
    network.eval()
    return network.state_dict()


def norm(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    mean, var = w[f"{name}.running_mean"], w[f"{name}.running_var"]
    scale = w[f"{name}.weight"] / (var + 1e-5).sqrt()
    return (x - mean[:, None, None]) * scale[:, None, None] + w[f"{name}.bias"][:, None, None]


def conv(w: dict[str, Tensor], name: str, x: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
    kernel = w[f"{name}.weight"]
    return F.conv2d(x, kernel, None, stride, kernel.shape[-1] // 2, groups=groups)


def scores(w: dict[str, Tensor], x: Tensor) -> Tensor:
    return x.mean((2, 3)) @ w["output.weight"].T + w["output.bias"]


def test_wide_resnet_is_the_papers() -> None:
    network, images = WideResNet(10, 2), torch.rand(2, 3, 8, 8)
    w = random(network)
    x = conv(w, "stem", images)
    for i, stride in enumerate((1, 2, 2)):
        b = f"blocks.{i}"
        active = norm(w, f"{b}.norm1", x).relu()
        y = norm(w, f"{b}.norm2", conv(w, f"{b}.conv1", active, stride)).relu()
        x = conv(w, f"{b}.conv2", y) + conv(w, f"{b}.shortcut", active, stride)
    torch.testing.assert_close(network(images), scores(w, norm(w, "norm", x).relu()))
    assert sum(isinstance(layer, nn.Conv2d) for layer in network.modules()) == 10
    with torch.device("meta"):
        deep = WideResNet(28, 4)
    shapes = [deep.blocks[: 4 * i](torch.empty(1, 16, 32, 32, device="meta")).shape[1:] for i in (1, 2, 3)]
    assert shapes == [(64, 32, 32), (128, 16, 16), (256, 8, 8)]


def test_cifar_resnet_is_the_papers() -> None:
    network, images = cifar_resnet(8, 4), torch.rand(2, 3, 8, 8)
    w = random(network)
    x = norm(w, "stem.1", conv(w, "stem.0", images)).relu()
    for i, stride in enumerate((1, 2, 2)):
        b = f"blocks.{i}"
        y = norm(w, f"{b}.norm1", conv(w, f"{b}.conv1", x, stride)).relu()
        y = norm(w, f"{b}.norm2", conv(w, f"{b}.conv2", y))
        short = x[:, :, ::stride, ::stride]
        x = (y + torch.cat([short, torch.zeros_like(y[:, short.shape[1] :])], 1)).relu()
    torch.testing.assert_close(network(images), scores(w, x))


@pytest.mark.parametrize("groups", [1, 2])
def test_bottlenecks_are_the_papers(groups: int) -> None:
    group_width = None if groups == 1 else 3
    network, images = resnet(14, 4, groups=groups, group_width=group_width), torch.rand(2, 3, 64, 64)
    w = random(network)
    x = F.max_pool2d(norm(w, "stem.1", conv(w, "stem.0", images, 2)).relu(), 3, 2, 1)
    assert x.shape == (2, 4, 16, 16)
    for i, stride in enumerate((1, 2, 2, 2)):
        b = f"blocks.{i}"
        y = norm(w, f"{b}.norm1", conv(w, f"{b}.conv1", x)).relu()
        assert y.shape[1] == (4 if groups == 1 else 6) * 2**i
        y = norm(w, f"{b}.norm2", conv(w, f"{b}.conv2", y, stride, groups)).relu()
        y = norm(w, f"{b}.norm3", conv(w, f"{b}.conv3", y))
        x = (y + norm(w, f"{b}.shortcut.1", conv(w, f"{b}.shortcut.0", x, stride))).relu()
    assert x.shape == (2, 128, 2, 2)
    torch.testing.assert_close(network(images), scores(w, x))


def test_densenet_is_the_papers() -> None:
    network, images = DenseNet((2, 1), 4, large=False), torch.rand(2, 3, 8, 8)
    w = random(network)
    x = conv(w, "stem.0", images)

    def layer(b: str, x: Tensor) -> Tensor:
        y = conv(w, f"{b}.conv1", norm(w, f"{b}.norm1", x).relu())
        return torch.cat([x, conv(w, f"{b}.conv2", norm(w, f"{b}.norm2", y).relu())], 1)

    x = layer("blocks.1", layer("blocks.0", x))
    assert x.shape == (2, 16, 8, 8)
    x = F.avg_pool2d(conv(w, "blocks.2.conv", norm(w, "blocks.2.norm", x).relu()), 2)
    assert x.shape == (2, 8, 4, 4)
    torch.testing.assert_close(network(images), scores(w, norm(w, "norm", layer("blocks.3", x)).relu()))


def test_first_weights_are_hes() -> None:
    torch.manual_seed(0)
    network = WideResNet(10, 4)
    assert network.blocks[2].conv2.weight.std().item() == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.02)
    assert network.output.bias.abs().max() == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WideResNet(27, 4), "depth = 27 is not allowed: give 10, 16"),
        (lambda: cifar_resnet(34), "depth = 34 is not allowed: give 8, 14, 20"),
        (lambda: resnet(35), "depth = 35 is not allowed: give one of 6, 8, 10, 14, 18, 34, 50"),
        (lambda: resnet(34, groups=32), "depth = 34 has no bottlenecks"),
    ],
)
def test_other_depths_are_refused(make: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(WorkloadError, match=message):
        make()
