"""EXIF, XMP, IPTC and Photoshop's resources for TIFF files that are written already.

A TIFF file is a list of tags that point to the places of their values; it may stand anywhere in the file (TIFF 6.0,
section 2; BigTIFF is the same with 64-bit numbers). So the new tags go to the end, behind them a list of the old and
the new ones, and the header is pointed to that. Not a byte of the pixels is moved.
"""

import struct
from typing import BinaryIO

from sincut.pictures import exif, photoshop
from sincut.pictures.ifd import ALIGNMENT, BYTE, LONG, Directory, Entry, Stream, packed
from sincut.pictures.picture import Metadata

RESOLUTION = (exif.X_RESOLUTION, exif.Y_RESOLUTION, exif.UNIT)


def add(file: BinaryIO, metadata: Metadata) -> None:
    """Add metadata to an open little-endian TIFF file; without a resolution, the file tells none afterwards."""
    tags = exif.for_tiff(metadata.exif)
    if metadata.xmp:
        tags[exif.XMP_TAG] = Entry(BYTE, len(metadata.xmp), metadata.xmp)
    iptc, rest = photoshop.parted(metadata.photoshop or b"")
    if iptc:  # by its name a row of bytes, but Photoshop writes, and others read, 32-bit numbers
        iptc += bytes(-len(iptc) % 4)
        tags[exif.IPTC_TAG] = Entry(LONG, len(iptc) // 4, iptc)
    if rest:
        tags[exif.PHOTOSHOP_TAG] = Entry(BYTE, len(rest), rest)
    if metadata.dpi:
        tags |= exif.resolution_tags(metadata.dpi)
    add_tags(file, tags, RESOLUTION)


def add_tags(file: BinaryIO, tags: Directory, left_out: tuple[int, ...] = ()) -> None:
    """Add tags to the first picture of a little-endian TIFF or BigTIFF file, in which those `left_out` are replaced.

    All others that it has already stay. Raises OSError of the system.
    """
    stream = Stream(file)
    number, count = ("<Q", "<Q") if stream.big else ("<L", "<H")
    rows, following = stream.rows(stream.start)
    old = {tag: row for _, row in rows if (tag := struct.unpack_from("<H", row)[0]) not in left_out}
    new = {tag: entry for tag, entry in tags.items() if tag not in old}
    if not new and len(old) == len(rows):
        return
    end = file.seek(0, 2)
    end += file.write(bytes(-end % ALIGNMENT))
    file.write(packed(new, end, stream.big))
    added, _ = Stream(file).rows(end)
    old |= {struct.unpack_from("<H", row)[0]: row for _, row in added}
    place = file.seek(0, 2)
    place += file.write(bytes(-place % ALIGNMENT))
    body = b"".join(row for _, row in sorted(old.items()))
    file.write(struct.pack(count, len(old)) + body + struct.pack(number, following))
    file.seek(8 if stream.big else 4)
    file.write(struct.pack(number, place))
