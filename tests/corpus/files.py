"""Picture files other than TIFF, written byte by byte or put together from parts of Pillow's: PNG, BMP, JPEG, JP2."""

import io
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from corpus.tiffs import rows_of_bits

COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # of PNG, by the number of channels
ADAM7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
XMP_MARKER = b"http://ns.adobe.com/xap/1.0/\0"


def pillow(array: np.ndarray | Image.Image, format_: str, **options: Any) -> bytes:
    """The bytes that Pillow writes of numbers or of an image."""
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file (https://www.w3.org/TR/png-3/, section 5.3)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    array: np.ndarray,
    *before: tuple[bytes, bytes],
    bits: int = 0,
    interlaced: bool = False,
    palette: bytes = b"",
    after: Sequence[tuple[bytes, bytes]] = (),
) -> bytes:
    """A PNG file of numbers (H, W) or (H, W, channels), with chunks before and after its pixels."""
    array = array[..., None] if array.ndim == 2 else array
    h, w, channels = array.shape
    kind = 3 if palette else COLOUR_TYPES[channels]
    header = struct.pack(">IIBBBBB", w, h, bits or 8 * array.itemsize, kind, 0, 0, int(interlaced))
    passes = [array[top::down, left::across] for top, left, down, across in ADAM7] if interlaced else [array]
    lines = b"".join(_lines(part, bits) for part in passes if part.size)
    chunks = [
        (b"IHDR", header),
        *([(b"PLTE", palette)] if palette else []),
        *before,
        (b"IDAT", zlib.compress(lines)),
        *after,
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def _lines(part: np.ndarray, bits: int) -> bytes:
    """Lines that each begin with the filter "none"."""
    rows = part.reshape(len(part), -1)
    if bits and bits < 8:
        data = np.frombuffer(rows_of_bits(rows, bits), np.uint8).reshape(len(rows), -1)
    else:
        data = rows.astype(rows.dtype.newbyteorder(">")).view(np.uint8).reshape(len(rows), -1)
    return np.pad(data, ((0, 0), (1, 0))).tobytes()


def png_pixels(data: bytes) -> np.ndarray:
    """The numbers (H, W, channels) of a PNG file of 8 or 16 bits that is not interlaced and has no palette."""
    w, h, bits, kind = struct.unpack(">IIBB", data[16:26])
    channels = {number: count for count, number in COLOUR_TYPES.items()}[kind]
    at, packed = 8, b""
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        packed += data[at + 8 : at + 8 + length] if data[at + 4 : at + 8] == b"IDAT" else b""
        at += 12 + length
    step = channels * bits // 8
    lines = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(h, 1 + w * step)
    out = np.zeros((h + 1, (w + 1) * step), np.int64)  # a line above and a pixel to the left of zeros
    for y in range(h):
        row, above, filter_ = out[y + 1], out[y], lines[y, 0]
        for x in range(step, (w + 1) * step):
            a, b, c = int(row[x - step]), int(above[x]), int(above[x - step])
            nearest = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
            row[x] = (int(lines[y, x - step + 1]) + (0, a, b, (a + b) // 2, nearest)[filter_]) & 255
    numbers = out[1:, step:].astype(np.uint8)
    deep = numbers.tobytes()
    return (
        np.frombuffer(deep, np.uint8 if bits == 8 else np.dtype(">u2")).reshape(h, w, channels).astype(f"u{bits // 8}")
    )


def segment(marker: int, data: bytes) -> bytes:
    """A segment of a JPEG file (ITU-T T.81, annex B)."""
    return bytes([255, marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg(image: np.ndarray | Image.Image, *segments: bytes, **options: Any) -> bytes:
    """A JPEG file with segments of one's own in front of all others."""
    data = pillow(image, "JPEG", **{"quality": 95, "subsampling": 0, **options})
    return data[:2] + b"".join(segments) + data[2:]


def xmp_segment(xmp: bytes) -> bytes:
    """The segment of a JPEG file that holds XMP."""
    return segment(0xE1, XMP_MARKER + xmp)


def photoshop(*resources: tuple[int, bytes]) -> bytes:
    """Photoshop's resources, as they stand in APP13 of a JPEG file behind a marker, and in tag 34377 of a TIFF file."""
    parts = (
        b"8BIM" + struct.pack(">HHI", number, 0, len(data)) + data + bytes(len(data) % 2) for number, data in resources
    )
    return b"".join(parts)


def iptc(**records: bytes) -> bytes:
    """IPTC records of the application record, by names such as `r120` for the caption (IPTC-IIM 4.2)."""
    parts = (
        b"\x1c\x02" + bytes([int(name[1:])]) + struct.pack(">H", len(data)) + data for name, data in records.items()
    )
    return b"".join(parts)


def bmp(
    body: bytes, size: tuple[int, int], bits: int, *, compression: int = 0, more: bytes = b"", header: int = 40
) -> bytes:
    """A BMP file (H, W) with the header of Windows 3; `more` stands between header and pixels: masks, or a palette.

    A negative height says that the first row is the uppermost one.
    """
    h, w = size
    head = struct.pack("<IiiHHIIiiII", header, w, h, 1, bits, compression, len(body), 2835, 2835, 0, 0) + more
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(body), 0, 0, 14 + len(head)) + head + body


def bmp_rows(numbers: np.ndarray) -> bytes:
    """Rows (h, bytes), the lowest first, each filled up to four bytes."""
    return np.pad(numbers, ((0, 0), (0, -numbers.shape[1] % 4)))[::-1].tobytes()


def box(kind: bytes, data: bytes) -> bytes:
    """A box of a JP2 or HEIF file (ISO/IEC 15444-1, annex I)."""
    return struct.pack(">I", len(data) + 8) + kind + data


def jp2_with(data: bytes, *boxes: bytes, colour: bytes = b"") -> bytes:
    """A JP2 file with more boxes in front of its codestream, and another colour box."""
    out, at = b"", 0
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        length = length or len(data) - at
        part = data[at : at + length]
        if kind == b"jp2h" and colour:
            inner, place = b"", 8
            while place < len(part):
                (size,) = struct.unpack_from(">I", part, place)
                old = part[place : place + size]
                inner += box(b"colr", colour) if old[4:8] == b"colr" else old
                place += size
            part = box(b"jp2h", inner)
        out += (b"".join(boxes) if kind == b"jp2c" else b"") + part
        at += length
    return out


def netpbm(kind: bytes, size: tuple[int, int], most: int, body: bytes) -> bytes:
    """A PGM or PPM file (H, W)."""
    return kind + f"\n# made by hand\n{size[1]} {size[0]}\n{most}\n".encode() + body


def joined(lines: Iterable[bytes]) -> bytes:
    """Lines of bytes with a line's end behind each."""
    return b"".join(line + b"\n" for line in lines)
