"""Augmentation of images as tensor operations: left-right flips, and crops from a padded image.

The recipe of CIFAR since Lin et al. (2014, https://arxiv.org/abs/1312.4400) and He et al. (2016, section 4.2): 4 pixels
for images of 32.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from study.workloads.draws import Draws
from study.workloads.workload import Batch


def flip_and_crop(batch: Batch, draws: Draws) -> Batch:
    """Images (n, channels, height, width), each flipped or not, then a crop of the same size from a padded image.

    Padding, an eighth of the height on each side, is zero: the mean pixel, images being standardised.
    """
    images, labels = batch
    count, _, height, width = images.shape
    pad = height // 8
    flipped = draws.uniform(count) < 0.5
    down, right = (draws.integers(0, 2 * pad + 1, count).to(images.device) for _ in range(2))
    images = torch.where(flipped.to(images.device)[:, None, None, None], images.flip(3), images)
    padded = F.pad(images, (pad, pad, pad, pad))
    rows = down[:, None] + torch.arange(height, device=images.device)
    columns = right[:, None] + torch.arange(width, device=images.device)
    each = torch.arange(count, device=images.device)[:, None, None]
    # (n, height, width, channels), indexed before channels so that they stay together
    cropped = padded.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None, :]]
    return cropped.permute(0, 3, 1, 2), labels
