"""File <-> pixels, with what a picture carries: orientation, ICC profile, EXIF, resolution, alpha, depth.

A `Picture` holds sRGB pixels (H, W, 3) of 8 or 16 bits upright, alpha apart, and the metadata to write back. Networks
see (1, 3, H, W) float32 in [-1, 1]. What had to be converted on the way is told in words in `Picture.notes`.
"""

import base64
import contextlib
import io
import math
import os
import re
import struct
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any, BinaryIO, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import (
    Image,
    ImageChops,
    ImageCms,
    ImageFilter,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    UnidentifiedImageError,
    features,
)
from torch import Tensor

from sincut.errors import ConfigError, DamagedError, ImageError
from sincut.files import write_whole, written_whole
from sincut.pictures import libvips as vips
from sincut.pictures import tiff_exif as tiff
from sincut.pictures.hidden import Filling

HEIF = {".heic", ".heif"}
# What is read: an allow-list, as some decoders of Pillow run programs.
FORMATS = ["PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "DIB", "GIF", "PPM", "JPEG2000", "AVIF", "HEIF"]
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".jp2", ".avif", *HEIF}
WRITABLE = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    **({".avif": "AVIF"} if features.check("avif") else {}),
}
DEFAULT_QUALITY = {"JPEG": 95, "WEBP": 95, "AVIF": 90}
FULL_CHROMA = 90  # quality of a JPEG from which its colours are not subsampled
WITH_ALPHA = {"PNG", "WEBP", "TIFF", "AVIF"}
WITH_XMP = {"PNG", "JPEG", "WEBP", "TIFF", "AVIF"}
DEEP = {"PNG", "TIFF"}  # formats that hold 16 bits
LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383, "AVIF": 65_535}  # px that their encoders take
MAX_PIXELS = 2**31  # a file that declares more is refused before it is decoded
LONGEST_IN_JPEG = 65_000  # bytes of one block
GREYS = ("colour", "keep")
ROWS_AT_ONCE = 512  # of pictures that are read in parts
LANCZOS_REACH = 3  # px of the smaller of two pictures
MASK_TOLERANCE = 0.02  # by which its aspect may differ from the picture's
MASK_SOFTNESS = 0.003  # of the longer side: the radius that softens hard edges
MASK_PIXELS = 16_000_000  # of a mask that are kept; its edges are soft anyway
BYTES_PER_PIXEL = 14  # in memory: decoded, as an array, the result, and the result on its way into a file
BYTES_DEEP, BYTES_ALPHA = 54, 64  # more, at most, of pictures with 16 bits a channel, and with alpha
LARGEST_THUMBNAIL = 1024  # px
ORIENTATION = 0x0112
# Tags that say where and how a TIFF file keeps its pixels, profile and other blocks; those are written anew.
TIFF_LAYOUT = (
    *(*range(254, 260), 262, 266, 273, 274, *range(277, 280), 282, 283, 284, 296, 317, *range(320, 326), 330, 338, 339),
    *(347, 513, 514, *range(529, 533), 700, 33723, 34377, 34675),
)
SAME_NUMBERS = {"P", "PA", "RGBa"}  # modes whose colours are RGB already, in the space of the profile
SIXTEEN_BIT = {"I;16", "I;16B", "I;16L", "I;16N", "I"}
GREY = {"1", "L", "LA", "La", "F", *SIXTEEN_BIT}
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"mif1", b"msf1")
IN_PROFILE = {"RGB", "RGBA", "RGBX", *SAME_NUMBERS}
SAME_SPACE = 2  # of 255; a profile that maps no colour further is sRGB, whatever its name
XMP_TAG = 700
ORIENTATION_IN_XMP = re.compile(rb"(tiff:Orientation(?:=[\"']|>))[2-8]")
SUB_DIRECTORIES = (0x8769, 0x8825)  # of EXIF and GPS
UPRIGHT = "turned upright as its EXIF orientation says"
NEEDS_VIPS = "16 bits a channel became 8; pip install 'sincut[large]' keeps them"
DAMAGED_EXIF = (ValueError, TypeError, SyntaxError, LookupError, OSError, RuntimeError, ArithmeticError, struct.error)

_PILLOW, _LIMITS, _UNBOUNDED = threading.Lock(), list[int | None](), list[bool]()

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True)
class Picture:
    """sRGB pixels (H, W, 3), alpha (H, W) or None, both uint8 or both uint16, and what goes back into a file."""

    pixels: Pixels
    alpha: Pixels | None = None
    icc: bytes | None = None  # the RGB profile in whose space the file is written; None: sRGB, without a profile
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    grey: bool = False  # the file knew no colours
    jpeg: Mapping[str, Any] = field(default_factory=dict)  # Pillow's options that repeat the source's quality
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        h, w = self.pixels.shape[:2]
        return h, w

    def with_pixels(self, pixels: Pixels) -> "Picture":
        """Other pixels of the same size, the same metadata."""
        return replace(self, pixels=pixels)


@dataclass(frozen=True)
class Saving:
    """How pictures are written. `strip` leaves all metadata out; `greys="keep"` makes greys of what came as greys."""

    quality: int | None = None  # 1 to 100, of JPEG, WebP and AVIF; None: the source's own, or a good one
    strip: bool = False
    greys: str = "colour"

    def __post_init__(self) -> None:
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ConfigError(f"a quality of {self.quality} is out of range: it must be 1 to 100")
        if self.greys not in GREYS:
            raise ConfigError(f"greys={self.greys!r} is unknown: it must be one of {', '.join(GREYS)}")


AS_IT_CAME = Saving()


def load(path: Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a picture file of any mode. Raises `ImageError` that names the file and the remedy."""
    try:
        with _opened(path, max_pixels) as image:
            return _decode(image, path)
    except _UnknownFormatError:
        if not vips.installed() or _size_by_vips(path, max_pixels) is None:
            raise
        try:
            pixels, alpha, notes = vips.decode(path, False, None)  # such as colours in floating point
        except ImageError as error:
            raise ImageError(f"{path}: {error}") from None
        return Picture(pixels, alpha, notes=tuple(notes))


def suffix_of(path: Path) -> str:
    """The suffix for a translation of this file, which may have none itself: of its own format, or .png."""
    with _opened(path, MAX_PIXELS) as image:
        format_ = {"MPO": "JPEG"}.get(str(image.format), str(image.format))
    return next((suffix for suffix, known in WRITABLE.items() if known == format_), ".png")


def size_of(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Height and width that the file declares, nothing decoded. Raises `ImageError` as `load`."""
    try:
        with _opened(path, max_pixels) as image:
            return image.height, image.width
    except _UnknownFormatError:
        size = _size_by_vips(path, max_pixels) if vips.installed() else None
        if size is None:
            raise
        return size


def bytes_in_memory(path: Path) -> int:
    """Bytes per pixel that a file's picture takes at most, from reading it to writing its translation."""
    try:
        with _opened(path, MAX_PIXELS) as image:
            deep = _is_deep(image)
            alpha = image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info
    except ImageError:
        deep, alpha = True, True
    return BYTES_PER_PIXEL + (BYTES_DEEP if deep else 0) + (BYTES_ALPHA if alpha else 0)


def _size_by_vips(path: Path, max_pixels: int) -> tuple[int, int] | None:
    """Of a file that Pillow does not know; None where libvips does not know it either."""
    size = vips.size_of(path)
    if size is not None:
        _refuse_absurd_size(path, *size, max_pixels)
    return size


def from_pil(image: Image.Image) -> Picture:
    """A `Picture` of a PIL image of any mode. Raises `ImageError` for modes that have no sensible 8-bit meaning."""
    carried = _metadata(image)
    notes: list[str] = []
    mode, upright = image.mode, _upright(image)
    if upright is not image:
        notes.append(UPRIGHT)
    if getattr(image, "n_frames", 1) > 1:
        notes.append("only the first of its images was taken")
    image = upright
    alpha = None
    if mode not in SIXTEEN_BIT and (mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info):
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    rgb, converted = _to_rgb(image, carried["icc"])
    if converted:
        notes.append(converted)
    carried["icc"] = carried["icc"] if mode in IN_PROFILE else None  # else the numbers are sRGB now
    transforms = _transforms(carried["icc"]) if carried["icc"] else None
    if transforms:
        rgb = ImageCms.applyTransform(rgb, transforms[0]) or rgb
        notes.append("translated in sRGB, written in the space of its own ICC profile")
    return Picture(np.asarray(rgb), alpha, notes=tuple(notes), **carried)


def to_pil(picture: Picture) -> Image.Image:
    """8-bit RGB, or RGBA where there is alpha, with the metadata in `info`; in the space of the ICC profile there."""
    image = Image.fromarray(eight_bit(picture.pixels))
    transforms = _transforms(picture.icc) if picture.icc else None
    if transforms:
        image = ImageCms.applyTransform(image, transforms[1]) or image
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(eight_bit(picture.alpha)))
    carried = {"icc_profile": picture.icc, "exif": picture.exif, "xmp": picture.xmp, "dpi": picture.dpi}
    image.info.update({key: value for key, value in carried.items() if value})
    return image


def save(picture: Picture, path: Path, saving: Saving = AS_IT_CAME) -> tuple[str, ...]:
    """Write the picture whole or not at all, in the format of the suffix. Returns notes on what could not be kept.

    Raises `ImageError` for an unknown suffix or where the file cannot be written.
    """
    data, notes = encode(picture, writable_format(path), saving, str(path))
    write_whole(path, data, ImageError)
    return notes


def encode(
    picture: Picture,
    format_: str,
    saving: Saving = AS_IT_CAME,
    name: str = "the picture",
) -> tuple[bytes, tuple[str, ...]]:
    """The bytes of a file in one of Pillow's formats, and notes on what could not be kept. Raises `ImageError`."""
    _refuse_long(name, format_, picture.size)
    notes: list[str] = []
    if saving.strip:
        picture = replace(picture, icc=None, exif=None, xmp=None, dpi=None)
    too_long = format_ == "JPEG" and len(picture.xmp or b"") > LONGEST_IN_JPEG
    if picture.xmp and (format_ not in WITH_XMP or too_long):
        picture = replace(picture, xmp=None)
        notes.append(f"{format_} cannot hold its XMP")
    if format_ == "JPEG" and len(picture.exif or b"") > LONGEST_IN_JPEG:
        picture = replace(picture, exif=None)
        notes.append("JPEG cannot hold EXIF of this length")
    if picture.alpha is not None and format_ not in WITH_ALPHA:
        notes.append(f"{format_} has no alpha: transparent parts were laid on white")
        picture = _on_white(picture)
    grey = picture.grey and saving.greys == "keep"
    deep = picture.pixels.dtype == np.uint16
    if deep and format_ in DEEP and vips.installed():
        data = vips.encode(
            picture.pixels, picture.alpha, format_, grey, picture.icc, picture.exif, picture.xmp, picture.dpi
        )
        if format_ == "TIFF" and picture.exif:
            file = io.BytesIO(data)
            _add_exif(file, picture.exif)
            data = file.getvalue()
        return data, tuple(notes)
    if deep:
        notes.append(f"{format_} has 8 bits a channel" if format_ not in DEEP else NEEDS_VIPS)
    image = to_pil(picture)
    if grey:
        image = image.convert("LA" if picture.alpha is not None else "L")
        image = image.convert("RGBA") if image.mode == "LA" and format_ not in ("PNG", "TIFF") else image
        image.info.pop("icc_profile", None)
    file = io.BytesIO()
    try:
        image.save(file, format_, **_options(picture, format_, saving, grey))
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise ImageError(f"{name}: {error}; choose another format, such as .png") from None
    return file.getvalue(), tuple(notes)


def _options(picture: Picture, format_: str, saving: Saving, grey: bool) -> dict[str, Any]:
    """What Pillow's `save` is told besides the format."""
    carried = {"icc_profile": None if grey else picture.icc, "exif": picture.exif, "dpi": picture.dpi}
    options: dict[str, Any] = {key: value for key, value in carried.items() if value}
    if picture.xmp and format_ == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", picture.xmp.decode("utf-8", "replace"))
    elif format_ == "TIFF":
        exif = _for_tiff(picture.exif)
        if picture.xmp:
            exif[XMP_TAG] = picture.xmp
        options |= {"exif": exif} if len(exif) else {}
        if not any(exif.get_ifd(tag) for tag in SUB_DIRECTORIES):  # Pillow compresses no file that has them
            options["compression"] = "tiff_lzw"
    elif picture.xmp:
        options["xmp"] = picture.xmp
    if format_ == "JPEG" and picture.jpeg and saving.quality is None:
        options |= picture.jpeg
    elif format_ in DEFAULT_QUALITY:
        options["quality"] = saving.quality or DEFAULT_QUALITY[format_]
        if format_ == "JPEG" and options["quality"] >= FULL_CHROMA:
            options["subsampling"] = 0
    return options


def _on_white(picture: Picture) -> Picture:
    assert picture.alpha is not None
    most = np.iinfo(picture.pixels.dtype).max
    share = picture.alpha[..., None].astype(np.float32) / most
    mixed: Any = (picture.pixels * share + most * (1 - share)).round().astype(picture.pixels.dtype)
    return replace(picture, pixels=mixed, alpha=None)


@dataclass(frozen=True)
class Mask:
    """Where a picture of `size` (H, W) is to be translated: greys 0 (not at all) to 255, at a size of their own."""

    greys: Image.Image  # of mode F
    size: tuple[int, int]

    def weight(self, box: tuple[int, int, int, int]) -> Tensor:
        """(1, 1, h, w) float32 in [0, 1] for the picture's box of top, left, bottom, right."""
        top, left, bottom, right = box
        down, across = self.greys.height / self.size[0], self.greys.width / self.size[1]
        part = (left * across, top * down, right * across, bottom * down)
        values = self.greys.resize((right - left, bottom - top), Image.Resampling.BILINEAR, box=part)
        return torch.from_numpy(np.asarray(values).clip(0, 255) / np.float32(255))[None, None]

    def touches(self, box: tuple[int, int, int, int]) -> bool:
        """Whether anything within the box is to be translated."""
        return bool(self.weight(box).any())


def load_mask(path: Path, size: tuple[int, int], max_pixels: int = MAX_PIXELS) -> Mask:
    """A mask for a picture of `size` (H, W). Greys count as they are; hard edges are softened.

    Raises `ImageError` where it has another shape.
    """
    h, w = size
    size_of(path, max_pixels)  # says what is wrong with what is no picture
    greys, (mask_h, mask_w) = _greys_of_mask(path, max_pixels, path.stat().st_mtime_ns)
    if abs(mask_w / mask_h * h / w - 1) > MASK_TOLERANCE:
        raise ImageError(f"{path}: the mask is {mask_w}x{mask_h}, the picture {w}x{h}; give one of its shape")
    return Mask(greys, size)


@lru_cache(maxsize=2)  # one mask serves a whole folder
def _greys_of_mask(path: Path, max_pixels: int, _modified: int) -> tuple[Image.Image, tuple[int, int]]:
    """Upright, softened where they are hard, and the size (H, W) that they had."""
    picture = load(path, max_pixels)
    mask = Image.fromarray(eight_bit(picture.pixels)).convert("L")
    if picture.alpha is not None:
        mask = ImageChops.multiply(mask, Image.fromarray(eight_bit(picture.alpha)))
    levels = np.asarray(mask)
    hard = not ((levels > 0) & (levels < 255)).any()
    too_large = (mask.width * mask.height / MASK_PIXELS) ** 0.5
    if too_large > 1:
        mask = mask.resize((round(mask.width / too_large), round(mask.height / too_large)), Image.Resampling.BOX)
    if hard:
        mask = mask.filter(ImageFilter.GaussianBlur(max(mask.size) * MASK_SOFTNESS))
    return mask.convert("F"), picture.size


def resized(values: NDArray[Any], size: tuple[int, int], rows: tuple[int, int] | None = None) -> NDArray[np.float32]:
    """(H, W, 3) of any numbers -> float32 of another size, or these rows of it: Lanczos' filter, not clipped."""
    h, w = size
    top, bottom = rows or (0, h)
    return _lanczos(values, (bottom - top, w), top * len(values) / h, bottom * len(values) / h)


def resized_rows(
    read: Callable[[int, int], Pixels], size: tuple[int, int], wanted: tuple[int, int]
) -> NDArray[np.float32]:
    """`resized` of a picture (H, W) that is read in whole rows, top..bottom, a part at a time."""
    h, (new_h, new_w) = size[0], wanted
    factor = h / new_h
    reach = math.ceil(LANCZOS_REACH * max(1.0, factor)) + 1  # px that the filter sees to either side
    step = max(1, int(ROWS_AT_ONCE / factor))
    out = np.empty((new_h, new_w, 3), np.float32)
    for top in range(0, new_h, step):
        bottom = min(top + step, new_h)
        first, last = max(0, int(top * factor) - reach), min(h, math.ceil(bottom * factor) + reach)
        part = read(first, last)
        out[top:bottom] = _lanczos(part, (bottom - top, new_w), top * factor - first, min(bottom * factor, h) - first)
    return out


def _lanczos(values: NDArray[Any], size: tuple[int, int], top: float, bottom: float) -> NDArray[np.float32]:
    """The part of (H, W, 3) between two heights, at another size; the filter sees what is beyond them."""
    h, w = size
    out = np.empty((h, w, 3), np.float32)
    box = (0, top, values.shape[1], bottom)
    for channel in range(3):
        plane = Image.fromarray(values[..., channel].astype(np.float32))
        out[..., channel] = np.asarray(plane.resize((w, h), Image.Resampling.LANCZOS, box=box))
    return out


class Large:
    """A picture that is read and written row by row."""

    def __init__(self, reader: "vips.Reader", writer: "vips.Writer", notes: tuple[str, ...]) -> None:
        self.reader, self.writer, self.notes = reader, writer, notes
        self.filling = Filling(reader.size, reader.dtype) if reader.bands == 4 else None
        if self.filling is not None:  # it is looked at once, before the first pixel
            h, step = reader.size[0], ROWS_AT_ONCE // self.filling.cell * self.filling.cell or self.filling.cell
            for top in range(0, h, step):
                rows = reader.rows(top, min(top + step, h))
                self.filling.add(top, rows[..., :3], rows[..., 3])

    def window(self, rows: Tensor, columns: Tensor) -> Pixels:
        """The pixels (h, w, 3) at rows and columns, with colours below transparent places that are near."""
        return self._filled(self.reader.read(rows.numpy(), columns.numpy()), rows.numpy(), columns.numpy())

    def rows(self, top: int, bottom: int) -> Pixels:
        """The same of whole rows (bottom - top, W, 3)."""
        found = self.reader.rows(top, bottom)
        return self._filled(found, np.arange(top, bottom), np.arange(found.shape[1]))

    def _filled(self, found: Pixels, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Pixels:
        colours = found[..., :3]
        return colours if self.filling is None else self.filling.fill(colours, found[..., 3], rows, columns)


@contextmanager
def open_large(source: Path, target: Path, saving: Saving, max_pixels: int = MAX_PIXELS) -> Iterator[Large]:
    """Read `source` by regions and write `target` by rows; it appears when the block ends well. Raises `ImageError`."""
    format_ = writable_format(target)
    if format_ not in vips.STREAMED:
        raise ImageError(f"{target}: {format_} files of this size cannot be written; use one of .tif, .png, .jpg")
    with _opened(source, max_pixels) as image:
        carried, orientation = _metadata(image), _orientation(image)
        of_rgb = image.mode in IN_PROFILE and not carried["grey"]
    grey, tables, icc = carried["grey"], carried["jpeg"].get("qtables"), carried["icc"]
    is_srgb = of_rgb and icc and not _transforms(icc)  # its numbers are taken as they are
    reader = vips.Reader(source, grey, None if is_srgb else icc, orientation)
    notes = [*([UPRIGHT] if orientation != 1 else []), *reader.notes]
    if reader.bands == 4 and format_ not in WITH_ALPHA:
        notes.append(f"{format_} has no alpha: transparent parts were laid on white")
    if reader.deep and format_ not in DEEP:
        notes.append(f"{format_} has 8 bits a channel")
    kept: tuple[Any, ...] = (icc if of_rgb else None, carried["exif"], carried["xmp"], carried["dpi"])
    kept = (None,) * len(kept) if saving.strip else kept
    as_grey = grey and saving.greys == "keep"
    with written_whole(target, ImageError) as temporary:
        quality = saving.quality or (_quality_of(tables) if tables else 0) or DEFAULT_QUALITY.get(format_, 0)
        subsampled = quality < FULL_CHROMA if saving.quality or not tables else carried["jpeg"].get("subsampling") != 0
        with vips.Writer(temporary, format_, reader, as_grey, (quality, subsampled), *kept) as writer:
            yield Large(reader, writer, tuple(notes))
        if kept[1] and format_ == "TIFF":
            with temporary.open("r+b") as file:
                _add_exif(file, kept[1])


def _add_exif(file: BinaryIO, exif: bytes) -> None:
    """Into a TIFF file without any; tags that mean nothing must stop no picture."""
    with contextlib.suppress(*DAMAGED_EXIF):
        tiff.add_exif(file, _for_tiff(exif))


def _for_tiff(exif: bytes | None) -> Image.Exif:
    """EXIF without tags that would describe the pixels of another file."""
    tags = Image.Exif()
    tags.load(exif or b"")
    for tag in TIFF_LAYOUT:  # a JPEG's EXIF may have them too
        tags.pop(tag, None)
    return _exact(tags)


def _quality_of(tables: Mapping[int, Any]) -> int:
    """The quality, 1 to 100, whose table of brightness is nearest to that of a JPEG file."""
    wanted = np.array(tables[0], float)
    return min(range(1, 101), key=lambda quality: np.abs(_standard_table(quality) - wanted).sum())


@lru_cache(maxsize=100)
def _standard_table(quality: int) -> NDArray[np.float64]:
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "JPEG", quality=quality)
    with Image.open(file, formats=["JPEG"]) as image:
        return np.array(getattr(image, "quantization")[0], float)  # noqa: B009 (of JPEG files only)


def writable_format(path: PurePath) -> str:
    """Pillow's name of the format of a suffix. Raises `ImageError` for one that is not written."""
    format_ = WRITABLE.get(path.suffix.lower())
    if format_ is None:
        known = ", ".join(sorted(WRITABLE))
        raise ImageError(f"{path}: cannot write {path.suffix or 'a file without suffix'}; use one of {known}")
    return format_


def check_fits_format(path: Path, size: tuple[int, int]) -> None:
    """Raise `ImageError` where the format of the suffix is not written, or holds no picture of this size."""
    _refuse_long(str(path), writable_format(path), size)


def _refuse_long(name: str, format_: str, size: tuple[int, int]) -> None:
    longest, most = max(size), LONGEST_SIDE.get(format_, max(size))
    if longest > most:
        raise ImageError(
            f"{name}: {format_} files end at {most} px a side, the picture has {longest}; use .tif or .png"
        )


def to_tensor(pixels: Pixels) -> Tensor:
    """(H, W, 3) of 8 or 16 bits -> (1, 3, H, W) float32 in [-1, 1]."""
    half = np.float32(np.iinfo(pixels.dtype).max / 2)
    return torch.from_numpy(pixels.astype(np.float32) / half - 1).permute(2, 0, 1)[None]


def to_pixels(image: Tensor, dtype: "np.dtype[Any] | type" = np.uint8) -> Pixels:
    """(1, 3, H, W) in [-1, 1], clipped -> (H, W, 3) of 8 or 16 bits, rounded."""
    values = ((image[0].float().clamp(-1, 1) + 1) * (np.iinfo(dtype).max / 2)).round()
    values = values.byte() if dtype == np.uint8 else values.to(torch.uint16)
    pixels: Pixels = values.permute(1, 2, 0).contiguous().cpu().numpy()
    return pixels


def eight_bit(values: Pixels) -> NDArray[np.uint8]:
    """8 or 16 bits -> 8 bits, rounded."""
    if values.dtype == np.uint8:
        return values  # type: ignore[return-value]
    return ((values.astype(np.uint32) * 255 + 32_767) // 65_535).astype(np.uint8)


def shrink(picture: Picture, megapixels: float) -> Picture:
    """The picture, scaled down (antialiased) where it has more megapixels than these; without alpha and metadata."""
    h, w = picture.size
    factor = (megapixels * 1e6 / (h * w)) ** 0.5
    pixels = eight_bit(picture.pixels)
    if factor >= 1:
        return Picture(pixels)
    size = max(1, round(w * factor)), max(1, round(h * factor))
    return Picture(np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS)))


def viewable(path: Path, megapixels: float, max_pixels: int = MAX_PIXELS) -> Picture:
    """A picture file for a screen: scaled down as by `shrink`, transparent parts on white. Raises `ImageError`."""
    picture = load(path, max_pixels)
    return shrink(_on_white(picture) if picture.alpha is not None else picture, megapixels)


def from_thumbnail(text: str) -> Image.Image | None:
    """What `thumbnail` made, as it stands in a model file; None where a stranger has put something else there."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(text)), formats=["JPEG"]) as image:
            return image.convert("RGB") if max(image.size) <= LARGEST_THUMBNAIL else None
    except Exception:  # decoders raise almost anything on damaged files
        return None


def thumbnail(picture: Picture, side: int = 160) -> bytes:
    """A small JPEG of the picture, for the model file."""
    image = Image.fromarray(eight_bit(picture.pixels))
    image.thumbnail((side, side))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=80)
    return data.getvalue()


@contextmanager
def _opened(path: Path, max_pixels: int) -> Iterator[Image.Image]:
    """Open a file without decoding. What goes wrong then or inside the block is an `ImageError`."""
    if not os.path.isfile(path):  # unlike Path.is_file this says no to what cannot be looked at
        is_folder = os.path.isdir(path)
        what = "is a folder, not a picture" if is_folder else "there is no such file, or it cannot be read"
        raise ImageError(f"{path}: {what}; check the path")
    if not path.stat().st_size:
        raise DamagedError(f"{path}: the file is empty; copy it again")
    try:
        _learn_heif(path)
        with _unbounded_pillow(), Image.open(path, formats=_formats()) as image:
            _refuse_absurd_size(path, image.height, image.width, max_pixels)
            yield image
    except UnidentifiedImageError:
        what = "is not a picture in a known format; convert it to PNG, JPEG, WebP or TIFF"
        raise _UnknownFormatError(f"{path}: {what}") from None
    except _UnknownFormatError:
        raise
    except ImageError as error:
        raise type(error)(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None
    except MemoryError:
        raise ImageError(f"{path}: does not fit into memory; use a smaller picture") from None
    except Exception as error:  # decoders raise almost anything on damaged files; none of it may stop a batch
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        kind = ImageError if isinstance(error, PermissionError) else DamagedError
        raise kind(f"{path}: is damaged or cannot be read ({what}); copy it again or repair it") from error


class _UnknownFormatError(DamagedError):
    """Pillow does not know this kind of file."""


def _refuse_absurd_size(path: Path, h: int, w: int, max_pixels: int) -> None:
    if h * w > max_pixels:
        declared = f"declares {w}x{h} pixels, more than --max-pixels {max_pixels}"
        raise ImageError(f"{path}: {declared}; scale it down or raise that limit")


def _decode(image: Image.Image, source: Path) -> Picture:
    """The picture of an opened file; 16 bits a channel through `vips` where they can be kept."""
    deep = _is_deep(image)
    if not deep or not vips.installed():
        image.load()
        picture = from_pil(image)
        return replace(picture, notes=(*picture.notes, NEEDS_VIPS)) if deep else picture
    carried = _metadata(image)
    grey = bool(carried["grey"])
    try:
        pixels, alpha, notes = vips.decode(source, grey, carried["icc"], _orientation(image))
    except DamagedError:
        raise
    except ImageError:  # libvips has no such mode; Pillow may
        image.load()
        picture = from_pil(image)
        return replace(picture, notes=(*picture.notes, "its 16 bits a channel became 8"))
    if _orientation(image) != 1:
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


def _metadata(image: Image.Image) -> dict[str, Any]:
    """The fields of a `Picture` that are no pixels."""
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    return {
        "icc": image.info.get("icc_profile") or None,
        "exif": _exif(image),
        "xmp": ORIENTATION_IN_XMP.sub(rb"\g<1>1", xmp.encode() if isinstance(xmp, str) else xmp) if xmp else None,
        "dpi": _resolution(image.info.get("dpi")),
        "grey": image.mode in GREY or any(str(tile[3]).startswith("LA") for tile in getattr(image, "tile", ())),
        "jpeg": _jpeg_options(image),
    }


def _jpeg_options(image: Image.Image) -> dict[str, Any]:
    """What makes Pillow compress as the source was compressed; nothing for what is no JPEG in colour."""
    tables = getattr(image, "quantization", None)
    if image.format not in ("JPEG", "MPO") or image.mode != "RGB" or not tables:
        return {}
    sampling = JpegImagePlugin.get_sampling(image)
    return {"qtables": dict(tables), **({"subsampling": sampling} if sampling >= 0 else {})}


def _formats() -> list[str]:
    """Of the formats that are read, those that Pillow has."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _learn_heif(path: Path) -> None:
    """Teach Pillow HEIC, as phones write it, where the extra is installed. Raises `ImageError` that names it."""
    with path.open("rb") as file:
        head = file.read(12)
    if not (head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS):
        return
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise ImageError(f"{path}: HEIC needs an extra: pip install 'sincut[heic]'; or convert it to JPEG") from None
    register_heif_opener()


@lru_cache(maxsize=8)
def _transforms(icc: bytes) -> "tuple[ImageCms.ImageCmsTransform, ImageCms.ImageCmsTransform] | None":
    """From an RGB profile to sRGB and back; None where that is sRGB itself, or damaged, which must stop no picture."""
    try:
        own, srgb = ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB")
        intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
        to = ImageCms.buildTransform(own, srgb, "RGB", "RGB", intent, flags)
        back = ImageCms.buildTransform(srgb, own, "RGB", "RGB", intent, flags)
        levels = np.linspace(0, 255, 9).astype(np.uint8)
        cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3)
        mapped = ImageCms.applyTransform(Image.fromarray(cube), to)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    differs = mapped is not None and np.abs(np.asarray(mapped).astype(int) - cube).max() > SAME_SPACE
    return (to, back) if differs else None


def _to_rgb(image: Image.Image, icc: bytes | None) -> tuple[Image.Image, str]:
    """The image in mode RGB, and in words what changed the meaning of its numbers (they are sRGB then)."""
    if image.mode in SIXTEEN_BIT:
        return _from_integers(image), "16-bit greys became 8-bit RGB"
    if image.mode == "F":
        return _from_floats(image), "floating-point greys became 8-bit RGB"
    if image.mode == "CMYK":
        return _managed(image, icc), f"CMYK became sRGB{' through its ICC profile' if icc else ' without a profile'}"
    if image.mode in ("L", "1", "LA", "La"):
        return (_managed(image.convert("L"), icc) if icc else image.convert("RGB")), "greys became RGB"
    if image.mode in ("RGB", "RGBA", "RGBX"):
        return image.convert("RGB"), ""
    if image.mode in ("P", "PA", "RGBa", "YCbCr", "LAB", "HSV"):
        straight = image.convert("RGBA") if image.mode in SAME_NUMBERS else image
        return straight.convert("RGB"), f"mode {image.mode} became RGB"
    _refuse_mode(image.mode)


def _refuse_mode(mode: str) -> NoReturn:
    raise ImageError(f"pixels of mode {mode} are not supported; convert the picture to RGB")


def _managed(image: Image.Image, icc: bytes | None) -> Image.Image:
    """To sRGB through the embedded profile; plain conversion where there is none or it does not fit."""
    if icc:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            target = ImageCms.createProfile("sRGB")
            managed = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
            if managed is not None:
                return managed
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a damaged profile must not stop the picture
    return image.convert("RGB")


def _from_integers(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError("its 32-bit integers are no 16-bit greys; convert the picture to 8 or 16 bits")
    return Image.fromarray((values / 257).round().astype(np.uint8)).convert("RGB")


def _from_floats(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise ImageError("its floating-point values are not all in 0..1; scale them, or convert the picture to 8 bits")
    return Image.fromarray((values * 255).round().astype(np.uint8)).convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    """The image turned as its EXIF orientation says, or itself where there is nothing to turn or EXIF is damaged."""
    try:
        return ImageOps.exif_transpose(image) if _orientation(image) != 1 else image
    except DAMAGED_EXIF:
        return image


def _orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(ORIENTATION, 1)
    except DAMAGED_EXIF:
        return 1
    return found if found in range(2, 9) else 1


def _exif(image: Image.Image) -> bytes | None:
    """EXIF tags to write back: all but the orientation, which is applied, and how a TIFF file is laid out."""
    try:
        found = _exact(image.getexif())
        found.bigtiff = False  # what is read of a BigTIFF file is written as everywhere else
        exif = Image.Exif()
        exif.load(found.tobytes())  # a copy: the image keeps its own
        for tag in (ORIENTATION, *(TIFF_LAYOUT if image.format == "TIFF" else ())):
            exif.pop(tag, None)
        return _exact(exif).tobytes() if len(exif) else None
    except DAMAGED_EXIF:  # it must not stop the picture
        return None


class _Text(str):
    """A text of EXIF that is written as it was read: Pillow reads it as Latin-1, but would write "?" for an umlaut."""

    def encode(self, encoding: str = "", errors: str = "") -> bytes:
        return super().encode("latin-1", "replace")


def _exact(exif: Image.Exif) -> Image.Exif:
    """The same tags, whose texts will keep their very bytes."""
    for tags in (exif, *(exif.get_ifd(directory) for directory in SUB_DIRECTORIES if directory in exif)):
        for tag, value in list(tags.items()):
            if isinstance(value, str):
                tags[tag] = _Text(value)
    return exif


def _resolution(dpi: Any) -> tuple[float, float] | None:
    try:
        x, y = (float(value) for value in dpi)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if 0 < x < 1e6 and 0 < y < 1e6 else None


@contextmanager
def _unbounded_pillow() -> Iterator[None]:
    """Let Pillow open large pictures, which are the point here; `max_pixels` guards instead. Quiet on odd metadata."""
    with _PILLOW:  # of several threads the first one saves the limit, the last one restores it
        if not _UNBOUNDED:
            _LIMITS.append(Image.MAX_IMAGE_PIXELS)
            Image.MAX_IMAGE_PIXELS = None
        _UNBOUNDED.append(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        with _PILLOW:
            _UNBOUNDED.pop()
            if not _UNBOUNDED:
                Image.MAX_IMAGE_PIXELS = _LIMITS.pop()
