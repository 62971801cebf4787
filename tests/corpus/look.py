"""A look at an output file by other code than the program's: Pillow, and a PNG decoder of our own."""

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin

from corpus.files import png_pixels
from corpus.tiffs import tiff_pixels

ARTIST, DESCRIPTION, SOFTWARE = 315, 270, 305
RESOLUTION_UNIT, X_RESOLUTION, Y_RESOLUTION = 296, 282, 283
CM_PER_INCH = 2.54


@dataclass(frozen=True, eq=False)
class Look:
    """An output as a program sees it that obeys its profile."""

    pixels: np.ndarray  # (H, W, 3) of 8 or 16 bits, sRGB
    alpha: np.ndarray | None
    data: bytes
    dpi: tuple[float, float] | None
    profile: bool
    artist: str | None
    description: str | None
    texts: dict[str, str]  # of PNG
    comment: bytes | None  # of JPEG
    orientation: int
    owner: bytes | None  # in a maker's note, read as Canon's own software does; of JPEG


@contextmanager
def _long_texts() -> Iterator[None]:
    """A block in which Pillow takes compressed texts of any length."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PngImagePlugin, "MAX_TEXT_CHUNK", 2**26)
        yield


def look(data: bytes) -> Look:
    """What is seen of a file."""
    with _long_texts(), Image.open(io.BytesIO(data)) as image:
        image.load()
        exif = image.getexif()
        tags = {number: exif.get(number) for number in (ARTIST, DESCRIPTION)}
        numbers = _deep(image, data)
        numbers = _eight(image) if numbers is None else numbers
        alpha = numbers[..., -1] if numbers.shape[2] in (2, 4) else None
        colours = numbers[..., : numbers.shape[2] - (alpha is not None)]
        colours = np.repeat(colours, 3, axis=2) if colours.shape[2] == 1 else colours
        profile = image.info.get("icc_profile")
        return Look(
            _shown(colours, profile) if profile else colours,
            alpha,
            data,
            _dpi(image),
            bool(profile),
            tags[ARTIST],
            tags[DESCRIPTION],
            {str(key): str(value) for key, value in getattr(image, "text", {}).items()},
            image.info.get("comment"),
            exif.get(274, 1),
            _owner(data, exif),
        )


def _owner(data: bytes, exif: Image.Exif) -> bytes | None:
    """The third entry of a maker's note, whose place counts from the header of all EXIF."""
    note, head = exif.get_ifd(0x8769).get(37500), data.find(b"Exif\0\0") + 6
    if not isinstance(note, bytes):
        return None
    (place,) = struct.unpack_from("<I", note, 2 + 2 * 12 + 8)
    return data[head + place : head + place + 32].rstrip(b"\0")


def _deep(image: Image.Image, data: bytes) -> np.ndarray | None:
    """The numbers (H, W, channels) of a PNG or TIFF file of 16 bits, of which Pillow would make 8."""
    if image.format == "PNG" and data[24] == 16:
        return png_pixels(data)
    tags: Any = getattr(image, "tag_v2", {})
    return tiff_pixels(data, tags) if tags.get(258, (8,))[0] == 16 else None


def _eight(image: Image.Image) -> np.ndarray:
    numbers = np.asarray(image if image.mode in ("L", "LA", "RGB", "RGBA") else image.convert("RGB"))
    return numbers[..., None] if numbers.ndim == 2 else numbers


def _shown(colours: np.ndarray, profile: bytes) -> np.ndarray:
    """Numbers in the space of a profile as sRGB of 8 bits."""
    image = Image.fromarray(colours if colours.dtype == np.uint8 else (colours / 257).round().astype(np.uint8))
    own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    shown = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
    return np.asarray(shown)


def _dpi(image: Image.Image) -> tuple[float, float] | None:
    """Dots per inch; None where the file says none. In TIFF by its own tags, since Pillow invents some."""
    tags: Any = getattr(image, "tag_v2", None)
    if tags is None:
        return image.info.get("dpi")
    unit = tags.get(RESOLUTION_UNIT, 2)
    if X_RESOLUTION not in tags or unit not in (2, 3):
        return None
    factor = CM_PER_INCH if unit == 3 else 1.0
    return float(tags[X_RESOLUTION]) * factor, float(tags[Y_RESOLUTION]) * factor
