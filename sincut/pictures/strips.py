"""Picture files cut into horizontal strips that Pillow decodes one by one, since it decodes files only whole.

A strip of a TIFF file is a small TIFF file of its own: the same bytes of some strips or of a row of tiles, below a
directory that tells of no others. A strip of a PNG file is a small PNG file of the next lines; lines are told by their
differences from the line above, so that one goes along. Of 16 bits a channel the upper 8 are given, as by Pillow. Tags
are those of TIFF 6.0, chunks those of PNG 3 (https://www.w3.org/TR/png-3/).
"""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, TiffImagePlugin

from sincut.pictures.chunks import SIGNATURE, chunk
from sincut.pictures.kind import Kind

MOST_PIXELS = 4_000_000  # of a strip, where the file leaves a choice
PART = 2**20  # bytes of a PNG file that are unpacked at once
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a PNG file, by its colour type
WIDTH, HEIGHT, COMPRESSION, ROWS, PLANAR = 256, 257, 259, 278, 284
STRIPS, TILES = (273, 279), (324, 325)  # tags of the places and the lengths of blocks
TILE_HEIGHT = 323
UNCOMPRESSED, OLD_JPEG = 1, 6
# All that says how a TIFF file's numbers are packed and what they mean.
MEANING = (258, 259, 262, 266, 277, PLANAR, 292, 293, 317, 320, 322, 323, 338, 339, 347, 530, 531, 532)


class Cut(NamedTuple):
    """A file that can be cut: rows of its strips at most, and the strips from top to bottom."""

    rows: int
    images: Iterator[Image.Image]


def cut(path: Path, image: Image.Image, kind: Kind) -> Cut | None:
    """The strips of an opened file, decoded one by one; None where it cannot be cut.

    They are as they lie in the file, not turned. Decoders are called as strips are taken, within `opening.decoding`.
    """
    rows = max(1, MOST_PIXELS // image.width)
    if kind.container == "PNG":
        return _cut_png(path, rows)
    if kind.container == "TIFF" and not (kind.planar or kind.by_libtiff or kind.bands):
        return _cut_tiff(path, image, rows)
    return None


def _cut_png(path: Path, rows: int) -> Cut | None:
    with path.open("rb") as file:
        header = file.read(33)[16:29]
    if len(header) < 13:
        return None
    w, h, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    if interlaced or depth not in (8, 16) or kind not in CHANNELS or (depth, kind) == (16, 0):
        return None
    return Cut(min(rows, h), _strips_of_png(path, rows, (w, h, depth // 8, kind)))


def _strips_of_png(path: Path, rows: int, header: tuple[int, int, int, int]) -> Iterator[Image.Image]:
    w, h, depth, kind = header
    length = CHANNELS[kind] * w  # bytes of a line, of 8 bits
    with path.open("rb") as file:
        kept = list[bytes]()  # the palette, and which colours are transparent
        data, lines, above, done = _idat(file, kept), bytearray(), b"", 0
        while done < h:
            count = min(rows, h - done)
            while len(lines) < count * (1 + length * depth):
                lines += next(data, b"") or _ended()
            part = np.frombuffer(lines, np.uint8, count * (1 + length * depth)).reshape(count, -1)
            upper = np.concatenate([part[:, :1], part[:, 1::depth]], axis=1).tobytes()
            del part, lines[: count * (1 + length * depth)]
            packed = zlib.compress((b"\0" + above if above else b"") + upper, 0)
            chunks = [(b"IHDR", struct.pack(">IIBBBBB", w, count + bool(above), 8, kind, 0, 0, 0))]
            chunks += [(kept[i], kept[i + 1]) for i in range(0, len(kept), 2)]
            small = SIGNATURE + b"".join(chunk(*each) for each in (*chunks, (b"IDAT", packed), (b"IEND", b"")))
            with Image.open(io.BytesIO(small), formats=["PNG"]) as strip:
                strip.load()
                above = strip.crop((0, strip.height - 1, w, strip.height)).tobytes()
                yield strip.crop((0, strip.height - count, w, strip.height))
            done += count


def _idat(file: BinaryIO, kept: list[bytes]) -> Iterator[bytes]:
    """The unpacked lines of a PNG file in parts; what is needed of the chunks before them goes into `kept`."""
    unpack = zlib.decompressobj()
    file.seek(len(SIGNATURE))
    while head := file.read(8):
        left, name = struct.unpack(">I4s", head)
        if name in (b"PLTE", b"tRNS"):
            kept += [name, file.read(left)]
            left = 0
        while name == b"IDAT" and left:
            packed = file.read(min(left, PART)) or _ended()
            left -= len(packed)
            while packed and (lines := unpack.decompress(packed, 8 * PART)):
                yield lines
                packed = unpack.unconsumed_tail
        file.seek(left + 4, 1)


def _ended() -> bytes:
    """Raise what Pillow raises where a file ends before its last line."""
    raise OSError("image file is truncated")


class _Block(NamedTuple):
    """Strips of a TIFF file, or tiles of one row of them, that are decoded together."""

    rows: int
    offsets: tuple[int, ...]
    lengths: tuple[int, ...]


def _cut_tiff(path: Path, image: Image.Image, rows: int) -> Cut | None:
    tags: Any = getattr(image, "tag_v2", {})
    if (
        image.mode.startswith("I;16")
        or tags.get(COMPRESSION, 1) == OLD_JPEG
        or tags.get(PLANAR, 1) != 1
        or WIDTH not in tags
        or HEIGHT not in tags
    ):
        return None
    blocks = list(_blocks(tags, rows))
    if len(blocks) < 2 or sum(block.rows for block in blocks) != tags[HEIGHT]:
        return None
    return Cut(max(block.rows for block in blocks), _strips_of_tiff(path, tags, blocks))


def _blocks(tags: Any, rows: int) -> Iterator[_Block]:
    """The blocks of a TIFF file from top to bottom, each of about so many rows."""
    w, h = tags[WIDTH], tags[HEIGHT]
    places = TILES if TILES[0] in tags else STRIPS
    offsets, lengths = (tuple(tags.get(tag, ())) for tag in places)
    if places == TILES:
        high, across = tags.get(TILE_HEIGHT, 0), -(-w // tags.get(322, w))
    else:
        high, across = min(h, tags.get(ROWS, h)), 1
        bits = sum(tags.get(258, (1,)))
        if len(offsets) == 1 and tags.get(COMPRESSION, 1) == UNCOMPRESSED:  # which can be cut at any line
            line = -(-w * bits // 8)
            high = min(rows, h)
            offsets = tuple(offsets[0] + top * line for top in range(0, h, high))
            lengths = tuple(line * min(high, h - top) for top in range(0, h, high))
    if high < 1 or len(offsets) != len(lengths) or len(offsets) != across * -(-h // high):
        return
    step = across * max(1, rows // high)  # strips of a block, or tiles of it: whole rows of them
    for first in range(0, len(offsets), step):
        top, bottom = first // across * high, min(h, (first + step) // across * high)
        yield _Block(bottom - top, offsets[first : first + step], lengths[first : first + step])


def _strips_of_tiff(path: Path, tags: Any, blocks: list[_Block]) -> Iterator[Image.Image]:
    places = TILES if TILES[0] in tags else STRIPS
    with path.open("rb") as file:
        for block in blocks:
            data = []
            for offset, length in zip(block.offsets, block.lengths, strict=True):
                file.seek(offset)
                data.append(file.read(length))
            directory = TiffImagePlugin.ImageFileDirectory_v2(prefix=tags.prefix)
            for tag in MEANING:
                if tag in tags:
                    directory.tagtype[tag] = tags.tagtype[tag]
                    directory[tag] = tags[tag]
            directory[WIDTH], directory[HEIGHT] = tags[WIDTH], block.rows
            if places == STRIPS:
                directory[ROWS] = min(block.rows, tags.get(ROWS, block.rows))
            small = _tiff(directory, places, data)
            with Image.open(io.BytesIO(small), formats=["TIFF"]) as strip:
                strip.load()
                yield strip.copy()


def _tiff(directory: Any, places: tuple[int, int], data: list[bytes]) -> bytes:
    """The bytes of a TIFF file with this directory and these blocks, whose places are told in it."""
    lengths = [len(block) for block in data]
    for tag in places:
        directory.tagtype[tag] = 4
    directory[places[1]] = tuple(lengths)
    directory[places[0]] = (0,) * len(data)
    if places == STRIPS:  # Pillow counts them from the end of the directory
        starts = [sum(lengths[:index]) for index in range(len(lengths))]
        directory[places[0]] = tuple(starts)
    head = directory.tobytes(8)
    if places == TILES:
        at = 8 + len(head)
        directory[places[0]] = tuple(at + sum(lengths[:index]) for index in range(len(lengths)))
        head = directory.tobytes(8)
    magic = struct.pack("<2sHI" if directory.prefix == b"II" else ">2sHI", directory.prefix, 42, 8)
    return magic + bytes(head) + b"".join(data)
