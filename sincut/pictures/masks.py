"""Masks: greyscale pictures that say where, and how strongly, another picture is translated."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageChops, ImageFilter
from torch import Tensor

from sincut.errors import ImageError
from sincut.pictures.opening import MAX_PIXELS, told_with
from sincut.pictures.picture import eight_bit
from sincut.pictures.reading import load, size_of

MASK_TOLERANCE = 0.02  # relative difference of aspect ratios up to which a mask fits a picture
MASK_SOFTNESS = 0.003  # radius of the blur of hard edges, as a share of the longer side
MASK_PIXELS = 16_000_000  # larger masks are scaled down; their edges are soft anyway


@dataclass(frozen=True)
class Mask:
    """Weights of a picture's pixels: 0 where it stays as it is, 1 where it is translated."""

    greys: Image.Image  # of mode F, 0 to 255, at a size of its own
    size: tuple[int, int]  # of the picture, (H, W)

    def weight(self, box: tuple[int, int, int, int]) -> Tensor:
        """(1, 1, h, w) float32 in [0, 1] for the picture's box of top, left, bottom, right."""
        top, left, bottom, right = box
        down, across = self.greys.height / self.size[0], self.greys.width / self.size[1]
        part = (left * across, top * down, right * across, bottom * down)
        values = self.greys.resize((right - left, bottom - top), Image.Resampling.BILINEAR, box=part)
        return torch.from_numpy(np.asarray(values).clip(0, 255) / np.float32(255))[None, None]

    def touches(self, box: tuple[int, int, int, int]) -> bool:
        """True if anything within the box of top, left, bottom, right is to be translated."""
        return bool(self.weight(box).any())


def load_mask(path: Path, size: tuple[int, int], max_pixels: int = MAX_PIXELS) -> Mask:
    """The mask in a picture file, for a picture of `size` (H, W). Its greys are weights; hard edges are softened.

    Raises `ImageError` where it cannot be read as by `reading.load`, or its aspect ratio is not the picture's.
    """
    h, w = size
    size_of(path, max_pixels)  # says what is wrong with what is no picture
    with told_with(path):
        modified = path.stat().st_mtime_ns
    greys, (mask_h, mask_w) = _greys_of_mask(path, max_pixels, modified)
    if abs(mask_w / mask_h * h / w - 1) > MASK_TOLERANCE:
        raise ImageError(f"{path}: the mask is {mask_w}x{mask_h}, the picture {w}x{h}; give one of its shape")
    return Mask(greys, size)


@lru_cache(maxsize=2)  # one mask serves a whole folder
def _greys_of_mask(path: Path, max_pixels: int, _modified: int) -> tuple[Image.Image, tuple[int, int]]:
    """The mask's greys, upright, at most `MASK_PIXELS`, softened where edges are hard, and its own size (H, W)."""
    picture = load(path, max_pixels)
    mask = Image.fromarray(eight_bit(picture.pixels)).convert("L")
    if picture.alpha is not None:
        mask = ImageChops.multiply(mask, Image.fromarray(eight_bit(picture.alpha)))
    levels = np.asarray(mask)
    hard = not ((levels > 0) & (levels < 255)).any()
    too_large = (mask.width * mask.height / MASK_PIXELS) ** 0.5
    if too_large > 1:
        mask = mask.resize((round(mask.width / too_large), round(mask.height / too_large)), Image.Resampling.BOX)
    if hard:
        mask = mask.filter(ImageFilter.GaussianBlur(max(mask.size) * MASK_SOFTNESS))
    return mask.convert("F"), picture.size
