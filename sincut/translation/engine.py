"""A model at work on a device: windows of a picture become translated tiles.

G has no normalisation over space, so an output pixel depends on a window around it and on nothing else. A tile is
computed from its own pixels plus a halo of the receptive radius, starts at a multiple of G's stride, and takes its
noise by absolute position: it then holds the pixels of the whole picture, whatever the tiling (float32: to 1e-5).
"""

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import zip_longest

import torch
from torch import Tensor

from sincut.devices import Compute, considerate
from sincut.events import Listener, TileDone, ignore
from sincut.model.kinds import AnyModel, Told, untold
from sincut.model.model import Model, with_generator
from sincut.nets.noise import noise_device
from sincut.translation.drawing import ROUNDING, Drawer, Write, everywhere, running_mean
from sincut.translation.halving import Halving, told_of_memory
from sincut.translation.memory import FASTEST_TILE, Memory, Tiling
from sincut.translation.options import Options
from sincut.translation.tiles import Box, count, extended, mirrored_around, tile_boxes

Read = Callable[[Tensor, Tensor], Tensor]  # rows (h,) and columns (w,) of a picture -> (1, 3, h, w) in [-1, 1]
Window = tuple[Tensor, Callable[[], Tensor]]  # a tile with its halo (1, 3, h, w), and what gives its noise (1, C, ...)

PROBED_TILES = 4  # pictures of more tiles have one timed beforehand, to say how long all will take
SAMPLED_SIDE = 192  # px of the square that times a sample of a model's work


def _nowhere(box: Box, tile: Tensor | None) -> None:
    """Writes a tile nowhere."""


class Engine:
    """A model on the device and in the precision of `compute`, which translates whatever is read through callables."""

    def __init__(self, model: AnyModel, compute: Compute) -> None:
        self.model, self.compute, self.limits = model, compute, model.limits
        self.memory = Memory(self.limits, model.pixel_bytes, compute.device, model.fixed_bytes)
        self.pixel_seconds = 0.0  # of the last tiles; 0: not known yet
        self.last_drawer: Drawer | None = None
        self.lock = threading.Lock()  # pictures are read, and their sizes judged, beside the one that is translated

    def drawer(self, options: Options) -> Drawer | None:
        """The model's exemplars, prepared for drawing as the options say; None where G's translation is all.

        The last one is kept. Raises `ConfigError` where dials are turned that the model has not.
        """
        exemplars = self.model.exemplars
        options.check_exemplar(bool(exemplars), self.model.dials_remedy)
        if not exemplars or options.fast:
            return None
        with self.lock, considerate(self.compute.device) as threads:
            if self.last_drawer is None or self.last_drawer.dials != options.dials:
                self.last_drawer = None  # not both in memory
                threads.adjust()
                self.last_drawer = Drawer(exemplars, options.dials, self.compute.device)
            return self.last_drawer

    def run(
        self,
        read: Read,
        write: Write,
        size: tuple[int, int],
        side: int,
        on_event: Listener = ignore,
        wanted: Callable[[Box], bool] = everywhere,
    ) -> None:
        """Read windows of the mirrored picture (H, W), translate them, write the tiles in their middle, row by row.

        The next window and its noise are made in a thread while this one is translated. A tile that is not `wanted` is
        written as None. Where the device runs out of memory, tiles are halved, as often as it takes; `ImageError` where
        the smallest is too large, or where the model takes pictures whole only.
        """
        rounds, began = self.model.rounds(size), 0.0

        def told(share: float) -> None:  # by a model whose work on a whole picture has several rounds
            left = (time.perf_counter() - began) * (1 - share) / share
            if rounds > 1 and share < 1:
                on_event(TileDone(int(rounds * share + ROUNDING), rounds, left))

        def make(box: Box, window: Window | None) -> Tensor:
            out = self.translate_window(*(window or self.window(read, size, box)), told)
            return out[:, :, : box[2] - box[0], : box[3] - box[1]]

        halving = Halving[Window](make, side, self.limits, self.compute.device)
        boxes = list(tile_boxes(*size, side))
        pixels = size[0] * size[1]
        with ThreadPoolExecutor(1) as helper, considerate(self.compute.device) as threads:
            windows = _ahead(helper, lambda box: self.window(read, size, box) if wanted(box) else None, boxes)
            for done, (box, window) in enumerate(windows, 1):
                area = (box[2] - box[0]) * (box[3] - box[1])
                if window is None:
                    write(box, None)
                else:
                    if isinstance(self.model, Model):  # others' results differ with the number of threads
                        threads.adjust()
                    began = time.perf_counter()
                    write(box, halving.tile(box, window))
                    self._note_speed((time.perf_counter() - began) / area, area)
                pixels -= area
                on_event(TileDone(done * rounds, len(boxes) * rounds, pixels * self.pixel_seconds))

    def box_of(self, read: Read, size: tuple[int, int], box: Box) -> Tensor:
        """The translation (1, 3, h, w), not clipped, of a small box whose top and left are multiples of the stride."""
        top, left, bottom, right = box
        return self.translate_window(*self.window(read, size, box))[:, :, : bottom - top, : right - left]

    def encoded(self, read: Read, size: tuple[int, int], last: int, side: int) -> Iterator[tuple[Box, list[Tensor]]]:
        """Tiles of a picture (H, W) with the encoder's features of layers 0..last there.

        Those of a layer are (1, C, h/s, w/s), rounded up, with s of `Generator.step_of`. Tiles are exact, as in
        translating; the picture is continued by mirroring. Raises `ModelError` for a model without a G.
        """
        model = with_generator(self.model)
        step_of, halo = model.generator.step_of, model.encoder_halo(last)
        for box in tile_boxes(*size, side):
            h, w = box[2] - box[0], box[3] - box[1]
            window = read(*mirrored_around(*self._positions(box), size, halo)).to(self.compute.device)
            with torch.inference_mode(), self.compute.autocast():
                features = model.encode_middle(window.contiguous(memory_format=torch.channels_last), last)
            yield box, [f[:, :, : -(-h // step_of(i)), : -(-w // step_of(i))] for i, f in enumerate(features)]

    def probe(self, side: int = FASTEST_TILE) -> float:
        """G's seconds per pixel, from two empty tiles; the first one warms up whatever is set up at first use.

        Of a model that works for long on a picture, those of a sample of its work.
        """
        sample = self.model.sample()
        if sample is not None:
            self.pixel_seconds = sample[1] * Engine(sample[0], self.compute).probe(SAMPLED_SIDE)
            return self.pixel_seconds
        side = self.limits.tile(side)
        blank = torch.zeros(1, 3, 1, 1)
        for _ in range(2):
            self.pixel_seconds = 0.0
            self.run(lambda rows, columns: blank.expand(1, 3, len(rows), len(columns)), _nowhere, (side, side), side)
        return self.pixel_seconds

    def expected_seconds(
        self, size: tuple[int, int], seen: tuple[int, int], tiling: Tiling, drawer: Drawer | None = None
    ) -> float:
        """Seconds for a picture (H, W) that G sees at the size `seen`, 0 if not known.

        Before the first large picture a tile of each kind is timed for it.
        """
        if not self.pixel_seconds and self.parts(seen, tiling.side) > PROBED_TILES:
            self.probe(tiling.side)
        if drawer is None:
            return self.pixel_seconds * math.prod(seen)
        if not drawer.work_seconds and count(size, tiling.drawn) > PROBED_TILES:
            drawer.probe()
        if not (self.pixel_seconds and drawer.work_seconds):
            return 0.0
        return self.pixel_seconds * math.prod(seen) + drawer.seconds(size, tiling.drawn)

    def parts(self, seen: tuple[int, int], side: int) -> int:
        """The parts in which the work on a picture that is seen at this size is told: its tiles, or their rounds."""
        return count(seen, side) * self.model.rounds(seen)

    def window(self, read: Read, size: tuple[int, int], box: Box) -> Window:
        """The pixels of a box with the halo around it, and its noise; sides are rounded up to the stride."""
        rows, columns = self._positions(box)
        reach = self.model.noise_reach
        device = noise_device(self.compute.device)
        positions = [extended(each, reach).to(device) for each in (rows, columns)]
        pixels = read(*mirrored_around(rows, columns, size, self.limits.border))
        noise = partial(self.model.noise, *positions)
        if device.type == "cpu":  # made here, beside the work on another window; others make it as part of that work
            made = noise()
            return pixels, lambda: made
        return pixels, noise

    @torch.inference_mode()
    def translate_window(self, window: Tensor, noise: Callable[[], Tensor], told: Told = untold) -> Tensor:
        """The translation (1, 3, h, w) of a window without its halo. Raises `TileTooLargeError`."""
        device, (h, w) = self.compute.device, window.shape[2:]
        with told_of_memory(f"a tile of {w}x{h}", device):
            window = window.to(device).contiguous(memory_format=torch.channels_last)
            with self.compute.autocast():
                return self.model.translate_middle(window, noise().to(device), told).float()

    def _positions(self, box: Box) -> tuple[Tensor, Tensor]:
        """Rows and columns of a box, up to the next multiple of the stride."""
        top, left, bottom, right = box
        return torch.arange(top, self.limits.aligned(bottom)), torch.arange(left, self.limits.aligned(right))

    def _note_speed(self, pixel_seconds: float, area: int) -> None:
        """Update the running mean over the last tiles; small ones count little."""
        self.pixel_seconds = running_mean(self.pixel_seconds, pixel_seconds, area / FASTEST_TILE**2)


def _ahead(
    helper: ThreadPoolExecutor, prepare: Callable[[Box], Window | None], boxes: Sequence[Box]
) -> Iterator[tuple[Box, Window | None]]:
    """Each box with what is prepared of it; the next one is prepared in a thread while the caller works."""
    coming = helper.submit(prepare, boxes[0])
    for box, after in zip_longest(boxes, boxes[1:]):
        window = coming.result()
        if after is not None:
            coming = helper.submit(prepare, after)
        yield box, window
