"""The generator for sets of pictures, against the published layers written out in torch's own modules."""

import pytest
import torch
from torch import nn

from sincut.config.networks import Networks
from sincut.config.resolve import resolve
from sincut.nets.heads import Projector
from sincut.nets.resnet import ResnetGenerator

SMALL = Networks(architecture="resnet", noise="none", stem=4, inner=10, blocks=3)


class Blur(nn.Module):
    """[1, 2, 1] x [1, 2, 1], then every second place."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        taps = torch.tensor([0.25, 0.5, 0.25])
        kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 3, 3)
        return nn.functional.conv2d(nn.ReflectionPad2d(1)(x), kernel, stride=2, groups=x.shape[1])


class Up(nn.Module):
    """Twice the size through [1, 3, 3, 1] x [1, 3, 3, 1]."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        taps = torch.tensor([0.25, 0.75, 0.75, 0.25])
        kernel = torch.outer(taps, taps).expand(x.shape[1], 1, 4, 4)
        padded = nn.ReplicationPad2d(1)(x)
        spread = nn.functional.conv_transpose2d(padded, kernel, stride=2, padding=2, groups=x.shape[1])
        return spread[:, :, 1:, 1:][:, :, :-1, :-1]


class Block(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        norm = nn.InstanceNorm2d
        self.layers = nn.Sequential(
            *(nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3), norm(c), nn.ReLU()),
            *(nn.ReflectionPad2d(1), nn.Conv2d(c, c, 3), norm(c)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.layers(x)
        return out


def published(full: int, half: int, quarter: int, blocks: int) -> nn.Sequential:
    """The parts in the order in which the published code numbers them."""
    norm, conv = nn.InstanceNorm2d, nn.Conv2d
    return nn.Sequential(
        *(nn.ReflectionPad2d(3), conv(3, full, 7), norm(full), nn.ReLU()),
        *(conv(full, half, 3, padding=1), norm(half), nn.ReLU(), Blur()),
        *(conv(half, quarter, 3, padding=1), norm(quarter), nn.ReLU(), Blur()),
        *(Block(quarter) for _ in range(blocks)),
        *(Up(), conv(quarter, half, 3, padding=1), norm(half), nn.ReLU()),
        *(Up(), conv(half, full, 3, padding=1), norm(full), nn.ReLU()),
        *(nn.ReflectionPad2d(3), conv(full, 3, 7), nn.Tanh()),
    )


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_widths_of_cut_have_the_published_parameter_counts() -> None:
    config = resolve("cut")
    # By hand: 7x7 of 3 -> 64; 3x3 of 64 -> 128 -> 256; 18 of 256 -> 256; 256 -> 128 -> 64; 7x7 of 64 -> 3; with biases.
    by_hand = 9_472 + 73_856 + 295_168 + 18 * 590_080 + 295_040 + 73_792 + 9_411
    with torch.device("meta"):
        assert count(ResnetGenerator(config.networks)) == by_hand == 11_378_179
        assert count(Projector(config.networks, config.losses.layers)) == 560_384


def test_layers_are_the_published_ones() -> None:
    generator, plain = ResnetGenerator(SMALL), published(4, 8, 10, 3)
    for mine, theirs in zip(generator.parameters(), plain.parameters(), strict=True):
        mine.data.normal_(std=0.2)
        assert mine.shape == theirs.shape
        theirs.data.copy_(mine)
    x = torch.rand(2, 3, 24, 32) * 2 - 1
    torch.testing.assert_close(generator(x, torch.empty(0)), plain(x), atol=1e-4, rtol=1e-4)
    features, y, numbered = generator.encode(x), x, {}
    for number, part in enumerate(plain):
        numbered[number] = y = part(y)
    assert torch.equal(features[0], numbered[0][:, :, 3:-3, 3:-3])
    for layer, number in enumerate((3, 4, 8, 12, 13), 1):  # of three blocks the encoder has two
        torch.testing.assert_close(features[layer], numbered[number], atol=1e-4, rtol=1e-4)
    assert generator.deepest == len(features) - 1 == 5
    assert tuple(f.shape[1] for f in features) == generator.channels_of(SMALL)
    assert [24 // f.shape[2] for f in features] == [generator.step_of(layer) for layer in range(6)]


def test_the_encoder_stops_early() -> None:
    generator, x = ResnetGenerator(SMALL), torch.randn(1, 3, 16, 16)
    whole = generator.encode(x)
    for last in range(len(whole)):
        part = generator.encode(x, last)
        assert len(part) == last + 1 and all(torch.equal(a, b) for a, b in zip(part, whole, strict=False))


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2), (5, 3), (16, 33)])
def test_any_size_is_kept(size: tuple[int, int]) -> None:
    out = ResnetGenerator(SMALL)(torch.randn(2, 3, *size), torch.randn(2, 1, *size))
    assert out.shape == (2, 3, *size) and out.isfinite().all() and out.abs().max() <= 1


def test_any_pixel_may_influence_any_other() -> None:
    generator, x = ResnetGenerator(SMALL), torch.rand(1, 3, 64, 64)
    for parameter in generator.parameters():
        parameter.data.normal_(std=0.2)
    other = x.clone()
    other[..., 0, 0] += 5
    assert ((generator(x, x) - generator(other, x))[..., -8:, -8:].abs() > 1e-6).any()
    assert generator.whole_only and generator.stride == 4


def test_the_output_may_be_added_to_the_input() -> None:
    plain = ResnetGenerator(SMALL)
    mixed = ResnetGenerator(Networks(architecture="resnet", noise="none", stem=4, inner=10, blocks=3, residual=0.25))
    mixed.load_state_dict(plain.state_dict())
    x = torch.rand(1, 3, 16, 12)
    torch.testing.assert_close(mixed(x, x), x + 0.25 * plain(x, x))
    mixed.set_base_smoothing(0.1)
    assert not torch.allclose(mixed(x, x), x + 0.25 * plain(x, x))
