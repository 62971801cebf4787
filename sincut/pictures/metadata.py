"""Metadata of picture files: orientation, EXIF, XMP, resolution, and the compression of a JPEG.

Damaged metadata never stops a picture; it is left out. Tags are numbered as in Exif 3.0 (CIPA DC-008) and TIFF 6.0.
"""

import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple

from PIL import Image, ImageOps

from sincut.pictures import jpeg, tiff_exif
from sincut.pictures.modes import GREY
from sincut.pictures.picture import Metadata

ORIENTATION = 0x0112
# Tags that say where and how a TIFF file keeps its pixels, profile and other blocks; those are written anew.
TIFF_LAYOUT = (
    *(*range(254, 260), 262, 266, 273, 274, *range(277, 280), 282, 283, 284, 296, 317, *range(320, 326), 330, 338, 339),
    *(347, 513, 514, *range(529, 533), 700, 33723, 34377, 34675),
)
XMP_TAG = 700
ORIENTATION_IN_XMP = re.compile(rb"(tiff:Orientation(?:=[\"']|>))[2-8]")
SUB_DIRECTORIES = (0x8769, 0x8825)  # of EXIF and GPS
MOST_DPI = 1e6  # a larger resolution is damage
UPRIGHT = "turned upright as its EXIF orientation says"
# Pillow's parser of EXIF raises any of these on damaged tags.
DAMAGED_EXIF = (
    *(ValueError, TypeError, AttributeError, SyntaxError, LookupError, OSError, RuntimeError, ArithmeticError),
    struct.error,
)


class Carried(NamedTuple):
    """All that a file carries beside its pixels."""

    metadata: Metadata = Metadata()
    grey: bool = False  # the file knows no colours
    jpeg: Mapping[str, Any] = {}  # Pillow's options that repeat its compression; empty for what is no JPEG in colour


def carried_by(image: Image.Image) -> Carried:
    """The metadata of an opened image, decoded or not; damaged parts are left out. Raises OSError of the system."""
    icc = image.info.get("icc_profile") or None
    metadata = Metadata(icc, _exif(image), _xmp(image), _resolution(image.info.get("dpi")))
    return Carried(metadata, is_grey(image), jpeg.options_of(image))


def is_grey(image: Image.Image) -> bool:
    """True if the file knows no colours; of 16-bit greys with alpha, which Pillow decodes as RGBA, not known later."""
    return image.mode in GREY or any(str(tile[3]).startswith("LA") for tile in getattr(image, "tile", ()))


def read_tags(image: Image.Image) -> None:
    """Read the EXIF of a lazy image, which remembers it, before Pillow decodes a TIFF file and closes it."""
    with _left_out_if_damaged():
        if image.format == "TIFF":
            tiff_exif.nested(image.getexif())


def turned_upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says; itself where there is nothing to turn or EXIF is damaged."""
    with _left_out_if_damaged():
        return ImageOps.exif_transpose(image) if orientation_of(image) != 1 else image
    return image


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1, upright, where there is none or it is damaged."""
    orientation = 1
    with _left_out_if_damaged():
        orientation = image.getexif().get(ORIENTATION, 1)
    return orientation if orientation in range(2, 9) else 1


def for_tiff(exif: bytes | None) -> Image.Exif:
    """The tags of EXIF bytes, without those that would describe the pixels of another file; none of damaged bytes."""
    with _left_out_if_damaged():
        tags = Image.Exif()
        tags.load(exif or b"")
        for tag in TIFF_LAYOUT:  # a JPEG's EXIF may have them too
            tags.pop(tag, None)
        return tiff_exif.nested(_exact(tags))
    return Image.Exif()


def add_to_tiff(file: BinaryIO, exif: bytes) -> None:
    """Write EXIF into an open TIFF file that has none; damaged tags are left out. Raises OSError of the system."""
    with _left_out_if_damaged():
        tiff_exif.add_exif(file, for_tiff(exif))


@contextmanager
def _left_out_if_damaged() -> Iterator[None]:
    """End the block where Pillow stumbles over damaged metadata; errors of the system pass."""
    try:
        yield
    except DAMAGED_EXIF as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise


def _exif(image: Image.Image) -> bytes | None:
    """EXIF tags to write back: all but the orientation, which is applied, and how a TIFF file is laid out."""
    with _left_out_if_damaged():
        read = _exact(image.getexif())
        read.bigtiff = False  # what is read of a BigTIFF file is written as everywhere else
        exif = Image.Exif()
        exif.load(read.tobytes())  # a copy: the image keeps its own
        for tag in (ORIENTATION, *(TIFF_LAYOUT if image.format == "TIFF" else ())):
            exif.pop(tag, None)
        return _exact(exif).tobytes() if len(exif) else None
    return None


class _Text(str):
    """A text of EXIF that is written as it was read: Pillow reads it as Latin-1, but would write "?" for an umlaut."""

    def encode(self, encoding: str = "", errors: str = "") -> bytes:
        """The bytes that were read."""
        return super().encode("latin-1", "replace")


def _exact(exif: Image.Exif) -> Image.Exif:
    """The same tags, whose texts will keep their very bytes."""
    for tags in (exif, *(exif.get_ifd(directory) for directory in SUB_DIRECTORIES if directory in exif)):
        for tag, value in list(tags.items()):
            if isinstance(value, str):
                tags[tag] = _Text(value)
    return exif


def _xmp(image: Image.Image) -> bytes | None:
    """XMP to write back, its orientation 1, since the pixels are turned upright."""
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    if not xmp:
        return None
    return ORIENTATION_IN_XMP.sub(rb"\g<1>1", xmp.encode() if isinstance(xmp, str) else xmp)


def _resolution(dpi: Any) -> tuple[float, float] | None:
    """Dots per inch, across and down; None where a file says none that make sense."""
    try:
        x, y = (float(value) for value in dpi)
    except (TypeError, ValueError, ArithmeticError):
        return None
    return (x, y) if 0 < x < MOST_DPI and 0 < y < MOST_DPI else None
