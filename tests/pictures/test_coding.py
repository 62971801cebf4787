"""Colours that are told in numbers are converted as those of a profile."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers import scene
from PIL import Image

from sincut.pictures import coding, reading, writing
from sincut.pictures.profiles import transforms_of

H, W = 24, 36
RGB = scene(H, W, 0)
LIGHT = np.where(RGB / 255 <= 0.04045, RGB / 255 / 12.92, ((RGB / 255 + 0.055) / 1.055) ** 2.4)
LINEAR = (LIGHT * 255).round().astype(np.uint8)
GREY = LINEAR[..., 1]
P3 = struct.pack(">8L", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)


def png(pixels: np.ndarray, *parts: tuple[bytes, bytes]) -> bytes:
    """A PNG file with these chunks behind its header."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    data = file.getvalue()
    body = b"".join(struct.pack(">L", len(d)) + k + d + struct.pack(">L", zlib.crc32(k + d)) for k, d in parts)
    return data[:33] + body + data[33:]


def gamma(value: float) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">L", round(value * 1e5))


@pytest.mark.parametrize("extras", [True, False])
@pytest.mark.parametrize(("pixels", "wanted"), [(LINEAR, RGB), (GREY, RGB[..., [1, 1, 1]])], ids=["colours", "greys"])
def test_gamma_is_applied_and_becomes_a_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pixels: np.ndarray, wanted: np.ndarray, extras: bool
) -> None:
    if not extras:
        monkeypatch.setattr("sincut.pictures.libvips.installed", lambda: False)
    (tmp_path / "a.png").write_bytes(png(pixels, gamma(1)))
    picture = reading.load(tmp_path / "a.png")
    assert np.abs(picture.pixels.astype(int) - wanted).mean() < 2
    assert any("gAMA became an ICC profile" in note for note in picture.notes)
    writing.save(picture, tmp_path / "b.png")
    again = reading.load(tmp_path / "b.png")
    assert np.abs(again.pixels.astype(int) - picture.pixels).mean() < 1
    assert (again.icc is None) == (pixels.ndim == 2)  # greys become sRGB
    with Image.open(tmp_path / "b.png") as image:
        assert "gamma" not in image.info


def test_primaries_without_a_gamma_are_those_of_srgb_s_curve(tmp_path: Path) -> None:
    made = coding.profile(coding.D65, coding.PRIMARIES[12], coding.SRGB_CURVE, grey=False)
    assert made is not None
    for chunk in ((b"cHRM", P3), (b"cICP", bytes((12, 13, 0, 1)))):
        (tmp_path / "a.png").write_bytes(png(RGB, chunk))
        assert reading.load(tmp_path / "a.png").icc == made
    red = np.full((1, 1, 3), (234, 51, 35), np.uint8)  # 1, 0, 0 of sRGB as Display P3 has it
    transforms = transforms_of(made)
    assert transforms is not None
    from PIL import ImageCms

    shown = ImageCms.applyTransform(Image.fromarray(red), transforms.to_srgb)
    assert shown is not None and np.abs(np.asarray(shown).astype(int) - (255, 0, 0)).max() <= 2


@pytest.mark.parametrize(
    "parts",
    [
        (gamma(0.45455),),
        (gamma(0.45),),
        (gamma(1), (b"sRGB", b"\0")),
        (gamma(0),),
        ((b"gAMA", b"\0"),),
        ((b"cHRM", bytes(32)),),
        ((b"cHRM", b"\xff" * 32),),
        ((b"cICP", bytes((1, 13, 0, 1))), gamma(1)),
        ((b"cICP", bytes((1, 1, 0, 1))),),
        ((b"cICP", b"\0"),),
        (gamma(0.45455), (b"cHRM", struct.pack(">8L", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))),
    ],
)
def test_srgb_however_it_is_told_stays_as_it_is(tmp_path: Path, parts: tuple[tuple[bytes, bytes], ...]) -> None:
    (tmp_path / "a.png").write_bytes(png(RGB, *parts))
    picture = reading.load(tmp_path / "a.png")
    assert np.array_equal(picture.pixels, RGB) and picture.icc is None and not picture.notes


def test_primaries_in_a_line_make_no_profile() -> None:
    assert coding.profile(coding.D65, (0.3, 0.3, 0.3, 0.3, 0.3, 0.3), (1.0,), grey=False) is None


def test_hdr_is_said_and_stays_where_the_format_has_it(tmp_path: Path) -> None:
    light = (b"cLLI", bytes(8))
    (tmp_path / "a.png").write_bytes(png(RGB, (b"cICP", bytes((9, 16, 0, 1))), light))
    picture = reading.load(tmp_path / "a.png")
    assert np.array_equal(picture.pixels, RGB) and any("HDR" in note for note in picture.notes)
    assert not writing.save(picture, tmp_path / "b.png")
    assert b"cICP\x09\x10\0\1" in (tmp_path / "b.png").read_bytes() and b"cLLI" in (tmp_path / "b.png").read_bytes()
    assert writing.save(picture, tmp_path / "b.jpg") == ("JPEG cannot hold its cICP and cLLI",)


def test_unknown_code_points_are_said(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(RGB, (b"cICP", bytes((200, 13, 0, 1)))))
    assert any("200/13" in note for note in reading.load(tmp_path / "a.png").notes)


@pytest.mark.parametrize("told", ["by a camera", "by a number"])
def test_adobe_rgb_without_a_profile_is_taken_for_what_exif_says(tmp_path: Path, told: str) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA001] = 0xFFFF if told == "by a camera" else 2
    if told == "by a camera":
        exif.get_ifd(0x8769)[0xA005] = {1: "R03", 2: b"0100"}
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=exif, quality=95)
    picture = reading.load(tmp_path / "a.jpg")
    assert picture.icc and any("Adobe RGB" in note for note in picture.notes)
    Image.fromarray(RGB).save(tmp_path / "plain.jpg", quality=95)
    assert np.abs(picture.pixels.astype(int) - reading.load(tmp_path / "plain.jpg").pixels).mean() > 3
    writing.save(picture, tmp_path / "b.jpg")
    again = reading.load(tmp_path / "b.jpg")
    assert again.icc == picture.icc and not any("EXIF says" in note for note in again.notes)
