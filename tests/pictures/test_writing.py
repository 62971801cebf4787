"""Pictures written in each format."""

from pathlib import Path

import numpy as np
import pytest
from helpers import XMP, photo_exif, scene, wide_gamut_profile
from PIL import Image

from sincut.errors import ImageError
from sincut.pictures import reading, writing
from sincut.pictures.formats import WRITABLE
from sincut.pictures.picture import Picture

RGB = scene(24, 30, 0)


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_alpha_stays_untouched(tmp_path: Path, suffix: str) -> None:
    image = Image.fromarray(RGB)
    image.putalpha(Image.fromarray(RGB[..., 1]))
    image.save(tmp_path / "a.png")
    picture = reading.load(tmp_path / "a.png")
    writing.save(picture, tmp_path / f"b{suffix}")
    again = reading.load(tmp_path / f"b{suffix}")
    assert picture.alpha is not None and again.alpha is not None
    assert np.array_equal(again.alpha, picture.alpha)


def test_alpha_is_laid_on_white_where_the_format_has_none(tmp_path: Path) -> None:
    clear = Picture(RGB, alpha=np.zeros(RGB.shape[:2], np.uint8))
    notes = writing.save(clear, tmp_path / "a.jpg")
    assert "white" in notes[0] and reading.load(tmp_path / "a.jpg").pixels.min() > 250


@pytest.mark.parametrize("suffix", sorted(WRITABLE))
def test_metadata_is_kept_or_its_loss_is_told(tmp_path: Path, suffix: str) -> None:
    exif = photo_exif()
    del exif[0x0112]
    picture = Picture(RGB, icc=wide_gamut_profile(), exif=exif.tobytes(), xmp=XMP)
    notes = " ".join(writing.save(picture, tmp_path / f"a{suffix}"))
    with Image.open(tmp_path / f"a{suffix}") as image:
        assert ("icc_profile" in image.info) != ("ICC profile" in notes)
        assert (image.getexif().get(0x010E) == "a description") != ("EXIF" in notes)
        assert bool(image.info.get("xmp")) != ("XMP" in notes)


@pytest.mark.parametrize("suffix", sorted(WRITABLE))
def test_colours_of_a_wide_gamut_are_right_in_every_format(tmp_path: Path, suffix: str) -> None:
    flat = np.full((40, 50, 3), (200, 60, 90), np.uint8)  # one colour, which every encoder keeps
    notes = writing.save(Picture(flat, icc=wide_gamut_profile()), tmp_path / f"a{suffix}")
    again = reading.load(tmp_path / f"a{suffix}")
    assert np.abs(again.pixels.astype(int) - flat).max() <= 4
    assert (again.icc is None) == (suffix == ".bmp") == any("written in sRGB" in note for note in notes)


def test_a_picture_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyvips

    def fail(*_: object, **__: object) -> None:
        raise pyvips.Error("unable to write", "no memory left")

    monkeypatch.setattr(pyvips.Image, "write_to_buffer", fail)
    with pytest.raises(ImageError, match=r"a\.png: cannot be written \(no memory left\)"):
        writing.save(Picture(RGB.astype(np.uint16) * 257), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
