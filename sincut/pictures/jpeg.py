"""The compression of a JPEG file (ITU-T T.81), so that its translation can be compressed alike."""

import io
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from sincut.pictures.formats import FULL_CHROMA


class Compression(NamedTuple):
    """The compression of a JPEG file, in libvips' terms."""

    quality: int  # 1 to 100
    subsampled: bool  # its chroma has half the resolution


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
