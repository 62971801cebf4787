"""A picture in another space than sRGB is translated in sRGB, and written in its own space."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import pyvips
from helpers import GENTLE, make_translator, scene, wide_gamut_profile
from PIL import Image, ImageCms

from sincut.pictures import reading, tiff_exif, writing
from sincut.pictures.ifd import Entry
from sincut.pictures.picture import Picture, eight_bit
from sincut.pictures.writing import Saving
from sincut.translation.blend import Blend
from sincut.translation.options import Options

TRANSLATOR = make_translator(GENTLE)
H, W = 40, 50
RGB = scene(H, W, 0)


@pytest.mark.parametrize("depth", [8, 16])
def test_a_wide_gamut_is_translated_in_srgb_and_written_in_its_own_space(tmp_path: Path, depth: int) -> None:
    source = tmp_path / "a.png"
    wide = pyvips.Image.new_from_array(RGB).copy(interpretation="srgb")
    wide = wide.icc_transform("p3", input_profile="srgb", depth=depth)
    wide.write_to_file(str(source))
    picture = reading.load(source)
    assert np.abs(eight_bit(picture.pixels).astype(int) - RGB).max() <= 3  # the same colours, in sRGB
    assert any("own ICC profile" in note for note in picture.notes)
    writing.save(picture, tmp_path / "b.png")
    again = reading.load(tmp_path / "b.png")
    assert again.icc == picture.icc and again.pixels.dtype == picture.pixels.dtype
    assert np.abs(again.pixels.astype(float) - picture.pixels).max() <= 3 * (257 if depth == 16 else 1)


def test_srgb_under_any_name_keeps_its_very_numbers(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(RGB).save(tmp_path / "a.png", icc_profile=profile)
    picture = reading.load(tmp_path / "a.png")
    assert np.array_equal(picture.pixels, RGB) and picture.icc == profile and not picture.notes


def test_a_damaged_profile_stops_no_picture(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png", icc_profile=b"no profile at all")
    assert np.array_equal(reading.load(tmp_path / "a.png").pixels, RGB)
    TRANSLATOR.apply_file(tmp_path / "a.png", tmp_path / "b.png")


@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("strip", [False, True])
def test_a_wide_gamut_is_streamed_as_in_memory(tmp_path: Path, suffix: str, bits: int, strip: bool) -> None:
    wide = pyvips.Image.new_from_array(RGB).copy(interpretation="srgb")
    wide = wide.icc_transform("p3", input_profile="srgb", depth=bits)
    source = tmp_path / "a.tif"
    wide.write_to_file(str(source))
    for name, memory in (("memory", None), ("streamed", 1)):
        TRANSLATOR.apply_file(source, tmp_path / f"{name}{suffix}", Options(max_memory=memory), Saving(100, strip))
    want, got = (reading.load(tmp_path / f"{name}{suffix}") for name in ("memory", "streamed"))
    assert got.icc == want.icc == (None if strip else wide_gamut_profile()) and got.pixels.dtype == want.pixels.dtype
    difference = np.abs(eight_bit(got.pixels).astype(int) - eight_bit(want.pixels))
    assert difference.max() <= (12 if suffix == ".jpg" else 4) and difference.mean() < 1.5


def test_a_profile_that_is_srgb_changes_no_number_of_a_streamed_picture(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(RGB).save(tmp_path / "a.png", icc_profile=profile)
    TRANSLATOR.apply_file(tmp_path / "a.png", tmp_path / "b.png", Options(max_memory=1))
    out = reading.load(tmp_path / "b.png")
    want = TRANSLATOR.apply_picture(reading.load(tmp_path / "a.png"))
    assert out.icc == profile and np.array_equal(out.pixels, want.pixels)


def scanner_profile() -> bytes:
    """A profile that leads from the space of Adobe RGB to Lab by a table, and not back (ISO 15076-1, 10.10)."""
    n = 9
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, n)] * 3, indexing="ij"), -1).reshape(-1, 3) ** 2.2
    matrix = np.array([[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632], [0.0195, 0.0609, 0.7446]])
    xyz = grid @ matrix.T / (0.9642, 1, 0.8249)
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    lab = [(116 * f[:, 1] - 16) / 100 * 65280, (500 * (f[:, 0] - f[:, 1]) + 128) * 256]
    lab.append((200 * (f[:, 1] - f[:, 2]) + 128) * 256)
    table = np.stack(lab, -1).clip(0, 65535).round().astype(">u2").tobytes()
    line = np.array([0, 65535], ">u2").tobytes() * 3
    head = bytes([3, 3, n, 0]) + struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536) + struct.pack(">HH", 2, 2)
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    name = b"desc\0\0\0\0" + struct.pack(">I", 8) + b"scanner\0" + bytes(78)
    tags = [(b"desc", name), (b"cprt", b"text\0\0\0\0none\0"), (b"wtpt", white)]
    tags.append((b"A2B0", b"mft2\0\0\0\0" + head + line + table + line))
    listed, body = struct.pack(">I", len(tags)), b""
    for key, data in tags:
        listed += key + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I", 128 + len(listed) + len(body)) + b"test\2\x40\0\0scnrRGB Lab "
    header += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acspAPPL" + bytes(24) + white[8:]
    return header.ljust(128, b"\0") + listed + body


@pytest.mark.parametrize("memory", [None, 1])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_profile_that_leads_one_way_is_applied_and_left_out(tmp_path: Path, bits: int, memory: int | None) -> None:
    icc = scanner_profile()
    image = Image.fromarray(RGB)
    shown = ImageCms.profileToProfile(
        image, ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
    picture = Picture(RGB if bits == 8 else RGB.astype(np.uint16) * 257)
    writing.save(picture, tmp_path / "plain.tif")
    with (tmp_path / "plain.tif").open("r+b") as file:
        tiff_exif.add_tags(file, {34675: Entry(7, len(icc), icc)})
    notes = TRANSLATOR.apply_file(
        tmp_path / "plain.tif", tmp_path / "b.tif", Options(max_memory=memory, blend=Blend(0.0))
    )
    assert any("not back" in note for note in notes)
    out = reading.load(tmp_path / "b.tif")
    assert out.icc is None and (out.pixels.dtype == np.uint8) == (bits == 8)
    assert np.abs(eight_bit(out.pixels).astype(int) - np.asarray(shown)).mean() < 1.5


@pytest.mark.parametrize("memory", [None, 1])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "16"])
def test_a_profile_that_is_of_no_use_is_left_out_and_said(tmp_path: Path, mode: str, memory: int | None) -> None:
    picture = Picture(RGB if mode != "16" else RGB.astype(np.uint16) * 257)
    source = tmp_path / "a.tif"
    if mode == "16":
        writing.save(picture, source)
    else:
        Image.fromarray(RGB).convert(mode).save(source)
    with source.open("r+b") as file:
        tiff_exif.add_tags(file, {34675: Entry(7, 50, b"no profile" * 5)})
    notes = TRANSLATOR.apply_file(source, tmp_path / "b.tif", Options(max_memory=memory, blend=Blend(0.0)))
    assert sum("damaged" in note for note in notes) == 1, notes
    assert not any("own ICC profile" in note or "through its" in note for note in notes)
    with Image.open(tmp_path / "b.tif") as image:
        assert "icc_profile" not in image.info


def test_greys_with_a_profile_of_colours_are_colours_to_it(tmp_path: Path) -> None:
    grey = Image.fromarray(RGB).convert("L")
    grey.save(tmp_path / "a.png", icc_profile=wide_gamut_profile())
    picture = reading.load(tmp_path / "a.png")
    assert picture.notes == ("greys became RGB",) and picture.icc is None
    assert np.abs(picture.pixels[..., 0].astype(int) - np.asarray(grey)).max() <= 2  # P3 has the curve of sRGB
