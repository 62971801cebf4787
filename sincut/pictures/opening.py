"""Picture files opened, but not decoded: which formats are read, how large they may be, and whose fault an error is."""

import ctypes
import errno
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from PIL import Image, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError, _imaging

from sincut.errors import DamagedError, ImageError, UnsupportedError
from sincut.pictures import libvips
from sincut.pictures.kind import NO_MEMORY, Kind, Trouble, told_by_decoder
from sincut.pictures.kinds import kind_of

# Formats that are read, by Pillow's names. An allow-list, since some of its decoders run other programs (EPS).
FORMATS = ["PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "DIB", "GIF", "PPM", "JPEG2000", "AVIF", "HEIF"]
MOST_TEXT = 2**26  # bytes of texts that a PNG file may unfold to
MAX_PIXELS = 2**31  # a file that declares more is refused before it is decoded
# Tags and values of TIFF 6.0.
COMPRESSION, DEFLATE, SIZE = 259, 8, (256, 257)
GREYS_OF_FEW_BITS = {"L;2": 85, "L;4": 17}  # Pillow's names of how PNG holds them, and 255 by the largest of them
ORIENTATION, ON_ITS_SIDE = 274, (5, 6, 7, 8)
GREYS, RGB, CMYK, LAB = 1, 2, 5, 8
PLAIN_COLOURS = {0: GREYS, 1: GREYS, 2: RGB, 3: RGB, 5: CMYK, 6: RGB, 8: LAB}  # of palettes and YCbCr: what they become


class UnknownFormatError(DamagedError):
    """A file of a format that Pillow does not know, or that is not read."""


@contextmanager
def opened(path: Path, max_pixels: int) -> Iterator[Image.Image]:
    """The file as a PIL image whose pixels are not decoded yet, closed at the end of the block.

    Within the block decoders are called inside `decoding`; what goes wrong there, or in opening, is an `ImageError`
    that begins with the path: `UnknownFormatError` for a format that is not read, `DamagedError` where the bytes are
    at fault, `UnsupportedError` for a kind of file that is not read, a plain one for more than `max_pixels`, for too
    little memory and for errors of the system. A TIFF file that only libvips decodes is given without pixels: `tile` is
    empty, and its size, mode, tags and profile are there.
    """
    with told_with(path), _UNBOUNDED:
        if not os.path.isfile(path):  # unlike Path.is_file this says no to what cannot be looked at
            is_folder = os.path.isdir(path)
            what = "is a folder, not a picture" if is_folder else "there is no such file, or it cannot be read"
            raise ImageError(f"{what}; check the path")
        if not path.stat().st_size:
            raise DamagedError("the file is empty; copy it again")
        _hush_libtiff()
        _hush_pillow()
        kind = kind_of(path)
        if kind.refused:
            raise UnsupportedError(kind.refused.refusal)
        if kind.container == "HEIF":
            _learn_heif()
        with _image(path, kind) as image:
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
        raise ImageError(f"{path}: {NO_MEMORY}") from None
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
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return ImageError(NO_MEMORY)
    if isinstance(error, UnidentifiedImageError):
        return UnknownFormatError("is not a picture in a known format; convert it to PNG, JPEG, WebP or TIFF")
    if isinstance(error, OSError) and error.errno is not None:
        return ImageError(f"cannot be read ({error.strerror}); check its permissions and its disk, then try again")
    what = str(error).splitlines()[0] if str(error) else type(error).__name__
    return told_by_decoder(what)


def refuse_absurd_size(h: int, w: int, max_pixels: int) -> None:
    """Raise `ImageError` where a file declares more pixels (H, W) than are allowed."""
    if h * w > max_pixels:
        declared = f"declares {w}x{h} pixels, more than --max-pixels {max_pixels}"
        raise ImageError(f"{declared}; scale it down or raise that limit")


def _formats() -> list[str]:
    """The formats that are read and that this Pillow has."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def _image(path: Path, kind: Kind) -> Image.Image:
    """The image of a file of this kind, not decoded. Raises as `opened`, without the path."""
    only_vips = kind.of_vips is None and kind.container == "TIFF"
    try:
        if kind.of_pillow is None:
            with decoding():
                return _by_libtiff(path) if kind.by_libtiff else _opened_by_pillow(path)
    except UnknownFormatError:
        if kind.of_vips and kind.colours:
            raise UnsupportedError(kind.of_vips.refusal) from None
        if kind.container and not kind.colours and not (only_vips and libvips.installed()):
            raise UnknownFormatError(
                "is damaged or cannot be read (its header makes no sense); copy it again"
            ) from None
        if not only_vips:
            raise
    if libvips.installed():
        if not kind.colours:
            raise UnknownFormatError("is damaged or of a kind that cannot be read; copy it again, or convert it")
        with decoding():
            return _Described(path)
    if kind.of_pillow:
        raise UnsupportedError(kind.of_pillow.needs_libvips)
    what = f"its form ({kind.colours}, {kind.samples} of {kind.bits} bits)"
    raise UnsupportedError(Trouble(what, "convert it to 8-bit RGB").needs_libvips)


def _opened_by_pillow(path: Path) -> Image.Image:
    """A lazy image of a file. Raises as `Image.open`."""
    image = Image.open(path, formats=_formats())
    if isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(ORIENTATION, 1) in ON_ITS_SIDE:
        # Where Pillow maps a file into memory, it takes the size of the upright picture for that of the lines.
        image.filename = ""
    _widen_transparent_grey(image)
    return image


def _widen_transparent_grey(image: Image.Image) -> None:
    """Bring the grey of a PNG file that is transparent to 8 bits, as Pillow does with all greys but this one."""
    grey, packing = image.info.get("transparency"), getattr(image, "tile", None)
    if image.format == "PNG" and isinstance(grey, int) and packing:
        image.info["transparency"] = grey * GREYS_OF_FEW_BITS.get(packing[0][3], 1)


def _by_libtiff(path: Path) -> Image.Image:
    """A TIFF file whose pixels Pillow shall read through libtiff. Raises as `Image.open`."""
    try:
        return _ByLibtiff(path)
    except SyntaxError as error:  # which `Image.open` takes for no file of this format
        raise UnidentifiedImageError(str(error)) from error


class _ByLibtiff(TiffImagePlugin.TiffImageFile):
    """An uncompressed TIFF file that Pillow reads through libtiff, since its own code garbles this kind of them."""

    def _setup(self) -> None:
        """Set mode, size and decoder as Pillow does for files in any compression that libtiff takes away."""
        self.tag_v2[COMPRESSION] = DEFLATE
        super()._setup()
        self.tag_v2[COMPRESSION] = 1
        self.info["compression"] = "raw"


class _Described(TiffImagePlugin.TiffImageFile):
    """A TIFF file that Pillow does not decode: its tags, size, profile and resolution, and a mode like its colours."""

    def _setup(self) -> None:
        """Set what Pillow would of the same picture in 8 bits, without compression; nothing can be decoded."""
        own, plain = self.tag_v2, TiffImagePlugin.ImageFileDirectory_v2(prefix=self.tag_v2.prefix)
        for tag in (*SIZE, 274, 282, 283, 296, 34675):  # orientation, resolution, profile
            if tag in own:
                plain[tag] = own[tag]
        colours = PLAIN_COLOURS.get(own.get(262, 1), 1)
        channels = {RGB: 3, LAB: 3, CMYK: 4}.get(colours, 1)
        alpha = own.get(277, 1) > channels and colours in (RGB, GREYS)
        channels += alpha
        plain.update({258: (8,) * channels, COMPRESSION: 1, 262: colours, 273: (0,), 277: channels, 278: own[SIZE[1]]})
        if alpha:
            plain[338] = 2
        self.tag_v2 = plain
        try:
            super()._setup()
        finally:
            self.tag_v2 = own
        self.tile = []


def is_described(image: Image.Image) -> bool:
    """True if an image has no pixels to decode, only what its file says of itself; libvips has the pixels."""
    return isinstance(image, _Described)


@lru_cache(maxsize=1)
def _hush_libtiff() -> None:
    """Keep the libtiff that Pillow brings along from writing to stderr; what it says is in Pillow's errors too.

    Where it is the system's, libvips may have set handlers of its own in it, and then it is left alone.
    """
    home = Path(_imaging.__file__).parent
    of_pillow = (home.parent / "pillow.libs").is_dir() or (home / ".dylibs").is_dir()
    if of_pillow or sys.modules.get("pyvips") is None:
        with suppress(OSError, AttributeError):  # it may be linked in, and no name of it be seen
            ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


@lru_cache(maxsize=1)
def _hush_pillow() -> None:
    """Keep Pillow's messages from stderr where a program sets up no logging; they are in its errors too."""
    logging.getLogger("PIL").addHandler(logging.NullHandler())


def _learn_heif() -> None:
    """Teach Pillow HEIC, as phones write it. Raises `ImageError` where the extra is missing."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise ImageError("HEIC needs an extra: pip install 'sincut[heic]'; or convert it to JPEG") from None
    register_heif_opener()


class _Unbounded:
    """While any thread is inside, Pillow opens pictures of any size: large ones are the point here.

    `max_pixels` guards instead. Texts of PNG may be longer than Pillow has it, since none must stop a picture. Pillow's
    limits are numbers of the process, so the first thread that enters puts them aside and the last one that leaves puts
    them back.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0  # threads
        self.limit: int | None = None  # Pillow's, while it is put aside
        self.texts = 0, 0  # the same of one text, and of all of a file

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                self.limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
                self.texts = PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY
                PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = MOST_TEXT
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                Image.MAX_IMAGE_PIXELS = self.limit
                PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY = self.texts


_UNBOUNDED = _Unbounded()
