"""The discriminator for sets of pictures, against the published layers written out in torch's own modules."""

import torch
from test_resnet import Blur
from torch import nn

from sincut.config.networks import Networks
from sincut.config.resolve import resolve
from sincut.nets.architectures import make_discriminator
from sincut.nets.patchgan import PatchDiscriminator


def published(a: int, b: int, c: int, d: int) -> nn.Sequential:
    norm, conv = nn.InstanceNorm2d, nn.Conv2d
    return nn.Sequential(
        *(conv(3, a, 4, padding=1), nn.LeakyReLU(0.2), Blur()),
        *(conv(a, b, 4, padding=1), norm(b), nn.LeakyReLU(0.2), Blur()),
        *(conv(b, c, 4, padding=1), norm(c), nn.LeakyReLU(0.2), Blur()),
        *(conv(c, d, 4, padding=1), norm(d), nn.LeakyReLU(0.2), conv(d, 1, 4, padding=1)),
    )


def test_widths_of_cut_have_the_published_parameter_count_and_patches() -> None:
    config = resolve("cut")
    with torch.device("meta"):
        network = make_discriminator(config.networks, config.crops.tile)
        by_hand = 3_136 + 131_200 + 524_544 + 2_097_664 + 8_193  # 4x4 of 3 -> 64 -> 128 -> 256 -> 512 -> 1, with biases
        assert sum(p.numel() for p in network.parameters()) == by_hand == 2_764_737
        assert network(torch.empty(2, 3, 256, 256)).shape == (2, 1, 30, 30)


def test_layers_are_the_published_ones() -> None:
    network, plain = PatchDiscriminator(Networks(critic="patchgan", discriminator=0.05)), published(3, 6, 13, 26)
    for mine, theirs in zip(network.parameters(), plain.parameters(), strict=True):
        mine.data.normal_(std=0.2)
        assert mine.shape == theirs.shape
        theirs.data.copy_(mine)
    for side in (32, 64):
        tiles = torch.rand(2, 3, side, side) * 2 - 1
        torch.testing.assert_close(network(tiles), plain(tiles), atol=1e-4, rtol=1e-4)


def test_tiles_may_be_seen_relative_to_the_target() -> None:
    network, tiles = PatchDiscriminator(Networks(critic="patchgan", discriminator=0.05)), torch.rand(1, 3, 32, 32)
    plain = network(tiles)
    network.normalise_by(torch.rand(1, 3, 9, 9), 3.0)
    assert not torch.allclose(network(tiles), plain)
