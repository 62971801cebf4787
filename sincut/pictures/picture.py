"""A picture in memory: its pixels, and all that goes back into its file; the numbers that networks see.

Pixels are (H, W, 3), alpha is (H, W), both of 8 or 16 bits. Networks see (1, 3, H, W) float32 in [-1, 1].
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


class Metadata(NamedTuple):
    """Metadata of a file that is written back, as bytes of its own format; None where there is none."""

    icc: bytes | None = None  # the RGB profile in whose space the file is written; None: sRGB, without a profile
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None  # across, down
    photoshop: bytes | None = None  # image resources of Photoshop, IPTC among them
    comments: tuple[bytes, ...] = ()
    chunks: tuple[tuple[bytes, bytes], ...] = ()  # kind and contents of those of PNG that stay as they are, as texts


@dataclass(frozen=True, eq=False)  # equal only to itself: arrays have no single truth
class Picture:
    """sRGB pixels (H, W, 3), alpha (H, W) or None, both uint8 or both uint16, and what goes back into a file."""

    pixels: Pixels
    alpha: Pixels | None = None
    icc: bytes | None = None  # these four as in `Metadata`
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    grey: bool = False  # the file knew no colours
    jpeg: Mapping[str, Any] = field(default_factory=dict)  # Pillow's options that repeat the source's quality
    notes: tuple[str, ...] = ()  # conversions on the way, in words
    photoshop: bytes | None = None  # these three as in `Metadata`
    comments: tuple[bytes, ...] = ()
    chunks: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        h, w = self.pixels.shape[:2]
        return h, w

    @property
    def metadata(self) -> Metadata:
        """All that goes back into a file beside the pixels."""
        return Metadata(self.icc, self.exif, self.xmp, self.dpi, self.photoshop, self.comments, self.chunks)


def to_tensor(pixels: Pixels) -> Tensor:
    """Pixels (H, W, 3) of 8 or 16 bits -> (1, 3, H, W) float32 in [-1, 1], on the CPU."""
    half = np.float32(np.iinfo(pixels.dtype).max / 2)
    return torch.from_numpy(pixels.astype(np.float32) / half - 1).permute(2, 0, 1)[None]


def to_pixels(image: Tensor, dtype: "np.dtype[Any] | type" = np.uint8) -> Pixels:
    """A tensor (1, 3, H, W), clipped to [-1, 1] -> pixels (H, W, 3) of 8 or 16 bits, as `dtype` says, rounded."""
    values = ((image[0].float().clamp(-1, 1) + 1) * (np.iinfo(dtype).max / 2)).round()
    values = values.byte() if dtype == np.uint8 else values.to(torch.uint16)
    pixels: Pixels = values.permute(1, 2, 0).contiguous().cpu().numpy()
    return pixels


def eight_bit(values: Pixels) -> NDArray[np.uint8]:
    """Values of 8 or 16 bits and any shape -> 8 bits, rounded."""
    if values.dtype == np.uint8:
        return values  # type: ignore[return-value]
    return ((values.astype(np.uint32) * 255 + 32_767) // 65_535).astype(np.uint8)


def on_white(picture: Picture) -> Picture:
    """The picture laid on white, without alpha; itself where it has none."""
    if picture.alpha is None:
        return picture
    most = np.iinfo(picture.pixels.dtype).max
    share = picture.alpha[..., None].astype(np.float32) / most
    mixed: Any = (picture.pixels * share + most * (1 - share)).round().astype(picture.pixels.dtype)
    return replace(picture, pixels=mixed, alpha=None)
