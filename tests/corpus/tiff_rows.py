"""TIFF files: layouts, depths, compressions, colour spaces, several pictures in one, lies."""

import importlib
import lzma
import struct
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from PIL import Image

from corpus import profiles
from corpus.files import pillow
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
from corpus.tiffs import (
    ASCII,
    DEFLATE,
    LONG,
    LZW,
    PACKBITS,
    SHORT,
    Tags,
    page,
    tiff,
)

RGBA, DEEP_RGBA = np.dstack([RGB, ALPHA]), np.dstack([DEEP, DEEP_ALPHA])
FLOATS = VALUES.astype(np.float32)


def of(array: np.ndarray, tags: Tags | None = None, order: str = "<", big: bool = False, **laid: object) -> bytes:
    """A file of one page."""
    return tiff(page(array, tags, order=order, **laid), order=order, big=big)  # type: ignore[arg-type]


def rgb(name: str, **laid: object) -> Row:
    return Row(f"rgb-{name}.tif", partial(of, RGB, **laid), Done(RGB))  # type: ignore[arg-type]


def rgb16(name: str, array: np.ndarray = DEEP, **laid: object) -> Row:
    alpha = array[..., 3] if array.shape[2] == 4 else None
    return deep(f"rgb16-{name}.tif", partial(of, array, **laid), array[..., :3], alpha=alpha)  # type: ignore[arg-type]


def of_eight(row: Row) -> Row:
    """A row that becomes 8 bits with all extras, too: libvips reads no tiles in planes."""
    assert row.base is not None
    return replace(row, want=row.base)


LAYOUTS = [
    rgb("strips", rows=7),
    rgb("big-endian", order=">"),
    rgb("bigtiff", big=True),
    replace(rgb("bigtiff-big-endian", big=True, order=">", rows=5), base=Refused(("BigTIFF",))),
    rgb("tiles", tile=16),
    rgb("packbits", compression=PACKBITS, rows=4),
    rgb("lzw-predictor", compression=LZW, predictor=2),
    rgb("deflate-tiles", compression=DEFLATE, predictor=2, tile=32),
    rgb("planar", planar=True),
    rgb("planar-tiles", planar=True, tile=16, compression=DEFLATE),
    rgb("one-endless-strip", tags={278: (LONG, [2**32 - 1])}),
    rgb("short-offsets", tags={273: (SHORT, [8])}),
    Row("rgb-lzma.tif", lambda: of(RGB, compression=34925, encode=lambda b: lzma.compress(b.tobytes())), Done(RGB)),
    rgb16("strips", rows=7),
    rgb16("big-endian-tiles", order=">", tile=16),
    rgb16("bigtiff", big=True, compression=LZW, predictor=2),
    rgb16("planar", planar=True),
    rgb16("planar-strips-big-endian", planar=True, rows=7, order=">"),
    of_eight(rgb16("planar-tiles", planar=True, tile=16)),
    of_eight(rgb16("planar-tiles-big-endian", planar=True, tile=16, order=">")),
    rgb16("planar-deflate", planar=True, compression=DEFLATE, predictor=2),
    of_eight(rgb16("planar-bigtiff", planar=True, big=True, tile=32, compression=LZW)),
    rgb16("planar-alpha", DEEP_RGBA, planar=True),
    of_eight(rgb16("planar-alpha-tiles", DEEP_RGBA, planar=True, tile=16, order=">")),
    rgb16("alpha", DEEP_RGBA, rows=7),
]


def some_bits(bits: int) -> np.ndarray:
    numbers: np.ndarray = (VALUES[..., 1] * (2**bits - 1)).round().astype(np.uint16)
    return numbers


def widened(bits: int) -> np.ndarray:
    return of_grey((some_bits(bits) * 255 / (2**bits - 1)).round().astype(np.uint8))


PREMULTIPLIED = (RGBA[..., :3] * (ALPHA[..., None] / 255)).round().astype(np.uint8)
CHANNELS = [
    Row("grey.tif", partial(of, GREY), Done(of_grey(GREY), (GREYS,))),
    Row("min-is-white.tif", lambda: of(255 - GREY, {262: (SHORT, [0])}), Done(of_grey(GREY), (GREYS,))),
    Row("grey-alpha.tif", lambda: of(np.dstack([GREY, ALPHA])), Done(of_grey(GREY), (GREYS,), ALPHA)),
    Row("grey-alpha-planar.tif", lambda: of(np.dstack([GREY, ALPHA]), planar=True, rows=7), Refused(("planes",))),
    # Some writers say "planes" where there is but one, which says nothing.
    Row("one-plane.tif", lambda: of(GREY, planar=True, rows=7), Done(of_grey(GREY), (GREYS,))),
    Row("one-plane4.tif", lambda: of(some_bits(4), planar=True, rows=7, bits=4), Done(widened(4), (GREYS,))),
    Row("one-plane-white.tif", lambda: of(255 - GREY, {262: (SHORT, [0])}, planar=True), Done(of_grey(GREY), (GREYS,))),
    deep("grey16.tif", partial(of, DEEP_GREY), of_grey(DEEP_GREY), GREYS),
    deep("grey16-big-endian.tif", partial(of, DEEP_GREY, order=">", tile=16), of_grey(DEEP_GREY), GREYS),
    Row(
        "min-is-white16.tif",
        lambda: of(65535 - DEEP_GREY, {262: (SHORT, [0])}),
        Done(of_grey(DEEP_GREY), (GREYS,)),
        Refused(("16 bits", "white", "sincut[large]")),
    ),
    Row("alpha.tif", partial(of, RGBA), Done(RGB, (), ALPHA)),
    Row(
        "premultiplied.tif",
        lambda: of(np.dstack([PREMULTIPLIED, ALPHA]), {338: (SHORT, [1])}),
        Done(RGB, (), ALPHA, off=1.5),
    ),
    # VueScan and SilverFast store what they saw in infrared as a fourth channel, which is no alpha.
    Row("infrared.tif", lambda: of(RGBA, {338: (SHORT, [0])}), Done(RGB, ("channel",))),
    deep("infrared16.tif", lambda: of(DEEP_RGBA, {338: (SHORT, [0])}), DEEP, "channel"),
    Row("spot-colours.tif", lambda: of(np.dstack([RGBA, ALPHA]), {338: (SHORT, [0, 0])}), Done(RGB, ("channel",))),
]


def colour_map(bits: int) -> Tags:
    n = 2**bits
    ramp = np.linspace(0, 65535, n).round().astype(int)
    return {262: (SHORT, [3]), 320: (SHORT, [*ramp, *ramp[::-1], *np.full(n, 32896)])}


def mapped(bits: int) -> np.ndarray:
    ramp = (np.linspace(0, 65535, 2**bits).round() / 257).astype(np.uint8)
    colours: np.ndarray = np.stack([ramp, ramp[::-1], np.full(2**bits, 128, np.uint8)], -1)[some_bits(bits)]
    return colours


DEPTHS = [
    Row("bilevel.tif", lambda: of(some_bits(1), bits=1), Done(widened(1), (GREYS,))),
    Row("bilevel-white.tif", lambda: of(1 - some_bits(1), {262: (SHORT, [0])}, bits=1), Done(widened(1), (GREYS,))),
    Row("grey2.tif", lambda: of(some_bits(2), bits=2), Done(widened(2), (GREYS,))),
    Row("grey4.tif", lambda: of(some_bits(4), bits=4), Done(widened(4), (GREYS,))),
    Row("palette.tif", lambda: of(some_bits(8).astype(np.uint8), colour_map(8)), Done(mapped(8), ("mode P",), off=1)),
    Row("palette4.tif", lambda: of(some_bits(4), colour_map(4), bits=4), Done(mapped(4), ("mode P",), off=1)),
    Row("grey12.tif", lambda: of(some_bits(12), bits=12), Refused(("12 bits",))),
    Row("rgb12.tif", lambda: of(DEEP >> 4, bits=12), Refused(("12 bits",))),
    Row("rgb10.tif", lambda: of(DEEP >> 6, bits=10), Refused(("10 bits",))),
    Row("rgb14-lzw.tif", lambda: of(DEEP >> 2, bits=14, compression=LZW), Refused(("14 bits",))),
    Row("integers32.tif", lambda: of(DEEP.astype(np.uint32) << 16), Refused(("32",))),
    # Heights of a terrain: signed numbers, which are no greys.
    Row("heights.tif", lambda: of(DEEP_GREY, {339: (SHORT, [2])}), Refused(("signed",))),
]


def lossy(name: str, compression: int, encode: Callable[[np.ndarray], bytes], word: str) -> list[Row]:
    """Rows of a compression that cannot be read, in strips and in tiles."""
    laid: list[tuple[str, dict[str, int]]] = [("strips", {"rows": 16}), ("tiles", {"tile": 16})]
    return [
        Row(
            f"{name}-{how}.tif",
            partial(of, RGB, compression=compression, encode=encode, **options),  # type: ignore[arg-type]
            Refused(("compression", word, "convert")),
        )
        for how, options in laid
    ]


def foreign(block: np.ndarray) -> bytes:
    """Stands for data of an encoder that is not at hand."""
    return block.tobytes()[::3]


def jpeg2000(block: np.ndarray) -> bytes:
    return pillow(np.ascontiguousarray(block), "JPEG2000", no_jp2=True)


def by_codec(name: str, **options: object) -> Callable[[np.ndarray], bytes]:
    """An encoder of imagecodecs."""

    def encode(block: np.ndarray) -> bytes:
        codecs = importlib.import_module("imagecodecs")
        return bytes(getattr(codecs, f"{name}_encode")(np.ascontiguousarray(block), **options))

    return encode


def encoded(name: str, compression: int, word: str, **options: object) -> Row:
    """A file whose tiles are what their compression says."""
    make = partial(of, RGB, compression=compression, tile=16, encode=by_codec(name, **options))  # type: ignore[arg-type]
    return Row(f"real-{name}.tif", make, Refused(("compression", word, "convert")), needs="imagecodecs")


COMPRESSIONS = [
    encoded("jpegxl", 50002, "JPEG XL", lossless=True),
    encoded("jpegxr", 34934, "JPEG XR", level=1.0),
    encoded("lerc", 34887, "LERC"),
    Row(
        "zstd.tif",
        partial(of, RGB, compression=50000, rows=7, encode=by_codec("zstd")),
        Done(RGB),
        needs="imagecodecs",
    ),
    *lossy("jpeg2000", 34712, jpeg2000, "JPEG 2000"),
    *lossy("aperio", 33005, jpeg2000, "JPEG 2000"),
    *lossy("jpeg-xl", 50002, foreign, "JPEG XL"),
    *lossy("jpeg-xl-dng", 52546, foreign, "JPEG XL"),
    *lossy("jpeg-xr", 34934, foreign, "JPEG XR"),
    *lossy("png-inside", 34933, lambda block: pillow(np.ascontiguousarray(block), "PNG"), "PNG"),
    *lossy("lerc", 34887, foreign, "LERC"),
    *(  # libtiff can be built with it, and libvips' is
        replace(row, want=Done(RGB), base=row.want)
        for row in lossy("webp-inside", 50001, lambda b: pillow(np.ascontiguousarray(b), "WEBP", lossless=True), "WebP")
    ),
    *lossy("private", 60123, foreign, "60123"),
    Row("jpeg-inside.tif", lambda: pillow(RGB, "TIFF", compression="jpeg", quality=95), Done(RGB, off=3)),
    Row(
        "fax3.tif",
        lambda: pillow(Image.fromarray(widened(1)).convert("1"), "TIFF", compression="group3", dpi=(204, 98)),
        Done(widened(1), (GREYS,), kept={"dpi": (204, 98)}),
        to=".tif",
    ),
    Row(
        "fax4.tif",
        lambda: pillow(Image.fromarray(widened(1)).convert("1"), "TIFF", compression="group4"),
        Done(widened(1), (GREYS,)),
    ),
]

LINEAR = profiles.matrix_profile(profiles.SRGB, 1)
FLOATING = "floating"
NO_FLOATS = Refused(("floating", "sincut[large]"))


def floats(name: str, make: Callable[[], bytes], off: float = 0.02, **more: object) -> Row:
    return Row(name, make, Done(DEEP, (FLOATING,), off=off), NO_FLOATS, **more)  # type: ignore[arg-type]


FLOATS_ROWS = [
    floats("float.tif", partial(of, FLOATS)),
    floats("float-big-endian-tiles.tif", partial(of, FLOATS, order=">", tile=16)),
    floats("float-planar.tif", partial(of, FLOATS, planar=True)),
    floats("float-predictor.tif", partial(of, FLOATS, compression=DEFLATE, predictor=3)),
    floats("half-float.tif", lambda: of(VALUES.astype(np.float16)), 0.1),
    Row("double.tif", lambda: of(VALUES), Refused(("floating", "64 bits", "convert"))),
    Row("float-grey.tif", lambda: of(FLOATS[..., 1]), Done(of_grey(GREY), (FLOATING,), off=0.6)),
    Row("float-hdr.tif", lambda: of(FLOATS * 4), Refused(("0..1",)), NO_FLOATS),
]


def lab(bits: int) -> np.ndarray:
    values = profiles.lab_of(VALUES) * ([255 / 100, 1, 1] if bits == 8 else [65535 / 100, 256, 256])
    whole = values.round().astype(np.int64)
    numbers: np.ndarray = (whole & (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)
    return numbers


def cmyk(most: int, dtype: type) -> np.ndarray:
    return np.dstack([((1 - VALUES) * most).round(), np.zeros((H, W))]).astype(dtype)


INKS: Tags = {262: (SHORT, [5]), 338: (SHORT, [])}
SPACES = [
    Row("lab.tif", lambda: of(lab(8), {262: (SHORT, [8])}), Done(RGB, ("LAB",), off=1.5)),
    replace(
        deep("lab16.tif", lambda: of(lab(16), {262: (SHORT, [8])}), DEEP, "LAB", off=0.5),
        base=Refused(("lab", "sincut[large]")),
    ),
    Row("cmyk.tif", lambda: of(cmyk(255, np.uint8), INKS), Done(RGB, ("CMYK",), off=1)),
    Row("cmyk-planar.tif", lambda: of(cmyk(255, np.uint8), INKS, planar=True), Done(RGB, ("CMYK",), off=1)),
]


def raw(make: bytes, photometric: int = 32803, magic: bytes = b"", **more: object) -> Callable[[], bytes]:
    """A raw picture of a camera, as most are: a TIFF file whose first page is a thumbnail."""
    sensor = page(DEEP_GREY, {254: (LONG, [0]), 262: (SHORT, [photometric])})
    dng: Tags = {50706: (1, [1, 4, 0, 0])} if not make else {271: (ASCII, make + b"\0")}
    return lambda: tiff(
        page(RGB[::2, ::2].copy(), {254: (LONG, [1]), **dng}, below=(sensor,)),
        magic=magic,
    )


UNDEVELOPED = Refused(("raw", "develop"))
RAWS = [
    Row("IMG_1.DNG", raw(b""), UNDEVELOPED),
    Row("linear.dng", raw(b"", 34892), UNDEVELOPED),
    Row("dng-named.tif", raw(b""), UNDEVELOPED),
    Row("DSC_1.NEF", raw(b"NIKON CORPORATION"), UNDEVELOPED),
    Row("nef-named.tif", raw(b"NIKON CORPORATION"), UNDEVELOPED),
    Row("DSC00001.ARW", raw(b"SONY"), UNDEVELOPED),
    Row("IMGP1.PEF", raw(b"PENTAX"), UNDEVELOPED),
    Row("P1.ORF", raw(b"OLYMPUS", magic=b"IIRO"), UNDEVELOPED),
    Row("P2.RW2", raw(b"Panasonic", magic=b"IIU\0"), UNDEVELOPED),
    Row("IMG_1.CR2", lambda: _cr2(), UNDEVELOPED),
    Row("IMG_2.CR3", lambda: struct.pack(">I", 24) + b"ftypcrx \0\0\0\1crx isom" + bytes(400), UNDEVELOPED),
    Row("DSCF1.RAF", lambda: b"FUJIFILMCCD-RAW 0201FF383501X100" + bytes(400), UNDEVELOPED),
]


def _cr2() -> bytes:
    """Canon's: its mark stands where the first directory usually does, and a thumbnail in JPEG comes first."""
    data = bytearray(raw(b"Canon")())
    (first,) = struct.unpack_from("<I", data, 4)
    return bytes(data[:4]) + struct.pack("<I", first + 8) + b"CR\2\0" + bytes(4) + _moved(bytes(data[8:]), data, first)


def _moved(rest: bytes, data: bytearray, first: int) -> bytes:
    """All behind the header, its places eight bytes further."""
    out = bytearray(rest)
    sizes = {SHORT: 2, LONG: 4, ASCII: 1, 1: 1}

    def move(at: int) -> None:
        (count,) = struct.unpack_from("<H", data, at)
        for i in range(count):
            tag, kind, many, value = struct.unpack_from("<HHII", data, at + 2 + 12 * i)
            if sizes[kind] * many > 4 or tag in (273, 330):
                struct.pack_into("<I", out, at + 2 + 12 * i + 8 - 8, value + 8)
            if tag == 330:
                move(value)

    move(first)
    return bytes(out)


BIG = np.kron(RGB, np.ones((2, 2, 1), np.uint8))
PAGES = [
    Row("pages.tif", lambda: tiff(page(RGB), page(255 - RGB)), Done(RGB, ("only the first",))),
    Row(
        "pyramid.tif",
        lambda: tiff(page(BIG, tile=16), page(RGB, {254: (LONG, [1])}, tile=16)),
        Done(BIG),
    ),
    Row(
        "pyramid-below.tif",
        lambda: tiff(page(BIG, tile=16, below=(page(RGB, {254: (LONG, [1])}, tile=16),))),
        Done(BIG),
    ),
    # Some scanners put the thumbnail first.
    Row(
        "thumbnail-first.tif",
        lambda: tiff(page(RGB[::4, ::4].copy(), {254: (LONG, [1])}), page(RGB)),
        Refused(("thumbnail",)),
    ),
]


def cut(data: bytes, share: float) -> bytes:
    return data[: int(len(data) * share)]


def lying(tags: Tags, array: np.ndarray = RGB, **laid: object) -> Callable[[], bytes]:
    return partial(of, array, tags, **laid)  # type: ignore[arg-type]


def _circle() -> bytes:
    """The last directory leads to the first again."""
    data = bytearray(of(RGB))
    (first,) = struct.unpack_from("<I", data, 4)
    return bytes(data[:-4]) + struct.pack("<I", first)


def _without(tag: int, data: bytes) -> bytes:
    """A tag of the first directory made one that nobody knows."""
    out = bytearray(data)
    (first,) = struct.unpack_from("<I", out, 4)
    for at in range(first + 2, len(out) - 12, 12):
        if struct.unpack_from("<H", out, at)[0] == tag:
            struct.pack_into("<H", out, at, tag)
            entry = bytes(out[at : at + 12])
            count = struct.unpack_from("<H", out, first)[0]
            rest = bytes(out[at + 12 : first + 2 + 12 * count])
            return (
                bytes(out[:first]) + struct.pack("<H", count - 1) + bytes(out[first + 2 : at]) + rest + bytes(4) + entry
            )
    raise AssertionError(tag)


DAMAGED = Refused(("damaged",), damaged=True)
LIES = [
    Row("cut.tif", lambda: of(RGB)[:3000], DAMAGED),
    # The directory comes first, as many scanners write it, and the pixels end too early.
    Row("cut-strips.tif", lambda: _directory_first(0.5), DAMAGED),
    Row("offset-beyond-the-end.tif", lying({273: (LONG, [10**8])}), DAMAGED),
    Row("width-lies.tif", lying({256: (LONG, [W * 40])}), DAMAGED),
    Row("height-lies.tif", lying({257: (LONG, [H * 40]), 278: (LONG, [H * 40])}), DAMAGED),
    Row("no-byte-counts.tif", lambda: _without(279, of(RGB)), Done(RGB)),
    Row("zero-width.tif", lying({256: (LONG, [0])}), DAMAGED),
    Row(
        "tile-of-zero.tif",
        lying({322: (LONG, [0]), 323: (LONG, [0])}, tile=16),
        Refused(("cannot be read|cannot read",), None),
    ),
    Row("circle.tif", _circle, Done(RGB)),
    Row("sixty-thousand.tif", lying({256: (LONG, [60000]), 257: (LONG, [60000])}), Refused(("60000x60000",))),
    Row(
        "lfs-pointer.tif",
        lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        Refused(("not a picture",), True),
    ),
    # What is left of a file that was being written when a machine lost power.
    Row("zeros.tif", lambda: bytes(5000), Refused(("not a picture",), True)),
]


def _directory_first(share: float) -> bytes:
    """One strip behind the directory, of which so much is there."""
    whole = of(RGB)
    (first,) = struct.unpack_from("<I", whole, 4)
    entries = struct.unpack_from("<H", whole, first)[0]
    size = 2 + 12 * entries + 4
    bits = struct.pack("<HHH", 8, 8, 8)
    at = 8 + size
    out = bytearray(b"II*\0\x08\0\0\0" + whole[first : first + size] + bits + b"\0\0")
    for i in range(entries):
        tag = struct.unpack_from("<H", out, 10 + 12 * i)[0]
        if tag in (258, 273):
            struct.pack_into("<I", out, 18 + 12 * i, at if tag == 258 else at + 8)
    return bytes(out) + cut(RGB.tobytes(), share)


ROWS = [
    *LAYOUTS,
    *CHANNELS,
    *DEPTHS,
    *COMPRESSIONS,
    *FLOATS_ROWS,
    *SPACES,
    *RAWS,
    *PAGES,
    *LIES,
]
