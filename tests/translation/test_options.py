"""Options that cannot be followed are refused when they are made, not at the first picture."""

import math
from typing import Any

import numpy as np
import pytest

from sincut.errors import ConfigError
from sincut.synthesis.synthesis import Dials
from sincut.translation.options import Options


@pytest.mark.parametrize("tile", ["big", "77", "", 0, -64, 64.5, 64.0, None, True, (64, 64), math.nan])
def test_a_tile_is_a_side_or_a_known_word(tile: Any) -> None:
    with pytest.raises(ConfigError, match=r"tile=.* must be a side in px of 1 or more, auto or off"):
        Options(tile=tile)


@pytest.mark.parametrize("name", ["max_pixels", "max_memory"])
@pytest.mark.parametrize("value", [0, -1, 0.5, math.inf, math.nan, "2GB", True])
def test_limits_of_memory_and_pixels_are_at_least_one(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{name}=.* must be a number of 1 or more"):
        Options(**{name: value})


def test_no_limit_of_pixels_is_refused() -> None:
    with pytest.raises(ConfigError, match="max_pixels=None"):
        Options(max_pixels=None)  # type: ignore[arg-type]


def test_what_can_be_followed_is_taken() -> None:
    for tile in ("auto", "off", 1, 77, np.int64(64)):
        assert Options(tile=tile).tile == tile  # type: ignore[arg-type]
    assert Options(max_memory=None, max_pixels=1).max_pixels == 1
    assert Options(max_memory=int(2e9)).max_memory == Options(max_memory=2e9).max_memory  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [0, -1, 17, float("nan"), "big"])
def test_a_scale_is_a_factor_or_auto(scale: Any) -> None:
    with pytest.raises(ConfigError, match=r"0\.01 to 16"):
        Options(scale=scale)


@pytest.mark.parametrize("dials", [{"stroke_scale": 0.2}, {"stroke_scale": 4.1}, {"fidelity": -0.1}, {"fidelity": 1.1}])
def test_dials_have_ranges(dials: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Dials(**dials)


def test_what_fast_leaves_out_cannot_be_dialled() -> None:
    assert Options(fast=True).dials == Options().dials == Dials(1.0, 0.5, False)
    for dials in (Dials(stroke_scale=2.0), Dials(fidelity=0.4), Dials(by_height=True)):
        with pytest.raises(ConfigError, match=r"fast leaves out .*; give one or the other"):
            Options(fast=True, dials=dials)
        with pytest.raises(ConfigError, match="carries its exemplar; add it with `sincut exemplar MODEL TARGET`"):
            Options(dials=dials).check_exemplar(False)
        Options(dials=dials).check_exemplar(True)
    Options(fast=True).check_exemplar(False)
