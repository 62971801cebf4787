"""Pictures and arrays at other sizes, and the small pictures that stand in model files."""

import base64
import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sincut.pictures.picture import Picture, Pixels, eight_bit

ROWS_AT_ONCE = 512  # of pictures that are read in parts
LANCZOS_REACH = 3  # px of the smaller of two pictures, to either side
LARGEST_THUMBNAIL = 1024  # px of the longer side, that is taken from a model file


def resized(values: NDArray[Any], size: tuple[int, int], rows: tuple[int, int] | None = None) -> NDArray[np.float32]:
    """An array (H, W, 3) at another size (H', W'), or these rows of it, top to bottom: Lanczos' filter, not clipped."""
    h, w = size
    top, bottom = rows or (0, h)
    return _lanczos(values, (bottom - top, w), top * len(values) / h, bottom * len(values) / h)


def resized_rows(
    read: Callable[[int, int], Pixels], size: tuple[int, int], wanted: tuple[int, int]
) -> NDArray[np.float32]:
    """`resized` to the `wanted` size (H', W') for a picture of `size` (H, W) that is read in parts.

    `read` gives its whole rows (bottom - top, W, 3) from top to bottom.
    """
    h, (new_h, new_w) = size[0], wanted
    factor = h / new_h
    reach = math.ceil(LANCZOS_REACH * max(1.0, factor)) + 1  # px that the filter sees to either side
    step = max(1, int(ROWS_AT_ONCE / factor))
    out = np.empty((new_h, new_w, 3), np.float32)
    for top in range(0, new_h, step):
        bottom = min(top + step, new_h)
        first, last = max(0, int(top * factor) - reach), min(h, math.ceil(bottom * factor) + reach)
        part = read(first, last)
        out[top:bottom] = _lanczos(part, (bottom - top, new_w), top * factor - first, min(bottom * factor, h) - first)
    return out


def _lanczos(values: NDArray[Any], size: tuple[int, int], top: float, bottom: float) -> NDArray[np.float32]:
    """The part of an array (H, W, 3) between two heights, at another size; the filter sees what is beyond them."""
    h, w = size
    out = np.empty((h, w, 3), np.float32)
    box = (0, top, values.shape[1], bottom)
    for channel in range(3):
        plane = Image.fromarray(values[..., channel].astype(np.float32))
        out[..., channel] = np.asarray(plane.resize((w, h), Image.Resampling.LANCZOS, box=box))
    return out


def shrink(picture: Picture, megapixels: float) -> Picture:
    """The picture's 8-bit pixels, scaled down (antialiased) to so many megapixels where it has more.

    Alpha and metadata are left out.
    """
    h, w = picture.size
    factor = (megapixels * 1e6 / (h * w)) ** 0.5
    pixels = eight_bit(picture.pixels)
    if factor >= 1:
        return Picture(pixels)
    size = max(1, round(w * factor)), max(1, round(h * factor))
    return Picture(np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)))


def thumbnail(picture: Picture, side: int = 160) -> bytes:
    """The bytes of a small JPEG of the picture, its longer side `side` px, for the model file."""
    image = Image.fromarray(eight_bit(picture.pixels))
    image.thumbnail((side, side))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=80)
    return data.getvalue()


def from_thumbnail(text: str) -> Image.Image | None:
    """The image of a `thumbnail` in base64, as model files hold it; None for anything else a stranger has put there."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(text)), formats=["JPEG"]) as image:
            return image.convert("RGB") if max(image.size) <= LARGEST_THUMBNAIL else None
    except Exception:  # decoders raise almost anything on damaged files
        return None
