"""The StyleGAN2 generator: layers, sizes, receptive field, noise."""

import pytest
import torch
from helpers import gradient_of

from sincut.config.networks import Networks
from sincut.config.resolve import resolve
from sincut.nets.discriminator import StyleDiscriminator
from sincut.nets.filters import smoothed
from sincut.nets.heads import Projector
from sincut.nets.local import without_border
from sincut.nets.stylegan2 import StyleGenerator

SMALL = Networks(stem=4, inner=6, blocks=4, residual=0.0)


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_release_widths_have_the_published_parameter_counts() -> None:
    config = resolve("release")
    assert count(StyleGenerator(config.networks)) == 3_068_404
    assert count(StyleDiscriminator(config.networks, config.crops.tile)) == 5_885_473
    assert count(Projector(config.networks, config.losses.layers)) == 280_832


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2), (3, 5), (16, 33), (40, 24), (95, 96)])
def test_generator_keeps_any_size(size: tuple[int, int]) -> None:
    out = StyleGenerator(SMALL)(torch.randn(2, 3, *size), torch.randn(2, 1, *size))
    assert out.shape == (2, 3, *size)
    assert out.isfinite().all()


def test_no_parameter_is_created_at_a_forward() -> None:
    generator, discriminator, projector = (
        StyleGenerator(SMALL),
        StyleDiscriminator(SMALL, 16),
        Projector(SMALL, (0, 1, 3)),
    )
    before = [count(network) for network in (generator, discriminator, projector)]
    features = generator.encode(torch.randn(1, 3, 16, 16))
    projector([features[layer].flatten(2)[0].T for layer in (0, 1, 3)])
    discriminator(torch.randn(3, 3, 16, 16))
    assert [count(network) for network in (generator, discriminator, projector)] == before


def test_encode_numbers_layers_as_published_and_stops_early() -> None:
    generator = StyleGenerator(SMALL)
    x = torch.randn(2, 3, 16, 20)
    features = generator.encode(x)
    assert [tuple(f.shape[1:]) for f in features] == [(3, 16, 20), (4, 16, 20), (6, 8, 10), (6, 8, 10), (6, 8, 10)]
    assert len(generator.encode(x, last=2)) == 3
    torch.testing.assert_close(generator.encode(x, last=2)[2], features[2])


def test_forward_is_decode_of_encode() -> None:
    generator = StyleGenerator(Networks(stem=4, inner=6, residual=0.3))
    x, noise = torch.randn(1, 3, 16, 16), torch.randn(1, 1, 16, 16)
    torch.testing.assert_close(generator(x, noise), generator.decode(x, generator.encode(x)[-1], noise))


def test_residual_adds_to_the_input() -> None:
    x, noise = torch.randn(1, 3, 8, 8), torch.zeros(1, 1, 8, 8)
    plain = StyleGenerator(SMALL)
    mixed = StyleGenerator(Networks(stem=4, inner=6, blocks=4, residual=0.25, smooth=0.0))
    mixed.load_state_dict(plain.state_dict())
    torch.testing.assert_close(mixed(x, noise), x + 0.25 * plain(x, noise))
    smooth = StyleGenerator(Networks(stem=4, inner=6, blocks=4, residual=0.25, smooth=3.0))
    smooth.load_state_dict(plain.state_dict())
    smooth.set_base_smoothing(0.1)
    torch.testing.assert_close(smooth(x, noise), smoothed(x, 0.1) + 0.25 * plain(x, noise))


@pytest.mark.parametrize("blocks", [2, 6])
def test_receptive_radius_is_what_the_gradient_reaches(blocks: int) -> None:
    generator = StyleGenerator(Networks(stem=2, inner=3, blocks=blocks)).double()
    radius, side = generator.receptive_radius(), 100
    furthest = 0
    for position in (50, 51):
        x = torch.randn(1, 3, side, side, dtype=torch.float64, requires_grad=True)
        out = generator(x, torch.zeros(1, 1, side, side, dtype=torch.float64))
        out[0, :, position, position].square().sum().backward()
        seen = gradient_of(x)[0].abs().sum((0, 1)).nonzero().flatten()
        furthest = max(furthest, int(position - seen.min()), int(seen.max() - position))
    assert furthest == radius


@pytest.mark.parametrize("noise_", [True, False])
@pytest.mark.parametrize("blocks", [2, 6])
def test_the_middle_is_what_the_whole_window_gives_there(blocks: int, noise_: bool) -> None:
    generator = StyleGenerator(Networks(stem=3, inner=5, blocks=blocks, noise="all" if noise_ else "last")).double()
    generator.up.noise_gain.data.fill_(0.5)
    for layer in generator.noise:
        torch.nn.init.normal_(layer.get_parameter("weight"))
    halo, reach = generator.halo, generator.noise_reach
    h, w = 2 * halo + 26, 2 * halo + 4
    x, noise = torch.rand(1, 3, h, w, dtype=torch.float64), torch.randn(1, 1, h, w, dtype=torch.float64)
    whole = generator(x, noise)[:, :, halo:-halo, halo:-halo]
    torch.testing.assert_close(generator.translate_middle(x, without_border(noise, halo - reach)), whole)


@pytest.mark.parametrize("blocks", [2, 6])
def test_noise_reach_is_how_far_noise_is_seen(blocks: int) -> None:
    generator = StyleGenerator(Networks(stem=2, inner=3, blocks=blocks, noise="all")).double()
    assert len(generator.noise) == blocks // 2 and generator.noise_reach % 2 == 0
    side, place = 60, 30
    x = torch.randn(1, 3, side, side, dtype=torch.float64)
    noise = torch.randn(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    generator(x, noise)[0, :, place].square().sum().backward()
    assert not gradient_of(noise).any()  # it begins without any
    for layer in generator.noise:
        torch.nn.init.normal_(layer.get_parameter("weight"))
    generator(x, noise)[0, :, place : place + 2].square().sum().backward()
    seen = gradient_of(noise)[0, 0].abs().sum(1).nonzero().flatten()
    assert max(place - int(seen.min()), int(seen.max()) - place - 1) == generator.noise_reach
    for kind in ("last", "none"):
        assert StyleGenerator(Networks(stem=2, inner=3, blocks=blocks, noise=kind)).noise_reach == 0
