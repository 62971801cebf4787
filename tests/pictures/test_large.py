"""Pictures beyond memory go from file to file, and come out as those that fit."""

import errno
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from helpers import make_translator, photo_exif, scene
from PIL import Image, ImageCms

from sincut.errors import DamagedError, ImageError
from sincut.events import Event, PictureStarted
from sincut.pictures import reading
from sincut.pictures.writing import Saving
from sincut.translation.blend import Blend
from sincut.translation.options import Options
from sincut.translation.translator import Translator

TRANSLATOR = make_translator({"networks": {"stem": 4, "inner": 6, "blocks": 2}, "losses": {"layers": [0, 2, 3]}})
H, W = 150, 211
RGB = scene(H, W, 0)
DEEP = (scene(H, W, 1).astype(np.uint16) << 8) + scene(H, W, 2)
ALPHA = np.full((H, W), 200, np.uint8)
NO_ROOM = Options(tile=64, max_memory=1)


def write(path: Path, array: np.ndarray, **options: object) -> Path:
    kind = ("rgb16" if array.shape[2] > 2 else "grey16") if array.dtype == np.uint16 else "srgb"
    image = pyvips.Image.new_from_array(array).copy(interpretation=kind, xres=300 / 25.4, yres=300 / 25.4)
    image.write_to_file(str(path), **options)
    return path


TILED = {"tile": True, "tile_width": 64, "tile_height": 64}


@pytest.mark.parametrize(
    ("name", "array", "options"),
    [("strips.tif", RGB, {}), ("tiles.tif", RGB, {**TILED, "compression": "lzw"}),
     ("pyramid.tif", np.tile(RGB, (2, 2, 1)), {**TILED, "pyramid": True, "bigtiff": True}),
     ("deep.tif", DEEP, TILED), ("a.png", RGB, {}),
     ("deep.png", DEEP, {}), ("alpha.png", np.dstack([RGB, ALPHA]), {}), ("alpha.tif", np.dstack([RGB, ALPHA]), TILED)],
)  # fmt: skip
def test_streamed_equals_translated_in_memory(
    tmp_path: Path, name: str, array: np.ndarray, options: dict[str, object]
) -> None:
    source, target = write(tmp_path / name, array, **options), tmp_path / f"out-{name}"
    want = TRANSLATOR.apply_picture(reading.load(source), Options(tile=64))
    TRANSLATOR.apply_file(source, target, NO_ROOM)
    got = reading.load(target)
    assert got.pixels.dtype == array.dtype
    assert np.abs(got.pixels.astype(int) - want.pixels.astype(int)).max() <= (0 if array.dtype == np.uint8 else 1)
    assert (got.alpha is None) == (want.alpha is None)
    assert got.alpha is None or want.alpha is None or np.array_equal(got.alpha, want.alpha)
    assert got.dpi == pytest.approx((300, 300), rel=1e-3)
    if name.endswith(".tif"):
        written = pyvips.Image.new_from_file(str(target))
        assert written.get("tile-width") == 256
        assert (written.get_typeof("n-pages") != 0 and written.get("n-pages") > 1) == (name == "pyramid.tif")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, f"out-{name}"])  # nothing else is left


def test_streamed_jpeg_greys_and_strength(tmp_path: Path) -> None:
    source = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "a description", 3
    Image.fromarray(RGB).convert("L").save(source, exif=exif, quality=95)
    options = Options(tile=64, max_memory=1, blend=Blend(0.5))
    notes = TRANSLATOR.apply_file(source, tmp_path / "b.jpg", options, Saving(quality=98, greys="keep"))
    assert "upright" in " ".join(notes)
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.mode == "L" and image.size == (W, H)
        assert image.getexif()[0x010E] == "a description" and image.getexif().get(0x0112, 1) == 1
    want = TRANSLATOR.apply_picture(reading.load(source), Options(tile=64, blend=Blend(0.5))).pixels
    grey = np.asarray(Image.fromarray(want).convert("L")).astype(float)
    with Image.open(tmp_path / "b.jpg") as image:
        assert np.abs(np.asarray(image) - grey).mean() < 2


def test_alpha_of_a_streamed_jpeg_is_laid_on_white(tmp_path: Path) -> None:
    source = write(tmp_path / "a.tif", np.dstack([RGB, np.zeros((H, W), np.uint8)]))
    notes = TRANSLATOR.apply_file(source, tmp_path / "b.jpg", NO_ROOM)
    assert "white" in " ".join(notes) and reading.load(tmp_path / "b.jpg").pixels.min() > 250


def test_what_is_expected_is_said_before(tmp_path: Path) -> None:
    source, events = write(tmp_path / "a.tif", RGB, **TILED), list[Event]()
    translator = Translator(TRANSLATOR.model, precision="float32")
    translator.apply_file(source, tmp_path / "b.tif", NO_ROOM, on_event=events.append)
    started = events[0]
    assert isinstance(started, PictureStarted)
    assert (started.width, started.height, started.tiles) == (W, H, 12)
    assert started.memory > 10**6 and started.seconds > 0


def test_damage_in_the_middle_leaves_nothing_behind(tmp_path: Path) -> None:
    source = write(tmp_path / "a.png", RGB)
    data = bytearray(source.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = bytes(2000)
    source.write_bytes(data)
    for target in ("b.tif", "b.png", "b.jpg"):
        with pytest.raises(ImageError, match=r"a\.png: is damaged"):
            TRANSLATOR.apply_file(source, tmp_path / target, NO_ROOM)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_what_cannot_be_streamed_says_why(tmp_path: Path) -> None:
    source = write(tmp_path / "a.tif", RGB)
    with pytest.raises(ImageError, match="WEBP files of this size"):
        TRANSLATOR.apply_file(source, tmp_path / "b.webp", NO_ROOM)


def test_masks_scales_and_hidden_colours_are_streamed_as_in_memory(tmp_path: Path) -> None:
    values = np.zeros((H // 2, W // 2), np.uint8)
    values[20:50, 30:] = 255
    Image.fromarray(values).save(tmp_path / "mask.png")
    clear = np.where(np.arange(W) < 90, 0, ALPHA)
    source = write(tmp_path / "a.tif", np.dstack([RGB, clear]).astype(np.uint8), **TILED)
    options: tuple[dict[str, Any], ...] = (
        {},
        {"scale": 0.4},
        {"scale": 1.6},
        {"mask": tmp_path / "mask.png"},
        {"mask": tmp_path / "mask.png", "scale": 0.5, "blend": Blend(0.6, "colour")},
    )
    for extra in options:
        want = TRANSLATOR.apply_picture(reading.load(source), Options(tile=64, **extra))
        TRANSLATOR.apply_file(source, tmp_path / "b.tif", Options(tile=64, max_memory=1, **extra))
        got = reading.load(tmp_path / "b.tif")
        assert got.alpha is not None and want.alpha is not None
        assert np.array_equal(got.pixels, want.pixels) and np.array_equal(got.alpha, want.alpha), extra


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "a.tif", RGB)

    def full(self: pyvips.Image, *args: object, **options: object) -> None:
        raise pyvips.Error("unable to write", "No space left on device")

    monkeypatch.setattr(pyvips.Image, "tiffsave", full, raising=False)
    with pytest.raises(ImageError, match="free some space"):
        TRANSLATOR.apply_file(source, tmp_path / "b.tif", NO_ROOM)
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]


def test_cmyk_goes_through_rows_too(tmp_path: Path) -> None:
    for name in ("a.tif", "a.jpg"):
        Image.fromarray(RGB).convert("CMYK").point(lambda v: v // 2 + 30).save(tmp_path / name, quality=95)
        for kind, memory in (("memory", None), ("streamed", 1)):
            TRANSLATOR.apply_file(tmp_path / name, tmp_path / f"{kind}.png", Options(max_memory=memory))
        want, got = (reading.load(tmp_path / f"{kind}.png").pixels.astype(int) for kind in ("memory", "streamed"))
        assert np.abs(want - got).max() <= 4, name


def test_colours_that_only_libvips_reads_are_streamed_as_in_memory(tmp_path: Path) -> None:
    floats = tmp_path / "floats.tif"
    pyvips.Image.new_from_array((RGB / 255).astype(np.float32)).write_to_file(str(floats))
    want = TRANSLATOR.apply_picture(reading.load(floats), Options(tile=64))
    notes = TRANSLATOR.apply_file(floats, tmp_path / "b.tif", NO_ROOM)
    got = reading.load(tmp_path / "b.tif")
    assert got.pixels.dtype == np.uint16 and np.abs(got.pixels.astype(int) - want.pixels).max() <= 1
    assert "floating-point" in " ".join(notes)


def test_files_that_libvips_does_not_read_are_not_called_damaged(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.bmp")
    Image.fromarray(RGB).save(tmp_path / "a.jp2")
    lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    converted = ImageCms.profileToProfile(Image.fromarray(RGB), *lab, outputMode="LAB")
    assert converted is not None
    converted.save(tmp_path / "lab.tif")
    for name in ("a.bmp", "a.jp2", "lab.tif"):
        with pytest.raises(ImageError, match=rf"{name}: .*convert it to \.tif") as told:
            TRANSLATOR.apply_file(tmp_path / name, tmp_path / "b.png", NO_ROOM)
        assert not isinstance(told.value, DamagedError)
        TRANSLATOR.apply_file(tmp_path / name, tmp_path / "b.png")


def test_long_metadata_of_a_streamed_jpeg_is_left_out_and_said(tmp_path: Path) -> None:
    exif = photo_exif()
    exif[0x9286] = b"x" * 70_000
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    notes = TRANSLATOR.apply_file(tmp_path / "a.png", tmp_path / "b.jpg", NO_ROOM)
    assert "JPEG cannot hold EXIF of this length" in notes
    with Image.open(tmp_path / "b.jpg") as image:
        assert not image.getexif().get(0x010E)


def test_no_room_for_the_profile_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "a.tif", RGB)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sincut.pictures.large.tempfile.TemporaryDirectory", full)
    with pytest.raises(ImageError, match=r"b\.tif: cannot be written \(.*No space left on device"):
        TRANSLATOR.apply_file(source, tmp_path / "b.tif", NO_ROOM)
