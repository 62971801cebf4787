"""Pictures at other sizes."""

from helpers import scene

from sincut.pictures import resampling
from sincut.pictures.picture import Picture

RGB = scene(24, 30, 0)


def test_shrink_keeps_small_pictures() -> None:
    assert resampling.shrink(Picture(RGB), 1).size == (24, 30)
    h, w = resampling.shrink(Picture(RGB), 0.0001).size
    assert 80 <= h * w <= 120
