"""Pictures that are read at a smaller size show what they show when they are read whole."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import scene
from PIL import Image

from sincut.errors import DamagedError
from sincut.pictures import libvips, reading, reduced
from sincut.pictures.metadata import UPRIGHT
from sincut.pictures.picture import eight_bit, on_white
from sincut.pictures.resampling import resized

H, W = 240, 320
SMALL = 60, 80


def smooth() -> np.ndarray:
    """A picture (H, W, 3) without anything that scalers could treat differently."""
    y, x = np.mgrid[:H, :W] / 50
    return (np.stack([np.sin(x), np.cos(y + x / 3), np.sin(x - y)], -1) * 100 + 128).astype(np.uint8)


def colours(mode: str) -> Image.Image:
    return Image.fromarray(smooth()).convert(mode)


def with_alpha(mode: str) -> Image.Image:
    image = Image.fromarray(smooth()).convert(mode)
    alpha = np.zeros((H, W), np.uint8)
    alpha[50:200, 100:250] = 255
    image.putalpha(Image.fromarray(alpha))
    return image


def deep(mode: str) -> Image.Image:
    return Image.fromarray(np.asarray(colours("L")).astype(np.uint16) * 257)


def palette_with_hole(mode: str) -> Image.Image:
    image = colours("RGB").quantize(200)
    image.paste(255, (0, 0, 150, H))
    image.info["transparency"] = 255
    return image


FILES: dict[str, tuple[Callable[[str], Image.Image], str, dict[str, Any]]] = {
    "a.jpg": (colours, "RGB", {"quality": 95}),
    "progressive.jpg": (colours, "RGB", {"quality": 95, "progressive": True}),
    "grey.jpg": (colours, "L", {"quality": 95}),
    "cmyk.jpg": (colours, "CMYK", {"quality": 95}),
    "a.png": (colours, "RGB", {}),
    "alpha.png": (with_alpha, "RGB", {}),
    "greys-alpha.png": (with_alpha, "L", {}),
    "palette.png": (colours, "P", {}),
    "hole.png": (palette_with_hole, "", {"transparency": 255}),
    "key.png": (colours, "RGB", {"transparency": (1, 2, 3)}),
    "deep.png": (deep, "", {}),
    "bits.png": (colours, "1", {}),
    "lzw.tif": (colours, "RGB", {"compression": "tiff_lzw"}),
    "cmyk.tif": (colours, "CMYK", {}),
    "lab.tif": (colours, "LAB", {}),
    "deep.tif": (deep, "", {"compression": "tiff_deflate"}),
    "a.webp": (colours, "RGB", {"lossless": True}),
    "a.bmp": (colours, "RGB", {}),
    "a.ppm": (colours, "RGB", {}),
    "a.gif": (colours, "P", {}),
    "a.jp2": (colours, "RGB", {}),
    "one-resolution.jp2": (colours, "RGB", {"num_resolutions": 1}),
}


@pytest.mark.parametrize("vips", [True, False])
@pytest.mark.parametrize("name", FILES)
def test_a_picture_that_is_read_smaller_shows_the_same(
    name: str, vips: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not vips:
        monkeypatch.setattr(libvips, "installed", lambda: False)
    make, mode, options = FILES[name]
    path = tmp_path / name
    make(mode).save(path, **options)
    got, size = reduced.load(path, lambda size: SMALL)
    whole = reading.load(path)
    assert size == whole.size == (H, W) and got.size == SMALL
    assert got.pixels.dtype == whole.pixels.dtype and got.grey == whole.grey
    assert (got.alpha is None) == (whole.alpha is None)
    assert set(whole.notes) < set(got.notes) and "scaled down from 320x240 to 80x60" in got.notes[-1]
    shown, want = (eight_bit(on_white(picture).pixels) for picture in (got, whole))
    difference = np.abs(resized(want, SMALL).clip(0, 255) - shown)
    rough = name in ("bits.png", "palette.png", "a.gif", "hole.png")  # dithered, or with a hard edge
    assert difference.mean() < (12 if rough else 2.5)


@pytest.mark.parametrize("vips", [True, False])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_a_picture_that_lies_on_its_side_is_turned(
    name: str, vips: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not vips:
        monkeypatch.setattr(libvips, "installed", lambda: False)
    exif = Image.Exif()
    exif[0x0112] = 6
    colours("RGB").save(tmp_path / name, exif=exif)
    asked = []

    def wanted(size: tuple[int, int]) -> tuple[int, int]:
        asked.append(size)
        return 80, 60

    got, size = reduced.load(tmp_path / name, wanted)
    assert size == (W, H) == asked[0] and got.size == (80, 60)
    want = resized(reading.load(tmp_path / name).pixels, (80, 60))
    assert np.abs(want - got.pixels).mean() < 2.5 and UPRIGHT in got.notes


@pytest.mark.parametrize("vips", [True, False])
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_hidden_colours_stay_hidden(name: str, vips: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scaling weighs colours by their alpha, so that none of what is hidden gets into what is seen."""
    if not vips:
        monkeypatch.setattr(libvips, "installed", lambda: False)
    seen = []
    for hidden in (0, 255):
        rgba = np.asarray(with_alpha("RGB")).copy()
        rgba[rgba[..., 3] == 0, :3] = hidden
        options: dict[str, Any] = {"lossless": True, "exact": True} if name == "a.webp" else {}
        Image.fromarray(rgba).save(tmp_path / name, **options)
        got, _ = reduced.load(tmp_path / name, lambda size: (61, 81))
        assert got.alpha is not None
        seen.append(got.pixels[got.alpha >= 128].astype(int))
    assert np.abs(seen[0] - seen[1]).max() <= 1


def test_a_picture_that_keeps_its_size_is_read_as_ever(tmp_path: Path) -> None:
    Image.fromarray(scene(40, 50, 0)).save(tmp_path / "a.jpg", quality=90)
    got, size = reduced.load(tmp_path / "a.jpg", lambda size: size)
    assert np.array_equal(got.pixels, reading.load(tmp_path / "a.jpg").pixels) and size == (40, 50) and not got.notes


def test_a_jpeg_without_its_end_is_read_and_told(tmp_path: Path) -> None:
    colours("RGB").save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:-2])
    got, _ = reduced.load(tmp_path / "a.jpg", lambda size: SMALL)
    assert got.size == SMALL and reading.NO_END in got.notes


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.jp2"])
def test_damage_is_told(name: str, tmp_path: Path) -> None:
    file = io.BytesIO()
    colours("RGB").save(file, {"a.jpg": "JPEG", "a.png": "PNG", "a.tif": "TIFF", "a.jp2": "JPEG2000"}[name])
    (tmp_path / name).write_bytes(file.getvalue()[: len(file.getvalue()) // 3])
    with pytest.raises(DamagedError, match=name):
        reduced.load(tmp_path / name, lambda size: SMALL)
