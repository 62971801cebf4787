"""The limits of a translator, and that a model tells those of its own networks."""

import pytest
from helpers import make_model

from sincut.config.sections import Config
from sincut.model.limits import Limits
from sincut.nets.stylegan2 import PyramidGenerator

STRIDE = PyramidGenerator.stride


def test_a_model_tells_its_halo_and_stride(tiny: Config) -> None:
    model = make_model(tiny)
    assert model.limits == Limits(model.halo, STRIDE, None)
    assert not model.limits.whole_only and model.limits.border == model.halo > 0


def test_lengths_are_rounded_up_to_the_stride() -> None:
    limits = Limits(None, 8)
    assert [limits.aligned(length) for length in (0, 1, 8, 9)] == [0, 8, 8, 16]
    assert limits.whole_only and limits.border == 0


@pytest.mark.parametrize("wrong", [(0, 0), (-2, 2), (3, 2), (4, 2, 99), (None, 4, 15)])
def test_contradictions_are_refused(wrong: tuple[int | None, ...]) -> None:
    with pytest.raises(ValueError, match="px"):
        Limits(*wrong)  # type: ignore[arg-type]
    assert Limits(4, 2, 100).most_pixels == 100


def test_tiles_are_aligned_and_no_larger_than_the_model_takes() -> None:
    assert [Limits(8, 4).tile(side) for side in (1, 64, 65)] == [4, 64, 68]
    assert [Limits(8, 4, 50**2).tile(side) for side in (1, 30, 64)] == [4, 32, 32]  # with the halo, 48 px
    assert Limits(None, 4, 50**2).tile(64) == 48
