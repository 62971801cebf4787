"""VGG-19: its features are torchvision's, and files that hold another network are refused by name."""

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import vgg_weights
from torch import Tensor, nn
from torchvision.models import VGG19_Weights
from torchvision.models.vgg import make_layers
from torchvision.transforms.functional import normalize

from sincut.errors import ModelError
from sincut.nets.vgg import NAMES, URL, WEIGHTS, Vgg, read_vgg, standardised, vgg_of, weights_file

WIDTHS = (4, 6, 8, 8, 8)
LAYOUT: list[Any] = []
for channels, times in zip(WIDTHS, (2, 2, 4, 4, 4), strict=True):
    LAYOUT += [channels] * times + ["M"]


def torchvision_s(weights: dict[str, Tensor]) -> nn.Sequential:
    """torchvision's own layers of VGG-19, but narrower, with these weights."""
    features: nn.Sequential = make_layers(LAYOUT)
    features.load_state_dict({name.removeprefix("features."): value for name, value in weights.items()})
    return features


@pytest.mark.parametrize("size", [(37, 50), (16, 16), (64, 33)])
def test_its_features_are_those_of_torchvision_s_network(vgg_file: Path, size: tuple[int, int]) -> None:
    image = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    x, wanted = normalize((image + 1) / 2, VGG19_Weights.IMAGENET1K_V1.transforms().mean, [0.229, 0.224, 0.225]), []
    for layer in torchvision_s(vgg_weights())[:-1]:  # without the last pooling
        x = layer(x)
        if isinstance(layer, nn.ReLU):
            wanted.append(x.clone())
    vgg = read_vgg(vgg_file, "relu5_4")
    names = [f"relu{name}" for name in NAMES]
    for name, seen, want in zip(names, vgg(standardised(image), names), wanted, strict=True):
        torch.testing.assert_close(seen, want, rtol=1e-4, atol=1e-5, msg=name)
    few = ["relu3_1", "relu1_2"]  # in the order asked for
    for seen, name in zip(vgg(standardised(image), few), few, strict=True):
        torch.testing.assert_close(seen, wanted[names.index(name)], rtol=1e-4, atol=1e-5)


def test_average_pooling_is_the_mean_of_four_and_any_size_has_features(vgg_file: Path) -> None:
    vgg, largest = (read_vgg(vgg_file, "relu5_1", pooling) for pooling in ("average", "max"))
    before, after = vgg(torch.rand(1, 3, 8, 6), ["relu1_2", "relu2_1"])
    mean = before.view(1, 4, 4, 2, 3, 2).mean((3, 5))
    torch.testing.assert_close(after, torch.relu(vgg.convs["conv2_1"](mean)))
    assert largest(torch.rand(1, 3, 1, 1), ["relu5_1"])[0].shape == (1, 8, 1, 1)
    assert vgg(torch.rand(1, 3, 3, 70), ["relu5_1"])[0].shape == (1, 8, 1, 5)


def test_only_what_is_asked_for_is_read_and_it_comes_back_from_its_tensors(vgg_file: Path) -> None:
    vgg = read_vgg(vgg_file, "relu4_1")
    assert vgg.widths == (4, 4, 6, 6, 8, 8, 8, 8, 8) and not any(p.requires_grad for p in vgg.parameters())
    again, image = vgg_of(vgg.state_dict()), torch.rand(1, 3, 20, 20)
    assert torch.equal(again(image, ["relu4_1"])[0], vgg(image, ["relu4_1"])[0])
    tensors = dict(vgg.state_dict())
    for broken in ({}, {**tensors, "more": torch.ones(1)}, {**tensors, "convs.conv1_1.bias": torch.ones(5)}):
        with pytest.raises(ValueError, match="its network"):
            vgg_of(broken)
    del tensors["convs.conv2_1.weight"]
    with pytest.raises(ValueError, match="its network"):
        vgg_of(tensors)


def test_features_alone_without_the_word_are_read_too(tmp_path: Path, vgg_file: Path) -> None:
    torch.save(torchvision_s(vgg_weights()).state_dict(), tmp_path / "features.pth")
    whole, part = (read_vgg(path, "relu5_1").state_dict() for path in (vgg_file, tmp_path / "features.pth"))
    assert all(torch.equal(whole[name], part[name]) for name in whole)


def test_other_networks_are_refused_by_name(tmp_path: Path) -> None:
    path, weights = tmp_path / "w.pth", vgg_weights()
    sixteen = make_layers([4, 4, "M", 6, 6, "M", 8, 8, 8, "M", 8, 8, 8, "M", 8, 8, 8, "M"])
    others = {
        "is VGG-16": {f"features.{name}": value for name, value in sixteen.state_dict().items()},
        "is a network with batch normalisation": make_layers(LAYOUT, batch_norm=True).state_dict(),
        r"is not VGG-19, or not all of it: features\.0\.weight and 25 more is missing": {"fc.weight": torch.ones(2, 2)},
        r"features\.28\.bias is missing": {k: v for k, v in weights.items() if k != "features.28.bias"},
        r"is not VGG-19: features\.5\.weight is 6x4x5x5": {**weights, "features.5.weight": torch.ones(6, 4, 5, 5)},
        r"is not VGG-19: features\.7\.weight is 6x5x3x3": {**weights, "features.7.weight": torch.ones(6, 5, 3, 3)},
    }
    for words, tensors in others.items():
        torch.save(tensors, path)
        with pytest.raises(ModelError, match=rf"w\.pth: .*{words.removeprefix('is ')}.*torchvision has them: https"):
            read_vgg(path, "relu5_1")


def test_what_is_missing_is_said_with_its_address_and_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert VGG19_Weights.IMAGENET1K_V1.url == URL
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place = tmp_path / "hub" / "checkpoints" / WEIGHTS
    with pytest.raises(ModelError) as error:
        weights_file()
    assert all(part in str(error.value) for part in (URL, str(place), "--weights")) and "\n" not in str(error.value)
    with pytest.raises(ModelError, match=rf"none\.pth: .*{URL}"):
        weights_file("none.pth")
    place.parent.mkdir(parents=True)
    place.write_bytes(b"")
    assert weights_file() == place and weights_file(str(place)) == place


def test_the_memory_of_a_pass_grows_with_the_widths() -> None:
    assert Vgg([8] * 13).pixel_bytes == pytest.approx(2 * Vgg([4] * 13).pixel_bytes, rel=0.01)
