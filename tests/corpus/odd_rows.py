"""Odd files that decoders garble or lose parts of in silence."""

from collections.abc import Callable

import numpy as np

from corpus import profiles
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
    Refused,
    Row,
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

ROWS = [*ON_THEIR_SIDES, *SPACES, *FLOATS, *PAGES]
