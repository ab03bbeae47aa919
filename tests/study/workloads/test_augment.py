"""Flips and crops are those of the draws, an image at a time."""

import torch
from torch import Tensor

from study.workloads.augment import flip_and_crop
from study.workloads.draws import seeded


def by_hand(images: Tensor, seed: int) -> Tensor:
    draws, pad = seeded(seed, 1), images.shape[2] // 8
    flips = draws.uniform(len(images)) < 0.5
    down, right = (draws.integers(0, 2 * pad + 1, len(images)) for _ in range(2))
    made = []
    for image, flip, y, x in zip(images, flips, down, right, strict=True):
        around = torch.zeros(image.shape[0], image.shape[1] + 2 * pad, image.shape[2] + 2 * pad)
        around[:, pad:-pad, pad:-pad] = image.flip(2) if flip else image
        made.append(around[:, y : y + image.shape[1], x : x + image.shape[2]])
    return torch.stack(made)


def test_it_is_what_a_loop_over_images_makes() -> None:
    images = torch.rand(200, 3, 16, 16, generator=torch.Generator().manual_seed(0)) + 1
    labels = torch.arange(200)
    made, same = flip_and_crop((images, labels), seeded(0, 1))
    assert torch.equal(same, labels)
    assert torch.equal(made, by_hand(images, 0))
    assert not torch.equal(made, by_hand(images, 1))
    # all five offsets in both directions are used
    assert {int(rows) for rows in (made[:, 0] == 0).all(2).sum(1)} == {0, 1, 2}


def test_half_are_flipped() -> None:
    """Images of one bright column tell by its place."""
    images = torch.zeros(4000, 1, 8, 8)
    images[:, :, :, 1] = 1
    made, _ = flip_and_crop((images, torch.zeros(4000)), seeded(3, 1))
    places = made[:, 0].amax(1).argmax(1)
    assert abs((places > 3).float().mean().item() - 0.5) < 0.03
    assert set(places.tolist()) == {0, 1, 2, 5, 6, 7}
