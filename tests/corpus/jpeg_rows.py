"""JPEG files: encodings, what cameras, phones and editors put around the picture, damage."""

import struct
from collections.abc import Callable
from functools import partial

import numpy as np
from PIL import Image

from corpus import profiles
from corpus.files import iptc, jpeg, photoshop, pillow, segment, xmp_segment
from corpus.row import GREY, RGB, VALUES, Done, H, Refused, Row, W, eight, of_grey
from corpus.tiffs import ASCII, LONG, RATIONAL, SHORT, UNDEFINED, Page, Tags, tiff

NEAR = 2.0  # mean error of the lossy files here, of 255
EXIF_IFD, GPS_IFD, INTEROP_IFD, MAKER_NOTE = 0x8769, 0x8825, 0xA005, 37500
DAMAGED = Refused(("damaged",), damaged=True)


def app1(page: Page) -> bytes:
    return segment(0xE1, b"Exif\0\0" + tiff(page))


def plain(name: str, words: tuple[str, ...] = (), pixels: np.ndarray = RGB, **options: object) -> Row:
    return Row(name, partial(jpeg, RGB, **options), Done(pixels, words, off=NEAR))  # type: ignore[arg-type]


TWELVE = bytes([255, 0xC0, 0, 17, 8])  # the frame's marker, length and bits


def _inks() -> Image.Image:
    return Image.fromarray(np.dstack([255 - RGB, np.zeros((H, W), np.uint8)]), "CMYK")


ENCODINGS = [
    plain("plain.jpg"),
    plain("progressive.jpg", progressive=True),
    plain("subsampled.jpg", subsampling=2),
    plain("restarts.jpg", restart_marker_rows=1),
    plain("numbers-are-rgb.jpg", keep_rgb=True),
    Row("grey.jpg", lambda: jpeg(GREY), Done(of_grey(GREY), ("greys",), off=NEAR)),
    Row("cmyk.jpg", lambda: jpeg(_inks()), Done(RGB, ("CMYK",), off=NEAR)),
    Row("twelve-bits.jpg", lambda: _with_twelve_bits(jpeg(RGB)), Refused(("12 bits",))),
    Row("jpeg-named.png", lambda: jpeg(RGB), Done(RGB, off=NEAR)),
    Row("png-named.jpg", lambda: pillow(RGB, "PNG"), Done(RGB)),
]


def _with_twelve_bits(data: bytes) -> bytes:
    assert TWELVE in data
    return data.replace(TWELVE, bytes([255, 0xC1, 0, 17, 12]))


TURNED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda a: np.rot90(a, 2),
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    8: np.rot90,
}


def turned(number: int, kind: int = SHORT, order: str = "<") -> Callable[[], bytes]:
    """A file that is upright when it is turned as its tag says."""
    undo = {6: 8, 8: 6}.get(number, number)
    array = np.ascontiguousarray(TURNED[undo](RGB))
    exif = b"Exif\0\0" + tiff(Page({274: (kind, [number])}), order=order)
    return lambda: jpeg(array, segment(0xE1, exif))


UPRIGHT = ("upright",)
ORIENTATIONS = [
    *(
        Row(f"turned-{n}.jpg", turned(n), Done(RGB, UPRIGHT, off=NEAR, kept={"orientation": 1}), to=".jpg")
        for n in TURNED
    ),
    Row("turned-big-endian.jpg", turned(6, order=">"), Done(RGB, UPRIGHT, off=NEAR), to=".jpg"),
    # Some phones write the number as one of 32 bits.
    Row("turned-long.jpg", turned(6, LONG), Done(RGB, UPRIGHT, off=NEAR, kept={"orientation": 1}), to=".jpg"),
]

CANON: Tags = {
    271: (ASCII, b"Canon\0"),
    272: (ASCII, b"Canon EOS 40D\0"),
    274: (SHORT, [1]),
    315: (ASCII, b"A Painter\0"),
}


def _note(at: int) -> bytes:
    """A maker's note, whose places count from the header of all EXIF, as Canon's do; it stands `at` so many bytes."""
    values = [
        (6, b"Canon EOS 40D".ljust(32, b"\0")),
        (7, b"Firmware 1.0.8".ljust(24, b"\0")),
        (9, b"Owner Name".ljust(32, b"\0")),
    ]
    place, rows, rest = at + 2 + 12 * len(values) + 4, struct.pack("<H", len(values)), b""
    for tag, data in values:
        rows += struct.pack("<HHII", tag, 2, len(data), place + len(rest))
        rest += data
    return rows + bytes(4) + rest


def canon(tags: Tags = CANON) -> bytes:
    """EXIF with a maker's note that leads to the right places."""
    at = 0
    for _ in range(2):
        below = Page(
            {33434: (RATIONAL, [1, 60]), MAKER_NOTE: (UNDEFINED, _note(at)), 36867: (ASCII, b"1891:05:04 10:00:00\0")}
        )
        data = tiff(Page(tags, pointers={EXIF_IFD: below}))
        at = data.find(_note(at)[:2] + _note(at)[2:10])
    return b"Exif\0\0" + data


CAPTION = b"Harbour, 1891"
RESOURCES = photoshop((0x0404, iptc(r120=CAPTION, r025=b"glass plate")), (0x040A, b"\1"))
THUMBNAIL = pillow(RGB[::4, ::4].copy(), "JPEG", quality=20, comment=b"small copy of the source")
SMALL_COPY = struct.pack(">IIIIIIHH", 1, 14, 10, 42, 420, len(THUMBNAIL), 24, 1) + THUMBNAIL
PACKET = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    b'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" %s>%s</rdf:Description>'
    b'</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
DUBLIN = b'xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="inventory 1891-17"'
IMAGES = b'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:xmpGImg="http://ns.adobe.com/xap/1.0/g/img/"'
XMP_COPY = (
    b'<xmp:Thumbnails><rdf:Alt><rdf:li rdf:parseType="Resource"><xmpGImg:format>JPEG</xmpGImg:format><xmpGImg:image>'
    b"/9j/4AAQSkZJRgAB</xmpGImg:image></rdf:li></rdf:Alt></xmp:Thumbnails>"
)
CREDENTIALS = (
    b"JP\0\1\0\0\0\1" + struct.pack(">I", 60) + b"jumb" + struct.pack(">I", 30) + b"jumdc2pa\0\x11\0\x10c2pa.claim"
)


def kept(name: str, make: Callable[[], bytes], *words: str, **done: object) -> Row:
    """A row whose metadata are looked at in a JPEG file."""
    return Row(name, make, Done(RGB, **{"words": words, "off": NEAR, **done}), to=".jpg")  # type: ignore[arg-type]


ADOBE = profiles.matrix_profile(profiles.ADOBE, profiles.ADOBE_GAMMA)
IN_ADOBE = eight(profiles.in_space(VALUES, profiles.ADOBE, profiles.ADOBE_GAMMA))


def _adobe_by_name() -> bytes:
    """Cameras say Adobe RGB without a profile: as "uncalibrated", and R03 as the kind of interoperability (DCF 2.0)."""
    inner = Page({1: (ASCII, b"R03\0"), 2: (UNDEFINED, b"0100")})
    below = Page({40961: (SHORT, [65535])}, pointers={INTEROP_IFD: inner})
    return jpeg(IN_ADOBE, app1(Page({271: (ASCII, b"Canon\0")}, pointers={EXIF_IFD: below})))


def _in_two_segments() -> bytes:
    """A profile that is longer than a segment."""
    icc = ADOBE + bytes(70_000)
    icc = struct.pack(">I", len(icc)) + icc[4:]
    return jpeg(IN_ADOBE, icc_profile=icc)


METADATA = [
    kept(
        "maker-notes.jpg",
        lambda: jpeg(RGB, segment(0xE1, canon())),
        words=None,
        kept={"owner": b"Owner Name"},
        or_told="maker",
    ),
    kept(
        "maker-notes-turned.jpg",
        lambda: jpeg(np.ascontiguousarray(np.rot90(RGB)), segment(0xE1, canon(CANON | {274: (SHORT, [6])}))),
        words=None,
        kept={"owner": b"Owner Name"},
        or_told="maker",
    ),
    kept("iptc.jpg", lambda: jpeg(RGB, segment(0xED, b"Photoshop 3.0\0" + RESOURCES)), has=(CAPTION,)),
    kept("comment.jpg", lambda: jpeg(RGB, comment=b"glass plate 17"), kept={"comment": b"glass plate 17"}),
    kept("xmp.jpg", lambda: jpeg(RGB, xmp_segment(PACKET % (DUBLIN, b""))), has=(b"inventory 1891-17",)),
    # What shows the picture as it was, small, would still show it afterwards.
    Row(
        "small-copy-of-photoshop.jpg",
        lambda: jpeg(RGB, segment(0xED, b"Photoshop 3.0\0" + RESOURCES + photoshop((0x040C, SMALL_COPY)))),
        Done(RGB, None, off=NEAR, has=(CAPTION,), lacks=(b"small copy of the source",)),
        to=".jpg",
    ),
    Row(
        "small-copy-in-xmp.jpg",
        lambda: jpeg(RGB, xmp_segment(PACKET % (DUBLIN + b" " + IMAGES, XMP_COPY))),
        Done(RGB, None, off=NEAR, has=(b"inventory 1891-17",), lacks=(b"/9j/4AAQ",)),
        to=".jpg",
    ),
    # They vouch for pixels that are no longer there.
    kept(
        "content-credentials.jpg",
        lambda: jpeg(RGB, segment(0xEB, CREDENTIALS)),
        "content credentials",
        lacks=(b"c2pa",),
    ),
    kept("profile.jpg", lambda: jpeg(IN_ADOBE, icc_profile=ADOBE), "ICC profile", kept={"profile": True}),
    kept("long-profile.jpg", _in_two_segments, "ICC profile", kept={"profile": True}),
    kept("adobe-without-profile.jpg", _adobe_by_name, "Adobe RGB"),
    kept(
        "wrong-profile.jpg", lambda: jpeg(RGB, icc_profile=profiles.grey_profile(1)), "profile", kept={"profile": False}
    ),
    Row(
        "inks.jpg",
        lambda: jpeg(_inks(), icc_profile=profiles.inks_profile()),
        Done(RGB, ("CMYK", "ICC profile"), off=NEAR, kept={"profile": False}),
        to=".jpg",
    ),
    Row(
        "grey-profile.jpg",
        lambda: jpeg(eight(profiles.of_srgb(VALUES))[..., 1], icc_profile=profiles.grey_profile(1)),
        Done(of_grey(GREY), ("greys",), off=NEAR, kept={"profile": False}),
        to=".jpg",
    ),
    kept("resolution.jpg", lambda: jpeg(RGB, dpi=(300, 300)), kept={"dpi": (300, 300)}),
    kept("no-resolution.jpg", lambda: jpeg(RGB), kept={"dpi": None}),
    kept("resolution-in-cm.jpg", lambda: _density(2, 118), kept={"dpi": (118 * 2.54, 118 * 2.54)}),
]


def _density(unit: int, number: int) -> bytes:
    data = bytearray(jpeg(RGB))
    assert data[6:10] == b"JFIF"
    data[13:18] = struct.pack(">BHH", unit, number, number)
    return bytes(data)


GAIN = pillow(GREY[::2, ::2].copy(), "JPEG")
MOVIE = struct.pack(">I", 24) + b"ftypmp42\0\0\0\0isommp42" + struct.pack(">I", 408) + b"mdat" + bytes(400)
HDR = (
    b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0" '
    b'xmlns:Container="http://ns.google.com/photos/1.0/container/" '
    b'xmlns:Item="http://ns.google.com/photos/1.0/container/item/"'
)
DIRECTORY = (
    b'<Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="Primary" '
    b'Item:Mime="image/jpeg"/></rdf:li><rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="%s" '
    b'Item:Mime="%s" Item:Length="%d"/></rdf:li></rdf:Seq></Container:Directory>'
)
MOTION = (
    b'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1" '
    b'xmlns:Container="http://ns.google.com/photos/1.0/container/" '
    b'xmlns:Item="http://ns.google.com/photos/1.0/container/item/"'
)


def _mpf(size: int, offset: int, length: int) -> bytes:
    """The index of a file of two pictures (CIPA DC-007)."""
    entries = struct.pack("<IIIHH", 0x030000, size, 0, 0, 0) + struct.pack("<IIIHH", 0, length, offset, 0, 0)
    tags: Tags = {0xB000: (UNDEFINED, b"0100"), 0xB001: (LONG, [2]), 0xB002: (UNDEFINED, entries)}
    return segment(0xE2, b"MPF\0" + tiff(Page(tags)))


def two(second: bytes, *segments: bytes) -> bytes:
    """A file with a second picture behind the first."""
    first = jpeg(RGB, *segments)
    size = len(first) + len(_mpf(0, 0, 0))
    begin = 2 + sum(map(len, segments))
    return first[:begin] + _mpf(size, size - begin - 8, len(second)) + first[begin:] + second


def gain_map() -> bytes:
    return two(GAIN, xmp_segment(PACKET % (HDR, DIRECTORY % (b"GainMap", b"image/jpeg", len(GAIN)))))


SAMSUNG = (
    MOVIE + b"SEFH" + struct.pack("<IIHHII", 106, 1, 0, 0xA30, len(MOVIE), len(MOVIE)) + struct.pack("<I", 24) + b"SEFT"
)
BEHIND = [
    kept("gain-map.jpg", gain_map, "gain map", lacks=(b"hdrgm:Version", b"GainMap", b"MPF\0")),
    # Newer phones say it by a segment of ISO 21496-1 alone.
    kept(
        "gain-map-iso.jpg",
        lambda: two(GAIN, segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + bytes(4))),
        "gain map",
        lacks=(b"21496", b"MPF\0"),
    ),
    kept("two-pictures.jpg", lambda: two(jpeg(255 - RGB)), "only the first|behind the picture", lacks=(b"MPF\0",)),
    kept(
        "motion.jpg",
        lambda: (
            jpeg(RGB, xmp_segment(PACKET % (MOTION, DIRECTORY % (b"MotionPhoto", b"video/mp4", len(MOVIE))))) + MOVIE
        ),
        "video",
        lacks=(b"ftypmp42", b'MotionPhoto="1"', b"video/mp4"),
    ),
    kept("motion-of-samsung.jpg", lambda: jpeg(RGB) + SAMSUNG, "video|behind the picture", lacks=(b"SEFT",)),
    kept("zeros-behind.jpg", lambda: jpeg(RGB) + bytes(500)),
]

DAMAGE = [
    Row("no-end.jpg", lambda: jpeg(RGB)[:-2], Done(RGB, ("breaks off",), off=NEAR)),
    Row("half.jpg", lambda: jpeg(RGB)[: len(jpeg(RGB)) // 2], DAMAGED),
    # As from a card that was read again after it had failed: of the right length, but empty behind.
    Row("half-empty.jpg", lambda: jpeg(RGB)[: len(jpeg(RGB)) // 2] + bytes(len(jpeg(RGB)) // 2), DAMAGED),
    Row("a-line-before.jpg", lambda: b"\n" + jpeg(RGB), Refused(("not a picture",), damaged=None)),
    Row("a-page.jpg", lambda: b"<!DOCTYPE html><title>404</title>", Refused(("picture",), damaged=None)),
    Row("empty.jpg", lambda: b"", Refused(("empty",), damaged=True)),
]

ROWS = [*ENCODINGS, *ORIENTATIONS, *METADATA, *BEHIND, *DAMAGE]
