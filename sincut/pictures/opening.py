"""Picture files opened, but not decoded: which formats are read, how large they may be, and whose fault an error is."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from sincut.errors import DamagedError, ImageError

# Formats that are read, by Pillow's names. An allow-list, since some of its decoders run other programs (EPS).
FORMATS = ["PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "DIB", "GIF", "PPM", "JPEG2000", "AVIF", "HEIF"]
MAX_PIXELS = 2**31  # a file that declares more is refused before it is decoded
# The major brands of HEIC files: ISO/IEC 23008-12, annex B, and "mif1" and "msf1", which phones write too.
HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"mif1", b"msf1")


class UnknownFormatError(DamagedError):
    """A file of a format that Pillow does not know, or that is not read."""


@contextmanager
def opened(path: Path, max_pixels: int) -> Iterator[Image.Image]:
    """The file as a PIL image whose pixels are not decoded yet, closed at the end of the block.

    Within the block decoders are called inside `decoding`; what goes wrong there, or in opening, is an `ImageError`
    that begins with the path: `UnknownFormatError` for a format that is not read, `DamagedError` where the bytes are
    at fault, a plain one for more than `max_pixels`, for too little memory and for errors of the system.
    """
    with told_with(path), _UNBOUNDED:
        if not os.path.isfile(path):  # unlike Path.is_file this says no to what cannot be looked at
            is_folder = os.path.isdir(path)
            what = "is a folder, not a picture" if is_folder else "there is no such file, or it cannot be read"
            raise ImageError(f"{what}; check the path")
        if not path.stat().st_size:
            raise DamagedError("the file is empty; copy it again")
        _learn_heif(path)
        with decoding():
            image = Image.open(path, formats=_formats())
        with image:
            refuse_absurd_size(image.height, image.width, max_pixels)
            yield image


@contextmanager
def told_with(path: Path) -> Iterator[None]:
    """Every `ImageError` of the block begins with the path; too little memory and errors of the system become one."""
    try:
        yield
    except ImageError as error:
        raise type(error)(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error.__cause__
    except MemoryError:
        raise ImageError(f"{path}: does not fit into memory; use a smaller picture") from None
    except OSError as error:
        failure = _failure(error)
        raise type(failure)(f"{path}: {failure}") from error


@contextmanager
def decoding() -> Iterator[None]:
    """A block in which only a decoder is at work. Raises `ImageError` for what goes wrong there.

    On damaged files decoders raise almost anything, and none of it may stop a batch, so any exception means damage
    (`DamagedError`), except errors of the system, such as of a disk, and too little memory, which may be gone at the
    next try. Code of ours belongs outside the block: what it raises is a bug and passes as it is.
    """
    try:
        yield
    except (ImageError, MemoryError, Warning):  # a warning, where whoever uses the library has made them errors
        raise
    except Exception as error:
        raise _failure(error) from error


def _failure(error: Exception) -> ImageError:
    """The error to raise instead of one of a decoder or of the system; only the latter have an `errno`."""
    if isinstance(error, UnidentifiedImageError):
        return UnknownFormatError("is not a picture in a known format; convert it to PNG, JPEG, WebP or TIFF")
    if isinstance(error, OSError) and error.errno is not None:
        return ImageError(f"cannot be read ({error.strerror}); check its permissions and its disk, then try again")
    what = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DamagedError(f"is damaged or cannot be read ({what}); copy it again or repair it")


def refuse_absurd_size(h: int, w: int, max_pixels: int) -> None:
    """Raise `ImageError` where a file declares more pixels (H, W) than are allowed."""
    if h * w > max_pixels:
        declared = f"declares {w}x{h} pixels, more than --max-pixels {max_pixels}"
        raise ImageError(f"{declared}; scale it down or raise that limit")


def _formats() -> list[str]:
    """The formats that are read and that this Pillow has."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _learn_heif(path: Path) -> None:
    """Teach Pillow HEIC, as phones write it, where the file is one. Raises `ImageError` where the extra is missing."""
    with path.open("rb") as file:
        head = file.read(12)
    if not (head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS):
        return
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise ImageError("HEIC needs an extra: pip install 'sincut[heic]'; or convert it to JPEG") from None
    register_heif_opener()


class _Unbounded:
    """While any thread is inside, Pillow opens pictures of any size: large ones are the point here.

    `max_pixels` guards instead. Pillow's limit is one number of the process, so the first thread that enters puts it
    aside and the last one that leaves puts it back.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0  # threads
        self.limit: int | None = None  # Pillow's, while it is put aside

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                self.limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                Image.MAX_IMAGE_PIXELS = self.limit


_UNBOUNDED = _Unbounded()
