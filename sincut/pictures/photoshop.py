"""IPTC and Photoshop's image resources, as JPEG (APP13), TIFF and PNG files hold them.

Resources are blocks of "8BIM", a number, a name and bytes (Adobe Photoshop File Formats Specification, "Image Resources
Section"); IPTC (IIM 4) is the one numbered 0x0404. They are kept as they are, without those that hold pictures, or
repeat what a file holds elsewhere.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

SIGNATURES = (b"8BIM", b"MeSa", b"AgHg", b"PHUT", b"DCSR")
IPTC = 0x0404
THUMBNAILS = {0x0409, 0x040C}
# Resources that are written anew elsewhere, or speak of pixels that are no more: colour tables, layers, ICC, EXIF, XMP.
ELSEWHERE = {0x0400, 0x0402, 0x0403, 0x040F, 0x0410, 0x0416, 0x0417, 0x0422, 0x0423, 0x0424, 0x0430, 0x043D}
PATHS = range(0x07D0, 0x0BB8)  # and the name of the clipping path
PATHS_DROPPED = "its clipping paths were dropped, as it was turned upright"
DAMAGED = "some of its IPTC and Photoshop data is damaged and was left out"


class Kept(NamedTuple):
    """Resource blocks that go into the translation, and notes on others."""

    blocks: bytes | None
    notes: list[str]


def blocks_of(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Number, contents, and all bytes of each resource; of damaged data those that are whole."""
    at = 0
    while data[at : at + 4] in SIGNATURES and at + 12 <= len(data):
        (number,) = struct.unpack_from(">H", data, at + 4)
        name = 1 + data[at + 6]
        start = at + 6 + name + name % 2
        if start + 4 > len(data):
            return
        (size,) = struct.unpack_from(">L", data, start)
        contents = data[start + 4 : start + 4 + size]
        if len(contents) < size:
            return
        end = start + 4 + size + size % 2
        yield number, contents, data[at:end].ljust(end - at, b"\0")
        at = end


def kept(data: bytes, turned: bool) -> Kept:
    """The resources of a picture that a translation keeps; paths are left out where it is `turned`."""
    parts, whole, paths = list[bytes](), 0, False
    for number, _, block in blocks_of(data):
        whole += len(block)
        if number in THUMBNAILS or number in ELSEWHERE:
            continue
        if turned and number in PATHS:
            paths = True
            continue
        parts.append(block)
    notes = [PATHS_DROPPED] if paths else []
    if data[whole:].strip(b"\0"):
        notes.append(DAMAGED)
    return Kept(b"".join(parts) or None, notes)


def with_iptc(blocks: bytes, iptc: bytes | None) -> bytes:
    """Resources with this IPTC in the place of theirs."""
    if not iptc:
        return blocks
    rest = b"".join(block for number, _, block in blocks_of(blocks) if number != IPTC)
    return block(IPTC, iptc) + rest


def parted(blocks: bytes) -> tuple[bytes, bytes]:
    """IPTC, and the other resources, which TIFF files hold apart."""
    iptc = b"".join(contents for number, contents, _ in blocks_of(blocks) if number == IPTC)
    return iptc, b"".join(block for number, _, block in blocks_of(blocks) if number != IPTC)


def block(number: int, contents: bytes) -> bytes:
    """A resource without a name."""
    return b"8BIM" + struct.pack(">HHL", number, 0, len(contents)) + contents + bytes(len(contents) % 2)
