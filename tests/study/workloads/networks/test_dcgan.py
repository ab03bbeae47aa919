"""DCGAN's networks: as many weights as the authors' release has, and images of the sizes that are asked for."""

import pytest
import torch

from study.workloads import WorkloadError
from study.workloads.networks.dcgan import Discriminator, Generator


def test_as_many_weights_as_the_release_at_64_pixels() -> None:
    networks = Generator(100, 64, 3, 4, 64), Discriminator(64, 3, 4, 64)
    assert [sum(w.numel() for w in network.parameters()) for network in networks] == [3_576_704, 2_765_568]


@pytest.mark.parametrize(("side", "layers"), [(8, 2), (28, 2), (32, 3)])
def test_shapes_and_ranges(side: int, layers: int) -> None:
    images = Generator(5, side, 3, layers, 4)(torch.randn(6, 5))
    assert images.shape == (6, 3, side, side)
    assert images.abs().max() < 1
    assert Discriminator(side, 3, layers, 4)(images).shape == (6,)


def test_weights_begin_small_and_without_biases() -> None:
    torch.manual_seed(0)
    network = Generator(100, 32, 3, 3, 16)
    assert network.project.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not [name for name, w in network.named_parameters() if name.endswith("bias") and w.any()]


def test_images_that_cannot_be_halved_so_often_are_refused() -> None:
    with pytest.raises(WorkloadError, match="layers = 3 does not fit images of 28x28 pixels"):
        Generator(5, 28, 1, 3, 4)
