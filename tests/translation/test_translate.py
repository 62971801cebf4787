"""Tiles are exact, noise goes by position, and every kind of image comes back as what it was."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import make_model, scene
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sincut.config.sections import Config, overlay
from sincut.errors import ConfigError, ImageError
from sincut.translation.blend import Blend
from sincut.translation.noise import noise_at
from sincut.translation.options import Options
from sincut.translation.tiles import mirror, tile_boxes
from sincut.translation.translator import Translator, load

NETWORKS = {"networks": {"stem": 4, "inner": 6, "blocks": 2}, "losses": {"layers": [0, 2, 3]}}
TRANSLATOR = Translator(make_model(overlay(Config(), NETWORKS)), precision="float32")


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


def test_noise_is_standard_normal_and_goes_by_position() -> None:
    noise = noise_at(torch.arange(-50, 350), torch.arange(400))
    assert noise.shape == (1, 1, 400, 400)
    assert abs(noise.mean()) < 0.01 and abs(noise.std() - 1) < 0.01
    assert abs((noise**4).mean() - 3) < 0.1
    for axis in (2, 3):
        neighbours = (noise * noise.roll(1, axis)).mean()
        assert abs(neighbours) < 0.01
    part = noise_at(torch.arange(10, 20), torch.arange(100, 130))
    assert torch.equal(part, noise[:, :, 60:70, 100:130])
    assert not torch.equal(
        noise_at(torch.arange(5), torch.arange(5)), noise_at(torch.arange(5), torch.arange(5), seed=1)
    )


def test_every_kind_of_image_comes_back_as_what_it_was(tmp_path: Path) -> None:
    pixels = scene(33, 41, 0)
    out = TRANSLATOR.apply(pixels)
    assert out.dtype == np.uint8 and out.shape == pixels.shape and not np.array_equal(out, pixels)
    image = TRANSLATOR.apply(Image.fromarray(pixels))
    assert isinstance(image, Image.Image) and np.array_equal(np.asarray(image), out)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for path in (tmp_path / "a.png", str(tmp_path / "a.png")):
        assert np.array_equal(np.asarray(TRANSLATOR.apply(path)), out)
    floats = TRANSLATOR.apply(pixels / 255.0)
    assert floats.dtype == np.float64 and np.abs(floats * 255 - out).max() <= 0.51
    tensor = torch.from_numpy(pixels).permute(2, 0, 1) / 255
    assert (TRANSLATOR.apply(tensor).permute(1, 2, 0).numpy() * 255 - out).__abs__().max() <= 0.51
    batch = TRANSLATOR.apply(torch.stack([tensor, tensor]))
    assert batch.shape == (2, 3, 33, 41)
    rgba = np.dstack([pixels, pixels[..., 0]])
    assert np.array_equal(TRANSLATOR.apply(rgba)[..., 3], pixels[..., 0])
    assert TRANSLATOR.apply(pixels[..., 0]).shape == pixels.shape
    for floats_ in (tensor, pixels / 255.0):
        for options in (Options(blend=Blend(0.5)), Options(scale=0.5), Options(mask=tmp_path / "a.png")):
            with pytest.raises(ConfigError, match="pictures of integers"):
                TRANSLATOR.apply(floats_, options)


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4, 3), np.int32), np.zeros((0, 4, 3), np.uint8),
              torch.zeros(4, 4, 3), torch.zeros(3, 4, 4, dtype=torch.uint8)]
)  # fmt: skip
def test_other_shapes_are_refused(wrong: object) -> None:
    with pytest.raises(ImageError, match="give"):
        TRANSLATOR.apply(wrong)


def test_tile_size_follows_request_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TRANSLATOR.tile_size(1000, 901, Options("off")) == 1000
    assert TRANSLATOR.tile_size(1000, 901, Options(77)) == 78
    assert TRANSLATOR.tile_size(50, 60) == 60
    sizes = []
    for free in (10**5, 10**8, 10**12):
        monkeypatch.setattr("sincut.translation.memory.available_memory", lambda device, free=free: free)
        sizes.append(TRANSLATOR.tile_size(9000, 9000))
    assert sizes == sorted(sizes) and sizes[0] == 64 and sizes[-1] == 512


def test_load_gives_a_translator(model_file: Path) -> None:
    assert load(model_file).apply(scene(20, 20, 0)).shape == (20, 20, 3)


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
