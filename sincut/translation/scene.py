"""A picture to be translated, in memory or in a file, seen through windows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from sincut.pictures.picture import Pixels, to_tensor
from sincut.translation.tiles import index_of


@dataclass(frozen=True)
class Scene:
    """A picture of `size` (H, W) whose pixels (h, w, 3) can be read by windows and by whole rows."""

    size: tuple[int, int]
    dtype: np.dtype[Any]
    window: Callable[[Tensor, Tensor], Pixels]  # at rows (h,) and columns (w,), consecutive or mirrored
    rows: Callable[[int, int], Pixels]  # whole rows top..bottom

    @classmethod
    def of(cls, pixels: Pixels) -> "Scene":
        """The scene of pixels (H, W, 3) in memory."""
        h, w = pixels.shape[:2]
        return cls(
            (h, w),
            pixels.dtype,
            lambda rows, columns: pixels[index_of(rows)][:, index_of(columns)],
            lambda top, bottom: pixels[top:bottom],
        )

    def tensor(self, rows: Tensor, columns: Tensor) -> Tensor:
        """A window (1, 3, h, w) in [-1, 1]."""
        return to_tensor(self.window(rows, columns))
