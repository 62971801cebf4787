"""Tiles are exact in any size and precision, and become smaller where memory ends."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import make_model, scene
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sincut.config.sections import Config, overlay
from sincut.errors import ImageError
from sincut.pictures.picture import Picture
from sincut.translation.engine import Engine, TileTooLargeError
from sincut.translation.noise import noise_at
from sincut.translation.options import Options
from sincut.translation.translator import Translator

NETWORKS = {
    "networks": {"stem": 4, "inner": 6, "blocks": 2},
    "losses": {"layers": [0, 2, 3]},
    "crops": {"low": 32.0, "high": 128.0},
}
TRANSLATOR = Translator(make_model(overlay(Config(), NETWORKS)), precision="float32")
H, W = 90, 130
PICTURE = Picture(scene(H, W, 0))
WHOLE = TRANSLATOR.apply_picture(PICTURE).pixels.astype(int)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 130), st.integers(1, 130), st.integers(16, 140))
def test_tiled_equals_whole(h: int, w: int, tile: int) -> None:
    image = torch.rand(1, 3, h, w, generator=torch.Generator().manual_seed(h * w)) * 2 - 1
    whole = TRANSLATOR.translate(image, "off")
    assert whole.shape == image.shape
    torch.testing.assert_close(TRANSLATOR.translate(image, tile), whole, rtol=0, atol=1e-5)


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(16, 80), st.integers(2, 5), *[st.booleans()] * 4)
def test_tiled_equals_whole_for_any_halo(
    h: int, w: int, tile: int, blocks: int, base: bool, strokes: bool, grain: bool, balance: bool
) -> None:
    colour = {"smooth": float(strokes), "grain": grain, "balance": balance}
    smooth = {"networks": {"smooth": float(base)}, "colour": colour}
    shape = {"stem": 3, "inner": 4, "blocks": blocks, **smooth["networks"]}
    config = overlay(Config(), {"networks": shape, "colour": smooth["colour"], "losses": {"layers": [0, 2]}})
    translator = Translator(make_model(config), precision="float32")
    image = torch.rand(1, 3, h, w, generator=torch.Generator().manual_seed(h * w)) * 2 - 1
    whole = translator.translate(image, "off")
    torch.testing.assert_close(translator.translate(image, tile), whole, rtol=0, atol=1e-5)


@settings(max_examples=8, deadline=None)
@given(st.integers(20, 60), st.integers(0, 100))
def test_no_step_shows_at_the_edges_of_tiles_in_bfloat16(tile: int, seed: int) -> None:
    tile -= tile % 2
    translator = Translator(TRANSLATOR.model, precision="bfloat16")
    image = torch.rand(1, 3, 120, 120, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    whole, tiled = translator.translate(image, "off"), translator.translate(image, tile)
    off = (tiled - whole).diff(dim=3).abs()  # how much steps between neighbours differ from those of the whole picture
    at_edges = torch.zeros(119, dtype=torch.bool)
    at_edges[tile - 1 :: tile] = True
    assert (tiled - whole).abs().max() < 0.05
    assert off[..., at_edges].max() <= off[..., ~at_edges].max() + 0.01
    assert off[..., at_edges].mean() <= 2 * off[..., ~at_edges].mean() + 1e-3


def test_tiled_equals_whole_at_the_standard_networks(tmp_path: Path) -> None:
    from sincut.config.sections import resolve

    translator = Translator(make_model(resolve("standard")), precision="float32")
    image = torch.rand(1, 3, 150, 201) * 2 - 1
    whole = translator.translate(image, "off")
    for tile in (64, 98):
        torch.testing.assert_close(translator.translate(image, tile), whole, rtol=0, atol=1e-5)


def test_tiled_stays_close_to_whole_in_bfloat16() -> None:
    translator = Translator(TRANSLATOR.model, precision="bfloat16")
    image = torch.rand(1, 3, 90, 100, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole = translator.translate(image, "off")
    assert (translator.translate(image, 40) - whole).abs().max() < 0.05


def test_the_middle_of_a_picture_is_the_bare_generator() -> None:
    image = torch.rand(1, 3, 120, 140) * 2 - 1
    halo = TRANSLATOR.model.limits.border
    noise = noise_at(torch.arange(120), torch.arange(140))
    with torch.inference_mode():
        bare = TRANSLATOR.model.translate(image, noise)
    inner = (..., slice(halo, -halo), slice(halo, -halo))
    torch.testing.assert_close(TRANSLATOR.translate(image)[inner], bare[inner], rtol=0, atol=1e-5)


def test_translating_repeats() -> None:
    image = torch.rand(1, 3, 40, 50)
    assert torch.equal(TRANSLATOR.translate(image), TRANSLATOR.translate(image))


def test_one_thread_and_two_give_the_same_bits() -> None:
    translator, image = Translator(make_model(Config())), torch.rand(1, 3, 128, 144) * 2 - 1
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(translator.translate(image))
    finally:
        torch.set_num_threads(before)
    assert found[0].equal(found[1])


def mask_file(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values.astype(np.uint8)).save(path)
    return path


def test_tiles_are_halved_where_the_device_runs_out_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, sides = Engine.translate_window, []

    def small_device(self: Engine, window: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        sides.append(max(noise.shape[2:]) - 2 * self.model.noise_reach)
        if sides[-1] > 70:
            raise TileTooLargeError("a tile does not fit into the memory of cuda")
        return original(self, window, noise)

    monkeypatch.setattr(Engine, "translate_window", small_device)
    off = np.abs(TRANSLATOR.apply_picture(PICTURE, Options("off")).pixels - WHOLE)
    assert off.max() <= 1 and np.count_nonzero(off) <= 3  # alike to 1e-5: what is between two levels goes to either
    assert sides[0] == 130 and max(sides[1:]) <= 70 and len(sides) < 9
    corner = np.zeros((H, W))
    corner[:20, :20] = 255  # of the parts of a halved tile, most lie outside of it
    masked = Options("off", mask=mask_file(tmp_path / "m.png", corner))
    assert np.array_equal(TRANSLATOR.apply_picture(PICTURE, masked).pixels[40:], PICTURE.pixels[40:])
    monkeypatch.setattr(Engine, "translate_window", lambda *a: (_ for _ in ()).throw(TileTooLargeError("a tile")))
    with pytest.raises(ImageError, match="a tile, and it is the smallest"):
        TRANSLATOR.apply_picture(PICTURE)
