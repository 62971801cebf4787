"""Strength, what is kept, masks and scales: each composes with tiles."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import make_model, scene
from hypothesis import given, settings
from hypothesis import strategies as st
from kornia.color import rgb_to_lab
from PIL import Image

from sincut.config.sections import Config, overlay
from sincut.errors import ConfigError, ImageError
from sincut.events import Event, TileDone
from sincut.pictures import masks
from sincut.pictures.picture import Picture, to_tensor
from sincut.translation.blend import Blend
from sincut.translation.engine import Engine, TileTooLargeError
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


def lab(pixels: np.ndarray) -> torch.Tensor:
    return rgb_to_lab((to_tensor(pixels) + 1) / 2)


def weights(path: Path, size: tuple[int, int]) -> np.ndarray:
    """0 to 255, whole."""
    return masks.load_mask(path, size).weight((0, 0, *size))[0, 0].numpy() * 255


def mask_file(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values.astype(np.uint8)).save(path)
    return path


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


@settings(max_examples=10, deadline=None)
@given(
    st.integers(20, 80), st.sampled_from(["", "colour", "texture"]), st.floats(0, 1), st.sampled_from([1.0, 0.5, 1.7])
)
def test_all_of_it_is_the_same_in_any_tiles(tile: int, keep: str, strength: float, scale: float) -> None:
    options = {"blend": Blend(strength, keep), "scale": scale}
    whole = TRANSLATOR.apply_picture(PICTURE, Options("off", **options)).pixels
    tiled = TRANSLATOR.apply_picture(PICTURE, Options(tile, **options)).pixels
    assert np.abs(tiled.astype(int) - whole).max() <= 1  # of 255: where rounding decides


def test_a_mask_says_where(tmp_path: Path) -> None:
    values = np.zeros((H, W))
    values[:, 60:] = 255
    values[:, 50:60] = 128
    options = Options(32, mask=mask_file(tmp_path / "m.png", values))
    out = TRANSLATOR.apply_picture(PICTURE, options).pixels
    assert np.array_equal(out[:, :50], PICTURE.pixels[:, :50])
    assert np.abs(out[:, 60:].astype(int) - WHOLE[:, 60:]).max() <= 1
    middle = out[:, 50:60].astype(int)
    assert (middle != PICTURE.pixels[:, 50:60]).any() and (middle != WHOLE[:, 50:60]).any()


def test_hard_edges_of_a_mask_are_softened_and_its_size_adapts(tmp_path: Path) -> None:
    values = np.zeros((300, 400), np.uint8)
    values[:, 200:] = 255
    mask = weights(mask_file(tmp_path / "m.png", values), (600, 800))
    assert mask.shape == (600, 800)
    assert mask[:, :380].max() == 0 and mask[:, 420:].min() == 255 and len(np.unique(mask)) > 4
    with pytest.raises(ImageError, match=r"m\.png: the mask is 400x300, the picture 300x600"):
        masks.load_mask(tmp_path / "m.png", (600, 300))
    turned = Image.Exif()
    turned[0x0112] = 6  # what lies there as 400x300 is seen as 300x400
    Image.fromarray(values).save(tmp_path / "turned.png", exif=turned)
    assert masks.load_mask(tmp_path / "turned.png", (800, 600)).size == (800, 600)
    with pytest.raises(ImageError, match=r"turned\.png: the mask is 300x400, the picture 800x600"):
        masks.load_mask(tmp_path / "turned.png", (600, 800))
    see_through = Image.new("RGBA", (60, 30), (255, 255, 255, 0))  # white, but not to be seen
    see_through.paste((255, 255, 255, 255), (0, 0, 20, 30))
    see_through.paste((0, 0, 0, 255), (20, 0, 40, 30))
    see_through.save(tmp_path / "a.png")
    assert weights(tmp_path / "a.png", (30, 60))[15, [5, 30, 55]].tolist() == [255, 0, 0]
    ramp = np.linspace(0, 65535, 30 * 40).astype(np.uint16).reshape(30, 40)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    assert np.abs(weights(tmp_path / "deep.png", (30, 40)) - ramp / 257).max() <= 1


def test_tiles_outside_the_mask_cost_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.zeros((H, W))
    values[:20, :20] = 200
    calls = []
    original = Engine.translate_window
    monkeypatch.setattr(Engine, "translate_window", lambda self, *a: calls.append(1) or original(self, *a))
    events: list[Event] = []
    TRANSLATOR.apply_picture(PICTURE, Options(32, mask=mask_file(tmp_path / "m.png", values)), events.append)
    assert len(calls) == 1 and sum(isinstance(event, TileDone) for event in events) == 15


def test_another_scale_comes_back_with_the_detail() -> None:
    fine = scene(H, W, 3)
    fine[::2] = (fine[::2] * 0.7).astype(np.uint8)  # lines that half the size does not have
    out = TRANSLATOR.apply_picture(Picture(fine), Options(scale=0.5)).pixels.astype(float)
    assert out.shape == fine.shape
    lines, source_lines = (np.abs(p[1::2].mean() - p[::2].mean()) for p in (out, fine.astype(float)))
    assert lines > 0.6 * source_lines
    flat = Picture(np.full((H, W, 3), 120, np.uint8))
    translator = Translator(
        make_model(overlay(Config(), {**NETWORKS, "networks": {**NETWORKS["networks"], "noise": False}}))
    )
    translator.model.generator.up.noise_gain.zero_()
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
    for wrong in (0, -1, 17, float("nan"), "big"):
        with pytest.raises(ConfigError, match=r"0\.01 to 16"):
            Options(scale=wrong)


def test_sixteen_bits_go_through_all_of_it(tmp_path: Path) -> None:
    deep = Picture(PICTURE.pixels.astype(np.uint16) * 257)
    mask = mask_file(tmp_path / "m.png", np.full((H, W), 90))
    for options in (Options(), Options(blend=Blend(0.4)), Options(scale=0.5), Options(mask=mask)):
        out, eight = TRANSLATOR.apply_picture(deep, options).pixels, TRANSLATOR.apply_picture(PICTURE, options).pixels
        assert out.dtype == np.uint16
        assert np.abs(out / 257 - eight).max() <= 1.01
    assert len(np.unique(TRANSLATOR.apply_picture(deep).pixels)) > 256


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
