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
from sincut.nets.stylegan2 import PyramidGenerator, StyleGenerator

SMALL = Networks(stem=4, inner=6, blocks=4, residual=0.0)
BOTH = pytest.mark.parametrize("kind", [StyleGenerator, PyramidGenerator])


def count(network: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_release_widths_have_the_published_parameter_counts() -> None:
    config = resolve("release")
    assert count(StyleGenerator(config.networks)) == 3_068_404
    assert count(StyleDiscriminator(config.networks, config.crops.tile)) == 5_885_473
    assert count(Projector(config.networks, config.losses.layers)) == 280_832


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 2), (3, 5), (16, 33), (40, 24), (95, 96)])
@BOTH
def test_generator_keeps_any_size(kind: type[StyleGenerator], size: tuple[int, int]) -> None:
    out = kind(SMALL)(torch.randn(2, 3, *size), torch.randn(2, 1, *size))
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


def test_pyramid_has_more_weights_at_a_quarter_of_the_resolution() -> None:
    settings = Networks(stem=4, middle=6, inner=16, blocks=4, residual=0.0)
    generator = PyramidGenerator(settings)
    x, noise = torch.randn(2, 3, 16, 20), torch.randn(2, 1, 16, 20)
    features = generator.encode(x)
    shapes = [(3, 16, 20), (4, 16, 20), (6, 8, 10), (16, 4, 5), (16, 4, 5), (16, 4, 5)]
    assert [tuple(f.shape[1:]) for f in features] == shapes
    assert [shape[0] for shape in shapes] == [*PyramidGenerator.channels_of(settings)]
    assert [16 // f.shape[2] for f in features] == [generator.step_of(layer) for layer in range(len(features))]
    assert count(PyramidGenerator(Networks(stem=16, middle=48, inner=128))) > 7 * count(
        StyleGenerator(Networks(stem=16, inner=48))
    )
    other = [*features]
    other[2] = features[2] + 1  # half the resolution: it joins the way up
    assert not torch.allclose(generator.decode(other, noise), generator.decode(features, noise))


@BOTH
def test_forward_is_decode_of_encode(kind: type[StyleGenerator]) -> None:
    generator = kind(Networks(stem=4, inner=6, residual=0.3))
    x, noise = torch.randn(1, 3, 16, 16), torch.randn(1, 1, 16, 16)
    torch.testing.assert_close(generator(x, noise), generator.decode(generator.encode(x), noise))


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


@BOTH
@pytest.mark.parametrize("blocks", [2, 6])
def test_receptive_radius_is_what_the_gradient_reaches(kind: type[StyleGenerator], blocks: int) -> None:
    generator = kind(Networks(stem=2, middle=3, inner=3, blocks=blocks)).double()
    radius, middle = generator.receptive_radius(), 80
    side, furthest = 2 * middle, 0
    for position in range(middle, middle + generator.stride):
        x = torch.randn(1, 3, side, side, dtype=torch.float64, requires_grad=True)
        out = generator(x, torch.zeros(1, 1, side, side, dtype=torch.float64))
        out[0, :, position, position].square().sum().backward()
        seen = gradient_of(x)[0].abs().sum((0, 1)).nonzero().flatten()
        furthest = max(furthest, int(position - seen.min()), int(seen.max() - position))
    assert furthest == radius


@BOTH
@pytest.mark.parametrize("noise_", [True, False])
@pytest.mark.parametrize(("blocks", "materials"), [(2, 0), (6, 0), (2, 3)])
def test_the_middle_is_what_the_whole_window_gives_there(
    kind: type[StyleGenerator], blocks: int, materials: int, noise_: bool
) -> None:
    noisy = "all" if noise_ else "last"
    generator = kind(Networks(stem=3, middle=4, inner=5, blocks=blocks, noise=noisy, materials=materials)).double()
    if generator.materials is not None:
        generator.materials.colours.uniform_(-1, 1)
    for block in (generator.up, *generator.higher):
        block.get_parameter("noise_gain").data.fill_(0.5 if noise_ or block is generator.up else 0.0)
    for layer in generator.noise:
        torch.nn.init.normal_(layer.get_parameter("weight"))
    halo, reach = generator.halo, generator.noise_reach
    h, w = 2 * halo + 28, 2 * halo + 4
    x = torch.rand(1, 3, h, w, dtype=torch.float64)
    noise = torch.randn(1, 1 + 3 * materials, h, w, dtype=torch.float64)
    whole = generator(x, noise)[:, :, halo:-halo, halo:-halo]
    torch.testing.assert_close(generator.translate_middle(x, without_border(noise, halo - reach)), whole)


@BOTH
@pytest.mark.parametrize("blocks", [2, 6])
def test_noise_reach_is_how_far_noise_is_seen(kind: type[StyleGenerator], blocks: int) -> None:
    generator = kind(Networks(stem=2, middle=3, inner=3, blocks=blocks, noise="all")).double()
    stride = generator.stride
    assert len(generator.noise) == blocks // 2 and generator.noise_reach % stride == 0
    side, place = 120, 60
    x = torch.randn(1, 3, side, side, dtype=torch.float64)
    noise = torch.randn(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    generator(x, noise)[0, :, place].square().sum().backward()
    assert not gradient_of(noise).any()  # it begins without any
    for layer in generator.noise:
        torch.nn.init.normal_(layer.get_parameter("weight"))
    generator(x, noise)[0, :, place : place + stride].square().sum().backward()
    seen = gradient_of(noise)[0, 0].abs().sum(1).nonzero().flatten()
    assert max(place - int(seen.min()), int(seen.max()) - place - stride + 1) == generator.noise_reach
    for noisy in ("last", "none"):
        assert kind(Networks(stem=2, inner=3, blocks=blocks, noise=noisy)).noise_reach == 0
