"""Picture files -> `Picture`, with what they carry: orientation, ICC profile, EXIF, resolution, alpha, depth.

Conversions on the way are told in words in `Picture.notes`.
"""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from sincut.errors import DamagedError, ImageError, UnsupportedError
from sincut.pictures import formats, libvips
from sincut.pictures.imprint import Imprint
from sincut.pictures.jpeg import lacks_pixels, loses_pixels, may_lack_pixels, with_an_end
from sincut.pictures.kind import Kind, Trouble
from sincut.pictures.kinds import kind_of
from sincut.pictures.metadata import UPRIGHT, Carried, carried_by, carried_in_info, imprint_in, turned_upright
from sincut.pictures.modes import GREYS_BECAME_RGB, IN_PROFILE, alpha_of, has_alpha, to_rgb
from sincut.pictures.opening import (
    MAX_PIXELS,
    UnknownFormatError,
    decoding,
    is_described,
    opened,
    refuse_absurd_size,
    told_with,
)
from sincut.pictures.picture import Picture, on_white
from sincut.pictures.profiles import UNUSABLE, Way, transforms_of, way_of
from sincut.pictures.resampling import shrink
from sincut.pictures.tiff_kinds import OLD_JPEG, REPACK, is_reduced

BYTES_PER_PIXEL = 14  # in memory: decoded, as an array, the result, and the result on its way into a file
BYTES_DEEP, BYTES_ALPHA = 54, 64  # more, at most, of pictures with 16 bits a channel, and with alpha
NO_END = "its file breaks off behind its last pixel"
FURTHER = "its further channels were dropped"
FIRST_ONLY = "only the first of its images was taken"
MADE_EIGHT = "its {bits} bits a channel became 8"
MISSING_PIXELS = "is damaged or cannot be read (pixels are missing at its end); copy it again or repair it"
LOST_PIXELS = "is damaged or cannot be read (a part of its pixels is missing); copy it again or repair it"
SIXTEEN = 16  # bits of the deepest integers that are told about; deeper ones are greys of 16 bits or refused


def imprint_of(path: Path, max_pixels: int = MAX_PIXELS) -> Imprint | None:
    """What a picture file says of its making by sincut; None where it says nothing. Raises `ImageError` as `load`."""
    with opened(path, max_pixels) as image:
        return imprint_in(image, path)


def load(path: Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """A picture file of any mode: upright sRGB pixels (H, W, 3) of 8 or 16 bits, alpha, and what goes back into a file.

    Raises `ImageError` that names the file and the remedy: `DamagedError` where the file itself is at fault, a plain
    one where it declares more than `max_pixels`, its numbers mean no colours, or the system is at fault.
    """
    try:
        with opened(path, max_pixels) as image:
            try:
                picture = _decode(image, path)
                refuse_missing(image, path)
                return picture
            except DamagedError:
                kind, whole = kind_of(path), _ended(image, path)
                if kind.compression == OLD_JPEG:
                    raise UnsupportedError(Trouble(f"its compression {OLD_JPEG}", REPACK).refusal) from None
                if whole is None:
                    raise
                return whole
    except UnknownFormatError:
        if _size_by_vips(path, max_pixels) is None:
            raise
    with told_with(path):  # such as colours in floating point
        pixels, alpha, notes = libvips.decode(path, False, None)
    return Picture(pixels, alpha, notes=tuple(notes))


def suffix_of(path: Path) -> str:
    """The suffix for a translation of this file, which may have none itself: of its own format, or .png.

    Raises `ImageError` as `load`.
    """
    try:
        with opened(path, MAX_PIXELS) as image:
            format_ = {"MPO": "JPEG"}.get(str(image.format), str(image.format))
    except UnknownFormatError:
        if _size_by_vips(path, MAX_PIXELS) is None:
            raise
        return ".png"
    return formats.suffix_of(format_)


def size_of(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Height and width that the file declares, nothing decoded. Raises `ImageError` as `load`."""
    try:
        with opened(path, max_pixels) as image:
            return image.height, image.width
    except UnknownFormatError:
        size = _size_by_vips(path, max_pixels)
        if size is None:
            raise
        return size


def bytes_in_memory(path: Path) -> int:
    """Bytes per pixel that a file's picture takes at most, from reading it to writing its translation."""
    try:
        with opened(path, MAX_PIXELS) as image:
            deep, alpha = kind_of(path).deep, has_alpha(image)
    except ImageError:
        deep, alpha = True, True
    return BYTES_PER_PIXEL + (BYTES_DEEP if deep else 0) + (BYTES_ALPHA if alpha else 0)


def viewable(path: Path, megapixels: float, max_pixels: int = MAX_PIXELS) -> Picture:
    """A picture file for a screen: scaled down as by `shrink`, transparent parts on white. Raises `ImageError`."""
    return shrink(on_white(load(path, max_pixels)), megapixels)


def from_pil(image: Image.Image, carried: Carried | None = None) -> Picture:
    """A PIL image of any mode (its current frame) as 8-bit sRGB, with the metadata of its `info`; it stays as it is.

    With `carried`, the metadata is that, of its file. Raises `ImageError` for modes without a sensible 8-bit meaning,
    and, for a lazy image, where decoding fails.
    """
    with decoding():
        first = first_only(image)
        metadata, grey, jpeg, dropped, orientation = carried or carried_in_info(image)
        image.load()
    upright, icc = turned_upright(image, orientation), metadata.icc
    notes = [*([UPRIGHT] if orientation != 1 else []), *first, *dropped]
    alpha = alpha_of(upright)
    rgb, converted = to_rgb(upright, icc)
    if converted or grey:  # greys of 16 bits with alpha are RGB for Pillow
        notes.append(converted or GREYS_BECAME_RGB)
    way = way_of(icc) if upright.mode in IN_PROFILE and not grey else Way()  # else the numbers are sRGB now
    transforms = transforms_of(way.applied) if way.applied else None
    if transforms:
        rgb = ImageCms.applyTransform(rgb, transforms.to_srgb) or rgb
    notes += [way.note] if way.note else []
    about = metadata._replace(icc=way.kept)._asdict()
    return Picture(np.asarray(rgb), alpha, grey=grey, jpeg=jpeg, notes=tuple(notes), **about)


def first_only(image: Image.Image) -> list[str]:
    """A note that an image, lazy or not, is one of several, unless the others are smaller copies of it.

    Raises `ImageError` where the others are damaged.
    """
    with decoding():
        several = _has_frames(image) and not is_reduced(image)
    return [FIRST_ONLY] if several else []


def refuse_missing(image: Image.Image, path: Path) -> None:
    """Raise `DamagedError` where pixels of a JPEG are missing; its image is decoded, or not yet."""
    if image.format not in ("JPEG", "MPO"):
        return
    undecoded = bool(getattr(image, "tile", ()))
    if (undecoded or may_lack_pixels(image)) and lacks_pixels(path):
        raise DamagedError(MISSING_PIXELS)
    if loses_pixels(path):
        raise DamagedError(LOST_PIXELS)


def _has_frames(image: Image.Image) -> bool:
    """True if an image is one of several of its file."""
    try:
        return getattr(image, "n_frames", 1) > 1
    except SyntaxError:  # Pillow has no mode for one of them, such as a mask of the first
        image.seek(0)
        return True


def _size_by_vips(path: Path, max_pixels: int) -> tuple[int, int] | None:
    """Height and width of a file that Pillow does not know; None where libvips is missing or does not know it either.

    Raises `ImageError` where it declares more pixels than `max_pixels`.
    """
    size = libvips.size_of(path) if libvips.installed() else None
    if size is not None:
        with told_with(path):
            refuse_absurd_size(*size, max_pixels)
    return size


def _ended(image: Image.Image, source: Path) -> Picture | None:
    """The picture of a JPEG file that has all of its pixels and no end; None for any other damage."""
    whole = with_an_end(source) if image.format in ("JPEG", "MPO") else None
    if whole is None:
        return None
    refuse_missing(whole, source)
    with whole:
        picture = from_pil(whole, carried_by(whole, source))
    return replace(picture, notes=(*picture.notes, NO_END))


def _decode(image: Image.Image, source: Path) -> Picture:
    """The picture of an opened file; 16 bits a channel by libvips where they can be kept."""
    kind = kind_of(source)
    carried = carried_by(image, source)
    picture = decode_deep(image, source, carried)
    if picture is not None:
        return picture
    picture = from_pil(image, carried)
    return replace(picture, notes=(*picture.notes, *lost_of(kind)))


def _keeps_depth(kind: Kind) -> bool:
    """True if libvips, where it is there, gives a file's pixels in 16 bits a channel."""
    return kind.deep and kind.samples == "unsigned" and kind.container in formats.DEEP and kind.of_vips is None


def lost_of(kind: Kind) -> tuple[str, ...]:
    """Notes on channels of a file, and on bits of them, that Pillow does not give."""
    further = (FURTHER,) if kind.bands else ()
    if not kind.deep or kind.samples != "unsigned" or kind.bits > SIXTEEN:
        return further
    without = _keeps_depth(kind) and not libvips.installed()
    return (*further, libvips.NEEDS_VIPS if without else MADE_EIGHT.format(bits=kind.bits))


def decode_deep(
    image: Image.Image, source: Path, carried: Carried, size: tuple[int, int] | None = None
) -> Picture | None:
    """The picture of an opened file of 16 bits a channel, or of one that Pillow does not read, by libvips.

    None for any other file. It is scaled down to a `size` (H, W) before it is turned upright, if one is given. Raises
    as `libvips.decode`.
    """
    if is_described(image):
        return _by_vips(image, source, carried, size)
    if _keeps_depth(kind_of(source)) and libvips.installed():
        with suppress(UnsupportedError):  # libvips has no such mode; Pillow may
            return _by_vips(image, source, carried, size)
    return None


def _by_vips(image: Image.Image, source: Path, carried: Carried, size: tuple[int, int] | None) -> Picture:
    metadata, grey, jpeg, dropped, orientation = carried
    bands, of_rgb = kind_of(source).bands, image.mode in IN_PROFILE and not grey
    way = way_of(metadata.icc) if of_rgb else Way(metadata.icc)
    pixels, alpha, converted = libvips.decode(source, grey, way.applied or way.kept, orientation, bands, size)
    first = first_only(image)
    notes = [*([UPRIGHT] if orientation != 1 else []), *converted, *first, *([FURTHER] if bands else []), *dropped]
    if grey:
        notes.append(GREYS_BECAME_RGB)
    notes += [way.note] if way.note == UNUSABLE else []  # what is applied, libvips tells
    about = metadata._replace(icc=way.kept)._asdict()
    return Picture(pixels, alpha, grey=grey, jpeg=jpeg, notes=tuple(notes), **about)
