"""Metadata put into files whose pixels are written already, the same way whoever has written them.

JPEG, PNG and TIFF files are given EXIF, XMP, IPTC, comments and texts here, byte for byte as they were read; encoders
write the profile and the resolution alone, as they would write the rest anew in their own way. The encoders of WebP and
AVIF take EXIF and XMP as they are.
"""

from typing import BinaryIO

from sincut.pictures import chunks, segments, tiff_exif
from sincut.pictures.picture import Metadata

DRESSED = {"JPEG", "PNG", "TIFF"}  # formats, by Pillow's names
AT_ONCE = 2**24  # bytes that are moved in one step


def dress(file: BinaryIO, format_: str, metadata: Metadata) -> None:
    """Put metadata into a file of these formats, open for reading and writing. Raises OSError of the system.

    Without a resolution in the metadata, the one that an encoder has made up is taken out.
    """
    if format_ == "JPEG":
        head = segments.jfif(metadata.dpi)  # libvips writes a resolution into EXIF alone
        body = segments.written(metadata.exif, metadata.xmp, metadata.photoshop, metadata.comments)
        splice(file, 2, segments.end_of_jfif(file) - 2, head + body)
    elif format_ == "PNG":
        if not metadata.dpi and (density := chunks.density_in(file)):
            splice(file, density[0], density[1] - density[0], b"")
        body = chunks.written(metadata.exif, metadata.xmp, metadata.photoshop, metadata.chunks)
        splice(file, chunks.HEADER_END, 0, body)
    elif format_ == "TIFF":
        tiff_exif.add(file, metadata)


def splice(file: BinaryIO, at: int, old: int, new: bytes) -> None:
    """Put `new` in the place of `old` bytes of a file; what follows is moved."""
    shift, end = len(new) - old, file.seek(0, 2)
    if shift > 0:
        for last in range(end, at + old, -AT_ONCE):
            _move(file, max(at + old, last - AT_ONCE), last, shift)
    elif shift < 0:
        for first in range(at + old, end, AT_ONCE):
            _move(file, first, min(first + AT_ONCE, end), shift)
        file.truncate(end + shift)
    file.seek(at)
    file.write(new)


def _move(file: BinaryIO, first: int, last: int, shift: int) -> None:
    file.seek(first)
    data = file.read(last - first)
    file.seek(first + shift)
    file.write(data)
