"""Pixels as PNG bytes: nothing is lost, and hostile bytes cost nothing."""

import contextlib
import io
import resource
import struct
import zlib

import numpy as np
import pytest
from helpers import scene
from PIL import Image

from sincut.errors import DamagedError
from sincut.pictures.lossless import packed, unpacked


def png(mode: str, size: tuple[int, int]) -> bytes:
    data = io.BytesIO()
    Image.new(mode, size).save(data, "PNG")
    return data.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 2), (50, 61)])
def test_nothing_is_lost(size: tuple[int, int]) -> None:
    pixels = scene(*size, 3)
    again = unpacked(packed(pixels), size[0] * size[1])
    assert again.dtype == np.uint8 and again.flags.writeable and np.array_equal(again, pixels)


def test_equal_pixels_are_equal_bytes() -> None:
    assert packed(scene(20, 30, 1)) == packed(scene(20, 30, 1).copy())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a picture"),
        (b"nothing of the kind", "not a picture"),
        (packed(scene(20, 30, 1))[:-300], "damaged"),
        (png("L", (4, 5)), "has the mode L"),
        (png("RGBA", (4, 5)), "has the mode RGBA"),
        (png("RGB", (100, 11)), "declares 100x11 pixels, more than 1000"),
    ],
)
def test_other_bytes_are_refused(data: bytes, words: str) -> None:
    with pytest.raises(DamagedError, match=words):
        unpacked(data, 1000)


def test_bytes_that_claim_or_unfold_to_too_much_take_no_memory() -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    giant = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    small = struct.pack(">IIBBBBB", 10, 10, 8, 2, 0, 0, 0)
    bomb = zlib.compress(bytes(400_000_000), 9)  # for ten rows of 31 bytes
    bombs = [chunk(b"IDAT", bomb), chunk(b"zTXt", b"a\0\0" + bomb), chunk(b"iCCP", b"a\0\0" + bomb)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DamagedError, match=r"60000x60000|decompression bomb"):
        unpacked(giant, 2_000_000)
    for each in bombs:
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", small) + each + chunk(b"IEND", b"")
        with contextlib.suppress(DamagedError):
            unpacked(data, 2_000_000)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000  # kB
