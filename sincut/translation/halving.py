"""Tiles that are halved where the device runs out of memory, as often as it takes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch
from torch import Tensor

from sincut.devices import out_of_memory, release_memory
from sincut.errors import ImageError
from sincut.model.limits import Limits
from sincut.translation.memory import OTHER_DEVICE, SMALLEST_TILE, WHOLE_ONLY
from sincut.translation.tiles import Box, tile_boxes

Prepared = TypeVar("Prepared")


class TileTooLargeError(Exception):
    """A tile was too large for the device; a smaller one may do."""


@contextmanager
def told_of_memory(what: str, device: torch.device) -> Iterator[None]:
    """A block in which a lack of memory on the device means that `what` is too large: raises `TileTooLargeError`."""
    try:
        yield
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        raise TileTooLargeError(f"{what} does not fit into the memory of {device}") from None


class Halving(Generic[Prepared]):
    """Makes the tiles of one pass over a picture; those of more than `side` px are put together from smaller ones.

    `make` gives the tile (1, 3, h, w) of a box, from what was prepared for it or, given None, from scratch. Where it
    raises `TileTooLargeError`, `side` is halved for this tile and all that follow.
    """

    def __init__(
        self, make: Callable[[Box, Prepared | None], Tensor], side: int, limits: Limits, device: torch.device
    ) -> None:
        self.make, self.side, self.limits, self.device = make, side, limits, device

    def tile(self, box: Box, prepared: Prepared | None = None) -> Tensor:
        """The tile (1, 3, h, w) of a box. Raises `ImageError` where the smallest is too large."""
        longest = max(box[2] - box[0], box[3] - box[1])
        if longest <= self.side:
            try:
                return self.make(box, prepared)
            except TileTooLargeError as error:
                reason = str(error)
            self._halve(longest, reason)  # outside of `except`, which keeps what was allocated
        return self._in_parts(box)

    def _halve(self, side: int, reason: str) -> None:
        """Use tiles of half of `side` px from now on. Raises `ImageError` where they cannot be smaller."""
        if self.limits.whole_only:
            raise ImageError(f"{reason}; {WHOLE_ONLY}: {OTHER_DEVICE}")
        aligned = self.limits.aligned
        if side <= aligned(SMALLEST_TILE):
            raise ImageError(f"{reason}, and it is the smallest; use --device cpu")
        self.side = aligned(max(SMALLEST_TILE, side // 2))
        release_memory(self.device)

    def _in_parts(self, box: Box) -> Tensor:
        """The tile (1, 3, h, w) put together on the CPU from tiles of `side` px."""
        top, left, bottom, right = box
        out = torch.empty(1, 3, bottom - top, right - left)
        for t, l, b, r in tile_boxes(bottom - top, right - left, self.side):  # noqa: E741
            out[:, :, t:b, l:r] = self.tile((top + t, left + l, top + b, left + r)).cpu()
        return out
