"""Files that are cut into strips give the pixels that they give whole."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import scene
from PIL import Image

from sincut.errors import DamagedError
from sincut.pictures import libvips, reading, reduced, strips
from sincut.pictures.kinds import kind_of
from sincut.pictures.picture import Metadata

H, W = 203, 150


def greys_16() -> Image.Image:
    return Image.fromarray(np.asarray(Image.fromarray(scene(H, W, 0)).convert("L")).astype(np.uint16) * 257)


def alpha(mode: str) -> Image.Image:
    image = Image.fromarray(scene(H, W, 0)).convert(mode)
    image.putalpha(Image.fromarray(scene(H, W, 1)[..., 0]))
    return image


def picture(mode: str) -> Image.Image:
    return alpha(mode[:-1]) if mode in ("LA", "RGBA") else Image.fromarray(scene(H, W, 0)).convert(mode)


def put(path: Path, mode: str, **options: Any) -> np.ndarray:
    """Write a file; its pixels as Pillow decodes them whole."""
    picture(mode).save(path, **options)
    with Image.open(path) as image:
        return np.asarray(image)


def cut(path: Path) -> tuple[list[int], np.ndarray] | None:
    """The heights of a file's strips, and all of their pixels."""
    with Image.open(path) as image:
        parts = strips.cut(path, image, kind_of(path))
        if parts is None:
            return None
        images = list(parts.images)
        assert max(each.height for each in images) <= parts.rows
    return [each.height for each in images], np.concatenate([np.asarray(each) for each in images])


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strips of 20 rows, and parts of a file that end anywhere."""
    monkeypatch.setattr(strips, "MOST_PIXELS", 20 * W)
    monkeypatch.setattr(strips, "PART", 1000)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGB", "RGBA"])
def test_a_png_is_cut_at_any_line(mode: str, tmp_path: Path) -> None:
    whole = put(tmp_path / "a.png", mode)
    got = cut(tmp_path / "a.png")
    assert got is not None and got[0] == [20] * 10 + [3]
    assert np.array_equal(got[1], whole)


def test_of_a_deep_png_the_upper_bits_are_given(tmp_path: Path) -> None:
    libvips.library()
    deep = scene(H, W, 0).astype(np.uint16) * 256 + np.arange(W)[None, :, None].astype(np.uint16)
    data = libvips.encode(deep, None, "PNG", False, Metadata())
    (tmp_path / "a.png").write_bytes(data)
    got = cut(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert got is not None and np.array_equal(got[1], np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("rows", [7, H])
def test_a_tiff_is_cut_between_its_strips(mode: str, compression: str, rows: int, tmp_path: Path) -> None:
    whole = put(tmp_path / "a.tif", mode, compression=compression, tiffinfo={278: rows})
    got = cut(tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as image:
        single = len(image.tag_v2[273]) == 1  # type: ignore[attr-defined]
    if single and compression != "raw":
        assert got is None
    else:
        assert got is not None and len(got[0]) > 2 and np.array_equal(got[1], whole)


@pytest.mark.parametrize("options", [{}, {"predictor": "horizontal"}, {"bigtiff": True}, {"compression": "jpeg"}])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_tiff_is_cut_between_its_rows_of_tiles(options: dict[str, Any], mode: str, tmp_path: Path) -> None:
    vips = libvips.library()
    vips.Image.new_from_array(np.asarray(picture(mode))).tiffsave(
        str(tmp_path / "a.tif"), tile=True, tile_width=32, tile_height=16, **{"compression": "deflate", **options}
    )
    got = cut(tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as image:
        assert got is not None and len(got[0]) > 2 and np.array_equal(got[1], np.asarray(image))


def test_what_cannot_be_cut_is_told(tmp_path: Path) -> None:
    picture("RGB").save(tmp_path / "a.webp")
    greys_16().save(tmp_path / "deep.png")
    picture("1").save(tmp_path / "bits.png")
    assert [cut(tmp_path / name) for name in ("a.webp", "deep.png", "bits.png")] == [None] * 3


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_strips_that_are_scaled_down_are_the_picture(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libvips, "installed", lambda: False)
    exif = Image.Exif()
    exif[0x0112] = 6
    options: dict[str, Any] = (
        {"compression": "tiff_lzw", "tiffinfo": {278: 7, 274: 6}} if name == "a.tif" else {"exif": exif}
    )
    picture("RGB").save(tmp_path / name, **options)
    whole = reading.load(tmp_path / name)
    asked: list[Any] = []
    put_together = reduced._put_together

    def noticed(*given: Any) -> Image.Image:
        asked.append(given)
        return put_together(*given)

    monkeypatch.setattr(reduced, "_put_together", noticed)
    got, size = reduced.load(tmp_path / name, lambda size: (60, 81))
    assert asked and size == whole.size == (W, H) and got.size == (60, 81) and set(whole.notes) < set(got.notes)
    assert np.abs(reduced.scaled(whole.pixels, (60, 81)).astype(int) - got.pixels).mean() < 3


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_a_file_that_ends_early_is_damaged(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libvips, "installed", lambda: False)
    picture("RGB").save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(DamagedError, match=name):
        reduced.load(tmp_path / name, lambda size: (60, 81))
