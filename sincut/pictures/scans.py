"""The scans of a JPEG file: their restart markers and, where it is progressive, the precision that they bring.

Decoders put grey or shifted blocks where compressed data is lost, and Pillow keeps quiet about it. Restart markers are
numbered, and an encoder writes one after each interval of blocks, so lost ones can be told without decoding (ITU-T
T.81, B.2.1, B.2.4.4, E.1.4 and annex G).
"""

import contextlib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

EOI, SOS, DRI = 0xD9, 0xDA, 0xDD
RESTARTS = range(0xD0, 0xD8)
ALONE = {0x01, *RESTARTS, 0xD8}  # markers without a length
FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # frame headers (T.81, table B.1)
BY_BLOCKS = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}  # of these, those whose data units are blocks of 8x8
PROGRESSIVE = {0xC2, 0xCA}
MARKER = re.compile(rb"\xff([\x01-\xfe])")  # FF 00 is a byte of compressed data
FIRST_PART, PART = 64, 2**20  # bytes that are read at once: for the next segment, within compressed data
LAST = 63  # number of the last coefficient of a block, in zigzag order


class Lost(NamedTuple):
    """Losses in the scans of a JPEG file."""

    pixels: bool = False  # an interval between restart markers is missing or damaged, or all of a component is missing
    precision: bool = False  # scans are missing that make the picture sharper


class _Component(NamedTuple):
    """A component of a frame: its number and sampling factors, across and down."""

    number: int
    across: int
    down: int


@dataclass
class _Frame:
    """What the segments of a JPEG file so far say of its scans."""

    marker: int = 0
    height: int = 0
    width: int = 0
    components: tuple[_Component, ...] = ()
    interval: int = 0  # MCUs between two restart markers; 0: there are none
    bits: dict[tuple[int, int], int] = field(default_factory=dict)  # missing ones of (component, coefficient)

    def take(self, data: bytes) -> None:
        """Take the contents of a frame header (T.81, B.2.2). Raises IndexError."""
        self.height, self.width = int.from_bytes(data[1:3], "big"), int.from_bytes(data[3:5], "big")
        parts = (data[at : at + 3] for at in range(6, 6 + 3 * data[5], 3))
        self.components = tuple(_Component(part[0], part[1] >> 4, part[1] & 15) for part in parts)

    def restarts(self, scan: bytes) -> int | None:
        """Number of restart markers of a scan with this header; None where it does not follow from the frame."""
        named = [scan[1 + 2 * at] for at in range(scan[0])]
        taken = [component for component in self.components if component.number in named]
        if self.marker not in BY_BLOCKS or not self.interval or not self.height or not taken:
            return None
        across, down = (max(factors) for factors in zip(*((c.across, c.down) for c in self.components), strict=True))
        if not across or not down:
            return None
        if len(taken) > 1:
            columns, rows = _parts(self.width, 8 * across), _parts(self.height, 8 * down)
        else:  # blocks of that component alone, without those that fill up the last MCU (T.81, A.2.2)
            columns = _parts(_parts(self.width * taken[0].across, across), 8)
            rows = _parts(_parts(self.height * taken[0].down, down), 8)
        return max(0, (columns * rows - 1) // self.interval)

    def refine(self, scan: bytes) -> None:
        """Write down which bits a scan with this header leaves out (T.81, G.1.1.1). Raises IndexError."""
        count = scan[0]
        first, last, low = scan[1 + 2 * count], scan[2 + 2 * count], scan[3 + 2 * count] & 15
        first, last, low = (first, last, low) if self.marker in PROGRESSIVE else (0, LAST, 0)
        for number, coefficient in itertools.product(scan[1 : 1 + 2 * count : 2], range(first, min(last, LAST) + 1)):
            self.bits[number, coefficient] = low

    @property
    def lacks_component(self) -> bool:
        """True if no scan has anything of some component, though others have."""
        return bool(self.bits) and any((component.number, 0) not in self.bits for component in self.components)

    @property
    def is_unfinished(self) -> bool:
        """True if some coefficients have not all of their bits."""
        wanted = itertools.product((component.number for component in self.components), range(LAST + 1))
        return bool(self.bits) and any(self.bits.get(each, 1) for each in wanted)


def lost(file: BinaryIO) -> Lost:
    """Losses in the scans of an open JPEG file, up to the end of its first picture. Raises OSError of the system.

    A file of one scan without restart markers is read no further than to that scan.
    """
    frame, restarts = _Frame(), False
    file.seek(2)
    with contextlib.suppress(IndexError):  # headers that make no sense are the decoder's to tell
        while (marker := _next(file)) not in (0, EOI):
            if marker in ALONE:
                continue
            data = file.read(max(0, int.from_bytes(file.read(2), "big") - 2))
            if marker in FRAMES:
                frame.marker = marker
                frame.take(data)
            elif marker == DRI:
                frame.interval = int.from_bytes(data[:2], "big")
            elif marker == SOS:
                frame.refine(data)
                if frame.marker not in PROGRESSIVE and not frame.interval and data[0] == len(frame.components):
                    return Lost()
                restarts |= _are_lost(_restarts(file), frame.interval, frame.restarts(data))
    return Lost(restarts or frame.lacks_component, frame.is_unfinished)


def _parts(length: int, size: int) -> int:
    """Number of parts of a size, the last one perhaps smaller, that make up a length."""
    return -(-length // size)


def _are_lost(numbers: list[int], interval: int, count: int | None) -> bool:
    """True if the restart markers of a scan, of these numbers, are not those of its interval, which are `count`.

    More of them are no loss: they belong to blocks below the last line.
    """
    if not interval:
        return bool(numbers)
    wanted = len(numbers) if count is None else count
    return numbers[:wanted] != [at % 8 for at in range(wanted)]


def _restarts(file: BinaryIO) -> list[int]:
    """Numbers, 0 to 7, of the restart markers of the scan that begins here; the file is left at the marker behind it.

    One that stands directly in front of that marker interrupts nothing, and is left out.
    """
    numbers, end = list[int](), -1  # place behind the last restart marker
    for number, place in _markers(file):
        if number not in RESTARTS:
            file.seek(place)
            return numbers[:-1] if place == end else numbers
        numbers.append(number - RESTARTS.start)
        end = place + 2
    return numbers


def _next(file: BinaryIO) -> int:
    """The next marker from here on, the file left behind it; 0 where it ends before."""
    for number, place in _markers(file):
        file.seek(place + 2)
        return number
    return 0


def _markers(file: BinaryIO) -> Iterator[tuple[int, int]]:
    """Numbers and places of all markers from here on, as if nothing but compressed data stood between them."""
    start, size, last = file.tell(), FIRST_PART, b""
    while part := file.read(size):
        data = last + part
        for match in MARKER.finditer(data):
            yield match[1][0], start + match.start()
        last = data[-1:] if data[-1:] == b"\xff" else b""
        start, size = start + len(data) - len(last), PART
