"""Tiles follow what is asked for and the memory that is free."""

import pytest
from helpers import make_model

from sincut.config.sections import Config, overlay
from sincut.translation.options import Options
from sincut.translation.translator import Translator

NETWORKS = {"networks": {"stem": 4, "inner": 6, "blocks": 2}, "losses": {"layers": [0, 2, 3]}}
TRANSLATOR = Translator(make_model(overlay(Config(), NETWORKS)), precision="float32")


def test_tile_size_follows_request_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TRANSLATOR.tile_size(1000, 901, Options("off")) == 1000
    assert TRANSLATOR.tile_size(1000, 901, Options(77)) == 78
    assert TRANSLATOR.tile_size(50, 60) == 60
    sizes = []
    for free in (10**5, 10**8, 10**12):
        monkeypatch.setattr("sincut.translation.memory.available_memory", lambda device, free=free: free)
        sizes.append(TRANSLATOR.tile_size(9000, 9000))
    assert sizes == sorted(sizes) and sizes[0] == 64 and sizes[-1] == 512
