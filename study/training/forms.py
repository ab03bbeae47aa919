"""Fast formulations of layers: what a compiled program runs in place of some torch functions, with equal results.

For lanes (under `vmap`), `conv2d` would become a grouped convolution and a loss with class indices a gather. Here
images (or rows of a batch) are innermost in memory from layer to layer: tensors keep their logical shapes and are
permuted views, so that every kernel the compiler writes runs along the batch, and the same for every lane. A single
trial's convolutions have channels innermost. Shapes below are one lane's: n images, c channels.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from study.training.recurrent import RECURRENT

Form = Callable[..., Any]
Size = int | Sequence[int]


class FastForms(TorchFunctionMode):
    """While active, functions run their fast formulation where it applies; all else is torch's own.

    `lanes` says whether the program runs under `vmap`. Results and first derivatives equal torch's up to rounding;
    forward over reverse mode works too.
    """

    def __init__(self, *, lanes: bool = True) -> None:
        super().__init__()
        self._forms = LANES if lanes else SINGLE

    def __torch_function__(
        self, func: Form, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        form = self._forms.get(func)
        result = form(*args, **kwargs) if form else None
        return func(*args, **kwargs) if result is None else result


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Tensor | None:
    """(n, c, h, w) with weights (out, c / groups, kh, kw) -> (n, out, h', w'): a product with shifted images.

    Products and not a grouped convolution, whose bits depend on the number of lanes when channels are few.
    """
    if x.ndim != 4:
        return None
    out, channels, rows, columns = weight.shape
    kernel, gaps = (rows, columns), pair(dilation)
    images = x.permute(1, 2, 3, 0)
    shifted = windows(images, kernel, pair(stride), gaps, padding_of(padding, kernel, gaps))
    _, height, width, count = shifted[0].shape
    # (groups, c / groups · kh kw, h' w' n)
    patches = torch.stack(shifted, 1).reshape(groups, channels * rows * columns, -1)
    y = torch.bmm(weight.reshape(groups, out // groups, -1), patches)
    y = y.reshape(out, height, width, count).permute(3, 0, 1, 2)
    return y if bias is None else y + bias[:, None, None]


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Tensor | None:
    """(n, c, h, w) with weights (c, out, k, k) -> (n, out, s h, s w), where stride s fits: k a multiple, k - 2 p = s.

    Every s-th row and column of the result is a convolution of its own with every s-th row and column of the kernel.
    """
    (s, across), (k, wide), (p, sideways) = pair(stride), weight.shape[2:], pair(padding)
    square = s == across and k == wide and p == sideways
    plain = groups == 1 and pair(output_padding) == (0, 0) and pair(dilation) == (1, 1)
    if x.ndim != 4 or not square or not plain or k % s or k - 2 * p != s:
        return None
    count, channels, height, width = x.shape
    out, taps = weight.shape[1], k // s
    images = F.pad(x.permute(1, 2, 3, 0), (0, 0, *(taps - 1,) * 4))
    rows = []
    for first in range(s):
        row = []
        for second in range(s):
            # the kernel's rows and columns that meet this one, from the image's first to its last
            (top, down), (left, right) = (divmod(i + p, s) for i in (first, second))
            kernel = weight[:, :, down::s, right::s].flip(2, 3)
            seen = windows(images[:, top:, left:], (taps, taps), (1, 1), (1, 1), (0, 0, 0, 0))
            patches = torch.stack([each[:, :height, :width] for each in seen], 1)
            product = kernel.transpose(0, 1).reshape(out, -1) @ patches.reshape(channels * taps**2, -1)
            row.append(product.view(out, height, width, count))
        rows.append(torch.stack(row, 3))  # (out, height, width, s, n)
    y = torch.stack(rows, 2).reshape(out, s * height, s * width, count).permute(3, 0, 1, 2)
    return y if bias is None else y + bias[:, None, None]


def conv2d_channels_last(x: Tensor, weight: Tensor, *rest: Any, **more: Any) -> Tensor:
    """torch's, with channels innermost: what the compiler wants, but takes from the traced strides when backward."""
    x, weight = (t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 else t for t in (x, weight))
    return torch.conv2d(x, weight, *rest, **more)


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor | None:
    """(n, c, ...) -> the same, normalised over all but c; in training the running statistics are updated in place."""
    count = x.numel() // x.shape[1]
    if count < 2:
        return None  # torch says why this cannot be
    every = [0, *range(2, x.ndim)]
    over = [1, -1] + [1] * (x.ndim - 2)
    if training or running_mean is None or running_var is None:
        # the variance does not depend on `center`, so its derivative may leave it out: one pass for both sums
        center = x.mean(every).detach()
        x = x - center.view(over)
        mean = x.mean(every)
        variance = (x * x).mean(every) - mean * mean
        if training and running_mean is not None and running_var is not None:
            with torch.no_grad():
                unbiased = variance * (count / (count - 1))
                running_mean.copy_((1 - momentum) * running_mean + momentum * (center + mean))
                running_var.copy_((1 - momentum) * running_var + momentum * unbiased)
    else:
        mean, variance = running_mean, running_var
    scale = torch.rsqrt(variance + eps)
    if weight is not None:
        scale = scale * weight
    shift = -mean * scale
    if bias is not None:
        shift = shift + bias
    return x * scale.view(over) + shift.view(over)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor | None:
    """(n, in) with weights (out, in) -> (n, out)."""
    if x.ndim != 2:
        return None
    y = torch.bmm(weight[None], x.mT[None])[0]
    return (y if bias is None else y + bias[:, None]).mT


def cross_entropy(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor | None:
    """Logits (n, classes) and class indices (n,) -> mean or sum of the cross-entropy (nats)."""
    if label_smoothing or x.ndim != 2:
        return None
    return nll_loss(torch.log_softmax(x, 1), target, weight, size_average, ignore_index, reduce, reduction)


def nll_loss(
    x: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor | None:
    """Log probabilities (n, classes) and class indices (n,) -> the mean or sum over rows of minus the target's one.

    A product with a comparison where torch gathers. A target that is no class counts as one of probability 1.
    """
    plain = weight is None and size_average is None and reduce is None and reduction in ("mean", "sum")
    if not plain or x.ndim != 2 or target.ndim != 1 or target.is_floating_point():
        return None
    counts = target != ignore_index
    chosen = (target[:, None] == torch.arange(x.shape[1], device=x.device)) & counts[:, None]
    total = -(x * chosen.to(x.dtype)).sum()
    return total / counts.sum() if reduction == "mean" else total


def adaptive_avg_pool2d(x: Tensor, output_size: Any) -> Tensor | None:
    """(n, c, h, w) -> (n, c, 1, 1): a mean; other output sizes are torch's."""
    if x.ndim != 4 or (output_size != 1 and tuple(output_size) != (1, 1)):
        return None
    return x.mean((2, 3), keepdim=True)


def max_pool2d(
    x: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Tensor | None:
    """(n, c, h, w) -> (n, c, h', w'): as torch's, the first of equal values takes the gradient, and NaN wins."""
    if x.ndim != 4 or ceil_mode:
        return None
    best, *others = windows(
        x.permute(1, 2, 3, 0),
        pair(kernel_size),
        pair(stride or kernel_size),
        pair(dilation),
        padding_of(padding, (0, 0), (0, 0)),
        -math.inf,
    )
    for each in others:
        best = torch.where((each > best) | each.isnan(), each, best)
    return best.permute(3, 0, 1, 2)


def avg_pool2d(
    x: Tensor,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor | None:
    """(n, c, h, w) -> (n, c, h', w')."""
    around = padding_of(padding, (0, 0), (0, 0))
    if x.ndim != 4 or ceil_mode or divisor_override or (any(around) and not count_include_pad):
        return None
    parts = windows(x.permute(1, 2, 3, 0), pair(kernel_size), pair(stride or kernel_size), (1, 1), around)
    return (functools.reduce(torch.add, parts) / len(parts)).permute(3, 0, 1, 2)


def windows(
    images: Tensor,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: tuple[int, int, int, int],
    fill: float = 0.0,
) -> list[Tensor]:
    """What each place of a sliding kernel sees, row by row: (c, h', w', n) of images (c, h, w, n)."""
    (height, width), (down, right) = images.shape[1:3], stride
    left, after, top, below = padding
    out_height = (height + top + below - dilation[0] * (kernel[0] - 1) - 1) // down + 1
    out_width = (width + left + after - dilation[1] * (kernel[1] - 1) - 1) // right + 1
    # up to a multiple of the stride: then windows are unit steps in the images' rows and columns taken apart
    below += -(height + top + below) % down
    after += -(width + left + after) % right
    if any((left, after, top, below)):
        images = F.pad(images, (0, 0, left, after, top, below), value=fill)
    channels, height, width, count = images.shape
    apart = images.reshape(channels, height // down, down, width // right, right, count)
    planes = [half.unbind(3) for half in apart.unbind(2)]
    return [
        planes[row % down][column % right][
            :, row // down : row // down + out_height, column // right : column // right + out_width
        ]
        for row in range(0, dilation[0] * kernel[0], dilation[0])
        for column in range(0, dilation[1] * kernel[1], dilation[1])
    ]


def padding_of(
    padding: Size | str, kernel: tuple[int, int], dilation: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Left, right, top and bottom padding, in the order of `F.pad`."""
    if padding == "same":  # the odd pixel goes right and below, as torch does
        rows, columns = (gap * (places - 1) for places, gap in zip(kernel, dilation, strict=True))
        return columns // 2, columns - columns // 2, rows // 2, rows - rows // 2
    rows, columns = (0, 0) if isinstance(padding, str) else pair(padding)
    return columns, columns, rows, rows


def pair(size: Size) -> tuple[int, int]:
    """Height and width of a size that may be one number for both."""
    if isinstance(size, int):
        return size, size
    return size[0], size[-1]


LANES: dict[Form, Form] = {
    torch.conv2d: conv2d,
    torch.conv_transpose2d: conv_transpose2d,
    F.batch_norm: batch_norm,
    F.linear: linear,
    F.cross_entropy: cross_entropy,
    F.nll_loss: nll_loss,
    F.adaptive_avg_pool2d: adaptive_avg_pool2d,
    torch.max_pool2d: max_pool2d,
    F.avg_pool2d: avg_pool2d,
    **RECURRENT,
}
"""torch's function -> its fast formulation, which takes the same arguments or gives None where it does not apply."""
SINGLE: dict[Form, Form] = {torch.conv2d: conv2d_channels_last}
"""The same for a program of one trial."""
