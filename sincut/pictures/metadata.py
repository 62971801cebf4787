"""What a file carries beside its pixels: orientation, EXIF, XMP, resolution."""

import contextlib
import re
import struct
from typing import Any, BinaryIO

from PIL import Image, ImageOps

from sincut.pictures import tiff_exif as tiff
from sincut.pictures.jpeg import options_of
from sincut.pictures.modes import GREY

UPRIGHT = "turned upright as its EXIF orientation says"
ORIENTATION = 0x0112
# Tags that say where and how a TIFF file keeps its pixels, profile and other blocks; those are written anew.
TIFF_LAYOUT = (
    *(*range(254, 260), 262, 266, 273, 274, *range(277, 280), 282, 283, 284, 296, 317, *range(320, 326), 330, 338, 339),
    *(347, 513, 514, *range(529, 533), 700, 33723, 34377, 34675),
)
XMP_TAG = 700
ORIENTATION_IN_XMP = re.compile(rb"(tiff:Orientation(?:=[\"']|>))[2-8]")
SUB_DIRECTORIES = (0x8769, 0x8825)  # of EXIF and GPS
DAMAGED_EXIF = (ValueError, TypeError, SyntaxError, LookupError, OSError, RuntimeError, ArithmeticError, struct.error)


def carried_by(image: Image.Image) -> dict[str, Any]:
    """The fields of a `Picture` that are no pixels."""
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    return {
        "icc": image.info.get("icc_profile") or None,
        "exif": _exif(image),
        "xmp": ORIENTATION_IN_XMP.sub(rb"\g<1>1", xmp.encode() if isinstance(xmp, str) else xmp) if xmp else None,
        "dpi": _resolution(image.info.get("dpi")),
        "grey": image.mode in GREY or any(str(tile[3]).startswith("LA") for tile in getattr(image, "tile", ())),
        "jpeg": options_of(image),
    }


def turned_upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says, or itself where there is nothing to turn or EXIF is damaged."""
    try:
        return ImageOps.exif_transpose(image) if orientation_of(image) != 1 else image
    except DAMAGED_EXIF:
        return image


def orientation_of(image: Image.Image) -> int:
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except DAMAGED_EXIF:
        return 1
    return found if found in range(2, 9) else 1


def _exif(image: Image.Image) -> bytes | None:
    """EXIF tags to write back: all but the orientation, which is applied, and how a TIFF file is laid out."""
    try:
        found = _exact(image.getexif())
        found.bigtiff = False  # what is read of a BigTIFF file is written as everywhere else
        exif = Image.Exif()
        exif.load(found.tobytes())  # a copy: the image keeps its own
        for tag in (ORIENTATION, *(TIFF_LAYOUT if image.format == "TIFF" else ())):
            exif.pop(tag, None)
        return _exact(exif).tobytes() if len(exif) else None
    except DAMAGED_EXIF:  # it must not stop the picture
        return None


class _Text(str):
    """A text of EXIF that is written as it was read: Pillow reads it as Latin-1, but would write "?" for an umlaut."""

    def encode(self, encoding: str = "", errors: str = "") -> bytes:
        return super().encode("latin-1", "replace")


def _exact(exif: Image.Exif) -> Image.Exif:
    """The same tags, whose texts will keep their very bytes."""
    for tags in (exif, *(exif.get_ifd(directory) for directory in SUB_DIRECTORIES if directory in exif)):
        for tag, value in list(tags.items()):
            if isinstance(value, str):
                tags[tag] = _Text(value)
    return exif


def _resolution(dpi: Any) -> tuple[float, float] | None:
    try:
        x, y = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if 0 < x < 1e6 and 0 < y < 1e6 else None


def for_tiff(exif: bytes | None) -> Image.Exif:
    """EXIF without tags that would describe the pixels of another file."""
    tags = Image.Exif()
    tags.load(exif or b"")
    for tag in TIFF_LAYOUT:  # a JPEG's EXIF may have them too
        tags.pop(tag, None)
    return _exact(tags)


def add_to_tiff(file: BinaryIO, exif: bytes) -> None:
    """Into a TIFF file without any; tags that mean nothing must stop no picture."""
    with contextlib.suppress(*DAMAGED_EXIF):
        tiff.add_exif(file, for_tiff(exif))
