"""What is written of a picture in each format."""

from pathlib import Path

import numpy as np
import pytest
from helpers import scene
from PIL import Image

from sincut.pictures import reading, writing
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
    assert np.array_equal(again.alpha, picture.alpha)


def test_alpha_is_laid_on_white_where_the_format_has_none(tmp_path: Path) -> None:
    clear = Picture(RGB, alpha=np.zeros(RGB.shape[:2], np.uint8))
    notes = writing.save(clear, tmp_path / "a.jpg")
    assert "white" in notes[0] and reading.load(tmp_path / "a.jpg").pixels.min() > 250
