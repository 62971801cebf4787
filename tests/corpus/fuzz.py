"""Files at random, each from a seed: TIFF files of any layout, depth and compression, whose tags may lie, and others
of the corpus with bytes changed or gone.

`python tests/corpus/fuzz.py 1000` translates the files of so many seeds, from 0 or `--from`, and tells what is wrong.
"""

import itertools
import random
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))  # of `tests`, as pytest has it

import numpy as np

from corpus.row import ALPHA, DEEP, DEEP_ALPHA, DEEP_GREY, GREY, RGB, VALUES, Done
from corpus.rows import ROWS
from corpus.tiffs import DEFLATE, LZW, NONE, PACKBITS, Order, Tags, page, tiff

COMPRESSIONS = (NONE, NONE, NONE, DEFLATE, DEFLATE, LZW, PACKBITS)
ELSEWHERE = (2, 3, 4, 5, 6, 7, 8, 32766, 32773, 32809, 32946, 33003, 33005, 34676, 34712, 34887, 34925, 34933, 34934)
MORE_OF_THEM = (50000, 50001, 50002, 52546, 65000)  # and those that nobody has, or few
LAYOUT = (254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 296, 317, 320, 322, 323, 324, 325, 338, 339)
NUMBERS = (
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    9,
    12,
    15,
    16,
    17,
    24,
    31,
    32,
    33,
    64,
    100,
    255,
    256,
    4096,
    65535,
    2**31 - 1,
    2**32 - 1,
)
SMALLEST = 64  # px; a smaller picture may well be black
MOST_ERROR = 1.5  # of 255, of colours that are known
MOST_PIXELS = 2_000_000  # that a file may declare


class Made(NamedTuple):
    """A file of a seed, and what was done to it."""

    name: str
    data: bytes
    how: str
    colours: np.ndarray | None = None  # (H, W, 3) in 0..1 that it shows if it is translated, where that is known


def make(seed: int) -> Made:
    """The file of a seed."""
    rng = random.Random(seed)
    if rng.random() < 0.6:
        return _tiff(rng, seed)
    row, data = rng.choice(_whole())
    suffix = row.rpartition(".")[2]
    data, how = _changed(rng, data)
    return Made(f"{seed}.{suffix}", data, f"{row}, {how}")


@cache
def _whole() -> list[tuple[str, bytes]]:
    return [(row.name, row.make()) for row in ROWS if not row.needs and isinstance(row.want, Done)]


def _tiff(rng: random.Random, seed: int) -> Made:
    array, bits = _numbers(rng)
    laid: dict[str, Any] = {"planar": rng.random() < 0.4, "compression": rng.choice(COMPRESSIONS), "bits": bits}
    laid |= {"tile": rng.choice((16, 32, 48))} if rng.random() < 0.5 else {"rows": rng.choice((0, 1, 7, 16))}
    if not bits and array.dtype.kind != "f" and laid["compression"] in (LZW, DEFLATE):
        laid["predictor"] = rng.choice((1, 2))
    if not bits and array.dtype.kind == "f" and laid["compression"] == DEFLATE:
        laid["predictor"] = rng.choice((1, 3))
    order: Order = rng.choice(("<", ">"))
    big = rng.random() < 0.25
    tags: Tags = {274: (3, [rng.randrange(1, 9)])} if rng.random() < 0.2 else {}
    below = (page(GREY, order=order),) if rng.random() < 0.1 else ()
    pages = [page(array, tags, order=order, below=below, **laid)]
    pages += [page(RGB[::2, ::2].copy(), order=order)] if rng.random() < 0.1 else []
    data = tiff(*pages, order=order, big=big)
    how = f"{array.dtype} {array.shape} {laid} {order}{' big' if big else ''}"
    # Of big-endian BigTIFF, which Pillow cannot parse, nothing is known beforehand.
    colours = None if tags or (big and order == ">") else _shown(array, bits)
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
        colours = None
        data, lie = _lie(rng, data, order, big)
        how += f", {lie}"
    if rng.random() < 0.15:
        colours = None
        data, what = _changed(rng, data)
        how += f", {what}"
    return Made(f"{seed}.tif", data, how, colours)


def _shown(array: np.ndarray, bits: int) -> np.ndarray:
    """The colours (H, W, 3) in 0..1 that numbers mean."""
    most = 1.0 if array.dtype.kind == "f" else float(2 ** (bits or 8 * array.itemsize) - 1)
    colours = array[..., None] if array.ndim == 2 else array[..., :1] if array.shape[2] == 2 else array[..., :3]
    return np.broadcast_to(colours / most, (*array.shape[:2], 3))


def _numbers(rng: random.Random) -> tuple[np.ndarray, int]:
    """Numbers of a kind and a depth, and how many bits each has where that is no whole number of bytes."""
    kinds: list[Callable[[], tuple[np.ndarray, int]]] = [
        lambda: (RGB, 0),
        lambda: (GREY, 0),
        lambda: (np.dstack([RGB, ALPHA]), 0),
        lambda: (np.dstack([RGB, ALPHA, ALPHA]), 0),
        lambda: (np.dstack([GREY, ALPHA]), 0),
        lambda: (DEEP, 0),
        lambda: (DEEP[..., 0], 0),
        lambda: (np.dstack([DEEP, DEEP[..., 0]]), 0),
        lambda: (DEEP.astype(np.uint32) << 16, 0),
        lambda: (VALUES.astype(rng.choice((np.float16, np.float32, np.float64))), 0),
        lambda: (VALUES[..., 0].astype(np.float32), 0),
        lambda: _few_bits(DEEP[..., 0], rng),
        lambda: _few_bits(DEEP, rng),
    ]
    return rng.choice(kinds)()


def _few_bits(array: np.ndarray, rng: random.Random) -> tuple[np.ndarray, int]:
    bits = rng.choice((1, 2, 4, 6, 10, 12, 14))
    return array >> (16 - bits), bits


def layouts() -> Iterator[Made]:
    """Files of every layout of TIFF with every other: depths, planes, tiles, compressions, alpha, greys."""
    some: dict[str, tuple[np.ndarray, int]] = {
        **{f"grey{bits}": (DEEP_GREY >> (16 - bits), bits) for bits in (1, 2, 4)},
        **{"grey8": (GREY, 0), "grey16": (DEEP_GREY, 0), "grey-float": (VALUES[..., 1].astype(np.float32), 0)},
        **{"grey8-alpha": (np.dstack([GREY, ALPHA]), 0), "grey16-alpha": (np.dstack([DEEP_GREY, DEEP_ALPHA]), 0)},
        **{"rgb8": (RGB, 0), "rgb16": (DEEP, 0), "float": (VALUES.astype(np.float32), 0)},
        **{"rgb8-alpha": (np.dstack([RGB, ALPHA]), 0), "rgb16-alpha": (np.dstack([DEEP, DEEP_ALPHA]), 0)},
        **{"half-float": (VALUES.astype(np.float16), 0), "spots": (np.dstack([RGB, ALPHA, ALPHA]), 0)},
    }
    orders: tuple[Order, Order] = ("<", ">")
    for name, (array, bits) in some.items():
        channels = array.shape[2] if array.ndim == 3 else 1
        extras = (0, 1, 2) if channels in (2, 4, 5) else (None,)
        whites = (False, True) if channels <= 2 and array.dtype.kind != "f" else (False,)
        for number, (extra, white, planar, tile, compression) in enumerate(
            itertools.product(extras, whites, (False, True), (0, 16), (NONE, DEFLATE))
        ):
            order = orders[number.bit_count() % 2]
            if extra == 1 and white:
                continue
            numbers, tags = _as_tagged(array, bits, extra, white)
            laid: dict[str, Any] = {
                "planar": planar,
                "tile": tile,
                "rows": 0 if tile else 7,
                "compression": compression,
            }
            how = f"{name} {laid} {order} extra {extra}{' white' if white else ''}"
            data = tiff(page(numbers, tags, order=order, bits=bits, **laid), order=order)
            yield Made("layout.tif", data, how, _shown(array, bits))


def _as_tagged(array: np.ndarray, bits: int, extra: int | None, white: bool) -> tuple[np.ndarray, Tags]:
    """Numbers as tags say that they are to be read: multiplied by alpha, or 0 for white."""
    tags: Tags = {262: (3, [0])} if white else {}
    numbers = array.reshape(*array.shape[:2], -1).copy()
    colours = 1 if numbers.shape[2] < 3 else 3
    most = 2 ** (bits or 8 * array.itemsize) - 1
    if extra is not None:
        tags[338] = 3, [extra] * (numbers.shape[2] - colours)
    if extra == 1:
        numbers[..., :colours] = (numbers[..., :colours] * (numbers[..., colours:][..., :1] / most)).round()
    if white:
        numbers[..., 0] = most - numbers[..., 0]
    return numbers, tags


def _lie(rng: random.Random, data: bytes, order: str, big: bool) -> tuple[bytes, str]:
    """A tag of the first directory says something else: its number, its type, how many values, or the values."""
    out = bytearray(data)
    start, count, size, number = ("Q", "Q", 20, "Q") if big else ("I", "H", 12, "I")
    (first,) = struct.unpack_from(order + start, out, 8 if big else 4)
    (many,) = struct.unpack_from(order + count, out, first)
    places = [first + struct.calcsize(count) + size * i for i in range(many)]
    at = rng.choice(places)
    (tag,) = struct.unpack_from(f"{order}H", out, at)
    what = rng.choice(("value", "value", "value", "compression", "photometric", "type", "count", "tag"))
    by_number = {struct.unpack_from(f"{order}H", out, place)[0]: place for place in places}
    if what in ("compression", "photometric"):
        tag = {"compression": 259, "photometric": 262}[what]
        value = (
            rng.choice(ELSEWHERE + MORE_OF_THEM)
            if tag == 259
            else rng.choice((0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 32844, 32845))
        )
        if tag in by_number:
            struct.pack_into(f"{order}H", out, by_number[tag] + size - struct.calcsize(number), value)
    elif what == "value":
        value = rng.choice(NUMBERS)
        kind = struct.unpack_from(f"{order}H", out, at + 2)[0]
        struct.pack_into(
            order + ("H" if kind == 3 else "I"),
            out,
            at + size - struct.calcsize(number),
            value % (2**16 if kind == 3 else 2**32),
        )
    elif what == "type":
        value = rng.randrange(20)
        struct.pack_into(f"{order}H", out, at + 2, value)
    elif what == "count":
        value = rng.choice(NUMBERS)
        struct.pack_into(order + number, out, at + 4, value)
    else:
        value = rng.choice(LAYOUT)
        struct.pack_into(f"{order}H", out, at, value)
    return bytes(out), f"{what} of {tag} is {value}"


def _changed(rng: random.Random, data: bytes) -> tuple[bytes, str]:
    """Cut, with bytes changed, a part doubled or a part gone."""
    if len(data) < 2:
        return data, "as it is"
    a, b = sorted((rng.randrange(len(data)), rng.randrange(len(data))))
    what = rng.choice(("cut", "bytes", "bytes", "head", "doubled", "gone", "zeros"))
    if what == "cut":
        return data[:b], f"cut at {b}"
    if what == "doubled":
        return data[:b] + data[a:], f"{a} to {b} twice"
    if what == "gone":
        return data[:a] + data[b:], f"{a} to {b} gone"
    if what == "zeros":
        return data[:b] + bytes(len(data) - b), f"zeros from {b}"
    out = bytearray(data)
    for _ in range(rng.choice((1, 2, 4, 16))):
        out[rng.randrange(min(len(out), 200) if what == "head" else len(out))] = rng.randrange(256)
    return _with_sums(bytes(out)), f"other {what}"


def _with_sums(data: bytes) -> bytes:
    """A PNG file whose chunks have the right sums again, or else its decoder would look no further."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return data
    out, at = bytearray(data), 8
    while at + 12 <= len(out):
        (length,) = struct.unpack_from(">I", out, at)
        if at + 12 + length > len(out):
            break
        struct.pack_into(">I", out, at + 8 + length, zlib.crc32(out[at + 4 : at + 8 + length]))
        at += 12 + length
    return bytes(out)


def wrong(path: Path, colours: np.ndarray | None) -> str:
    """What is wrong with an output, in words, or nothing: black all over, or with other colours than are known."""
    from corpus.look import look

    pixels = look(path.read_bytes()).pixels
    if pixels.size >= 3 * SMALLEST and not pixels.any():
        return "a black picture, as if it were done"
    if colours is not None:
        if pixels.shape != colours.shape:
            return f"of the shape {pixels.shape}"
        error = np.abs(pixels / np.iinfo(pixels.dtype).max - colours).mean() * 255
        return f"other colours, by {error:.1f} of 255" if error > MOST_ERROR else ""
    return ""


def outcome(translate: Callable[[Path, Path], object], made: Made, folder: Path) -> str:
    """What became of a file: "done", "refused", or what is wrong: a bug's exception, a black picture, other colours."""
    from sincut.errors import DamagedError, ImageError

    source, target = folder / made.name, folder / "out.png"
    source.write_bytes(made.data)
    try:
        translate(source, target)
        return wrong(target, made.colours) or "done"
    except ImageError as error:
        if made.colours is not None and ("damaged" in str(error) or isinstance(error, DamagedError)):
            return f"said to be damaged: {error}"
        return "refused" if "\n" not in str(error) else f"several lines: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    finally:
        source.unlink()
        target.unlink(missing_ok=True)


def main() -> None:
    """The command line."""
    import argparse
    import faulthandler
    import tempfile

    from test_fuzz import translations

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--from", dest="first", type=int, default=0)
    asked = parser.parse_args()
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(asked.first, asked.first + asked.count):
            made = make(seed)
            for way, translate in translations().items():
                faulthandler.dump_traceback_later(120, exit=True)  # of what hangs
                ended = outcome(translate, made, Path(folder))
                faulthandler.cancel_dump_traceback_later()
                counts[f"{way}: {ended if ended in ('done', 'refused') else 'WRONG'}"] += 1
                if ended not in ("done", "refused"):
                    print(f"seed {seed}, {way}: {ended}\n    {made.how}", flush=True)
    print(dict(sorted(counts.items())))
    sys.exit(any("WRONG" in name for name in counts))


if __name__ == "__main__":
    main()
