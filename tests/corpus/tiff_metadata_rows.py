"""TIFF files that carry something: resolution, profiles, EXIF, IPTC, XMP, layers; also of floats and of Lab."""

import struct
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from corpus import profiles
from corpus.files import iptc
from corpus.jpeg_rows import ADOBE, CAPTION, DUBLIN, EXIF_IFD, IN_ADOBE, PACKET, RESOURCES
from corpus.row import DEEP, RGB, VALUES, Done, Refused, Row, deep, eight, sixteen
from corpus.tiff_rows import INKS, LINEAR, NO_FLOATS, cmyk, lab, of
from corpus.tiffs import ASCII, BYTE, LONG, RATIONAL, SHORT, UNDEFINED, Page, Tags, page, tiff

ARTIST = {315: (ASCII, b"A Painter\0")}
NAMED: Tags = {315: (ASCII, b"A Painter\0"), 270: (ASCII, "Hafen, Müllers Steg\0".encode())}
INCH: Tags = {282: (RATIONAL, [300, 1]), 283: (RATIONAL, [300, 1]), 296: (SHORT, [2])}
WHOLE = NAMED | INCH
AT_300 = {"dpi": (300, 300)}


def kept(name: str, make: Callable[[], bytes], *words: str, pixels: np.ndarray = RGB, **done: object) -> Row:
    """A row whose metadata are looked at in a TIFF file."""
    return Row(name, make, Done(pixels, **{"words": words, **done}), to=".tif")  # type: ignore[arg-type]


SCANNER = profiles.scanner_profile()
RESOLUTIONS = [
    kept("resolution.tif", lambda: of(RGB, INCH), kept=AT_300),
    kept("no-resolution.tif", lambda: of(RGB), kept={"dpi": None}),
    kept(
        "resolution-in-cm.tif",
        lambda: of(RGB, {282: (RATIONAL, [118, 1]), 283: (RATIONAL, [118, 1]), 296: (SHORT, [3])}),
        kept={"dpi": (118 * 2.54, 118 * 2.54)},
    ),
    kept(
        "resolution-of-no-unit.tif",
        lambda: of(RGB, {282: (RATIONAL, [1, 1]), 283: (RATIONAL, [1, 1]), 296: (SHORT, [1])}),
        kept={"dpi": None},
    ),
    kept(
        "resolution-of-zero.tif",
        lambda: of(RGB, INCH | {282: (RATIONAL, [0, 0]), 283: (RATIONAL, [0, 0])}),
        kept={"dpi": None},
    ),
    kept("resolution16.tif", lambda: of(DEEP, INCH), pixels=DEEP, kept=AT_300),
    kept("no-resolution16.tif", lambda: of(DEEP), pixels=DEEP, kept={"dpi": None}),
]


def turned(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(array))


LIGHT = profiles.of_srgb(VALUES)
TURNED: Tags = WHOLE | {274: (SHORT, [6])}
UP = {"orientation": 1, "artist": "A Painter", **AT_300}
DEVELOPED: Tags = TURNED | {34675: (UNDEFINED, LINEAR)}
ALIKE = [
    kept("turned.tif", lambda: of(turned(RGB), TURNED), "upright", kept=UP),
    kept("turned16.tif", lambda: of(turned(DEEP), TURNED), "upright", pixels=DEEP, kept=UP),
    # As darktable and RawTherapee write what they have developed.
    Row(
        "developed.tif",
        lambda: of(turned(LIGHT.astype(np.float32)), DEVELOPED),
        Done(DEEP, ("floating", "upright", "ICC profile"), off=1.5, kept=UP),
        NO_FLOATS,
        to=".tif",
    ),
    Row(
        "developed16.tif",
        lambda: of(turned(sixteen(LIGHT)), DEVELOPED),
        Done(DEEP, ("upright", "ICC profile"), off=1.5, kept=UP),
        Done(RGB, ("upright", "ICC profile", "8"), off=1.5, kept=UP),
        to=".tif",
    ),
    Row(
        "lab16-turned.tif",
        lambda: of(turned(lab(16)), TURNED | {262: (SHORT, [8])}),
        Done(DEEP, ("upright", "LAB"), off=1.5, kept=UP),
        Refused(("lab", "sincut[large]")),
        to=".tif",
    ),
    kept(
        "lab-turned.tif", lambda: of(turned(lab(8)), TURNED | {262: (SHORT, [8])}), "upright", "LAB", off=1.5, kept=UP
    ),
]

PROFILES = [
    kept(
        "profile.tif", lambda: of(IN_ADOBE, {34675: (UNDEFINED, ADOBE)}), "ICC profile", off=1, kept={"profile": True}
    ),
    Row(
        "profile16.tif",
        lambda: of(
            sixteen(profiles.in_space(VALUES, profiles.ADOBE, profiles.ADOBE_GAMMA)), {34675: (UNDEFINED, ADOBE)}
        ),
        Done(DEEP, ("ICC profile",), off=1, kept={"profile": True}),
        Done(RGB, ("ICC profile", "8"), off=1, kept={"profile": True}),
        to=".tif",
    ),
    # A scanner's, which leads from its colours and never back to them.
    kept(
        "one-way.tif",
        lambda: of(IN_ADOBE, {34675: (UNDEFINED, SCANNER)}),
        "ICC profile",
        "sRGB",
        off=1.5,
        kept={"profile": False},
    ),
    Row(
        "one-way16.tif",
        lambda: of(
            sixteen(profiles.in_space(VALUES, profiles.ADOBE, profiles.ADOBE_GAMMA)), {34675: (UNDEFINED, SCANNER)}
        ),
        Done(DEEP, ("ICC profile", "sRGB"), off=1.5, kept={"profile": False}),
        Done(RGB, ("ICC profile", "8"), off=1.5, kept={"profile": False}),
        to=".tif",
    ),
    Row(
        "grey-profile.tif",
        lambda: of(eight(np.repeat(LIGHT[..., 1:2], 1, axis=2)), {34675: (UNDEFINED, profiles.grey_profile(1))}),
        Done(np.repeat(RGB[..., 1:2], 3, axis=2), ("greys",), off=1.5, kept={"profile": False}),
        to=".tif",
    ),
    kept(
        "broken-profile.tif",
        lambda: of(RGB, {34675: (UNDEFINED, b"no profile at all" * 20)}),
        "profile",
        kept={"profile": False},
    ),
]


INKED: Tags = {262: (SHORT, [5]), 338: (SHORT, []), 34675: (UNDEFINED, profiles.inks_profile())}
GREYS_OWN = profiles.grey_profile(1)
OTHER_PROFILES = [
    kept("inks.tif", lambda: of(cmyk(255, np.uint8), INKED), "CMYK", off=1.5, kept={"profile": False}),
    kept(
        "inks16.tif", lambda: of(cmyk(65535, np.uint16), INKED), "CMYK", pixels=DEEP, off=1.5, kept={"profile": False}
    ),
    deep("inks16-without-profile.tif", lambda: of(cmyk(65535, np.uint16), INKS), DEEP, "CMYK", off=1),
    kept("inks-planar16.tif", lambda: of(cmyk(65535, np.uint16), INKS, planar=True), "CMYK", pixels=DEEP, off=1),
    # A profile of greys, or of inks, on a picture in RGB means nothing.
    kept("wrong-profile.tif", lambda: of(RGB, {34675: (UNDEFINED, GREYS_OWN)}), "profile", kept={"profile": False}),
    kept(
        "wrong-profile16.tif",
        lambda: of(DEEP, INKED | {262: (SHORT, [2])}),
        "profile",
        pixels=DEEP,
        kept={"profile": False},
    ),
    Row(
        "grey-profile16.tif",
        lambda: of(sixteen(LIGHT[..., 1]), {34675: (UNDEFINED, GREYS_OWN)}),
        Done(np.repeat(DEEP[..., 1:2], 3, axis=2), ("greys",), off=1.5, kept={"profile": False}),
        Done(np.repeat(RGB[..., 1:2], 3, axis=2), ("greys", "8"), off=1.5, kept={"profile": False}),
        to=".tif",
    ),
]


def with_exif() -> bytes:
    below = Page({33434: (RATIONAL, [1, 60]), 36867: (ASCII, b"1891:05:04 10:00:00\0")})
    gps = Page({1: (ASCII, b"N\0"), 2: (RATIONAL, [54, 1, 5, 1, 0, 1])})
    whole = page(RGB, WHOLE)
    return tiff(whole._replace(pointers={EXIF_IFD: below, 0x8825: gps}))


LAYERS = b"Adobe Photoshop Document Data Block\0" + b"MIB8ryaL" + struct.pack("<I", 8) + b"a layer."
CARRIED = [
    kept("names.tif", lambda: of(RGB, NAMED), kept={"artist": "A Painter"}, has=("Hafen, Müllers Steg".encode(),)),
    kept("exif.tif", with_exif, kept={"artist": "A Painter"}, has=(b"1891:05:04 10:00:00",)),
    kept("iptc.tif", lambda: of(RGB, {33723: (UNDEFINED, iptc(r120=CAPTION))}), has=(CAPTION,)),
    # libtiff writes it as numbers of 32 bits.
    kept("iptc-as-long.tif", lambda: of(RGB, {33723: (LONG, _as_long(iptc(r120=CAPTION)))}), has=(CAPTION,)),
    kept("iptc16.tif", lambda: of(DEEP, {33723: (UNDEFINED, iptc(r120=CAPTION))}), pixels=DEEP, has=(CAPTION,)),
    kept("photoshop.tif", lambda: of(RGB, {34377: (BYTE, RESOURCES)}), has=(CAPTION,)),
    kept("xmp.tif", lambda: of(RGB, {700: (BYTE, PACKET % (DUBLIN, b""))}), has=(b"inventory 1891-17",)),
    kept(
        "xmp16.tif", lambda: of(DEEP, {700: (BYTE, PACKET % (DUBLIN, b""))}), pixels=DEEP, has=(b"inventory 1891-17",)
    ),
    # Photoshop's layers stand in a tag of their own, behind the picture that they make together.
    kept("layers.tif", lambda: of(RGB, {37724: (UNDEFINED, LAYERS)}), "layers", lacks=(b"a layer.",)),
    # A slide that was scanned with its place on the map: tags of GeoTIFF.
    kept(
        "map.tif",
        lambda: of(RGB, {33550: (12, struct.pack("<3d", 1, 1, 0)), 34735: (SHORT, [1, 1, 0, 1, 1024, 0, 1, 1])}),
        words=None,
        has=(struct.pack("<3d", 1, 1, 0),),
        or_told="map",
    ),
]


def _as_long(data: bytes) -> list[int]:
    data += bytes(-len(data) % 4)
    return list(struct.unpack(f"<{len(data) // 4}I", data))


def shallow(row: Row) -> Row:
    """A row of 16 bits, as the base install has it."""
    assert isinstance(row.want, Done)
    want = row.want
    if row.base is not None or want.pixels.dtype == np.uint8:
        return row
    return replace(row, base=replace(want, pixels=RGB, words=(*(want.words or ()), "8"), off=max(want.off, 0.6)))


ROWS = [shallow(row) for row in (*RESOLUTIONS, *ALIKE, *PROFILES, *OTHER_PROFILES, *CARRIED)]
