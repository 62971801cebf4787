"""What is done in closed form before the network."""

import torch
import torch.nn.functional as F

from sincut.colour import calm_variance, smoothed


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
