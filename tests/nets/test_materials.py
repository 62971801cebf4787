"""By-example noise is the target's own detail, goes by position, and is mixed by colour."""

import itertools

import pytest
import torch
from helpers import gradient_of

from sincut.config.networks import Networks
from sincut.nets.materials import PATCH, Materials, _means
from sincut.nets.pooled import Pool
from sincut.nets.stylegan2 import PyramidGenerator, StyleGenerator


def striped(height: int, width: int) -> torch.Tensor:
    """(1, 3, H, W): above dark with stripes that lie, below bright with stripes that stand, of twice the amplitude."""
    rows, columns = torch.arange(float(height))[:, None], torch.arange(float(width))[None]
    above = -0.6 + 0.1 * torch.sin(rows * 2).expand(-1, width)
    below = 0.6 + 0.2 * torch.sin(columns * 2).expand(height, -1)
    return torch.where(rows < height / 2, above, below)[None, None].repeat(1, 3, 1, 1)


def taken(picture: torch.Tensor, count: int = 2) -> Materials:
    materials = Materials(count)
    materials.take(Pool.of(picture))
    return materials


def test_each_material_has_the_detail_that_its_colour_has_in_the_target() -> None:
    materials = taken(striped(400, 300))
    colours = materials.colours.mean(1)
    dark, bright = int(colours.argmin()), int(colours.argmax())
    torch.testing.assert_close(colours[[dark, bright]], torch.tensor([-0.6, 0.6]), atol=0.05, rtol=0)
    detail = materials.at(torch.arange(300)[None], torch.arange(300)[None]).unflatten(1, (2, 3))[0]
    lying, standing = detail[dark], detail[bright]
    assert lying.diff(dim=1).abs().mean() > 10 * lying.diff(dim=2).abs().mean()
    assert standing.diff(dim=2).abs().mean() > 10 * standing.diff(dim=1).abs().mean()
    strengths = materials.patches.float().std((0, 1, 2)).view(2, 3)  # blended stripes may be in phase
    assert 1.8 < strengths[bright].min() / strengths[dark].max() < 2.2


def test_detail_has_the_strength_of_the_target_s() -> None:
    picture = 0.3 * torch.randn(1, 3, 200, 300, generator=torch.Generator().manual_seed(0))
    detail = taken(picture, 1).at(torch.arange(400)[None], torch.arange(400)[None])
    assert 0.27 < detail.std() < 0.33
    by_place = detail[0, 0].unfold(0, 40, 40).unfold(1, 40, 40).std((2, 3))  # blends keep it everywhere
    assert by_place.min() > 0.2 and by_place.max() < 0.4


def test_a_rock_of_the_colour_of_a_haze_has_its_own_detail() -> None:
    picture = torch.randn(1, 3, 300, 500, generator=torch.Generator().manual_seed(0))
    picture[..., :300] *= 0.01
    picture[..., :300] += torch.linspace(-0.2, 0.2, 300)
    picture[..., 300:] *= 0.2
    haze, rock = sorted(taken(picture).patches.float().std((0, 1, 2)).view(2, 3).mean(1).tolist())
    assert 0.005 < haze < 0.02 and 0.15 < rock < 0.25


def test_detail_that_is_unusual_for_its_colour_is_left_out() -> None:
    generator = torch.Generator().manual_seed(0)
    picture = 0.05 * torch.randn(1, 3, 400, 400, generator=generator)
    for top, left in ((40, 40), (40, 280), (280, 160)):  # a quarter of all places that a patch can come from
        picture[:, :, top : top + 80, left : left + 80] *= 10
    assert taken(picture, 1).patches.float().std((1, 2)).max() < 0.06


def test_patches_with_a_single_thing_are_left_out() -> None:
    generator = torch.Generator().manual_seed(0)
    picture = 0.05 * torch.randn(1, 3, 400, 400, generator=generator)
    for top, left in itertools.product(range(10, 400, 90), repeat=2):  # boats, in most patches, of little variance
        picture[:, :, top : top + 3, left : left + 3] += 0.4
    assert taken(picture, 1).patches.float().abs().max() < 0.3


def test_a_part_of_a_picture_has_the_detail_of_the_whole() -> None:
    materials = taken(striped(200, 300))
    whole = materials.at(torch.arange(-70, 230)[None], torch.arange(-300, 100)[None])
    assert whole.shape == (1, materials.channels, 300, 400)
    part = materials.at(torch.arange(-13, 60)[None], torch.arange(-290, -100)[None])
    assert torch.equal(part, whole[:, :, 57:130, 10:200])


def test_detail_does_not_repeat() -> None:
    picture = torch.randn(1, 3, 300, 300, generator=torch.Generator().manual_seed(0))
    row = taken(picture, 1).at(torch.arange(1)[None], torch.arange(4000)[None])[0, 0, 0]
    for shift in range(20, 2000, 20):
        pair = torch.stack([row[:-shift], row[shift:]])
        assert torch.corrcoef(pair)[0, 1] < 0.5, shift


@pytest.mark.parametrize("size", [(1, 1), (20, 300), (PATCH, PATCH), (130, 97)])
@pytest.mark.parametrize("count", [1, 5])
def test_any_target_will_do(size: tuple[int, int], count: int) -> None:
    materials = taken(torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)), count)
    assert (
        materials.at(torch.arange(50)[None], torch.arange(50)[None]).isfinite().all()
        and materials.colours.isfinite().all()
    )


def test_an_even_target_has_no_detail() -> None:
    materials = taken(torch.full((1, 3, 200, 200), 0.25), 3)
    assert materials.at(torch.arange(90)[None], torch.arange(90)[None]).abs().max() < 1e-3
    torch.testing.assert_close(materials.colours, torch.full((3, 3), 0.25))


def test_a_set_gives_detail_of_all_its_pictures() -> None:
    dark, bright = striped(400, 300)[:, :, :200], striped(400, 300)[:, :, 200:]
    materials = Materials(2)
    materials.take(Pool.weighted([dark, bright], [1.0, 1.0]))
    assert sorted(materials.colours.mean(1).round(decimals=1).tolist()) == pytest.approx([-0.6, 0.6])


@pytest.mark.parametrize("kind", [StyleGenerator, PyramidGenerator])
def test_g_mixes_details_by_colour_and_learns_to_do_it_otherwise(kind: type[StyleGenerator]) -> None:
    networks = Networks(stem=3, middle=4, inner=4, blocks=2, residual=1.0, noise="none", materials=2)
    generator = kind(networks)
    assert generator.materials is not None and generator.mixture is not None
    generator.materials.colours.copy_(torch.tensor([[-0.6] * 3, [0.6] * 3]))
    torch.nn.init.zeros_(generator.rgb.get_parameter("weight"))  # the output is the input, and the detail
    x = torch.cat([torch.full((1, 3, 24, 24), -0.6), torch.full((1, 3, 24, 24), 0.6)], dim=3)
    detail = torch.randn(1, 6, 24, 48)
    noise = torch.cat([torch.randn(1, 1, 24, 48), detail], dim=1)
    out = generator(x, noise) - x
    torch.testing.assert_close(out[..., :20], detail[:, :3, :, :20])
    torch.testing.assert_close(out[..., 28:], detail[:, 3:, :, 28:])
    assert torch.equal(generator(x, noise[:, :1]), x)  # without detail there is none
    generator(x, noise).square().sum().backward()
    assert gradient_of(generator.mixture.get_parameter("weight")).abs().sum() > 0


def test_colours_are_near_those_that_have_detail() -> None:
    ramp = torch.linspace(-0.9, 0.5, 300).expand(250, 300)
    picture = torch.stack([ramp, ramp, ramp + 0.5])[None].clone()  # a calm sky of many colours
    picture[:, :, 170:, :80] = 0.1  # a rock
    rough = torch.full((1, 1, 250, 300), 1e-5)
    rough[..., 170:, :80] = 0.04
    away = [float((_means([picture], [each], 3) - 0.1).norm(dim=1).min()) for each in (torch.ones_like(rough), rough)]
    assert away[1] < 0.4 * away[0]
