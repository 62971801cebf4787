"""The layout of a picture: G's translation of all of it, in 8 bits, from which the synthesis draws.

It is written by boxes in a first pass over the picture, and read by boxes in a second one. Beyond memory it lies in a
temporary file. That is read and written by plain calls and not mapped, as mapped pages count as memory that the program
holds.
"""

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sincut.errors import ImageError
from sincut.files import writing
from sincut.pictures.picture import to_pixels
from sincut.translation.tiles import Box

CHANNELS = 3
BYTES_PER_PIXEL = CHANNELS  # one byte each


class LayoutStore:
    """A picture of 8 bits (H, W, 3), in memory, or with a `folder` in a temporary file there. A context manager.

    The file is gone when the block ends, and with the process, however that ends: where the system allows it
    (`tempfile.TemporaryFile`), it has no name from the beginning. Raises `ImageError` where it cannot be written.
    """

    def __init__(self, size: tuple[int, int], folder: Path | None = None) -> None:
        self.size, self.folder = size, folder
        self.lock = threading.Lock()  # a position in the file, and what is read or written there, belong together
        self.pixels = np.empty((*size, CHANNELS), np.uint8) if folder is None else None
        self.file: IO[bytes] | None = None

    def __enter__(self) -> "LayoutStore":
        if self.folder is not None:
            with writing(self.folder, ImageError):
                self.file = tempfile.TemporaryFile(buffering=0, dir=self.folder, prefix="sincut-layout-")
        return self

    def __exit__(self, *_: object) -> None:
        self.pixels = None
        if self.file is not None:
            self.file.close()

    def write(self, box: Box, tile: Tensor | None) -> None:
        """Keep a tile (1, 3, h, w) in [-1, 1], which is clipped, at its place. Raises `ImageError`."""
        assert tile is not None
        top, left, bottom, right = box
        pixels = to_pixels(tile)
        if self.pixels is not None:
            self.pixels[top:bottom, left:right] = pixels
            return
        assert self.file is not None and self.folder is not None
        with self.lock, writing(self.folder, ImageError):
            for place, part in self._runs(box, pixels):
                self.file.seek(place)
                while part:  # a disk that is full takes less at first, and then fails
                    part = part[self.file.write(part) :]

    def read(self, top: int, left: int, bottom: int, right: int) -> Tensor:
        """The pixels (h, w, 3) of a box that lies within the picture and has been written, uint8 on the CPU."""
        if self.pixels is not None:
            return torch.from_numpy(self.pixels[top:bottom, left:right])
        assert self.file is not None and self.folder is not None
        pixels = np.empty((bottom - top, right - left, CHANNELS), np.uint8)
        with self.lock, writing(self.folder, ImageError):
            for place, part in self._runs((top, left, bottom, right), pixels):
                self.file.seek(place)
                while part:
                    count = self.file.readinto(part)  # type: ignore[attr-defined]
                    if not count:
                        raise OSError("the file has become shorter")
                    part = part[count:]
        return torch.from_numpy(pixels)

    def _runs(self, box: Box, pixels: NDArray[Any]) -> Iterator[tuple[int, memoryview]]:
        """The bytes of a box's pixels that lie one behind the other in the file, each with its place there."""
        top, left, _, right = box
        row = self.size[1] * CHANNELS
        if right - left == self.size[1]:
            yield top * row, pixels.data.cast("B")
            return
        for number in range(len(pixels)):
            yield (top + number) * row + left * CHANNELS, pixels[number].data.cast("B")
