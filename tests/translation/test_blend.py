"""Strength, and what is kept of the source."""

import numpy as np
import pytest
import torch
from helpers import make_model, scene
from kornia.color import rgb_to_lab

from sincut.config.resolve import resolve
from sincut.config.sections import overlay
from sincut.errors import ConfigError
from sincut.pictures.picture import Picture, to_tensor
from sincut.translation.blend import Blend
from sincut.translation.options import Options
from sincut.translation.translator import Translator

NETWORKS = {
    "networks": {"stem": 4, "inner": 6, "blocks": 2},
    "losses": {"layers": [0, 2, 3]},
    "crops": {"low": 32.0, "high": 128.0},
}
TRANSLATOR = Translator(make_model(overlay(resolve(), NETWORKS)), precision="float32")
H, W = 90, 130
PICTURE = Picture(scene(H, W, 0))
WHOLE = TRANSLATOR.apply_picture(PICTURE).pixels.astype(int)


def lab(pixels: np.ndarray) -> torch.Tensor:
    return rgb_to_lab((to_tensor(pixels) + 1) / 2)


def test_strength_goes_from_the_source_to_the_translation() -> None:
    outs = [TRANSLATOR.apply_picture(PICTURE, Options(blend=Blend(s))).pixels.astype(int) for s in (0, 0.3, 0.7, 1)]
    assert np.array_equal(outs[0], PICTURE.pixels) and np.array_equal(outs[-1], WHOLE)
    distances = [np.abs(out - PICTURE.pixels).mean() for out in outs]
    assert distances == sorted(distances) and distances[1] > 0
    halfway = lab(PICTURE.pixels).lerp(lab(WHOLE.astype(np.uint8)), 0.3)
    assert (lab(outs[1].astype(np.uint8)) - halfway).abs().mean() < 1
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ConfigError, match="0 to 1"):
            Blend(wrong)


def test_what_is_kept_is_the_source_s() -> None:
    source, whole = lab(PICTURE.pixels), lab(WHOLE.astype(np.uint8))
    colour = lab(TRANSLATOR.apply_picture(PICTURE, Options(blend=Blend(keep="colour"))).pixels)
    texture = lab(TRANSLATOR.apply_picture(PICTURE, Options(blend=Blend(keep="texture"))).pixels)
    for got, light, chroma in ((colour, whole, source), (texture, source, whole)):
        assert torch.corrcoef(torch.stack([got[:, 0].flatten(), light[:, 0].flatten()]))[0, 1] > 0.97
        assert torch.corrcoef(torch.stack([got[:, 1:].flatten(), chroma[:, 1:].flatten()]))[0, 1] > 0.97
    with pytest.raises(ConfigError, match="colour or texture"):
        Blend(keep="shape")
