"""EXIF (Exif 3.0, CIPA DC-008): kept byte for byte where it can be, and taken over tag by tag into and from TIFF files.

EXIF of JPEG, PNG, WebP, AVIF and HEIC is a stream of its own, in which everything has its place. Maker notes, a camera
maker's own tags, mostly count their places from the start of that stream and are unusable anywhere else, so the stream
is changed in place only: tags are taken out of its lists, and no value is moved.
"""

import io
import re
import struct
from collections.abc import Collection, Mapping
from typing import NamedTuple

from sincut.pictures import ifd
from sincut.pictures.ifd import EXIF_IFD, Directory, Entry, Stream

ORIENTATION, MAKER_NOTE, X_RESOLUTION, Y_RESOLUTION, UNIT = 0x0112, 0x927C, 282, 283, 296
WIDTH, HEIGHT = 0xA002, 0xA003  # of the picture, as EXIF has them
NO_UNIT, INCH, CENTIMETRE = 1, 2, 3
MOST_BELOW = 64  # pictures in sub-directories that are looked at
COLOUR_SPACE, ADOBE_RGB, UNCALIBRATED = 0xA001, 2, 0xFFFF
XMP_TAG, IPTC_TAG, PHOTOSHOP_TAG, ICC_TAG, LAYERS_TAG, CREDENTIALS_TAG = 700, 0x83BB, 0x8649, 34675, 37724, 0xCD41
SUB_DIRECTORIES = 330  # other pictures of a TIFF file
# Tags that say where and how a TIFF file keeps its pixels, profile and other blocks; those are written anew.
LAYOUT = frozenset(
    {
        *(*range(254, 267), 273, 274, *range(277, 285), *range(290, 294), 296, 317, *range(320, 329), 330),
        *(*range(332, 349), 351, 400, 401, *range(433, 436), *range(512, 522), *range(529, 533), 559, 700),
        *(33723, 34377, 34675, 34732, 37724, 50674, 0xCD41),
        *(set(range(50706, 50999)) - {50838, 50839, 50844, 50908, 50909}),  # of DNG; not ImageJ's and those of maps
    }
)
PICTURES = {SUB_DIRECTORIES, 513, 514, LAYERS_TAG, CREDENTIALS_TAG}  # other pictures, and seals on this one
# Beginnings of maker notes that count places from their own start, or have none (ExifTool 13, MakerNotes.pm).
SELF_CONTAINED = (
    *(b"Apple iOS\0", b"Nikon\0\x02", b"FUJIFILM", b"GENERALE", b"OLYMPUS\0", b"OM SYSTEM\0", b"PENTAX \0", b"HDRP"),
    *(b"RICOH\0II", b"RICOH\0MM", b"MOT\0", b"SEMC MS\0", b"KYOCERA", b"ISLMAKERNOTE000\0", b"[ae_dbg_info:"),
)
TEXT = re.compile(rb"[\t\r\n -~]*\0*")  # maker notes without places
DAMAGED = "some of its EXIF is damaged and was left out"
NOTES_DROPPED = "its maker notes (the camera maker's own EXIF) were dropped, as they cannot be moved"


class Upright(NamedTuple):
    """EXIF without orientation and thumbnail, and notes on what else was left out."""

    exif: bytes | None
    notes: list[str]


def upright(exif: bytes, orientation: int = 1) -> Upright:
    """EXIF of a picture that is turned upright from `orientation`, changed in place; None where nothing is left of it.

    Orientation, thumbnail and other pictures are taken out; width and height change places with a picture on its side.
    """
    prefix = b"Exif\0\0"
    data = bytearray(exif.removeprefix(prefix))
    try:
        stream = ifd.stream_of(bytes(data))
        rows, thumbnail = stream.rows(stream.start)
        whole = stream.directory(stream.start, left_out={ORIENTATION, *PICTURES})
        end = stream.end(stream.start, whole)
        if thumbnail:
            _blank_pictures(data, stream, thumbnail)
        kept = [row for _, row in rows if _tag(stream, row) not in {ORIENTATION, *PICTURES}]
        _write_rows(data, stream, rows, kept)
        if orientation >= 5:
            _swap_sides(data, whole)
        del data[end + end % 2 :]  # thumbnails stand there, and previews that no tag points to
    except (ValueError, struct.error, RecursionError):
        return Upright(None, [DAMAGED])
    return Upright(prefix + bytes(data) if whole else None, [DAMAGED] if stream.damaged else [])


def of_tiff(stream: Stream) -> Upright:
    """EXIF of a TIFF file, as a stream of its own; maker notes that cannot be moved are left out."""
    try:
        tags = stream.directory(stream.start, left_out=LAYOUT)
    except (ValueError, struct.error, RecursionError):
        return Upright(None, [DAMAGED])
    tags = {tag: entry for tag, entry in tags.items() if entry.kind not in (ifd.IFD, ifd.IFD8)}
    notes = [DAMAGED] if stream.damaged else []
    if has_bound_notes(tags):
        tags = without_notes(tags)
        notes.append(NOTES_DROPPED)
    return Upright(ifd.as_exif(tags) if tags else None, notes)


def pictures_below(stream: Stream) -> list[bool]:
    """For each picture in the sub-directories of a TIFF file's first picture, True if it is a smaller copy of that."""
    try:
        tags = stream.directory(stream.start, left_out=set(range(2**16)) - {SUB_DIRECTORIES, 256, 257})
        width, height = (next(iter(ifd.numbers(tags.get(tag))), 0) for tag in (256, 257))
        copies = []
        for start in list(ifd.numbers(tags.get(SUB_DIRECTORIES)))[:MOST_BELOW]:
            own = stream.directory(int(start), left_out=set(range(2**16)) - {254, 256, 257})
            kind, w, h = (next(iter(ifd.numbers(own.get(tag))), 0) for tag in (254, 256, 257))
            copies.append(bool(int(kind) & 1) or (w <= width / 2 + 1 and h <= height / 2 + 1))
    except (ValueError, struct.error, RecursionError):
        return []
    return copies


def in_srgb(exif: bytes) -> bytes:
    """EXIF that does not say Adobe RGB, changed in place, of a picture that is written in sRGB."""
    tags = tags_of(exif)
    if not is_adobe_rgb(tags):
        return exif
    below = tags[EXIF_IFD].below or {}
    data, order = bytearray(exif.removeprefix(b"Exif\0\0")), ifd.stream_of(exif).order
    struct.pack_into(f"{order}H", data, below[COLOUR_SPACE].at, 1)
    if 1 in (between := below[ifd.INTEROP_IFD].below or {} if ifd.INTEROP_IFD in below else {}):
        data[between[1].at : between[1].at + 3] = b"R98"
    return b"Exif\0\0" + bytes(data)


def for_tiff(exif: bytes | None) -> Directory:
    """The tags of EXIF for a TIFF file, without those that describe the pixels of another file; none if it is damaged.

    Maker notes that cannot be moved are left out.
    """
    if not exif:
        return {}
    try:
        stream = ifd.stream_of(exif)
        tags = stream.directory(stream.start, left_out=LAYOUT)
    except (ValueError, struct.error, RecursionError):
        return {}
    return without_notes(tags) if has_bound_notes(tags) else tags


def for_tiff_loses_notes(exif: bytes | None) -> bool:
    """True if EXIF has maker notes that `for_tiff` leaves out."""
    return has_bound_notes(tags_of(exif))


def tags_of(exif: bytes | None) -> Directory:
    """The tags of EXIF; none where there is none, or it is damaged."""
    try:
        stream = ifd.stream_of(exif or b"")
        return stream.directory(stream.start)
    except (ValueError, struct.error, RecursionError):
        return {}


def moved(exif: bytes) -> Upright:
    """EXIF that a library has already written anew, so that maker notes that count places are spoiled: without them."""
    tags = tags_of(exif)
    if not has_bound_notes(tags):
        return Upright(exif, [])
    return Upright(ifd.as_exif(without_notes(tags)), [NOTES_DROPPED])


def has_bound_notes(tags: Directory) -> bool:
    """True if there are maker notes that are unusable anywhere else than where they stood."""
    note = (tags[EXIF_IFD].below or {}).get(MAKER_NOTE) if EXIF_IFD in tags else None
    if note is None or note.data.startswith(SELF_CONTAINED):
        return False
    return not TEXT.fullmatch(note.data)


def without_notes(tags: Directory) -> Directory:
    """The same tags without maker notes."""
    below = {tag: entry for tag, entry in (tags[EXIF_IFD].below or {}).items() if tag != MAKER_NOTE}
    rest = {tag: entry for tag, entry in tags.items() if tag != EXIF_IFD}
    return {**rest, EXIF_IFD: tags[EXIF_IFD]._replace(below=below)} if below else rest


def resolution_in(tags: Mapping[int, Entry]) -> tuple[float, float] | None:
    """Dots per inch, across and down, that tags tell; None where they tell none."""
    x, y = (next(iter(ifd.numbers(tags.get(tag))), 0.0) for tag in (X_RESOLUTION, Y_RESOLUTION))
    unit = next(iter(ifd.numbers(tags.get(UNIT))), INCH)
    if unit not in (INCH, CENTIMETRE):
        return None
    scale = 2.54 if unit == CENTIMETRE else 1.0
    return (x * scale, (y or x) * scale) if x else None


def is_adobe_rgb(tags: Mapping[int, Entry]) -> bool:
    """True if EXIF says that its picture is in Adobe RGB: as cameras do (DCF 2.0), or by a number of its own."""
    inner = tags[EXIF_IFD].below or {} if EXIF_IFD in tags else {}
    space = next(iter(ifd.numbers(inner.get(COLOUR_SPACE))), 1)
    between = inner[ifd.INTEROP_IFD].below or {} if ifd.INTEROP_IFD in inner else {}
    return space == ADOBE_RGB or (space == UNCALIBRATED and 1 in between and between[1].data.startswith(b"R03"))


def orientation_in(tags: Mapping[int, Entry]) -> int:
    """The orientation that tags tell; 0 where they tell none."""
    return int(next(iter(ifd.numbers(tags.get(ORIENTATION))), 0))


def with_resolution(exif: bytes | None, dpi: tuple[float, float]) -> bytes:
    """EXIF that tells a resolution, for formats with none of their own: the list of tags is written anew at the end."""
    told = {tag: _rational(value) for tag, value in zip((X_RESOLUTION, Y_RESOLUTION), dpi, strict=True)}
    told[UNIT] = Entry(ifd.SHORT, 1, struct.pack("<H", INCH))
    tags = tags_of(exif)
    if not exif or not tags:
        return ifd.as_exif(told)
    if X_RESOLUTION in tags and UNIT in tags:
        return exif
    stream = ifd.stream_of(exif)
    data = bytearray(exif.removeprefix(b"Exif\0\0"))
    rows = [row for _, row in stream.rows(stream.start)[0] if _tag(stream, row) not in told]
    data += bytes(-len(data) % ifd.ALIGNMENT)
    for tag, entry in told.items():
        value = _ordered(stream, entry)
        if len(value) > 4:
            data += value
            value = struct.pack(f"{stream.order}L", len(data) - len(value))
        rows.append(struct.pack(f"{stream.order}HHL", tag, entry.kind, entry.length) + value.ljust(4, b"\0"))
    place = len(data)
    rows.sort(key=lambda row: _tag(stream, row))
    data += struct.pack(f"{stream.order}H", len(rows)) + b"".join(rows) + bytes(4)
    struct.pack_into(f"{stream.order}L", data, 4, place)
    return b"Exif\0\0" + bytes(data)


def resolution_tags(dpi: tuple[float, float]) -> Directory:
    """A resolution as tags."""
    x, y = (_rational(value) for value in dpi)
    return {X_RESOLUTION: x, Y_RESOLUTION: y, UNIT: Entry(ifd.SHORT, 1, struct.pack("<H", INCH))}


def _rational(value: float) -> Entry:
    return Entry(ifd.RATIONAL, 1, struct.pack("<LL", round(value * 1000), 1000))


def _ordered(stream: Stream, entry: Entry) -> bytes:
    """A short or rational value in the byte order of a stream."""
    form = "H" if entry.kind == ifd.SHORT else "LL"
    return struct.pack(stream.order + form, *struct.unpack(f"<{form}", entry.data))


def _tag(stream: Stream, row: bytes) -> int:
    return int(struct.unpack_from(f"{stream.order}H", row)[0])


def _write_rows(data: bytearray, stream: Stream, old: Collection[tuple[int, bytes]], rows: list[bytes]) -> None:
    """Write a shorter list of tags, and no next one, where the first list stands."""
    room = 2 + len(old) * stream.entry + 4
    new = struct.pack(f"{stream.order}H", len(rows)) + b"".join(rows)
    data[stream.start : stream.start + room] = new.ljust(room, b"\0")[: len(data) - stream.start]


def _blank_pictures(data: bytearray, stream: Stream, start: int) -> None:
    """Blank the thumbnail whose directory is at `start`, and its directory; what ends the stream is cut off."""
    probe = Stream(io.BytesIO(bytes(data)))
    try:
        rows, _ = probe.rows(start)
        tags = probe.directory(start)
    except (ValueError, struct.error, RecursionError):
        stream.damaged = True
        return
    values = {tag: [int(value) for value in ifd.numbers(entry)] for tag, entry in tags.items()}
    spans = [(start, start + 2 + len(rows) * probe.entry + 4)]
    for places, sizes in ((513, 514), (273, 279)):
        spans += [(at, at + n) for at, n in zip(values.get(places, []), values.get(sizes, []), strict=False)]
    for first, last in spans:
        last = min(last, len(data))
        if 8 <= first < last:
            data[first:last] = bytes(last - first)


def _swap_sides(data: bytearray, tags: Directory) -> None:
    """Let EXIF's width and height change places."""
    below = tags.get(EXIF_IFD)
    sides = [(below.below or {}).get(tag) for tag in (WIDTH, HEIGHT)] if below else []
    if len(sides) == 2 and sides[0] and sides[1]:
        a, b = (side.place for side in sides if side)
        data[a + 2 : a + 12], data[b + 2 : b + 12] = data[b + 2 : b + 12], data[a + 2 : a + 12]
