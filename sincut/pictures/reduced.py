"""Picture files that are read at a smaller size, in memory that is bounded by that size wherever a format allows it.

A JPEG is decoded at an eighth, a quarter or a half of its size, JPEG 2000 at a smaller resolution of its own. What
libvips knows comes by it row by row, and is scaled down on the way; anything else is decoded whole by Pillow first.
Colours, depth and notes are those of `reading.load`.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from sincut.errors import DamagedError, UnsupportedError
from sincut.pictures import libvips, reading
from sincut.pictures.jpeg import with_an_end
from sincut.pictures.kind import Kind
from sincut.pictures.kinds import kind_of
from sincut.pictures.metadata import UPRIGHT, Carried, carried_by
from sincut.pictures.modes import GREYS_BECAME_RGB, has_alpha
from sincut.pictures.opening import MAX_PIXELS, UnknownFormatError, decoding, is_described, opened, told_with
from sincut.pictures.picture import Picture

if TYPE_CHECKING:
    import pyvips

Size = tuple[int, int]  # height and width in px

TURNED = (5, 6, 7, 8)  # EXIF orientations whose height and width are exchanged
BY_DECODER = {"JPEG", "MPO"}  # formats that Pillow's decoder scales down itself
RESOLUTIONS = "JPEG2000"  # the format with resolutions of its own
PALETTES = ("P", "PA")  # modes whose numbers cannot be mixed
# Bands of colour that libvips may have of files whose modes, as Pillow names them, are converted as Pillow does it.
COLOURS = {"1": (1,), "L": (1,), "LA": (1,), "RGB": (3,), "RGBA": (3,), "CMYK": (4,), "P": (1, 3)}
DECODED_BYTES = 4  # per pixel, of Pillow's images
ROWS_BYTES = 50_000_000  # of rows on their way, where a picture is never in memory whole


class Reduced(NamedTuple):
    """A picture, scaled down or as it is, and the size that its file has, upright."""

    picture: Picture
    size: Size


class _Header(NamedTuple):
    """What a file says of itself before it is decoded."""

    kind: Kind
    size: Size  # upright
    format: str = ""  # Pillow's name; empty where only libvips knows the file
    mode: str = ""  # Pillow's
    carried: Carried = Carried()
    several: bool = False  # images, of which it is the first
    described: bool = False  # Pillow cannot decode it

    def stored(self, size: Size) -> Size:
        """A size of the upright picture as it is in the file, where the picture may lie on its side."""
        return (size[1], size[0]) if self.carried.orientation in TURNED else size

    def opened(self, size: Size) -> Size:
        """The same as Pillow has it, which turns TIFF files itself."""
        return size if self.format == "TIFF" else self.stored(size)

    @property
    def deep(self) -> bool:
        """True if libvips is to give pixels of 16 bits, or pixels at all."""
        return self.described or not self.format or (reading.keeps_depth(self.kind) and libvips.installed())

    @property
    def by_rows(self) -> bool:
        """True if libvips reads it row by row, and nothing about its colours is better known to Pillow."""
        if self.format in BY_DECODER or self.kind.of_vips or not libvips.installed():
            return False
        return self.deep or (self.mode in COLOURS and not self.kind.deep)


def load(path: Path, wanted: Callable[[Size], Size], max_pixels: int = MAX_PIXELS) -> Reduced:
    """A picture file as by `reading.load`, but scaled down to the size that `wanted` gives for its own, both upright.

    A picture that is to keep its size is exactly that of `reading.load`. Raises `ImageError` as that does.
    """
    header = _header(path, max_pixels)
    size = wanted(header.size)
    if size == header.size:
        return Reduced(reading.load(path, max_pixels), header.size)
    picture = _scaled(path, header, size, max_pixels)
    (h, w), (new_h, new_w) = header.size, picture.size
    note = f"scaled down from {w}x{h} to {new_w}x{new_h} while it was read"
    return Reduced(replace(picture, notes=(*picture.notes, note)), header.size)


def bytes_to_load(path: Path, wanted: Callable[[Size], Size], max_pixels: int = MAX_PIXELS) -> tuple[Size, int]:
    """The size at which `load` will give a file, and roughly the bytes that it takes at most to get there."""
    header = _header(path, max_pixels)
    size = wanted(header.size)
    if size == header.size:
        return size, math.prod(size) * reading.bytes_in_memory(path)
    if header.format in BY_DECODER or header.format == RESOLUTIONS or header.by_rows:
        return size, ROWS_BYTES + 4 * math.prod(size) * DECODED_BYTES
    return size, math.prod(header.size) * DECODED_BYTES


def _header(path: Path, max_pixels: int) -> _Header:
    """What a file says of itself. Raises `ImageError` as `reading.size_of`."""
    try:
        with opened(path, max_pixels) as image:
            several = bool(reading.first_only(image))
            header = _Header(kind_of(path), (image.height, image.width), str(image.format), image.mode)
            header = header._replace(carried=carried_by(image, path), several=several, described=is_described(image))
            header = header._replace(size=header.opened(header.size))
    except UnknownFormatError:
        return _Header(kind_of(path), reading.size_of(path, max_pixels))
    return header


def _scaled(path: Path, header: _Header, size: Size, max_pixels: int) -> Picture:
    """The picture (H, W) of an opened file, by the library that `reading.load` would take where both can."""
    if header.by_rows:
        try:
            return _scaled_by_vips(path, header, size)
        except UnsupportedError:  # libvips has no such mode; Pillow may
            if not header.format or header.described:
                raise
    h, w = header.opened(size)
    with opened(path, max_pixels) as image:
        try:
            return _scaled_by_pillow(image, header, (h, w))
        except DamagedError:
            whole = with_an_end(path) if image.format in BY_DECODER else None
            if whole is None and image.format != RESOLUTIONS:
                raise
    if whole is not None:
        with told_with(path), whole:
            picture = _scaled_by_pillow(whole, header, (h, w))
        return replace(picture, notes=(*picture.notes, reading.NO_END))
    with opened(path, max_pixels) as image:  # it has fewer resolutions than were asked for, or is damaged indeed
        return _scaled_by_pillow(image, header, (h, w), resolutions=False)


def _scaled_by_pillow(image: Image.Image, header: _Header, size: Size, resolutions: bool = True) -> Picture:
    """The picture of an image that is not decoded yet, by Pillow, of 8 bits; `size` (H, W) is as Pillow has it.

    With `resolutions` JPEG 2000 is decoded at a smaller one of its own. Raises `DamagedError`, also where it has none.
    """
    h, w = size
    with decoding():
        if header.format in BY_DECODER:
            image.draft(None, (w, h))  # type: ignore[arg-type]
        if header.format == RESOLUTIONS and resolutions:  # a property of such files, and a method of all images
            setattr(image, "reduce", int(math.log2(min(image.height / h, image.width / w))))  # noqa: B010
        image.load()
        scaled = _scalable(image).resize((w, h), Image.Resampling.BILINEAR)
    scaled.format = image.format
    return _of_scaled(scaled, header)


def _scalable(image: Image.Image) -> Image.Image:
    """The image in a mode that can be scaled: palettes as colours, and alpha as a channel, which weighs colours."""
    alpha = has_alpha(image)
    if image.mode in PALETTES or (image.mode == "RGB" and alpha):
        return image.convert("RGBA" if alpha else "RGB")
    if image.mode in ("1", "L") and alpha:
        return image.convert("LA")
    return image.convert("L") if image.mode == "1" else image


def _of_scaled(image: Image.Image, header: _Header) -> Picture:
    """The picture of a file, of its image that was scaled down."""
    image.info.pop("transparency", None)  # a colour or an index that stood for nothing: it is alpha now
    picture = reading.from_pil(image, header.carried)
    palette = (f"mode {header.mode} became RGB",) if header.mode in PALETTES else ()
    return replace(picture, notes=_noted(header, *picture.notes, *palette, depth=False))


def _scaled_by_vips(path: Path, header: _Header, size: Size) -> Picture:
    """The picture by libvips: colours as Pillow converts them where it has the mode, else as `libvips.decode`.

    Raises `UnsupportedError` for modes that libvips cannot scale.
    """
    vips, carried = libvips.library(), header.carried
    with told_with(path):
        try:
            image = libvips.taken(libvips.lazy_image(path, access="sequential"), header.kind.bands)
            small = _shrunk(image, header.stored(size))
            if not header.deep:
                if small.format != "uchar" or small.bands - small.hasalpha() not in COLOURS[header.mode]:
                    raise UnsupportedError(f"{small.bands} channels of {small.interpretation} are not supported")
                mode = "CMYK" if header.mode == "CMYK" else None
                return _of_scaled(Image.fromarray(small.numpy(), mode), header)
            upright = libvips.upright_srgb(small, carried.grey, carried.metadata.icc, carried.orientation)
            pixels = upright.image.numpy()
        except vips.Error as error:
            raise libvips.failure(error) from None
    alpha = np.ascontiguousarray(pixels[..., 3]) if pixels.shape[2] == 4 else None
    turned = (UPRIGHT,) if carried.orientation != 1 else ()
    notes = _noted(header, *turned, *upright.notes, *carried.notes, *((GREYS_BECAME_RGB,) if carried.grey else ()))
    return Picture(np.ascontiguousarray(pixels[..., :3]), alpha, grey=carried.grey, notes=notes)


def _noted(header: _Header, *notes: str, depth: bool = True) -> tuple[str, ...]:
    """Notes on a picture, with those on its frames and, where its `depth` was not kept, on that."""
    first = (reading.FIRST_ONLY,) if header.several else ()
    further = (reading.FURTHER,) if header.kind.bands else ()
    return (*notes, *first, *further, *(() if depth else reading.depth_lost(header.kind)))


def _shrunk(image: "pyvips.Image", size: Size) -> "pyvips.Image":
    """An image in memory, of the size (H, W), from a lazy one that is read once from top to bottom."""
    if image.coding != "none":
        raise UnsupportedError(f"pixels coded as {image.coding} are not supported; convert it to RGB")
    format_, interpretation, alpha = image.format, image.interpretation, image.hasalpha()
    h, w = size
    if alpha:  # colours count as far as they are seen
        image = image.premultiply()
    image = image.resize(w / image.width, vscale=h / image.height, kernel="linear")
    if alpha:
        image = image.unpremultiply()
    if format_ not in ("float", "double"):
        image = image.rint().cast(format_)
    return image.copy(interpretation=interpretation).copy_memory()
