"""The compression of a JPEG file (ITU-T T.81), so that its translation can be compressed alike."""

import io
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from sincut.pictures import scans
from sincut.pictures.formats import FULL_CHROMA
from sincut.pictures.segments import end_of_picture

END = b"\xff\xd9"  # the marker EOI (T.81, B.1.1.3)
# Nonsense in front of it. A decoder takes it for pixels where some are missing, and skips it where none are.
FILLINGS = (b"", b"\x55" * 64, b"\xaa" * 64, bytes(range(1, 255)))
MIDDLE = (126, 127, 128, 129)  # of all 8-bit values
LAST = 2**20  # bytes, within which a file ends with the marker, or with what cameras append to it


class Compression(NamedTuple):
    """The compression of a JPEG file, in libvips' terms."""

    quality: int  # 1 to 100
    subsampled: bool  # its chroma has half the resolution


def has_end(file: BinaryIO) -> bool:
    """True if an open JPEG file ends with its end-of-image marker, whatever stands behind that."""
    size = file.seek(0, os.SEEK_END)
    for last in (len(END), LAST):
        file.seek(max(0, size - last))
        if END in file.read(last):
            return True
    return False


def with_an_end(path: Path) -> Image.Image | None:
    """The image of a JPEG file that breaks off behind its last pixel, not decoded; None where pixels are missing too.

    A decoder makes up what it misses, so it is asked several times, with other bytes in place of what is missing: where
    all pixels are there, it never takes any of them.
    """
    with path.open("rb") as file:
        if has_end(file):
            return None
        file.seek(0)
        data, first = file.read().removesuffix(END[:1]), None
    try:
        for image in _filled(data):
            pixels = image.tobytes()
            if first not in (None, pixels):
                return None
            first = pixels
    except (OSError, SyntaxError, ValueError):
        return None
    return Image.open(io.BytesIO(data + END), formats=["JPEG", "MPO"])


def may_lack_pixels(image: Image.Image) -> bool:
    """True if the last pixel of a decoded JPEG is of the grey that decoders put where pixels are missing."""
    last = image.getpixel((image.width - 1, image.height - 1))
    return all(value in MIDDLE for value in (last if isinstance(last, tuple) else (last,))[:3])


def lacks_pixels(path: Path) -> bool:
    """True if pixels are missing in front of the end marker of a JPEG file, as where its height is not true.

    It is found out at an eighth of its size: a decoder never takes nonsense for pixels where none are missing.
    """
    with path.open("rb") as file:
        end = end_of_picture(file)
        file.seek(0)
        data = file.read(max(0, end - len(END)))
    first = b""
    try:
        for image in _filled(data) if end else ():
            image.draft(None, (1, 1))  # type: ignore[arg-type]
            pixels = image.tobytes()
            if not first and not may_lack_pixels(image):
                return False
            if first and first != pixels:
                return True
            first = pixels
    except (OSError, SyntaxError, ValueError):
        pass
    return False


def _filled(data: bytes) -> Iterator[Image.Image]:
    """The image of JPEG data without an end marker, not decoded, with each of `FILLINGS` in front of a new one."""
    for filling in FILLINGS:
        with Image.open(io.BytesIO(data + filling + END), formats=["JPEG", "MPO"]) as image:
            yield image


def loses_pixels(path: Path) -> bool:
    """True if a part of a JPEG file's pixels is missing, as its restart markers or its components show."""
    with path.open("rb") as file:
        return scans.lost(file).pixels


def options_of(image: Image.Image) -> dict[str, Any]:
    """Pillow's options that compress as the source was compressed; none for what is no JPEG in colour.

    `qtables` holds the quantisation tables of the components Y, Cb and Cr: one for all, one for Y and one for both
    others, or three.
    """
    tables = getattr(image, "quantization", None)
    if image.format not in ("JPEG", "MPO") or image.mode != "RGB" or not tables:
        return {}
    # The file numbers its tables from 0 to 3 as it likes, and each component says by which number it goes.
    numbers = [number for _, _, _, number in getattr(image, "layer", ())]
    if len(numbers) != 3 or not set(numbers) <= set(tables):
        return {}
    of_y, of_cb, of_cr = (tables[number] for number in numbers)
    distinct = [of_y, of_cb, of_cr] if numbers[1] != numbers[2] else [of_y, of_cb][: len(set(numbers))]
    sampling = JpegImagePlugin.get_sampling(image)
    return {"qtables": distinct, **({"subsampling": sampling} if sampling >= 0 else {})}


def compression_of(options: Mapping[str, Any], asked: int | None, default: int) -> Compression:
    """The compression for libvips: of the quality that is asked for, else like the source, else the default.

    `options` are those of `options_of`. A quality of `FULL_CHROMA` or more keeps all chroma.
    """
    tables = options.get("qtables")
    quality = asked or (quality_of(tables) if tables else 0) or default
    as_source = tables and not asked
    return Compression(quality, options.get("subsampling") != 0 if as_source else quality < FULL_CHROMA)


def quality_of(tables: Sequence[Sequence[int]]) -> int:
    """The quality, 1 to 100, whose standard table of Y is nearest to that of a JPEG file, the first of `tables`."""
    wanted = np.array(tables[0], float)
    return min(range(1, 101), key=lambda quality: np.abs(_standard_table(quality) - wanted).sum())


@lru_cache(maxsize=100)
def _standard_table(quality: int) -> NDArray[np.float64]:
    """The (64,) quantisation table of Y that libjpeg has for a quality."""
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "JPEG", quality=quality)
    with Image.open(file, formats=["JPEG"]) as image:
        return np.array(getattr(image, "quantization")[0], float)  # noqa: B009 (of JPEG files only)
