"""A picture as a training learns from it: no larger than its crops can show, and only what can be seen of it.

Crops are taken at up to `crops.high` px of the picture's width. A file of many more pixels than that is scaled down
while it is read; one of up to `LARGE` pixels keeps its size, and where nothing of it is hidden, its very pixels. Of a
set of pictures, all of which are in memory, each takes less.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from sincut.config.networks import Crops
from sincut.errors import ImageError
from sincut.pictures import reduced
from sincut.pictures.opening import MAX_PIXELS
from sincut.pictures.picture import Picture
from sincut.pictures.reduced import Size
from sincut.pictures.visible import visible_part

LARGE = 8_000_000  # px: a picture of more is scaled down
MOST = 3_000_000  # px that it then has, unless it were narrower than the widest crops see it
LARGE_IN_SET, MOST_IN_SET = 2_000_000, 1_000_000  # the same two of a picture of a set, since all are in memory
EXCESS = 2.0  # width that it then has at most, as a multiple of `crops.high`, where `crops.excess` says nothing


class Learned(NamedTuple):
    """A picture to learn from: pixels that show nothing hidden, and alpha beside them where some of it was."""

    picture: Picture
    size: Size  # of the file or the whole picture, upright
    scale: float  # px of `picture` per px of the file


def scale_for_width(size: Size, crops: Crops, multiple: float) -> float:
    """The scale at which a picture (H, W) is this multiple of the widest that crops see; a crop fits so often, too.

    With `crops.scale=square` its shorter side counts.
    """
    h, w = size
    side = min(h, w) if crops.scale == "square" else w
    return max(multiple * crops.high / side, multiple * crops.size / min(h, w))


def size_learned(size: Size, crops: Crops, in_set: bool = False) -> Size:
    """The size (H, W) at which a picture is learned from.

    It is smaller than its own only beyond `LARGE` pixels, or `LARGE_IN_SET` of a picture that is `in_set`, and where
    `crops.scale` is a width or a side in px: other scales are those of the file's own pixels.
    """
    h, w = size
    if h * w <= (LARGE_IN_SET if in_set else LARGE) or not crops.in_pixels:
        return size
    most = MOST_IN_SET if in_set else MOST
    widest = min(math.sqrt(most / (h * w)), scale_for_width(size, crops, crops.excess or EXCESS))
    scale = max(widest, scale_for_width(size, crops, 1.0))
    return (max(1, round(h * scale)), max(1, round(w * scale))) if scale < 1 else size


def load(path: Path, crops: Crops, max_pixels: int = MAX_PIXELS, in_set: bool = False) -> Learned:
    """A picture file, to learn from by these settings. Raises `ImageError` that begins with the path."""
    picture, size = reduced.load(path, lambda size: size_learned(size, crops, in_set), max_pixels)
    try:
        return _learned(picture, size, crops)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None


def of(picture: Picture, crops: Crops, in_set: bool = False) -> Learned:
    """A picture in memory, to learn from by these settings. Raises `ImageError` where too little of it can be seen."""
    size = picture.size
    wanted = size_learned(size, crops, in_set)
    if wanted != size:
        shown = visible_part(picture)  # before scaling could mix it with what is hidden
        scale = wanted[1] / size[1]
        h, w = (max(1, round(side * scale)) for side in shown.size)
        alpha = None if shown.alpha is None else reduced.scaled(shown.alpha[..., None], (h, w))[..., 0]
        note = f"scaled down by {1 / scale:.3g}, to {w}x{h}"
        pixels = reduced.scaled(shown.pixels, (h, w))
        return Learned(replace(shown, pixels=pixels, alpha=alpha, notes=(*shown.notes, note)), size, scale)
    return _learned(picture, size, crops)


def _learned(picture: Picture, size: Size, crops: Crops) -> Learned:
    scale = picture.size[1] / size[1]
    return Learned(visible_part(picture, least=crops.size**2), size, scale)
