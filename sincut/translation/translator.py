"""A trained model, ready to translate pictures of any kind and size."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sincut.devices import find_compute, find_device, used_memory
from sincut.errors import ConfigError, ImageError
from sincut.events import Listener, ignore
from sincut.model.kinds import AnyModel
from sincut.pictures import formats, reading, writing
from sincut.pictures.hidden import visible_everywhere
from sincut.pictures.picture import Picture, Pixels
from sincut.pictures.writing import AS_IT_CAME, Saving
from sincut.synthesis.synthesis import Synthesis
from sincut.translation.drawing import FirstPass, Write, draw_picture
from sincut.translation.engine import Engine, Read
from sincut.translation.light import lit
from sincut.translation.loading import load_model
from sincut.translation.memory import Tiling
from sincut.translation.options import PLAIN, Options, Tile
from sincut.translation.pipeline import announce, translate_scene
from sincut.translation.recipe import Known, hash_of, imprint_by, known_model, recipe_of
from sincut.translation.rescaled import Widths
from sincut.translation.scene import Scene
from sincut.translation.streamed import apply_streamed
from sincut.translation.tiles import Box, count, index_of


class Translator:
    """A loaded model, ready to translate on a device.

    A model whose networks are on another device stays as it is, and `model` is a copy on this one. One that is there
    already is used itself; the weights of its convolutions are laid out channels-last, which changes no value.

    >>> translator = sincut.load("runs/first")
    >>> translator.apply("painting.jpg").save("out.png")
    """

    def __init__(self, model: AnyModel, device: torch.device | str = "cpu", precision: str = "auto") -> None:
        self.compute = find_compute(find_device(device), precision)
        self.model = _on_device(model, self.compute.device)
        self.engine = Engine(self.model, self.compute)
        self.origin: Known | None = None  # of its file, where it was loaded from one

    def _repr_html_(self) -> str:
        """The model's card, shown in a notebook."""
        return self.model._repr_html_()

    @overload
    def apply(
        self, image: Path | str | Image.Image, options: Options = PLAIN, on_event: Listener = ignore
    ) -> Image.Image: ...

    @overload
    def apply(self, image: NDArray[Any], options: Options = PLAIN, on_event: Listener = ignore) -> NDArray[Any]: ...

    @overload
    def apply(self, image: Tensor, options: Options = PLAIN, on_event: Listener = ignore) -> Tensor: ...

    def apply(
        self,
        image: Path | str | Image.Image | NDArray[Any] | Tensor,
        options: Options = PLAIN,
        on_event: Listener = ignore,
    ) -> Image.Image | NDArray[Any] | Tensor:
        """Translate one picture; the kind of the input decides that of the output, always of the same size.

        - a path -> a PIL image with alpha, 8 bits a channel; ICC profile, EXIF and resolution are in its `info`, and
          Pillow wants them named to write them: `out.save(path, exif=out.info.get("exif"))`. `apply_file` does all
          that, and keeps 16 bits.
        - a PIL image of any mode -> a PIL image, RGB, or RGBA where there is alpha
        - an array (H, W), (H, W, 3) or (H, W, 4): uint8, uint16, or floats in [0, 1] -> (H, W, 3 or 4) of its dtype
        - a tensor (3, H, W) or (N, 3, H, W), floats in [0, 1] -> the same shape and dtype

        Where the model has an exemplar, pictures are drawn from that, unless `options.fast`. They are drawn from G's
        translation in 8 bits, also those of tensors, floats and uint16; what is drawn is not rounded to 8 bits.

        Tensors and arrays of floats are translated as they are: `ConfigError` where options ask for a blend, a mask or
        another scale. Raises `ImageError` for what cannot be read or has another shape, and `ConfigError` for dials
        where the model has no exemplar.
        """
        floats = isinstance(image, Tensor) or (isinstance(image, np.ndarray) and image.dtype.kind == "f")
        if floats and not (options.blend.is_whole and options.mask is None and options.scale == 1):
            raise ConfigError("blend, mask and scale are for pictures of integers; give a file, a PIL image or uint8")
        if isinstance(image, Tensor):
            return self._apply_tensor(image, options, on_event)
        if isinstance(image, np.ndarray):
            return self._apply_array(image, options, on_event)
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

        A picture that does not fit into `options.max_memory` goes from file to file in rows of tiles. The target says
        what made it (see `Imprint`), where the model was loaded from a file and `saving` leaves metadata in.
        """
        if self.origin is not None and saving.imprint is None and not saving.strip:
            imprint = imprint_by(self.origin, recipe_of(self.origin, options, saving))
            saving = replace(saving, imprint=replace(imprint, source_sha256=hash_of(source, ImageError)))
        size = reading.size_of(source, options.max_pixels)
        formats.check_fits_format(target, size)
        if not self.fits(size, options, reading.bytes_in_memory(source)):
            return apply_streamed(self.engine, source, target, options, saving, on_event)
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
        """`apply_picture` that tells which files it is working for, with the expected tiles, memory and time."""
        seen, synthesis = self._seen(picture.size, options), self._synthesis(options)
        tiling = self.engine.memory.in_memory(picture.size, seen, options, synthesis, source)
        memory = self.engine.memory.needs(picture.size, seen, synthesis=synthesis, tiling=tiling) + used_memory()
        announce(self.engine, (source, target), picture.size, tiling, memory, options, on_event)
        return self._apply_in_memory(picture, tiling, options, on_event)

    def apply_picture(self, picture: Picture, options: Options = PLAIN, on_event: Listener = ignore) -> Picture:
        """Translate a picture; its alpha and metadata stay as they are."""
        return self._apply_in_memory(picture, self._tiling(picture.size, options), options, on_event)

    def translate(self, image: Tensor, tile: Tile = "auto") -> Tensor:
        """G's translation: (1, 3, H, W) in [-1, 1] -> the same shape, not clipped, float32 on the image's device."""
        out = torch.empty_like(image, dtype=torch.float32)
        h, w = image.shape[2:]
        self.engine.run(_reader(image), _writer(out), (h, w), self.tile_size(h, w, Options(tile)))
        return out

    def translate_box(self, pixels: Pixels, box: Box) -> Tensor:
        """G's translation (1, 3, h, w), not clipped, of a small box of a picture (H, W, 3).

        Its top and left must be multiples of the model's stride.
        """
        scene = Scene.of(pixels)
        if self.engine.limits.whole_only:
            top, left, bottom, right = box
            whole = self.translate(scene.tensor(*map(torch.arange, scene.size)))
            return whole[:, :, top:bottom, left:right]
        return self.engine.box_of(scene.tensor, scene.size, box)

    def encoded(self, pixels: Pixels, last: int) -> Iterator[tuple[Box, list[Tensor]]]:
        """Tiles of a picture (H, W, 3) with the encoder's features of layers 0..last there, see `Engine.encoded`."""
        scene = Scene.of(pixels)
        return self.engine.encoded(scene.tensor, scene.size, last, self.tile_size(*scene.size))

    def fits(self, size: tuple[int, int], options: Options, file_bytes: int = reading.BYTES_PER_PIXEL) -> bool:
        """True if a picture (H, W) can be held in memory within `options.max_memory`, translated and encoded there.

        `file_bytes` are those per pixel from reading a file to writing it, see `reading.bytes_in_memory`.
        """
        return self.engine.memory.fits(size, self._seen(size, options), options, file_bytes, self._synthesis(options))

    def tile_size(self, h: int, w: int, options: Options = PLAIN) -> int:
        """Side of G's tiles in px of a picture (H, W) at the size at which G sees it, see `Memory.tile_size`."""
        return self.engine.memory.tile_size((h, w), options)

    def probe(self, options: Options = PLAIN) -> float:
        """Seconds per pixel, from a tile or two."""
        drawer = self.engine.drawer(options)
        return self.engine.probe() + (drawer.probe() if drawer else 0.0)

    def _seen(self, size: tuple[int, int], options: Options) -> tuple[int, int]:
        """The size (H, W) at which G sees a picture of this size."""
        return Widths.of(self.model).seen(size, options.scale)

    def _synthesis(self, options: Options) -> Synthesis | None:
        """The prepared exemplar, or None where G's translation is all. Raises `ConfigError` as `Engine.drawer`."""
        drawer = self.engine.drawer(options)
        return drawer.synthesis if drawer else None

    def _tiling(self, size: tuple[int, int], options: Options) -> Tiling:
        """The tiles of a picture (H, W) in memory. Raises `ImageError` as `tile_size`."""
        return self.engine.memory.in_memory(size, self._seen(size, options), options, self._synthesis(options))

    def _apply_in_memory(self, picture: Picture, tiling: Tiling, options: Options, on_event: Listener) -> Picture:
        scene = Scene.of(visible_everywhere(picture.pixels, picture.alpha))
        out: Any = picture.pixels.copy()

        def write(box: Box, pixels: Pixels | None) -> None:
            top, left, bottom, right = box
            if pixels is not None:
                out[top:bottom, left:right] = pixels

        notes = translate_scene(self.engine, scene, write, tiling, options, on_event)
        return replace(picture, pixels=out, notes=picture.notes + notes)

    def _apply_tensor(self, image: Tensor, options: Options, on_event: Listener) -> Tensor:
        shape = tuple(image.shape)
        fits = image.ndim in (3, 4) and shape[-3] == 3 and min(shape[-2:]) > 0 and image.is_floating_point()
        _check(fits, shape, "floats in [0, 1] of shape (3, H, W) or (N, 3, H, W)")
        batch = image.reshape(-1, *shape[-3:])
        out = torch.cat([self._apply_floats(one * 2 - 1, options, on_event) for one in torch.split(batch, 1)])
        return ((out.clamp(-1, 1) + 1) / 2).to(image.dtype).reshape(shape)

    def _apply_floats(self, image: Tensor, options: Options, on_event: Listener) -> Tensor:
        """The whole translation (1, 3, H, W), not clipped, of a tensor alike in [-1, 1], drawn where that is asked."""
        drawer = self.engine.drawer(options)
        if drawer is None:
            return self.translate(image, options.tile)
        h, w = image.shape[2:]
        tiling, out = self._tiling((h, w), options), torch.empty_like(image, dtype=torch.float32)

        def run(write: Write, on_event: Listener) -> None:
            read = _reader(image)
            lit_write = lit(write, read, (h, w), self.model, options.dials.fidelity)
            self.engine.run(read, lit_write, (h, w), tiling.side, on_event)

        first = FirstPass(run, count((h, w), tiling.side), h * w, self.engine.pixel_seconds)
        draw_picture(drawer, (h, w), tiling, first, _writer(out), on_event)
        return out

    def _apply_array(self, image: "np.ndarray", options: Options, on_event: Listener) -> "np.ndarray":
        fits = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))
        integers = image.dtype in (np.uint8, np.uint16)
        fits = fits and image.size > 0 and (integers or image.dtype.kind == "f")
        _check(fits, image.shape, "uint8, uint16, or floats in [0, 1], of shape (H, W), (H, W, 3) or (H, W, 4)")
        rgb = np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image[:, :, :3]
        if integers:
            out: Any = self.apply_picture(Picture(np.ascontiguousarray(rgb)), options, on_event).pixels
        else:
            tensor = torch.from_numpy(rgb.astype(np.float32)).permute(2, 0, 1)
            out = self._apply_tensor(tensor, options, on_event).permute(1, 2, 0).numpy().astype(image.dtype)
        return np.concatenate([out, image[:, :, 3:]], axis=2) if image.ndim == 3 and image.shape[2] == 4 else out


def load(
    path: Path | str, device: torch.device | str = "cpu", precision: str = "auto", heads: bool = False
) -> Translator:
    """The translator of a run folder or a model file of any kind.

    With the projection `heads` for `sincut.translation.similarity`. Raises `ModelError`.
    """
    translator = Translator(load_model(Path(path), heads), device, precision)
    translator.origin = known_model(Path(path))
    return translator


def _on_device(model: AnyModel, device: torch.device) -> AnyModel:
    """The model if its networks are on the device, else a copy of it there; laid out as convolutions are fastest."""
    place = torch.empty(0, device=device).device  # with its number, as in cuda:0
    if any(weight.device != place for network in model.networks for weight in network.parameters()):
        model = copy.deepcopy(model)
    for network in model.networks:
        network.to(place, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def _reader(image: Tensor) -> Read:
    """Windows of a tensor (1, 3, H, W)."""
    return lambda rows, columns: image[:, :, index_of(rows)][..., index_of(columns)].float()


def _writer(out: Tensor) -> Write:
    """Puts tiles at their places in a tensor (1, 3, H, W)."""

    def write(box: Box, tile: Tensor | None) -> None:
        assert tile is not None
        top, left, bottom, right = box
        out[:, :, top:bottom, left:right] = tile.to(out.device)

    return write


def _check(ok: bool, shape: tuple[int, ...], wanted: str) -> None:
    """Raise `ImageError` unless the shape is one that can be translated."""
    if not ok:
        raise ImageError(f"an image of shape {shape} cannot be translated; give {wanted}")
