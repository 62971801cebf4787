"""What Pillow cannot do, with libvips (the extra `sincut[large]`): 16 bits a channel, and pictures beyond memory.

libvips decodes on demand: a region of a tiled TIFF costs its tiles, and formats without random access are unpacked
into a temporary file first. It is chosen because one library reads and writes all of this, with its metadata, and its
wheels bring everything along (https://www.libvips.org). Arrays are (H, W, 3) with alpha (H, W) apart.
"""

import contextlib
import queue
import struct
import tempfile
import threading
import zlib
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from sincut.errors import DamagedError, ImageError

if TYPE_CHECKING:
    import pyvips

Pixels = NDArray[np.uint8] | NDArray[np.uint16]

MISSING = "this needs libvips: pip install 'sincut[large]'"
SUFFIX = {"PNG": ".png", "TIFF": ".tif"}
STREAMED = {"TIFF", "PNG", "JPEG"}  # formats that `Writer` writes
TIFF_TILE = 256  # px
LARGEST_TIFF = 2 * 10**9  # bytes of pixels beyond which a TIFF file needs 64-bit offsets
QUEUED = 2  # parts of rows that wait for libvips
MOST_IN_CHUNK = 16 * 2**20  # bytes
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
MOST = 65_535
MM_PER_INCH = 25.4
DEFAULT_DPI = 72.0
LOADERS = ("png", "jpeg", "webp", "tiff", "gif", "heif")  # of libvips; it has more, for files nobody should trust


def installed() -> bool:
    """Whether the extra is there; nothing is imported."""
    return find_spec("pyvips") is not None


def decode(
    source: Path, grey: bool, icc: bytes | None, orientation: int = 1
) -> tuple[Pixels, Pixels | None, list[str]]:
    """Upright sRGB pixels of 16 bits, their alpha, and notes. Raises `ImageError` for numbers that mean no colours."""
    vips = _library()
    try:
        image = _opened(source)
        image, notes = upright_srgb(image, grey, icc, orientation)
        pixels = image.numpy()
    except vips.Error as error:
        raise DamagedError(f"is damaged or cannot be read ({_reason(error)}); copy it again or repair it") from None
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    alpha = np.ascontiguousarray(pixels[..., 3]) if pixels.shape[2] == 4 else None
    return np.ascontiguousarray(pixels[..., :3]), alpha, notes


def size_of(source: Path) -> tuple[int, int] | None:
    """Height and width that a file declares; None where it is no picture that libvips knows."""
    try:
        image = _opened(source)
    except (_library().Error, ImageError):
        return None
    return image.height, image.width


def upright_srgb(
    image: "pyvips.Image", grey: bool, icc: bytes | None, orientation: int
) -> tuple["pyvips.Image", list[str]]:
    """A lazy image of sRGB in 8 or 16 bits with 3 or 4 bands, and what was done in words."""
    notes: list[str] = []
    image = image.copy()
    image.set_type(_library().GValue.gint_type, "orientation", orientation)  # libvips does not look into XMP
    image = image.autorot()
    if image.interpretation == "cmyk" and image.format == "uchar" and not icc:  # as Pillow does it, by no profile
        image = ((255 - image[:3]) * (255 - image[3]) / 255).rint().cast("uchar").copy(interpretation="srgb")
        notes.append("CMYK became sRGB")
    if image.interpretation in ("cmyk", "lab", "labs", "labq"):
        notes.append(f"{image.interpretation.upper()} became sRGB")
        image, icc = image.colourspace("srgb" if image.format == "uchar" or image.coding == "labq" else "rgb16"), None
    depth = 8 if image.format == "uchar" else 16
    if image.format in ("float", "double"):
        if image.min() < 0 or image.max() > 1:
            raise ImageError("its floating-point values are not all in 0..1; scale them, or convert it to 16 bits")
        image = (image * MOST).rint().cast("ushort")
        notes.append("floating-point values became 16 bits")
    elif image.format not in ("uchar", "ushort"):
        raise ImageError(f"values of type {image.format} are not supported; convert the picture to 8 or 16 bits")
    if image.bands not in (1, 2, 3, 4):
        raise ImageError(f"{image.bands} channels of {image.interpretation} are not supported; convert it to RGB")
    alpha = image[image.bands - 1] if image.hasalpha() or image.bands in (2, 4) else None
    colours = image[: image.bands - 1] if alpha is not None else image
    if icc:
        try:
            colours = colours.icc_transform(
                "srgb", embedded=True, intent="relative", black_point_compensation=True, depth=depth
            )
            notes.append(
                "translated in sRGB" if grey else "translated in sRGB, written in the space of its own ICC profile"
            )
        except _library().Error:
            pass  # a damaged profile must not stop the picture
    if colours.bands == 1:
        colours = colours.bandjoin([colours, colours])
    wanted = "srgb" if depth == 8 else "rgb16"
    colours = colours.copy(interpretation=wanted)
    return (colours.bandjoin(alpha) if alpha is not None else colours), notes


def encode(
    pixels: Pixels,
    alpha: Pixels | None,
    format_: str,
    grey: bool,
    icc: bytes | None,
    exif: bytes | None,
    xmp: bytes | None,
    dpi: tuple[float, float] | None,
) -> bytes:
    """The bytes of a 16-bit PNG or TIFF; with `grey` of its luminance. TIFF files get no EXIF: libvips writes none."""
    vips = _library()
    image = vips.Image.new_from_array(np.ascontiguousarray(pixels)).copy(interpretation="rgb16")
    if grey:
        image, icc = _luma(image), None
    with tempfile.TemporaryDirectory() as folder:
        if icc:
            with contextlib.suppress(vips.Error):  # a damaged profile must not stop the picture
                image = _in_space(image, icc, Path(folder))
        if alpha is not None:
            image = image.bandjoin(vips.Image.new_from_array(alpha))
        image = with_metadata(image, icc, exif, xmp, dpi)
        options = {"compression": "deflate"} if format_ == "TIFF" else {}
        try:
            data: bytes = image.write_to_buffer(SUFFIX[format_], **options)
        except vips.Error as error:
            raise ImageError(f"cannot be written ({_reason(error)}); choose another format") from None
    return data


class Reader:
    """A picture file by regions, upright, in sRGB where `icc` is given, 8 or 16 bits a channel."""

    def __init__(self, source: Path, grey: bool, icc: bytes | None, orientation: int = 1) -> None:
        vips = _library()
        try:
            image = _opened(source)
            self.pyramid = image.get_typeof("n-subifds") != 0 or _is_pyramid(image, source)
            self.image, notes = upright_srgb(image, grey, icc, orientation)
            self.region = vips.Region.new(self.image)
        except vips.Error as error:
            raise DamagedError(f"{source}: is damaged or cannot be read ({_reason(error)}); copy it again") from None
        self.source, self.bands, self.deep = source, self.image.bands, self.image.format == "ushort"
        self.size = self.image.height, self.image.width
        self.dtype = np.dtype(np.uint16 if self.deep else np.uint8)
        self.bytes_per_pixel = self.bands * self.dtype.itemsize
        self.converted = any("translated in sRGB" in note for note in notes)
        self.notes = [*notes, *(["greys became RGB"] if grey else [])]
        self.lock = threading.Lock()  # windows are read in a thread, rows in another

    def read(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Pixels:
        """The pixels (h, w, bands) at rows and columns, in any order within a window."""
        top, left = int(rows.min()), int(columns.min())
        part = self._fetch(top, left, int(rows.max()) + 1, int(columns.max()) + 1)
        return part[rows - top][:, columns - left]

    def rows(self, top: int, bottom: int) -> Pixels:
        """Whole rows (bottom - top, W, bands)."""
        return self._fetch(top, 0, bottom, self.size[1]).copy()

    def _fetch(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        vips = _library()
        try:
            with self.lock:
                data = self.region.fetch(left, top, right - left, bottom - top)
        except vips.Error as error:
            what = f"is damaged or cannot be read ({_reason(error)}); copy it again or repair it"
            raise DamagedError(f"{self.source}: {what}") from None
        found: Pixels = np.frombuffer(data, self.dtype).reshape(bottom - top, right - left, self.bands)
        return found


class Writer:
    """A TIFF (tiled, BigTIFF, a pyramid where the source was one), PNG or JPEG file that is given row by row.

    libvips pulls pixels and a translation pushes them, so they meet in a queue: rows go in as an uncompressed PNG
    stream, and a thread lets libvips read that and write the file. Used as a context manager.
    """

    def __init__(
        self,
        path: Path,
        format_: str,
        like: Reader,
        grey: bool,
        jpeg: tuple[int, bool],
        icc: bytes | None,
        exif: bytes | None,
        xmp: bytes | None,
        dpi: tuple[float, float] | None,
    ) -> None:
        """`jpeg` is its quality and whether its colours are subsampled. TIFF files get no EXIF.

        What is given is sRGB; where the reader has converted it from `icc`, it is written in that space again.
        """
        self.path, self.format, self.like, self.grey, self.jpeg = path, format_, like, grey, jpeg
        self.metadata = icc, exif if format_ != "TIFF" else None, xmp, dpi
        self.queue: queue.Queue[bytes | None] = queue.Queue(QUEUED)
        self.left, self.ended, self.failed = memoryview(b""), False, ""
        self.packer = zlib.compressobj(0)
        self.thread = threading.Thread(target=self._save, daemon=True)

    def __enter__(self) -> "Writer":
        h, w = self.like.size
        kind = 6 if self.like.bands == 4 else 2  # RGB, with alpha or without
        header = struct.pack(">IIBBBBB", w, h, 16 if self.like.deep else 8, kind, 0, 0, 0)
        self.thread.start()
        self._put(PNG_SIGNATURE + _chunk(b"IHDR", header))
        return self

    def write(self, rows: Pixels) -> None:
        """The next rows (h, W, bands). Raises `ImageError` where the file cannot be written."""
        lines = rows.astype(">u2") if self.like.deep else rows
        lines = lines.reshape(len(rows), -1).view(np.uint8)
        filtered = np.zeros((len(lines), 1 + lines.shape[1]), np.uint8)  # each line begins with the filter "none"
        filtered[:, 1:] = lines
        for part in np.array_split(filtered, max(1, filtered.nbytes // MOST_IN_CHUNK)):
            self._put(_chunk(b"IDAT", self.packer.compress(part.tobytes())))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._put(_chunk(b"IDAT", self.packer.flush()) + _chunk(b"IEND", b""))
        self._offer(None)  # no more bytes will come
        self.thread.join()
        if kind is None and self.failed:
            self._refuse()

    def _put(self, data: bytes) -> None:
        if not self._offer(data):
            self._refuse()

    def _offer(self, data: bytes | None) -> bool:
        """Queue a part for libvips, as soon as there is room; False where nobody reads any longer."""
        while self.thread.is_alive() and not self.failed:
            with contextlib.suppress(queue.Full):
                self.queue.put(data, timeout=0.1)
                return True
        return False

    def _refuse(self) -> NoReturn:
        raise ImageError(f"cannot be written ({self.failed}); free some space or choose another place with -o")

    def _next(self, count: int) -> bytes:
        """Up to `count` bytes of the stream for libvips; none at its end."""
        while not self.left and not self.ended:
            data = self.queue.get()
            self.left, self.ended = memoryview(data or b""), data is None
        part, self.left = self.left[:count], self.left[count:]
        return bytes(part)

    def _save(self) -> None:
        vips = _library()
        source = vips.SourceCustom()
        source.on_read(self._next)
        icc, exif, xmp, dpi = self.metadata
        folder = tempfile.TemporaryDirectory()
        try:
            image = vips.Image.new_from_source(source, "", access="sequential", unlimited=True)
            if self.format == "JPEG":
                image = image.flatten(background=MOST if self.like.deep else 255) if image.hasalpha() else image
                image = image.colourspace("srgb")
            if icc and self.like.converted:
                image = _in_space(image, icc, Path(folder.name))
            image = _luma(image) if self.grey else image
            image = with_metadata(image, icc, exif, xmp, dpi)
            if self.format == "TIFF":
                h, w = self.like.size
                layout = {"tile": True, "tile_width": TIFF_TILE, "tile_height": TIFF_TILE, "pyramid": self.like.pyramid}
                big = h * w * self.like.bytes_per_pixel > LARGEST_TIFF
                image.tiffsave(self.path, compression="deflate", predictor="horizontal", bigtiff=big, **layout)
            elif self.format == "PNG":
                image.pngsave(self.path)
            else:
                quality, subsampled = self.jpeg
                image.jpegsave(self.path, Q=quality, subsample_mode="on" if subsampled else "off")
        except vips.Error as error:
            self.failed = _reason(error)
        except Exception as error:  # in a thread nobody else would hear of it
            self.failed = str(error) or type(error).__name__
        finally:
            folder.cleanup()


def _opened(source: Path, **options: int) -> "pyvips.Image":
    """A lazy image; damage is an error where libvips would go on with grey."""
    vips = _library()
    try:  # without `revalidate`, a file that was replaced would be remembered as it was
        image = vips.Image.new_from_file(source, fail_on="error", revalidate=True, **options)
    except UnicodeError:
        raise ImageError(f"{str(source)!a}: its name is not UTF-8; rename it") from None
    loader = str(image.get("vips-loader"))
    if not loader.startswith(LOADERS):
        raise vips.Error(f"files read by {loader} are not supported")
    return image


def _in_space(image: "pyvips.Image", icc: bytes, folder: Path) -> "pyvips.Image":
    """An sRGB image in the space of an RGB profile; `folder` has to be there until it is written."""
    profile = folder / "own.icc"
    profile.write_bytes(icc)
    depth = 16 if image.format == "ushort" else 8
    colours = image[:3].icc_transform(
        str(profile), input_profile="srgb", intent="relative", black_point_compensation=True, depth=depth
    )
    return colours.bandjoin(image[3]) if image.bands == 4 else colours


def _luma(image: "pyvips.Image") -> "pyvips.Image":
    """Its brightness as Pillow computes it (ITU-R BT.601), and its alpha."""
    deep = image.format == "ushort"
    grey = image[:3].recomb([[0.299, 0.587, 0.114]]).rint().cast(image.format)
    grey = grey.copy(interpretation="grey16" if deep else "b-w")
    return grey.bandjoin(image[3]) if image.bands == 4 else grey


def _is_pyramid(image: "pyvips.Image", source: Path) -> bool:
    """Whether the second page of a TIFF file is the first one at half size."""
    if image.get_typeof("n-pages") == 0 or image.get("n-pages") < 2:
        return False
    try:
        second = _opened(source, page=1)
    except _library().Error:
        return False
    return all(abs(a - 2 * b) <= 2 for a, b in ((image.width, second.width), (image.height, second.height)))


def _chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG stream (https://www.w3.org/TR/png-3/, section 5.3)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def with_metadata(
    image: "pyvips.Image",
    icc: bytes | None,
    exif: bytes | None,
    xmp: bytes | None,
    dpi: tuple[float, float] | None,
) -> "pyvips.Image":
    """The image with what is written into its file."""
    vips = _library()
    x, y = dpi or (DEFAULT_DPI, DEFAULT_DPI)  # libvips always writes one
    image = image.copy(xres=x / MM_PER_INCH, yres=y / MM_PER_INCH)
    blobs = {"icc-profile-data": icc, "exif-data": _headed(exif), "xmp-data": xmp}
    for name, blob in blobs.items():
        if image.get_typeof(name):
            image.remove(name)
        if blob:
            image.set_type(vips.GValue.blob_type, name, blob)
    return image


def _headed(exif: bytes | None) -> bytes | None:
    """EXIF with the marker that libvips wants in front, as in a JPEG."""
    return exif if exif is None or exif.startswith(b"Exif\0\0") else b"Exif\0\0" + exif


def _library() -> Any:
    try:
        import pyvips
    except (ImportError, OSError) as error:  # OSError: the package without its library
        raise ImageError(f"{MISSING} ({error})") from None
    return pyvips


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
