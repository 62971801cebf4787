"""Tiles follow what is asked for and the memory that is free."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import Brush, StandIn, make_model, scene, with_exemplar
from PIL import Image

from sincut.config.resolve import resolve
from sincut.config.sections import overlay
from sincut.errors import ImageError
from sincut.model.limits import Limits
from sincut.model.model import with_generator
from sincut.translation.memory import Tiling
from sincut.translation.options import Options
from sincut.translation.translator import Translator

NETWORKS = {"networks": {"stem": 4, "inner": 6, "blocks": 2}, "losses": {"layers": [0, 2, 3]}}
TRANSLATOR = Translator(make_model(overlay(resolve(), NETWORKS)), precision="float32")


def test_tile_size_follows_request_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    assert TRANSLATOR.tile_size(1000, 901, Options("off")) == 1000
    assert TRANSLATOR.tile_size(1000, 901, Options(77)) == 80
    assert TRANSLATOR.tile_size(50, 60) == 60
    sizes = []
    for free in (10**5, 10**8, 10**12):
        monkeypatch.setattr("sincut.translation.memory.available_memory", lambda device, free=free: free)
        sizes.append(TRANSLATOR.tile_size(9000, 9000))
    assert sizes == sorted(sizes) and sizes[0] == 64 and sizes[-1] == 512


def whole_only(stride: int = 4, most_pixels: int | None = None) -> Translator:
    """A translator that takes pictures whole only."""
    return Translator(StandIn(TRANSLATOR.model, Limits(None, stride, most_pixels)), precision="float32")  # type: ignore[arg-type]


def test_a_picture_that_cannot_be_cut_is_one_tile_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    translator = whole_only()
    assert translator.tile_size(1001, 901) == 1004
    assert translator.tile_size(50, 61, Options(32)) == 64
    monkeypatch.setattr("sincut.translation.memory.available_memory", lambda device: 10**8)
    with pytest.raises(ImageError, match=r"^901x1001 pixels need .* GB at once, 0\.1 GB are free; .*--max-memory"):
        translator.tile_size(1001, 901)
    with pytest.raises(ImageError, match="pictures whole only"):
        translator.translate(torch.zeros(1, 3, 1001, 901))
    with pytest.raises(ImageError, match="pictures whole only"):
        translator.translate_box(scene(1001, 901, 0), (0, 0, 4, 4))
    with pytest.raises(ImageError, match="pictures whole only"):
        translator.apply(scene(1001, 901, 0))
    assert translator.tile_size(1001, 901, Options(max_memory=10**12)) == 1004


def test_a_device_of_its_own_has_its_own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    free = {"cpu": 10**12, "cuda": 10**8}
    monkeypatch.setattr("sincut.translation.memory.available_memory", lambda device: free[device.type])
    memory = replace(whole_only().engine.memory, device=torch.device("cuda"))
    with pytest.raises(ImageError, match=r"a\.png: 901x1001 pixels .* 0\.1 GB are free; .*--device cpu"):
        memory.tile_size((1001, 901), Options(), Path("a.png"))
    assert memory.fits((1001, 901), (1001, 901), Options(), 14)  # its feature maps are elsewhere
    free["cuda"] = 10**12
    assert memory.tile_size((1001, 901)) == 1004


def test_more_pixels_than_a_model_takes_are_refused(tmp_path: Path) -> None:
    translator = whole_only(most_pixels=64 * 64)
    Image.fromarray(scene(60, 70, 0)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a\.png: 70x60 pixels are more than the 4096 that .* whole only: .*--scale"):
        translator.apply_file(tmp_path / "a.png", tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()
    translator.apply_file(tmp_path / "a.png", tmp_path / "b.png", Options(scale=0.5))
    assert (tmp_path / "b.png").exists()


def test_a_file_beyond_memory_is_refused_where_it_cannot_be_cut(tmp_path: Path) -> None:
    Image.fromarray(scene(60, 70, 0)).save(tmp_path / "a.png")
    for options in (Options(max_memory=1), Options(max_memory=1, scale=0.5)):
        with pytest.raises(ImageError, match=r"a\.png: .* GB are .* whole only: raise --max-memory"):
            whole_only().apply_file(tmp_path / "a.png", tmp_path / "b.png", options)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_tiles_are_no_larger_than_a_model_takes() -> None:
    model = StandIn(with_generator(TRANSLATOR.model), Limits(8, 8, 100**2))
    translator = Translator(model, precision="float32")  # type: ignore[arg-type]
    for tile in ("auto", "off", 200):
        assert translator.tile_size(300, 400, Options(tile)) == 80
    assert translator.engine.memory.streamed_tile((300, 400), (300, 400), 3, Options(), Path("a.png")) == 80
    translator.probe()
    assert set(model.seen) == {(96, 96)}


DRAWN = Translator(with_exemplar(with_generator(TRANSLATOR.model)), precision="float32")
GIGAPIXEL = 25_000, 40_000


def test_drawing_takes_memory_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sincut.translation.memory.used_memory", lambda: 0)
    memory, size, brush = DRAWN.engine.memory, (3000, 4000), a_brush()
    plain, drawn = memory.needs(size, size), memory.needs(size, size, synthesis=brush)
    whole = 3 * 12_000_000 + brush.picture_bytes(size)  # the layout, and what is coarse
    tile_of_g = memory.per_pixel * (512 + 2 * DRAWN.engine.limits.border) ** 2
    assert drawn - plain >= whole + brush.tile_bytes(512) - tile_of_g
    assert memory.fits(size, size, Options(max_memory=drawn), 14, brush)
    assert not memory.fits(size, size, Options(max_memory=drawn - 1), 14, brush)
    told = [memory.needs(size, size, synthesis=brush, tiling=Tiling(512, side, in_file)) for side, in_file in
            ((1024, False), (512, False), (512, True))]  # fmt: skip
    assert told == sorted(told, reverse=True) and told[1] - told[2] == 3 * 12_000_000


def test_drawn_tiles_follow_request_and_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    memory, size, brush = DRAWN.engine.memory, (3000, 4000), a_brush()
    monkeypatch.setattr("sincut.translation.memory.used_memory", lambda: 0)
    assert memory.in_memory(size, size, Options("off"), brush) == Tiling(4000, 4000)
    assert memory.in_memory(size, size, Options(77), brush) == Tiling(80, 77)
    assert memory.in_memory((30, 50), (30, 50), Options(), brush) == Tiling(52, 50)
    assert memory.in_memory(size, size, Options()) == Tiling(512)
    tilings = [memory.in_memory(size, size, Options(max_memory=most), brush) for most in (10**6, 10**9, 10**12)]
    assert [tiling.drawn for tiling in tilings] == sorted(tiling.drawn for tiling in tilings)
    assert tilings[0].drawn == 256 and tilings[-1] == Tiling(512, 1024) and tilings[0].in_file
    assert Tiling(512, 1024).tiles((3000, 4000), (1500, 2000)) == 3 * 4 + 3 * 4


@pytest.mark.parametrize("allowed", [1.2e9, 2e9, 64e9])
def test_a_gigapixel_stays_within_its_budget_while_it_is_drawn(allowed: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sincut.translation.memory.used_memory", lambda: 0)
    memory, brush = DRAWN.engine.memory, a_brush()
    options = Options(max_memory=int(allowed))
    tiling, needs = memory.streamed(GIGAPIXEL, GIGAPIXEL, 3, options, Path("a.tif"), brush)
    assert needs <= allowed and tiling.drawn >= 256 and tiling.in_file is (allowed < 4e9)
    plain, less = memory.streamed(GIGAPIXEL, GIGAPIXEL, 3, options, Path("a.tif"))
    assert plain == Tiling(tiling.side) and less <= needs
    assert memory.streamed(GIGAPIXEL, GIGAPIXEL, 3, Options(200), Path("a.tif"), brush)[0].drawn == 200


def a_brush() -> Any:
    """What stands in for a `Synthesis`."""
    return Brush(torch.from_numpy(scene(40, 50, 7)))
