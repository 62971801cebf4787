"""The exemplar of a model: the target's own pixels, of which translations are drawn.

They are those of the picture that the training learned from, not filtered, and scaled down to what the training could
see of it: about the width at which crops were taken, and a size that a file can carry. In the file they stand as the
bytes of a PNG, `exemplar.png`, so that nothing is lost; their width and height stand in its metadata too.
"""

import json
import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from sincut.config.sections import Crops
from sincut.errors import DamagedError
from sincut.pictures.lossless import packed, unpacked
from sincut.pictures.picture import Pixels, to_pixels, to_tensor
from sincut.pictures.resampling import resized

TENSOR, SIZE = "exemplar.png", "exemplar"  # their names in a file: the PNG's bytes, and [width, height] in px
WIDEST = 1.25  # width as a multiple of the largest at which crops are taken: somewhat finer than what G has seen
MOST_PIXELS = 2_000_000
SHORTEST = 8  # px of a side, at least: the patches of the synthesis have 5, and no training takes less
REMEDY = "add it with `sincut exemplar MODEL TARGET`"  # where a model has none, and needs one


def exemplar_of(target: Pixels, crops: Crops) -> Tensor:
    """The exemplar (H', W', 3), uint8, of a target's pixels (H, W, 3) of 8 or 16 bits, for these settings of crops.

    It has at most `MOST_PIXELS`, and with `crops.scale=width` at most `WIDEST` times `crops.high` px of width, unless
    its shorter side were then shorter than a crop. A smaller target keeps its size.
    """
    pixels = to_pixels(to_tensor(target))
    h, w = pixels.shape[:2]
    size = size_of(h, w, crops)
    if size != (h, w):
        pixels = resized(pixels, size).round().clip(0, 255).astype(np.uint8)
    return torch.from_numpy(np.ascontiguousarray(pixels))


def size_of(h: int, w: int, crops: Crops) -> tuple[int, int]:
    """Height and width in px of the exemplar of an (H, W) target, see `exemplar_of`."""
    factor = 1.0
    if crops.scale == "width":
        widest = min(WIDEST, crops.excess or WIDEST) * crops.high
        factor = min(factor, max(widest / w, crops.size / min(h, w)))
    factor = min(factor, math.sqrt(MOST_PIXELS / (h * w)))
    height, width = (round(side * factor) for side in (h, w))
    if height * width > MOST_PIXELS:  # where both were rounded up
        height, width = (math.floor(side * factor) for side in (h, w))
    longest = MOST_PIXELS // SHORTEST  # of a strip, which is then squeezed
    return max(min(height, longest), SHORTEST), max(min(width, longest), SHORTEST)


def to_file(exemplar: Tensor) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file that carries this exemplar (H, W, 3), by name."""
    data = np.frombuffer(packed(exemplar.numpy()), np.uint8).copy()
    h, w = exemplar.shape[:2]
    return {TENSOR: torch.from_numpy(data)}, {SIZE: json.dumps([w, h])}


def from_file(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Tensor | None:
    """The exemplar (H, W, 3), uint8, of a file with these tensors and metadata; None if it carries none.

    Raises ValueError for one that `to_file` has not made, before more than `MOST_PIXELS` are decoded.
    """
    data, size = tensors.get(TENSOR), size_told(metadata)
    if data is None and size is None:
        return None
    if data is None or size is None or data.dtype != torch.uint8 or data.ndim != 1:
        raise ValueError("its exemplar is not complete")
    try:
        pixels = unpacked(data.numpy().tobytes(), MOST_PIXELS)
    except DamagedError as error:
        raise ValueError(f"its exemplar {error}") from None
    if min(size) < SHORTEST:
        raise ValueError("its exemplar is too small")
    if pixels.shape[:2] != size:
        raise ValueError("its exemplar does not have the size that it says")
    return torch.from_numpy(pixels)


def size_told(metadata: Mapping[str, str]) -> tuple[int, int] | None:
    """Height and width of the exemplar as a file's metadata tell them; None if it carries none. Raises ValueError."""
    if SIZE not in metadata:
        return None
    told = json.loads(metadata[SIZE])
    if not (isinstance(told, list) and len(told) == 2 and all(type(side) is int and side > 0 for side in told)):
        raise ValueError("the size of its exemplar is not told")
    width, height = told
    return height, width
