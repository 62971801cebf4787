"""RGB of 8 bits from a PIL image of any mode."""

from typing import NoReturn

import numpy as np
from PIL import Image

from sincut.errors import ImageError
from sincut.pictures.profiles import managed

SAME_NUMBERS = {"P", "PA", "RGBa"}  # modes whose colours are RGB already, in the space of the profile
SIXTEEN_BIT = {"I;16", "I;16B", "I;16L", "I;16N", "I"}
GREY = {"1", "L", "LA", "La", "F", *SIXTEEN_BIT}
IN_PROFILE = {"RGB", "RGBA", "RGBX", *SAME_NUMBERS}


def to_rgb(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, str]:
    """The image in mode RGB, and in words what changed the meaning of its numbers (they are sRGB then)."""
    if image.mode in SIXTEEN_BIT:
        return _from_integers(image), "16-bit greys became 8-bit RGB"
    if image.mode == "F":
        return _from_floats(image), "floating-point greys became 8-bit RGB"
    if image.mode == "CMYK":
        return managed(image, icc), f"CMYK became sRGB{' through its ICC profile' if icc else ' without a profile'}"
    if image.mode in ("L", "1", "LA", "La"):
        return (managed(image.convert("L"), icc) if icc else image.convert("RGB")), "greys became RGB"
    if image.mode in ("RGB", "RGBA", "RGBX"):
        return image.convert("RGB"), ""
    if image.mode in ("P", "PA", "RGBa", "YCbCr", "LAB", "HSV"):
        straight = image.convert("RGBA") if image.mode in SAME_NUMBERS else image
        return straight.convert("RGB"), f"mode {image.mode} became RGB"
    _refuse_mode(image.mode)


def _refuse_mode(mode: str) -> NoReturn:
    raise ImageError(f"pixels of mode {mode} are not supported; convert the picture to RGB")


def _from_integers(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError("its 32-bit integers are no 16-bit greys; convert the picture to 8 or 16 bits")
    return Image.fromarray((values / 257).round().astype(np.uint8)).convert("RGB")


def _from_floats(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise ImageError("its floating-point values are not all in 0..1; scale them, or convert the picture to 8 bits")
    return Image.fromarray((values * 255).round().astype(np.uint8)).convert("RGB")
