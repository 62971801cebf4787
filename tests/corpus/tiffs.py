"""TIFF and BigTIFF files written byte by byte (TIFF 6.0; https://www.awaresystems.be/imaging/tiff/bigtiff.html).

No library writes all the layouts that scanners, archives and editors do.
"""

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, LONG8 = 1, 2, 3, 4, 5, 7, 16
CODES = {BYTE: "B", SHORT: "H", LONG: "I", RATIONAL: "I", LONG8: "Q"}
PARTS = {RATIONAL: 2, 12: 8}  # of a value, as they are given: two numbers, or the bytes of one of double precision
NONE, LZW, JPEG, DEFLATE, PACKBITS = 1, 5, 7, 8, 32773
SUB_IFDS = 330
Order = Literal["<", ">"]
Tags = dict[int, tuple[int, Sequence[int] | bytes]]
Encoder = Callable[[np.ndarray], bytes]  # of a strip or tile (h, w, channels)


class Page(NamedTuple):
    """A picture of a file: its tags, its strips or tiles, and pictures in its sub-directories."""

    tags: Tags
    blocks: Sequence[bytes] = ()
    below: "tuple[Page, ...]" = ()
    pointers: "Mapping[int, Page]" = MappingProxyType({})  # directories that other tags lead to, as EXIF's


def tiff(*pages: Page, order: str = "<", big: bool = False, magic: bytes = b"") -> bytes:
    """The bytes of a file; `order` is "<" or ">". With `magic` its first four bytes are others."""
    wide = "Q" if big else "I"
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}H", 43 if big else 42)
    out = bytearray((magic or head) + (struct.pack(f"{order}HHQ", 8, 0, 0) if big else bytes(4)))
    link = 8 if big else 4
    for page in pages:
        where, following = _put(out, page, order, big)
        struct.pack_into(order + wide, out, link, where)
        link = following
    return bytes(out)


def _put(out: bytearray, page: Page, order: str, big: bool) -> tuple[int, int]:
    """Append a page; where its directory begins, and where the place of the next one stands."""
    below = [_put(out, inner, order, big)[0] for inner in page.below]
    pointers: Tags = {tag: (LONG, [_put(out, inner, order, big)[0]]) for tag, inner in page.pointers.items()}
    offsets = []
    for block in page.blocks:
        offsets.append(len(out))
        out += block + bytes(len(block) % 2)
    tiled = 322 in page.tags
    kind, room, wide = (LONG8, 8, "Q") if big else (LONG, 4, "I")
    places: Tags = {324 if tiled else 273: (kind, offsets), 325 if tiled else 279: (kind, [*map(len, page.blocks)])}
    tags = (places if page.blocks else {}) | ({SUB_IFDS: (kind, below)} if below else {}) | pointers | page.tags
    entries = b""
    for tag, (type_, values) in sorted(tags.items()):
        count = len(values) // PARTS.get(type_, 1)
        data = values if isinstance(values, bytes) else struct.pack(f"{order}{len(values)}{CODES[type_]}", *values)
        if len(data) > room:
            out += bytes(-len(out) % 8)
            place, data = len(out), data + bytes(len(data) % 2)
            out += data
            data = struct.pack(order + wide, place)
        entries += struct.pack(f"{order}HH{wide}", tag, type_, count) + data.ljust(room, b"\0")
    out += bytes(-len(out) % 8)
    where = len(out)
    out += struct.pack(order + ("Q" if big else "H"), len(tags)) + entries
    following = len(out)
    out += bytes(room)
    return where, following


def page(
    array: np.ndarray,
    tags: Tags | None = None,
    *,
    order: Order = "<",
    bits: int = 0,
    planar: bool = False,
    tile: int = 0,
    rows: int = 0,
    compression: int = NONE,
    predictor: int = 1,
    encode: Encoder | None = None,
    below: tuple[Page, ...] = (),
) -> Page:
    """A page of numbers (H, W) or (H, W, channels), laid out as asked; `tags` come on top.

    `bits` is for numbers that are not whole bytes. `encode` packs strips and tiles where `compression` is none that is
    known here.
    """
    array = array[..., None] if array.ndim == 2 else array
    h, w, channels = array.shape
    rows = rows or h
    colours = {1: 1, 2: 1}.get(channels, 2)
    laid: Tags = {
        256: (LONG, [w]), 257: (LONG, [h]), 258: (SHORT, [bits or 8 * array.itemsize] * channels),
        259: (SHORT, [compression]), 262: (SHORT, [colours]), 277: (SHORT, [channels]),
        **({322: (LONG, [tile]), 323: (LONG, [tile])} if tile else {278: (LONG, [rows])}),
        **({284: (SHORT, [2])} if planar else {}), **({317: (SHORT, [predictor])} if predictor > 1 else {}),
        **({339: (SHORT, [3] * channels)} if array.dtype.kind == "f" else {}),
        **({338: (SHORT, [2] * (channels - 1 if colours == 1 else channels - 3))} if channels in (2, 4, 5) else {}),
    }  # fmt: skip
    blocks = [
        packed(block, order, bits, compression, predictor) if encode is None else encode(block)
        for plane in ([array[..., [i]] for i in range(channels)] if planar else [array])
        for block in _blocks(plane, tile, rows)
    ]
    return Page(laid | (tags or {}), blocks, below)


def _blocks(plane: np.ndarray, tile: int, rows: int) -> Iterator[np.ndarray]:
    """Strips of so many rows, or square tiles, the last ones filled up."""
    if not tile:
        yield from (plane[top : top + rows] for top in range(0, len(plane), rows))
        return
    down, across = -len(plane) % tile, -plane.shape[1] % tile
    plane = np.pad(plane, ((0, down), (0, across), (0, 0)), "edge")
    for top in range(0, len(plane), tile):
        yield from (plane[top : top + tile, left : left + tile] for left in range(0, plane.shape[1], tile))


def packed(block: np.ndarray, order: Order, bits: int, compression: int, predictor: int) -> bytes:
    """The bytes of a strip or tile (h, w, channels)."""
    if predictor == 2:
        block = np.concatenate([block[:, :1], block[:, 1:] - block[:, :-1]], axis=1)
    if bits:
        data = rows_of_bits(block.reshape(len(block), -1), bits)
    elif predictor == 3:
        data = _floating(block)
    else:
        data = block.astype(block.dtype.newbyteorder(order)).tobytes()
    if compression == DEFLATE:
        return zlib.compress(data)
    if compression == LZW:
        return lzw(data)
    if compression == PACKBITS:  # of literal runs alone, which is allowed
        parts = (data[i : i + 128] for i in range(0, len(data), 128))
        return b"".join(bytes([len(part) - 1]) + part for part in parts)
    assert compression == NONE
    return data


def tiff_pixels(data: bytes, tags: Mapping[int, Any]) -> np.ndarray:
    """The numbers (H, W, channels) of 16 bits of a file, by its tags: in strips or tiles, deflated or as they are."""
    w, h, channels = tags[256], tags[257], tags.get(277, 1)
    across, down = (tags[322], tags[323]) if 322 in tags else (w, min(h, tags.get(278, h)))
    offsets, lengths = (tags[324], tags[325]) if 322 in tags else (tags[273], tags[279])
    out = np.zeros((h + down, w + across, channels), np.uint16)
    places = [(top, left) for top in range(0, h, down) for left in range(0, w, across)]
    for (top, left), offset, length in zip(places, offsets, lengths, strict=True):
        block = data[offset : offset + length]
        block = block if tags.get(259, 1) == NONE else zlib.decompress(block)
        numbers = np.frombuffer(block, "<u2" if data[:2] == b"II" else ">u2").reshape(-1, across, channels)
        numbers = numbers.cumsum(1, np.uint16) if tags.get(317, 1) == 2 else numbers
        out[top : top + len(numbers), left : left + across] = numbers
    return out[:h, :w]


def rows_of_bits(rows: np.ndarray, bits: int) -> bytes:
    """Numbers (h, n) of so many bits each, the highest first, each row from a new byte on."""
    planes = (rows[..., None].astype(np.int64) >> np.arange(bits)[::-1]) & 1
    return np.packbits(planes.reshape(len(rows), -1).astype(np.uint8), axis=1).tobytes()


def _floating(block: np.ndarray) -> bytes:
    """Predictor 3: of each row the highest bytes of all numbers first, then differences (Adobe's Technical Note 3)."""
    h, w, channels = block.shape
    size = block.itemsize
    planes = block.astype(block.dtype.newbyteorder(">")).reshape(h, -1).view(np.uint8).reshape(h, w * channels, size)
    rows = planes.transpose(0, 2, 1).reshape(h, -1)
    return np.concatenate([rows[:, :channels], rows[:, channels:] - rows[:, :-channels]], axis=1).tobytes()


def lzw(data: bytes) -> bytes:
    """LZW as in TIFF 6.0, section 13: codes of 9 to 12 bits, the highest first, a new table when it is full."""
    codes, table, prefix, width = [(256, 9)], {bytes([i]): i for i in range(256)}, b"", 9
    for value in data:
        longer = prefix + bytes([value])
        if longer in table:
            prefix = longer
            continue
        codes.append((table[prefix], width))
        table[longer] = len(table) + 2
        prefix = bytes([value])
        width = max(9, (len(table) + 2).bit_length())
        if len(table) + 2 == 4094:
            codes.append((256, width))
            table, width = {bytes([i]): i for i in range(256)}, 9
    codes += [(table[prefix], width)] if prefix else []
    codes.append((257, width))
    text = "".join(f"{code:0{size}b}" for code, size in codes)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")
