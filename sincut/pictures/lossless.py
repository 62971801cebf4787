"""Pictures in memory as bytes that lose nothing: PNG, inside files of another kind."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sincut.errors import DamagedError
from sincut.pictures.opening import decoding

LEVEL = 6  # of zlib; 9 takes up to three times as long for a hundredth of the bytes


def packed(pixels: NDArray[np.uint8]) -> bytes:
    """The bytes of a PNG file of pixels (H, W, 3), without any metadata."""
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG", compress_level=LEVEL)
    return data.getvalue()


def unpacked(data: bytes, most_pixels: int) -> NDArray[np.uint8]:
    """The pixels (H, W, 3) of bytes that `packed` made. Raises `DamagedError` for any others, whatever they claim.

    The size that the header declares is read first; one of more than `most_pixels` is not decoded.
    """
    with decoding(), Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        if image.width * image.height > most_pixels:
            raise DamagedError(f"declares {image.width}x{image.height} pixels, more than {most_pixels}")
        if image.mode != "RGB":
            raise DamagedError(f"has the mode {image.mode}, not RGB")
        return np.array(image)
