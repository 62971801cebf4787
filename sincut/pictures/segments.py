"""The segments of a JPEG file that hold metadata (ITU-T T.81, annex B; Exif 3.0; XMP part 3; CIPA DC-007)."""

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from sincut.pictures import xmp

EXIF, XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
MORE_XMP = b"http://ns.adobe.com/xmp/extension/\0"
PHOTOSHOP, ICC, MPF, GAIN_MAP = b"Photoshop 3.0\0", b"ICC_PROFILE\0", b"MPF\0", b"urn:iso:std:iso:ts:21496:-1\0"
# Segments that the encoder writes itself, or that say how another has compressed.
TECHNICAL = {0xE0: (b"JFIF\0", b"JFXX\0"), 0xE2: (ICC, MPF, GAIN_MAP), 0xEC: (b"Ducky",), 0xEE: (b"Adobe",)}
MOST_IN_SEGMENT = 65_533  # bytes (T.81, B.1.1.4)
PART_OF_XMP = 65_400  # bytes of the rest of a long packet in one segment
MARKER = re.compile(
    rb"\xff([\x01-\xcf\xd8-\xfe])"
)  # within compressed data; 00 and D0 to D7 belong to that, more FF may stand in front
COMMENT, END = 0xFE, 0xD9
DIGEST = 32  # characters of the digest that names the rest of a packet
GAIN_MAP_DROPPED = "its HDR gain map was dropped"
BEHIND_DROPPED = "what lies behind the picture in its file was dropped"
VIDEO_DROPPED = "its motion video was dropped"
CREDENTIALS_DROPPED = "its content credentials (C2PA) were dropped, as they are a seal on the source"


@dataclass
class Segments:
    """What the segments of a JPEG file hold beside pixels, profile and technicalities."""

    exif: bytes = b""
    xmp: bytes = b""
    photoshop: bytes = b""
    comments: list[bytes] = field(default_factory=list)
    density: tuple[int, int, int] | None = None  # JFIF's unit, across, down
    profile: bool = False  # it has an ICC profile, or a part of one
    gain_map: bool = False  # it says that it has one
    others: list[str] = field(default_factory=list)  # names of segments that are not known
    behind: bytes = b""  # the first bytes of what lies behind the picture
    damaged: bool = False  # a part of the XMP is missing


def read(file: BinaryIO) -> Segments:
    """The metadata of an open JPEG file. Raises OSError of the system."""
    segments, more = Segments(), dict[bytes, dict[int, bytes]]()
    for marker, contents in _walk(file):
        if marker == END:
            segments.behind = _first_bytes(file)
        else:
            _take(segments, marker, contents, more)
    digest = xmp.digest_of_rest(segments.xmp)
    if digest:
        rest = b"".join(part for _, part in sorted(more.get(digest, {}).items()))
        segments.damaged = not rest
        segments.xmp = xmp.joined(segments.xmp, rest)
    return segments


def notes(segments: Segments, listed: bool = False) -> list[str]:
    """Notes on what a translation leaves out of them; nothing on pictures behind the picture that are `listed`."""
    about, video = list[str](), b"ftyp" in segments.behind[:12] or xmp.has_video(segments.xmp)
    if segments.gain_map and segments.behind:
        about.append(GAIN_MAP_DROPPED)
    if video and segments.behind:
        about.append(VIDEO_DROPPED)
    if segments.behind and not about and not listed:
        about.append(BEHIND_DROPPED)
    if any("c2pa" in name for name in segments.others):
        about.append(CREDENTIALS_DROPPED)
    others = [name for name in dict.fromkeys(segments.others) if "c2pa" not in name]
    if others:
        about.append(f"its segments {', '.join(others)} were dropped")
    if segments.damaged:
        about.append("a part of its XMP is missing")
    return about


def written(exif: bytes | None, packet: bytes | None, resources: bytes | None, comments: Iterable[bytes]) -> bytes:
    """The bytes of segments that hold this metadata; EXIF, and each comment, must fit into one."""
    parts = [(0xE1, exif)] if exif else []
    if packet and len(XMP) + len(packet) > MOST_IN_SEGMENT:
        packet, rest, digest = xmp.split(packet)
        parts.append((0xE1, XMP + packet))
        for at in range(0, len(rest), PART_OF_XMP):
            head = MORE_XMP + digest + struct.pack(">LL", len(rest), at)
            parts.append((0xE1, head + rest[at : at + PART_OF_XMP]))
    elif packet:
        parts.append((0xE1, XMP + packet))
    most = MOST_IN_SEGMENT - len(PHOTOSHOP)
    parts += [(0xED, PHOTOSHOP + (resources or b"")[at : at + most]) for at in range(0, len(resources or b""), most)]
    parts += [(COMMENT, comment) for comment in comments]
    return b"".join(b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data for marker, data in parts)


def end_of_picture(file: BinaryIO) -> int:
    """Where the picture of an open JPEG file ends, behind its end marker; 0 where it has none."""
    return next((file.tell() for marker, _ in _walk(file) if marker == END), 0)


def end_of_jfif(file: BinaryIO) -> int:
    """Where the segment of JFIF ends in an open JPEG file, which has to be the first; 2 where there is none."""
    file.seek(0)
    head = file.read(11)
    return 4 + struct.unpack_from(">H", head, 4)[0] if head[2:4] == b"\xff\xe0" and head[6:11] == b"JFIF\0" else 2


def jfif(dpi: tuple[float, float] | None) -> bytes:
    """The segment of JFIF 1.1 that tells this resolution, in whole dots per inch, or none."""
    across, down = (min(max(1, round(value)), 65_535) for value in dpi or (1, 1))
    return struct.pack(">HH5sHBHHBB", 0xFFE0, 16, b"JFIF\0", 0x0101, 1 if dpi else 0, across, down, 0, 0)


def _take(segments: Segments, marker: int, data: bytes, more: dict[bytes, dict[int, bytes]]) -> None:
    """Put a segment where it belongs."""
    if marker == COMMENT:
        segments.comments.append(data)
    elif marker == 0xE1 and data.startswith(EXIF):
        segments.exif += data[len(EXIF) :] if segments.exif else data
    elif marker == 0xE1 and data.startswith(XMP):
        segments.xmp = segments.xmp or data[len(XMP) :]
        segments.gain_map |= xmp.has_gain_map(data)
    elif marker == 0xE1 and data.startswith(MORE_XMP) and len(data) >= len(MORE_XMP) + DIGEST + 8:
        digest, (_, at) = data[len(MORE_XMP) :][:DIGEST], struct.unpack_from(">LL", data, len(MORE_XMP) + DIGEST)
        more.setdefault(digest, {})[at] = data[len(MORE_XMP) + DIGEST + 8 :]
    elif marker == 0xED and data.startswith(PHOTOSHOP):
        segments.photoshop += data[len(PHOTOSHOP) :]
    elif marker == 0xE0 and data.startswith(b"JFIF\0") and len(data) >= 12:
        segments.density = struct.unpack_from(">BHH", data, 7)
    elif data.startswith(TECHNICAL.get(marker, ())):
        segments.gain_map |= data.startswith(GAIN_MAP)
        segments.profile |= data.startswith(ICC)
    else:
        segments.others.append(_name(marker, data))


def _name(marker: int, data: bytes) -> str:
    """A segment's number and the word with which it begins."""
    if marker == 0xEB and b"jumb" in data:
        return "APP11 (c2pa)" if b"c2pa" in data else "APP11 (JUMBF)"
    word = data[:24].split(b"\0")[0]
    name = word.decode("ascii", "replace") if word.isascii() and word.decode("ascii").isprintable() else ""
    return f"APP{marker - 0xE0}{f' ({name})' if name else ''}"


def _walk(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Marker and contents of the segments of an open JPEG file that hold metadata, and END where its picture ends."""
    file.seek(0)
    if file.read(2) != b"\xff\xd8":
        return
    while marker := _next(file):
        if marker == END:
            yield END, b""
            return
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # stand alone
            continue
        head = file.read(2)
        size = struct.unpack(">H", head)[0] - 2 if len(head) == 2 else -1
        if size < 0:
            return
        if 0xE0 <= marker <= 0xEF or marker == COMMENT:
            contents = file.read(size)
            if len(contents) < size:
                return
            yield marker, contents
        else:
            file.seek(size, 1)


def _next(file: BinaryIO) -> int:
    """The next marker from here on, compressed data skipped; 0 where the file ends before."""
    last = b""
    while part := file.read(2**20):
        data = last + part
        if match := MARKER.search(data):
            file.seek(match.end() - len(data), 1)
            return match[1][0]
        last = data[-1:]
    return 0


def _first_bytes(file: BinaryIO) -> bytes:
    """The first bytes from here on that are not zero."""
    while part := file.read(2**16):
        if data := part.lstrip(b"\0"):
            return (data + file.read(64))[:64]
    return b""
