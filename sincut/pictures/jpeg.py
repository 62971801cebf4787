"""How strongly a JPEG file is compressed, so that its translation can be compressed alike."""

import io
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin


def options_of(image: Image.Image) -> dict[str, Any]:
    """What makes Pillow compress as the source was compressed; nothing for what is no JPEG in colour."""
    tables = getattr(image, "quantization", None)
    if image.format not in ("JPEG", "MPO") or image.mode != "RGB" or not tables:
        return {}
    sampling = JpegImagePlugin.get_sampling(image)
    return {"qtables": dict(tables), **({"subsampling": sampling} if sampling >= 0 else {})}


def quality_of(tables: Mapping[int, Any]) -> int:
    """The quality, 1 to 100, whose table of brightness is nearest to that of a JPEG file."""
    wanted = np.array(tables[0], float)
    return min(range(1, 101), key=lambda quality: np.abs(_standard_table(quality) - wanted).sum())


@lru_cache(maxsize=100)
def _standard_table(quality: int) -> NDArray[np.float64]:
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "JPEG", quality=quality)
    with Image.open(file, formats=["JPEG"]) as image:
        return np.array(getattr(image, "quantization")[0], float)  # noqa: B009 (of JPEG files only)
