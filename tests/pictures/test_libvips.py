"""Sixteen bits a channel, by libvips."""

from pathlib import Path

import numpy as np
import pyvips
from helpers import scene

from sincut.pictures import reading

DEEP = (scene(40, 50, 1).astype(np.uint16) << 8) + scene(40, 50, 2)


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    for array in (DEEP, DEEP[:20, ::-1]):
        image = pyvips.Image.new_from_array(np.ascontiguousarray(array)).copy(interpretation="rgb16")
        image.write_to_file(str(tmp_path / "a.png"))
        assert np.array_equal(reading.load(tmp_path / "a.png").pixels, array)
