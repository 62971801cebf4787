"""The memory that translating takes, and the tiles that fit into what is free.

Sizes are (H, W) in px: `size` is the picture's, `seen` the one at which G sees it, which differ with another scale.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath

import torch

from sincut.devices import available_memory, used_memory
from sincut.errors import ImageError
from sincut.model.limits import Limits
from sincut.pictures import reading
from sincut.synthesis.synthesis import SIDE, Synthesis
from sincut.translation import layout
from sincut.translation.options import PLAIN, Options
from sincut.translation.tiles import count

MEMORY_SHARE = 0.5  # of the free memory, that a picture may take by default
TILE_SHARE = 0.5  # of what a picture leaves of that, for the feature maps of a tile
FASTEST_TILE = 512  # px; larger tiles fall out of the processor's caches, smaller ones waste work on halos
SMALLEST_TILE = 64  # px
SMALLEST_DRAWN = 256  # px: around smaller tiles so much is drawn anew that it would take days
TILE_STEP = 64  # px: tiles chosen here have sides that are multiples of it
BANDS_IN_FLIGHT = 8  # rows of tiles on their way: read, translated, queued, being compressed
BANDS_DRAWN = 3  # the same of drawn tiles, whose layout is read from a file
LIBRARY_BYTES = 350 * 10**6  # of libvips, its threads and its caches
HOLES_BYTES = 350 * 10**6  # of what both passes leave in the heap, between what is allocated and freed tile by tile
BYTES_OF_SCALED = 40  # per pixel of what a picture is scaled to
PIXELS_AT_ONCE = 4_000_000  # of pictures that are put together from two scales
BYTES_AT_ONCE = 60 * PIXELS_AT_ONCE
WHOLE_ONLY = "this model takes pictures whole only"
SMALLER = "use a smaller --scale or a smaller picture"
MORE_MEMORY = "raise --max-memory or use a smaller --scale"
OTHER_DEVICE = "use --device cpu or a smaller --scale"


def budget(options: Options) -> int:
    """Bytes that a picture may take, beside what the program holds already."""
    if options.max_memory is None:
        return int(MEMORY_SHARE * available_memory(torch.device("cpu")))
    return max(0, options.max_memory - used_memory())


@dataclass(frozen=True)
class Tiling:
    """The tiles of a picture: the `side` in px of G's, and of those `drawn` afterwards (0: none are).

    With `in_file` the layout between the two passes lies in a temporary file.
    """

    side: int
    drawn: int = 0
    in_file: bool = False

    def tiles(self, size: tuple[int, int], seen: tuple[int, int]) -> int:
        """The number of both kinds of tiles, of a picture (H, W) that G sees at the size `seen`."""
        return count(seen, self.side) + (count(size, self.drawn) if self.drawn else 0)


@dataclass(frozen=True)
class Memory:
    """The bytes that a model takes by the sizes of picture and tile, and the tiles that fit.

    `per_pixel` are the bytes of a pixel's feature maps on `device`; of a model that takes pictures whole, `fixed` are
    those of what does not depend on the picture. Where a `synthesis` is given, it draws the picture
    after G is done with all of it.
    """

    limits: Limits
    per_pixel: int
    device: torch.device
    fixed: int = 0

    def tile_size(self, seen: tuple[int, int], options: Options = PLAIN, source: PurePath | None = None) -> int:
        """Side of the tiles in px, a multiple of the model's stride: as asked, or chosen by the free memory.

        A model that takes pictures whole only has one tile, whatever was asked. Raises `ImageError`, which names the
        `source`, if that is too large for the model or the memory.
        """
        if self.limits.whole_only:
            return self._whole(seen, budget(options), source)
        longest = self.limits.aligned(max(seen))
        if options.tile != "auto":
            return self.limits.tile(longest if options.tile == "off" else int(options.tile))
        picture = math.prod(seen) * reading.BYTES_PER_PIXEL
        free = budget(options) - picture if self._on_cpu else available_memory(self.device)
        side = int(math.sqrt(max(0.0, free * TILE_SHARE / self.per_pixel))) - 2 * self.limits.border
        side = max(SMALLEST_TILE, min(FASTEST_TILE, side // TILE_STEP * TILE_STEP))
        return self.limits.tile(min(longest, side))

    def in_memory(
        self,
        size: tuple[int, int],
        seen: tuple[int, int],
        options: Options,
        synthesis: Synthesis | None = None,
        source: PurePath | None = None,
    ) -> Tiling:
        """The tiles of a picture that is in memory. Raises `ImageError` as `tile_size`."""
        side = self.tile_size(seen, options, source)
        if synthesis is None:
            return Tiling(side)
        if options.tile != "auto":
            drawn = max(size) if options.tile == "off" else int(options.tile)
        else:
            held = math.prod(size) * (reading.BYTES_PER_PIXEL + layout.BYTES_PER_PIXEL)
            free = available_memory(self.device)
            if self._on_cpu:
                free = budget(options) - held - synthesis.picture_bytes(size)
            drawn = _largest(lambda side: synthesis.tile_bytes(side) <= free * TILE_SHARE)
        in_file = not self.fits(size, seen, options, reading.BYTES_PER_PIXEL, synthesis)
        return Tiling(side, min(drawn, max(size)), in_file)

    def fits(
        self,
        size: tuple[int, int],
        seen: tuple[int, int],
        options: Options,
        file_bytes: int,
        synthesis: Synthesis | None = None,
    ) -> bool:
        """True if a picture can be held in memory within `options.max_memory`, translated and encoded there.

        `file_bytes` are those per pixel from reading a file to writing it, see `reading.bytes_in_memory`.
        """
        return self.needs(size, seen, file_bytes, synthesis) <= budget(options)

    def needs(
        self,
        size: tuple[int, int],
        seen: tuple[int, int],
        file_bytes: int = reading.BYTES_PER_PIXEL,
        synthesis: Synthesis | None = None,
        tiling: Tiling | None = None,
    ) -> int:
        """Bytes for a picture in memory and the tiles that it is given; by default the smallest useful ones."""
        picture, smallest = math.prod(size) * file_bytes, min(max(size), FASTEST_TILE)
        least = _scaled_needs(size, seen) + self._tile_needs(smallest, seen)
        if synthesis is None:
            return picture + least
        if tiling is None or not tiling.in_file:
            picture += math.prod(size) * layout.BYTES_PER_PIXEL
        return picture + max(least, self._drawn_needs(size, tiling.drawn if tiling else smallest, synthesis))

    def streamed(
        self,
        size: tuple[int, int],
        seen: tuple[int, int],
        file_bytes: int,
        options: Options,
        source: PurePath,
        synthesis: Synthesis | None = None,
    ) -> tuple[Tiling, int]:
        """The tiles of a picture that goes from file to file, and the bytes that it takes.

        Tiles are the largest within the budget; the smallest where even those are more than allowed. Raises
        `ImageError` as `tile_size`.
        """
        side = self.streamed_tile(size, seen, file_bytes, options, source)
        needs, allowed = self.streamed_needs(size, seen, side, file_bytes), budget(options)
        if synthesis is None:
            return Tiling(side), needs

        def drawn_needs(side: int) -> int:
            beside = HOLES_BYTES + _rows_needs(size, side, file_bytes, BANDS_DRAWN)
            return LIBRARY_BYTES + self._drawn_needs(size, side, synthesis, beside)

        drawn = _largest(lambda side: drawn_needs(side) <= allowed)
        if options.tile not in ("auto", "off"):
            drawn = int(options.tile)
        drawn = min(drawn, max(size))
        needs, stored = max(needs, drawn_needs(drawn)), math.prod(size) * layout.BYTES_PER_PIXEL
        in_file = needs + stored > allowed
        return Tiling(side, drawn, in_file), needs if in_file else needs + stored

    def streamed_tile(
        self, size: tuple[int, int], seen: tuple[int, int], file_bytes: int, options: Options, source: PurePath
    ) -> int:
        """Side in px of the largest tile within the budget; of the smallest where even that is more than allowed.

        Raises `ImageError` as `tile_size`.
        """
        allowed = budget(options)
        if self.limits.whole_only:
            side = self.limits.aligned(max(seen))
            rest = self.streamed_needs(size, seen, side, file_bytes) - self._tile_needs(side, seen)
            return self._whole(seen, allowed - rest, source)
        if options.tile not in ("auto", "off"):
            return self.limits.tile(int(options.tile))
        sides = range(FASTEST_TILE, SMALLEST_TILE - 1, -TILE_STEP)
        fitting = (side for side in sides if self.streamed_needs(size, seen, side, file_bytes) <= allowed)
        return self.limits.tile(next(fitting, SMALLEST_TILE))

    def streamed_needs(self, size: tuple[int, int], seen: tuple[int, int], side: int, file_bytes: int) -> int:
        """Bytes: rows of tiles on their way through the program, the windows read, and a tile's feature maps."""
        scaled = _scaled_needs(size, seen)
        rows = 0 if scaled else _rows_needs(size, side + self.limits.border, file_bytes)
        return rows + scaled + self._tile_needs(side, seen) + LIBRARY_BYTES

    @property
    def _on_cpu(self) -> bool:
        return self.device.type == "cpu"

    def _tile_needs(self, side: int, seen: tuple[int, int]) -> int:
        """Bytes of main memory for the feature maps of a tile with its halo, or of a picture that cannot be cut."""
        if self.limits.whole_only:
            return self._whole_needs(seen) if self._on_cpu else 0
        return (side + 2 * self.limits.border) ** 2 * self.per_pixel

    def _drawn_needs(self, size: tuple[int, int], side: int, synthesis: Synthesis, beside: int = 0) -> int:
        """Bytes of main memory for drawing a picture: its coarse levels at work, or held beside a tile at work.

        So many bytes more are needed `beside` tiles.
        """
        if not self._on_cpu:
            return beside
        held, tile = synthesis.picture_bytes(size), synthesis.tile_bytes(side)
        return max(synthesis.begin_bytes(size), held + tile + beside)

    def _whole_needs(self, seen: tuple[int, int]) -> int:
        """Bytes for a picture that cannot be cut: its feature maps, and what does not depend on it."""
        return math.prod(map(self.limits.aligned, seen)) * self.per_pixel + self.fixed

    def _whole(self, seen: tuple[int, int], free: int, source: PurePath | None) -> int:
        """Side in px of the only tile of a picture that cannot be cut, `free` bytes of main memory being left for it.

        Raises `ImageError` where it is larger than the model or the memory takes.
        """
        h, w = (self.limits.aligned(length) for length in seen)
        most, need = self.limits.most_pixels, self._whole_needs(seen)
        told = f"{f'{source}: ' if source else ''}{seen[1]}x{seen[0]} pixels"
        if most is not None and h * w > most:
            raise ImageError(f"{told} are more than the {most} that this model takes; {WHOLE_ONLY}: {SMALLER}")
        if not self._on_cpu and free >= 0:
            free = available_memory(self.device)
        if need > free:
            remedy = MORE_MEMORY if self._on_cpu or free < 0 else OTHER_DEVICE
            lacking = f"need {need / 1e9:.1f} GB at once, {max(0, free) / 1e9:.1f} GB are free"
            raise ImageError(f"{told} {lacking}; {WHOLE_ONLY}: {remedy}")
        return max(h, w)


def _largest(fits: Callable[[int], bool]) -> int:
    """Side in px of the largest tile for the synthesis that fits; of the smallest where none does."""
    return next(filter(fits, range(SIDE, SMALLEST_DRAWN - 1, -TILE_STEP)), SMALLEST_DRAWN)


def _rows_needs(size: tuple[int, int], side: int, file_bytes: int, bands: int = BANDS_IN_FLIGHT) -> int:
    """Bytes of so many rows of tiles, `side` px high, on their way through the program."""
    return bands * size[1] * side * file_bytes


def _scaled_needs(size: tuple[int, int], seen: tuple[int, int]) -> int:
    """Bytes for translating at another scale; 0 at the picture's own."""
    return 0 if seen == size else math.prod(seen) * BYTES_OF_SCALED + BYTES_AT_ONCE
