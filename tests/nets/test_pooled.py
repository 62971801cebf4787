"""Sets of pictures measured as one, by hand and against one picture that holds all of them."""

import numpy as np
import pytest
import torch
from helpers import scene

from sincut.nets.balance import balance, strengths
from sincut.nets.colour import colour_transport
from sincut.nets.filters import calm_variance, chroma_grain
from sincut.nets.pooled import Pool
from sincut.pictures.picture import to_tensor

ONE, OTHER = to_tensor(scene(40, 60, 1)), to_tensor(scene(50, 30, 2))
PIXELS = (40 * 60, 50 * 30)
SET = Pool.weighted((ONE, OTHER), PIXELS)  # each pixel weighs the same
ALL = torch.cat([ONE.flatten(2), OTHER.flatten(2)], 2)[:, :, None]  # (1, 3, 1, N): a picture of all pixels


def test_gaussians_are_those_of_all_pixels() -> None:
    mean, covariance = SET.covariance()
    rows = ALL[0, :, 0].double().numpy()
    np.testing.assert_allclose(mean, rows.mean(1), atol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(rows), rtol=2e-3)  # N - 1 of each, not of all
    torch.testing.assert_close(SET.variance(), ALL.var((0, 2, 3)), rtol=2e-3, atol=0)
    torch.testing.assert_close(SET.deviation(), ALL.std((0, 2, 3)), rtol=2e-3, atol=0)


def test_gaussians_weigh_pictures_by_their_shares() -> None:
    light, dark = torch.full((1, 3, 4, 4), 0.5), torch.full((1, 3, 90, 90), -0.5)
    mean, covariance = Pool.weighted((light, dark), (3, 1)).covariance()
    np.testing.assert_allclose(mean, [0.25] * 3)
    np.testing.assert_allclose(covariance, np.full((3, 3), 0.75 * 0.25**2 + 0.25 * 0.75**2))
    mapped = colour_transport(Pool.weighted((light, dark), (3, 1)), ONE)
    np.testing.assert_allclose(mapped(torch.full((1, 3, 1, 1), 0.25)).flatten(), ONE.mean((0, 2, 3)), atol=1e-5)


def test_quantiles_weigh_values_by_the_shares_of_their_pictures() -> None:
    few, many = torch.tensor([0.0, 1.0, 2.0, 3.0]), 10 + torch.arange(1000.0)
    pool = Pool.weighted([x.view(1, 1, 1, -1) for x in (few, many)], (1, 1))
    assert pool.quantiles((0.01, 0.2, 0.5, 0.75)).tolist() == [0.0, 1.0, 3.0, 509.0]
    assert calm_variance(SET) == pytest.approx(0.5 * (calm_variance(ONE) + calm_variance(OTHER)), rel=0.4)


def test_a_set_of_one_picture_twice_is_measured_as_the_picture() -> None:
    twice = Pool.weighted((ONE, ONE), (2, 1))
    assert calm_variance(twice) == pytest.approx(calm_variance(ONE), rel=1e-3)
    assert chroma_grain(twice) == pytest.approx(chroma_grain(ONE))
    one, other = balance(ONE, OTHER).tensors(), balance(twice, OTHER).tensors()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=2e-3, atol=2e-3)


def test_strengths_of_a_set_are_means_over_all_pixels() -> None:
    levels, weights = torch.tensor([-0.5, 0.5]), (0.25, 0.75)
    (one, one_shares), (other, other_shares) = (strengths(picture, levels) for picture in (ONE, OTHER))
    pooled, shares = strengths(Pool.weighted((ONE, OTHER), weights), levels)
    torch.testing.assert_close(shares, weights[0] * one_shares + weights[1] * other_shares)
    sums = weights[0] * one_shares * one + weights[1] * other_shares * other
    torch.testing.assert_close(pooled * shares, sums)
