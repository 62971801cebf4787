"""Tiles are exact in any size and precision, and become smaller where memory ends."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import StandIn, make_model, scene
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sincut.config.resolve import resolve
from sincut.config.sections import overlay
from sincut.errors import ImageError
from sincut.model.kinds import Told, untold
from sincut.model.limits import Limits
from sincut.model.model import with_generator
from sincut.nets.noise import noise_at
from sincut.pictures.picture import Picture, to_tensor
from sincut.translation.engine import Engine
from sincut.translation.halving import TileTooLargeError
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


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 130), st.integers(1, 130), st.integers(16, 140))
def test_tiled_equals_whole(h: int, w: int, tile: int) -> None:
    image = torch.rand(1, 3, h, w, generator=torch.Generator().manual_seed(h * w)) * 2 - 1
    whole = TRANSLATOR.translate(image, "off")
    assert whole.shape == image.shape
    torch.testing.assert_close(TRANSLATOR.translate(image, tile), whole, rtol=0, atol=1e-5)


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(16, 80), st.integers(2, 5), *[st.booleans()] * 6)
def test_tiled_equals_whole_for_any_halo(
    h: int,
    w: int,
    tile: int,
    blocks: int,
    base: bool,
    strokes: bool,
    grain: bool,
    balance: bool,
    deep: bool,
    materials: bool,
) -> None:
    colour = {"smooth": float(strokes), "grain": grain, "balance": balance}
    smooth = {"networks": {"smooth": float(base)}, "colour": colour}
    shape: dict[str, Any] = {"stem": 3, "inner": 4, "blocks": blocks, **smooth["networks"]}
    if materials:
        shape |= {"materials": 3, "residual": 1.0}
    if deep:
        shape |= {"architecture": "pyramid", "middle": 3}
    config = overlay(resolve(), {"networks": shape, "colour": smooth["colour"], "losses": {"layers": [0, 2]}})
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
    from sincut.config.resolve import resolve

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
        bare = with_generator(TRANSLATOR.model).translate(image, noise)
    inner = (..., slice(halo, -halo), slice(halo, -halo))
    torch.testing.assert_close(TRANSLATOR.translate(image)[inner], bare[inner], rtol=0, atol=1e-5)


def test_translating_repeats() -> None:
    image = torch.rand(1, 3, 40, 50)
    assert torch.equal(TRANSLATOR.translate(image), TRANSLATOR.translate(image))


def test_one_thread_and_two_give_the_same_bits() -> None:
    translator, image = Translator(make_model(resolve())), torch.rand(1, 3, 128, 144) * 2 - 1
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

    def small_device(self: Engine, window: torch.Tensor, noise: Callable[[], torch.Tensor], told: Told) -> torch.Tensor:
        sides.append(max(noise().shape[2:]) - 2 * self.model.noise_reach)
        if sides[-1] > 70:
            raise TileTooLargeError("a tile does not fit into the memory of cuda")
        return original(self, window, noise)

    monkeypatch.setattr(Engine, "translate_window", small_device)
    off = np.abs(TRANSLATOR.apply_picture(PICTURE, Options("off")).pixels - WHOLE)
    assert off.max() <= 1 and np.count_nonzero(off) <= 3  # alike to 1e-5: what is between two levels goes to either
    assert sides[0] == 132 and max(sides[1:]) <= 70 and len(sides) < 9
    corner = np.zeros((H, W))
    corner[:20, :20] = 255  # of the parts of a halved tile, most lie outside of it
    masked = Options("off", mask=mask_file(tmp_path / "m.png", corner))
    assert np.array_equal(TRANSLATOR.apply_picture(PICTURE, masked).pixels[40:], PICTURE.pixels[40:])
    monkeypatch.setattr(Engine, "translate_window", lambda *a: (_ for _ in ()).throw(TileTooLargeError("a tile")))
    with pytest.raises(ImageError, match="a tile, and it is the smallest"):
        TRANSLATOR.apply_picture(PICTURE)


def stand_in(limits: Limits) -> tuple[Translator, StandIn]:
    """A translator with these limits, and the stand-in behind it."""
    model = StandIn(with_generator(TRANSLATOR.model), limits)
    return Translator(model, precision="float32"), model  # type: ignore[arg-type]


@pytest.mark.parametrize("limits", [Limits(8, 8), Limits(0, 16), Limits(12, 3), Limits(40, 40), Limits(6, 6, 40**2)])
@pytest.mark.parametrize("tile", ["auto", 1, 37, 96])
def test_tiled_equals_whole_for_any_stride(limits: Limits, tile: int | str) -> None:
    image = torch.rand(1, 3, 131, 202, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole = stand_in(replace(limits, most_pixels=None))[0].translate(image, "off")
    translator, model = stand_in(limits)
    torch.testing.assert_close(translator.translate(image, tile), whole, rtol=0, atol=1e-5)
    border = 2 * limits.border
    assert all((h - border) % limits.stride == 0 == (w - border) % limits.stride for h, w in model.seen)
    assert all(h * w <= (limits.most_pixels or h * w) for h, w in model.seen)


def test_a_picture_that_cannot_be_cut_is_seen_whole() -> None:
    translator, model = stand_in(Limits(None, 8))
    image = torch.rand(1, 3, 43, 61, generator=torch.Generator().manual_seed(0)) * 2 - 1
    around = F.pad(image, (0, 3, 0, 5), mode="reflect")
    want = image - around.mean((2, 3), keepdim=True)
    for tile in ("auto", "off", 16):
        torch.testing.assert_close(translator.translate(image, tile), want)
    assert model.seen == [(48, 64)] * 3
    pixels = scene(43, 61, 0)
    box = translator.translate_box(pixels, (8, 16, 20, 40))
    torch.testing.assert_close(box, translator.translate(to_tensor(pixels))[:, :, 8:20, 16:40])


def test_a_picture_that_cannot_be_cut_is_not_halved_where_the_device_runs_out_of_memory() -> None:
    translator, model = stand_in(Limits(None, 8))
    model.translate_middle = out_of_memory  # type: ignore[method-assign]
    with pytest.raises(
        ImageError, match=r"a tile of 136x96 does not fit .*; this model takes pictures whole only: use"
    ):
        translator.apply_picture(PICTURE)


def out_of_memory(window: torch.Tensor, noise: torch.Tensor, told: Told = untold) -> torch.Tensor:
    raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize("stride", [2, 48, 100])
def test_tiles_of_any_stride_are_halved_to_the_smallest(stride: int, monkeypatch: pytest.MonkeyPatch) -> None:
    translator, model = stand_in(Limits(0, stride))
    largest = Limits(0, stride).aligned(64)
    original = model.translate_middle

    def small_device(window: torch.Tensor, noise: torch.Tensor, told: Told = untold) -> torch.Tensor:
        if max(window.shape[2:]) > largest:
            out_of_memory(window, noise)
        return original(window, noise)

    image = torch.rand(1, 3, 250, 310, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole = translator.translate(image, "off")
    model.translate_middle = small_device  # type: ignore[method-assign]
    torch.testing.assert_close(translator.translate(image, "off"), whole, rtol=0, atol=1e-5)
    model.translate_middle = out_of_memory  # type: ignore[method-assign]
    with pytest.raises(ImageError, match="it is the smallest"):
        translator.translate(image)
