"""Picture files that are read at a smaller size, in memory that is bounded by that size wherever a format allows it.

A JPEG is decoded at an eighth, a quarter or a half of its size, JPEG 2000 at a smaller resolution of its own. What
libvips knows comes by it row by row, and is scaled down on the way; without it TIFF and PNG come in strips, if their
layout allows it, and anything else is decoded whole by Pillow first.
Colours, depth and notes are those of `reading.load`.
"""

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from sincut.errors import DamagedError, UnsupportedError
from sincut.pictures import libvips, reading
from sincut.pictures.kind import Kind
from sincut.pictures.kinds import kind_of
from sincut.pictures.metadata import Carried, carried_by
from sincut.pictures.modes import has_alpha
from sincut.pictures.opening import MAX_PIXELS, UnknownFormatError, decoding, is_described, opened, told_with
from sincut.pictures.picture import Picture, Pixels
from sincut.pictures.resampling import resized_rows
from sincut.pictures.strips import Cut, cut

Size = tuple[int, int]  # height and width in px

TURNED = (5, 6, 7, 8)  # EXIF orientations whose height and width are exchanged
BY_DECODER = {"JPEG", "MPO"}  # formats that Pillow's decoder scales down itself
RESOLUTIONS = "JPEG2000"  # the format with resolutions of its own
PALETTES = ("P", "PA")  # modes whose numbers cannot be mixed
# Bands of colour that libvips may have of files whose modes, as Pillow names them, are converted as Pillow does it.
COLOURS = {"1": (1,), "L": (1,), "LA": (1,), "RGB": (3,), "RGBA": (3,), "CMYK": (4,), "P": (1, 3)}
DECODED_BYTES = 4  # per pixel, of Pillow's images
COEFFICIENTS_BYTES = 6  # per pixel of a progressive JPEG, at most: its decoder holds all of them
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
    described: bool = False  # Pillow cannot decode it
    progressive: bool = False
    rows: int = 0  # of strips that Pillow can decode one by one; 0: it has to be decoded whole

    def stored(self, size: Size) -> Size:
        """A size of the upright picture as it is in the file, where the picture may lie on its side."""
        return (size[1], size[0]) if self.carried.orientation in TURNED else size

    def opened(self, size: Size) -> Size:
        """The same as Pillow has it, which turns TIFF files itself."""
        return size if self.format == "TIFF" else self.stored(size)

    @property
    def by_rows(self) -> bool:
        """True if libvips is there and reads it row by row."""
        known = self.described or not self.format or (self.mode in COLOURS and self.format not in BY_DECODER)
        return known and libvips.installed() and not self.kind.of_vips


def load(path: Path, wanted: Callable[[Size], Size], max_pixels: int = MAX_PIXELS) -> Reduced:
    """A picture file as by `reading.load`, but scaled down to the size that `wanted` gives for its own, both upright.

    A picture that is to keep its size is exactly that of `reading.load`. Raises `ImageError` as that does.
    """
    header = _header(path, max_pixels)
    size = wanted(header.size)
    if size == header.size:
        return Reduced(reading.load(path, max_pixels), header.size)
    try:
        picture = _scaled(path, header, size, max_pixels)
    except DamagedError:
        whole = reading.load(path, max_pixels)  # which reads more of what is damaged, and knows what it is
        picture = replace(whole, pixels=scaled(whole.pixels, size))
        if whole.alpha is not None:
            picture = replace(picture, alpha=scaled(whole.alpha[..., None], size)[..., 0])
    (h, w), (new_h, new_w) = header.size, picture.size
    note = f"scaled down from {w}x{h} to {new_w}x{new_h} while it was read"
    return Reduced(replace(picture, notes=(*picture.notes, note)), header.size)


def bytes_to_load(path: Path, wanted: Callable[[Size], Size], max_pixels: int = MAX_PIXELS) -> tuple[Size, int, bool]:
    """The size at which `load` gives a file, roughly the bytes that it takes at most, and True if that is scaled."""
    header = _header(path, max_pixels)
    size, pixels = wanted(header.size), math.prod(header.size)
    if size == header.size:
        return size, pixels * reading.bytes_in_memory(path), False
    parts = ROWS_BYTES + 4 * math.prod(size) * DECODED_BYTES
    if header.format in BY_DECODER:
        return size, parts + (pixels * COEFFICIENTS_BYTES if header.progressive else 0), True
    if header.format == RESOLUTIONS or header.by_rows:
        return size, parts, True
    rows = header.rows or header.stored(header.size)[0]
    return size, parts + 3 * rows * header.stored(header.size)[1] * DECODED_BYTES, True


def scaled(values: Any, size: Size) -> Pixels:
    """Pixels (H, W, 3) or alpha (H, W, 1) of 8 or 16 bits at another size (H', W'), as three channels."""
    h, w = values.shape[:2]
    three = np.broadcast_to(values, (h, w, 3))
    small = resized_rows(lambda top, bottom: three[top:bottom], (h, w), size)
    out: Pixels = small.round().clip(0, np.iinfo(values.dtype).max).astype(values.dtype)
    return out


def _header(path: Path, max_pixels: int) -> _Header:
    """What a file says of itself. Raises `ImageError` as `reading.size_of`."""
    try:
        with opened(path, max_pixels) as image:
            header = _Header(kind_of(path), (image.height, image.width), str(image.format), image.mode)
            header = header._replace(carried=carried_by(image, path), described=is_described(image))
            strips = cut(path, image, header.kind) if header.mode in COLOURS else None
            header = header._replace(progressive="progressive" in image.info, rows=strips.rows if strips else 0)
            return header._replace(size=header.opened(header.size))
    except UnknownFormatError:
        return _Header(kind_of(path), reading.size_of(path, max_pixels))


def _scaled(path: Path, header: _Header, size: Size, max_pixels: int) -> Picture:
    """The picture (H, W) of a file, by the library that `reading.load` takes where it can scale the picture down."""
    if not header.format:
        with told_with(path):
            pixels, alpha, notes = libvips.decode(path, False, None, size=size)
        return Picture(pixels, alpha, notes=tuple(notes))
    with opened(path, max_pixels) as image:
        picture = reading.decode_deep(image, path, header.carried, header.stored(size))
        if picture is not None:
            return picture
        small = _by_vips(path, header, size) or _by_pillow(path, image, header, size, max_pixels)
        first = reading.first_only(image)
        reading.refuse_missing(image, path)
        small.info.pop("transparency", None)  # a colour or an index that stood for nothing: it is alpha now
        picture = reading.from_pil(small, header.carried)
    palette = (f"mode {header.mode} became RGB",) if header.mode in PALETTES else ()
    return replace(picture, notes=(*picture.notes, *palette, *first, *reading.lost_of(header.kind)))


def _by_vips(path: Path, header: _Header, size: Size) -> Image.Image | None:
    """The image of 8 bits, scaled down by libvips, in Pillow's mode; None where libvips has no such thing."""
    if not header.by_rows or header.kind.deep:
        return None
    vips = libvips.library()
    try:
        small = libvips.shrunk(path, header.stored(size), header.kind.bands)
    except UnsupportedError:
        return None
    except vips.Error as error:
        raise libvips.failure(error) from None
    if small.format != "uchar" or small.bands - small.hasalpha() not in COLOURS[header.mode]:
        return None
    return Image.fromarray(small.numpy(), "CMYK" if header.mode == "CMYK" else None)


def _by_pillow(path: Path, image: Image.Image, header: _Header, size: Size, max_pixels: int) -> Image.Image:
    """The image of 8 bits, scaled down by Pillow, and still to be turned upright, unless its format says TIFF."""
    if header.format == RESOLUTIONS:
        with suppress(DamagedError):  # or it has fewer resolutions than are asked for
            return _shrunk(image, header, size, resolutions=True)
        with opened(path, max_pixels) as again:
            return _shrunk(again, header, size)
    strips = cut(path, image, header.kind) if header.rows else None
    if strips:
        with decoding():
            return _put_together(strips, header.stored(header.size), header.stored(size))
    return _shrunk(image, header, size)


def _put_together(strips: Cut, size: Size, wanted: Size) -> Image.Image:
    """The image of a file of a `size` (H, W), scaled down to the `wanted` one, from its strips."""
    (h, w), (new_h, new_w) = size, wanted
    factor = max(1, min(h // new_h, w // new_w))
    small, rest, top = None, None, 0
    for strip in strips.images:
        part = _scalable(strip)
        if rest is not None and rest.height:
            joined = Image.new(part.mode, (w, rest.height + part.height))
            joined.paste(rest, (0, 0))
            joined.paste(part, (0, rest.height))
            part = joined
        end = part.height // factor * factor
        small = small or Image.new(part.mode, (-(-w // factor), -(-h // factor)))
        small.paste(part.crop((0, 0, w, end)).reduce(factor), (0, top))
        top, rest = top + end // factor, part.crop((0, end, w, part.height))
    assert small is not None and rest is not None
    if rest.height:
        small.paste(rest.reduce(factor), (0, top))
    return small.resize((new_w, new_h), Image.Resampling.BILINEAR, box=(0, 0, w / factor, h / factor))


def _shrunk(image: Image.Image, header: _Header, size: Size, resolutions: bool = False) -> Image.Image:
    """An opened image, decoded and scaled to a size (H, W); with `resolutions` JPEG 2000 at a smaller one of its own.

    Raises `DamagedError`, also where it has none.
    """
    h, w = header.opened(size)
    with decoding():
        if header.format in BY_DECODER:
            image.draft(None, (w, h))  # type: ignore[arg-type]
        if resolutions:  # a property of such files, and a method of all images
            setattr(image, "reduce", int(math.log2(min(image.height / h, image.width / w))))  # noqa: B010
        image.load()
        small = _scalable(image).resize((w, h), Image.Resampling.BILINEAR)
    small.format = image.format
    return small


def _scalable(image: Image.Image) -> Image.Image:
    """The image in a mode that can be scaled: palettes as colours, and alpha as a channel, which weighs colours."""
    alpha = has_alpha(image)
    if image.mode in PALETTES or (image.mode == "RGB" and alpha):
        return image.convert("RGBA" if alpha else "RGB")
    if image.mode in ("1", "L") and alpha:
        return image.convert("LA")
    return image.convert("L") if image.mode == "1" else image
