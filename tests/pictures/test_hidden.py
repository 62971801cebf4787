"""Colours below wholly transparent places."""

import numpy as np
import pytest
from helpers import GENTLE, make_translator, scene

from sincut.pictures import hidden
from sincut.pictures.hidden import visible_everywhere
from sincut.pictures.picture import Picture

TRANSLATOR = make_translator(GENTLE)
H, W = 40, 50
RGB = scene(H, W, 0)


def test_colours_that_cannot_be_seen_change_nothing_that_can() -> None:
    visible = np.zeros((H, W), np.uint8)
    visible[8:30, 10:40] = 255
    one, other = RGB.copy(), RGB.copy()
    one[visible == 0], other[visible == 0] = 0, (255, 0, 255)
    outs = [TRANSLATOR.apply_picture(Picture(pixels, visible)).pixels for pixels in (one, other)]
    assert np.array_equal(outs[0][visible > 0], outs[1][visible > 0])
    filled = visible_everywhere(one, visible)
    assert np.array_equal(filled[visible > 0], RGB[visible > 0])
    inside = RGB[visible > 0]
    assert (filled[visible == 0] >= inside.min(0)).all() and (filled[visible == 0] <= inside.max(0)).all()
    assert np.array_equal(visible_everywhere(one, np.zeros((H, W), np.uint8)), one)


def test_hidden_colours_of_a_large_picture_are_guessed_on_a_coarse_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hidden, "MOST_CELLS", 200.0)
    visible = np.full((H, W), 255, np.uint8)
    visible[:, :17] = 0
    flat = np.full((H, W, 3), 90, np.uint8)
    flat[:, :17] = 0
    assert (visible_everywhere(flat, visible) == 90).all()
