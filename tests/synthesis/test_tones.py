"""The tones of a layout mapped to those of an exemplar."""

import torch

from sincut.synthesis.pyramid import luma
from sincut.synthesis.tones import MOST, SHARE, STEEPEST, Tones

GREY = torch.rand(1, 1, 60, 70, generator=torch.Generator().manual_seed(0))


def test_the_distribution_comes_nearer_to_the_others() -> None:
    first = GREY * 0.8 - 0.5
    second = first + 0.04 * torch.sin(5 * first)  # nowhere further away than tones may be moved
    mapped = Tones.between(first, second)(first.expand(1, 3, 60, 70))
    at = torch.tensor([0.05, 0.3, 0.5, 0.8, 0.95])
    wanted = torch.lerp(first.quantile(at), second.quantile(at), SHARE)
    torch.testing.assert_close(luma(mapped).quantile(at), wanted, atol=3e-3, rtol=0)


def test_no_tone_moves_far() -> None:
    picture = GREY.expand(1, 3, 60, 70) * 0.3
    mapped = Tones.between(GREY * 0.3, GREY * 0.2 - 0.9)(picture)
    torch.testing.assert_close(mapped, picture - MOST, atol=1e-5, rtol=0)


def test_equal_pictures_stay_as_they_are() -> None:
    picture = torch.rand(1, 3, 60, 70, generator=torch.Generator().manual_seed(1)) * 2 - 1
    torch.testing.assert_close(Tones.between(luma(picture), luma(picture))(picture), picture, atol=1e-4, rtol=0)


def test_order_stays_and_noise_of_an_even_sky_is_not_raised_much() -> None:
    even = torch.full_like(GREY, 0.3) + GREY * 0.01
    mapped = Tones.between(even, GREY * 2 - 1)(even.expand(1, 3, 60, 70))
    order = even.flatten().argsort()
    assert bool((luma(mapped).flatten()[order].diff() >= -1e-5).all())
    assert float(luma(mapped).std()) <= STEEPEST * float(even.std()) * 1.01


def test_a_picture_of_one_colour_keeps_a_colour() -> None:
    mapped = Tones.between(torch.zeros(1, 1, 8, 8), torch.full((1, 1, 8, 8), 0.5))(torch.zeros(1, 3, 8, 8))
    assert bool(mapped.isfinite().all()) and float(mapped.std()) < 1e-6
