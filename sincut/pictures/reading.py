"""Picture files -> `Picture`, with what they carry: orientation, ICC profile, EXIF, resolution, alpha, depth.

What had to be converted on the way is told in words in `Picture.notes`.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from sincut.errors import DamagedError, ImageError
from sincut.pictures import libvips as vips
from sincut.pictures.formats import WRITABLE
from sincut.pictures.libvips import NEEDS_VIPS
from sincut.pictures.metadata import UPRIGHT, carried_by, orientation_of, turned_upright
from sincut.pictures.modes import IN_PROFILE, SIXTEEN_BIT, to_rgb
from sincut.pictures.opening import MAX_PIXELS, UnknownFormatError, opened, refuse_absurd_size
from sincut.pictures.picture import Picture, on_white
from sincut.pictures.profiles import transforms_of
from sincut.pictures.resampling import shrink

BYTES_PER_PIXEL = 14  # in memory: decoded, as an array, the result, and the result on its way into a file
BYTES_DEEP, BYTES_ALPHA = 54, 64  # more, at most, of pictures with 16 bits a channel, and with alpha


def load(path: Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a picture file of any mode. Raises `ImageError` that names the file and the remedy."""
    try:
        with opened(path, max_pixels) as image:
            return _decode(image, path)
    except UnknownFormatError:
        if not vips.installed() or _size_by_vips(path, max_pixels) is None:
            raise
        try:
            pixels, alpha, notes = vips.decode(path, False, None)  # such as colours in floating point
        except ImageError as error:
            raise ImageError(f"{path}: {error}") from None
        return Picture(pixels, alpha, notes=tuple(notes))


def suffix_of(path: Path) -> str:
    """The suffix for a translation of this file, which may have none itself: of its own format, or .png."""
    with opened(path, MAX_PIXELS) as image:
        format_ = {"MPO": "JPEG"}.get(str(image.format), str(image.format))
    return next((suffix for suffix, known in WRITABLE.items() if known == format_), ".png")


def size_of(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Height and width that the file declares, nothing decoded. Raises `ImageError` as `load`."""
    try:
        with opened(path, max_pixels) as image:
            return image.height, image.width
    except UnknownFormatError:
        size = _size_by_vips(path, max_pixels) if vips.installed() else None
        if size is None:
            raise
        return size


def bytes_in_memory(path: Path) -> int:
    """Bytes per pixel that a file's picture takes at most, from reading it to writing its translation."""
    try:
        with opened(path, MAX_PIXELS) as image:
            deep = _is_deep(image)
            alpha = image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info
    except ImageError:
        deep, alpha = True, True
    return BYTES_PER_PIXEL + (BYTES_DEEP if deep else 0) + (BYTES_ALPHA if alpha else 0)


def _size_by_vips(path: Path, max_pixels: int) -> tuple[int, int] | None:
    """Of a file that Pillow does not know; None where libvips does not know it either."""
    size = vips.size_of(path)
    if size is not None:
        refuse_absurd_size(path, *size, max_pixels)
    return size


def viewable(path: Path, megapixels: float, max_pixels: int = MAX_PIXELS) -> Picture:
    """A picture file for a screen: scaled down as by `shrink`, transparent parts on white. Raises `ImageError`."""
    picture = load(path, max_pixels)
    return shrink(on_white(picture) if picture.alpha is not None else picture, megapixels)


def from_pil(image: Image.Image) -> Picture:
    """A `Picture` of a PIL image of any mode. Raises `ImageError` for modes that have no sensible 8-bit meaning."""
    carried = carried_by(image)
    notes: list[str] = []
    mode, upright = image.mode, turned_upright(image)
    if upright is not image:
        notes.append(UPRIGHT)
    if getattr(image, "n_frames", 1) > 1:
        notes.append("only the first of its images was taken")
    image = upright
    alpha = None
    if mode not in SIXTEEN_BIT and (mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info):
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    rgb, converted = to_rgb(image, carried["icc"])
    if converted:
        notes.append(converted)
    carried["icc"] = carried["icc"] if mode in IN_PROFILE else None  # else the numbers are sRGB now
    transforms = transforms_of(carried["icc"]) if carried["icc"] else None
    if transforms:
        rgb = ImageCms.applyTransform(rgb, transforms[0]) or rgb
        notes.append("translated in sRGB, written in the space of its own ICC profile")
    return Picture(np.asarray(rgb), alpha, notes=tuple(notes), **carried)


def _decode(image: Image.Image, source: Path) -> Picture:
    """The picture of an opened file; 16 bits a channel through `vips` where they can be kept."""
    deep = _is_deep(image)
    if not deep or not vips.installed():
        image.load()
        picture = from_pil(image)
        return replace(picture, notes=(*picture.notes, NEEDS_VIPS)) if deep else picture
    carried = carried_by(image)
    grey = bool(carried["grey"])
    try:
        pixels, alpha, notes = vips.decode(source, grey, carried["icc"], orientation_of(image))
    except DamagedError:
        raise
    except ImageError:  # libvips has no such mode; Pillow may
        image.load()
        picture = from_pil(image)
        return replace(picture, notes=(*picture.notes, "its 16 bits a channel became 8"))
    if orientation_of(image) != 1:
        notes.insert(0, UPRIGHT)
    if getattr(image, "n_frames", 1) > 1:
        notes.append("only the first of its images was taken")
    if grey:
        carried |= {"icc": None}
        notes.append("greys became RGB")
    return Picture(pixels, alpha, notes=tuple(notes), **carried)


def _is_deep(image: Image.Image) -> bool:
    """Whether a file that has only been opened holds more than 8 bits a channel."""
    raw = " ".join(str(tile[3]) for tile in getattr(image, "tile", ()))
    return ";16" in raw or image.mode in ("I;16", "I;16B", "I;16L", "I;16N")
