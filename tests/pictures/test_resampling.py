"""Pictures at other sizes."""

import base64
from pathlib import Path

from helpers import scene

from sincut.pictures import reading, resampling
from sincut.pictures.picture import Picture

RGB = scene(24, 30, 0)


def test_shrink_keeps_small_pictures() -> None:
    assert resampling.shrink(Picture(RGB), 1).size == (24, 30)
    h, w = resampling.shrink(Picture(RGB), 0.0001).size
    assert 80 <= h * w <= 120


def test_thumbnails_of_strangers_do_no_harm(painting: Path) -> None:
    own = base64.b64encode(resampling.thumbnail(reading.load(painting))).decode()
    small = resampling.from_thumbnail(own)
    assert small is not None and max(small.size) <= 160
    other = base64.b64encode(painting.read_bytes()).decode()  # a PNG
    for text in ("", "no base64 !", other, own[:200], "€"):
        assert resampling.from_thumbnail(text) is None
