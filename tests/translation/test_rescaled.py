"""Another scale: the detail comes back, and what the training has seen is known."""

from typing import Any

import numpy as np
from helpers import make_model, scene, style

from sincut.config.resolve import resolve
from sincut.config.sections import overlay
from sincut.model.model import with_generator
from sincut.pictures.picture import Picture
from sincut.translation.options import Options
from sincut.translation.translator import Translator

NETWORKS: dict[str, dict[str, Any]] = {
    "networks": {"stem": 4, "inner": 6, "blocks": 2},
    "losses": {"layers": [0, 2, 3]},
    "crops": {"low": 32.0, "high": 128.0},
}
TRANSLATOR = Translator(make_model(overlay(resolve(), NETWORKS)), precision="float32")
H, W = 90, 130
PICTURE = Picture(scene(H, W, 0))


def test_another_scale_comes_back_with_the_detail() -> None:
    fine = scene(H, W, 3)
    fine[::2] = (fine[::2] * 0.7).astype(np.uint8)  # lines that half the size does not have
    out = TRANSLATOR.apply_picture(Picture(fine), Options(scale=0.5)).pixels.astype(float)
    assert out.shape == fine.shape
    lines, source_lines = (np.abs(p[1::2].mean() - p[::2].mean()) for p in (out, fine.astype(float)))
    assert lines > 0.6 * source_lines
    flat = Picture(np.full((H, W, 3), 120, np.uint8))
    translator = Translator(
        make_model(
            overlay(resolve(), {**NETWORKS, "networks": {**NETWORKS["networks"], "noise": "last", "materials": 0}})
        )
    )
    style(with_generator(translator.model).generator).up.noise_gain.zero_()
    plain, scaled = (translator.apply_picture(flat, Options(scale=s)).pixels.astype(int) for s in (1.0, 0.5))
    assert np.abs(plain - scaled).max() <= 1  # nothing to see, nothing to lose


def test_the_scale_of_the_training_is_found_and_told() -> None:
    wide = Picture(scene(40, 512, 0))
    notes = TRANSLATOR.apply_picture(wide).notes
    assert notes == ("4.0 times as wide as the largest of the training; try --scale auto",)
    auto = TRANSLATOR.apply_picture(wide, Options(scale="auto"))
    assert auto.notes == ("translated at 0.25 of its size, which the training has seen",)
    assert np.array_equal(auto.pixels, TRANSLATOR.apply_picture(wide, Options(scale=0.25)).pixels)
    small = Picture(scene(12, 12, 0))
    assert "narrower" in TRANSLATOR.apply_picture(small).notes[0]
    assert not TRANSLATOR.apply_picture(PICTURE, Options(scale="auto")).notes
