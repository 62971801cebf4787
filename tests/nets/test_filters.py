"""The edge-preserving filters."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from kornia.filters import guided_blur

from sincut.nets import filters, local
from sincut.nets.filters import CHROMA_REACH, calm_variance, chroma_grain, smoothed, without_chroma_grain


def test_smoothed_is_the_guided_filter() -> None:
    x = torch.rand(1, 1, 30, 26, dtype=torch.float64)

    def windows(values: torch.Tensor) -> torch.Tensor:  # (pixels, 121)
        return F.unfold(F.pad(values, (5, 5, 5, 5), mode="replicate"), 11)[0].T

    slope = windows(x).var(1, correction=0) / (windows(x).var(1, correction=0) + 0.02)
    offset = windows(x).mean(1) * (1 - slope)
    a, b = (windows(values.view(x.shape)).mean(1).view(x.shape) for values in (slope, offset))
    torch.testing.assert_close(smoothed(x, 0.02), a * x + b)


def test_smoothing_takes_texture_and_leaves_edges() -> None:
    edge = torch.cat([torch.full((1, 1, 40, 20), -0.8), torch.full((1, 1, 40, 20), 0.8)], dim=3)
    strokes = 0.1 * torch.randn(1, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    out = smoothed(edge + strokes, 0.03)
    assert out[..., :10].std() < 0.3 * strokes.std()
    assert out[..., 21].mean() - out[..., 18].mean() > 1.4  # of 1.6
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(smoothed(edge + strokes, 0.03), out)


def test_calm_variance_is_that_of_the_even_parts() -> None:
    x = 0.1 * torch.randn(1, 3, 200, 200, generator=torch.Generator().manual_seed(0))
    assert 0.008 < calm_variance(x) < 0.01  # a quarter of the windows have less than all pixels together
    x[..., 100:] *= 5
    assert 0.008 < calm_variance(x) < 0.011
    assert calm_variance(torch.full((1, 3, 40, 40), 0.7)) < 1e-6


def test_chroma_grain_goes_and_what_lightness_shows_stays() -> None:
    random = torch.Generator().manual_seed(0)
    edge = torch.cat([torch.full((1, 3, 40, 40), -0.6), torch.full((1, 3, 40, 40), 0.6)], dim=3)
    edge[:, 2, :, 40:] = -0.2  # dark grey beside yellow
    noise = 0.2 * torch.randn(1, 3, 40, 80, generator=random)
    luma = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    noise -= (noise * luma).sum(1, keepdim=True)  # of colour alone
    out = without_chroma_grain(edge + noise, 0.25)
    torch.testing.assert_close((out * luma).sum(1), (edge * luma).sum(1), rtol=0, atol=1e-5)
    assert 0.25 < ((out - edge)[..., :30].std() / noise[..., :30].std()) < 0.3  # a mean of 81 pixels keeps a ninth
    yellow = (out - (out * luma).sum(1, keepdim=True))[:, 2].mean((0, 1))  # blue less luma, by column
    assert yellow[38] > -0.1 and yellow[41] < -0.6  # of 0 and -0.71
    assert chroma_grain(edge) < 1e-4 < 0.8 * noise.square().mean() < chroma_grain(edge + noise)
    torch.testing.assert_close(without_chroma_grain(edge + noise, 1.0), edge + noise)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(without_chroma_grain(edge + noise, 0.25), out)


def test_large_pictures_are_filtered_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.rand(1, 3, 150, 31, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole = smoothed(x, 0.02), without_chroma_grain(x, 0.3), calm_variance(x)
    heights: list[int] = []
    monkeypatch.setattr(local, "BAND", 1)
    filter_of_kornia = guided_blur

    def guided(guide: torch.Tensor, *rest: Any, **more: Any) -> torch.Tensor:
        heights.append(guide.shape[2])
        filtered: torch.Tensor = filter_of_kornia(guide, *rest, **more)
        return filtered

    monkeypatch.setattr(filters, "guided_blur", guided)
    for got, expected in zip((smoothed(x, 0.02), without_chroma_grain(x, 0.3)), whole[:2], strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)
    assert calm_variance(x) == pytest.approx(whole[2], rel=1e-5)
    assert len(heights) == 5 and max(heights) == 6 * CHROMA_REACH
