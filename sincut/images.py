"""File <-> pixels, with what a picture carries: orientation, ICC profile, EXIF, resolution, alpha.

A `Picture` holds 8-bit RGB pixels (H, W, 3) upright, alpha apart, and the metadata to write back. Networks see
(1, 3, H, W) float32 in [-1, 1]. What had to be converted on the way is told in words in `Picture.notes`.
"""

import io
import os
import re
import struct
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
import torch.nn.functional as F
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

from sincut import vips
from sincut.errors import ConfigError, DamagedError, ImageError
from sincut.files import write_whole, written_whole

HEIF = {".heic", ".heif"}
FORMATS = [
    "PNG",
    "JPEG",
    "MPO",
    "WEBP",
    "TIFF",
    "BMP",
    "DIB",
    "GIF",
    "PPM",
    "JPEG2000",
    "AVIF",
    "HEIF",
]  # that are read
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
MAX_PIXELS = 2**31  # a file that declares more is refused before it is decoded
LONGEST_IN_JPEG = 65_000  # bytes of one block
GREYS = ("colour", "keep")
MASK_TOLERANCE = 0.02  # by which its aspect may differ from the picture's
MASK_SOFTNESS = 0.003  # of the longer side: the radius that softens hard edges
BYTES_PER_PIXEL = 14  # in memory: decoded, as an array, the result, and the result on its way into a file
BYTES_DEEP, BYTES_ALPHA = 54, 64  # more, at most, of pictures with 16 bits a channel, and with alpha
FILL_PIXELS = 4e6  # on which hidden colours are guessed
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
        return data, (
            *notes,
            *(["16-bit TIFF files are written without EXIF"] if picture.exif and format_ == "TIFF" else []),
        )
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
        exif = Image.Exif()
        exif.load(picture.exif or b"")
        for tag in TIFF_LAYOUT:  # a JPEG's EXIF may have them too, and they would describe this file wrongly
            exif.pop(tag, None)
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


def visible_everywhere(picture: Picture) -> Pixels:
    """The pixels with the colours below wholly transparent places replaced by what is near and can be seen.

    Those colours are arbitrary (often black), and a network that looks around itself would let them bleed into the
    edges. Averages of what is visible, over cells that grow until they hold something ("push-pull", Gortler et al.
    1996, "The Lumigraph").
    """
    hidden = None if picture.alpha is None else picture.alpha == 0
    if hidden is None or not hidden.any() or hidden.all():
        return picture.pixels
    cell = max(1, round((hidden.size / FILL_PIXELS) ** 0.5))
    h, w = (-(-side // cell) for side in hidden.shape)
    sums, counts = np.zeros((h, w, 3), np.float32), np.zeros((h, w, 1), np.float32)
    for row in range(cell):
        for column in range(cell):
            seen = ~hidden[row::cell, column::cell, None]
            part = np.where(seen, picture.pixels[row::cell, column::cell], 0)
            sums[: part.shape[0], : part.shape[1]] += part
            counts[: part.shape[0], : part.shape[1]] += seen
    filled = _push_pull(torch.from_numpy(sums).permute(2, 0, 1)[None], torch.from_numpy(counts).permute(2, 0, 1)[None])
    coarse = filled[0].permute(1, 2, 0).numpy().round().astype(picture.pixels.dtype)
    out = picture.pixels.copy()
    rows, columns = np.nonzero(hidden)
    out[rows, columns] = coarse[rows // cell, columns // cell]
    return out


def load_mask(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A mask (H, W): 0 where nothing is to be done, 255 where all. Greys count as they are; hard edges are softened.

    It is scaled to the picture's `size`. Raises `ImageError` where it has another shape.
    """
    h, w = size
    picture = load(path)
    mask_h, mask_w = picture.size
    if abs(mask_w / mask_h * h / w - 1) > MASK_TOLERANCE:
        raise ImageError(f"{path}: the mask is {mask_w}x{mask_h}, the picture {w}x{h}; give one of its shape")
    mask = Image.fromarray(eight_bit(picture.pixels)).convert("L")
    if picture.alpha is not None:
        mask = ImageChops.multiply(mask, Image.fromarray(eight_bit(picture.alpha)))
    hard = set(np.unique(np.asarray(mask))) <= {0, 255}
    mask = mask if mask.size == (w, h) else mask.resize((w, h), Image.Resampling.BILINEAR)
    return np.asarray(mask.filter(ImageFilter.GaussianBlur(max(h, w) * MASK_SOFTNESS)) if hard else mask)


def to_weight(mask: NDArray[np.uint8]) -> Tensor:
    """(H, W) 8-bit -> (1, 1, H, W) float32 in [0, 1]."""
    return torch.from_numpy(mask.astype(np.float32) / 255)[None, None]


def resized(values: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    """(H, W, 3) of any numbers -> float32 of another size, by Lanczos' filter, antialiased and not clipped."""
    out = np.empty((*size, values.shape[2]), np.float32)
    for channel in range(values.shape[2]):
        plane = Image.fromarray(values[..., channel].astype(np.float32))
        out[..., channel] = np.asarray(plane.resize(size[::-1], Image.Resampling.LANCZOS))
    return out


@dataclass(frozen=True)
class Large:
    """A picture that is read and written row by row."""

    reader: "vips.Reader"
    writer: "vips.Writer"
    notes: tuple[str, ...]


@contextmanager
def open_large(source: Path, target: Path, saving: Saving, max_pixels: int = MAX_PIXELS) -> Iterator[Large]:
    """Read `source` by regions and write `target` by rows; it appears when the block ends well. Raises `ImageError`."""
    format_ = writable_format(target)
    if format_ not in vips.STREAMED:
        raise ImageError(f"{target}: {format_} files of this size cannot be written; use one of .tif, .png, .jpg")
    with _opened(source, max_pixels) as image:
        carried, orientation = _metadata(image), _orientation(image)
        grey = carried["grey"]
    reader = vips.Reader(source, grey, carried["icc"], orientation)
    notes = [*([UPRIGHT] if orientation != 1 else []), *reader.notes]
    if reader.bands == 4:
        notes.append("colours below its transparent parts were looked at as they are")
    if reader.bands == 4 and format_ not in WITH_ALPHA:
        notes.append(f"{format_} has no alpha: transparent parts were laid on white")
    if reader.deep and format_ not in DEEP:
        notes.append(f"{format_} has 8 bits a channel")
    kept = (None, None, None) if saving.strip else (carried["exif"], carried["xmp"], carried["dpi"])
    if kept[0] and format_ == "TIFF":
        notes.append("TIFF files of this size are written without EXIF")
    as_grey = grey and saving.greys == "keep"
    with written_whole(target, ImageError) as temporary:
        quality = saving.quality or DEFAULT_QUALITY.get(format_, 0)
        writer = vips.Writer(temporary, format_, reader, as_grey, quality, *kept)
        with writer:
            yield Large(reader, writer, tuple(notes))


def _push_pull(sums: Tensor, counts: Tensor) -> Tensor:
    """(1, 3, H, W) sums of (1, 1, H, W) colours -> mean colours; of the next larger cell where there is none."""
    means = sums / counts.clamp(min=1)
    if bool((counts > 0).all()):
        return means
    pooled = (4 * F.avg_pool2d(t, 2, ceil_mode=True, count_include_pad=False) for t in (sums, counts))
    coarse = _push_pull(*pooled)
    spread = F.interpolate(coarse, size=counts.shape[2:], mode="bilinear")
    return torch.where(counts > 0, means, spread)


def writable_format(path: Path) -> str:
    """Pillow's name of the format of a suffix. Raises `ImageError` for one that is not written."""
    format_ = WRITABLE.get(path.suffix.lower())
    if format_ is None:
        known = ", ".join(sorted(WRITABLE))
        raise ImageError(f"{path}: cannot write {path.suffix or 'a file without suffix'}; use one of {known}")
    return format_


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
    if True:
        if not os.path.isfile(path):  # unlike Path.is_file this says no to what cannot be looked at
            what = (
                "is a folder, not a picture" if os.path.isdir(path) else "there is no such file, or it cannot be read"
            )
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
    """Of the formats that are read, those that Pillow has; an allow-list, as some of the others run programs."""
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
        exif = Image.Exif()
        exif.load(image.getexif().tobytes())  # a copy: the image keeps its own
        for tag in (ORIENTATION, *(TIFF_LAYOUT if image.format == "TIFF" else ())):
            exif.pop(tag, None)
        return exif.tobytes() if len(exif) else None
    except DAMAGED_EXIF:  # it must not stop the picture
        return None


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
