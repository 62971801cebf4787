"""The chunks of a PNG file that hold metadata (https://www.w3.org/TR/png-3/, section 11.3)."""

import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO

from sincut.pictures import photoshop
from sincut.pictures.segments import CREDENTIALS_DROPPED

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER_END = 33  # bytes of the signature and the first chunk, IHDR
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
COLOURS = (b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"mDCV", b"cLLI")
# Chunks of pixels, and what says how the source has them: they are not true of a translation, or written anew.
TECHNICAL = {
    *(b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"pHYs", b"bKGD", b"hIST", b"sBIT", b"sPLT", b"tIME", b"eXIf"),
    *(b"acTL", b"fcTL", b"fdAT", b"CgBI", b"iDOT", b"gIFg", b"gIFx", *TEXTS, *COLOURS),
}
XMP = b"XML:com.adobe.xmp"
PROFILE = b"Raw profile type "  # keywords of what ImageMagick and ExifTool write into PNG as hex digits
EXIF_PROFILES, IPTC_PROFILES, XMP_PROFILE = (b"exif", b"APP1"), (b"iptc", b"8bim"), b"xmp"
COMMENT = b"Comment"
OWN = b"sincut"  # keyword of what a translation says of its making, see `imprint.py`
CREDENTIALS = "caBX"  # of C2PA
MOST_BYTES = 2**24  # of a chunk of metadata
MOST_TEXT = 2**24  # bytes of a text that is unpacked
METRE = 39.37007874  # inches
EXIF_MARKER = b"Exif\0\0"


@dataclass
class Chunks:
    """What the chunks of a PNG file hold beside pixels."""

    exif: bytes = b""
    xmp: bytes = b""
    photoshop: bytes = b""
    texts: list[tuple[bytes, bytes]] = field(default_factory=list)  # kind and contents of other texts, as they are
    density: tuple[int, int, int] | None = None  # across and down a unit, 1: a metre, 0: none
    colours: dict[bytes, bytes] = field(default_factory=dict)  # contents of `COLOURS` by their kind
    others: list[str] = field(default_factory=list)  # kinds that are not known
    damaged: bool = False  # some could not be read
    own: bytes = b""  # the text `OWN`


def read(file: BinaryIO) -> Chunks:
    """The metadata of an open PNG file. Raises OSError of the system."""
    chunks = Chunks()
    for kind, data in _walk(file, chunks):
        if kind == b"eXIf":
            chunks.exif = EXIF_MARKER + data.removeprefix(EXIF_MARKER)
        elif kind == b"pHYs" and len(data) == 9:
            across, down, unit = struct.unpack(">LLB", data)
            chunks.density = across, down, unit
        elif kind in COLOURS:
            chunks.colours.setdefault(kind, data)
        elif kind in TEXTS:
            _take(chunks, kind, data)
        elif kind not in TECHNICAL:
            chunks.others.append(kind.decode("latin-1"))
    return chunks


def notes(chunks: Chunks) -> list[str]:
    """Notes on what a translation leaves out of them."""
    about = [CREDENTIALS_DROPPED] if CREDENTIALS in chunks.others else []
    others = [name for name in dict.fromkeys(chunks.others) if name != CREDENTIALS]
    if others:
        about.append(f"its PNG chunks {', '.join(others)} were dropped")
    return [*about, *(["some of its texts are damaged or too long and were left out"] if chunks.damaged else [])]


def text_of(kind: bytes, data: bytes) -> bytes:
    """The text of a chunk, unpacked: Latin-1 of tEXt and zTXt, else UTF-8. Raises ValueError for a damaged one."""
    _, _, rest = data.partition(b"\0")
    packed = kind == b"zTXt"
    if kind == b"iTXt":
        packed = rest[:1] == b"\1"
        rest = rest[2:].split(b"\0", 2)[-1]
    elif packed:
        rest = rest[1:]
    if not packed:
        return rest
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(rest, MOST_TEXT)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if unpacker.unconsumed_tail:
        raise ValueError("a text that is too long")
    return text


def comment(data: bytes) -> tuple[bytes, bytes]:
    """A comment, of which only the bytes are known, as a text chunk."""
    if data.isascii():
        return b"tEXt", COMMENT + b"\0" + data.replace(b"\0", b"")
    return b"iTXt", COMMENT + b"\0\0\0\0\0" + utf8(data).replace(b"\0", b"")


def comment_of(kind: bytes, data: bytes) -> bytes | None:
    """The comment that a text chunk holds, in UTF-8; None where it is another text, or damaged."""
    if kind not in TEXTS or data.partition(b"\0")[0] != COMMENT:
        return None
    try:
        text = text_of(kind, data)
    except ValueError:
        return None
    return text if kind == b"iTXt" else text.decode("latin-1").encode()


def utf8(data: bytes) -> bytes:
    """A text in UTF-8 or Latin-1, which nothing tells apart, in UTF-8."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1").encode()
    return data


def written(
    exif: bytes | None, xmp: bytes | None, resources: bytes | None, texts: Iterable[tuple[bytes, bytes]]
) -> bytes:
    """The bytes of chunks that hold this metadata."""
    parts = [(b"eXIf", exif.removeprefix(EXIF_MARKER))] if exif else []
    if xmp:
        parts.append((b"iTXt", XMP + b"\0\0\0\0\0" + xmp.strip(b"\0")))
    if resources:
        digits = resources.hex().encode()
        lines = b"\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
        body = b"\niptc\n%8d\n%s\n" % (len(resources), lines)
        parts.append((b"zTXt", PROFILE + b"iptc\0\0" + zlib.compress(body)))
    parts += texts
    return b"".join(chunk(kind, data) for kind, data in parts)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG stream (section 5.3)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def density_in(file: BinaryIO) -> tuple[int, int] | None:
    """Where the chunk that tells a resolution begins and ends in an open PNG file; None where there is none."""
    for kind, at, size in _places(file):
        if kind == b"pHYs":
            return at - 8, at + size + 4
        if kind == b"IDAT":
            break
    return None


def _take(chunks: Chunks, kind: bytes, data: bytes) -> None:
    """Put a text where it belongs: XMP, profiles in hex digits, or a text like any other."""
    keyword = data.partition(b"\0")[0]
    if keyword == OWN:
        with suppress(ValueError):
            chunks.own = text_of(kind, data)
        return
    if keyword != XMP and not keyword.startswith(PROFILE):
        chunks.texts.append((kind, data))
        return
    try:
        text = text_of(kind, data)
        if keyword == XMP:
            chunks.xmp = text
            return
        name, contents = keyword.removeprefix(PROFILE), bytes.fromhex("".join(text.decode("latin-1").split("\n")[3:]))
    except ValueError:
        chunks.damaged = True
        return
    if name in IPTC_PROFILES:
        chunks.photoshop += (
            contents if contents[:4] in photoshop.SIGNATURES else photoshop.block(photoshop.IPTC, contents)
        )
    elif name in EXIF_PROFILES and contents.startswith(EXIF_MARKER):
        chunks.exif = chunks.exif or contents
    elif name in (XMP_PROFILE, *EXIF_PROFILES):
        chunks.xmp = chunks.xmp or contents[contents.find(b"<") :]


def _walk(file: BinaryIO, chunks: Chunks) -> Iterator[tuple[bytes, bytes]]:
    """Kind and contents of the chunks of an open PNG file that are no pixels; of too long ones `damaged` tells."""
    for kind, at, size in _places(file):
        if kind in (b"IDAT", b"fdAT", b"IHDR", b"PLTE", b"tRNS", b"IEND"):
            continue
        if size > MOST_BYTES:
            chunks.damaged = True
            continue
        file.seek(at)
        data = file.read(size)
        if len(data) == size:
            yield kind, data


def _places(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Kind of each chunk of an open PNG file, where its contents begin, and how many bytes they are."""
    file.seek(0)
    at = len(SIGNATURE)
    if file.read(at) != SIGNATURE:
        return
    while len(head := file.read(8)) == 8:
        size, kind = struct.unpack(">L4s", head)
        yield kind, at + 8, size
        at += size + 12
        file.seek(at)
        if kind == b"IEND":
            return
