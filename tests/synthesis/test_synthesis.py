"""Exemplar-based synthesis: exact in any tiles, all pixels from the exemplar, the layout kept."""

from typing import Any

import pytest
import torch
from torch import Tensor

from sincut.errors import ConfigError
from sincut.synthesis import synthesis as module
from sincut.synthesis.field import MARGIN
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
    monkeypatch.setattr(module, "KEPT", 1 << 14)
    h, w = size
    drawing = drawing_of(synthesis, picture(h, w))
    whole, tiled = drawing.tile((0, 0, h, w)), torch.full((1, 3, h, w), torch.nan)
    for top in range(0, h, side):
        for left in range(0, w, side):
            box: Box = (top, left, min(top + side, h), min(left + side, w))
            tiled[:, :, top : box[2], left : box[3]] = drawing.tile(box)
    assert torch.allclose(tiled, whole, atol=1e-5)
    assert (drawing.whole, drawing.kept) == ((3, 1) if size == (171, 238) else (drawing.whole, 0))


def test_tiles_are_exact_with_heights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHOLE", 1 << 9)
    layout, exemplar = picture(101, 138), picture(200, 260, seed=1)
    drawing = drawing_of(Synthesis(exemplar, Dials(by_height=True)), layout)
    assert drawing.whole > 1
    whole = drawing.tile((0, 0, 101, 138))
    for box in ((0, 0, 40, 60), (37, 50, 101, 138), (64, 0, 80, 20)):
        part = whole[:, :, box[0] : box[2], box[1] : box[3]]
        assert torch.allclose(drawing.tile(box), part, atol=1e-5)


def test_by_height_pieces_come_from_about_where_they_are_drawn() -> None:
    layout, exemplar = picture(200, 260), picture(160, 200, seed=1)

    def moved(by_height: bool) -> Tensor:
        """How far pixels come from another height, as shares of the pictures' heights."""
        synthesis = Synthesis(exemplar, Dials(by_height=by_height))
        drawing = drawing_of(synthesis, layout)
        rows = drawing.field // synthesis.levels[0].source.width - MARGIN
        assert drawing.whole == 0 and rows.shape == drawing.padded
        here = torch.arange(len(rows))[:, None] / len(rows)
        return (rows / 160 - here).abs()

    free, bound = moved(False), moved(True)
    assert free.mean() > 0.25 and bound.mean() < 0.5 * free.mean()


def test_large_strokes_are_drawn_in_exact_tiles_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHOLE", 1 << 9)
    monkeypatch.setattr(module, "LARGEST", 1 << 14)
    synthesis = Synthesis(picture(100, 130, seed=1), Dials(stroke_scale=4.0))
    drawing = drawing_of(synthesis, picture(83, 149))
    whole, tiled = drawing.tile((0, 0, 83, 149)), torch.full((1, 3, 83, 149), torch.nan)
    for top in range(0, 83, 29):
        for left in range(0, 149, 29):
            box: Box = (top, left, min(top + 29, 83), min(left + 29, 149))
            tiled[:, :, top : box[2], left : box[3]] = drawing.tile(box)
    assert synthesis.shift == 2 and torch.allclose(tiled, whole, atol=1e-5)


def test_every_pixel_comes_from_the_exemplar(synthesis: Synthesis) -> None:
    """A blue layout drawn from an exemplar without blue has none."""
    brown = picture(200, 260, seed=1)
    brown[:, :, 2] = brown[:, :, 0] // 4
    blue = picture(90, 120)
    blue[:, :, :2] //= 4
    drawn = Synthesis(brown)(blue.permute(2, 0, 1)[None].float() / 127.5 - 1)
    assert bool((drawn[0, 2] <= (brown[:, :, 2].max() / 127.5 - 1) + 1e-5).all())


def test_calm_places_take_no_writing() -> None:
    """An exemplar of fine grain, in a part of which there is dark writing; the layout is an even surface."""
    random = torch.Generator().manual_seed(0)
    exemplar = (170 + 12 * torch.randn(192, 256, 1, generator=random)).clamp(0, 255).byte().expand(192, 256, 3).clone()
    exemplar[150:174:4, 160:240] = 40
    assert float((exemplar[:, :, 0] < 80).float().mean()) > 0.009
    drawn = Synthesis(exemplar)(torch.full((1, 3, 160, 200), 170 / 127.5 - 1))
    assert float((drawn[0, 0] < 80 / 127.5 - 1).float().mean()) < 0.001
    assert float(drawn[0, 0].std()) > 0.3 * 12 / 127.5  # the grain is there


def test_a_hole_in_a_cliff_is_not_drawn_over(monkeypatch: pytest.MonkeyPatch) -> None:
    grain = (picture(300, 400, seed=1).float().mean(2, keepdim=True) - 128) / 3
    cliff, sea = torch.tensor([115.0, 122.0, 135.0]), torch.tensor([85.0, 130.0, 175.0])
    exemplar = torch.cat([cliff + grain[:200], sea + grain[200:] / 2]).clamp(0, 255).byte()
    layout = (cliff + grain.flip(0)).clamp(0, 255).byte()
    layout[150:174, 200:214] = sea.byte()

    def blue() -> float:
        drawn = Synthesis(exemplar)(layout.permute(2, 0, 1)[None] / 127.5 - 1)
        inside = drawn[0, :, 153:171, 203:211].mean((1, 2))
        return float(inside[2] - inside[0]) * 127.5

    assert blue() > 70  # of 90; the cliff has 20
    monkeypatch.setattr(module, "LOST", torch.inf)
    assert blue() < 40


def test_fidelity_brings_a_drawing_nearer_to_its_layout() -> None:
    layout, exemplar = picture(160, 200), picture(200, 260, seed=1)
    x = layout.permute(2, 0, 1)[None].float() / 127.5 - 1
    errors = [float((Synthesis(exemplar, Dials(fidelity=f))(x) - x).square().mean()) for f in (0.0, 0.5, 1.0)]
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("size", [(8, 8), (8, 300), (39, 41)])
def test_exemplars_of_any_size_are_drawn_from(size: tuple[int, int]) -> None:
    drawn = Synthesis(picture(*size, seed=1))(torch.rand(1, 3, 50, 70) * 2 - 1)
    assert drawn.shape == (1, 3, 50, 70) and bool(drawn.isfinite().all())


def test_an_even_exemplar_gives_an_even_drawing() -> None:
    drawn = Synthesis(torch.full((64, 64, 3), 100, dtype=torch.uint8))(torch.rand(1, 3, 50, 70) * 2 - 1)
    torch.testing.assert_close(drawn, torch.full_like(drawn, 100 / 127.5 - 1))


@pytest.mark.parametrize("values", [{"stroke_scale": 0.2}, {"stroke_scale": 5}, {"fidelity": 1.1}, {"fidelity": -1}])
def test_dials_out_of_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="out of range"):
        Dials(**values)


def test_work_is_shared_out_between_the_coarse_part_and_the_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    synthesis = Synthesis(picture(200, 260, seed=1))
    coarse, tiles = synthesis.work((200, 260), 64)
    assert tiles == 0 and coarse > 2 * 200 * 260  # all is drawn at once, with two rounds at the finest level
    monkeypatch.setattr(module, "WHOLE", 1 << 14)  # px: the finest level is drawn in tiles
    least, small = synthesis.work((200, 260), 64)
    assert least + 2 * 200 * 260 == coarse
    _, large = synthesis.work((200, 260), 256)
    assert small > 2 * large >= 4 * 200 * 260  # what is around small tiles is drawn anew for each


def test_memory_is_that_of_the_largest_level_drawn_at_once(synthesis: Synthesis) -> None:
    levels = len(synthesis.levels)
    for size in ((10, 20), (1000, 1000), (3000, 4000), (25_000, 40_000)):
        pixels = size[0] * size[1]
        whole = [pixels >> 2 * n for n in range(levels) if pixels >> 2 * n <= module.WHOLE]
        largest = whole[0] if whole else pixels >> 2 * (levels - 1)
        kept = 3 * pixels // 16 if pixels > module.KEPT else 0  # of a gigapixel a sixteenth of the layout
        assert synthesis.begin_bytes(size) == module.BYTES_AT_WORK * largest + kept
        assert synthesis.picture_bytes(size) == module.BYTES_HELD * largest + kept
    assert synthesis.tile_bytes(1024) > module.BYTES_AT_WORK * 1024**2


def test_each_place_is_drawn_from_the_exemplar_that_fits() -> None:
    """Striped red above speckled blue, drawn from one exemplar of each, of different sizes and in either order."""
    random = torch.Generator().manual_seed(0)
    red, blue = torch.zeros(90, 120, 3), torch.zeros(50, 60, 3)
    red[..., 0] = 150 + 60 * (torch.arange(120) // 3 % 2)
    blue[..., 2] = 150 + 60 * torch.rand(50, 60, generator=random).round()
    layout = torch.zeros(1, 3, 80, 100) - 1
    layout[:, 0, :40], layout[:, 2, 40:] = 0.4, 0.4
    drawings = [Synthesis([first.byte(), second.byte()])(layout) for first, second in ((red, blue), (blue, red))]
    for drawn in drawings:
        above, below = drawn[..., :36, :], drawn[..., 44:, :]
        assert above[:, 2].max() < -0.99 and below[:, 0].max() < -0.99  # none of the other one's colour
        assert above[:, 0].std() > 0.15 and above[:, 0].diff(dim=1).abs().mean() < 0.06  # stripes, upright
        assert below[:, 2].std() > 0.15 and below[:, 2].diff(dim=1).abs().mean() > 0.1  # speckles
    assert torch.isfinite(torch.cat(drawings)).all()


def test_drawings_from_several_exemplars_are_the_same_in_any_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WHOLE", 1 << 9)
    synthesis = Synthesis([picture(60, 50, seed=2), picture(100, 130, seed=1), picture(9, 70, seed=3)])
    assert [len(level.source.tops) for level in synthesis.levels] == [3, 2, 1]
    drawing = drawing_of(synthesis, picture(71, 90))
    whole, tiled = drawing.tile((0, 0, 71, 90)), torch.full((1, 3, 71, 90), torch.nan)
    for top in range(0, 71, 33):
        for left in range(0, 90, 33):
            box: Box = (top, left, min(top + 33, 71), min(left + 33, 90))
            tiled[:, :, top : box[2], left : box[3]] = drawing.tile(box)
    assert torch.allclose(tiled, whole, atol=1e-5)
