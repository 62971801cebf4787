"""Masks: greyscale pictures that say where, and how strongly, another picture is translated."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageChops, ImageFilter
from torch import Tensor

from sincut.errors import ImageError
from sincut.pictures.opening import MAX_PIXELS
from sincut.pictures.picture import eight_bit
from sincut.pictures.reading import load, size_of

MASK_TOLERANCE = 0.02  # by which its aspect may differ from the picture's
MASK_SOFTNESS = 0.003  # of the longer side: the radius that softens hard edges
MASK_PIXELS = 16_000_000  # of a mask that are kept; its edges are soft anyway


@dataclass(frozen=True)
class Mask:
    """Where a picture of `size` (H, W) is to be translated: greys 0 (not at all) to 255, at a size of their own."""

    greys: Image.Image  # of mode F
    size: tuple[int, int]

    def weight(self, box: tuple[int, int, int, int]) -> Tensor:
        """(1, 1, h, w) float32 in [0, 1] for the picture's box of top, left, bottom, right."""
        top, left, bottom, right = box
        down, across = self.greys.height / self.size[0], self.greys.width / self.size[1]
        part = (left * across, top * down, right * across, bottom * down)
        values = self.greys.resize((right - left, bottom - top), Image.Resampling.BILINEAR, box=part)
        return torch.from_numpy(np.asarray(values).clip(0, 255) / np.float32(255))[None, None]

    def touches(self, box: tuple[int, int, int, int]) -> bool:
        """Whether anything within the box is to be translated."""
        return bool(self.weight(box).any())


def load_mask(path: Path, size: tuple[int, int], max_pixels: int = MAX_PIXELS) -> Mask:
    """A mask for a picture of `size` (H, W). Greys count as they are; hard edges are softened.

    Raises `ImageError` where it has another shape.
    """
    h, w = size
    size_of(path, max_pixels)  # says what is wrong with what is no picture
    greys, (mask_h, mask_w) = _greys_of_mask(path, max_pixels, path.stat().st_mtime_ns)
    if abs(mask_w / mask_h * h / w - 1) > MASK_TOLERANCE:
        raise ImageError(f"{path}: the mask is {mask_w}x{mask_h}, the picture {w}x{h}; give one of its shape")
    return Mask(greys, size)


@lru_cache(maxsize=2)  # one mask serves a whole folder
def _greys_of_mask(path: Path, max_pixels: int, _modified: int) -> tuple[Image.Image, tuple[int, int]]:
    """Upright, softened where they are hard, and the size (H, W) that they had."""
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
