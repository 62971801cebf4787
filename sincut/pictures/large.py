"""Pictures beyond memory, with libvips: read by regions, written row by row."""

import contextlib
import mmap
import queue
import struct
import tempfile
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sincut.errors import ImageError, UnsupportedError
from sincut.files import writing, written_whole
from sincut.pictures.chunks import SIGNATURE, chunk
from sincut.pictures.dressing import dress
from sincut.pictures.formats import DEFAULT_QUALITY, pixels_lost, writable_format
from sincut.pictures.hidden import Filling
from sincut.pictures.imprint import seal
from sincut.pictures.jpeg import Compression, compression_of
from sincut.pictures.kinds import kind_of
from sincut.pictures.libvips import (
    KEEP,
    MOST,
    failure,
    in_space,
    lazy_image,
    library,
    luma,
    reason,
    refusal,
    taken,
    upright_srgb,
    with_metadata,
)
from sincut.pictures.metadata import UPRIGHT, Carried, carried_by
from sincut.pictures.modes import BECAME_RGB, GREYS_BECAME_RGB, IN_PROFILE, OTHER_COLOURS
from sincut.pictures.opening import MAX_PIXELS, UnknownFormatError, opened, told_with
from sincut.pictures.picture import Metadata, Pixels
from sincut.pictures.profiles import UNUSABLE, Way, way_of
from sincut.pictures.reading import FURTHER, first_only, refuse_missing, size_of
from sincut.pictures.resampling import ROWS_AT_ONCE
from sincut.pictures.writing import Saving, to_write

if TYPE_CHECKING:
    import pyvips

STREAMED = {"TIFF", "PNG", "JPEG"}  # formats that `Writer` writes
TIFF_TILE = 256  # px
LARGEST_TIFF = 2 * 10**9  # bytes of pixels; beyond, a TIFF file is given 64-bit offsets (32 bits end at 4.3 GB)
QUEUED = 2  # parts of rows that wait for libvips
MOST_IN_CHUNK = 16 * 2**20  # bytes


class Reader:
    """A picture file that is read by regions: upright, in sRGB, 8 or 16 bits a channel, 3 bands or 4 with alpha.

    Pixels are converted from the space of the profile `icc`; None takes them for sRGB. Any method may be called from
    any thread. Raises `ImageError` that begins with the path.
    """

    def __init__(
        self, source: Path, grey: bool, icc: bytes | None, orientation: int = 1, bands: Sequence[int] = ()
    ) -> None:
        vips = library()
        with told_with(source):
            try:
                image = lazy_image(source)
            except vips.Error as error:  # Pillow has read its header
                raise refusal(error) from None
            try:
                self.pyramid = image.get_typeof("n-subifds") != 0 or _is_pyramid(image, source)
                self.image, notes, self.converted = upright_srgb(taken(image, bands), grey, icc, orientation)
                self.region = vips.Region.new(self.image)
            except vips.Error as error:
                raise failure(error) from None
        self.source, self.bands, self.deep = source, self.image.bands, self.image.format == "ushort"
        self.size = self.image.height, self.image.width
        self.dtype = np.dtype(np.uint16 if self.deep else np.uint8)
        self.bytes_per_pixel = self.bands * self.dtype.itemsize
        self.notes = [*notes, *([GREYS_BECAME_RGB] if grey else [])]
        self.lock = threading.Lock()  # windows are read in a thread, rows in another

    def read(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Pixels:
        """The pixels (h, w, bands) at rows and columns, in any order within a window."""
        top, left = int(rows.min()), int(columns.min())
        part = self._fetch(top, left, int(rows.max()) + 1, int(columns.max()) + 1)
        return part[rows - top][:, columns - left]

    def rows(self, top: int, bottom: int) -> Pixels:
        """Whole rows (bottom - top, W, bands)."""
        out: Pixels = np.empty((bottom - top, self.size[1], self.bands), self.dtype)
        step = max(1, MOST_IN_CHUNK // (self.size[1] * self.bytes_per_pixel))
        for first in range(top, bottom, step):  # little is fetched at once
            last = min(first + step, bottom)
            out[first - top : last - top] = self._fetch(first, 0, last, self.size[1])
        return out

    def _fetch(self, top: int, left: int, bottom: int, right: int) -> Pixels:
        """The pixels (bottom - top, right - left, bands) of a box; they may be overwritten by the next call."""
        vips = library()
        try:
            with self.lock:
                data = self.region.fetch(left, top, right - left, bottom - top)
        except vips.Error as error:
            with told_with(self.source):
                raise failure(error) from None
        pixels: Pixels = np.frombuffer(data, self.dtype).reshape(bottom - top, right - left, self.bands)
        return pixels


class Writer:
    """A TIFF (tiled, BigTIFF, a pyramid where the source was one), PNG or JPEG file that is given row by row.

    libvips pulls pixels and a translation pushes them, so they meet in a queue: rows go in as an uncompressed PNG
    stream, and a thread lets libvips read that and write the file. Used as a context manager: the file is whole when
    the block has ended. Raises `ImageError` where it cannot be written.
    """

    def __init__(
        self,
        path: Path,
        format_: str,
        like: Reader,
        grey: bool,
        compression: Compression,
        metadata: Metadata,
        name: str,
    ) -> None:
        """Rows are given in sRGB, as wide, as deep and with as many bands as those of the reader `like`.

        Where that has converted them from the space of `metadata.icc`, they are written in that space again; with
        `grey` their luma is written. `compression` is for JPEG. Of metadata, profile and resolution are written. Errors
        begin with `name`.
        """
        self.path, self.format, self.like, self.grey, self.compression = path, format_, like, grey, compression
        self.metadata, self.name = metadata, name
        self.queue: queue.Queue[bytes | None] = queue.Queue(QUEUED)
        self.left, self.ended, self.failed = memoryview(b""), False, ""
        self.packer = zlib.compressobj(0)
        self.thread = threading.Thread(target=self._save, daemon=True)

    def __enter__(self) -> "Writer":
        h, w = self.like.size
        kind = 6 if self.like.bands == 4 else 2  # RGB, with alpha or without
        header = struct.pack(">IIBBBBB", w, h, 16 if self.like.deep else 8, kind, 0, 0, 0)
        self.thread.start()
        self._put(SIGNATURE + chunk(b"IHDR", header))
        return self

    def write(self, rows: Pixels) -> None:
        """The next rows (h, W, bands). Raises `ImageError` where the file cannot be written."""
        for part in np.array_split(rows, max(1, rows.nbytes // MOST_IN_CHUNK)):  # so little is copied at once
            lines = part.astype(">u2") if self.like.deep else part
            lines = lines.reshape(len(part), -1).view(np.uint8)
            filtered = np.zeros((len(lines), 1 + lines.shape[1]), np.uint8)  # each line begins with the filter "none"
            filtered[:, 1:] = lines
            self._put(chunk(b"IDAT", self.packer.compress(filtered.tobytes())))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._put(chunk(b"IDAT", self.packer.flush()) + chunk(b"IEND", b""))
        self._offer(None)  # no more bytes will come
        self.thread.join()
        if kind is None and self.failed:
            self._refuse()

    def _put(self, data: bytes) -> None:
        """Queue a part of the stream. Raises `ImageError` where libvips has failed to write the file."""
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
        """Raise `ImageError` with libvips' reason."""
        why = f"cannot be written ({self.failed})"
        raise ImageError(f"{self.name}: {why}; free some space or choose another place with -o")

    def _next(self, count: int) -> bytes:
        """Up to `count` bytes of the stream for libvips; none at its end."""
        while not self.left and not self.ended:
            data = self.queue.get()
            self.left, self.ended = memoryview(data or b""), data is None
        part, self.left = self.left[:count], self.left[count:]
        return bytes(part)

    def _save(self) -> None:
        """Write the file from the stream; the reason of a failure is in `failed`."""
        vips = library()
        try:
            with tempfile.TemporaryDirectory() as folder:
                source = vips.SourceCustom()
                source.on_read(self._next)
                image = vips.Image.new_from_source(source, "", access="sequential", unlimited=True)
                self._write(self._converted(image, Path(folder)))
        except vips.Error as error:
            self.failed = reason(error)
        except Exception as error:  # in a thread nobody else would hear of it
            self.failed = str(error) or type(error).__name__

    def _converted(self, image: "pyvips.Image", folder: Path) -> "pyvips.Image":
        """The image as it is written: in its own space, as greys where asked, with its metadata."""
        if self.format == "JPEG":
            image = image.flatten(background=MOST if self.like.deep else 255) if image.hasalpha() else image
            image = image.colourspace("srgb")
        if self.metadata.icc and self.like.converted:
            image = in_space(image, self.metadata.icc, folder)
        return with_metadata(luma(image) if self.grey else image, self.metadata)

    def _write(self, image: "pyvips.Image") -> None:
        """Write an image to the path, in the file's format. Raises `pyvips.Error`."""
        if self.format == "TIFF":
            h, w = self.like.size
            layout = {"tile": True, "tile_width": TIFF_TILE, "tile_height": TIFF_TILE, "pyramid": self.like.pyramid}
            big = h * w * self.like.bytes_per_pixel > LARGEST_TIFF
            image.tiffsave(self.path, compression="deflate", predictor="horizontal", bigtiff=big, keep=KEEP, **layout)
        elif self.format == "PNG":
            image.pngsave(self.path, keep=KEEP)
        else:
            quality, subsampled = self.compression
            image.jpegsave(self.path, Q=quality, subsample_mode="on" if subsampled else "off", keep=KEEP)


class Large:
    """A picture on its way from file to file: `reader` and `writer`, and notes on conversions.

    Where there is alpha, the whole picture is read once at the beginning, for colours below its transparent parts.
    """

    def __init__(self, reader: Reader, writer: Writer, notes: tuple[str, ...]) -> None:
        self.reader, self.writer, self.notes = reader, writer, notes
        self.filling = Filling(reader.size, reader.dtype) if reader.bands == 4 else None
        if self.filling is not None:
            h, step = reader.size[0], ROWS_AT_ONCE // self.filling.cell * self.filling.cell or self.filling.cell
            for top in range(0, h, step):
                rows = reader.rows(top, min(top + step, h))
                self.filling.add(top, rows[..., :3], rows[..., 3])

    def window(self, rows: Tensor, columns: Tensor) -> Pixels:
        """The pixels (h, w, 3) at rows (h,) and columns (w,), wholly transparent ones with colours that are near."""
        return self._filled(self.reader.read(rows.numpy(), columns.numpy()), rows.numpy(), columns.numpy())

    def rows(self, top: int, bottom: int) -> Pixels:
        """The same of whole rows (bottom - top, W, 3)."""
        pixels = self.reader.rows(top, bottom)
        return self._filled(pixels, np.arange(top, bottom), np.arange(pixels.shape[1]))

    def _filled(self, pixels: Pixels, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Pixels:
        """The colours (h, w, 3) of a window with 3 or 4 bands, wholly transparent ones replaced."""
        colours = pixels[..., :3]
        return colours if self.filling is None else self.filling.fill(colours, pixels[..., 3], rows, columns)


@contextmanager
def open_large(source: Path, target: Path, saving: Saving, max_pixels: int = MAX_PIXELS) -> Iterator[Large]:
    """Read `source` by regions and write `target` by rows; it appears when the block ends well.

    Raises `ImageError`: as `reading.load` for the source, and where the target's format is not among `STREAMED` or it
    cannot be written.
    """
    format_ = writable_format(target)
    if format_ not in STREAMED:
        raise ImageError(f"{target}: {format_} files of this size cannot be written; use one of .tif, .png, .jpg")
    carried, of_rgb = _looked_at(source, max_pixels)
    way, bands = way_of(carried.metadata.icc) if of_rgb else Way(carried.metadata.icc), kind_of(source).bands
    reader = Reader(source, carried.grey, way.applied, carried.orientation, bands)
    metadata = carried.metadata._replace(icc=way.kept)
    metadata, lost = to_write(metadata, format_, saving)
    notes = [*([UPRIGHT] if carried.orientation != 1 else []), *carried.notes, *reader.notes]
    notes += [way.note] if way.note == UNUSABLE else []  # what is applied, the reader tells
    notes += [*([FURTHER] if bands else []), *lost]
    notes += pixels_lost(format_, reader.bands == 4, reader.deep)
    grey = carried.grey and saving.greys == "keep"
    compression = compression_of(carried.jpeg, saving.quality, DEFAULT_QUALITY.get(format_, 0))
    with written_whole(target, ImageError) as temporary:
        with Writer(temporary, format_, reader, grey, compression, metadata, str(target)) as writer:
            yield Large(reader, writer, tuple(notes))
        with writing(target, ImageError), temporary.open("r+b") as file:
            dress(file, format_, metadata)
            if saving.imprint is not None and not saving.strip:
                file.flush()
                with mmap.mmap(file.fileno(), 0) as data:
                    seal(data, saving.imprint)


def whole_only(source: Path) -> str:
    """In words, why a file that is read whole cannot be read by regions, and what helps; nothing where it can."""
    trouble = kind_of(source).of_vips
    return trouble.whole_only if trouble else ""


def _looked_at(source: Path, max_pixels: int) -> tuple[Carried, bool]:
    """Metadata of a file with notes on the file, and True if its numbers are RGB in the space of its profile.

    Of a file that only libvips knows, that is nothing and False. Raises `ImageError` as `open_large`.
    """
    try:
        with opened(source, max_pixels) as image:
            refusal = whole_only(source)
            if refusal:
                raise UnsupportedError(refusal)
            refuse_missing(image, source)
            carried = carried_by(image, source)
            became = [BECAME_RGB.format(mode=image.mode)] if image.mode in OTHER_COLOURS else []
            carried = carried._replace(notes=(*first_only(image), *became, *carried.notes))
            return carried, image.mode in IN_PROFILE and not carried.grey
    except UnknownFormatError:
        size_of(source, max_pixels)  # raises this again where libvips does not know it either
        return Carried(), False


def _is_pyramid(image: "pyvips.Image", source: Path) -> bool:
    """True if the second page of a TIFF file is the first one at half size."""
    if image.get_typeof("n-pages") == 0 or image.get("n-pages") < 2:
        return False
    try:
        second = lazy_image(source, page=1)
    except library().Error:
        return False
    return all(abs(a - 2 * b) <= 2 for a, b in ((image.width, second.width), (image.height, second.height)))
