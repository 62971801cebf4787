"""Boxes cover a picture, and mirroring continues it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sincut.translation.tiles import mirror, tile_boxes


@settings(deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 50))
def test_boxes_cover_every_pixel_once(h: int, w: int, side: int) -> None:
    covered = np.zeros((h, w), int)
    for top, left, bottom, right in tile_boxes(h, w, side):
        covered[top:bottom, left:right] += 1
    assert (covered == 1).all()


@pytest.mark.parametrize("length", [1, 2, 3, 10])
def test_mirror_continues_as_numpy_reflects(length: int) -> None:
    want = np.pad(np.arange(length), 25, mode="reflect") if length > 1 else np.zeros(51, int)
    assert mirror(torch.arange(-25, length + 25), length).tolist() == want.tolist()
