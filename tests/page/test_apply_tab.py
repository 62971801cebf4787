"""The tab of styling: what was painted becomes a mask, and a picture that sincut made says how."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import TINY, make_model
from PIL import Image

from sincut.config.resolve import resolve
from sincut.config.sections import overlay
from sincut.pictures.writing import Saving
from sincut.translation.blend import Blend
from sincut.translation.options import Options
from sincut.translation.translator import load

gr = pytest.importorskip("gradio")


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    from sincut.page.desk import Desk
    from sincut.page.jobs import Trainings

    (tmp_path / "runs" / "sea").mkdir(parents=True)
    make_model(overlay(resolve(), TINY)).save(tmp_path / "runs" / "sea" / "model.safetensors")
    return Desk(tmp_path, tmp_path, Trainings(tmp_path / "runs", "cpu"), "cpu")


def test_a_mask_is_white_where_something_was_painted(tmp_path: Path, desk: Any) -> None:
    from sincut.page.apply_tab import _painted

    layer = np.zeros((40, 60, 4), np.uint8)
    Image.fromarray(layer).save(tmp_path / "empty.png")
    layer[10:20, 30:50] = 20, 184, 166, 255
    Image.fromarray(layer).save(tmp_path / "layer.png")
    nothing: list[Any] = [None, {}, {"layers": []}, {"layers": [str(tmp_path / "empty.png")]}]
    for value in nothing:
        assert _painted(desk, value) is None
    path = _painted(desk, {"layers": [str(tmp_path / name) for name in ("empty.png", "layer.png")]})
    assert path is not None
    with Image.open(path) as mask:
        assert np.array_equal(np.asarray(mask.convert("L")) > 127, layer[:, :, 3] > 127)


def test_a_picture_that_sincut_made_restores_its_model_and_fields(tmp_path: Path, desk: Any, painting: Path) -> None:
    from sincut.page.apply_tab import _recalled
    from sincut.page.recall import made_by_sincut

    options = Options(blend=Blend(0.4, "colour"), scale=0.5)
    load(tmp_path / "runs" / "sea").apply_file(
        painting, tmp_path / "out.jpg", options, Saving(quality=80, greys="keep")
    )
    made = made_by_sincut([str(tmp_path / "out.jpg")], desk.trainings)
    assert made is not None
    assert _recalled(made) == ["sea", 0.4, "keep my colours", "0.5", False, 1.0, 0.5, False, 80, True]
    unknown = replace(made, model="", imprint=replace(made.imprint, options={}))
    usual = [1.0, "everything from the translation", "1", False, 1.0, 0.5, False, 0, False]
    assert _recalled(unknown) == [gr.skip(), *usual] and _recalled(None) == [gr.skip()] * 10


def test_why_nothing_was_styled_goes_when_something_is_changed() -> None:
    from sincut.page.apply_tab import FAILED, NOTHING, _cleared

    assert _cleared(f"{FAILED}no pictures") == NOTHING and _cleared("**1 styled.**") == gr.skip()


def test_a_picture_that_is_shown_reduced_says_so(tmp_path: Path, desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from sincut.page import apply_tab, uploads

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    for name in ("in.png", "out.png"):
        Image.new("RGB", (60, 40)).save(tmp_path / name)
    pair = str(tmp_path / "in.png"), str(tmp_path / "out.png")
    assert "out.png, 60×40. Download it below." in apply_tab._compared(desk, pair)
    monkeypatch.setattr(uploads, "SCREEN_MEGAPIXELS", 600e-6)
    assert "out.png, 60×40. Shown reduced to 30×20. Download it below." in apply_tab._compared(desk, pair)
