"""What the encoder takes for similar: against plain loops, in tiles, and from files with and without heads."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import RESNET, assert_clear_error, in_process, make_model, scene, style
from PIL import Image
from safetensors.torch import load_file

from sincut.config.sections import Config, overlay
from sincut.errors import ConfigError, ModelError
from sincut.model.file import CHECKPOINT_FILE, MODEL_FILE, load_tensors, save_tensors
from sincut.model.model import Model, with_generator
from sincut.nets.heads import Projector
from sincut.pictures.picture import Picture, to_tensor
from sincut.translation import similarity
from sincut.translation.translator import Translator


@pytest.fixture
def tiny(tiny: Config) -> Config:
    """Layer 2 and all after it are at half the resolution."""
    return overlay(tiny, {"networks": {"architecture": "stylegan2"}})


def with_heads(config: Config) -> Model:
    model = make_model(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model.projector = Projector(config.networks, config.losses.layers).eval().requires_grad_(False)
    return model


@pytest.mark.parametrize("size", [(33, 47), (40, 36)])
def test_similarity_is_the_cosine_of_projected_features(tiny: Config, size: tuple[int, int]) -> None:
    tiny = overlay(tiny, {"colour": {"smooth": 0.0, "grain": False}, "networks": {"smooth": 0.0, "blocks": 4}})
    translator, picture = Translator(with_heads(tiny), precision="float32"), Picture(scene(*size, 3))
    model, pad = with_generator(translator.model), 64
    x = to_tensor(picture.pixels)
    h, w = size

    def encoded(image: torch.Tensor, layer: int) -> torch.Tensor:
        around = (0, 0), (0, 0), (pad, pad + h % 2), (pad, pad + w % 2)
        image = torch.from_numpy(np.pad(image.numpy(), around, mode="reflect"))
        step = 1 if layer < 2 else 2
        found = model.generator.encode(image, layer)[layer][:, :, pad // step :, pad // step :]
        return found[:, :, : -(-h // step), : -(-w // step)]

    output = translator.translate(x)
    for point in ((0, 0), (w - 1, h - 1), (20, 17)):
        maps = similarity.similarity_maps(translator, picture, point)
        for index, layer in enumerate(tiny.losses.layers):
            assert model.projector is not None
            head = model.projector.heads[index]
            keys = F.normalize(head(encoded(model.before[1](x), layer)[0].permute(1, 2, 0)), dim=2)
            row, column = similarity.place_of(model, point, layer)
            query = F.normalize(head(encoded(output, layer)[0, :, row, column]), dim=0)
            assert maps[layer].shape == similarity.map_size(model, picture, layer)
            torch.testing.assert_close(maps[layer], keys @ query, atol=2e-4, rtol=0)


@pytest.mark.parametrize("architecture", ["stylegan2", "pyramid"])
def test_similarity_and_components_are_the_same_in_tiles(
    tiny: Config, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = overlay(tiny, {"networks": {"architecture": architecture}})
    translator, picture = Translator(with_heads(tiny)), Picture(scene(61, 75, 3))
    whole = (
        similarity.similarity_maps(translator, picture, (70, 5)),
        similarity.principal_components(translator, picture),
    )
    monkeypatch.setattr(translator, "tile_size", lambda h, w: 24)
    monkeypatch.setattr(similarity, "ROWS_AT_ONCE", 100)
    tiled = (
        similarity.similarity_maps(translator, picture, (70, 5)),
        similarity.principal_components(translator, picture),
    )
    for layer in tiny.losses.layers:
        torch.testing.assert_close(whole[0][layer], tiled[0][layer], atol=1e-4, rtol=0)
    torch.testing.assert_close(whole[1], tiled[1], atol=1e-3, rtol=0)


def test_a_model_for_sets_sees_whole_pictures(tiny: Config) -> None:
    tiny = overlay(overlay(tiny, RESNET), {"colour": {"smooth": 0.0, "grain": False}, "networks": {"smooth": 0.0}})
    translator, picture = Translator(with_heads(tiny), precision="float32"), Picture(scene(36, 44, 3))
    model, x, point = with_generator(translator.model), to_tensor(picture.pixels), (41, 33)
    inputs, outputs = (model.generator.encode(image) for image in (model.before[1](x), translator.translate(x)))
    maps = similarity.similarity_maps(translator, picture, point)
    assert [tuple(maps[layer].shape) for layer in (0, 2, 3, 4, 5)] == [(36, 44), (36, 44), (18, 22), (9, 11), (9, 11)]
    for index, layer in enumerate(tiny.losses.layers):
        assert model.projector is not None
        head, step = model.projector.heads[index], model.generator.step_of(layer)
        keys = F.normalize(head(inputs[layer][0].permute(1, 2, 0)), dim=2)
        query = F.normalize(head(outputs[layer][0, :, point[1] // step, point[0] // step]), dim=0)
        torch.testing.assert_close(maps[layer], keys @ query, atol=1e-3, rtol=0)
    assert similarity.all_layers(maps).shape == (36, 44)
    assert similarity.principal_components(translator, picture).shape == (3, 9, 11)
    odd = similarity.similarity_maps(translator, Picture(scene(33, 41, 3)), (40, 32))
    assert odd[0].shape == (33, 41) and odd[5].shape == (9, 11) and similarity.all_layers(odd).shape == (33, 41)


def test_a_patch_that_stays_as_it_is_finds_its_own_kind(tiny: Config) -> None:
    tiny = overlay(tiny, {"colour": {"smooth": 0.0, "map": False, "balance": False}, "networks": {"smooth": 0.0}})
    model = with_heads(tiny)
    style(model.generator).rgb.weight.zero_()  # the output is the input
    model.before = ()
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :30], pixels[:, 30:] = (200, 40, 40), (30, 60, 220)
    maps = similarity.similarity_maps(Translator(model), Picture(pixels), (10, 20))
    for layer, found in maps.items():
        row, column = similarity.place_of(model, (10, 20), layer)
        assert found[row, column] > 0.9999
        half = found.shape[1] // 2
        assert found[:, : half - 8].min() > found[:, half + 8 :].max()
    told = similarity.figures(maps[0], (20, 10))
    assert told["own"] == pytest.approx(1, abs=1e-4) and told["x"] < 0.5
    likely = similarity.likelihood(maps[0], 0.07)
    assert likely.max() == 1 and likely.min() > 0


def test_all_layers_together_are_the_mean_of_their_cosines() -> None:
    maps = {0: torch.rand(7, 9), 2: torch.rand(4, 5), 3: torch.rand(4, 5)}
    together = similarity.all_layers(maps)
    assert together.shape == (7, 9)
    for y, x in ((0, 0), (6, 8), (5, 2)):
        cosines = torch.stack([maps[0][y, x], maps[2][y // 2, x // 2], maps[3][y // 2, x // 2]])
        torch.testing.assert_close(together[y, x], cosines.mean())
    panels, _, _ = similarity.shown(maps, 0.07, cosine=False)
    assert [title.split(":")[0] for title in panels] == ["all layers", "layer 0", "layer 2", "layer 3"]
    likely = panels["all layers: exp(cosine / tau)"]
    torch.testing.assert_close(likely, similarity.likelihood(together, 0.07))
    panels, low, high = similarity.shown({2: maps[2]}, 0.07, cosine=True)
    assert list(panels) == ["layer 2: cosine"] and (low, high) == ("-1", "1")


def test_components_are_those_of_the_covariance(tiny: Config) -> None:
    translator, picture = Translator(make_model(tiny)), Picture(scene(24, 30, 3))
    found = similarity.principal_components(translator, picture, 2)
    ((_, features),) = translator.encoded(picture.pixels, 2)
    rows = features[2][0].flatten(1).T.double()
    _, _, axes = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
    values = (rows - rows.mean(0)) @ axes[:3].T
    expected = (values / values.std(0, correction=0) / similarity.SPREAD / 2).abs()
    torch.testing.assert_close((found.flatten(1).T - 0.5).abs().double(), expected.clamp(max=0.5), atol=1e-3, rtol=0)
    with pytest.raises(ConfigError, match="layers 0 to 3"):
        similarity.principal_components(translator, picture, 9)


def test_wrong_places_layers_and_missing_heads_are_named(tiny: Config) -> None:
    picture = Picture(scene(24, 30, 3))
    with pytest.raises(ConfigError, match="30,0 is outside"):
        similarity.similarity_maps(Translator(with_heads(tiny)), picture, (30, 0))
    with pytest.raises(ConfigError, match=r"layer 1 has no projection head; choose of 0, 2, 3"):
        similarity.similarity_maps(Translator(with_heads(tiny)), picture, (3, 0), (1,))
    with pytest.raises(ModelError, match="not loaded"):
        similarity.similarity_maps(Translator(make_model(tiny)), picture, (3, 0))


def test_heads_are_read_only_where_they_are_wanted(tiny: Config, tmp_path: Path) -> None:
    model = with_heads(tiny)
    model.save(tmp_path / MODEL_FILE)
    assert Model.load(tmp_path).projector is None
    again = Model.load(tmp_path, heads=True).projector
    assert model.projector is not None and again is not None
    for name, value in model.projector.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


def test_a_method_without_heads_is_one_line(tiny: Config, tmp_path: Path, painting: Path) -> None:
    config = overlay(tiny, {"losses": {"nce": 0.0}})
    make_model(config).save(tmp_path / "m.safetensors")
    told = in_process("similarity", tmp_path / "m.safetensors", painting, "--point", "1,1", "--json")
    assert_clear_error(told, 1, "m.safetensors", "no projection heads (losses.nce is 0)")
    picture = Picture(scene(20, 30, 1))
    with pytest.raises(ModelError, match=r"no projection heads \(losses\.nce is 0\)"):
        similarity.similarity_maps(Translator(make_model(config)), picture, (1, 1))


def test_heads_of_an_earlier_run_come_from_its_checkpoint(tiny: Config, tmp_path: Path) -> None:
    make_model(tiny).save(tmp_path / MODEL_FILE)
    with pytest.raises(ModelError, match=r"no projection heads.*checkpoint"):
        Model.load(tmp_path, heads=True)
    model = with_heads(tiny)
    assert model.projector is not None
    heads = {f"projector.{name}": value for name, value in model.projector.state_dict().items()}
    save_tensors(tmp_path / CHECKPOINT_FILE, {**heads, "random": torch.zeros(3)}, {})
    found = Model.load(tmp_path, heads=True).projector
    assert found is not None
    for name, value in model.projector.state_dict().items():
        assert torch.equal(found.state_dict()[name], value)


@pytest.mark.parametrize("lie", ["shape", "nan", "integers", "extra", "missing"])
def test_hostile_heads_are_refused(tiny: Config, tmp_path: Path, lie: str) -> None:
    path = tmp_path / "m.safetensors"
    with_heads(tiny).save(path)
    tensors, metadata = load_tensors(path)
    name = "projector.heads.0.0.weight"
    if lie == "shape":
        tensors[name] = torch.zeros(3, 8)
    if lie == "nan":
        tensors[name][0] = torch.nan
    if lie == "integers":
        tensors[name] = tensors[name].long()
    if lie == "extra":
        tensors["projector.more"] = torch.zeros(3)
    if lie == "missing":
        del tensors[name]
    save_tensors(path, tensors, metadata)
    with pytest.raises(ModelError, match=r"m\.safetensors: its projection heads do not fit"):
        Model.load(path, heads=True)
    assert Model.load(path).config == tiny  # translating needs none


@pytest.mark.slow
def test_similarity_and_features_from_the_command_line(
    painting: Path, photo: Path, tiny_flags: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    assert in_process("train", painting, photo, "-o", run, "--device", "cpu", *tiny_flags).returncode == 0
    out = tmp_path / "heat.png"
    told = in_process("similarity", run, painting, "--point", "10,60", "-o", out, "--json", "--device", "cpu")
    assert told.returncode == 0, told.stderr
    assert '"more_similar"' in told.stdout and '"all_layers"' in told.stdout and Image.open(out).size[0] > 90
    assert in_process("features", run, painting, "-o", tmp_path / "pca.png", "--device", "cpu").returncode == 0
    assert Image.open(tmp_path / "pca.png").size == (90, 72)
    assert_clear_error(in_process("similarity", run, painting, "--point", "95,3", "-o", out), 2, "95,3", "outside")
    stored = load_file(run / CHECKPOINT_FILE)
    heads = Model.load(run, heads=True).projector
    assert heads is not None
    for name, value in heads.state_dict().items():
        assert torch.equal(stored[f"average_heads.{name}"], value)
