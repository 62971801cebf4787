"""Heat maps: colours whose lightness tells the value, and panels that stand side by side."""

import torch
from helpers import scene
from kornia.color import rgb_to_lab

from sincut.pictures.picture import Picture
from sincut.report.heat_maps import colours, heat_maps


def test_heat_colours_rise_evenly_in_lightness() -> None:
    lab = rgb_to_lab(torch.from_numpy(colours()).float().T[None, :, :, None] / 255)[0, :, :, 0]
    steps = lab[0].diff()
    assert lab[0, 0] < 6 and lab[0, -1] > 92
    assert steps.min() > -0.2 and (lab[0] - torch.linspace(3, 96, 256)).abs().max() < 3


def test_heat_maps_mark_the_point_and_stand_side_by_side() -> None:
    picture = Picture(scene(100, 80, 1))
    drawn = heat_maps(picture, {"a": torch.zeros(100, 80), "b": torch.ones(50, 40)}, (40, 50), "0", "1").pixels
    assert drawn.shape[1] > 160 and drawn.shape[0] > 100
    first, second = drawn[25:115, 10:80], drawn[25:115, 100:160]
    assert second.mean() > first.mean() + 100
    assert first.max() > 200  # the ring
    four = heat_maps(picture, {str(i): torch.zeros(100, 80) for i in range(4)}, (40, 50), "0", "1").pixels
    assert four.shape[1] == drawn.shape[1] and four.shape[0] > 1.9 * drawn.shape[0]  # two rows of two
