"""File <-> pixels, with what a picture carries: orientation, ICC profile, EXIF, resolution, alpha.

A `Picture` holds 8-bit RGB pixels (H, W, 3) upright, alpha apart, and the metadata to write back. Networks see
(1, 3, H, W) float32 in [-1, 1]. What had to be converted on the way is told in words in `Picture.notes`.
"""

import io
import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from torch import Tensor

from sincut.errors import ImageError
from sincut.files import write_whole

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".jp2", ".avif"}
WRITABLE = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
QUALITY: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
    "TIFF": {"compression": "tiff_lzw"},
}
WITH_ALPHA = {"PNG", "WEBP", "TIFF"}
MAX_PIXELS = 2**31  # a file that declares more is refused before it is decoded
ORIENTATION = 0x0112
# Tags that say where and how a TIFF file keeps its pixels, profile and other blocks; those are written anew.
TIFF_LAYOUT = (
    *(*range(254, 260), 262, 266, 273, 274, *range(277, 280), 282, 283, 284, 296, 317, *range(320, 326), 330, 338, 339),
    *(347, 513, 514, *range(529, 533), 700, 33723, 34377, 34675),
)
SAME_NUMBERS = {"P", "PA", "RGBa"}  # modes whose colours are RGB already, in the space of the profile
SIXTEEN_BIT = {"I;16", "I;16B", "I;16L", "I;16N", "I"}
DAMAGED_EXIF = (ValueError, TypeError, SyntaxError, LookupError, OSError, RuntimeError, ArithmeticError, struct.error)

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """8-bit RGB pixels (H, W, 3), alpha (H, W) or None, and the metadata that goes back into a file."""

    pixels: Pixels
    alpha: Pixels | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        h, w = self.pixels.shape[:2]
        return h, w

    def with_pixels(self, pixels: Pixels) -> "Picture":
        """Other pixels of the same size, the same metadata."""
        return replace(self, pixels=pixels)


def load(path: Path) -> Picture:
    """Read a picture file of any mode. Raises `ImageError` that names the file and the remedy."""
    if not os.path.isfile(path):  # unlike Path.is_file this says no to what cannot be looked at
        what = "is a folder, not a picture" if os.path.isdir(path) else "there is no such file, or it cannot be read"
        raise ImageError(f"{path}: {what}; check the path")
    if not path.stat().st_size:
        raise ImageError(f"{path}: the file is empty; copy it again")
    try:
        with _unbounded_pillow(), Image.open(path) as image:
            _refuse_absurd_size(path, image)
            image.load()
            return from_pil(image)
    except UnidentifiedImageError:
        raise ImageError(f"{path}: is not a picture in a known format; convert it to PNG, JPEG, WebP or TIFF") from None
    except ImageError as error:
        raise ImageError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None
    except MemoryError:
        raise ImageError(f"{path}: does not fit into memory; use a smaller picture") from None
    except Exception as error:  # decoders raise almost anything on damaged files; none of it may stop a batch
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ImageError(f"{path}: is damaged or cannot be read ({what}); copy it again or repair it") from error


def from_pil(image: Image.Image) -> Picture:
    """A `Picture` of a PIL image of any mode. Raises `ImageError` for modes that have no sensible 8-bit meaning."""
    notes: list[str] = []
    dpi = image.info.get("dpi")
    icc = image.info.get("icc_profile") or None
    mode, upright = image.mode, _upright(image)
    if upright is not image:
        notes.append("turned upright as its EXIF orientation says")
    exif, image = _exif(image), upright
    if getattr(image, "n_frames", 1) > 1:
        notes.append("only the first of its images was taken")
    alpha = None
    if mode not in SIXTEEN_BIT and (mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info):
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
    rgb, converted = _to_rgb(image, icc)
    if converted:
        notes.append(converted)
        icc = icc if mode in SAME_NUMBERS else None  # else the numbers are sRGB now
    return Picture(np.asarray(rgb), alpha, icc, exif, _resolution(dpi), tuple(notes))


def to_pil(picture: Picture) -> Image.Image:
    """RGB, or RGBA where there is alpha, with the metadata in `info`."""
    image = Image.fromarray(picture.pixels)
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    carried = {"icc_profile": picture.icc, "exif": picture.exif, "dpi": picture.dpi}
    image.info.update({key: value for key, value in carried.items() if value})
    return image


def save(picture: Picture, path: Path) -> tuple[str, ...]:
    """Write the picture whole or not at all, in the format of the suffix. Returns notes on what could not be kept.

    Raises `ImageError` for an unknown suffix or where the file cannot be written.
    """
    format_ = writable_format(path)
    notes = []
    image = to_pil(picture)
    if picture.alpha is not None and format_ not in WITH_ALPHA:
        notes.append(f"{format_} has no alpha: transparent parts were laid on white")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
    options: dict[str, Any] = {k: v for k, v in (("icc_profile", picture.icc), ("exif", picture.exif)) if v}
    if picture.dpi:
        options["dpi"] = picture.dpi
    options |= QUALITY.get(format_, {})
    data = io.BytesIO()
    try:
        image.save(data, format_, **options)
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: {error}; choose another format, such as .png") from None
    write_whole(path, data.getvalue(), ImageError)
    return tuple(notes)


def writable_format(path: Path) -> str:
    """Pillow's name of the format of a suffix. Raises `ImageError` for one that is not written."""
    format_ = WRITABLE.get(path.suffix.lower())
    if format_ is None:
        known = ", ".join(sorted(WRITABLE))
        raise ImageError(f"{path}: cannot write {path.suffix or 'a file without suffix'}; use one of {known}")
    return format_


def to_tensor(pixels: Pixels) -> Tensor:
    """(H, W, 3) 8-bit -> (1, 3, H, W) float32 in [-1, 1]."""
    return torch.from_numpy(pixels.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]


def to_pixels(image: Tensor) -> Pixels:
    """(1, 3, H, W) in [-1, 1], clipped -> (H, W, 3) 8-bit, rounded."""
    bytes_ = ((image[0].float().clamp(-1, 1) + 1) * 127.5).round().byte()
    return bytes_.permute(1, 2, 0).contiguous().cpu().numpy()


def shrink(picture: Picture, megapixels: float) -> Picture:
    """The picture, scaled down (antialiased) where it has more megapixels than these; without alpha and metadata."""
    h, w = picture.size
    factor = (megapixels * 1e6 / (h * w)) ** 0.5
    if factor >= 1:
        return Picture(picture.pixels)
    size = max(1, round(w * factor)), max(1, round(h * factor))
    return Picture(np.asarray(Image.fromarray(picture.pixels).resize(size, Image.Resampling.LANCZOS)))


def thumbnail(picture: Picture, side: int = 160) -> bytes:
    """A small JPEG of the picture, for the model file."""
    image = Image.fromarray(picture.pixels)
    image.thumbnail((side, side))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=80)
    return data.getvalue()


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
        turned = image.getexif().get(ORIENTATION, 1) in range(2, 9)
        return ImageOps.exif_transpose(image) if turned else image
    except DAMAGED_EXIF:
        return image


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


def _refuse_absurd_size(path: Path, image: Image.Image) -> None:
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(f"{path}: declares {image.width}x{image.height} pixels, more than {MAX_PIXELS}; scale it down")


@contextmanager
def _unbounded_pillow() -> Iterator[None]:
    """Let Pillow open large pictures, which are the point here; `MAX_PIXELS` guards instead. Quiet on odd metadata."""
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit
