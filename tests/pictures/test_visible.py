"""Of a picture with transparent parts nothing hidden is left for those who learn from it."""

import numpy as np
import pytest
from helpers import scene

from sincut.errors import ImageError
from sincut.pictures.picture import Picture
from sincut.pictures.visible import mirrored_into, visible_part


def cut_out(shape: str, h: int = 90, w: int = 120) -> np.ndarray:
    """True where a picture (H, W) shows something."""
    y, x = np.mgrid[:h, :w]
    masks = {
        "disc": (y - 45) ** 2 + (x - 60) ** 2 < 30**2,
        "two": ((y - 20) ** 2 + (x - 20) ** 2 < 81) | ((y - 70) ** 2 + (x - 100) ** 2 < 121),
        "hair": np.abs(y - x // 2) < 1,
        "frame": (np.minimum(y, h - 1 - y) < 9) | (np.minimum(x, w - 1 - x) < 9),
        "pixel": (y == 3) & (x == 100),
    }
    mask: np.ndarray = masks[shape]
    return mask


def hiding(mask: np.ndarray, hidden: int, deep: bool = False) -> Picture:
    pixels = np.where(mask[..., None], scene(mask.shape[0], mask.shape[1], 0), np.uint8(hidden))
    alpha = np.where(mask, np.uint8(255), np.uint8(0))
    if deep:
        return Picture(pixels.astype(np.uint16) * 257, alpha.astype(np.uint16) * 257)
    return Picture(pixels, alpha)


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("shape", ["disc", "two", "hair", "frame", "pixel"])
def test_every_pixel_is_a_visible_one_whatever_is_hidden(shape: str, deep: bool) -> None:
    mask = cut_out(shape)
    one, other = (visible_part(hiding(mask, hidden, deep)) for hidden in (0, 255))
    assert np.array_equal(one.pixels, other.pixels)
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    assert one.size == (int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1)
    whole = hiding(mask, 0, deep)
    box = whole.pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    seen = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert np.array_equal(one.pixels[seen], box[seen])
    visible = {tuple(pixel) for pixel in whole.pixels[mask].tolist()}
    assert {tuple(pixel) for pixel in one.pixels.reshape(-1, 3).tolist()} <= visible
    if seen.all():
        assert one.size == (1, 1)
    else:
        assert one.alpha is not None and np.array_equal(one.alpha > 0, seen)
        assert "only its visible part is learned from" in one.notes[-1] and str(mask.sum()) in one.notes[-1]


def test_beyond_a_straight_border_a_picture_is_mirrored() -> None:
    pixels = scene(8, 10, 0)
    seen = np.zeros((8, 10), bool)
    seen[:, :6] = True
    filled = mirrored_into(pixels, seen)
    assert np.array_equal(filled, np.pad(pixels[:, :6], ((0, 0), (0, 4), (0, 0)), mode="symmetric"))


@pytest.mark.parametrize("value", [255, 100, 20])
def test_what_is_transparent_evenly_or_not_at_all_keeps_its_pixels(value: int) -> None:
    pixels = scene(20, 30, 0)
    shown = visible_part(Picture(pixels, np.full((20, 30), value, np.uint8)))
    assert shown.pixels is pixels and shown.alpha is None and not shown.notes


def test_soft_edges_show_more_of_their_ground_than_of_themselves() -> None:
    """Tools that cut out leave the old ground's colours below them."""
    pixels, alpha = scene(20, 30, 0), np.full((20, 30), 255, np.uint8)
    alpha[:, 25:] = 100
    assert visible_part(Picture(pixels, alpha)).size == (20, 25)


def test_a_picture_that_cannot_be_seen_is_refused() -> None:
    pixels = scene(20, 30, 0)
    for value in (0, 5):
        with pytest.raises(ImageError, match="transparent everywhere"):
            visible_part(Picture(pixels, np.full((20, 30), value, np.uint8)))
    with pytest.raises(ImageError, match="only 3 of its pixels are not transparent"):
        visible_part(Picture(pixels, (np.arange(600).reshape(20, 30) < 3) * np.uint8(255)), least=4)
