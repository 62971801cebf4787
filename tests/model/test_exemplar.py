"""The exemplar: its size, its pixels, its place in a model file, and files that lie about it."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import make_model, scene
from safetensors.torch import save_file

from sincut.config.networks import Crops
from sincut.config.resolve import resolve
from sincut.config.sections import Config
from sincut.errors import ModelError
from sincut.model.exemplar import MOST_EXEMPLARS, MOST_PIXELS, TENSOR, exemplar_of, exemplars_of, size_of
from sincut.model.file import load_tensors, save_tensors
from sincut.model.model import Model, describe, exemplar_size, exemplar_sizes
from sincut.pictures.lossless import packed
from sincut.pictures.picture import to_pixels, to_tensor
from sincut.pictures.resampling import resized


def carrying(config: Config, path: Path, size: tuple[int, int] = (30, 40)) -> Model:
    """A model with an exemplar, saved at a path."""
    model = make_model(config)
    model.exemplar = torch.from_numpy(scene(*size, 5))
    model.save(path)
    return model


@pytest.mark.parametrize(
    ("size", "settings", "wanted"),
    [
        ((700, 1000), {}, (700, 1000)),
        ((2000, 3000), {}, (853, 1280)),  # 1.25 times 1024
        ((2000, 3000), {"excess": 1.0}, (683, 1024)),  # the training itself sees no more
        ((2000, 3000), {"excess": 0.0}, (853, 1280)),
        ((3000, 1300), {}, (2148, 931)),  # 2 megapixels
        ((2000, 3000), {"scale": "factor", "low": 0.3, "high": 1.0}, (1154, 1732)),
        ((200, 20_000), {}, (128, 12_800)),  # its shorter side stays that of a crop
        ((16, 500_000), {}, (8, 250_000)),
        ((3_000_000, 16), {}, (250_000, 8)),  # not shorter than a patch
    ],
)
def test_an_exemplar_is_as_large_as_the_training_saw_it(
    size: tuple[int, int], settings: dict[str, float], wanted: tuple[int, int]
) -> None:
    crops = Crops(**{"excess": 2.0, **settings})  # type: ignore[arg-type]
    h, w = size_of(*size, crops)
    assert (h, w) == wanted and h * w <= MOST_PIXELS


def test_an_exemplar_is_the_target_itself_or_scaled_by_lanczos() -> None:
    pixels, crops = scene(60, 80, 1), resolve().crops
    exemplar = exemplar_of(pixels, crops)
    assert exemplar.dtype == torch.uint8 and np.array_equal(exemplar.numpy(), pixels)
    deep = pixels.astype(np.uint16) * 257
    assert np.array_equal(exemplar_of(deep, crops).numpy(), pixels)
    small = exemplar_of(pixels, Crops(low=20.0, high=32.0, size=16, tile=16))
    assert small.shape == (30, 40, 3)
    wanted = resized(pixels, (30, 40)).round().clip(0, 255)
    assert np.array_equal(small.numpy(), wanted.astype(np.uint8))


def test_a_model_file_keeps_every_pixel_of_it(tiny: Config, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model = carrying(tiny, path)
    again = Model.load(path)
    assert again.exemplar is not None and model.exemplar is not None
    assert again.exemplar.dtype == torch.uint8 and torch.equal(again.exemplar, model.exemplar)
    assert again.exemplar_size == exemplar_size(path) == (30, 40)
    assert describe(path) == (again.config, again.provenance)
    tensors, metadata = load_tensors(path)
    assert tensors[TENSOR].dtype == torch.uint8 and json.loads(metadata["exemplar"]) == [40, 30]
    assert metadata["version"] == "11" and len(tensors[TENSOR]) < 30 * 40 * 3


def test_a_model_without_one_says_nothing_of_it(tiny: Config, tmp_path: Path) -> None:
    make_model(tiny).save(tmp_path / "m.safetensors")
    tensors, metadata = load_tensors(tmp_path / "m.safetensors")
    assert TENSOR not in tensors and "exemplar" not in metadata
    model = Model.load(tmp_path / "m.safetensors")
    assert model.exemplar is None and model.exemplar_size is None
    assert exemplar_size(tmp_path / "m.safetensors") is None


def test_a_model_of_format_9_has_none_and_its_setting_is_off(tiny: Config, tmp_path: Path) -> None:
    make_model(tiny).save(tmp_path / "m.safetensors")
    tensors, metadata = load_tensors(tmp_path / "m.safetensors")
    config = json.loads(metadata["config"])
    del config["synthesis"]
    old = {**metadata, "version": "9", "config": json.dumps(config)}
    save_file(tensors, tmp_path / "old.safetensors", metadata=old)
    model = Model.load(tmp_path / "old.safetensors")
    assert model.exemplar is None and not model.config.synthesis.exemplar
    config["networks"]["noise"] = "all"  # one of the names that are new in format 9
    save_file(tensors, tmp_path / "old.safetensors", metadata={**old, "config": json.dumps(config)})
    assert describe(tmp_path / "old.safetensors")[0].networks.noise == "all"


@pytest.mark.parametrize(
    "lie", ["giant", "small", "more", "short", "floats", "shape", "no size", "no pixels", "text", "deep"]
)
def test_files_that_lie_about_it_are_refused(tiny: Config, tmp_path: Path, lie: str) -> None:
    path = tmp_path / "m.safetensors"
    carrying(tiny, path)
    tensors, metadata = load_tensors(path)
    if lie == "giant":
        data = packed(np.zeros((1500, 1500, 3), np.uint8))
        tensors[TENSOR] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        metadata["exemplar"] = "[1500, 1500]"
    if lie == "small":
        tensors[TENSOR] = torch.frombuffer(bytearray(packed(scene(7, 9, 1))), dtype=torch.uint8)
        metadata["exemplar"] = "[9, 7]"
    if lie == "more":
        metadata["exemplar"] = "[40, 31]"
    if lie == "short":
        tensors[TENSOR] = tensors[TENSOR][:-100]
    if lie == "floats":
        tensors[TENSOR] = tensors[TENSOR].float()
    if lie == "shape":
        tensors[TENSOR] = tensors[TENSOR][None]
    if lie == "no size":
        del metadata["exemplar"]
    if lie == "no pixels":
        del tensors[TENSOR]
    if lie == "text":
        metadata["exemplar"] = '{"width": 40}'
    if lie == "deep":
        metadata["exemplar"] = "[" * 100_000
    save_tensors(path, tensors, metadata)
    with pytest.raises(ModelError, match=r"m\.safetensors: is not a complete sincut model .*exempl|recursion"):
        Model.load(path)
    if lie in ("text", "deep"):
        with pytest.raises(ModelError, match=r"m\.safetensors: is not a complete sincut model"):
            exemplar_size(path)


def test_a_card_says_which_pixels_a_file_holds(tiny: Config, tmp_path: Path) -> None:
    shown = carrying(tiny, tmp_path / "m.safetensors")._repr_html_()
    assert "its file holds 40x30 pixels of its target" in shown
    assert "holds no pixels of its target" in make_model(tiny)._repr_html_()


def test_pixels_of_a_tensor_and_of_a_file_give_the_same_exemplar() -> None:
    """Training has the target as a tensor, who adds it later has the file."""
    deep = (np.random.default_rng(0).integers(0, 65536, (40, 50, 3))).astype(np.uint16)
    for pixels in (scene(40, 50, 2), deep):
        crops = Crops(low=20.0, high=32.0, size=16, tile=16)
        assert torch.equal(exemplar_of(to_pixels(to_tensor(pixels)), crops), exemplar_of(pixels, crops))


def test_exemplars_of_a_set_share_the_pixels_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sincut.model.exemplar.MOST_PIXELS", 10_000)
    crops = Crops(low=64.0, high=128.0, size=32, tile=16)
    given = [scene(100, 120, 1), scene(20, 30, 2), scene(128, 96, 3), scene(12, 400, 4)]
    sizes = [tuple(each.shape[:2]) for each in exemplars_of(given, crops)]
    assert sizes[1] == (20, 30)  # a small one is whole, and leaves of its part to the others
    assert sizes[3] == (12, 100)  # no side is longer than twice that of the square that is a fair share
    assert 9_500 < sum(h * w for h, w in sizes) <= 10_000
    assert abs(math.prod(sizes[0]) - math.prod(sizes[2])) < 200
    assert exemplars_of(given[1:2], crops)[0].shape == (20, 30, 3)
    many = exemplars_of([scene(10, 12, seed) for seed in range(70)], crops)
    assert len(many) == 24 <= MOST_EXEMPLARS  # every third


def test_a_part_is_the_one_that_is_most_like_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sincut.model.exemplar.MOST_PIXELS", 2 * 64 * 64)
    grey = np.full((128, 128, 3), 128, np.uint8)
    checks = np.kron(np.indices((32, 32)).sum(0) % 2 * 255, np.ones((8, 8))).astype(np.uint8)[..., None].repeat(3, 2)
    grey[:, 32:96] = checks[:128, :64]  # flat, checked, flat: half of what is typical is checked
    part, _ = exemplars_of([grey, grey], Crops(low=64.0, high=128.0, size=32, tile=16))
    assert part.shape == (64, 64, 3)
    assert 0.3 < float((part != 128).float().mean()) < 0.7


def test_a_model_file_keeps_the_exemplars_of_a_set(tiny: Config, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model = make_model(tiny)
    model.exemplar, *further = (torch.from_numpy(scene(20 + seed, 30, seed)) for seed in range(3))
    model.further = tuple(further)
    model.save(path)
    again = Model.load(path)
    assert len(again.exemplars) == 3 and all(map(torch.equal, again.exemplars, model.exemplars))
    assert again.exemplar_sizes == exemplar_sizes(path) == ((20, 30), (21, 30), (22, 30))
    tensors, metadata = load_tensors(path)
    assert {"exemplar.png", "exemplar.1.png", "exemplar.2.png"} <= set(tensors)
    assert metadata["version"] == "11" and json.loads(metadata["exemplar"]) == [30, 20]  # as of one alone
    assert "30x20, 30x21, 30x22 pixels of its targets, 3 of them" in model._repr_html_()
    lies: list[dict[str, str]] = [
        {"exemplars": "[[30, 21]]"}, {"exemplars": "[[30, 21], [30, 23]]"}, {"exemplars": "[[2000, 1500], [30, 22]]"},
        {"exemplars": "3"}, {"exemplars": json.dumps([[30, 21]] * MOST_EXEMPLARS)},
    ]  # fmt: skip
    for lie in lies[1:]:
        save_tensors(path, tensors, metadata | lie)
        with pytest.raises(ModelError, match="exemplar"):
            Model.load(path)
    save_tensors(path, tensors, metadata | lies[0])
    assert len(Model.load(path).exemplars) == 2  # no more than it says
