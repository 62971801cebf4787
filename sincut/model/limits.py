"""The limits of a translator: whether and how pictures may be cut into tiles for it, and how large these may be.

Code that cuts, collects or sends pictures uses these and assumes nothing of the networks behind them.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Receptive radius `halo`, alignment `stride` and size limit `most_pixels` of a translator, as plain numbers.

    - `halo`: the distance in px within which input pixels influence an output pixel, a multiple of `stride`. None: any
      pixel may influence any other, so pictures are translated whole.
    - `stride`: tiles start at multiples of it, and what is translated at once has sides that are multiples of it (px).
    - `most_pixels`: the largest area, in px and with its halo, that can be translated at once. None: any.

    Raises `ValueError` for numbers that contradict each other.
    """

    halo: int | None
    stride: int = 1
    most_pixels: int | None = None

    def __post_init__(self) -> None:
        if self.stride < 1:
            raise ValueError(f"a stride of {self.stride} px: it must be 1 or more")
        if self.halo is not None and (self.halo < 0 or self.halo % self.stride):
            raise ValueError(f"a halo of {self.halo} px: it must be a multiple of the stride, {self.stride} px")
        if self.most_pixels is not None and self.most_pixels < (self.stride + 2 * self.border) ** 2:
            raise ValueError(f"at most {self.most_pixels} px: the smallest tile with its halo has more")

    @property
    def whole_only(self) -> bool:
        """True if pictures cannot be translated in tiles."""
        return self.halo is None

    @property
    def border(self) -> int:
        """Pixels that are read on every side of what is translated at once: the halo, 0 for whole pictures."""
        return self.halo or 0

    def aligned(self, length: int) -> int:
        """A length or position in px, rounded up to a multiple of `stride`."""
        return -(-length // self.stride) * self.stride

    def tile(self, side: int) -> int:
        """The side in px of a tile: as wanted, rounded up to the stride, but no larger than `most_pixels` allow."""
        if self.most_pixels is None:
            return self.aligned(side)
        largest = math.isqrt(self.most_pixels) - 2 * self.border
        return min(self.aligned(side), largest // self.stride * self.stride)
