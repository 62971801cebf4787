"""Other formats: BMP, GIF, WebP, JPEG 2000, Netpbm, AVIF, HEIC; and what is no picture that is read here."""

import io
import struct
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from PIL import Image

from corpus import profiles
from corpus.files import bmp, bmp_rows, box, jp2_with, netpbm, pillow
from corpus.jpeg_rows import DUBLIN, PACKET
from corpus.png_rows import LIGHT
from corpus.row import (
    ALPHA,
    DEEP,
    DEEP_GREY,
    GREY,
    GREYS,
    RGB,
    Done,
    H,
    Refused,
    Row,
    W,
    eight,
    of_grey,
)

SIZE = (H, W)


def fives() -> np.ndarray:
    """The picture with 5, 6 and 5 bits, widened to 8."""
    return np.stack([_widened(RGB[..., i] >> (8 - bits), bits) for i, bits in enumerate((5, 6, 5))], -1)


def _widened(values: np.ndarray, bits: int) -> np.ndarray:
    wide: np.ndarray = (values.astype(float) * 255 / (2**bits - 1)).round().astype(np.uint8)
    return wide


def bmp565() -> bytes:
    red, green, blue = (RGB[..., i].astype(np.uint16) >> shift for i, shift in ((0, 3), (1, 2), (2, 3)))
    numbers = ((red << 11) | (green << 5) | blue).astype("<u2").view(np.uint8)
    return bmp(bmp_rows(numbers), SIZE, 16, compression=3, more=struct.pack("<III", 0xF800, 0x07E0, 0x001F))


def bmp555() -> bytes:
    red, green, blue = (RGB[..., i].astype(np.uint16) >> 3 for i in range(3))
    return bmp(bmp_rows(((red << 10) | (green << 5) | blue).astype("<u2").view(np.uint8)), SIZE, 16)


def bmp24(size: tuple[int, int] = SIZE, array: np.ndarray = RGB) -> bytes:
    return bmp(bmp_rows(np.ascontiguousarray(array[..., ::-1]).reshape(H, -1)), size, 24)


def bmp32(alpha: int) -> bytes:
    numbers = np.dstack([RGB[..., ::-1], np.full(SIZE, alpha, np.uint8)])
    return bmp(bmp_rows(numbers.reshape(H, -1)), SIZE, 32)


def bmp8() -> bytes:
    greys = bytes(value for i in range(256) for value in (i, i, i, 0))
    head = struct.pack("<IiiHHIIiiII", 40, W, H, 1, 8, 0, 0, 2835, 2835, 256, 0) + greys
    body = bmp_rows(GREY)
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(body), 0, 0, 14 + len(head)) + head + body


def bmp_of_os2() -> bytes:
    body = bmp_rows(np.ascontiguousarray(RGB[..., ::-1]).reshape(H, -1))
    return b"BM" + struct.pack("<IHHI", 26 + len(body), 0, 0, 26) + struct.pack("<IHHHH", 12, W, H, 1, 24) + body


BMPS = [
    Row("plain.bmp", bmp24, Done(RGB)),
    Row("565.bmp", bmp565, Done(fives(), off=0.8)),
    Row("555.bmp", bmp555, Done(_widened(RGB >> 3, 5), off=0.8)),
    Row("upside-down.bmp", lambda: bmp24((-H, W), RGB[::-1]), Done(RGB)),
    # Windows programs leave the fourth byte of a pixel at 0, which does not make it transparent.
    Row("four-bytes.bmp", partial(bmp32, 0), Done(RGB)),
    Row("greys.bmp", bmp8, Done(of_grey(GREY), None)),
    Row("os2.bmp", bmp_of_os2, Done(RGB)),
    Row("half.bmp", lambda: bmp24()[: H * W], Refused(("damaged",), damaged=True)),
]


def several(format_: str, **options: Any) -> bytes:
    frames = [Image.fromarray(array) for array in (RGB, 255 - RGB)]
    return pillow(frames[0], format_, save_all=True, append_images=frames[1:], **options)


def _jp2(array: np.ndarray, **options: Any) -> bytes:
    return pillow(np.ascontiguousarray(array), "JPEG2000", **options)


LINEAR = profiles.matrix_profile(profiles.SRGB, 1)
XMP_BOX = box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac") + PACKET % (DUBLIN, b""))
MADE_EIGHT = ("8",)


def eight_of(name: str, make: Callable[[], bytes], pixels: np.ndarray, *words: str, **more: Any) -> Row:
    """Of 16 bits in a format whose libraries give 8: that is told, or all bits are kept."""
    return Row(name, make, Done(eight(pixels), (*words, "8"), off=1.0), **more)


def _codec(module: str, function: str, array: np.ndarray, **options: Any) -> bytes:
    import importlib

    encode = getattr(importlib.import_module(module), function)
    return bytes(encode(np.ascontiguousarray(array), **options))


def heic(array: np.ndarray, mode: str = "RGB", **options: Any) -> bytes:
    import pillow_heif

    file = io.BytesIO()
    image = pillow_heif.from_bytes(mode=mode, size=(W, H), data=np.ascontiguousarray(array).tobytes())
    image.save(file, quality=-1, **options)
    return file.getvalue()


def kept(name: str, format_: str, suffix: str, **options: Any) -> Row:
    """A row of EXIF and XMP in a format other than TIFF, JPEG and PNG."""
    exif = Image.Exif()
    exif[315] = "A Painter"
    carried = {"exif": exif.tobytes(), "xmp": PACKET % (DUBLIN, b"")}
    want = Done(RGB, off=1.5, kept={"artist": "A Painter"}, has=(b"inventory 1891-17",))
    return Row(name, lambda: pillow(RGB, format_, **carried, **options), want, to=suffix)


NO_HEIC = Refused(("heic", "pip install"))
OTHERS = [
    Row("several.gif", partial(several, "GIF"), Done(RGB, ("only the first", "mode P"), off=12)),
    Row("plain.webp", lambda: pillow(RGB, "WEBP", lossless=True), Done(RGB)),
    Row("alpha.webp", lambda: pillow(np.dstack([RGB, ALPHA]), "WEBP", lossless=True, exact=True), Done(RGB, (), ALPHA)),
    Row("several.webp", partial(several, "WEBP", lossless=True), Done(RGB, ("only the first",))),
    Row(
        "profile.webp",
        lambda: pillow(eight(LIGHT), "WEBP", lossless=True, icc_profile=LINEAR),
        Done(RGB, ("ICC profile",), off=1.5),
    ),
    kept("carried.webp", "WEBP", ".webp", lossless=True),
    kept("carried.avif", "AVIF", ".avif", quality=100, subsampling="4:4:4"),
    Row("plain.jp2", partial(_jp2, RGB), Done(RGB)),
    Row("plain.j2k", partial(_jp2, RGB, no_jp2=True), Done(RGB)),
    Row("xmp.jp2", lambda: jp2_with(_jp2(RGB), XMP_BOX), Done(RGB, has=(b"inventory 1891-17",))),
    # As archives ask for: with the profile of the scanner, or of a working space.
    Row(
        "profile.jp2",
        lambda: jp2_with(_jp2(eight(LIGHT)), colour=b"\2\0\0" + LINEAR),
        Done(RGB, ("ICC profile",), off=1.5),
    ),
    eight_of("grey16.jp2", partial(_jp2, DEEP_GREY), of_grey(DEEP_GREY), GREYS),
    eight_of("rgb16.jp2", partial(_codec, "imagecodecs", "jpeg2k_encode", DEEP, level=0), DEEP, needs="imagecodecs"),
    Row("half.jp2", lambda: _jp2(RGB)[:600], Refused(("damaged",), damaged=True)),
    Row("plain.ppm", lambda: netpbm(b"P6", SIZE, 255, RGB.tobytes()), Done(RGB)),
    eight_of("rgb16.ppm", lambda: netpbm(b"P6", SIZE, 65535, DEEP.astype(">u2").tobytes()), DEEP),
    eight_of("rgb10.ppm", lambda: netpbm(b"P6", SIZE, 1023, (DEEP >> 6).astype(">u2").tobytes()), DEEP),
    eight_of(
        "grey16.pgm", lambda: netpbm(b"P5", SIZE, 65535, DEEP_GREY.astype(">u2").tobytes()), of_grey(DEEP_GREY), GREYS
    ),
    Row(
        "written-out.ppm",
        lambda: netpbm(b"P3", SIZE, 255, b" ".join(b"%d" % value for value in RGB.ravel()) + b"\n"),
        Done(RGB),
    ),
    Row(
        "arbitrary.pam",
        lambda: b"P7\nWIDTH %d\nHEIGHT %d\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n" % (W, H) + RGB.tobytes(),
        Refused(("convert",), damaged=None),
    ),
    Row("half.ppm", lambda: netpbm(b"P6", SIZE, 255, RGB.tobytes()[:900]), Refused(("damaged",), damaged=True)),
    Row("plain.avif", lambda: pillow(RGB, "AVIF", quality=100, subsampling="4:4:4"), Done(RGB, off=1.5)),
    eight_of(
        "rgb10.avif",
        lambda: _codec("imagecodecs", "avif_encode", DEEP >> 6, level=95, bitspersample=10),
        DEEP,
        needs="imagecodecs",
    ),
    Row("plain.heic", partial(heic, RGB), Done(RGB, off=2.5), NO_HEIC, needs="pillow_heif"),
    Row("IMG_1.HIF", partial(heic, RGB), Done(RGB, off=2.5), NO_HEIC, needs="pillow_heif"),
    Row("heic-named.jpg", partial(heic, RGB), Done(RGB, off=2.5), NO_HEIC, needs="pillow_heif"),
    Row(
        "rgb10.heic",
        lambda: heic(DEEP, "RGB;16"),
        Done(RGB, MADE_EIGHT, off=2.5),
        NO_HEIC,
        needs="pillow_heif",
    ),
    Row(
        "alpha.heic",
        lambda: heic(np.dstack([RGB, ALPHA]), "RGBA"),
        Done(RGB, (), ALPHA, off=2.5),
        NO_HEIC,
        needs="pillow_heif",
    ),
]

JXL_BOX = struct.pack(">I4sI", 12, b"JXL ", 0x0D0A870A)
UNREAD = {
    "naked.jxl": (b"\xff\x0a" + bytes(60), "JPEG XL"),
    "boxed.jxl": (JXL_BOX + struct.pack(">I", 20) + b"ftypjxl \0\0\0\0jxl ", "JPEG XL"),
    "layers.psd": (b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, H, W, 8, 3) + bytes(200), "Photoshop"),
    "light.exr": (b"v/1\1\2\0\0\0" + bytes(200), "OpenEXR"),
    "light.hdr": (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 37 +X 53\n" + bytes(200), "Radiance"),
    "drawing.svg": (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', ""),
    "print.pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n", "PDF"),
    "print.eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", ""),
    "scan.dcm": (bytes(128) + b"DICM" + bytes(100), ""),
    "film.mp4": (struct.pack(">I", 24) + b"ftypmp42\0\0\0\0isommp42" + bytes(100), ""),
    "layers.xcf": (b"gimp xcf v011\0" + bytes(100), ""),
    "screen.jxr": (b"II\xbc\1\x20\0\0\0" + bytes(100), "JPEG XR"),
    "note.txt": (b"not a picture", ""),
}
FOREIGN = [
    Row(name, lambda data=data: data, Refused((word,) if word else (), damaged=None))  # type: ignore[misc]
    for name, (data, word) in UNREAD.items()
]

ROWS = [*BMPS, *OTHERS, *FOREIGN]
