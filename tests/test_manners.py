"""The further manners of the example script: each the same picture every time, with strokes of its own kind."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import ROOT
from PIL import Image

MANNERS = ROOT / "examples" / "manners.py"
Manner = Callable[[np.ndarray[Any, Any], np.random.Generator], np.ndarray[Any, Any]]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The script's names; as in `python examples/manners.py`, what lies beside it can be imported."""
    monkeypatch.syspath_prepend(str(MANNERS.parent))  # type: ignore[no-untyped-call, unused-ignore]
    return runpy.run_path(str(MANNERS), run_name="manners")


def view() -> np.ndarray[Any, Any]:
    """A part of the example's photo with sky, sea and rock, (64, 96, 3) in sRGB from 0 to 1."""
    photo = Image.open(ROOT / "examples" / "truth.jpg").resize((304, 208)).crop((40, 30, 136, 94))
    return np.asarray(photo, np.float32) / 255


def fine(picture: np.ndarray[Any, Any]) -> float:
    """Mean difference of neighbouring pixels' lightness: how much there is of strokes."""
    grey = picture.mean(-1)
    return float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean())


def test_manners_are_deterministic_have_strokes_and_differ(script: dict[str, Any]) -> None:
    photo, made = view(), {}
    manners: dict[str, Manner] = script["MANNERS"]
    for name, manner in manners.items():
        made[name], again = (manner(photo, np.random.default_rng(1)) for _ in range(2))
        assert made[name].shape == photo.shape and np.isfinite(made[name]).all()
        assert made[name].min() >= 0 and made[name].max() <= 1
        assert np.array_equal(made[name], again) and fine(made[name]) > 0.01
        even = manner(np.full((48, 64, 3), 0.30, np.float32), np.random.default_rng(1))
        assert fine(even) > 0.01, name  # strokes, where the view has nothing
    assert set(made) == {"knife", "ink"} and np.abs(made["knife"] - made["ink"]).mean() > 0.1


def test_ink_is_hatched_where_it_is_dark_and_chalk_lies_where_it_is_light(script: dict[str, Any]) -> None:
    halves = np.full((64, 128, 3), 0.05, np.float32)
    halves[:, 64:] = 0.99
    drawn = script["ink"](halves, np.random.default_rng(1))
    dark, light = drawn[:, :56].mean(), drawn[:, 72:].mean()
    assert dark < script["PAPER"].mean() - 0.1 and light > script["PAPER"].mean() + 0.05


def test_the_script_writes_the_manners_that_are_named(script: dict[str, Any], tmp_path: Path) -> None:
    photo = tmp_path / "view.png"
    Image.fromarray((view() * 255).astype(np.uint8)).save(photo)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["manners.py", "ink", "--photo", str(photo), "--out", str(tmp_path / "out")])
        script["main"]()
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["ink.jpg"]
        assert Image.open(tmp_path / "out" / "ink.jpg").size == (96, 64)
        patch.setattr("sys.argv", ["manners.py", "inc"])
        with pytest.raises(SystemExit):
            script["main"]()
