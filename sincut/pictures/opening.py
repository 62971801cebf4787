"""Opening a picture file without decoding it: which formats are read, how large they may be, and what goes wrong."""

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from sincut.errors import DamagedError, ImageError

# What is read: an allow-list, as some decoders of Pillow run programs.
FORMATS = ["PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "DIB", "GIF", "PPM", "JPEG2000", "AVIF", "HEIF"]
MAX_PIXELS = 2**31  # a file that declares more is refused before it is decoded
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"mif1", b"msf1")

_PILLOW, _LIMITS, _UNBOUNDED = threading.Lock(), list[int | None](), list[bool]()


class UnknownFormatError(DamagedError):
    """Pillow does not know this kind of file."""


@contextmanager
def opened(path: Path, max_pixels: int) -> Iterator[Image.Image]:
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
            refuse_absurd_size(path, image.height, image.width, max_pixels)
            yield image
    except UnidentifiedImageError:
        what = "is not a picture in a known format; convert it to PNG, JPEG, WebP or TIFF"
        raise UnknownFormatError(f"{path}: {what}") from None
    except UnknownFormatError:
        raise
    except ImageError as error:
        raise type(error)(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None
    except MemoryError:
        raise ImageError(f"{path}: does not fit into memory; use a smaller picture") from None
    except Exception as error:  # decoders raise almost anything on damaged files; none of it may stop a batch
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        kind = ImageError if isinstance(error, PermissionError) else DamagedError
        raise kind(f"{path}: is damaged or cannot be read ({what}); copy it again or repair it") from error


def refuse_absurd_size(path: Path, h: int, w: int, max_pixels: int) -> None:
    if h * w > max_pixels:
        declared = f"declares {w}x{h} pixels, more than --max-pixels {max_pixels}"
        raise ImageError(f"{path}: {declared}; scale it down or raise that limit")


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
