"""The coarse guide sends like to like."""

import numpy as np
import pytest
import torch
from helpers import scene

from sincut.method.guide import (
    ENTROPY,
    _normal_scores,
    _small,
    _transport,
    coarse_guide,
    coarse_guides,
    comparable_texture,
)
from sincut.nets.filters import calm_variance
from sincut.nets.local import blurred
from sincut.nets.pooled import Pool
from sincut.pictures.picture import to_tensor


def landscape(top: tuple[int, int, int], bottom: tuple[int, int, int], rough: int, seed: int) -> torch.Tensor:
    """A nearly smooth upper half and a rough lower one."""
    pixels = np.zeros((120, 160, 3))
    pixels[:60], pixels[60:] = top, bottom
    grain = np.random.default_rng(seed).normal(0, 1, (120, 160, 1))
    pixels += grain * np.where(np.arange(120) < 60, 2, rough)[:, None, None]
    return to_tensor(pixels.clip(0, 255).astype(np.uint8))


def test_smooth_goes_to_smooth_though_its_colour_is_nearer_to_the_rough() -> None:
    painting = landscape((215, 205, 215), (150, 150, 160), 25, 0)  # a pale sky over a grey rock
    photo = landscape((20, 60, 180), (225, 220, 210), 25, 1)  # a deep blue over chalk
    guide = (coarse_guide(painting, photo) + 1) * 127.5
    assert guide.shape == painting.shape
    upper, lower = guide[0, :, 10:45].mean((1, 2)), guide[0, :, 75:110].mean((1, 2))
    assert upper[0] < 90  # of 20 for blue and 225 for chalk: most of it blue, where colours alone say chalk
    assert lower[0] > 130  # most of it chalk


def test_strokes_that_drown_all_texture_leave_the_say_to_lightness() -> None:
    photo = landscape((225, 220, 210), (20, 60, 180), 25, 1)  # chalk that is smooth over a rough sea
    strokes = np.random.default_rng(2).normal(0, 1, (120, 160, 1)) * np.where(np.arange(160) < 80, 12, 40)[:, None]
    pixels = np.full((120, 160, 3), 215.0)
    pixels[60:] = 60
    painting = to_tensor((pixels + strokes).clip(0, 255).astype(np.uint8))  # the brush is rougher on the right
    textures = calm_variance(painting), calm_variance(photo)
    comparable = comparable_texture(*textures)
    assert comparable == comparable_texture(*reversed(textures)) < 0.5
    guide = (coarse_guide(painting, photo, comparable) + 1) * 127.5
    upper, lower = guide[0, 0, 10:45], guide[0, 0, 75:110]
    assert (upper[:, 10:70] > 150).all() and (upper[:, 90:150] > 150).all()
    assert (lower[:, 10:70] < 90).all() and (lower[:, 90:150] < 90).all()


def test_the_guide_of_a_picture_to_itself_is_the_picture_blurred() -> None:
    image = to_tensor(scene(90, 120, 3))
    guide = coarse_guide(image, image)
    cells = [torch.nn.functional.avg_pool2d(picture, 15) for picture in (guide, image)]
    assert (cells[0] - cells[1]).abs().mean() < 0.12


def test_the_guide_takes_its_colours_from_the_photo_and_is_repeatable() -> None:
    painting, photo = to_tensor(scene(72, 90, 1)), to_tensor(scene(70, 80, 2))
    guide = coarse_guide(painting, photo)
    assert guide.abs().max() <= 1
    assert torch.equal(guide, coarse_guide(painting, photo))


def test_the_guide_has_the_contrast_of_the_photo() -> None:
    painting, photo = to_tensor(scene(120, 150, 1)), to_tensor(scene(130, 140, 2))
    colours = [p[0].flatten(1) for p in (_small(coarse_guide(painting, photo)), blurred(_small(photo), 2.0))]
    torch.testing.assert_close(colours[0].mean(1), colours[1].mean(1), atol=0.01, rtol=0)
    torch.testing.assert_close(colours[0].std(1), colours[1].std(1), rtol=0.03, atol=0)


@pytest.mark.parametrize("size", [(1, 1), (17, 300), (64, 64)])
def test_flat_and_odd_pictures_have_a_finite_guide(size: tuple[int, int]) -> None:
    flat = torch.full((1, 3, *size), 0.25)
    other = to_tensor(scene(70, 80, 2))
    for pair in ((flat, other), (other, flat), (flat, flat)):
        guide = coarse_guide(*pair)
        assert guide.shape == pair[0].shape and guide.isfinite().all()


def test_transport_has_uniform_masses() -> None:
    cost = torch.rand(40, 30, generator=torch.Generator().manual_seed(0))
    potential = _transport(cost)
    from sincut.method.guide import ENTROPY

    plan = torch.softmax((potential - cost) / ENTROPY, dim=1) / 40  # each row's mass is 1/40 by construction
    torch.testing.assert_close(plan.sum(0), torch.full((30,), 1 / 30), rtol=1e-3, atol=1e-5)


def test_places_of_a_set_take_the_colours_of_the_target_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A light and a dark source with a light and a dark target, in either order; alike but for their colours."""
    monkeypatch.setattr("sincut.method.guide.PLACES_OF_SET", 300)
    random = torch.Generator().manual_seed(0)

    def even(level: float, *colour: float) -> torch.Tensor:
        shade = torch.tensor([level + part for part in colour]).view(1, 3, 1, 1)
        return (shade + 0.1 * torch.randn(1, 1, 60, 80, generator=random)).clamp(-1, 1)

    day, night = even(0.5, 0.0, 0.0, 0.0), even(-0.6, 0.0, 0.0, 0.0)
    red_day, blue_night = even(0.5, 0.3, 0.0, 0.0), even(-0.6, 0.0, 0.0, 0.3)
    for order in ((red_day, blue_night), (blue_night, red_day)):
        of_day, of_night = coarse_guides(Pool.weighted((day, night), (1, 1)), Pool.weighted(order, (1, 1)))
        for guide, look in ((of_day, red_day), (of_night, blue_night)):
            torch.testing.assert_close(guide.mean((0, 2, 3)), look.mean((0, 2, 3)), atol=0.08, rtol=0)


def test_normal_scores_depend_on_ranks_alone() -> None:
    values = torch.randn(1, 1, 30, 40, generator=torch.Generator().manual_seed(0))
    scores = _normal_scores(values)
    assert torch.equal(scores, _normal_scores(values.exp()))
    assert scores.mean().abs() < 1e-3 and scores.std().item() == pytest.approx(1, abs=0.02)


def test_the_transport_is_that_of_an_independent_library() -> None:
    ot = pytest.importorskip("ot")  # POT
    cost = torch.rand(40, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 3
    masses = np.full(40, 1 / 40), np.full(30, 1 / 30)
    plan = ot.sinkhorn(*masses, cost.numpy(), ENTROPY, numItermax=100_000, stopThr=1e-12)
    potential = _transport(cost)
    ours = torch.softmax((potential - cost) / ENTROPY, dim=1) / 40
    np.testing.assert_allclose(ours.numpy(), plan, atol=2e-4 / 40)
