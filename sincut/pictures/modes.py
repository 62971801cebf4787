"""RGB and alpha, of 8 bits, of a PIL image of any mode.

Modes: https://pillow.readthedocs.io/en/stable/handbook/concepts.html#modes
"""

from typing import NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sincut.errors import ImageError
from sincut.pictures.profiles import UNUSABLE, managed

SAME_NUMBERS = {"P", "PA", "RGBa"}  # modes whose colours are RGB already, in the space of the profile
SIXTEEN_BIT = {"I;16", "I;16B", "I;16L", "I;16N", "I"}
GREY = {"1", "L", "LA", "La", "F", *SIXTEEN_BIT}
IN_PROFILE = {"RGB", "RGBA", "RGBX", *SAME_NUMBERS}
GREYS_BECAME_RGB = "greys became RGB"
OTHER_COLOURS = {*SAME_NUMBERS, "YCbCr", "LAB", "HSV"}  # than RGB
BECAME_RGB = "mode {mode} became RGB"
ALPHA = {"LA", "PA", "RGBA", "La", "RGBa"}


def has_alpha(image: Image.Image) -> bool:
    """True if some pixels of an image, decoded or not, may be transparent."""
    return image.mode in ALPHA or "transparency" in image.info


def alpha_of(image: Image.Image) -> NDArray[np.uint8] | None:
    """Alpha (H, W) of 8 bits; None where there is none, and of 16-bit greys, where Pillow would clip it."""
    if image.mode in SIXTEEN_BIT or not has_alpha(image):
        return None
    return np.asarray(_straight(image).convert("RGBA").getchannel("A"))


def to_rgb(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, str]:
    """The image in mode RGB without its alpha, and in words what changed the meaning of its numbers, or nothing.

    Where there are words, the numbers are sRGB, except in `IN_PROFILE` modes. `icc` is the file's profile, of use to
    greys and CMYK. Raises `ImageError` for numbers that mean no colours.
    """
    if image.mode in SIXTEEN_BIT:
        return _managed(_from_integers(image), icc, "16-bit greys became 8-bit RGB")
    if image.mode == "F":
        return _managed(_from_floats(image), icc, "floating-point greys became 8-bit RGB")
    if image.mode == "CMYK":
        through = "through its ICC profile" if icc else "without a profile"
        return _managed(image, icc, f"CMYK became sRGB {through}", "CMYK became sRGB")
    if image.mode in ("L", "1", "LA", "La"):
        return _managed(_straight(image).convert("L"), icc, GREYS_BECAME_RGB)
    if image.mode in ("RGB", "RGBA", "RGBX"):
        return image.convert("RGB"), ""
    if image.mode in OTHER_COLOURS:
        straight = image.convert("RGBA") if image.mode in SAME_NUMBERS else image
        return straight.convert("RGB"), BECAME_RGB.format(mode=image.mode)
    _refuse_mode(image.mode)


def _managed(image: Image.Image, icc: bytes | None, words: str, without: str = "") -> tuple[Image.Image, str]:
    """Greys or CMYK in sRGB, and in words what was done; of a profile that is of no use that is said too."""
    converted, through = managed(image, icc)
    return converted, words if through or not icc else f"{without or words}; {UNUSABLE}"


def _straight(image: Image.Image) -> Image.Image:
    """Greys that are multiplied by their alpha (La) are divided by it; Pillow converts La to nothing else."""
    return image.convert("LA") if image.mode == "La" else image


def _refuse_mode(mode: str) -> NoReturn:
    """Raise `ImageError` that names the mode."""
    raise ImageError(f"pixels of mode {mode} are not supported; convert the picture to RGB")


def _from_integers(image: Image.Image) -> Image.Image:
    """Integers in 0..65535 -> greys of 8 bits, rounded. Raises `ImageError` for others."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError("its 32-bit integers are no 16-bit greys; convert the picture to 8 or 16 bits")
    return Image.fromarray((values / 257).round().astype(np.uint8))


def _from_floats(image: Image.Image) -> Image.Image:
    """Floats in 0..1 -> greys of 8 bits, rounded. Raises `ImageError` for others."""
    values = np.asarray(image)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise ImageError("its floating-point values are not all in 0..1; scale them, or convert the picture to 8 bits")
    return Image.fromarray((values * 255).round().astype(np.uint8))
