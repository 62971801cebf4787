"""Gatys et al.: both losses and their gradients computed a second time, by loops, and what the optimisation does."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers import gradient_of, vgg_weights
from torch import Tensor

from sincut.config.sections import Rival
from sincut.errors import ImageError
from sincut.nets.vgg import read_vgg
from sincut.rivals.gatys import STYLE, Gatys, Objective, content_loss, gram, style_loss
from sincut.rivals.technique import no_longer

Pair = tuple[Tensor, Tensor]
FEW = Rival(iterations=25, style=1000.0)


@pytest.fixture
def gatys(vgg_file: Path) -> Gatys:
    return Gatys(read_vgg(vgg_file, "relu5_1", "average"), FEW)


def random() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def features_of(image: Tensor) -> dict[str, Tensor]:
    """The features of `vgg_weights` behind each ReLU, average pooling, from (1, 3, H, W) in [-1, 1]; in float64."""
    weights, place, seen = vgg_weights(), 0, {}
    rgb = [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]
    x = torch.stack([((image[:, c].double() + 1) / 2 - mean) / std for c, (mean, std) in enumerate(rgb)], dim=1)
    for block, count in enumerate((2, 2, 4, 4, 4), 1):
        for number in range(1, count + 1):
            kernel, bias = (weights[f"features.{place}.{part}"].double() for part in ("weight", "bias"))
            x = F.conv2d(x, kernel, bias, padding=1).clamp(min=0)
            seen[f"{block}_{number}"] = x
            place += 2
        x = (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4
        place += 1
    return seen


def plain_losses(image: Tensor, content: Tensor, style: Tensor) -> Pair:
    """Content and style loss as the paper's equations have them, with layers normalised to a mean of one."""
    out, kept, look = (features_of(picture) for picture in (image, content, style))
    scale = {name: 2 / (kept[name].mean() + look[name].mean()) for name in out}
    error = (out["4_2"] - kept["4_2"]) * scale["4_2"]
    total = torch.zeros((), dtype=torch.float64)
    for name in ("1_1", "2_1", "3_1", "4_1", "5_1"):
        own, wanted = (features[name][0] * scale[name] for features in (out, look))
        channels = len(own)
        for i in range(channels):
            for j in range(channels):
                g, a = ((maps[i] * maps[j]).sum() / maps[i].numel() for maps in (own, wanted))
                total = total + (g - a) ** 2 / channels**4  # the mean over N^2 entries, divided by N^2
    return error.square().sum() / error.numel(), total


def small(pictures: Pair) -> Pair:
    return pictures[0][..., :32, :48].contiguous(), pictures[1][..., :48, :32].contiguous()


def test_losses_and_gradients_are_those_of_loops_in_float64(gatys: Gatys, pictures: Pair) -> None:
    content, style = small(pictures)
    objective = Objective(gatys.vgg, content, style, FEW)
    image = (content + 0.3 * torch.randn(content.shape, generator=random())).requires_grad_()
    other = image.detach().double().requires_grad_()
    losses, wanted = objective.losses(image), plain_losses(other, content, style)
    for loss, want in zip(losses, wanted, strict=True):
        assert float(loss.detach()) == pytest.approx(float(want.detach()), rel=1e-4)
    objective(image).backward()
    (wanted[0] + 1000 * wanted[1]).backward()
    got, want = gradient_of(image).double(), gradient_of(other)
    assert float((got - want).norm() / want.norm()) < 1e-3


def test_losses_are_nothing_at_the_pictures_themselves(gatys: Gatys, pictures: Pair) -> None:
    content, style = small(pictures)
    objective = Objective(gatys.vgg, content, style, FEW)
    with torch.no_grad():
        assert float(objective.losses(content)[0]) == 0 < float(objective.losses(content)[1])
        assert float(Objective(gatys.vgg, content, content, FEW)(content)) == 0
        own = [gram(features) for features in objective.vgg(style, STYLE)]
        assert float(style_loss(own, [each.clone() for each in own])) == 0


def test_gram_matrices_do_not_know_places_nor_the_size() -> None:
    features = torch.rand(1, 5, 6, 7, generator=random())
    by_einsum = torch.einsum("nchw,ndhw->cd", features, features) / 42
    torch.testing.assert_close(gram(features), by_einsum)
    torch.testing.assert_close(gram(features.flip(2, 3)), by_einsum)
    torch.testing.assert_close(gram(torch.cat([features, features], dim=3)), by_einsum)
    assert float(style_loss([by_einsum + 3], [by_einsum])) == pytest.approx(9 / 25)
    assert float(content_loss(features, features + 2)) == pytest.approx(4)


@pytest.mark.parametrize("start", ["content", "noise"])
def test_the_objective_falls_and_a_picture_always_gives_the_same(gatys: Gatys, pictures: Pair, start: str) -> None:
    content, style = small(pictures)
    gatys.settings = replace(FEW, start=start)
    shares: list[float] = []
    out = gatys.restyled(content, style, random(), shares.append)
    assert out.shape == content.shape and float(out.abs().max()) <= 1 and not out.requires_grad
    assert shares[:25] == pytest.approx([(i + 1) / 25 for i in range(25)]) and set(shares[25:]) <= {1.0}
    assert torch.equal(out, gatys.restyled(content, style, random()))
    objective = Objective(gatys.vgg, content, no_longer(style, 48), FEW)
    with torch.no_grad():
        begin = content if start == "content" else 0.3 * torch.randn(content.shape, generator=random())
        assert float(objective(out)) < 0.5 * float(objective(begin))


def test_the_weights_say_what_counts(gatys: Gatys, pictures: Pair) -> None:
    content, style = small(pictures)
    gatys.settings = replace(FEW, style=0.0)
    assert torch.equal(gatys.restyled(content, style, random()), content)
    gatys.settings = replace(FEW, content=0.0)
    loose = gatys.restyled(content, style, random())
    gatys.settings = replace(FEW, content=100.0)
    near = gatys.restyled(content, style, random())
    assert float((near - content).abs().mean()) < float((loose - content).abs().mean())


def test_the_size_of_the_style_is_the_pictures_or_as_set(gatys: Gatys, pictures: Pair) -> None:
    content, style = small(pictures)
    assert no_longer(style, 24).shape == (1, 3, 24, 16) and no_longer(style, 99) is style
    outputs = []
    for size in (0, 48, 16):
        gatys.settings = replace(FEW, size=size, iterations=3)
        outputs.append(gatys.restyled(content, style, random()))
    assert torch.equal(outputs[0], outputs[1]) and not torch.equal(outputs[0], outputs[2])


def test_a_sample_of_the_work_is_a_small_part_of_it(gatys: Gatys) -> None:
    sample = gatys.sample()
    assert sample is not None and sample[0].rounds((9, 9)) * sample[1] == gatys.rounds((9, 9)) == 25
    gatys.settings = Rival()
    assert gatys.rounds((9, 9)) == 500
    gatys.settings = Rival(iterations=2)
    assert gatys.sample() is None


def test_what_diverges_is_told(gatys: Gatys, pictures: Pair) -> None:
    content, style = small(pictures)
    gatys.settings = replace(FEW, style=float("1e9"))
    content = content.clone()
    content[0, 0, 0, 0] = float("nan")
    with pytest.raises(ImageError, match=r"diverged .*rival\.style"):
        gatys.restyled(content, style, random())
