"""The geometry of tiles: boxes that cover a picture, and the picture continued by mirroring beyond its border.

Positions are rows or columns in px, int64 tensors of consecutive numbers. A picture is mirrored also when it is
translated whole: zeros beyond the border, as in training crops, leave a thin coloured frame around the result.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

Box = tuple[int, int, int, int]  # top, left, bottom, right in px; the last two are outside


def tile_boxes(h: int, w: int, side: int) -> Iterator[Box]:
    """Tiles that cover (H, W) without overlap, row by row; each starts at a multiple of `side`."""
    for top in range(0, h, side):
        for left in range(0, w, side):
            yield top, left, min(top + side, h), min(left + side, w)


def count(size: tuple[int, int], side: int) -> int:
    """The number of tiles that cover a picture of `size` (H, W)."""
    return math.ceil(size[0] / side) * math.ceil(size[1] / side)


def positions(box: Box) -> tuple[Tensor, Tensor]:
    """Rows (h,) and columns (w,) of a box."""
    return torch.arange(box[0], box[2]), torch.arange(box[1], box[3])


def mirror(positions: Tensor, length: int) -> Tensor:
    """Positions on an endless line -> 0..length-1 of a picture continued by mirroring; its edge pixels stand once."""
    period = max(1, 2 * (length - 1))
    folded = positions % period
    return torch.minimum(folded, period - folded) % length


def extended(positions: Tensor, border: int) -> Tensor:
    """Consecutive positions with `border` more of them on both sides."""
    return torch.arange(int(positions[0]) - border, int(positions[-1]) + border + 1)


def mirrored_around(rows: Tensor, columns: Tensor, size: tuple[int, ...], border: int) -> tuple[Tensor, Tensor]:
    """Rows and columns with `border` more on every side, as positions in a picture of `size` (H, W, ...)."""
    return mirror(extended(rows, border), size[0]), mirror(extended(columns, border), size[1])


def index_of(positions: Tensor) -> "slice | NDArray[Any]":
    """Positions from `mirror` as an index: a slice, which copies nothing, where none of them is mirrored."""
    first, last = int(positions[0]), int(positions[-1])
    return slice(first, last + 1) if last - first == len(positions) - 1 else positions.numpy()
