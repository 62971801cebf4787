"""Pictures of every mode."""

from pathlib import Path

import numpy as np
import pytest
import pyvips
from helpers import scene
from PIL import Image

from sincut.pictures import reading

RGB = scene(24, 30, 0)


def write(path: Path, mode: str) -> Path:
    image = Image.fromarray(RGB)
    if mode == "I;16":
        Image.fromarray((RGB[..., 0].astype(np.uint16)) * 257).save(path)
    elif mode == "F":
        Image.fromarray(RGB[..., 0].astype(np.float32) / 255).save(path)
    elif mode in ("LA", "RGBA"):
        image.putalpha(Image.fromarray(RGB[..., 1]))
        image.convert(mode).save(path)
    else:
        image.convert(mode).save(path)
    return path


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("1", ".png"), ("L", ".png"), ("LA", ".png"), ("P", ".png"), ("RGB", ".png"), ("RGBA", ".png"), ("I;16", ".png"),
     ("L", ".jpg"), ("RGB", ".jpg"), ("CMYK", ".jpg"), ("RGB", ".webp"), ("RGBA", ".webp"), ("RGB", ".tif"),
     ("CMYK", ".tif"), ("I;16", ".tif"), ("F", ".tif"), ("P", ".gif"), ("RGB", ".bmp")],
)  # fmt: skip
def test_every_mode_gives_a_sensible_picture(tmp_path: Path, mode: str, suffix: str) -> None:
    picture = reading.load(write(tmp_path / f"a{suffix}", mode))
    assert picture.pixels.dtype == (np.uint16 if mode == "I;16" else np.uint8) and picture.pixels.shape == RGB.shape
    grey = mode in ("1", "L", "LA", "I;16", "F")
    want = RGB.mean(2) if mode in ("1", "L", "LA") else RGB[..., 0] if grey else RGB
    got = picture.pixels.mean(2) if grey else picture.pixels
    assert np.corrcoef(got.ravel(), np.asarray(want).ravel())[0, 1] > (0.35 if mode == "1" else 0.9)
    assert (picture.alpha is not None) == (mode in ("LA", "RGBA"))
    if mode not in ("RGB", "RGBA"):
        assert picture.notes


def test_palette_transparency_becomes_alpha(tmp_path: Path) -> None:
    image = Image.fromarray(RGB).quantize(8)
    image.info["transparency"] = 0
    image.save(tmp_path / "p.png", transparency=0)
    picture = reading.load(tmp_path / "p.png")
    assert picture.alpha is not None and set(np.unique(picture.alpha)) == {0, 255}


def test_sixteen_bit_greys_keep_their_level(tmp_path: Path) -> None:
    Image.fromarray(np.full((9, 9), 32768, np.uint16)).save(tmp_path / "g.png")
    assert (reading.load(tmp_path / "g.png").pixels == 32768).all()


def test_reading_leaves_the_caller_s_image_alone(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(RGB).save(tmp_path / "o.jpg", exif=exif)
    with Image.open(tmp_path / "o.jpg") as image:
        first, second = reading.from_pil(image), reading.from_pil(image)
        assert np.array_equal(first.pixels, second.pixels) and first.size == (30, 24)
        assert image.getexif()[0x0112] == 6


def test_sixteen_bit_transparency_does_not_clip(tmp_path: Path) -> None:
    Image.fromarray(np.full((9, 9), 32768, np.uint16)).save(tmp_path / "g.png", transparency=0)
    assert (reading.load(tmp_path / "g.png").pixels == 32768).all()


def test_only_the_first_frame_is_taken_and_said(tmp_path: Path) -> None:
    frames = [Image.fromarray(RGB), Image.fromarray(255 - RGB)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    picture = reading.load(tmp_path / "a.tif")
    assert np.array_equal(picture.pixels, RGB) and "first" in picture.notes[0]


@pytest.mark.parametrize("suffix", [".pgm", ".ppm", ".jp2"])
def test_sixteen_bits_that_libvips_does_not_read_become_eight(tmp_path: Path, suffix: str) -> None:
    deep = np.arange(40 * 50, dtype=np.uint16).reshape(40, 50) * 32
    source = tmp_path / f"a{suffix}"
    if suffix == ".ppm":
        source.write_bytes(b"P6 50 40 65535\n" + np.repeat(deep[..., None], 3, axis=2).astype(">u2").tobytes())
    else:
        Image.fromarray(deep).save(source)
    picture = reading.load(source)
    assert picture.pixels.dtype == np.uint8 and np.abs(picture.pixels[..., 0] - deep / 257).max() <= 1
    assert any("16 bits" in note for note in picture.notes)


def test_a_file_that_only_libvips_knows_has_a_suffix_to_be_named_by(tmp_path: Path) -> None:
    pyvips.Image.new_from_array((RGB / 255).astype(np.float32)).write_to_file(str(tmp_path / "a.tif"))
    (tmp_path / "a.tif").rename(tmp_path / "a")
    assert reading.suffix_of(tmp_path / "a") == ".tif"
    assert np.array_equal(reading.load(tmp_path / "a").pixels, np.rint((RGB / 255).astype(np.float32) * 65535))


@pytest.mark.parametrize(
    ("data", "want"),
    [(b"P1\n2 1\n0 1\n", (255, 0)), (b"P2\n2 1\n9\n3 9\n", (85, 255)), (b"P2\n2 1\n65535\n257 65535\n", (1, 255)),
     (b"P4\n2 1\n\x40", (255, 0)), (b"P5\n2 1\n255\n\x07\xff", (7, 255)), (b"P5\n2 1\n9\n\x03\x09", (85, 255)),
     (b"P6\n2 1\n255\n" + b"\x07" * 3 + b"\xff" * 3, (7, 255)), (b"Pf\n2 1\n-1.0\n" + b"\0\0\0\0\0\0\x80?", (0, 255))],
)  # fmt: skip
def test_every_kind_of_ppm_is_read(tmp_path: Path, data: bytes, want: tuple[int, int]) -> None:
    (tmp_path / "a.ppm").write_bytes(data)
    assert reading.load(tmp_path / "a.ppm").pixels[0].tolist() == [[value] * 3 for value in want]
