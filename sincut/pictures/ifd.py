"""Image file directories: the lists of tags of which TIFF files and EXIF are made (TIFF 6.0, section 2; Exif 3.0).

BigTIFF is the same with 64-bit numbers. A directory is read with the types of its tags, and its values are turned to
little-endian, so that it can be written into any file; Pillow's own would write other types, and move maker notes.
"""

import io
import struct
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

EXIF_IFD, GPS_IFD, INTEROP_IFD = 0x8769, 0x8825, 0xA005
BELOW: Mapping[int, tuple[int, ...]] = {0: (EXIF_IFD, GPS_IFD), EXIF_IFD: (INTEROP_IFD,)}  # tags that hold directories
BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, IFD, LONG8, SLONG8, IFD8 = 1, 2, 3, 4, 5, 7, 13, 16, 17, 18
# Bytes of a value of each type, and of the numbers of which it is made.
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
UNITS = {**SIZES, 5: 4, 10: 4}
# The same as `struct` has them.
FORMS = {1: "B", 3: "H", 4: "L", 5: "L", 6: "b", 8: "h", 9: "l", 10: "l", 11: "f", 12: "d", 13: "L"}
FORMS |= {16: "Q", 17: "q", 18: "Q"}
ENDS = {b"II": "<", b"MM": ">"}
MOST_TAGS = 4096  # in a directory; more is damage
MOST_BYTES = 2**24  # of a value; more is no text or number, but another picture
RAW = {0x83BB, 0x8649}  # IPTC and Photoshop's blocks: bytes in their own order, whatever type they are given
IN_UNICODE = {0x9286, 0x001B, 0x001C}  # UserComment and two texts of GPS: after "UNICODE" in the order of the file
ALIGNMENT = 8  # bytes; lists of tags begin at multiples of it in BigTIFF, and at even places in TIFF


class Entry(NamedTuple):
    """A tag's value: its type, how many there are, their bytes in little-endian order; or a directory `below`."""

    kind: int
    length: int
    data: bytes = b""
    below: "Directory | None" = None
    place: int = 0  # where the tag stands in the file it was read from
    at: int = 0  # where its value, or the directory, stands there


Directory = dict[int, Entry]


@dataclass
class Stream:
    """A TIFF stream that is open for reading: a file, or the bytes of EXIF. Raises ValueError where it is none."""

    file: BinaryIO
    order: str = "<"  # of its numbers, in the words of `struct`
    big: bool = False  # with 64-bit numbers
    start: int = 0  # where its first directory stands
    size: int = 0
    damaged: bool = False  # some tag could not be read

    def __post_init__(self) -> None:
        self.size = self.file.seek(0, 2)
        self.file.seek(0)
        header = self.file.read(16)
        if header[:2] not in ENDS or len(header) < 8:
            raise ValueError("no TIFF stream")
        self.order = ENDS[header[:2]]
        self.big = struct.unpack_from(f"{self.order}H", header, 2)[0] == 43
        if self.big and len(header) < 16:
            raise ValueError("no BigTIFF stream")
        (self.start,) = struct.unpack_from(self.order + self.number, header, 8 if self.big else 4)

    @property
    def number(self) -> str:
        """The type of places and counts of values, in the words of `struct`."""
        return "Q" if self.big else "L"

    @property
    def entry(self) -> int:
        """Bytes of a tag in a list."""
        return 20 if self.big else 12

    def rows(self, start: int) -> tuple[list[tuple[int, bytes]], int]:
        """The place and the bytes of each tag of the directory at `start`, and where the next directory stands.

        Raises ValueError where no directory can be there.
        """
        head = 8 if self.big else 2
        many = struct.unpack(self.order + ("Q" if self.big else "H"), self._bytes(start, head))[0]
        if many > MOST_TAGS:
            raise ValueError(f"a directory of {many} tags")
        data = self._bytes(start + head, many * self.entry)
        first = start + head
        places = range(first, first + len(data), self.entry)
        rows = [(place, data[place - first : place - first + self.entry]) for place in places]
        try:
            (following,) = struct.unpack(self.order + self.number, self._bytes(first + len(data), 8 if self.big else 4))
        except ValueError:  # the last list of a stream that was cut off
            following, self.damaged = 0, True
        return rows, following

    def directory(self, start: int, tag: int = 0, left_out: Collection[int] = ()) -> Directory:
        """The directory at `start`, which a `tag` points to, but for tags `left_out`. Raises ValueError.

        Tags that cannot be read are left out, and the stream is `damaged` then.
        """
        entries: Directory = {}
        for place, row in self.rows(start)[0]:
            own = struct.unpack_from(f"{self.order}H", row)[0]
            if own in left_out:
                continue
            try:
                entries[own] = self._entry(own, tag, place, row)
            except (ValueError, struct.error):
                self.damaged = True
        return entries

    def end(self, start: int, directory: Directory) -> int:
        """Where the last of a directory's own bytes ends, those of values and of directories below among them."""
        rows, _ = self.rows(start)
        ends = [start + (16 if self.big else 6) + len(rows) * self.entry]
        for entry in directory.values():
            ends.append(entry.at + len(entry.data) if entry.below is None else self.end(entry.at, entry.below))
        return max(ends)

    def _entry(self, own: int, tag: int, place: int, row: bytes) -> Entry:
        kind, count = struct.unpack_from(f"{self.order}H{self.number}", row, 2)
        inline, room = (place + 12, 8) if self.big else (place + 8, 4)
        size = SIZES[kind] * count if kind in SIZES else -1
        if not 0 <= size <= MOST_BYTES:
            raise ValueError(f"tag {own}")
        at = inline if size <= room else struct.unpack_from(self.order + self.number, row, inline - place)[0]
        data = self._bytes(at, size)
        if own in BELOW.get(tag, ()):
            (start,) = struct.unpack_from(self.order + ("L" if SIZES[kind] == 4 else "Q"), data)
            return Entry(LONG, 1, b"", self.directory(start, own), place, start)
        return Entry(kind, count, self._little(own, kind, data), None, place, at)

    def _little(self, tag: int, kind: int, data: bytes) -> bytes:
        """A value's bytes in little-endian order."""
        if self.order == "<" or tag in RAW:
            return data
        if tag in IN_UNICODE and data.startswith(b"UNICODE\0"):
            return data[:8] + _swapped(data[8:], 2)
        return _swapped(data, UNITS[kind])

    def _bytes(self, at: int, size: int) -> bytes:
        """So many bytes at a place. Raises ValueError where the stream does not have them."""
        if at + size > self.size:
            raise ValueError("beyond the end")
        self.file.seek(at)
        return self.file.read(size)


def stream_of(data: bytes) -> Stream:
    """Bytes of EXIF, with or without the marker in front, as a stream. Raises ValueError."""
    return Stream(io.BytesIO(data.removeprefix(b"Exif\0\0")))


def packed(directory: Directory, offset: int, big: bool = False) -> bytes:
    """The bytes of a little-endian directory that will stand at `offset` of a file, its values behind it.

    Tags that BigTIFF alone can hold are narrowed where it is none, or left out.
    """
    entries = directory if big else {tag: narrow for tag, entry in directory.items() if (narrow := _narrowed(entry))}
    head, number, room = (8, "<Q", 8) if big else (2, "<L", 4)
    values, rows = bytearray(), list[bytes]()
    start = offset + head + len(entries) * (4 + 2 * room) + room
    for tag, entry in sorted(entries.items()):
        at = start + len(values)
        if entry.below is not None:
            values += bytes(-at % (ALIGNMENT if big else 2))
            at = start + len(values)
            values += packed(entry.below, at, big)
            data, kind, count = struct.pack(number, at), LONG8 if big else LONG, 1
        else:
            data, kind, count = entry.data, entry.kind, entry.length
            if len(data) > room:
                values += data + bytes(len(data) % 2)
                data = struct.pack(number, at)
        rows.append(struct.pack("<HH", tag, kind) + struct.pack(number, count) + data.ljust(room, b"\0"))
    return struct.pack("<Q" if big else "<H", len(rows)) + b"".join(rows) + bytes(room) + values


def as_exif(directory: Directory) -> bytes:
    """The bytes of EXIF with these tags, as JPEG files hold it."""
    return b"Exif\0\0II*\0\x08\0\0\0" + packed(directory, 8)


def numbers(entry: Entry | None) -> Iterable[float]:
    """The numbers of a value, rationals divided; none of what is no number, and of a division by zero."""
    if entry is None or entry.kind not in FORMS:
        return []
    values = struct.unpack(f"<{entry.length * (2 if entry.kind in (5, 10) else 1)}{FORMS[entry.kind]}", entry.data)
    if entry.kind not in (5, 10):
        return values
    pairs = list(zip(values[::2], values[1::2], strict=True))
    return [a / b for a, b in pairs] if all(b for _, b in pairs) else []


def _swapped(data: bytes, unit: int) -> bytes:
    """Numbers of `unit` bytes each, in the other order; an incomplete one at the end stays."""
    whole = len(data) // unit * unit
    parts = (data[i : i + unit][::-1] for i in range(0, whole, unit))
    return b"".join(parts) + data[whole:] if unit > 1 else data


def _narrowed(entry: Entry) -> Entry | None:
    """A value with 32-bit numbers for 64-bit ones; None where they are too large, or places in a file."""
    if entry.kind not in (LONG8, SLONG8, IFD8):
        return entry
    form = "q" if entry.kind == SLONG8 else "Q"
    values = struct.unpack(f"<{entry.length}{form}", entry.data)
    if entry.kind == IFD8 or any(not 0 <= value < 2**32 for value in values):
        return None
    return entry._replace(kind=LONG, data=struct.pack(f"<{entry.length}L", *values))
