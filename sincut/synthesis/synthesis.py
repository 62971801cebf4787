"""Exemplar-based synthesis: a layout redrawn from the pixels of an exemplar, coarse to fine."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sincut.errors import ConfigError
from sincut.synthesis.field import doubled, vote
from sincut.synthesis.level import Level, Pull
from sincut.synthesis.pyramid import Box, grown, halved, halved_box, within

COARSEST = 20  # px of the shorter side of the exemplar at the coarsest level, at least
WHOLE = 1 << 22  # px of a level that is drawn at once; larger ones are drawn in tiles
SIDE = 1024  # px: tiles that are fast; larger ones waste less on what is around them
LAYOUT_MARGIN = 2  # px of a level that halving spoils along the borders of a part

Read = Callable[[int, int, int, int], Tensor]


@dataclass(frozen=True)
class Dials:
    """What users choose: `stroke_scale`, the size at which the exemplar is used, and `fidelity`, 0 loose to 1 faithful.

    Raises `ConfigError` for values out of range.
    """

    stroke_scale: float = 1.0
    fidelity: float = 0.5

    def __post_init__(self) -> None:
        if not 0.25 <= self.stroke_scale <= 4:
            raise ConfigError(f"a stroke scale of {self.stroke_scale:g} is out of range: it must be 0.25 to 4")
        if not 0 <= self.fidelity <= 1:
            raise ConfigError(f"a fidelity of {self.fidelity:g} is out of range: it must be 0 to 1")


ROUNDS = (6, 5, 4, 3, 3, 2)
JUMPS = (1, 2, 4, 1)


class Synthesis:
    """An exemplar, prepared for drawing."""

    def __init__(self, exemplar: Tensor, dials: Dials = Dials(), device: torch.device | str = "cpu") -> None:
        picture = exemplar.permute(2, 0, 1)[None].to(device).float() / 127.5 - 1
        if dials.stroke_scale != 1:
            size = [max(8, round(n * dials.stroke_scale)) for n in picture.shape[2:]]
            picture = F.interpolate(picture, size, mode="bicubic", antialias=True).clamp(-1, 1)
        self.device, self.dials = picture.device, dials
        count = max(0, int(math.log2(min(picture.shape[2:]) / COARSEST)))
        pictures = [_cut(picture, 2**count)]
        for _ in range(count):
            pictures.append(halved(pictures[-1]))
        self.levels = [Level(p) for p in pictures]  # the finest first
        self.pulls = [self._pull(n) for n in range(len(self.levels))]

    def _pull(self, level: int) -> Pull:
        last = len(self.levels) - 1
        u = 1 - level / last if last else 1.0
        low, calm, busy = (a + (b - a) * u for a, b in ((0.5, 0.2), (0.2, 0.0), (1.0, 0.9)))
        return Pull(low, calm, busy, 0.5, ROUNDS[min(last - level, len(ROUNDS) - 1)], JUMPS)

    def begin(
        self, read: Read, size: tuple[int, int], on_share: Callable[[float], None] = lambda share: None
    ) -> "Drawing":
        """The drawing of a layout of `size` (H, W): its coarse levels, for which all of the layout is read once."""
        return Drawing(self, read, size, on_share)

    def picture_bytes(self, size: tuple[int, int]) -> int:
        """Bytes of main memory that the coarse levels of a picture (H, W) take."""
        return 100 * min(WHOLE, size[0] * size[1])

    def tile_bytes(self, side: int) -> int:
        """Bytes that a tile takes while it is drawn."""
        return 120 * (side + 2 * self.pulls[0].reach) ** 2

    def __call__(self, layout: Tensor) -> Tensor:
        """The drawing (1, 3, H, W) of a layout (1, 3, H, W) in [-1, 1], which is rounded to 8 bits."""
        eight = ((layout[0].clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).cpu()
        h, w = eight.shape[:2]
        drawing = self.begin(lambda top, left, bottom, right: eight[top:bottom, left:right], (h, w))
        return drawing.tile((0, 0, h, w))


class Drawing:
    """A layout on its way to a picture: its coarse levels are drawn."""

    def __init__(
        self, synthesis: Synthesis, read: Read, size: tuple[int, int], on_share: Callable[[float], None]
    ) -> None:
        self.synthesis, self.read, self.size = synthesis, read, size
        unit = 2 ** (len(synthesis.levels) - 1)
        self.padded = -(-size[0] // unit) * unit, -(-size[1] // unit) * unit
        sizes = [(self.padded[0] >> n, self.padded[1] >> n) for n in range(len(synthesis.levels))]
        self.whole = next((n for n, (h, w) in enumerate(sizes) if h * w <= WHOLE), len(sizes) - 1)
        layouts = [self._whole_layout(self.whole)]
        for _ in sizes[self.whole + 1 :]:
            layouts.append(halved(layouts[-1]))
        field = synthesis.levels[-1].first(layouts[-1])
        for n in range(len(sizes) - 1, self.whole - 1, -1):
            level, layout = synthesis.levels[n], layouts[n - self.whole]
            if n < len(sizes) - 1:
                field = doubled(field, synthesis.levels[n + 1].source.width, level.source.width)
            field = level.refined(layout, field, synthesis.pulls[n], n >= len(sizes) - 4)
            on_share((len(sizes) - n) / (len(sizes) - self.whole))
        self.field = field

    def tile(self, box: Box) -> Tensor:
        """The drawing (1, 3, h, w) of a box."""
        wanted = grown(box, 1, self.padded)
        field = self._field(0, wanted)
        out = vote(self.synthesis.levels[0].source, field, 1)
        return out[(..., *within(box, wanted))]

    def _field(self, n: int, box: Box) -> Tensor:
        """The field of a box of level n."""
        if n >= self.whole:
            return self.field[within(box, (0, 0, 0, 0))]
        size = (self.padded[0] >> n, self.padded[1] >> n)
        pull, levels = self.synthesis.pulls[n], self.synthesis.levels
        outer = grown(box, pull.reach, size)
        above = halved_box(outer)
        field = doubled(self._field(n + 1, above), levels[n + 1].source.width, levels[n].source.width)
        field = field[within(outer, (2 * above[0], 2 * above[1], 2 * above[2], 2 * above[3]))]
        return levels[n].refined(self._layout(n, outer), field, pull, False)[within(box, outer)]

    def _layout(self, n: int, box: Box) -> Tensor:
        """The layout (1, 3, h, w) of a box of level n."""
        size = (self.padded[0] >> n, self.padded[1] >> n)
        outer = grown(box, LAYOUT_MARGIN if n else 0, size)
        x = self._pixels((outer[0] << n, outer[1] << n, outer[2] << n, outer[3] << n))
        for _ in range(n):
            x = halved(x)
        return x[(..., *within(box, outer))]

    def _whole_layout(self, n: int) -> Tensor:
        h, w = self.padded[0] >> n, self.padded[1] >> n
        if n == 0:
            return self._layout(0, (0, 0, h, w))
        step = max(1, (1 << 22) // (w << n) >> n)
        return torch.cat([self._layout(n, (top, 0, min(top + step, h), w)) for top in range(0, h, step)], 2)

    def _pixels(self, box: Box) -> Tensor:
        """Pixels (1, 3, h, w) of the layout in [-1, 1], continued by its last row and column."""
        top, left, bottom, right = box
        h, w = self.size
        part = self.read(min(top, h - 1), min(left, w - 1), min(bottom, h), min(right, w))
        x = part.to(self.synthesis.device).permute(2, 0, 1)[None].float() / 127.5 - 1
        return F.pad(x, (0, right - left - x.shape[3], 0, bottom - top - x.shape[2]), mode="replicate")


def _cut(picture: Tensor, unit: int) -> Tensor:
    """The middle of a picture whose sides are multiples of `unit`."""
    h, w = (n // unit * unit for n in picture.shape[2:])
    top, left = (picture.shape[2] - h) // 2, (picture.shape[3] - w) // 2
    return picture[:, :, top : top + h, left : left + w]
