"""Exemplar-based synthesis: a layout redrawn, coarse to fine, from pixels of an exemplar. Read this first.

A *layout* says what is where and in which colour; the *exemplar* says what it is made of: paint, rock, grass. Every
pixel of the drawing is a pixel of the exemplar, or a mean of few. G lays out, since it has learned which part of the
target a place should look like, but it does not make the target's stuff. Copied patches are that stuff, but by their
colours alone the right ones are hardly found.

Both are halved to pyramids. At the coarsest level each 5x5 patch of the layout takes the nearest patch of the exemplar.
Each finer level takes over the places that were found, with the exemplar's own detail below them, and corrects them in
a few rounds (texture optimisation: Kwatra et al. 2005):

1. vote: a pixel is the mean of what all patches that cover it say;
2. pull: the picture is moved towards the layout, strongly where this has outlines, hardly where it is calm, and all
   the way where something of it would be lost;
3. match: each patch may move to a nearer one of a fixed sample of the exemplar, or continue that of a neighbour
   (coherence: Ashikhmin 2001; Tong et al. 2002). Continuing costs less, so pieces of the exemplar stay together, and
   strokes stay strokes. At coarse levels, places used too often cost more (uniformity: Kaspar et al. 2015; StyLit:
   Fišer et al. 2016) and places near to no patch of the picture less (completeness: GPNN, Granot et al. 2022), so
   nothing is repeated like cloth.

So it is non-parametric synthesis (Efros and Leung 1999) with the layout as its guide. As in Image Analogies (Hertzmann
et al. 2001) the layout's tones are first mapped to the exemplar's, so that there are patches for all of them. Patches
are compared by their colours, in which the layout takes part by the pull, and by how calm or busy the layout is at
their place, so that calm places take no writing and no eyes. With the dial `by_height` they are compared by their
height in the picture, too (a positional guide, as in Fišer et al. 2017, "Example-Based Synthesis of Stylized Facial
Animations"). Nothing is random but one fixed sample of places; PatchMatch's randomised search is not used.

A level has a finite reach. Coarse levels are drawn whole; larger ones in any tiles, which fit together exactly.

Several exemplars are one library of patches, searched together (`field.py`). One that is too small for the coarsest
levels takes part from the level on at which its shorter side has `COARSEST` px.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sincut.errors import ConfigError
from sincut.synthesis.field import doubled, vote
from sincut.synthesis.level import Level, Pull, heights
from sincut.synthesis.pyramid import Box, grown, halved, halved_box, luma, within
from sincut.synthesis.tones import Tones

COARSEST = 20  # px of the exemplar's shorter side at the coarsest level, at least
WHOLE = 1 << 20  # px of a level that is drawn at once; larger ones are drawn in tiles
KEPT = 1 << 26  # px, at most, of a halved layout that is kept, for coarse tiles not to read all that is below them
BYTES_AT_WORK = 320  # for each px of a level or tile that is being drawn, measured
BYTES_HELD = 16  # for each px of the largest level that is drawn at once, afterwards
SIDE = 1024  # px: tiles that are fast; larger ones waste less on what is around them
LAYOUT_MARGIN = 2  # px of a level that halving spoils along the borders of a part
TONED = 3  # level at which tones are compared: means over 8x8 px, without the grain
READ_AT_ONCE = 1 << 20  # px of a layout
ROUNDS = (2, 3, 3, 4, 5, 6)  # of vote, pull and match, from the finest level on; the last is for all coarser ones
JUMPS = (1, 2, 4, 1)  # px
COHERENCE = 0.5
LOST = 5.0  # see `Pull`; not at the finest level, where small marks are the exemplar's to make
COUNTED = 4  # coarsest levels, at which uses are counted
# Shares of the difference to the layout that a pull makes up for, at the coarsest and the finest level.
LOW, LOW_BUSY = (0.5, 0.1), (0.8, 0.2)  # below a level's finest octave, at calm and at busy places
FINE, FINE_BUSY = (0.2, 0.0), (1.2, 0.5)  # in that octave
LARGEST = 1 << 22  # px of an enlarged exemplar; for still larger strokes the layout is halved instead
STROKE_SCALES = 0.25, 4.0  # least and greatest size at which an exemplar is used
LAST = 1  # px: radius of the last vote; little is averaged, so it is crisp

Read = Callable[[int, int, int, int], Tensor]  # top, left, bottom, right of a layout -> uint8 (h, w, 3), on the CPU


@dataclass(frozen=True)
class Dials:
    """What users choose of a drawing.

    - `stroke_scale`: the size at which the exemplar is used.
    - `fidelity`: 0 loose to 1 faithful.
    - `by_height`: True if pieces of the exemplar are for about the height, between top and bottom of the picture, from
      which they are taken.

    Raises `ConfigError` for values out of range.
    """

    stroke_scale: float = 1.0
    fidelity: float = 0.5
    by_height: bool = False

    def __post_init__(self) -> None:
        least, most = STROKE_SCALES
        if not least <= self.stroke_scale <= most:
            raise ConfigError(
                f"a stroke scale of {self.stroke_scale:g} is out of range: it must be {least:g} to {most:g}"
            )
        if not 0 <= self.fidelity <= 1:
            raise ConfigError(f"a fidelity of {self.fidelity:g} is out of range: it must be 0 to 1")


class Synthesis:
    """An exemplar, uint8 (H, W, 3) in sRGB, or several, prepared for drawing on a device."""

    def __init__(
        self, exemplar: Tensor | Sequence[Tensor], dials: Dials = Dials(), device: torch.device | str = "cpu"
    ) -> None:
        given = [exemplar] if isinstance(exemplar, Tensor) else exemplar
        pictures = [each.permute(2, 0, 1)[None].to(device).float() / 127.5 - 1 for each in given]
        self.device, self.dials = pictures[0].device, dials
        area, self.shift = dials.stroke_scale**2 * sum(picture[0, 0].numel() for picture in pictures), 0
        while area > LARGEST and dials.stroke_scale > 2**self.shift:
            area, self.shift = area / 4, self.shift + 1
        scale = dials.stroke_scale / 2**self.shift
        pyramids = sorted((_pyramid(picture, scale) for picture in pictures), key=len, reverse=True)
        count = len(pyramids[0])
        # The finest first; the exemplars of a level are the first ones of the next finer one.
        self.levels = [Level(*(pyramid[n] for pyramid in pyramids if n < len(pyramid))) for n in range(count)]
        self.pulls = [self._pull(level) for level in range(count)]
        self.tones = torch.cat([luma(pyramid[min(TONED, len(pyramid) - 1)]).flatten() for pyramid in pyramids])

    def _pull(self, level: int) -> Pull:
        coarseness, strength = level / max(1, len(self.levels) - 1), 4 ** (self.dials.fidelity - 0.5)
        low, low_busy, fine, fine_busy = (
            min(max(1.0, coarse), strength * (end + (coarse - end) * coarseness))
            for coarse, end in (LOW, LOW_BUSY, FINE, FINE_BUSY)
        )
        rounds = ROUNDS[min(level, len(ROUNDS) - 1)]
        lost = LOST / strength if level else math.inf
        return Pull((low, low_busy), (fine, fine_busy), lost, COHERENCE, rounds, JUMPS)

    def begin(
        self, read: Read, size: tuple[int, int], on_share: Callable[[float], None] = lambda share: None
    ) -> "Drawing":
        """The drawing of a layout of `size` (H, W): its coarse levels, for which all of the layout is read once.

        `on_share` is told how much of that is done, in 0..1.
        """
        return Drawing(self, read, size, on_share)

    def picture_bytes(self, size: tuple[int, int]) -> int:
        """Bytes that the coarse levels of a picture (H, W) take once they are drawn."""
        return BYTES_HELD * self._whole_pixels(size) + self._kept_bytes(size)

    def begin_bytes(self, size: tuple[int, int]) -> int:
        """Bytes that the coarse levels of a picture (H, W) take while they are drawn."""
        return BYTES_AT_WORK * self._whole_pixels(size) + self._kept_bytes(size)

    def tile_bytes(self, side: int) -> int:
        """Bytes that a tile takes while it is drawn."""
        return BYTES_AT_WORK * (side + 2 * self.pulls[0].reach) ** 2

    def work(self, size: tuple[int, int], side: int) -> tuple[int, int]:
        """What is to be done for a picture (H, W), in pixels of all levels: its coarse part, and its tiles of a side.

        A pixel counts as often as there are rounds; so the time for each is about the same.
        """
        h, w = (max(1, length >> self.shift) for length in size)
        sizes = [(max(1, h >> n), max(1, w >> n)) for n in range(len(self.levels))]
        whole = finest_whole((h, w), len(sizes))
        coarse = sum(math.prod(sizes[n]) * self.pulls[n].rounds for n in range(whole, len(sizes)))
        tile, length = 0, max(1, side >> self.shift)
        for (rows, columns), pull in zip(sizes[:whole], self.pulls, strict=False):
            length += 2 * pull.reach
            tile += min(length, rows) * min(length, columns) * pull.rounds
            length = -(-length // 2)
        return coarse, tile * math.ceil(size[0] / side) * math.ceil(size[1] / side)

    def _kept_bytes(self, size: tuple[int, int]) -> int:
        """Bytes of the halved layout of a picture (H, W) that is kept in memory."""
        area = math.prod(size) >> 2 * self.shift
        level = kept_level(area, len(self.levels) - 1)
        return 3 * area >> 2 * level if level else 0

    def _whole_pixels(self, size: tuple[int, int]) -> int:
        """Pixels of the largest level of a picture (H, W) that is drawn at once."""
        return math.prod(size) >> 2 * finest_whole(size, len(self.levels))

    def __call__(self, layout: Tensor) -> Tensor:
        """The drawing (1, 3, H, W) of a layout (1, 3, H, W) in [-1, 1], which is rounded to 8 bits."""
        eight = ((layout[0].clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).cpu()
        h, w = eight.shape[:2]
        drawing = self.begin(lambda top, left, bottom, right: eight[top:bottom, left:right], (h, w))
        return drawing.tile((0, 0, h, w))


class Drawing:
    """A layout (H, W) on its way to a picture: its coarse levels are drawn, the rest is drawn tile by tile.

    Level 0 is the finest that is drawn; with large strokes it is coarser than the picture, by `Synthesis.shift` levels.
    """

    def __init__(
        self, synthesis: Synthesis, read: Read, size: tuple[int, int], on_share: Callable[[float], None]
    ) -> None:
        self.synthesis, self.read, self.size = synthesis, read, size
        count = len(synthesis.levels)
        unit = 2 ** (count - 1 + synthesis.shift)
        self.padded = -(-size[0] // unit) * unit >> synthesis.shift, -(-size[1] // unit) * unit >> synthesis.shift
        self.whole = finest_whole(self.padded, count)
        self.kept = kept_level(self.padded[0] * self.padded[1], self.whole)
        self.layout: Tensor | None = None  # (h, w, 3) of the level `kept`
        if self.kept:
            self.layout = self._eight_bit_layout(self.kept)
        layouts = {self.whole: self._whole_layout(self.whole)}
        for n in range(self.whole + 1, count):
            layouts[n] = halved(layouts[n - 1])
        level = min(max(TONED, self.whole), count - 1)
        self.tones = Tones.between(luma(layouts[level]), synthesis.tones)
        levels = synthesis.levels
        field = levels[-1].first(self.tones(layouts[count - 1]), self._heights(count - 1))
        for n in range(count - 1, self.whole - 1, -1):
            if n < count - 1:
                field = doubled(field, levels[n + 1].source, levels[n].source)
            counted = n >= count - COUNTED
            layout, height = self.tones(layouts.pop(n)), self._heights(n)
            field = levels[n].refined(layout, field, synthesis.pulls[n], counted, height)
            on_share((count - n) / (count - self.whole))
        self.field = field

    def tile(self, box: Box) -> Tensor:
        """The drawing (1, 3, h, w) of a box, in [-1, 1]."""
        shift = self.synthesis.shift
        unit, around = 1 << shift, LAST + (2 if shift else 0)
        inner = box[0] >> shift, box[1] >> shift, -(-box[2] >> shift), -(-box[3] >> shift)
        wanted = grown(inner, around, self.padded)
        out = vote(self.synthesis.levels[0].source, self._field(0, wanted), LAST)
        if shift:
            out = F.interpolate(out, scale_factor=unit, mode="bicubic").clamp_(-1, 1)
        outer = wanted[0] << shift, wanted[1] << shift, wanted[2] << shift, wanted[3] << shift
        return out[(..., *within(box, outer))]

    def _field(self, n: int, box: Box) -> Tensor:
        """The field of a box of level n."""
        if n >= self.whole:
            return self.field[within(box, (0, 0, 0, 0))]
        pull, levels = self.synthesis.pulls[n], self.synthesis.levels
        outer = grown(box, pull.reach, (self.padded[0] >> n, self.padded[1] >> n))
        above = halved_box(outer)
        field = doubled(self._field(n + 1, above), levels[n + 1].source, levels[n].source)
        field = field[within(outer, (2 * above[0], 2 * above[1], 2 * above[2], 2 * above[3]))]
        layout, height = self.tones(self._layout(n, outer)), self._heights(n, outer[0], outer[2])
        return levels[n].refined(layout, field, pull, False, height)[within(box, outer)]

    def _heights(self, n: int, first: int = 0, last: int | None = None) -> Tensor | None:
        """Heights of rows of level n, all by default, where they take part."""
        if not self.synthesis.dials.by_height:
            return None
        return heights(self.padded[0] >> n, first, last).to(self.synthesis.device)

    def _layout(self, n: int, box: Box) -> Tensor:
        """The layout (1, 3, h, w) of a box of level n, before its tones are mapped."""
        outer = grown(box, LAYOUT_MARGIN, (self.padded[0] >> n, self.padded[1] >> n))
        kept = self.kept if self.layout is not None and n >= self.kept else -self.synthesis.shift
        halvings = n - kept
        part = outer[0] << halvings, outer[1] << halvings, outer[2] << halvings, outer[3] << halvings
        if self.layout is not None and kept == self.kept:
            x = self._tensor(self.layout[within(part, (0, 0, 0, 0))])
        else:
            x = self._pixels(part)
        for _ in range(halvings):
            x = halved(x)
        return x[(..., *within(box, outer))]

    def _whole_layout(self, n: int) -> Tensor:
        """The whole layout of level n, read in bands."""
        return torch.cat(list(self._bands(n)), 2)

    def _eight_bit_layout(self, n: int) -> Tensor:
        """The whole layout (h, w, 3) of level n in 8 bits, on the CPU."""
        out, top = torch.empty(self.padded[0] >> n, self.padded[1] >> n, 3, dtype=torch.uint8), 0
        for band in self._bands(n):
            rows = band[0].permute(1, 2, 0)
            out[top : top + len(rows)] = ((rows + 1) * 127.5).round()
            top += len(rows)
        return out

    def _bands(self, n: int) -> Iterator[Tensor]:
        """The layout (1, 3, h, w) of level n, in bands from top to bottom."""
        h, w = self.padded[0] >> n, self.padded[1] >> n
        halvings = n + self.synthesis.shift
        step = max(1, READ_AT_ONCE // (w << halvings) >> halvings)
        return (self._layout(n, (top, 0, min(top + step, h), w)) for top in range(0, h, step))

    def _pixels(self, box: Box) -> Tensor:
        """Pixels (1, 3, h, w) of the layout in [-1, 1], continued by its last row and column."""
        top, left, bottom, right = box
        h, w = self.size
        part = self.read(min(top, h - 1), min(left, w - 1), min(bottom, h), min(right, w))
        x = self._tensor(part)
        return F.pad(x, (0, right - left - x.shape[3], 0, bottom - top - x.shape[2]), mode="replicate")

    def _tensor(self, pixels: Tensor) -> Tensor:
        """8-bit pixels (h, w, 3) -> (1, 3, h, w) in [-1, 1], on the synthesis' device."""
        return pixels.to(self.synthesis.device).permute(2, 0, 1)[None].float() / 127.5 - 1


def finest_whole(size: tuple[int, int], count: int) -> int:
    """The finest of `count` levels that is drawn at once, where the finest of all is of `size` (H, W)."""
    return next((n for n in range(count) if (size[0] >> n) * (size[1] >> n) <= WHOLE), count - 1)


def kept_level(area: int, last: int) -> int:
    """The level, below the `last`, whose layout is kept in memory for a finest level of `area` px; 0: none is."""
    return next((n for n in range(1, last) if area > KEPT >= area >> 2 * n), 0)


def _pyramid(picture: Tensor, scale: float) -> list[Tensor]:
    """A picture (1, 3, H, W) at a scale, the finest level first: halved until its shorter side has `COARSEST` px."""
    if scale != 1:
        size = [max(8, round(n * scale)) for n in picture.shape[2:]]
        picture = F.interpolate(picture, size, mode="bicubic", antialias=True).clamp(-1, 1)
    count = max(0, int(math.log2(min(picture.shape[2:]) / COARSEST)))
    levels = [_cut(picture, 2**count)]
    for _ in range(count):
        levels.append(halved(levels[-1]))
    return levels


def _cut(picture: Tensor, unit: int) -> Tensor:
    """The middle of a picture whose sides are multiples of `unit`."""
    h, w = (n // unit * unit for n in picture.shape[2:])
    top, left = (picture.shape[2] - h) // 2, (picture.shape[3] - w) // 2
    return picture[:, :, top : top + h, left : left + w]
