"""Pictures of a model with an exemplar are drawn in a second pass: the same in any tiles, with all that blends them."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from helpers import Brushed, brushes, make_model, scene, with_exemplar
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sincut.config.resolve import resolve
from sincut.config.sections import overlay
from sincut.errors import ConfigError, ImageError
from sincut.events import Event, Listener, PictureStarted, TileDone, ignore
from sincut.pictures.picture import Picture, to_pixels, to_tensor
from sincut.synthesis.synthesis import Dials
from sincut.translation.blend import Blend
from sincut.translation.drawing import Drawer, FirstPass, Write, draw_picture
from sincut.translation.engine import Engine
from sincut.translation.memory import Tiling
from sincut.translation.options import Options
from sincut.translation.tiles import Box, tile_boxes
from sincut.translation.translator import Translator

SETTINGS = {
    "networks": {"stem": 4, "inner": 6, "blocks": 2},
    "losses": {"layers": [0, 2, 3]},
    "crops": {"low": 32.0, "high": 128.0},
}
MODEL = with_exemplar(make_model(overlay(resolve(), SETTINGS)))
TRANSLATOR = Translator(MODEL, precision="float32")
H, W = 90, 130
PICTURE = Picture(scene(H, W, 0))
CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def brushed() -> Iterator[None]:
    """Pictures are drawn with a brush that takes no time."""
    TRANSLATOR.engine.last_drawer = None
    with brushes():
        yield
    TRANSLATOR.engine.last_drawer = None


def drawn(size: tuple[int, int], tiling: Tiling, folder: Path | None = None, first: int = 64) -> np.ndarray:
    """A made-up layout that is drawn with these tiles; the first pass has tiles of its own."""
    layout, out = scene(*size, 3), np.zeros((*size, 3), np.uint8)
    assert MODEL.exemplar is not None

    def run(write: Write, on_event: Listener) -> None:
        for top, left, bottom, right in tile_boxes(*size, first):
            write((top, left, bottom, right), to_tensor(layout[top:bottom, left:right]))

    def write(box: Box, tile: torch.Tensor | None) -> None:
        assert tile is not None
        out[box[0] : box[2], box[1] : box[3]] = to_pixels(tile)

    one = FirstPass(run, 1, size[0] * size[1], 0.0)
    draw_picture(Drawer(MODEL.exemplar, Dials(), CPU), size, tiling, one, write, ignore, folder=folder)
    return out


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 100), st.integers(1, 100), st.integers(1, 110), st.integers(1, 110), st.booleans())
def test_drawn_in_tiles_equals_whole(h: int, w: int, side: int, first: int, in_file: bool) -> None:
    whole = drawn((h, w), Tiling(64, max(h, w)))
    assert np.array_equal(drawn((h, w), Tiling(64, max(4, side), in_file), first=max(4, first)), whole)


@settings(max_examples=10, deadline=None)
@given(
    st.integers(20, 80), st.sampled_from(["", "colour", "texture"]), st.floats(0, 1), st.sampled_from([1.0, 0.5, 1.7])
)
def test_pictures_are_the_same_in_any_tiles(tile: int, keep: str, strength: float, scale: float) -> None:
    options: dict[str, Any] = {"blend": Blend(strength, keep), "scale": scale}
    whole = TRANSLATOR.apply_picture(PICTURE, Options("off", **options)).pixels
    tiled = TRANSLATOR.apply_picture(PICTURE, Options(tile, **options)).pixels
    assert np.abs(tiled.astype(int) - whole).max() <= 1  # of 255: where rounding decides


def mask_file(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values.astype(np.uint8)).save(path)
    return path


def test_a_mask_says_where_and_nothing_is_drawn_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.zeros((H, W))
    values[:, 80:] = 255
    boxes: list[Box] = []
    original = Brushed.tile

    def counted(self: Brushed, box: Box) -> torch.Tensor:
        boxes.append(box)
        return original(self, box)

    monkeypatch.setattr(Brushed, "tile", counted)
    options, events = Options(32, mask=mask_file(tmp_path / "m.png", values)), list[Event]()
    whole = TRANSLATOR.apply_picture(PICTURE, Options(32)).pixels
    boxes.clear()
    out = TRANSLATOR.apply_picture(PICTURE, options, events.append).pixels
    assert np.array_equal(out[:, :70], PICTURE.pixels[:, :70]) and np.array_equal(out[:, 100:], whole[:, 100:])
    assert len(boxes) == 9 and min(box[1] for box in boxes) == 64  # of 15; G does all, for what is around
    assert events[-1] == TileDone(30, 30, 0.0)


def test_without_strength_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Engine, "translate_window", None)
    monkeypatch.setattr(Brushed, "tile", None)
    events: list[Event] = []
    out = TRANSLATOR.apply_picture(PICTURE, Options(64, blend=Blend(0.0)), events.append)
    assert np.array_equal(out.pixels, PICTURE.pixels) and events[-1] == TileDone(12, 12, 0.0)


def test_sixteen_bits_are_drawn_from_a_layout_of_eight(tmp_path: Path) -> None:
    deep = Picture(PICTURE.pixels.astype(np.uint16) * 257)
    mask = mask_file(tmp_path / "m.png", np.full((H, W), 90))
    for options in (Options(), Options(blend=Blend(0.4)), Options(scale=0.5), Options(mask=mask)):
        out, eight = TRANSLATOR.apply_picture(deep, options).pixels, TRANSLATOR.apply_picture(PICTURE, options).pixels
        assert out.dtype == np.uint16 and np.abs(out / 257 - eight).max() <= 1.01
    assert len(np.unique(TRANSLATOR.apply_picture(deep).pixels)) > 256


def test_alpha_and_greys_are_kept(tmp_path: Path) -> None:
    alpha = scene(H, W, 5)[..., 0]
    Image.fromarray(np.dstack([PICTURE.pixels, alpha])).save(tmp_path / "a.png")
    TRANSLATOR.apply_file(tmp_path / "a.png", tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as out:
        pixels = np.asarray(out)
    assert np.array_equal(pixels[..., 3], alpha)
    visible = alpha > 0
    assert np.abs(pixels[..., :3][visible].astype(int) - PICTURE.pixels[visible]).mean() > 5
    grey = TRANSLATOR.apply(PICTURE.pixels[..., 0])
    assert grey.shape == (H, W, 3)
    Image.fromarray(alpha).save(tmp_path / "g.png")
    TRANSLATOR.apply_file(tmp_path / "g.png", tmp_path / "h.png")
    with Image.open(tmp_path / "h.png") as out:
        assert out.mode == "RGB"


def test_fast_is_what_g_makes() -> None:
    plain = Translator(replace(MODEL, exemplar=None), precision="float32").apply_picture(PICTURE).pixels
    assert np.array_equal(TRANSLATOR.apply_picture(PICTURE, Options(fast=True)).pixels, plain)
    assert np.abs(TRANSLATOR.apply_picture(PICTURE).pixels.astype(int) - plain).mean() > 5
    box = TRANSLATOR.translate_box(PICTURE.pixels, (20, 32, 60, 72))
    assert np.abs(to_pixels(box).astype(int) - plain[20:60, 32:72]).max() <= 1


def test_dials_need_an_exemplar() -> None:
    plain, dials = Translator(replace(MODEL, exemplar=None)), Options(dials=Dials(fidelity=0.2))
    for apply in (plain.apply_picture, plain.apply):
        given: Any = PICTURE if apply == plain.apply_picture else PICTURE.pixels
        with pytest.raises(ConfigError, match="for a model that carries its exemplar; add it with `sincut exemplar"):
            apply(given, dials)
    loose = TRANSLATOR.apply_picture(PICTURE, dials).pixels
    assert (loose != TRANSLATOR.apply_picture(PICTURE).pixels).any()


def test_an_exemplar_is_prepared_once_for_the_same_dials(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[Dials] = []
    original = Drawer.__init__

    def counted(self: Drawer, exemplar: tuple[torch.Tensor, ...], dials: Dials, device: torch.device) -> None:
        prepared.append(dials)
        original(self, exemplar, dials, device)

    monkeypatch.setattr(Drawer, "__init__", counted)
    translator = Translator(MODEL, precision="float32")
    for fidelity in (0.5, 0.5, 0.1, 0.1, 0.5):
        translator.apply_picture(PICTURE, Options(dials=Dials(fidelity=fidelity)))
    assert [dials.fidelity for dials in prepared] == [0.5, 0.1, 0.5]


def test_tensors_and_floats_are_drawn_too() -> None:
    eight = TRANSLATOR.apply(PICTURE.pixels).astype(int)
    floats = TRANSLATOR.apply(PICTURE.pixels.astype(np.float32) / 255)
    assert np.abs(floats * 255 - eight).max() <= 0.51
    tensor = torch.from_numpy(PICTURE.pixels).permute(2, 0, 1).float() / 255
    both = TRANSLATOR.apply(torch.stack([tensor, tensor.flip(2)]))
    assert both.shape == (2, 3, H, W) and np.abs(both[0].permute(1, 2, 0).numpy() * 255 - eight).max() <= 0.51
    fast = TRANSLATOR.apply(tensor, Options(fast=True))
    torch.testing.assert_close(fast * 2 - 1, TRANSLATOR.translate(tensor[None] * 2 - 1)[0].clamp(-1, 1))


@pytest.mark.parametrize("tile", ["auto", 32])
def test_a_bar_moves_on_from_the_first_tile_to_the_last(tile: int | str, tmp_path: Path) -> None:
    Image.fromarray(PICTURE.pixels).save(tmp_path / "a.png")
    events: list[Event] = []
    TRANSLATOR.apply_file(tmp_path / "a.png", tmp_path / "b.png", Options(tile), on_event=events.append)
    (started,) = (event for event in events if isinstance(event, PictureStarted))
    told = [event for event in events if isinstance(event, TileDone)]
    assert [event.done for event in told] == sorted(event.done for event in told)
    assert {event.tiles for event in told} == {started.tiles} and told[-1].done == started.tiles
    assert started.tiles == (2 if tile == "auto" else 30) and told[-1].seconds_left == 0


def test_expected_seconds_count_both_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    translator = Translator(MODEL, precision="float32")
    assert (
        translator.engine.expected_seconds((H, W), (H, W), Tiling(512, 1024), translator.engine.drawer(Options())) == 0
    )
    both = translator.probe()
    drawer = translator.engine.last_drawer
    assert drawer is not None and drawer.work_seconds > 0
    assert both == pytest.approx(translator.engine.pixel_seconds + 2 * drawer.work_seconds)
    expected = translator.engine.expected_seconds((100, 200), (50, 100), Tiling(512, 1024), drawer)
    assert expected == pytest.approx(5000 * translator.engine.pixel_seconds + 2 * 20_000 * drawer.work_seconds)
    large = Translator(MODEL, precision="float32").engine
    assert large.expected_seconds((5000, 5000), (5000, 5000), Tiling(64, 512), large.drawer(Options())) > 0
    assert Translator(MODEL, precision="float32").probe(Options(fast=True)) > 0


def small_device(most: int, original: Callable[..., Any]) -> Callable[..., Any]:
    """`Brushed.tile` on a device that has memory for tiles of so many px at most."""

    def tile(self: Brushed, box: Box) -> torch.Tensor:
        if max(box[2] - box[0], box[3] - box[1]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        result: torch.Tensor = original(self, box)
        return result

    return tile


def test_drawn_tiles_are_halved_where_the_device_runs_out_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, original = TRANSLATOR.apply_picture(PICTURE, Options("off")).pixels, Brushed.tile
    monkeypatch.setattr(Brushed, "tile", small_device(70, original))
    assert np.array_equal(TRANSLATOR.apply_picture(PICTURE, Options("off")).pixels, whole)
    monkeypatch.setattr(Brushed, "tile", small_device(10, original))
    with pytest.raises(ImageError, match=r"a tile of .* does not fit .*, and it is the smallest"):
        TRANSLATOR.apply_picture(PICTURE, Options("off"))


def test_a_coarse_part_that_does_not_fit_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def begin(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("helpers.Brush.begin", begin)
    with pytest.raises(ImageError, match=r"a picture of 130x90 does not fit .*; use --device cpu .*--fast"):
        TRANSLATOR.apply_picture(PICTURE)


@pytest.mark.parametrize("end", [KeyboardInterrupt, ImageError, RuntimeError])
def test_a_layout_in_a_file_is_gone_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: type[BaseException]
) -> None:
    before = psutil.Process().num_fds()

    def tile(*_: object) -> None:
        raise end("for some reason")

    monkeypatch.setattr(Brushed, "tile", tile)
    with pytest.raises(end):
        drawn((50, 60), Tiling(64, 32, in_file=True), tmp_path)
    assert not list(tmp_path.iterdir()) and psutil.Process().num_fds() == before


def test_beyond_memory_the_file_is_the_same(tmp_path: Path) -> None:
    pytest.importorskip("pyvips")
    Image.fromarray(PICTURE.pixels).save(tmp_path / "a.png")
    for name, options in (("b", Options(32)), ("c", Options(32, max_memory=1))):
        events: list[Event] = []
        TRANSLATOR.apply_file(tmp_path / "a.png", tmp_path / f"{name}.png", options, on_event=events.append)
        assert isinstance(events[-1], TileDone) and events[-1].done == events[-1].tiles == 30
    first, second = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in "bc")
    assert np.array_equal(first, second)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png", "c.png"]
