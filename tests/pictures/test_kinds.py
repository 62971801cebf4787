"""What files are, by their first bytes: refused by name, or read with a note on what they were."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from helpers import make_translator, scene
from PIL import Image, features

from sincut.errors import DamagedError, ImageError, UnsupportedError
from sincut.pictures import libvips, reading
from sincut.pictures.kinds import kind_of
from sincut.pictures.opening import decoding, told_with
from sincut.translation.options import Options

H, W = 40, 60
RGB = scene(H, W, 0)
DEEP = RGB[..., 1].astype(np.uint16) * 257


def jpeg_of(marker: int, bits: int = 8, channels: int = 3, height: int = H) -> bytes:
    """The bytes of a JPEG file as Pillow writes it, with another frame header."""
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, "JPEG")
    data = bytearray(file.getvalue())
    start = data.index(b"\xff\xc0")
    data[start + 1], data[start + 4], data[start + 9] = marker, bits, channels
    data[start + 5 : start + 7] = struct.pack(">H", height)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "what"),
    [(jpeg_of(0xC1, bits=12), "its 12 bits a channel cannot be read; convert it to 8 bits"),
     (jpeg_of(0xC3, bits=16), "its 16 bits a channel"), (jpeg_of(0xC0, channels=2), "its 2 channels"),
     (jpeg_of(0xC5), "its compression hierarchical JPEG"), (jpeg_of(0xF7), "its compression JPEG-LS"),
     (jpeg_of(0xC0, height=0), "its height, which comes behind"),
     (b"\xff\x0a" + bytes(99), "is a JPEG XL picture; convert it to PNG"), (b"8BPS" + bytes(99), "is a Photoshop"),
     (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(99), "is a JPEG XL picture"), (b"II\xbc\x01" + bytes(99), "is a JPEG XR"),
     (b"%PDF-1.7 " + bytes(99), "is a PDF document"), (b"<!DOCTYPE html>", "is a web page, not a picture; convert"),
     (b"PK\x03\x04" + bytes(99), "is an archive"), (b"v/1\x01" + bytes(99), "is an OpenEXR picture"),
     (b"\0\0\0\x18ftypmp42" + bytes(99), "is a video"), (b"RIFF" + bytes(4) + b"AVI " + bytes(99), "is a sound"),
     (b"P7\nWIDTH 1\n" + bytes(99), "is a PAM picture"), (b"PF\n1 1\n-1\n" + bytes(99), "is a PFM picture"),
     (b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, 9, 9, 1, 0, 4) + bytes(99), "its compression JPEG"),
     (b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, 9, 9, 1, 64, 0) + bytes(99), "its 64 bits a pixel"),
     (b"FUJIFILMCCD-RAW 0201" + bytes(99), "is a raw picture of a camera .Fujifilm RAF.; develop it first"),
     (b"IIRO\x08\0\0\0" + bytes(99), "is a raw picture of a camera .Olympus ORF."),
     (b"IIU\0\x18\0\0\0" + bytes(99), "is a raw picture of a camera .Panasonic RW2."),
     (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(99), "is a raw picture of a camera .Canon CR3.")],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)  # fmt: skip
@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_what_is_not_read_is_named(tmp_path: Path, data: bytes, what: str, name: str) -> None:
    (tmp_path / name).write_bytes(data)
    for read in (reading.load, reading.size_of):
        with pytest.raises(UnsupportedError, match=rf"{name}: {what}"):
            read(tmp_path / name)


@pytest.mark.parametrize("large", [True, False])
def test_deep_pictures_that_become_8_bits_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool) -> None:
    if not large:
        monkeypatch.setattr(libvips, "installed", lambda: False)
    rgb = np.repeat(DEEP[..., None], 3, axis=2)
    (tmp_path / "a.ppm").write_bytes(b"P6 # wide\n60 40\n65535\n" + rgb.astype(">u2").tobytes())
    (tmp_path / "a.pgm").write_bytes(b"P5\n60 40\n4095\n" + (DEEP >> 4).astype(">u2").tobytes())
    Image.fromarray(DEEP).save(tmp_path / "a.jp2")
    for name in ("a.ppm", "a.pgm", "a.jp2"):
        picture = reading.load(tmp_path / name)
        assert np.abs(picture.pixels[..., 1] - DEEP / 257.0).max() <= 1
        assert picture.notes[-1] == "its 16 bits a channel became 8"  # and no extra would help


def test_a_bitmap_of_16_bits_a_pixel_is_not_deep(tmp_path: Path) -> None:
    body = np.full((H, W), 0xF800 | 0x07E0, "<u2").tobytes()
    head = struct.pack("<IiiHHIIiiII", 40, W, H, 1, 16, 3, len(body), 0, 0, 0, 0) + struct.pack(
        "<III", 0xF800, 0x7E0, 0x1F
    )
    (tmp_path / "a.bmp").write_bytes(b"BM" + struct.pack("<IHHI", 54 + 12 + len(body), 0, 0, 66) + head + body)
    picture = reading.load(tmp_path / "a.bmp")
    assert picture.pixels[0, 0].tolist() == [255, 255, 0] and not picture.notes


def test_avif_and_heic_of_10_bits_say_so(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    deep = np.repeat((DEEP >> 6)[..., None], 3, axis=2)
    image = heif.from_bytes(mode="RGB;10", size=(W, H), data=deep.tobytes())
    image.save(tmp_path / "a.heic", quality=90, bit_depth=10)
    if not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    image.save(tmp_path / "a.heic", quality=90)
    assert kind_of(tmp_path / "a.heic").bits == 10
    assert reading.load(tmp_path / "a.heic").notes[-1] == "its 10 bits a channel became 8"
    Image.fromarray(RGB).save(tmp_path / "a.avif")
    assert kind_of(tmp_path / "a.avif").bits == 8 and not reading.load(tmp_path / "a.avif").notes


@pytest.mark.parametrize("suffix", [".jp2", ".bmp", ".ppm", ".heic"])
def test_what_cannot_be_read_in_parts_says_what_memory_it_needs(tmp_path: Path, suffix: str) -> None:
    if suffix == ".heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    source = tmp_path / f"a{suffix}"
    Image.fromarray(RGB).save(source)
    translator = make_translator({"networks": {"stem": 4, "inner": 6, "blocks": 2}, "losses": {"layers": [0, 2, 3]}})
    with pytest.raises(ImageError, match=r"60x40 pixels need .* GB, .* cannot be read in parts; raise --max") as told:
        translator.apply_file(source, tmp_path / "b.png", Options(tile=64, max_memory=1))
    assert not isinstance(told.value, DamagedError)


@pytest.mark.parametrize(
    "error",
    [MemoryError(), OSError(12, "Cannot allocate memory"), ValueError("Failed to decode image: Out of memory"),
     OSError("out of memory error when reading image file"), RuntimeError("bad_alloc")],
)  # fmt: skip
def test_too_little_memory_is_no_damage(error: Exception) -> None:
    words = r"a\.png: does not fit into memory; close other programs"
    with pytest.raises(ImageError, match=words) as told, told_with(Path("a.png")), decoding():
        raise error
    assert type(told.value) is ImageError


def test_what_a_decoder_does_not_support_is_no_damage() -> None:
    words = r"a\.bmp: cannot be read .Unsupported BMP compression .7..; convert it"
    with pytest.raises(UnsupportedError, match=words), told_with(Path("a.bmp")), decoding():
        raise OSError("Unsupported BMP compression (7)")
