"""EXIF for TIFF files that libvips has written, which writes none (https://github.com/libvips/libvips).

A TIFF file is a list of tags that point to the places of their values; it may stand anywhere in the file (TIFF 6.0,
section 2; BigTIFF is the same with 64-bit numbers). So the new tags go to the end, behind them a list of the old and
the new ones, and the header is pointed to that. Not a byte of the pixels is moved.
"""

import struct
from typing import BinaryIO

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

EXIF_IFD, GPS_IFD, INTEROP_IFD = 0x8769, 0x8825, 0xA005
LONG, LONG8 = 4, 16  # types of values: where a list of tags stands, in 32 and in 64 bits
LARGEST_POINTER = 2**31  # bytes of a file up to which Pillow's pointers of 32 bits, within EXIF's directory, suffice
ALIGNMENT = 8  # bytes; lists of tags begin at multiples of it in BigTIFF, and at even places in TIFF


def add_exif(file: BinaryIO, exif: Image.Exif) -> None:
    """Add tags to the first picture of a little-endian TIFF or BigTIFF file; those that it has already stay.

    `exif` is as `nested` makes it. Raises OSError, or whatever Pillow raises on tags that mean nothing.
    """
    file.seek(0)
    header = file.read(16)
    big = header[2:4] == b"+\0"
    start_at, number, count, entry = (8, "<Q", "<Q", 20) if big else (4, "<L", "<H", 12)
    (start,) = struct.unpack_from(number, header, start_at)
    old, following = _entries(file, start, number, count, entry)
    tags = ImageFileDirectory_v2(header[: 16 if big else 8])
    for tag, value in exif.items():
        if tag not in old and tag not in (EXIF_IFD, GPS_IFD):
            tags[tag] = value
    end = file.seek(0, 2)
    for tag in (EXIF_IFD, GPS_IFD):
        inner = dict(exif.get_ifd(tag))
        if not isinstance(inner.get(INTEROP_IFD), dict) or end > LARGEST_POINTER:
            inner.pop(INTEROP_IFD, None)
        if inner:
            tags[tag] = inner
    if not len(tags):
        return
    end += file.write(bytes(-end % ALIGNMENT))
    file.write(tags.tobytes(end))
    new, _ = _entries(file, end, number, count, entry)
    if big:
        new = {tag: _wide(data) if tag in (EXIF_IFD, GPS_IFD) else data for tag, data in new.items()}
    merged = sorted((new | old).items())
    place = file.seek(0, 2)
    place += file.write(bytes(-place % ALIGNMENT))
    file.write(struct.pack(count, len(merged)) + b"".join(data for _, data in merged) + struct.pack(number, following))
    file.seek(start_at)
    file.write(struct.pack(number, place))


def nested(exif: Image.Exif) -> Image.Exif:
    """The same tags, the interoperability directory as a value within EXIF's instead of a pointer into another file."""
    if EXIF_IFD in exif and INTEROP_IFD in (inner := exif.get_ifd(EXIF_IFD)):
        inner[INTEROP_IFD] = dict(exif.get_ifd(INTEROP_IFD))
    return exif


def _entries(file: BinaryIO, start: int, number: str, count: str, entry: int) -> tuple[dict[int, bytes], int]:
    """The tags of a list with their bytes in it, and where the next list stands."""
    file.seek(start)
    (many,) = struct.unpack(count, file.read(struct.calcsize(count)))
    data = file.read(many * entry)
    (following,) = struct.unpack(number, file.read(struct.calcsize(number)))
    parts = [data[i : i + entry] for i in range(0, len(data), entry)]
    return {struct.unpack_from("<H", part)[0]: part for part in parts}, following


def _wide(data: bytes) -> bytes:
    """A BigTIFF tag that points to a list of tags, in 64 bits, as that list may stand beyond 4 GB."""
    tag, kind = struct.unpack_from("<HH", data)
    return struct.pack("<HH", tag, LONG8 if kind == LONG else kind) + data[4:]
