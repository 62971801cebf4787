"""Metadata of picture files: orientation, and all that is carried from a file to its translation.

Damaged metadata never stops a picture; it is left out, and said. So is all that a translation cannot have: other
pictures behind the picture, and seals on the source. Tags are numbered as in Exif 3.0 (CIPA DC-008) and TIFF 6.0.
"""

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from PIL import Image

from sincut.pictures import boxes, chunks, coding, exif, ifd, imprint, jpeg, photoshop, scans, segments, tiff_exif, xmp
from sincut.pictures.modes import GREY, IN_PROFILE
from sincut.pictures.picture import Metadata
from sincut.pictures.profiles import UNUSABLE

ORIENTATION = exif.ORIENTATION
MOST_DPI = 1e6  # a larger resolution is damage
UPRIGHT = "turned upright as its EXIF orientation says"
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
BELOW_DROPPED = "the other pictures in its SubIFDs were dropped"
TAKEN_FOR_ADOBE = "taken for Adobe RGB, as its EXIF says; that is written as an ICC profile"
BMP_HEADER, PPM_BYTES = 138, 4096  # bytes that are looked at
# Two or three numbers, with comments between them (https://netpbm.sourceforge.net/doc/ppm.html).
PPM_HEADER = re.compile(rb"P[14]((\s|#[^\n]*\n)+\d+){2}|P[2356]((\s|#[^\n]*\n)+\d+){3}")
LAYERS_DROPPED = "its Photoshop layers were dropped"
LESS_SHARP = "its last scans are missing, so it is less sharp than it was"
# As Adobe's programs write CMYK, and Pillow and libvips take all of it; an Adobe marker would tell.
INKS_INVERTED = "its CMYK, without an Adobe marker, was taken as inverted (0 is all ink)"
# Pillow's parser of EXIF raises any of these on damaged tags.
DAMAGED_EXIF = (
    *(ValueError, TypeError, AttributeError, SyntaxError, LookupError, OSError, RuntimeError, ArithmeticError),
    struct.error,
)


class Carried(NamedTuple):
    """All that a file carries beside its pixels."""

    metadata: Metadata = Metadata()
    grey: bool = False  # the file knows no colours
    jpeg: Mapping[str, Any] = {}  # Pillow's options that repeat its compression; empty for what is no JPEG in colour
    notes: tuple[str, ...] = ()  # on what a translation does not keep of it
    orientation: int = 1  # of EXIF, 1 to 8; 1 is upright


@dataclass
class _Raw:
    """Metadata as it stands in a file."""

    icc: bytes | None = None
    exif: bytes = b""
    xmp: bytes = b""
    photoshop: bytes = b""
    dpi: tuple[float, float] | None = None
    comments: tuple[bytes, ...] = ()
    chunks: tuple[tuple[bytes, bytes], ...] = ()
    notes: list[str] = field(default_factory=list)
    orientation: int = 0  # 0: none
    own: bytes = b""  # the text that says of a PNG file how sincut made it


def carried_by(image: Image.Image, source: Path) -> Carried:
    """The metadata of the file of a lazy image; damaged parts are left out. Raises OSError of the system."""
    return _carried(image, _raw(image, source))


def imprint_in(image: Image.Image, source: Path) -> imprint.Imprint | None:
    """What the file of a lazy image says of its making by sincut; None if nothing. Raises OSError of the system."""
    raw = _raw(image, source)
    return imprint.read(raw.xmp, raw.own)


def _raw(image: Image.Image, source: Path) -> _Raw:
    with source.open("rb") as file:
        reader = _READERS.get(str(image.format))
        return reader(image, file) if reader else _of_info(image)


def carried_in_info(image: Image.Image) -> Carried:
    """The metadata in the `info` of any image, wherever it came from; damaged parts are left out."""
    return _carried(image, _of_info(image))


def is_grey(image: Image.Image) -> bool:
    """True if the file knows no colours; of 16-bit greys with alpha, which Pillow decodes as RGBA, not known later."""
    return image.mode in GREY or any(str(tile[3]).startswith("LA") for tile in getattr(image, "tile", ()))


def turned_upright(image: Image.Image, orientation: int) -> Image.Image:
    """The decoded image turned upright from an EXIF orientation; itself where nothing is to turn.

    Pillow turns TIFF files itself when it decodes them.
    """
    turn = TURNS.get(orientation)
    return image if turn is None or image.format == "TIFF" else image.transpose(turn)


@contextmanager
def _left_out_if_damaged() -> Iterator[None]:
    """End the block where Pillow stumbles over damaged metadata; errors of the system pass."""
    try:
        yield
    except DAMAGED_EXIF as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise


def _carried(image: Image.Image, raw: _Raw) -> Carried:
    if not raw.icc and image.mode in IN_PROFILE and not is_grey(image) and exif.is_adobe_rgb(exif.tags_of(raw.exif)):
        raw.icc = coding.profile(coding.D65, coding.ADOBE, coding.ADOBE_CURVE, grey=False)
        raw.notes.append(TAKEN_FOR_ADOBE)
    metadata, notes, orientation = _kept(raw)
    return Carried(metadata, is_grey(image), jpeg.options_of(image), notes, orientation)


def _kept(raw: _Raw) -> tuple[Metadata, tuple[str, ...], int]:
    """The part of a file's metadata that is true of its translation, notes on the rest, and the orientation."""
    notes, resources, data = list(raw.notes), None, raw.exif or None
    tags = exif.tags_of(data)
    orientation = raw.orientation or exif.orientation_in(tags) or xmp.orientation_in(raw.xmp) or 1
    orientation = orientation if orientation in range(2, 9) else 1
    if data:
        data, lost = exif.upright(data, orientation)
        notes += lost
    if raw.photoshop:
        resources, lost = photoshop.kept(raw.photoshop, orientation != 1)
        notes += lost
    packet = xmp.upright(raw.xmp) or None
    dpi = _resolution(raw.dpi) or _resolution(exif.resolution_in(tags))
    dpi = dpi[::-1] if dpi and orientation >= 5 else dpi
    metadata = Metadata(raw.icc, data, packet, dpi, resources, raw.comments, raw.chunks)
    return metadata, tuple(dict.fromkeys(notes)), orientation


def _of_info(image: Image.Image) -> _Raw:
    """Metadata as Pillow has put it into an image's `info`."""
    info = image.info
    packet, data, orientation = info.get("xmp") or info.get("XML:com.adobe.xmp") or b"", b"", 1
    with _left_out_if_damaged():
        orientation = image.getexif().get(ORIENTATION, 1)
        data = info.get("exif") or (image.getexif().tobytes() if image.getexif() else b"")
    if data and not data.startswith(b"Exif\0\0"):
        data = b"Exif\0\0" + data
    comment = info.get("comment")
    comments = (comment.encode() if isinstance(comment, str) else comment,) if comment else ()
    if image.format == "TIFF":
        data = ifd.as_exif(exif.for_tiff(data))
    dpi = None if info.get("dpi") == (1, 1) else info.get("dpi")  # as Pillow has it where TIFF tells none
    packet = packet.encode() if isinstance(packet, str) else packet
    icc = info.get("icc_profile") or None
    return _Raw(icc, data, packet, dpi=dpi, comments=comments, orientation=orientation)


def _of_jpeg(image: Image.Image, file: BinaryIO) -> _Raw:
    held = segments.read(file)
    unit, across, down = held.density or (0, 0, 0)
    scale = {1: 1.0, 2: 2.54}.get(unit)
    dpi = (across * scale, down * scale) if scale else None
    notes = [*segments.notes(held, listed=image.format == "MPO"), *_oblong(across, down, unit == 0)]
    icc, comments = image.info.get("icc_profile") or None, tuple(held.comments)
    notes += [UNUSABLE] if held.profile and not icc else []
    notes += [INKS_INVERTED] if image.mode == "CMYK" and "adobe" not in image.info else []
    notes += [LESS_SHARP] if "progressive" in image.info and scans.lost(file).precision else []
    return _Raw(icc, held.exif, held.xmp, held.photoshop, dpi, comments, notes=notes)


def _of_png(image: Image.Image, file: BinaryIO) -> _Raw:
    held = chunks.read(file)
    across, down, unit = held.density or (0, 0, 0)
    dpi = (across / chunks.METRE, down / chunks.METRE) if unit == 1 else None
    icc = image.info.get("icc_profile") or None
    colours = coding.of_png(held.colours, icc, is_grey(image))
    kept, notes = (*colours.kept, *held.texts), [*chunks.notes(held), *colours.notes, *_oblong(across, down, unit == 0)]
    notes += [UNUSABLE] if b"iCCP" in held.colours and not icc else []
    return _Raw(colours.icc, held.exif, held.xmp, held.photoshop, dpi, chunks=kept, notes=notes, own=held.own)


def _of_tiff(image: Image.Image, file: BinaryIO) -> _Raw:
    try:
        return _of_tags(ifd.Stream(file))
    except (ValueError, struct.error, RecursionError):
        return _Raw(image.info.get("icc_profile") or None, notes=[exif.DAMAGED])


def _of_heif(image: Image.Image, file: BinaryIO) -> _Raw:
    """Metadata of HEIC and AVIF files: what Pillow's readers tell, and what lies behind the picture."""
    raw, held = _of_info(image), boxes.of_heif(file)
    raw.icc = raw.icc or held.icc or None
    raw.notes += held.notes
    if image.format == "AVIF" and raw.exif and not _stands_in(file, raw.exif.removeprefix(b"Exif\0\0")):
        moved, lost = exif.moved(raw.exif)
        raw.exif = moved or b""
        raw.notes += lost
    if held.code_points and not raw.icc:
        colours = coding.of_code_points(*held.code_points, is_grey(image))
        raw.icc, raw.chunks = colours.icc, colours.kept
        raw.notes += colours.notes
    return raw


def _stands_in(file: BinaryIO, data: bytes) -> bool:
    """True if a file has these bytes; Pillow writes EXIF anew where the file turns its picture otherwise."""
    file.seek(0)
    return data in file.read()


def _of_jpeg2000(image: Image.Image, file: BinaryIO) -> _Raw:
    raw, held = _of_info(image), boxes.of_jpeg2000(file)
    raw.icc, raw.exif = raw.icc or held.icc or None, raw.exif or held.exif
    raw.xmp, raw.photoshop = raw.xmp or held.xmp, held.photoshop
    raw.notes += held.notes
    return raw


def _of_webp(image: Image.Image, file: BinaryIO) -> _Raw:
    raw = _of_info(image)
    raw.notes += boxes.notes_of_webp(file)
    return raw


def _of_bmp(image: Image.Image, file: BinaryIO) -> _Raw:
    """The resolution and the profile of a BMP file (its header of version 5)."""
    raw, head = _of_info(image), file.read(BMP_HEADER)
    if len(head) == BMP_HEADER and head[14:18] == struct.pack("<L", BMP_HEADER - 14) and head[70:74] == b"DEBM":
        at, size = struct.unpack_from("<LL", head, 126)
        file.seek(14 + at)
        raw.icc = file.read(min(size, ifd.MOST_BYTES)) or None
    return raw


def _of_ppm(image: Image.Image, file: BinaryIO) -> _Raw:
    """The comments in the header of a PPM file."""
    raw, head = _of_info(image), PPM_HEADER.match(file.read(PPM_BYTES))
    raw.notes += [segments.BEHIND_DROPPED] if head and _is_followed(image, file, head) else []
    raw.comments = tuple(line[1:].strip() for line in re.findall(rb"#[^\n]*", head[0])) if head else ()
    return raw


def _is_followed(image: Image.Image, file: BinaryIO, head: re.Match[bytes]) -> bool:
    """True if something lies behind the pixels of a PPM file whose numbers are not written out."""
    kind, most = head[0][1], int(head[0].split()[-1])
    line = (
        -(-image.width // 8) if kind == ord("4") else image.width * (3 if kind == ord("6") else 1) * (1 + (most > 255))
    )
    file.seek(head.end() + 1 + line * image.height)
    return kind in b"456" and bool(file.read(PPM_BYTES).strip(b"\0 \n\r\t"))


def _of_gif(image: Image.Image, file: BinaryIO) -> _Raw:
    raw = _of_info(image)
    raw.xmp = raw.xmp or xmp.in_gif(file)
    return raw


def _of_tags(stream: ifd.Stream) -> _Raw:
    """Metadata of a TIFF file. Raises ValueError where it is damaged beyond reading."""
    tags, (data, notes) = _own_tags(stream), exif.of_tiff(stream)
    if exif.LAYERS_TAG in tags:
        notes.append(LAYERS_DROPPED)
    if exif.CREDENTIALS_TAG in tags:
        notes.append(segments.CREDENTIALS_DROPPED)
    icc, packet, iptc, resources = (
        tags[tag].data if tag in tags else b""
        for tag in (exif.ICC_TAG, exif.XMP_TAG, exif.IPTC_TAG, exif.PHOTOSHOP_TAG)
    )
    if any(not is_reduced for is_reduced in exif.pictures_below(stream)):
        notes.append(BELOW_DROPPED)
    across, down, unit = (next(iter(ifd.numbers(tags.get(tag))), 0) for tag in tiff_exif.RESOLUTION)
    notes += _oblong(across, down, unit == exif.NO_UNIT)
    dpi = exif.resolution_in(tags)
    blocks, orientation = photoshop.with_iptc(resources, iptc), exif.orientation_in(tags)
    return _Raw(icc or None, data or b"", packet, blocks, dpi, notes=notes, orientation=orientation)


def _own_tags(stream: ifd.Stream) -> ifd.Directory:
    """The tags of a TIFF file that are no EXIF, as far as they are metadata."""
    beside = {exif.XMP_TAG, exif.IPTC_TAG, exif.PHOTOSHOP_TAG, exif.ICC_TAG, exif.LAYERS_TAG, exif.CREDENTIALS_TAG}
    wanted = {ORIENTATION, exif.X_RESOLUTION, exif.Y_RESOLUTION, exif.UNIT, *beside}
    return stream.directory(stream.start, left_out=set(range(2**16)) - wanted)


def _oblong(across: float, down: float, without_unit: bool) -> list[str]:
    """The note that a proportion of pixels is left out, which a resolution without a unit tells."""
    proportion = without_unit and across > 0 and down > 0 and across != down
    return [f"its pixels are not square ({down:g}:{across:g}); that was left out"] if proportion else []


def _resolution(dpi: Any) -> tuple[float, float] | None:
    """Dots per inch, across and down; None where a file says none that make sense."""
    try:
        x, y = (float(value) for value in dpi)
    except (TypeError, ValueError, ArithmeticError):
        return None
    return (x, y) if 0 < x < MOST_DPI and 0 < y < MOST_DPI else None


_READERS: Mapping[str, Callable[[Image.Image, BinaryIO], _Raw]] = {
    **{"JPEG": _of_jpeg, "MPO": _of_jpeg, "PNG": _of_png, "TIFF": _of_tiff, "HEIF": _of_heif, "AVIF": _of_heif},
    **{"JPEG2000": _of_jpeg2000, "GIF": _of_gif, "WEBP": _of_webp, "BMP": _of_bmp, "DIB": _of_bmp, "PPM": _of_ppm},
}
