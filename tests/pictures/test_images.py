"""Modes, metadata and damaged files."""

import io
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import scene
from PIL import Image, ImageCms

from sincut.errors import ImageError, SincutError
from sincut.pictures import reading, resampling, writing
from sincut.pictures.picture import Picture, to_pixels, to_tensor

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


def test_orientation_is_applied_and_reset(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    Image.fromarray(RGB).save(tmp_path / "o.jpg", exif=exif)
    picture = reading.load(tmp_path / "o.jpg")
    assert picture.size == (30, 24)
    writing.save(picture, tmp_path / "p.jpg")
    with Image.open(tmp_path / "p.jpg") as again:
        assert again.size == (24, 30)
        assert again.getexif().get(0x0112, 1) == 1 and again.getexif()[0x010F] == "maker"


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


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_profile_exif_and_resolution_are_carried_over(tmp_path: Path, suffix: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010E] = "a description"
    Image.fromarray(RGB).save(tmp_path / f"a{suffix}", icc_profile=profile, exif=exif, dpi=(300, 300))
    picture = reading.load(tmp_path / f"a{suffix}")
    writing.save(picture, tmp_path / f"b{suffix}")
    with Image.open(tmp_path / f"b{suffix}") as again:
        assert again.info["icc_profile"] == profile
        assert again.getexif()[0x010E] == "a description"
        if suffix != ".webp":  # has no resolution of its own
            assert [round(float(value)) for value in again.info["dpi"]] == [300, 300]


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_alpha_stays_untouched(tmp_path: Path, suffix: str) -> None:
    picture = reading.load(write(tmp_path / "a.png", "RGBA"))
    writing.save(picture, tmp_path / f"b{suffix}")
    again = reading.load(tmp_path / f"b{suffix}")
    assert np.array_equal(again.alpha, picture.alpha)


def test_alpha_is_laid_on_white_where_the_format_has_none(tmp_path: Path) -> None:
    clear = Picture(RGB, alpha=np.zeros(RGB.shape[:2], np.uint8))
    notes = writing.save(clear, tmp_path / "a.jpg")
    assert "white" in notes[0] and reading.load(tmp_path / "a.jpg").pixels.min() > 250


def test_tensor_and_pixels_are_inverse() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    tensor = to_tensor(pixels)
    assert tensor.shape == (1, 3, 16, 16) and tensor.min() == -1 and tensor.max() == 1
    assert np.array_equal(to_pixels(tensor), pixels)
    assert (to_pixels(torch.full((1, 3, 1, 1), 7.0)) == 255).all()


def test_bad_files_are_named_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("no picture at all, only words")
    whole = io.BytesIO()
    Image.fromarray(scene(200, 200, 1)).save(whole, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    for name, what in (("empty", "empty"), ("text", "not a picture"), ("cut", "damaged"), ("none", "no such file")):
        with pytest.raises(ImageError, match=rf"{name}\.jpg: .*{what}"):
            reading.load(tmp_path / f"{name}.jpg")
    with pytest.raises(ImageError, match="is a folder"):
        reading.load(tmp_path)


def test_damaged_files_never_raise_anything_else(tmp_path: Path) -> None:
    rng = random.Random(0)
    path = tmp_path / "x"
    for format_ in ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP"):
        whole = io.BytesIO()
        Image.fromarray(RGB).save(whole, format_)
        for _ in range(40):
            data = bytearray(whole.getvalue())
            for _ in range(rng.randint(1, 8)):
                data[rng.randrange(min(len(data), 400))] = rng.randrange(256)
            path.write_bytes(data[: rng.randint(len(data) // 2, len(data))])
            try:
                reading.load(path)
            except SincutError as error:
                assert str(path) in str(error)


def test_absurd_sizes_are_refused_before_decoding(tmp_path: Path) -> None:
    header = b"P6 100000 100000 255\n"
    (tmp_path / "huge.ppm").write_bytes(header + b"\0" * 100)
    with pytest.raises(ImageError, match="100000x100000"):
        reading.load(tmp_path / "huge.ppm")


def test_a_large_picture_passes_pillow_s_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.fromarray(RGB).save(tmp_path / "a.png")
    assert reading.load(tmp_path / "a.png").size == (24, 30)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"\.png"):
        writing.save(Picture(RGB), tmp_path / "a.xyz")


def test_shrink_keeps_small_pictures() -> None:
    assert resampling.shrink(Picture(RGB), 1).size == (24, 30)
    h, w = resampling.shrink(Picture(RGB), 0.0001).size
    assert 80 <= h * w <= 120
