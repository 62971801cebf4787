"""Apply a model to a picture of any size, whole or in exact tiles.

G has no normalisation over space, so an output pixel depends on a window around it and on nothing else. A tile is
computed from its own pixels plus a halo of the receptive radius, starts at a multiple of G's stride, and takes its
noise by absolute position: it then holds the pixels of the whole picture, whatever the tiling (float32: to 1e-5).

Beyond its border a picture is continued by mirroring, also when it is translated whole. Zeros there, as in training
crops, leave a thin coloured frame around the result.
"""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sincut import images
from sincut.devices import available_memory, find_compute, find_device, out_of_memory
from sincut.errors import ImageError
from sincut.events import Listener, PictureStarted, TileDone, ignore
from sincut.images import Picture
from sincut.model import Model
from sincut.networks import STRIDE

Box = tuple[int, int, int, int]  # top, left, bottom, right
Tile = int | str  # side in px, or "auto", or "off"
AnyImage = TypeVar("AnyImage", Path, str, Image.Image, np.ndarray, Tensor)

MEMORY_SHARE = 0.25  # of the free memory, for the feature maps of a tile
FASTEST_TILE = 512  # larger tiles fall out of the processor's caches, smaller ones waste work on halos
SMALLEST_TILE = 64


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

    def apply(self, image: AnyImage, tile: Tile = "auto", on_event: Listener = ignore) -> AnyImage | Image.Image:
        """Translate one picture; what comes in decides what comes out, always of the same size.

        - a path -> a PIL image with alpha; ICC profile, EXIF and resolution are in its `info`, and Pillow wants them
          named to write them: `out.save(path, exif=out.info.get("exif"))`. `apply_file` does all that.
        - a PIL image of any mode -> a PIL image, RGB, or RGBA where there is alpha
        - an array (H, W), (H, W, 3) or (H, W, 4): uint8, or floats in [0, 1] -> (H, W, 3 or 4) of the same dtype
        - a tensor (3, H, W) or (N, 3, H, W), floats in [0, 1] -> the same shape and dtype

        Raises `ImageError` for what cannot be read or has another shape.
        """
        if isinstance(image, Tensor):
            return self._apply_tensor(image, tile)
        if isinstance(image, np.ndarray):
            return self._apply_array(image, tile)
        picture = images.from_pil(image) if isinstance(image, Image.Image) else images.load(Path(image))
        return images.to_pil(self.apply_picture(picture, tile, on_event))

    def apply_file(
        self, source: Path, target: Path, tile: Tile = "auto", on_event: Listener = ignore
    ) -> tuple[str, ...]:
        """Translate a file into a file, whole or not at all; returns notes on conversions. Raises `ImageError`."""
        images.writable_format(target)
        picture = images.load(source)
        return picture.notes + images.save(self.apply_loaded(picture, source, target, tile, on_event), target)

    def apply_loaded(
        self, picture: Picture, source: Path, target: Path, tile: Tile = "auto", on_event: Listener = ignore
    ) -> Picture:
        """`apply_picture` that says what it is working on."""
        h, w = picture.size
        count = len(list(tile_boxes(h, w, self.tile_size(h, w, tile))))
        on_event(PictureStarted(source, target, w, h, count))
        return self.apply_picture(picture, tile, on_event)

    def apply_picture(self, picture: Picture, tile: Tile = "auto", on_event: Listener = ignore) -> Picture:
        """Translate a picture; its alpha and metadata stay as they are."""
        out = np.empty_like(picture.pixels)

        def read(rows: Tensor, columns: Tensor) -> Tensor:
            return images.to_tensor(picture.pixels[_span(rows)][:, _span(columns)])

        def write(box: Box, tile_: Tensor) -> None:
            top, left, bottom, right = box
            out[top:bottom, left:right] = images.to_pixels(tile_)

        self._run(read, write, *picture.size, tile, on_event)
        return picture.with_pixels(out)

    def translate(self, image: Tensor, tile: Tile = "auto") -> Tensor:
        """(1, 3, H, W) in [-1, 1] -> the same shape, not clipped, float32 on the image's device."""
        out = torch.empty_like(image, dtype=torch.float32)

        def read(rows: Tensor, columns: Tensor) -> Tensor:
            return image[:, :, _span(rows)][..., _span(columns)].float()

        def write(box: Box, tile_: Tensor) -> None:
            top, left, bottom, right = box
            out[:, :, top:bottom, left:right] = tile_.to(out.device)

        self._run(read, write, image.shape[2], image.shape[3], tile, ignore)
        return out

    def tile_size(self, h: int, w: int, tile: Tile = "auto") -> int:
        """The side of the tiles in px, a multiple of G's stride: as asked, or chosen from the memory that is free."""
        if tile == "off":
            return _even(max(h, w))
        if tile != "auto":
            return _even(max(STRIDE, int(tile)))
        affordable = available_memory(self.compute.device) * MEMORY_SHARE / self._bytes_per_pixel()
        side = int(math.sqrt(affordable)) - 2 * self.halo
        return min(_even(max(h, w)), max(SMALLEST_TILE, min(FASTEST_TILE, side // 64 * 64)))

    def _run(
        self,
        read: Callable[[Tensor, Tensor], Tensor],
        write: Callable[[Box, Tensor], None],
        h: int,
        w: int,
        tile: Tile,
        on_event: Listener,
    ) -> None:
        """Read windows of the mirrored picture, translate them, write the tiles in their middle.

        The next window and its noise are made in a thread while this one is translated.
        """

        def prepare(box: Box) -> tuple[Tensor, Tensor]:
            top, left, bottom, right = box
            rows, columns = torch.arange(top, _even(bottom)), torch.arange(left, _even(right))
            seen = (mirror(_extended(rows, self.halo), h), mirror(_extended(columns, self.halo), w))
            return read(*seen), noise_at(rows, columns)

        boxes = list(tile_boxes(h, w, self.tile_size(h, w, tile)))
        with ThreadPoolExecutor(1) as helper:
            ahead = helper.submit(prepare, boxes[0])
            for done, (box, after) in enumerate(zip(boxes, [*boxes[1:], None], strict=True), 1):
                window, noise = ahead.result()
                if after:
                    ahead = helper.submit(prepare, after)
                out = self._translate_window(window, noise)
                top, left, bottom, right = box
                write(box, out[:, :, : bottom - top, : right - left])
                on_event(TileDone(done, len(boxes)))

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
            raise ImageError(
                f"a tile of {w}x{h} does not fit into the memory of {device}; use a smaller --tile"
            ) from None

    def _apply_tensor(self, image: Tensor, tile: Tile) -> Tensor:
        shape = tuple(image.shape)
        fits = image.ndim in (3, 4) and shape[-3] == 3 and min(shape[-2:]) > 0 and image.is_floating_point()
        _check(fits, shape, "floats in [0, 1] of shape (3, H, W) or (N, 3, H, W)")
        batch = image.reshape(-1, *shape[-3:])
        out = torch.cat([self.translate(one * 2 - 1, tile) for one in torch.split(batch, 1)])
        return ((out.clamp(-1, 1) + 1) / 2).to(image.dtype).reshape(shape)

    def _apply_array(self, image: "np.ndarray", tile: Tile) -> "np.ndarray":
        fits = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))
        fits = fits and image.size > 0 and (image.dtype == np.uint8 or image.dtype.kind == "f")
        _check(fits, image.shape, "uint8, or floats in [0, 1], of shape (H, W), (H, W, 3) or (H, W, 4)")
        rgb = np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image[:, :, :3]
        if image.dtype == np.uint8:
            out = self.apply_picture(Picture(np.ascontiguousarray(rgb)), tile).pixels
        else:
            tensor = torch.from_numpy(rgb.astype(np.float32)).permute(2, 0, 1)
            out = self._apply_tensor(tensor, tile).permute(1, 2, 0).numpy().astype(image.dtype)
        return np.concatenate([out, image[:, :, 3:]], axis=2) if image.ndim == 3 and image.shape[2] == 4 else out

    def _bytes_per_pixel(self) -> int:
        """Of all feature maps alive at once, roughly: a few at full resolution, a few at half."""
        networks = self.model.config.networks
        return 4 * (4 * networks.stem + 6 * networks.inner // STRIDE**2 + 12)


def load(path: Path | str, device: torch.device | str = "cpu", precision: str = "auto") -> Translator:
    """The translator of a run folder or a model file. Raises `ModelError`."""
    return Translator(Model.load(Path(path)), device, precision)


def tile_boxes(h: int, w: int, side: int) -> Iterator[Box]:
    """Tiles that cover (H, W) without overlap, row by row; each starts at a multiple of `side`."""
    for top in range(0, h, side):
        for left in range(0, w, side):
            yield top, left, min(top + side, h), min(left + side, w)


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
