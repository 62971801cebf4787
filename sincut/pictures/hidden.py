"""Colours for the wholly transparent parts of a picture, which a network that looks around itself would see.

The colours stored there are arbitrary (often black) and would bleed into the edges of what is visible. They are
replaced by averages of what is near and visible, over cells that grow until they hold something ("push-pull", Gortler
et al. 1996, "The Lumigraph"). Pixels are (H, W, 3), alpha (H, W), both of 8 or 16 bits.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sincut.pictures.picture import Pixels

MOST_CELLS = 4e6  # of the grid on which hidden colours are guessed; larger pictures have larger cells


def visible_everywhere(pixels: Pixels, alpha: Pixels | None) -> Pixels:
    """The pixels (H, W, 3) with colours that are near in wholly transparent places; as they are where nothing is."""
    if alpha is None or alpha.all():
        return pixels
    filling = Filling((alpha.shape[0], alpha.shape[1]), pixels.dtype)
    filling.add(0, pixels, alpha)
    return filling.fill(pixels, alpha, np.arange(alpha.shape[0]), np.arange(alpha.shape[1]))


class Filling:
    """Colours for the wholly transparent places of a picture (H, W).

    It is shown once in rows, by `add`; then any window of it can be filled.
    """

    def __init__(self, size: tuple[int, int], dtype: "np.dtype[Any]") -> None:
        h, w = size
        self.dtype = dtype
        self.cell = max(1, round((h * w / MOST_CELLS) ** 0.5))  # px
        shape = -(-h // self.cell), -(-w // self.cell)
        self.sums, self.counts = np.zeros((*shape, 3), np.float32), np.zeros((*shape, 1), np.float32)
        self.coarse: Pixels | None = None  # a colour for each cell

    def add(self, top: int, pixels: Pixels, alpha: Pixels) -> None:
        """Take in rows (h, W, 3) and (h, W) of the picture from `top` on, a multiple of `cell`."""
        first = top // self.cell
        for row in range(self.cell):
            for column in range(self.cell):
                seen = alpha[row :: self.cell, column :: self.cell, None] > 0
                part = np.where(seen, pixels[row :: self.cell, column :: self.cell], 0)
                h, w = part.shape[:2]
                self.sums[first : first + h, :w] += part
                self.counts[first : first + h, :w] += seen

    def fill(self, pixels: Pixels, alpha: Pixels, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Pixels:
        """The window (h, w, 3) at rows (h,) and columns (w,), filled; as it is where nothing is visible anywhere."""
        hidden = alpha == 0
        if not hidden.any() or not self.counts.any():
            return pixels
        if self.coarse is None:
            sums, counts = (torch.from_numpy(t).permute(2, 0, 1)[None] for t in (self.sums, self.counts))
            self.coarse = _push_pull(sums, counts)[0].permute(1, 2, 0).numpy().round().astype(self.dtype)
        out = pixels.copy()
        y, x = np.nonzero(hidden)
        out[y, x] = self.coarse[rows[y] // self.cell, columns[x] // self.cell]
        return out


def _push_pull(sums: Tensor, counts: Tensor) -> Tensor:
    """Mean colours (1, 3, H, W) of cells that hold `counts` (1, 1, H, W) colours with these `sums` (1, 3, H, W).

    Empty cells take theirs from the next coarser grid of cells, interpolated.
    """
    means = sums / counts.clamp(min=1)
    if bool((counts > 0).all()):
        return means
    pooled = (4 * F.avg_pool2d(t, 2, ceil_mode=True, count_include_pad=False) for t in (sums, counts))
    coarse = _push_pull(*pooled)
    spread = F.interpolate(coarse, size=counts.shape[2:], mode="bilinear")
    return torch.where(counts > 0, means, spread)
