"""Image pyramids: pictures halved again and again, and the measures that are taken of a level.

Pictures are (1, C, H, W). A box is (top, left, bottom, right) in px of its level; the last two are outside. All filters
are small, so that a part of a level needs only a part of the level below it, and all of them continue a picture by its
last pixel.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

Box = tuple[int, int, int, int]

LUMA = (0.299, 0.587, 0.114)
HALVING = (0.125, 0.375, 0.375, 0.125)  # binomial filter of four pixels
SMOOTH = (1 / 64, 6 / 64, 15 / 64, 20 / 64, 15 / 64, 6 / 64, 1 / 64)  # binomial filter, sigma 1.22 px
SMOOTH_REACH = 3  # px
OUTLINE_REACH = 3  # px: gradients over two pixels, averaged over five


def halved(x: Tensor) -> Tensor:
    """(1, C, H, W) -> (1, C, H/2, W/2), H and W even. Pixels see one pixel beyond their own four."""
    return _separable(F.pad(x, (1, 1, 1, 1), mode="replicate"), HALVING, 2)


def smooth(x: Tensor) -> Tensor:
    """(1, C, H, W) -> the same, without the finest octave."""
    return _separable(F.pad(x, (SMOOTH_REACH,) * 4, mode="replicate"), SMOOTH, 1)


def outlines(x: Tensor) -> Tensor:
    """Strength of outlines: (1, 3, H, W) -> (1, 1, H, W), absolute diagonal gradients, averaged over 5x5 px."""
    padded = F.pad(x, (0, 1, 0, 1), mode="replicate")
    first = (padded[:, :, 1:, :-1] - padded[:, :, :-1, 1:]).abs()
    second = (padded[:, :, 1:, 1:] - padded[:, :, :-1, :-1]).abs()
    strength = (first + second).mean(1, keepdim=True)
    return F.avg_pool2d(F.pad(strength, (2,) * 4, mode="replicate"), 5, 1)


def luma(x: Tensor) -> Tensor:
    """(1, 3, H, W) -> (1, 1, H, W), the Y of Rec. 601."""
    return (x * x.new_tensor(LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)


def grown(box: Box, margin: int, size: tuple[int, int]) -> Box:
    """A box with `margin` px more on every side, as far as a picture of `size` (H, W) goes."""
    top, left, bottom, right = box
    return max(0, top - margin), max(0, left - margin), min(size[0], bottom + margin), min(size[1], right + margin)


def halved_box(box: Box) -> Box:
    """The smallest box of the next coarser level that covers a box."""
    top, left, bottom, right = box
    return top // 2, left // 2, -(-bottom // 2), -(-right // 2)


def within(box: Box, outer: Box) -> tuple[slice, slice]:
    """Rows and columns of a box in a picture that shows `outer`."""
    return slice(box[0] - outer[0], box[2] - outer[0]), slice(box[1] - outer[1], box[3] - outer[1])


def _separable(x: Tensor, taps: tuple[float, ...], stride: int) -> Tensor:
    channels, kernel = x.shape[1], torch.tensor(taps, dtype=x.dtype, device=x.device)
    x = F.conv2d(x, kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1), stride=(stride, 1), groups=channels)
    return F.conv2d(x, kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1), stride=(1, stride), groups=channels)
