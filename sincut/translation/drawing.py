"""The second pass over a picture: what G has laid out is drawn anew by the synthesis, from the model's exemplar
(of a set of targets, from the exemplars of all: each place from the one that fits best).

The layout is G's translation of the whole picture, in 8 bits. The synthesis looks at all of it first, for what is
coarse, and then draws one tile after the other; a tile is the same however the picture is cut. G's pass is a callable,
so nothing here knows how G sees the picture.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sincut.devices import considerate, release_memory
from sincut.errors import ImageError
from sincut.events import Listener, TileDone
from sincut.model.limits import Limits
from sincut.synthesis.synthesis import Dials, Synthesis
from sincut.translation.halving import Halving, TileTooLargeError, told_of_memory
from sincut.translation.layout import LayoutStore
from sincut.translation.memory import FASTEST_TILE, OTHER_DEVICE, Tiling
from sincut.translation.tiles import Box, mirror, tile_boxes

Read = Callable[[int, int, int, int], Tensor]  # top, left, bottom, right of a layout -> (h, w, 3) uint8, on the CPU
Write = Callable[[Box, Tensor | None], None]  # of a tile (1, 3, h, w) in [-1, 1], or of one left as it is

ANYWHERE = Limits(0, 1)  # the synthesis draws any box
GUESSED = 6.0  # times what G takes for a pixel, before anything was drawn
ROUNDING = 1e-9  # of shares that should add up to a whole tile


def everywhere(box: Box) -> bool:
    """True: all tiles are wanted."""
    return True


def running_mean(mean: float, seconds: float, tiles: float) -> float:
    """The mean of what tiles took, after so many tiles more; less than one counts less. A `mean` of 0: none was yet."""
    return mean + (0.3 * min(1.0, tiles) if mean else 1.0) * (seconds - mean)


class Drawer:
    """A prepared exemplar, or several, and the seconds that drawing takes; 0 as long as they are not known.

    `work_seconds` are those per unit of `Synthesis.work`, a running mean.
    """

    def __init__(self, exemplar: Tensor | Sequence[Tensor], dials: Dials, device: torch.device) -> None:
        self.synthesis = Synthesis(exemplar, dials, device)
        release_memory(torch.device("cpu"))  # what was needed to prepare it
        self.exemplar = exemplar if isinstance(exemplar, Tensor) else exemplar[0]  # of which squares are timed
        self.dials, self.device = dials, device
        self.work_seconds = 0.0

    def seconds(self, size: tuple[int, int], side: int) -> float:
        """Seconds for a picture (H, W) in tiles of a side; 0: not known yet."""
        return self.work_seconds * sum(self.synthesis.work(size, side))

    def note(self, seconds: float, work: float) -> None:
        """Note that so much work took so many seconds; little of it counts little."""
        if work:
            usual = sum(self.synthesis.work((FASTEST_TILE, FASTEST_TILE), FASTEST_TILE))
            self.work_seconds = running_mean(self.work_seconds, seconds / work, work / usual)

    def probe(self) -> float:
        """Seconds per pixel, from a square of the exemplar; a smaller one first sets up what is set up once."""
        for side in (FASTEST_TILE // 4, FASTEST_TILE):
            rows, columns = (mirror(torch.arange(side), length) for length in self.exemplar.shape[:2])
            square = self.exemplar[rows][:, columns]
            self.work_seconds = 0.0

            def read(top: int, left: int, bottom: int, right: int, square: Tensor = square) -> Tensor:
                return square[top:bottom, left:right]

            _Pen(self, read, (side, side), side).tile((0, 0, side, side))
        return self.seconds((FASTEST_TILE, FASTEST_TILE), FASTEST_TILE) / FASTEST_TILE**2


@dataclass(frozen=True)
class FirstPass:
    """G's pass over a whole picture: `run` gives its tiles to a `Write`.

    It has so many `tiles` and `pixels`, of `pixel_seconds` each; 0 where these are not known yet.
    """

    run: Callable[[Write, Listener], None]
    tiles: int
    pixels: int
    pixel_seconds: float


def draw_picture(
    drawer: Drawer,
    size: tuple[int, int],
    tiling: Tiling,
    first: FirstPass,
    write: Write,
    on_event: Listener,
    wanted: Callable[[Box], bool] = everywhere,
    folder: Path | None = None,
) -> None:
    """Let G lay out a picture (H, W), draw it, and write its tiles row by row; one that is not `wanted` as None.

    Where none is wanted, G has nothing to do either. Where `tiling` keeps the layout in a file, that is a temporary one
    in `folder`, by default the system's for such files. Raises `ImageError`.
    """
    boxes = [(box, wanted(box)) for box in tile_boxes(*size, tiling.drawn)]
    todo, tiles = sum(_area(box) for box, asked in boxes if asked), first.tiles + len(boxes)
    if not todo:
        for done, (box, _) in enumerate(boxes, first.tiles + 1):
            write(box, None)
            on_event(TileDone(done, tiles, 0.0))
        return
    place = (folder or Path(tempfile.gettempdir())) if tiling.in_file else None
    course = _Course(tiles, _seconds(drawer, first, size, tiling.drawn, todo), on_event)
    with LayoutStore(size, place) as layout, considerate(drawer.device) as threads:

        def tell_coarse(share: float) -> None:
            threads.adjust()
            course.tell(1, share)

        first.run(layout.write, lambda event: course.hear(event))
        release_memory(torch.device("cpu"))  # feature maps of G
        threads.adjust()
        pen = _Pen(drawer, layout.read, size, tiling.drawn, tell_coarse)
        done = 0
        for box, asked in boxes:
            threads.adjust()
            write(box, pen.tile(box) if asked else None)
            if asked and place is not None:  # where memory is scarce; that takes no time beside a tile's
                release_memory(torch.device("cpu"))
            done += _area(box) if asked else 0
            course.tell(2, done / todo)


class _Pen:
    """Draws the tiles of one picture (H, W), whose layout is read by boxes; smaller ones where memory ends.

    What is coarse is done at once, and `on_share` hears how much of it, in 0..1. Raises `ImageError` where the device
    has not enough memory for that.
    """

    def __init__(
        self,
        drawer: Drawer,
        read: Read,
        size: tuple[int, int],
        side: int,
        on_share: Callable[[float], None] = lambda share: None,
    ) -> None:
        began, (coarse, tiles) = time.perf_counter(), drawer.synthesis.work(size, side)
        try:
            with told_of_memory(f"a picture of {size[1]}x{size[0]}", drawer.device):
                self.drawing = drawer.synthesis.begin(read, size, on_share)
        except TileTooLargeError as error:
            raise ImageError(f"{error}; {OTHER_DEVICE}, or leave the drawing out with --fast") from None
        release_memory(torch.device("cpu"))  # coarse levels take most of theirs only while they are drawn
        drawer.note(time.perf_counter() - began, coarse)
        self.pixel_work = tiles / (size[0] * size[1])
        self.drawer, self.halving = drawer, Halving[None](self._draw, side, ANYWHERE, drawer.device)

    def tile(self, box: Box) -> Tensor:
        """The tile (1, 3, h, w) of a box, in [-1, 1]. Raises `ImageError` where the smallest is too large."""
        began = time.perf_counter()
        out = self.halving.tile(box).float()
        if self.drawer.device.type != "cpu":
            out = out.cpu()  # waits for it
        self.drawer.note(time.perf_counter() - began, self.pixel_work * _area(box))
        return out

    def _draw(self, box: Box, _: None) -> Tensor:
        with told_of_memory(f"a tile of {box[3] - box[1]}x{box[2] - box[0]}", self.drawer.device):
            return self.drawing.tile(box)


class _Course:
    """The way through G's pass, the coarse part and the drawn tiles of a picture, told as so many of all `tiles`.

    The work that is done counts as that share of the tiles, by the `seconds` that the three parts are expected to take:
    so a bar moves evenly, though a tile of G is done much sooner than one that is drawn.
    """

    def __init__(self, tiles: int, seconds: Sequence[float], on_event: Listener) -> None:
        self.tiles, self.seconds, self.on_event = tiles, seconds, on_event
        self.began = time.perf_counter()

    def hear(self, event: object) -> None:
        """Tell of a tile of G; nothing else comes from there."""
        if isinstance(event, TileDone):
            self.tell(0, event.done / event.tiles)

    def tell(self, part: int, share: float) -> None:
        """Tell that all before this part are done, and a share of it, in 0..1."""
        done = (sum(self.seconds[:part]) + share * self.seconds[part]) / sum(self.seconds)
        taken = time.perf_counter() - self.began
        left = max(0.0, taken * (1 - done) / done) if done else 0.0
        self.on_event(TileDone(min(self.tiles, int(self.tiles * done + ROUNDING)), self.tiles, left))


def _seconds(
    drawer: Drawer, first: FirstPass, size: tuple[int, int], side: int, todo: int
) -> tuple[float, float, float]:
    """Seconds for G's pass, for the coarse part of a picture (H, W), and for `todo` px of its tiles of a side.

    Where nothing was timed yet they are in some other unit, and right by comparison only.
    """
    coarse, tiles = drawer.synthesis.work(size, side)
    pixels = size[0] * size[1]
    each = first.pixel_seconds or drawer.seconds(size, side) / (GUESSED * pixels) or 1.0
    unit = drawer.work_seconds or GUESSED * each * pixels / (coarse + tiles)
    return first.pixels * each, coarse * unit, tiles * unit * todo / pixels


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
