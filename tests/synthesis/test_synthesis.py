"""Exemplar-based synthesis: exact in any tiles, all pixels from the exemplar, the layout kept."""

import pytest
import torch
from torch import Tensor

from sincut.errors import ConfigError
from sincut.synthesis import synthesis as module
from sincut.synthesis.pyramid import Box
from sincut.synthesis.synthesis import Dials, Drawing, Synthesis


def picture(h: int, w: int, seed: int = 0) -> Tensor:
    """A random picture (h, w, 3), uint8, with forms of many sizes."""
    random = torch.Generator().manual_seed(seed)
    x = torch.zeros(1, 3, h, w)
    for cell in (32, 8, 2):
        noise = torch.rand(1, 3, -(-h // cell) + 1, -(-w // cell) + 1, generator=random)
        x += torch.nn.functional.interpolate(noise, scale_factor=cell)[:, :, :h, :w] / 3
    return (x[0] * 255).byte().permute(1, 2, 0)


def drawing_of(synthesis: Synthesis, layout: Tensor) -> Drawing:
    def read(top: int, left: int, bottom: int, right: int) -> Tensor:
        assert 0 <= top < bottom <= layout.shape[0] and 0 <= left < right <= layout.shape[1]
        return layout[top:bottom, left:right]

    return synthesis.begin(read, (layout.shape[0], layout.shape[1]))


@pytest.fixture(scope="module")
def synthesis() -> Synthesis:
    return Synthesis(picture(200, 260, seed=1))


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (33, 20), (171, 238)])
@pytest.mark.parametrize("side", [37, 64])
def test_tiles_of_any_size_make_the_same_picture(
    synthesis: Synthesis, size: tuple[int, int], side: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WHOLE", 1 << 9)  # px: two and more levels are drawn in tiles
    h, w = size
    drawing = drawing_of(synthesis, picture(h, w))
    whole, tiled = drawing.tile((0, 0, h, w)), torch.full((1, 3, h, w), torch.nan)
    for top in range(0, h, side):
        for left in range(0, w, side):
            box: Box = (top, left, min(top + side, h), min(left + side, w))
            tiled[:, :, top : box[2], left : box[3]] = drawing.tile(box)
    assert torch.allclose(tiled, whole, atol=1e-5)
    assert drawing.whole >= (2 if size == (171, 238) else 0)


@pytest.mark.parametrize("values", [{"stroke_scale": 0.2}, {"stroke_scale": 5}, {"fidelity": 1.1}, {"fidelity": -1}])
def test_dials_out_of_range_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="out of range"):
        Dials(**values)
