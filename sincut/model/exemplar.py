"""The exemplar of a model: the target's own pixels, of which translations are drawn.

They are those of the picture that the training learned from, not filtered, and scaled down to what the training could
see of it: about the width at which crops were taken, and a size that a file can carry. In the file they stand as the
bytes of a PNG, `exemplar.png`, so that nothing is lost; their width and height stand in its metadata too.

Of a set of targets there are several, which share the pixels that a file can carry. They keep that scale, since strokes
that are scaled down would be drawn too small; so of large sets they are parts of the pictures, each the one whose
colours are most like the whole picture's. The second and further ones are `exemplar.1.png` and so on, their sizes are
`exemplars` in the metadata: versions of sincut that know of one alone draw from the first.
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sincut.config.networks import Crops
from sincut.errors import DamagedError
from sincut.pictures.lossless import packed, unpacked
from sincut.pictures.picture import Pixels, to_pixels, to_tensor
from sincut.pictures.resampling import resized

Size = tuple[int, int]  # height and width in px

TENSOR, SIZE = "exemplar.png", "exemplar"  # their names in a file: the PNG's bytes, and [width, height] in px
FURTHER_TENSOR, FURTHER_SIZES = "exemplar.{}.png", "exemplars"  # the same of the further ones of a set
WIDEST = 1.25  # width as a multiple of the largest at which crops are taken: somewhat finer than what G has seen
MOST_PIXELS = 2_000_000  # of all exemplars of a model
MOST_EXEMPLARS = 30  # of a model; of larger sets only every second, third, ... picture has one
LONGEST = 2.0  # side of an exemplar of a set, at most, as a multiple of that of a square that is its fair share
STRIDE = 4  # px: what is compared to choose a part of a picture
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


def exemplars_of(targets: Sequence[Pixels], crops: Crops) -> tuple[Tensor, ...]:
    """The exemplars of a set of targets, as `exemplar_of` makes them; at most `MOST_EXEMPLARS`.

    Where they have more than `MOST_PIXELS` together, large ones are cut to their most typical parts; these have the
    same area, and what small ones leave of theirs is for the others.
    """
    whole = [exemplar_of(target, crops) for target in targets[:: math.ceil(len(targets) / MOST_EXEMPLARS)]]
    if len(whole) == 1:
        return tuple(whole)
    longest = int(LONGEST * math.sqrt(MOST_PIXELS / len(whole)))  # strips would leave much of a `Source` empty
    sizes = [(min(each.shape[0], longest), min(each.shape[1], longest)) for each in whole]
    left, parts = MOST_PIXELS, list(whole)
    order = sorted(range(len(whole)), key=lambda number: math.prod(sizes[number]))
    for done, number in enumerate(order):
        factor = min(1.0, math.sqrt(left / (len(order) - done) / math.prod(sizes[number])))
        h, w = (max(SHORTEST, math.floor(side * factor)) for side in sizes[number])
        parts[number] = _typical_part(whole[number], h, w)
        left -= h * w
    return tuple(parts)


def _typical_part(exemplar: Tensor, h: int, w: int) -> Tensor:
    """The part (h, w, 3) of an exemplar whose colours' means and deviations are most like those of all of it."""
    size = exemplar.shape[0], exemplar.shape[1]
    if (h, w) == size:
        return exemplar
    small = exemplar[::STRIDE, ::STRIDE].permute(2, 0, 1)[None].float() / 255
    window = max(1, h // STRIDE), max(1, w // STRIDE)
    values = torch.cat([small, small.square()], 1)
    means = F.avg_pool2d(values, window, stride=[max(1, side // 8) for side in window])  # (1, 6, rows, columns)
    apart = (_statistics(means) - _statistics(values.mean((2, 3), keepdim=True))).square().sum(1)[0]
    row, column = divmod(int(apart.argmin()), apart.shape[1])
    top, left = (
        min(number * max(1, side // 8) * STRIDE, whole - part)
        for number, side, whole, part in zip((row, column), window, size, (h, w), strict=True)
    )
    return exemplar[top : top + h, left : left + w].contiguous()


def _statistics(means: Tensor) -> Tensor:
    """Means and mean squares of colours (1, 6, ...) -> their means and standard deviations."""
    mean, square = means.chunk(2, dim=1)
    return torch.cat([mean, (square - mean.square()).clamp(min=0).sqrt()], 1)


def size_of(h: int, w: int, crops: Crops) -> Size:
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


def to_file(exemplars: Sequence[Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file that carries these exemplars (H, W, 3), by name; nothing for none."""
    tensors, sizes = {}, []
    for number, exemplar in enumerate(exemplars):
        data = np.frombuffer(packed(exemplar.numpy()), np.uint8).copy()
        tensors[_name(number)] = torch.from_numpy(data)
        sizes.append([exemplar.shape[1], exemplar.shape[0]])
    told = {SIZE: json.dumps(sizes[0])} if sizes else {}
    return tensors, told | ({FURTHER_SIZES: json.dumps(sizes[1:])} if sizes[1:] else {})


def is_of_exemplars(name: str) -> bool:
    """True for the name of a tensor or an entry of the metadata that `to_file` makes."""
    return name in (SIZE, FURTHER_SIZES, *map(_name, range(MOST_EXEMPLARS)))


def from_file(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> tuple[Tensor, ...]:
    """The exemplars (H, W, 3), uint8, of a file with these tensors and metadata.

    Raises ValueError for such that `to_file` has not made, before more than `MOST_PIXELS` of one are decoded.
    """
    sizes = sizes_told(metadata)
    if not sizes and TENSOR not in tensors:
        return ()
    if not sizes or sum(map(math.prod, sizes[1:])) > MOST_PIXELS:
        raise ValueError("its exemplar is not complete")
    return tuple(_decoded(tensors.get(_name(number)), size) for number, size in enumerate(sizes))


def _decoded(data: Tensor | None, size: Size) -> Tensor:
    """The exemplar of this size (H, W) of a PNG's bytes. Raises ValueError."""
    if data is None or data.dtype != torch.uint8 or data.ndim != 1:
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


def _name(number: int) -> str:
    """The name of the tensor of an exemplar, counted from 0."""
    return FURTHER_TENSOR.format(number) if number else TENSOR


def sizes_told(metadata: Mapping[str, str]) -> tuple[Size, ...]:
    """Height and width of each exemplar as a file's metadata tell them. Raises ValueError."""
    if SIZE not in metadata:
        return ()
    further = json.loads(metadata.get(FURTHER_SIZES, "[]"))
    if not isinstance(further, list) or len(further) >= MOST_EXEMPLARS:
        raise ValueError("the sizes of its exemplars are not told")
    return tuple(map(_size, [json.loads(metadata[SIZE]), *further]))


def _size(told: Any) -> Size:
    """Height and width from [width, height]. Raises ValueError for anything else."""
    if not (isinstance(told, list) and len(told) == 2 and all(type(side) is int and side > 0 for side in told)):
        raise ValueError("the size of its exemplar is not told")
    width, height = told
    return height, width
