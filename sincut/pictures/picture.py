"""A picture in memory: its pixels, and what goes back into its file; the numbers that networks see.

Pixels are (H, W, 3), alpha is (H, W), both of 8 or 16 bits. Networks see (1, 3, H, W) float32 in [-1, 1].
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class Picture:
    """sRGB pixels (H, W, 3), alpha (H, W) or None, both uint8 or both uint16, and what goes back into a file."""

    pixels: Pixels
    alpha: Pixels | None = None
    icc: bytes | None = None  # the RGB profile in whose space the file is written; None: sRGB, without a profile
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    grey: bool = False  # the file knew no colours
    jpeg: Mapping[str, Any] = field(default_factory=dict)  # Pillow's options that repeat the source's quality
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        h, w = self.pixels.shape[:2]
        return h, w

    def with_pixels(self, pixels: Pixels) -> "Picture":
        """Other pixels of the same size, the same metadata."""
        return replace(self, pixels=pixels)


def to_tensor(pixels: Pixels) -> Tensor:
    """(H, W, 3) of 8 or 16 bits -> (1, 3, H, W) float32 in [-1, 1]."""
    half = np.float32(np.iinfo(pixels.dtype).max / 2)
    return torch.from_numpy(pixels.astype(np.float32) / half - 1).permute(2, 0, 1)[None]


def to_pixels(image: Tensor, dtype: "np.dtype[Any] | type" = np.uint8) -> Pixels:
    """(1, 3, H, W) in [-1, 1], clipped -> (H, W, 3) of 8 or 16 bits, rounded."""
    values = ((image[0].float().clamp(-1, 1) + 1) * (np.iinfo(dtype).max / 2)).round()
    values = values.byte() if dtype == np.uint8 else values.to(torch.uint16)
    pixels: Pixels = values.permute(1, 2, 0).contiguous().cpu().numpy()
    return pixels


def eight_bit(values: Pixels) -> NDArray[np.uint8]:
    """8 or 16 bits -> 8 bits, rounded."""
    if values.dtype == np.uint8:
        return values  # type: ignore[return-value]
    return ((values.astype(np.uint32) * 255 + 32_767) // 65_535).astype(np.uint8)


def on_white(picture: Picture) -> Picture:
    assert picture.alpha is not None
    most = np.iinfo(picture.pixels.dtype).max
    share = picture.alpha[..., None].astype(np.float32) / most
    mixed: Any = (picture.pixels * share + most * (1 - share)).round().astype(picture.pixels.dtype)
    return replace(picture, pixels=mixed, alpha=None)
