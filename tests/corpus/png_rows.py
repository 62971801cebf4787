"""PNG files: depths, colours by chunks, texts, what Apple and editors write, damage."""

import struct
import zlib
from functools import partial

import numpy as np

from corpus import profiles
from corpus.files import chunk, pillow, png
from corpus.jpeg_rows import CREDENTIALS, DUBLIN, PACKET
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
    eight,
    of_grey,
    sixteen,
)
from corpus.tiff_rows import mapped, some_bits, widened
from corpus.tiffs import SHORT, Page, tiff

RAMP = np.linspace(0, 255, 16).round().astype(np.uint8)
PALETTE = np.stack([RAMP, RAMP[::-1], np.full(16, 128, np.uint8)], -1).tobytes()
DAMAGED = Refused(("damaged",), damaged=True)

DEPTHS = [
    Row("plain.png", partial(png, RGB), Done(RGB)),
    Row("alpha.png", lambda: png(np.dstack([RGB, ALPHA])), Done(RGB, (), ALPHA)),
    Row("interlaced.png", partial(png, RGB, interlaced=True), Done(RGB)),
    Row("grey-alpha.png", lambda: png(np.dstack([GREY, ALPHA])), Done(of_grey(GREY), (GREYS,), ALPHA)),
    *(Row(f"grey{n}.png", partial(png, some_bits(n), bits=n), Done(widened(n), (GREYS,))) for n in (1, 2, 4)),
    Row("palette4.png", partial(png, some_bits(4), bits=4, palette=PALETTE), Done(mapped(4), ("mode P",), off=1)),
    Row(
        "palette-interlaced.png",
        partial(png, some_bits(4), bits=4, palette=PALETTE, interlaced=True),
        Done(mapped(4), ("mode P",), off=1),
    ),
    deep("rgb16.png", partial(png, DEEP), DEEP),
    deep("rgb16-interlaced.png", partial(png, DEEP, interlaced=True), DEEP),
    deep("rgba16.png", lambda: png(np.dstack([DEEP, DEEP_ALPHA])), DEEP, alpha=DEEP_ALPHA),
    deep("grey16.png", partial(png, DEEP_GREY), of_grey(DEEP_GREY), GREYS),
    deep(
        "grey16-alpha.png", lambda: png(np.dstack([DEEP_GREY, DEEP_ALPHA])), of_grey(DEEP_GREY), GREYS, alpha=DEEP_ALPHA
    ),
    # One colour is transparent, and no pixel has it.
    Row("key.png", lambda: png(RGB, (b"tRNS", bytes(6))), Done(RGB, (), np.full(GREY.shape, 255, np.uint8))),
]


def gamma(value: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", round(value * 100_000))


def cicp(*numbers: int) -> tuple[bytes, bytes]:
    """Coding-independent code points (ITU-T H.273): primaries, transfer, matrix, full range."""
    return b"cICP", bytes(numbers)


LIGHT = profiles.of_srgb(VALUES)
P3 = np.array([[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]])  # adapted to D50
IN_P3 = profiles.to_srgb(LIGHT @ (np.linalg.inv(P3) @ profiles.SRGB).T)
LINEAR = profiles.matrix_profile(profiles.SRGB, 1)
ICCP = b"iCCP", b"linear\0\0" + zlib.compress(LINEAR)
COLOURS = [
    Row("gamma-linear.png", lambda: png(eight(LIGHT), gamma(1)), Done(RGB, ("gAMA",), off=1.5)),
    deep("gamma-linear16.png", lambda: png(sixteen(LIGHT), gamma(1)), DEEP, "gAMA", off=1.5),
    Row("gamma-usual.png", lambda: png(RGB, gamma(0.45455)), Done(RGB)),
    # sRGB or a profile say more than gAMA does, which is then not to be heeded (PNG 3, section 4.3).
    Row("gamma-and-srgb.png", lambda: png(RGB, gamma(1), (b"sRGB", b"\0")), Done(RGB)),
    Row("gamma-and-profile.png", lambda: png(eight(LIGHT), gamma(0.3), ICCP), Done(RGB, ("ICC profile",), off=1.5)),
    Row("cicp-srgb.png", lambda: png(RGB, cicp(1, 13, 0, 1)), Done(RGB)),
    Row("cicp-p3.png", lambda: png(eight(IN_P3), cicp(12, 13, 0, 1)), Done(RGB, ("cICP",), off=1.5)),
    # Of a screen in high dynamic range; what is right of its colours is open, but not to say nothing.
    Row("cicp-pq.png", lambda: png(RGB, cicp(9, 16, 0, 1)), Done(RGB, ("cICP",), off=255.0)),
    Row("profile.png", lambda: png(eight(LIGHT), ICCP), Done(RGB, ("ICC profile",), off=1.5, kept={"profile": True})),
    deep("profile16.png", lambda: png(sixteen(LIGHT), ICCP), DEEP, "ICC profile", off=1.5),
]

WORKFLOW = b'{"nodes": [' + b",".join(b'{"id": %d}' % i for i in range(150_000)) + b"]}"
TEXTS = [
    Row(
        "texts.png",
        lambda: png(
            RGB,
            (b"tEXt", b"parameters\0a castle, steps 20"),
            (b"zTXt", b"Comment\0\0" + zlib.compress(b"glass plate 17")),
            (b"iTXt", "Author\0\0\0\0\0Müller".encode()),
        ),
        Done(
            RGB, kept={"texts": {"parameters": "a castle, steps 20", "Comment": "glass plate 17", "Author": "Müller"}}
        ),
    ),
    Row(
        "text-behind.png",
        lambda: png(RGB, after=[(b"tEXt", b"Title\0Harbour")]),
        Done(RGB, kept={"texts": {"Title": "Harbour"}}),
    ),
    # Programs that make pictures store how, in more than Pillow takes of a compressed text.
    Row("long-text.png", lambda: png(RGB, (b"zTXt", b"workflow\0\0" + zlib.compress(WORKFLOW))), Done(RGB, None)),
    Row(
        "xmp.png",
        lambda: png(RGB, (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + PACKET % (DUBLIN, b""))),
        Done(RGB, has=(b"inventory 1891-17",)),
    ),
    Row(
        "turned.png",
        lambda: png(np.ascontiguousarray(np.rot90(RGB)), (b"eXIf", tiff(Page({274: (SHORT, [6])})))),
        Done(RGB, ("upright",), kept={"orientation": 1}),
    ),
    Row(
        "resolution.png",
        lambda: png(RGB, (b"pHYs", struct.pack(">IIB", 11811, 11811, 1))),
        Done(RGB, kept={"dpi": (300, 300)}),
    ),
    Row("aspect.png", lambda: png(RGB, (b"pHYs", struct.pack(">IIB", 1, 1, 0))), Done(RGB, kept={"dpi": None})),
    Row(
        "background.png",
        lambda: png(RGB, (b"sBIT", b"\5\6\5"), (b"bKGD", bytes(6)), (b"tIME", bytes([7, 99, 5, 4, 1, 1, 1]))),
        Done(RGB),
    ),
    Row(
        "content-credentials.png",
        lambda: png(RGB, (b"caBX", CREDENTIALS)),
        Done(RGB, ("content credentials",), lacks=(b"c2pa",)),
    ),
]


def _animated() -> bytes:
    import PIL.Image

    frames = [PIL.Image.fromarray(array) for array in (RGB, 255 - RGB)]
    return pillow(frames[0], "PNG", save_all=True, append_images=frames[1:])


def _broken() -> bytes:
    data = bytearray(png(RGB))
    data[len(data) // 2] ^= 255
    return bytes(data)


def _of_an_app() -> bytes:
    """As Apple's tools put it into an app: blue, green, red, packed without a header, behind a chunk CgBI."""
    lines = np.pad(RGB[..., ::-1].reshape(len(RGB), -1), ((0, 0), (1, 0))).tobytes()
    packer = zlib.compressobj(wbits=-15)
    data = packer.compress(lines) + packer.flush()
    begin = png(RGB)[8:33]
    return b"\x89PNG\r\n\x1a\n" + chunk(b"CgBI", b"P\0 \2") + begin + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def _raw_profile() -> tuple[bytes, bytes]:
    """EXIF as ImageMagick wrote it before PNG had a chunk for it: in hexadecimal numbers."""
    exif = b"Exif\0\0" + tiff(Page({274: (SHORT, [6])}))
    lines = [exif.hex()[i : i + 72] for i in range(0, 2 * len(exif), 72)]
    text = f"\nexif\n{len(exif):8}\n" + "\n".join(lines) + "\n"
    return b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text.encode())


PRIMARIES = struct.pack(">8I", 31270, 32900, 64000, 33000, 21000, 71000, 15000, 6000)  # of Adobe RGB
IN_ADOBE = eight(profiles.in_space(VALUES, profiles.ADOBE, profiles.ADOBE_GAMMA))
OTHERS = [
    Row(
        "raw-profile.png",
        lambda: png(np.ascontiguousarray(np.rot90(RGB)), _raw_profile()),
        Done(RGB, ("upright",), kept={"orientation": 1}),
    ),
    Row("primaries.png", lambda: png(IN_ADOBE, gamma(0.45455), (b"cHRM", PRIMARIES)), Done(RGB, ("cHRM",), off=1.5)),
    Row("one-pixel.png", lambda: png(RGB[:1, :1].copy()), Done(RGB[:1, :1], None)),
    Row("a-line.png", lambda: png(RGB[:1].copy()), Done(RGB[:1], None)),
    Row("a-column.png", lambda: png(RGB[:, :1].copy()), Done(RGB[:, :1], None)),
    Row(
        "no-palette.png",
        lambda: png(some_bits(4), bits=4, palette=PALETTE).replace(b"PLTE", b"PLTf"),
        Refused((), damaged=True),
    ),
    Row("animated.png", _animated, Done(RGB, ("only the first",))),
    Row("of-an-app.png", _of_an_app, Refused(("CgBI",))),
    Row("half.png", lambda: png(RGB)[: len(png(RGB)) // 2], DAMAGED),
    Row("broken.png", _broken, DAMAGED),
    # As screenshots that a phone has cropped in place: the old end is still there.
    Row("more-behind.png", lambda: png(RGB) + bytes(range(256)) * 4, Done(RGB)),
    Row("sixty-thousand.png", lambda: _bomb(), Refused(("60000x60000",))),
]


def _bomb() -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)) + png(RGB)[33:]


ROWS = [*DEPTHS, *COLOURS, *TEXTS, *OTHERS]
