"""Apply a model to a picture of any size, whole or in exact tiles.

G has no normalisation over space, so an output pixel depends on a window around it and on nothing else. A tile is
computed from its own pixels plus a halo of the receptive radius, starts at a multiple of G's stride, and takes its
noise by absolute position: it then holds the pixels of the whole picture, whatever the tiling (float32: to 1e-5).

Beyond its border a picture is continued by mirroring, also when it is translated whole. Zeros there, as in training
crops, leave a thin coloured frame around the result.
"""

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sincut.devices import (
    available_memory,
    find_compute,
    find_device,
    out_of_memory,
    release_memory,
    used_memory,
)
from sincut.errors import ConfigError, ImageError
from sincut.events import Listener, PictureStarted, TileDone, ignore
from sincut.model.model import Model
from sincut.nets.networks import STRIDE
from sincut.pictures import formats, masks, reading, resampling, writing
from sincut.pictures import libvips as vips
from sincut.pictures.hidden import visible_everywhere
from sincut.pictures.large import open_large
from sincut.pictures.opening import MAX_PIXELS
from sincut.pictures.picture import Picture, Pixels, to_pixels, to_tensor
from sincut.pictures.writing import AS_IT_CAME, Saving
from sincut.translation.blend import WHOLE, Blend

Box = tuple[int, int, int, int]  # top, left, bottom, right
Tile = int | str  # side in px, or "auto", or "off"
AnyImage = TypeVar("AnyImage", Path, str, Image.Image, np.ndarray, Tensor)

MEMORY_SHARE = 0.5  # of the free memory, that a picture may take by default
TILE_SHARE = 0.5  # of what a picture leaves of that, for the feature maps of a tile
FASTEST_TILE = 512  # larger tiles fall out of the processor's caches, smaller ones waste work on halos
SMALLEST_TILE = 64
PROBED_TILES = 4  # pictures of more tiles have one translated beforehand, to say how long all will take
BYTES_OF_SCALED = 40  # per pixel of what a picture is scaled to
BANDS_IN_FLIGHT = 8  # rows of tiles on their way: read, translated, queued, being compressed
LIBRARY_BYTES = 300 * 10**6  # of libvips, its threads and its caches
PIXELS_AT_ONCE = 4_000_000  # of pictures that are put together from two scales
BYTES_AT_ONCE = 60 * PIXELS_AT_ONCE
NEAR_TRAINING = 1.25  # times the widths of the training, up to which --scale auto changes nothing
FAR_FROM_TRAINING = 2.0  # times the widths of the training, where --scale is worth a thought


@dataclass(frozen=True)
class Options:
    """How pictures are translated, the same for all of them.

    `tile` is a side in px, "auto" (by memory) or "off". `max_memory`, in bytes, is for the whole program; None: a
    share of what is free. `blend` says how much of the translation is used, `mask`, a picture whose greys are weights,
    where. `scale` runs G on the picture scaled by it and puts the source's finer detail back; "auto" takes the nearest
    scale that the training has seen. `max_pixels` refuses files that declare more.
    """

    tile: Tile = "auto"
    max_memory: int | None = None
    max_pixels: int = MAX_PIXELS
    blend: Blend = WHOLE
    mask: Path | None = None
    scale: float | str = 1.0

    def __post_init__(self) -> None:
        if self.scale != "auto" and not (isinstance(self.scale, int | float) and 0.01 <= self.scale <= 16):
            raise ConfigError(f"a scale of {self.scale} is out of range: it must be 0.01 to 16, or auto")


PLAIN = Options()
Write = Callable[[Box, Tensor | None], None]  # of a translated tile (1, 3, h, w) in [-1, 1], or of one left as it is


@dataclass(frozen=True)
class _Scene:
    """A picture (H, W) to be translated, in memory or in a file: its pixels (h, w, 3) by windows and by rows."""

    size: tuple[int, int]
    dtype: np.dtype[Any]
    window: Callable[[Tensor, Tensor], Pixels]  # at rows (h,) and columns (w,), consecutive or mirrored
    rows: Callable[[int, int], Pixels]  # whole rows top..bottom

    def tensor(self, rows: Tensor, columns: Tensor) -> Tensor:
        """A window (1, 3, h, w) in [-1, 1]."""
        return to_tensor(self.window(rows, columns))


class Translator:
    """A loaded model, ready to translate on a device.

    >>> translator = sincut.load("runs/first")
    >>> translator.apply("painting.jpg").save("out.png")
    """

    def __init__(self, model: Model, device: torch.device | str = "cpu", precision: str = "auto") -> None:
        self.model = model
        self.compute = find_compute(find_device(device), precision)
        model.generator.to(self.compute.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.halo = model.halo
        self.pixel_seconds = 0.0  # of the last tiles; 0: not known yet

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return self.model._repr_html_()

    def apply(self, image: AnyImage, options: Options = PLAIN, on_event: Listener = ignore) -> AnyImage | Image.Image:
        """Translate one picture; what comes in decides what comes out, always of the same size.

        - a path -> a PIL image with alpha, 8 bits a channel; ICC profile, EXIF and resolution are in its `info`, and
          Pillow wants them named to write them: `out.save(path, exif=out.info.get("exif"))`. `apply_file` does all
          that, and keeps 16 bits.
        - a PIL image of any mode -> a PIL image, RGB, or RGBA where there is alpha
        - an array (H, W), (H, W, 3) or (H, W, 4): uint8, uint16, or floats in [0, 1] -> (H, W, 3 or 4) of its dtype
        - a tensor (3, H, W) or (N, 3, H, W), floats in [0, 1] -> the same shape and dtype

        Tensors and arrays of floats are translated as they are: `ConfigError` where options ask for a blend, a mask or
        another scale. Raises `ImageError` for what cannot be read or has another shape.
        """
        floats = isinstance(image, Tensor) or (isinstance(image, np.ndarray) and image.dtype.kind == "f")
        if floats and not (options.blend.is_whole and options.mask is None and options.scale == 1):
            raise ConfigError("blend, mask and scale are for pictures of integers; give a file, a PIL image or uint8")
        if isinstance(image, Tensor):
            return self._apply_tensor(image, options.tile)
        if isinstance(image, np.ndarray):
            return self._apply_array(image, options)
        if isinstance(image, Image.Image):
            picture = reading.from_pil(image)
        else:
            picture = reading.load(Path(image), options.max_pixels)
        return writing.to_pil(self.apply_picture(picture, options, on_event))

    def apply_file(
        self,
        source: Path,
        target: Path,
        options: Options = PLAIN,
        saving: Saving = AS_IT_CAME,
        on_event: Listener = ignore,
    ) -> tuple[str, ...]:
        """Translate a file into a file, whole or not at all; returns notes on conversions. Raises `ImageError`.

        A picture that does not fit into `options.max_memory` goes from file to file in rows of tiles.
        """
        size = reading.size_of(source, options.max_pixels)
        formats.check_fits_format(target, size)
        if not self.fits(size, options, reading.bytes_in_memory(source)):
            return self._apply_streaming(source, target, options, saving, on_event)
        picture = self.apply_loaded(reading.load(source, options.max_pixels), source, target, options, on_event)
        return picture.notes + writing.save(picture, target, saving)

    def apply_loaded(
        self,
        picture: Picture,
        source: PurePath,
        target: PurePath,
        options: Options = PLAIN,
        on_event: Listener = ignore,
    ) -> Picture:
        """`apply_picture` that says what it is working on."""
        size, memory = picture.size, self._needs(picture.size, options) + used_memory()
        side = self.tile_size(*self._scaled(size, options), options)
        self._announce(source, target, size, side, memory, options, on_event)
        return self._apply_in_memory(picture, side, options, on_event)

    def apply_picture(self, picture: Picture, options: Options = PLAIN, on_event: Listener = ignore) -> Picture:
        """Translate a picture; its alpha and metadata stay as they are."""
        side = self.tile_size(*self._scaled(picture.size, options), options)
        return self._apply_in_memory(picture, side, options, on_event)

    def _apply_in_memory(self, picture: Picture, side: int, options: Options, on_event: Listener) -> Picture:
        seen = visible_everywhere(picture.pixels, picture.alpha)
        scene = _Scene(
            picture.size,
            seen.dtype,
            lambda rows, columns: seen[_span(rows)][:, _span(columns)],
            lambda top, bottom: seen[top:bottom],
        )
        out: Any = picture.pixels.copy()

        def write(box: Box, pixels: Pixels | None) -> None:
            top, left, bottom, right = box
            if pixels is not None:
                out[top:bottom, left:right] = pixels

        notes = self._apply_scene(scene, write, side, options, on_event)
        return replace(picture, pixels=out, notes=picture.notes + notes)

    def _apply_scene(
        self,
        scene: _Scene,
        write: Callable[[Box, Pixels | None], None],
        side: int,
        options: Options,
        on_event: Listener,
    ) -> tuple[str, ...]:
        """Translate, blend, and write pixels (h, w, 3) box by box, row by row; None where the source stays."""
        h, w = scene.size
        mask = masks.load_mask(options.mask, (h, w), options.max_pixels) if options.mask else None
        factor = self._factor(h, w, options.scale)

        def wanted(box: Box) -> bool:
            return bool(options.blend.strength) and (mask is None or mask.touches(box))

        def finish(box: Box, output: Tensor | None) -> None:
            if output is not None and not (options.blend.is_whole and mask is None):
                top, left, bottom, right = box
                before = scene.tensor(torch.arange(top, bottom), torch.arange(left, right))
                output = options.blend(before, output.cpu(), mask.weight(box) if mask else None)
            write(box, None if output is None else to_pixels(output, scene.dtype))

        if factor == 1:
            self._run(scene.tensor, finish, h, w, side, on_event, wanted)
        else:
            self._run_scaled(scene, finish, factor, side, on_event)
        return self._remarks(w, factor, options.scale)

    def fits(self, size: tuple[int, int], options: Options, per_pixel: int = reading.BYTES_PER_PIXEL) -> bool:
        """Whether a picture (H, W) can be held in memory within `options.max_memory`, translated and encoded there.

        `per_pixel` is what `reading.bytes_in_memory` says of its file.
        """
        return self._needs(size, options, per_pixel) <= self._budget(options)

    def _needs(self, size: tuple[int, int], options: Options, per_pixel: int = reading.BYTES_PER_PIXEL) -> int:
        """Bytes for a picture in memory and the smallest useful tile."""
        h, w = size
        side = min(max(h, w), FASTEST_TILE) + 2 * self.halo
        return h * w * per_pixel + self._scaled_needs(size, options) + side**2 * self._bytes_per_pixel()

    def _scaled_needs(self, size: tuple[int, int], options: Options) -> int:
        """Bytes for translating at another scale; 0 at the picture's own."""
        scaled = self._scaled(size, options)
        return 0 if scaled == size else math.prod(scaled) * BYTES_OF_SCALED + BYTES_AT_ONCE

    def _budget(self, options: Options) -> int:
        """Bytes that a picture may take, beside what the program holds already."""
        if options.max_memory is None:
            return int(MEMORY_SHARE * available_memory(torch.device("cpu")))
        return max(0, options.max_memory - used_memory())

    def _announce(
        self,
        source: PurePath,
        target: PurePath,
        size: tuple[int, int],
        side: int,
        memory: int,
        options: Options,
        on_event: Listener,
    ) -> None:
        """Say size, tiles, memory and time; the first tile of a large picture is timed for it."""
        scaled = self._scaled(size, options)
        tiles = math.ceil(scaled[0] / side) * math.ceil(scaled[1] / side)
        if not self.pixel_seconds and tiles > PROBED_TILES:
            self.probe(side)
        seconds = self.pixel_seconds * math.prod(scaled)
        on_event(PictureStarted(source, target, size[1], size[0], tiles, memory, seconds))

    def probe(self, side: int = FASTEST_TILE) -> float:
        """Seconds per pixel, from two tiles of nothing; in the first, whatever is set up at first use."""
        blank = torch.zeros(1, 3, 1, 1)
        for _ in range(2):
            self.pixel_seconds = 0.0
            self._run(lambda rows, columns: blank.expand(1, 3, len(rows), len(columns)), _nothing, side, side, side)
        return self.pixel_seconds

    def _factor(self, h: int, w: int, scale: float | str) -> float:
        """The factor by which a picture (H, W) is scaled for G."""
        if scale != "auto":
            return float(scale)
        low, high = self._training_widths()
        if w > NEAR_TRAINING * high:
            return high / w
        return low / w if w * NEAR_TRAINING < low else 1.0

    def _scaled(self, size: tuple[int, int], options: Options) -> tuple[int, int]:
        """The size (H, W) at which G sees a picture of this size."""
        h, w = size
        factor = self._factor(h, w, options.scale)
        return max(1, round(h * factor)), max(1, round(w * factor))

    def _training_widths(self) -> tuple[float, float]:
        """The widths in px, smallest and largest, at which the training has shown its source to G."""
        crops, inputs = self.model.config.crops, self.model.provenance
        if crops.scale == "width":
            return crops.low, crops.high
        role = "photo" if str(inputs.get("direction", "")).startswith("photo") else "painting"
        entry = inputs.get(role)
        width = entry.get("width", 0) if isinstance(entry, dict) else 0
        known = isinstance(width, int | float) and 0 < width < math.inf
        return (crops.low * width, crops.high * width) if known else (1.0, math.inf)

    def _remarks(self, w: int, factor: float, scale: float | str) -> tuple[str, ...]:
        """What a user should know about the scale of a picture of width W."""
        low, high = self._training_widths()
        if scale == "auto" and factor != 1:
            return (f"translated at {factor:.3g} of its size, which the training has seen",)
        if w * factor > FAR_FROM_TRAINING * high:
            return (f"{w * factor / high:.1f} times as wide as the largest of the training; try --scale auto",)
        if w * factor < low / FAR_FROM_TRAINING:
            return (f"{low / w / factor:.1f} times narrower than the smallest of the training; try --scale auto",)
        return ()

    def _run_scaled(self, scene: _Scene, write: Write, factor: float, side: int, on_event: Listener) -> None:
        """Translate at another scale and come back to the picture's own, with the detail that was lost on the way.

        That detail is the picture minus the picture scaled down and up again, in the colours that the colour map gives:
        what is scaled up is the translation without the colour-mapped small picture, and then the whole one is added.
        """
        h, w = scene.size
        small_h, small_w = max(1, round(h * factor)), max(1, round(w * factor))
        half = np.float32(np.iinfo(scene.dtype).max / 2)
        small = resampling.resized_rows(scene.rows, (h, w), (small_h, small_w)) / half  # (h', w', 3) float32, in [0, 2]
        translated = np.empty((small_h, small_w, 3), np.float32)
        matrix = self.model.colour.matrix.float()

        def read(rows: Tensor, columns: Tensor) -> Tensor:
            part = small[_span(rows)][:, _span(columns)]
            return torch.from_numpy(part - 1).permute(2, 0, 1)[None].float()

        def keep(box: Box, tile: Tensor | None) -> None:
            assert tile is not None
            top, left, bottom, right = box
            translated[top:bottom, left:right] = tile[0].permute(1, 2, 0).cpu().numpy()

        self._run(read, keep, small_h, small_w, side, on_event)
        if factor < 1:
            translated -= small @ matrix.numpy().T
        step = max(1, PIXELS_AT_ONCE // w)
        for top in range(0, h, step):
            bottom = min(top + step, h)
            out = torch.from_numpy(resampling.resized(translated, (h, w), (top, bottom))).permute(2, 0, 1)[None]
            if factor < 1:
                whole = torch.from_numpy(scene.rows(top, bottom) / half).permute(2, 0, 1)[None]
                out = out + torch.einsum("oc,nchw->nohw", matrix, whole.float())
            write((top, 0, bottom, w), out)

    def _apply_streaming(
        self, source: Path, target: Path, options: Options, saving: Saving, on_event: Listener
    ) -> tuple[str, ...]:
        """From file to file in rows of tiles, for pictures that do not fit into memory."""
        if not vips.installed():
            size, budget = reading.size_of(source, options.max_pixels), self._budget(options)
            need = self._needs(size, options, reading.bytes_in_memory(source))
            needed = f"{source}: {size[1]}x{size[0]} pixels need {need / 1e9:.1f} GB, {budget / 1e9:.1f} GB are allowed"
            raise ImageError(f"{needed}; pip install 'sincut[large]' or raise --max-memory")
        with open_large(source, target, saving, options.max_pixels) as large:
            h, w = large.reader.size
            side = self._streaming_tile((h, w), large.reader.bytes_per_pixel, options)
            memory = used_memory() + self._streaming_needs((h, w), side, large.reader.bytes_per_pixel, options)
            self._announce(source, target, (h, w), side, memory, options, on_event)
            band: Any = None

            def write(box: Box, pixels: Pixels | None) -> None:
                nonlocal band
                top, left, bottom, right = box
                if left == 0:
                    band = large.reader.rows(top, bottom)
                if pixels is not None:
                    band[:, left:right, :3] = pixels
                if right == w:
                    large.writer.write(band)

            scene = _Scene((h, w), large.reader.dtype, large.window, large.rows)
            notes = self._apply_scene(scene, write, side, options, on_event)
        return (*large.notes, *notes)

    def _streaming_needs(self, size: tuple[int, int], side: int, bytes_per_pixel: int, options: Options) -> int:
        """Bytes: rows of tiles on their way through the program, the windows read, and a tile's feature maps."""
        scaled = self._scaled_needs(size, options)
        rows = 0 if scaled else BANDS_IN_FLIGHT * size[1] * (side + self.halo) * bytes_per_pixel
        return rows + scaled + (side + 2 * self.halo) ** 2 * self._bytes_per_pixel() + LIBRARY_BYTES

    def _streaming_tile(self, size: tuple[int, int], bytes_per_pixel: int, options: Options) -> int:
        """The largest tile within the budget; the smallest one where even that is more than allowed."""
        if options.tile not in ("auto", "off"):
            return _even(max(STRIDE, int(options.tile)))
        budget = self._budget(options)
        sides = range(FASTEST_TILE, SMALLEST_TILE - 1, -SMALLEST_TILE)
        return next(
            (s for s in sides if self._streaming_needs(size, s, bytes_per_pixel, options) <= budget), SMALLEST_TILE
        )

    def translate(self, image: Tensor, tile: Tile = "auto") -> Tensor:
        """(1, 3, H, W) in [-1, 1] -> the same shape, not clipped, float32 on the image's device."""
        out = torch.empty_like(image, dtype=torch.float32)

        def read(rows: Tensor, columns: Tensor) -> Tensor:
            return image[:, :, _span(rows)][..., _span(columns)].float()

        def write(box: Box, tile_: Tensor | None) -> None:
            assert tile_ is not None
            top, left, bottom, right = box
            out[:, :, top:bottom, left:right] = tile_.to(out.device)

        h, w = image.shape[2:]
        self._run(read, write, h, w, self.tile_size(h, w, Options(tile)))
        return out

    def translate_box(self, pixels: Pixels, box: Box) -> Tensor:
        """What stands in a small box, which starts at even places, of a translated (H, W, 3).

        (1, 3, h, w), not clipped.
        """
        top, left, bottom, right = box
        rows, columns = torch.arange(top, _even(bottom)), torch.arange(left, _even(right))
        window = _window_of(pixels)(*_seen(rows, columns, pixels.shape, self.halo))
        return self._translate_window(window, self._noise(rows, columns))[:, :, : bottom - top, : right - left]

    def encoded(self, pixels: Pixels, last: int) -> Iterator[tuple[Box, list[Tensor]]]:
        """Tiles of (H, W, 3) with the encoder's features of layers 0..last there, as PatchNCE has seen them.

        Layers 0 and 1 are (1, C, h, w), the others (1, C, h/2, w/2), where odd h and w have been rounded up. Tiles are
        exact, as in translating; the picture is continued by mirroring.
        """
        h, w = pixels.shape[:2]
        halo, read = self.model.encoder_halo(last), _window_of(pixels)
        for box in tile_boxes(h, w, self.tile_size(h, w)):
            top, left, bottom, right = box
            rows, columns = torch.arange(top, _even(bottom)), torch.arange(left, _even(right))
            window = read(*_seen(rows, columns, pixels.shape, halo)).to(self.compute.device)
            with torch.inference_mode(), self.compute.autocast():
                features = self.model.encode_middle(window.contiguous(memory_format=torch.channels_last), last)
            yield box, [f[:, :, : bottom - top, : right - left] if i < 2 else f for i, f in enumerate(features)]

    def tile_size(self, h: int, w: int, options: Options = PLAIN) -> int:
        """The side of the tiles in px, a multiple of G's stride: as asked, or chosen from the memory that is free."""
        if options.tile == "off":
            return _even(max(h, w))
        if options.tile != "auto":
            return _even(max(STRIDE, int(options.tile)))
        device = self.compute.device
        on_cpu = device.type == "cpu"
        free = self._budget(options) - h * w * reading.BYTES_PER_PIXEL if on_cpu else available_memory(device)
        side = int(math.sqrt(max(0.0, free * TILE_SHARE / self._bytes_per_pixel()))) - 2 * self.halo
        return min(_even(max(h, w)), max(SMALLEST_TILE, min(FASTEST_TILE, side // 64 * 64)))

    def _run(
        self,
        read: Callable[[Tensor, Tensor], Tensor],
        write: Write,
        h: int,
        w: int,
        side: int,
        on_event: Listener = ignore,
        wanted: Callable[[Box], bool] = lambda box: True,
    ) -> None:
        """Read windows of the mirrored picture, translate them, write the tiles in their middle, row by row.

        The next window and its noise are made in a thread while this one is translated. A tile that is not `wanted` is
        written as None. Where the device runs out of memory, tiles are halved, as often as it takes.
        """

        def prepare(box: Box) -> tuple[Tensor, Tensor] | None:
            return window(box) if wanted(box) else None

        def window(box: Box) -> tuple[Tensor, Tensor]:
            top, left, bottom, right = box
            rows, columns = torch.arange(top, _even(bottom)), torch.arange(left, _even(right))
            return read(*_seen(rows, columns, (h, w), self.halo)), self._noise(rows, columns)

        def translated(box: Box, ready: tuple[Tensor, Tensor]) -> Tensor:
            nonlocal side
            top, left, bottom, right = box
            if max(bottom - top, right - left) <= side:
                try:
                    return self._translate_window(*ready)[:, :, : bottom - top, : right - left]
                except _TileTooLargeError as error:
                    if max(bottom - top, right - left) <= SMALLEST_TILE:
                        raise ImageError(f"{error}, and it is the smallest; use --device cpu") from None
                    side = max(SMALLEST_TILE, _even(max(bottom - top, right - left) // 2))
                    release_memory(self.compute.device)
            out = torch.empty(1, 3, bottom - top, right - left)
            for t, l, b, r in tile_boxes(bottom - top, right - left, side):  # noqa: E741
                part = top + t, left + l, top + b, left + r
                out[:, :, t:b, l:r] = translated(part, window(part)).cpu()
            return out

        boxes = list(tile_boxes(h, w, side))
        pixels = h * w
        with ThreadPoolExecutor(1) as helper:
            ahead = helper.submit(prepare, boxes[0])
            for done, (box, after) in enumerate(zip(boxes, [*boxes[1:], None], strict=True), 1):
                ready = ahead.result()
                if after:
                    ahead = helper.submit(prepare, after)
                area = (box[2] - box[0]) * (box[3] - box[1])
                if ready is None:
                    write(box, None)
                else:
                    began = time.perf_counter()
                    out = translated(box, ready)
                    write(box, out)
                    self._note_speed((time.perf_counter() - began) / area, area)
                pixels -= area
                on_event(TileDone(done, len(boxes), pixels * self.pixel_seconds))

    def _note_speed(self, pixel_seconds: float, area: int) -> None:
        """A running mean over the last tiles; small ones count little."""
        share = 0.3 * min(1.0, area / FASTEST_TILE**2) if self.pixel_seconds else 1.0
        self.pixel_seconds += share * (pixel_seconds - self.pixel_seconds)

    def _noise(self, rows: Tensor, columns: Tensor) -> Tensor:
        reach = self.model.noise_reach
        return noise_at(_extended(rows, reach), _extended(columns, reach))

    @torch.inference_mode()
    def _translate_window(self, window: Tensor, noise: Tensor) -> Tensor:
        device = self.compute.device
        try:
            window = window.to(device).contiguous(memory_format=torch.channels_last)
            with self.compute.autocast():
                return self.model.translate_middle(window, noise.to(device)).float()
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            h, w = window.shape[2:]
            raise _TileTooLargeError(f"a tile of {w}x{h} does not fit into the memory of {device}") from None

    def _apply_tensor(self, image: Tensor, tile: Tile) -> Tensor:
        shape = tuple(image.shape)
        fits = image.ndim in (3, 4) and shape[-3] == 3 and min(shape[-2:]) > 0 and image.is_floating_point()
        _check(fits, shape, "floats in [0, 1] of shape (3, H, W) or (N, 3, H, W)")
        batch = image.reshape(-1, *shape[-3:])
        out = torch.cat([self.translate(one * 2 - 1, tile) for one in torch.split(batch, 1)])
        return ((out.clamp(-1, 1) + 1) / 2).to(image.dtype).reshape(shape)

    def _apply_array(self, image: "np.ndarray", options: Options) -> "np.ndarray":
        fits = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))
        integers = image.dtype in (np.uint8, np.uint16)
        fits = fits and image.size > 0 and (integers or image.dtype.kind == "f")
        _check(fits, image.shape, "uint8, uint16, or floats in [0, 1], of shape (H, W), (H, W, 3) or (H, W, 4)")
        rgb = np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image[:, :, :3]
        if integers:
            out: Any = self.apply_picture(Picture(np.ascontiguousarray(rgb)), options).pixels
        else:
            tensor = torch.from_numpy(rgb.astype(np.float32)).permute(2, 0, 1)
            out = self._apply_tensor(tensor, options.tile).permute(1, 2, 0).numpy().astype(image.dtype)
        return np.concatenate([out, image[:, :, 3:]], axis=2) if image.ndim == 3 and image.shape[2] == 4 else out

    def _bytes_per_pixel(self) -> int:
        """Of all feature maps alive at once, roughly: a few at full resolution, a few at half."""
        networks = self.model.config.networks
        return 4 * (4 * networks.stem + 6 * networks.inner // STRIDE**2 + 12)


class _TileTooLargeError(Exception):
    """A tile was too large for the device; a smaller one may do."""


def load(
    path: Path | str, device: torch.device | str = "cpu", precision: str = "auto", heads: bool = False
) -> Translator:
    """The translator of a run folder or a model file; with the projection `heads` for `sincut.translation.similarity`.

    Raises `ModelError`.
    """
    return Translator(Model.load(Path(path), heads), device, precision)


def _window_of(pixels: Pixels) -> Callable[[Tensor, Tensor], Tensor]:
    """Windows (1, 3, h, w) in [-1, 1] of (H, W, 3)."""
    return lambda rows, columns: to_tensor(pixels[_span(rows)][:, _span(columns)])


def _nothing(box: Box, tile: Tensor | None) -> None:
    """Writes a tile nowhere."""


def tile_boxes(h: int, w: int, side: int) -> Iterator[Box]:
    """Tiles that cover (H, W) without overlap, row by row; each starts at a multiple of `side`."""
    for top in range(0, h, side):
        for left in range(0, w, side):
            yield top, left, min(top + side, h), min(left + side, w)


def _seen(rows: Tensor, columns: Tensor, size: tuple[int, ...], halo: int) -> tuple[Tensor, Tensor]:
    """The rows and columns of a mirrored picture (H, W) that are looked at for these."""
    return mirror(_extended(rows, halo), size[0]), mirror(_extended(columns, halo), size[1])


def _extended(positions: Tensor, halo: int) -> Tensor:
    """Consecutive positions with `halo` more on both sides."""
    return torch.arange(int(positions[0]) - halo, int(positions[-1]) + halo + 1)


def _span(positions: Tensor) -> "slice | np.ndarray":
    """Positions from `mirror` as an index: a slice, which copies nothing, where none of them is mirrored."""
    first, last = int(positions[0]), int(positions[-1])
    return slice(first, last + 1) if last - first == len(positions) - 1 else positions.numpy()


def mirror(positions: Tensor, length: int) -> Tensor:
    """Positions on an endless line -> 0..length-1 of a picture continued by mirroring; its edge pixels stand once."""
    period = max(1, 2 * (length - 1))
    folded = positions % period
    return torch.minimum(folded, period - folded) % length


def noise_at(rows: Tensor, columns: Tensor, seed: int = 0) -> Tensor:
    """Standard normal (1, 1, H, W) that depends on absolute positions (H,), (W,) and the seed alone.

    A counter-based generator: two hashes of the position, then Box and Muller's transform (1958).
    """
    first = _uniform_at(rows, columns, 2 * seed)
    second = _uniform_at(rows, columns, 2 * seed + 1)
    noise = np.sqrt(-2 * np.log(first)) * np.cos(np.float32(2 * math.pi) * second)
    return torch.from_numpy(noise)[None, None]


def _uniform_at(rows: Tensor, columns: Tensor, seed: int) -> "np.ndarray":
    """(H, W) uniform in (0, 1): a hash in arithmetic of 32-bit integers, the same on every machine."""
    y, x = (positions.numpy().astype(np.uint32) for positions in (rows, columns))  # arithmetic modulo 2**32
    down, across = (
        _mix(y * np.uint32(0x9E3779B1) + np.uint32(seed * 0x27D4EB2F & 0xFFFFFFFF)),
        x * np.uint32(0x85EBCA6B),
    )
    bits = _mix(_mix(down[:, None] ^ across))
    return ((bits + 0.5) / 2**32).astype(np.float32).clip(2**-33, 1 - 2**-24)


def _mix(x: "np.ndarray") -> "np.ndarray":
    """A bijection of 32-bit integers that changes half of the bits for any change of one."""
    x = (x ^ (x >> 16)) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * np.uint32(0x846CA68B)
    x ^= x >> 16
    return x


def _even(side: int) -> int:
    return side + side % STRIDE


def _check(ok: bool, shape: tuple[int, ...], wanted: str) -> None:
    if not ok:
        raise ImageError(f"an image of shape {shape} cannot be translated; give {wanted}")
