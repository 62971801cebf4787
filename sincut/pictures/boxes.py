"""Metadata in boxes: of HEIC and AVIF (ISO/IEC 14496-12, 23008-12), and of JPEG 2000 (ISO/IEC 15444-1, annex I).

And chunks of WebP, which are boxes too (https://developers.google.com/speed/webp/docs/riff_container).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from sincut.pictures import photoshop
from sincut.pictures.segments import CREDENTIALS_DROPPED, GAIN_MAP_DROPPED, VIDEO_DROPPED

XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
EXIF = (b"JpgTiffExif->JP2", bytes.fromhex("0537cdab9d0c4431a72afa561f2a113e"))
IPTC = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")
PHOTOSHOP = bytes.fromhex("2c4c0100850440b9a03e562148d6dfeb")
CREDENTIALS = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
MOST_BYTES = 2**26  # of a box of metadata
MOST_BOXES = 100_000
ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1", b"urn:mpeg:avc:2015:auxid:1")
DEPTH = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:depth", b"urn:mpeg:hevc:2015:auxid:2", b"urn:mpeg:avc:2015:auxid:2")
DEPTH_DROPPED = "its depth map was dropped"
OTHERS_DROPPED = "other pictures behind the picture, such as mattes, were dropped"
OF_WEBP = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP", b"EXIF", b"XMP "}
PROFILE, ANY_PROFILE = 2, 3  # methods of JPEG 2000's colour box


@dataclass
class Boxes:
    """What boxes hold beside pixels."""

    icc: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""
    photoshop: bytes = b""
    code_points: tuple[int, int] | None = None  # primaries and transfer of the picture's colours (ITU-T H.273)
    notes: list[str] = field(default_factory=list)  # on what a translation leaves out


def of_heif(file: BinaryIO) -> Boxes:
    """Colours of an open HEIC or AVIF file, and notes on pictures behind its picture; damage reads as nothing."""
    boxes = Boxes()
    for kind, data in _top(file, (b"meta", b"uuid", b"mpvd")):
        if kind == b"uuid" and data.startswith(CREDENTIALS):
            boxes.notes.append(CREDENTIALS_DROPPED)
        elif kind == b"mpvd":
            boxes.notes.append(VIDEO_DROPPED)
        elif kind == b"meta":
            try:
                _take_meta(boxes, data[4:])
            except (struct.error, IndexError):
                continue
    boxes.notes = list(dict.fromkeys(boxes.notes))
    return boxes


def of_jpeg2000(file: BinaryIO) -> Boxes:
    """Metadata of an open JPEG 2000 file; a bare codestream has none."""
    boxes, others = Boxes(), list[str]()
    for kind, data in _top(file, (b"jp2h", b"uuid", b"xml ", b"jumb")):
        if kind == b"jp2h":
            for inner, colour in _inside(data):
                if inner == b"colr" and colour[:1] and colour[0] in (PROFILE, ANY_PROFILE):
                    boxes.icc = boxes.icc or colour[3:]
        elif kind == b"jumb":
            others.append(CREDENTIALS_DROPPED if b"c2pa" in data else "its box jumb was dropped")
        elif kind == b"xml ":
            others.append("its XML was dropped")
        elif data.startswith(XMP):
            boxes.xmp = data[16:]
        elif data.startswith(EXIF):
            boxes.exif = b"Exif\0\0" + data[16:].removeprefix(b"Exif\0\0")
        elif data.startswith(IPTC):
            boxes.photoshop += photoshop.block(photoshop.IPTC, data[16:])
        elif data.startswith(PHOTOSHOP):
            boxes.photoshop += data[16:]
        else:
            others.append("a box of it that is not known was dropped")
    boxes.notes = list(dict.fromkeys(others))
    return boxes


def notes_of_webp(file: BinaryIO) -> list[str]:
    """Notes on what a translation leaves out of an open WebP file: chunks that are none of the format's own."""
    size, at, others = file.seek(0, 2), 12, list[str]()
    for _ in range(MOST_BOXES):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8 or at >= size:
            break
        kind, length = struct.unpack("<4sL", head)
        if kind not in OF_WEBP:
            name = kind.decode("latin-1")
            others.append(CREDENTIALS_DROPPED if name == "C2PA" else f"its chunk {name!a} was dropped")
        at += 8 + length + length % 2
    return list(dict.fromkeys(others))


def _take_meta(boxes: Boxes, data: bytes) -> None:
    """Look at the items of a file, and at what belongs to the first of them, which is the picture."""
    inner = dict(_inside(data))
    pitm = inner.get(b"pitm", b"")
    primary = struct.unpack_from(">H" if pitm[:1] == b"\0" else ">L", pitm, 4)[0] if pitm else 0
    properties = [*_inside(dict(_inside(inner.get(b"iprp", b""))).get(b"ipco", b""))]
    owned = _owned(dict(_inside(inner.get(b"iprp", b""))).get(b"ipma", b""))
    for index in owned.get(primary, []):
        kind, contents = properties[index - 1] if 0 < index <= len(properties) else (b"", b"")
        if kind == b"colr" and contents[:4] == b"nclx":
            boxes.code_points = struct.unpack_from(">HH", contents, 4)
        elif kind == b"colr" and contents[:4] in (b"prof", b"rICC"):
            boxes.icc = contents[4:]
    if any(kind == b"tmap" for kind in _items(inner.get(b"iinf", b""))):
        boxes.notes.append(GAIN_MAP_DROPPED)
    for kind, contents in properties:
        if kind == b"auxC":
            what = contents[4:].split(b"\0")[0]
            if what in DEPTH:
                boxes.notes.append(DEPTH_DROPPED)
            elif b"gainmap" in what.lower():
                boxes.notes.append(GAIN_MAP_DROPPED)
            elif what not in ALPHA:
                boxes.notes.append(OTHERS_DROPPED)


def _owned(data: bytes) -> dict[int, list[int]]:
    """The numbers of the properties of each item, from 1, by a box `ipma`."""
    if not data:
        return {}
    wide, (count,) = bool(data[3] & 1), struct.unpack_from(">L", data, 4)
    at, owned = 8, dict[int, list[int]]()
    for _ in range(min(count, MOST_BOXES)):
        item = struct.unpack_from(">L" if data[0] else ">H", data, at)[0]
        at += 4 if data[0] else 2
        many = data[at]
        at += 1
        numbers = struct.unpack_from(f">{many}{'H' if wide else 'B'}", data, at)
        at += many * (2 if wide else 1)
        owned[item] = [number & (0x7FFF if wide else 0x7F) for number in numbers]
    return owned


def _items(data: bytes) -> Iterator[bytes]:
    """The type of each item, by a box `iinf`."""
    if not data:
        return
    for kind, contents in _inside(data[6 if data[0] == 0 else 8 :]):
        if kind == b"infe" and contents[:1] >= b"\2":
            at = 4 + (2 if contents[0] == 2 else 4) + 2
            yield contents[at : at + 4]


def _top(file: BinaryIO, wanted: tuple[bytes, ...]) -> Iterator[tuple[bytes, bytes]]:
    """Kind and contents of the wanted boxes of an open file, those that are too long without their contents."""
    for kind, start, length in places(file):
        if kind in wanted:
            file.seek(start)
            yield kind, file.read(min(length, MOST_BYTES))


def places(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Kind of each box of an open file, where its contents begin, and how many bytes they are."""
    size, at = file.seek(0, 2), 0
    for _ in range(MOST_BOXES):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return
        length, kind = struct.unpack_from(">L4s", head)
        start = 8
        if length == 1 and len(head) == 16:
            (length,), start = struct.unpack_from(">Q", head, 8), 16
        length = length or size - at
        if length < start:
            return
        yield kind, at + start, length - start
        at += length


def _inside(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and contents of the boxes in a box."""
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">L4s", data, at)
        length = length or len(data) - at
        if length < 8:
            return
        yield kind, data[at + 8 : at + length]
        at += length
