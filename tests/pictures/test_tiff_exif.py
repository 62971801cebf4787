"""EXIF in TIFF files that libvips has written."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pyvips
from helpers import UNFILTERED, make_translator, photo_exif, scene
from PIL import Image

from sincut.pictures import large, reading, writing
from sincut.pictures import tiff_exif as tiff
from sincut.pictures.exif import for_tiff
from sincut.pictures.picture import Picture
from sincut.translation.options import Options

SMALL = {"networks": {"stem": 4, "inner": 6, "blocks": 2}, "losses": {"layers": [0, 2, 3]}}
TRANSLATOR = make_translator({**SMALL, "colour": UNFILTERED["colour"]})
H, W = 150, 211
RGB = scene(H, W, 0)
DEEP = (scene(H, W, 1).astype(np.uint16) << 8) + scene(H, W, 2)


def write(path: Path, array: np.ndarray, **options: object) -> Path:
    kind = ("rgb16" if array.shape[2] > 2 else "grey16") if array.dtype == np.uint16 else "srgb"
    image = pyvips.Image.new_from_array(array).copy(interpretation=kind, xres=300 / 25.4, yres=300 / 25.4)
    image.write_to_file(str(path), **options)
    return path


TILED = {"tile": True, "tile_width": 64, "tile_height": 64}


@pytest.mark.parametrize(
    ("array", "options"),
    [(RGB, {}), (RGB, {"bigtiff": True, **TILED}), (DEEP, {}), (np.tile(RGB, (3, 3, 1)), {**TILED, "pyramid": True})],
)
@pytest.mark.parametrize("memory", [None, 1])
def test_exif_is_written_into_every_kind_of_tiff(
    tmp_path: Path, array: np.ndarray, options: dict[str, object], memory: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x013B], exif[0x0100] = "a description", "somebody, who painted", 7  # the last is the width
    exif.get_ifd(0x8769)[0x9003] = "2024:01:02 03:04:05"
    exif.get_ifd(0x8825)[2] = (48.0, 51.0, 30.5)
    source, target = write(tmp_path / "a.tif", array, **options), tmp_path / "b.tif"
    with source.open("r+b") as file:
        tiff.add_tags(file, for_tiff(exif.tobytes()))
    if "bigtiff" in options:
        monkeypatch.setattr(large, "LARGEST_TIFF", 1)
    notes = TRANSLATOR.apply_file(source, target, Options(tile=64, max_memory=memory))
    assert "EXIF" not in " ".join(notes)
    for path in (source, target):
        with Image.open(path) as image:
            tags = image.getexif()
            assert (tags[0x010E], tags[0x013B], tags[0x0100]) == (exif[0x010E], exif[0x013B], array.shape[1])
            assert tags.get_ifd(0x8769)[0x9003] == "2024:01:02 03:04:05"
            assert [float(value) for value in tags.get_ifd(0x8825)[2]] == [48.0, 51.0, 30.5]
        assert pyvips.Image.new_from_file(str(path)).avg() > 0  # libvips still reads all of it
    big = target.read_bytes()[2] == 43
    assert big == ("bigtiff" in options and memory == 1)
    want = TRANSLATOR.apply_picture(reading.load(source), Options(tile=64)).pixels
    assert np.abs(reading.load(target).pixels.astype(int) - want).max() <= 1


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("excess", range(8))
def test_lists_of_tags_begin_where_tiff_has_them_begin(tmp_path: Path, big: bool, excess: int) -> None:
    tifftools = pytest.importorskip("tifftools")
    path = write(tmp_path / "a.tif", RGB, bigtiff=big)
    with path.open("ab") as file:  # a file may end anywhere
        file.write(bytes(-path.stat().st_size % 8 + excess))
    with path.open("r+b") as file:
        tiff.add_tags(file, for_tiff(photo_exif().tobytes()))
    info = tifftools.read_tiff(str(path))
    (pixels,) = info["ifds"]
    assert info["bigtiff"] == big and pixels["offset"] % 8 == 0
    tags = pixels["tags"]
    assert list(tags) == sorted(tags)
    assert tags[0x010E]["data"] == "a description" and tags[tifftools.Tag.ImageWidth.value]["data"] == [W]
    inner = tags[0x8769]["ifds"][0][0]
    assert inner["offset"] % 2 == 0 and inner["tags"][0x9003]["data"] == "2024:01:02 03:04:05"


@pytest.mark.parametrize("name", ["a.tif", "deep.tif", "big.tif", "a.jpg", "a.png"])
@pytest.mark.parametrize("memory", [None, 1])
def test_directories_within_exif_s_are_kept(
    tmp_path: Path, name: str, memory: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = photo_exif()
    exif.get_ifd(0x8769)[0xA005] = {1: "R98", 2: b"0100"}
    Image.fromarray(RGB).save(tmp_path / "source.jpg", exif=exif)
    picture = reading.load(tmp_path / "source.jpg")
    if name == "deep.tif":
        picture = replace(picture, pixels=picture.pixels.astype(np.uint16) * 257)
    if name == "big.tif":
        monkeypatch.setattr(large, "LARGEST_TIFF", 1)
    writing.save(picture, tmp_path / name)
    TRANSLATOR.apply_file(tmp_path / name, tmp_path / f"out-{name}", Options(tile=64, max_memory=memory))
    for path in (tmp_path / name, tmp_path / f"out-{name}"):
        with Image.open(path) as image:
            tags = image.getexif()
            assert tags.get_ifd(0x8769)[0x9003] == "2024:01:02 03:04:05"
            assert dict(tags.get_ifd(0xA005)) == {1: "R98", 2: b"0100"}


@pytest.mark.filterwarnings("ignore:::PIL")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_damaged_exif_stops_no_tiff(tmp_path: Path, dtype: type) -> None:
    writing.save(Picture(RGB.astype(dtype), exif=b"MM\0*\xff\xff\xff\xff no EXIF at all"), tmp_path / "a.tif")
    assert np.array_equal(reading.load(tmp_path / "a.tif").pixels, RGB)
