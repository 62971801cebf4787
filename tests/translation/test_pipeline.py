"""Masks, strengths and scales go with tiles and with 16 bits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import StandIn, make_model, scene
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sincut.config.resolve import resolve
from sincut.config.sections import overlay
from sincut.events import Event, TileDone
from sincut.model.limits import Limits
from sincut.pictures.picture import Picture
from sincut.translation.blend import Blend
from sincut.translation.engine import Engine
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


def mask_file(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values.astype(np.uint8)).save(path)
    return path


@settings(max_examples=10, deadline=None)
@given(
    st.integers(20, 80), st.sampled_from(["", "colour", "texture"]), st.floats(0, 1), st.sampled_from([1.0, 0.5, 1.7])
)
def test_all_of_it_is_the_same_in_any_tiles(tile: int, keep: str, strength: float, scale: float) -> None:
    options: dict[str, Any] = {"blend": Blend(strength, keep), "scale": scale}
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


def test_tiles_outside_the_mask_cost_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.zeros((H, W))
    values[:20, :20] = 200
    calls: list[int] = []
    original = Engine.translate_window

    def counted(engine: Engine, *arguments: Any) -> Any:
        calls.append(1)
        return original(engine, *arguments)

    monkeypatch.setattr(Engine, "translate_window", counted)
    events: list[Event] = []
    TRANSLATOR.apply_picture(PICTURE, Options(32, mask=mask_file(tmp_path / "m.png", values)), events.append)
    assert len(calls) == 1 and sum(isinstance(event, TileDone) for event in events) == 15


def test_sixteen_bits_go_through_all_of_it(tmp_path: Path) -> None:
    deep = Picture(PICTURE.pixels.astype(np.uint16) * 257)
    mask = mask_file(tmp_path / "m.png", np.full((H, W), 90))
    for options in (Options(), Options(blend=Blend(0.4)), Options(scale=0.5), Options(mask=mask)):
        out, eight = TRANSLATOR.apply_picture(deep, options).pixels, TRANSLATOR.apply_picture(PICTURE, options).pixels
        assert out.dtype == np.uint16
        assert np.abs(out / 257 - eight).max() <= 1.01
    assert len(np.unique(TRANSLATOR.apply_picture(deep).pixels)) > 256


def test_tiles_of_a_picture_that_cannot_be_cut_are_left_aside_with_a_note() -> None:
    translator = Translator(StandIn(TRANSLATOR.model, Limits(None, 2)), precision="float32")  # type: ignore[arg-type]
    out = translator.apply_picture(PICTURE, Options(32))
    assert out.notes == ("--tile 32 is left aside: this model takes pictures whole only",)
    for tile in ("auto", "off"):
        whole = translator.apply_picture(PICTURE, Options(tile))
        assert not whole.notes and np.array_equal(whole.pixels, out.pixels)
