"""A picture in another space than sRGB is translated in sRGB, and written in its own space."""

from pathlib import Path

import numpy as np
import pytest
import pyvips
from helpers import GENTLE, make_translator, scene, wide_gamut_profile
from PIL import Image

from sincut.pictures import reading, writing
from sincut.pictures.picture import eight_bit
from sincut.pictures.writing import Saving
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
    from PIL import ImageCms

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
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(RGB).save(tmp_path / "a.png", icc_profile=profile)
    TRANSLATOR.apply_file(tmp_path / "a.png", tmp_path / "b.png", Options(max_memory=1))
    out = reading.load(tmp_path / "b.png")
    want = TRANSLATOR.apply_picture(reading.load(tmp_path / "a.png"))
    assert out.icc == profile and np.array_equal(out.pixels, want.pixels)
