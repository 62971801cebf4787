"""Odd files that decoders garble or lose parts of in silence."""

import re
import struct
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
from PIL import Image

from corpus import profiles
from corpus.files import jpeg, png, segment
from corpus.row import (
    ALPHA,
    DEEP,
    DEEP_ALPHA,
    DEEP_GREY,
    GREY,
    GREYS,
    RGB,
    VALUES,
    Done,
    H,
    Refused,
    Row,
    W,
    deep,
    of_grey,
)
from corpus.tiff_rows import NO_FLOATS, cmyk, colour_map, lab, mapped, of, some_bits, widened
from corpus.tiffs import BYTE, LONG, SHORT, UNDEFINED, Tags, page, tiff

RGBA = np.dstack([RGB, ALPHA])
INKS: Tags = {262: (SHORT, [5]), 338: (SHORT, [])}
INKS_AND_ALPHA: Tags = {262: (SHORT, [5]), 338: (SHORT, [2])}
IN_LAB: Tags = {262: (SHORT, [8])}
NO_INKS = Refused(("CMYK", "sincut[large]"))


def _on_its_side(number: int, array: np.ndarray, tags: Tags | None = None) -> bytes:
    """A TIFF file, not compressed and in one strip, which Pillow maps into memory, of a picture on its side."""
    laid: dict[int, Callable[[np.ndarray], np.ndarray]] = {
        5: lambda a: a.swapaxes(0, 1),
        6: np.rot90,
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
        8: lambda a: np.rot90(a, -1),
    }
    return of(np.ascontiguousarray(laid[number](array)), (tags or {}) | {274: (SHORT, [number])})


ON_THEIR_SIDES = [
    *(
        Row(f"grey-turned-{n}.tif", lambda n=n: _on_its_side(n, GREY), Done(of_grey(GREY), (GREYS, "upright")))  # type: ignore[misc]
        for n in (5, 6, 7, 8)
    ),
    Row("alpha-turned.tif", lambda: _on_its_side(6, RGBA), Done(RGB, ("upright",), ALPHA)),
    Row("inks-turned.tif", lambda: _on_its_side(8, cmyk(255, np.uint8), INKS), Done(RGB, ("CMYK", "upright"), off=1)),
    Row(
        "palette-turned.tif",
        lambda: _on_its_side(6, some_bits(8).astype(np.uint8), colour_map(8)),
        Done(mapped(8), ("mode P", "upright"), off=1),
    ),
    deep("grey16-turned.tif", lambda: _on_its_side(6, DEEP_GREY), of_grey(DEEP_GREY), GREYS, "upright"),
]

SPACES = [
    Row(
        "inks-alpha.tif",
        lambda: of(np.dstack([cmyk(255, np.uint8), ALPHA]), INKS_AND_ALPHA),
        Done(RGB, ("CMYK",), ALPHA, off=1),
        NO_INKS,
    ),
    Row(
        "inks16-alpha.tif",
        lambda: of(
            np.dstack([cmyk(65535, np.uint16), DEEP_ALPHA]),
            INKS_AND_ALPHA | {34675: (UNDEFINED, profiles.inks_profile())},
        ),
        Done(DEEP, ("CMYK", "ICC profile"), DEEP_ALPHA, off=1.5),
        NO_INKS,
    ),
    # Prepress programs can say that the largest number is no ink.
    Row(
        "inks-upside-down.tif",
        lambda: of(255 - cmyk(255, np.uint8), INKS | {336: (BYTE, [255, 0])}),
        Refused(("DotRange",)),
    ),
    Row(
        "float-inks.tif",
        lambda: of(np.dstack([1 - VALUES, VALUES[..., 0] * 0]).astype(np.float32), INKS),
        Refused(("floating", "CMYK")),
    ),
    Row("lab-planar.tif", lambda: of(lab(8), IN_LAB, planar=True), Refused(("Lab", "planes"))),
    Row("lab16-planar.tif", lambda: of(lab(16), IN_LAB, planar=True), Refused(("Lab", "planes"))),
    Row("lab16-alpha.tif", lambda: of(np.dstack([lab(16), DEEP_ALPHA]), IN_LAB), Refused(("Lab", "channels"))),
    Row(
        "half-float-lab.tif",
        lambda: of(profiles.lab_of(VALUES).astype(np.float16), IN_LAB),
        Refused(("floating", "Lab")),
    ),
    Row(
        "seven-channels.tif",
        lambda: of(np.dstack([RGBA, RGB]), {262: (SHORT, [1]), 338: (SHORT, [0] * 6)}),
        Done(of_grey(RGB[..., 0]), (GREYS, "channels were dropped")),
        Refused(("greys", "sincut[large]")),
    ),
    Row("no-colours-told.tif", lambda: of(RGB, {262: (SHORT, [])}), Refused(("colours",))),
]


def _with_hole(values: np.ndarray) -> np.ndarray:
    """Floats of which one is none, as where a scan or a map has no data."""
    holed = values.astype(np.float32)
    holed[3, 4] = np.nan
    return holed


FLOATS = [
    Row("float-not-a-number.tif", lambda: of(_with_hole(VALUES)), Refused(("0..1",)), NO_FLOATS),
    Row("float-grey-not-a-number.tif", lambda: of(_with_hole(VALUES[..., 1])), Refused(("0..1",))),
]

PAGES = [
    Row("volume.tif", lambda: of(RGB, {32997: (LONG, [3])}), Refused(("3 slices",))),
    Row("flat-volume.tif", lambda: of(RGB, {32997: (LONG, [1]), 32998: (LONG, [1])}), Done(RGB)),
    # GDAL keeps what is transparent as a page of its own.
    Row(
        "mask-behind.tif",
        lambda: tiff(page(RGB), page(some_bits(1), {254: (LONG, [4]), 262: (SHORT, [4])}, bits=1)),
        Done(RGB, ("only the first",)),
    ),
    Row(
        "fill-order.tif",
        lambda: tiff(
            page(some_bits(1), {266: (SHORT, [2])}, bits=1)._replace(
                blocks=[np.packbits(some_bits(1).astype(np.uint8), axis=1, bitorder="little").tobytes()]
            )
        ),
        Done(widened(1), (GREYS,)),
    ),
]

SHORT_OF_PIXELS = Refused(("damaged", "pixels are missing"), damaged=True)
LOST_PIXELS = Refused(("damaged", "a part of its pixels is missing"), damaged=True)
NO_USE = ("ICC profile is damaged",)


def _taller(data: bytes) -> bytes:
    """A JPEG file that says that it is three times as high."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">H", 3 * H) + data[at + 2 :]


def _intervals(data: bytes) -> list[bytes]:
    """A JPEG file of one scan, cut in front of its restart markers and of its end."""
    start = data.index(b"\xff\xda")
    places = [match.start() for match in re.finditer(rb"\xff[\xd0-\xd7\xd9]", data[start:])]
    return [data[a:b] for a, b in pairwise([0, *(start + place for place in places), len(data)])]


def _without_interval(number: int) -> bytes:
    """A JPEG file of which an interval between two restart markers is lost."""
    parts = _intervals(jpeg(RGB, restart_marker_blocks=2))
    return b"".join(parts[:number] + parts[number + 1 :])


def _swapped_intervals() -> bytes:
    """A JPEG file of which two intervals stand in each other's place."""
    parts = _intervals(jpeg(RGB, restart_marker_rows=1))
    return b"".join([parts[0], parts[2], parts[1], *parts[3:]])


def _flipped_in_marker() -> bytes:
    """A JPEG file with a flipped bit that makes a restart marker one byte of the picture's data."""
    data = jpeg(RGB, restart_marker_rows=1)
    return data.replace(b"\xff\xd1", b"\x7f\xd1", 1)


def _fewer_scans(count: int) -> bytes:
    """A progressive JPEG file without its last scans."""
    data = jpeg(RGB, progressive=True)
    places = [match.start() for match in re.finditer(rb"\xff\xc4|\xff\xda", data)]
    scans = [place for place in places if data[place + 1] == 0xDA]
    tables = max(place for place in places if place < scans[-count] and place > scans[-count - 1])  # of that scan
    return data[:tables] + b"\xff\xd9"


def _inks_without_marker() -> bytes:
    """A CMYK JPEG file that does not say whose numbers these are."""
    data = jpeg(Image.fromarray(np.dstack([255 - RGB, 0 * RGB[..., 0]]), "CMYK"))
    at = data.index(b"\xff\xee")
    return data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]


def _with_key(bits: int) -> bytes:
    """A PNG file of greys, of which the one of number 1 is transparent."""
    return png(some_bits(bits), (b"tRNS", b"\0\1"), bits=bits)


def _alpha_of_key(bits: int) -> np.ndarray:
    return np.where(some_bits(bits) == 1, 0, 255).astype(np.uint8)


PNGS = [
    *(Row(f"key-grey{n}.png", partial(_with_key, n), Done(widened(n), (GREYS,), _alpha_of_key(n))) for n in (1, 2, 4)),
    Row("profile-that-is-none.png", lambda: png(RGB, (b"iCCP", b"x\0\0no zlib")), Done(RGB, NO_USE)),
    Row(
        "no-width.png",
        lambda: png(RGB).replace(struct.pack(">I", W), bytes(4), 1),
        Refused(("damaged", "header"), None),
    ),
    Row("sent-as-text.png", lambda: png(RGB).replace(b"\r\n", b"\n"), Refused(("damaged", "header"), None)),
]
JPEGS = [
    # As tools make it that recover files from a card: the rest is lost, and an end put behind what is left.
    Row("half-with-end.jpg", lambda: jpeg(RGB)[: len(jpeg(RGB)) // 2] + b"\xff\xd9", SHORT_OF_PIXELS),
    Row("half-grey-with-end.jpg", lambda: jpeg(GREY)[: len(jpeg(GREY)) // 2] + b"\xff\xd9", SHORT_OF_PIXELS),
    Row("height-lies.jpg", lambda: _taller(jpeg(RGB)), SHORT_OF_PIXELS),
    *(Row(f"interval-{n}-lost.jpg", partial(_without_interval, n), LOST_PIXELS) for n in (1, 3, 5)),
    Row("intervals-swapped.jpg", _swapped_intervals, LOST_PIXELS),
    Row("restart-flipped.jpg", _flipped_in_marker, LOST_PIXELS),
    Row("last-scan-lost.jpg", partial(_fewer_scans, 1), Done(RGB, ("less sharp",), off=4)),
    Row("cmyk-unmarked.jpg", _inks_without_marker, Done(RGB, ("CMYK", "taken as inverted"), off=2)),
    Row("of-one-grey.jpg", lambda: jpeg(0 * RGB + 128), Done(0 * RGB + 128, off=1)),
    Row(
        "part-of-profile.jpg",
        lambda: jpeg(RGB, segment(0xE2, b"ICC_PROFILE\0\1\3" + bytes(200))),
        Done(RGB, NO_USE, off=2),
    ),
]

UNREAD = {
    "drawing-named.png": (b"<?xml version='1.0'?>\n<!-- by hand -->\n<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
    "scan-named.jpg": (bytes(128) + b"DICM" + bytes(100), "DICOM"),
    "print-named.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
    "icon.icns": (b"icns" + bytes(60), "icon"),
    "screen.tga": (bytes([0, 0, 2]) + bytes(9) + struct.pack("<HHBB", W, H, 24, 0) + RGB.tobytes(), "TGA"),
    "screen.pcx": (bytes([10, 5, 1, 8]) + bytes(200), "PCX"),
    "old.sgi": (b"\x01\xda\0\1" + bytes(200), "SGI"),
    "drawing.emf": (struct.pack("<II", 1, 108) + bytes(32) + b" EMF" + bytes(60), "metafile"),
    "beside.jpg": (b"\0\5\x16\7\0\2\0\0" + bytes(60), "AppleDouble"),
}
OTHERS = [
    *(Row(name, partial(bytes, data), Refused((word,))) for name, (data, word) in UNREAD.items()),
    Row(
        "two-in-one.ppm",
        lambda: 2 * (b"P6\n%d %d\n255\n" % (W, H) + RGB.tobytes()),
        Done(RGB, ("behind the picture",)),
    ),
    Row(
        "bits.pbm",
        lambda: b"P4\n%d %d\n" % (W, H) + np.packbits(1 - some_bits(1), axis=1).tobytes(),
        Done(widened(1), (GREYS,)),
    ),
]

ROWS = [*PNGS, *JPEGS, *OTHERS, *ON_THEIR_SIDES, *SPACES, *FLOATS, *PAGES]
