"""Blocks against plain float64 formulas, and the reach of layers against gradients."""

import math

import pytest
import torch
import torch.nn.functional as F

from sincut.nets import layers
from sincut.nets.layers import (
    CHROMA_REACH,
    Blur,
    EqualConv2d,
    EqualLinear,
    ResidualBlock,
    UpBlock,
    calm_variance,
    chroma_grain,
    smoothed,
    without_chroma_grain,
)


def plain_activation(x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return F.leaky_relu(x + bias[:, None, None], 0.2) * math.sqrt(2)


def plain_blur(x: torch.Tensor, pad: int, gain: float = 1.0) -> torch.Tensor:
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype)
    kernel = torch.outer(taps, taps) / 64 * gain
    return F.conv2d(F.pad(x, [pad] * 4).flatten(0, 1)[:, None], kernel[None, None]).unflatten(0, x.shape[:2])[:, :, 0]


def test_equal_conv_scales_by_fan_in_and_activates() -> None:
    layer = EqualConv2d(5, 7, 3, activation=True).double()
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(2, 5, 9, 8, dtype=torch.float64)
    want = plain_activation(F.conv2d(x, layer.weight / math.sqrt(45), padding=1), layer.bias)
    torch.testing.assert_close(layer(x), want)


def test_equal_linear_scales_by_fan_in_and_activates() -> None:
    layer = EqualLinear(6, 3, activation=True).double()
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(4, 6, dtype=torch.float64)
    want = F.leaky_relu(x @ layer.weight.T / math.sqrt(6) + layer.bias, 0.2) * math.sqrt(2)
    torch.testing.assert_close(layer(x), want)


def test_blur_is_the_binomial_filter_and_keeps_constants() -> None:
    x = torch.randn(2, 3, 10, 12)
    torch.testing.assert_close(Blur(3, padding=2)(x), plain_blur(x, 2))
    torch.testing.assert_close(Blur(3, padding=1, stride=2)(x), plain_blur(x, 1)[:, :, ::2, ::2])
    inside = Blur(1, padding=0)(torch.full((1, 1, 8, 8), 0.7))
    torch.testing.assert_close(inside, torch.full_like(inside, 0.7))


def test_blur_with_stride_is_the_same_in_two_parts() -> None:
    """In bfloat16 with gradients, on a CPU, it is a filter and a pooling; float32 tells what both should give."""
    for h, w in ((8, 12), (9, 7)):
        x, weights = torch.randn(2, 3, h, w), torch.randn(2, 3, h // 2, w // 2)
        blur, found = Blur(3, padding=1, stride=2), []
        for dtype in (torch.float32, torch.bfloat16):
            part = x.to(dtype).requires_grad_()
            out = blur(part)
            (gradient,) = torch.autograd.grad((out.float() * weights).sum(), part)
            found.append((out.float(), gradient.float()))
        torch.testing.assert_close(*(out for out, _ in found), rtol=0.02, atol=0.02)
        torch.testing.assert_close(*(gradient for _, gradient in found), rtol=0.02, atol=0.02)


def test_residual_block_is_the_formula() -> None:
    block = ResidualBlock(4, 4).double()
    torch.nn.init.normal_(block.conv1.bias), torch.nn.init.normal_(block.conv2.bias)
    x = torch.randn(2, 4, 6, 7, dtype=torch.float64)
    y = plain_activation(F.conv2d(x, block.conv1.weight / 6, padding=1), block.conv1.bias)
    y = plain_activation(F.conv2d(y, block.conv2.weight / 6, padding=1), block.conv2.bias)
    torch.testing.assert_close(block(x), (x + y) / math.sqrt(2))


def test_downsampling_block_is_the_formula() -> None:
    block = ResidualBlock(4, 6, down=True).double()
    x = torch.randn(2, 4, 8, 12, dtype=torch.float64)
    y = plain_activation(F.conv2d(x, block.conv1.weight / 6, padding=1), block.conv1.bias)
    y = plain_activation(F.conv2d(plain_blur(y, 2), block.conv2.weight / 6, stride=2), block.conv2.bias)
    skip = F.conv2d(plain_blur(x, 1)[:, :, ::2, ::2], block.skip.weight / 2)
    assert block(x).shape == (2, 6, 4, 6)
    torch.testing.assert_close(block(x), (y + skip) / math.sqrt(2))


def test_up_block_demodulates_to_unit_norm_and_adds_noise() -> None:
    block = UpBlock(5, 3).double()
    torch.nn.init.constant_(block.noise_gain, 0.5), torch.nn.init.normal_(block.bias)
    x, noise = torch.randn(2, 5, 4, 6, dtype=torch.float64), torch.randn(2, 1, 8, 12, dtype=torch.float64)
    weight = block.weight / block.weight.pow(2).sum((0, 2, 3), keepdim=True).sqrt()
    torch.testing.assert_close(weight.pow(2).sum((0, 2, 3)), torch.ones(3, dtype=torch.float64))
    y = plain_blur(F.conv_transpose2d(x, weight, stride=2), 1, gain=4)
    torch.testing.assert_close(block(x, noise), plain_activation(y + 0.5 * noise, block.bias), rtol=1e-6, atol=1e-6)


def test_reach_is_where_the_gradient_is() -> None:
    for block, stride in ((ResidualBlock(2, 2), 1), (ResidualBlock(2, 3, down=True), 2), (EqualConv2d(2, 2, 3), 1)):
        x = torch.randn(1, 2, 24, 24, requires_grad=True)
        out = block(x)
        position = 12 // stride
        out[0, :, position, position].square().sum().backward()
        seen = x.grad[0].abs().sum((0, 1)).nonzero().flatten().tolist()
        assert (min(seen), max(seen)) == block.reach((position, position))


@pytest.mark.parametrize(("stride", "padded"), [(1, True), (1, False), (2, True)])
def test_without_gradients_the_convolution_is_the_same(
    stride: int, padded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = EqualConv2d(5, 7, 3, stride=stride, activation=True)
    assert layer.bias is not None
    layer.bias.data.normal_()
    x = torch.randn(2, 5, 20, 22).contiguous(memory_format=torch.channels_last)
    expected = layer(x, padded).detach()
    with torch.inference_mode():
        torch.testing.assert_close(layer(x, padded), expected)
        monkeypatch.setattr(layers, "FUSED", None)  # a torch without it
        torch.testing.assert_close(layer(x, padded), expected)


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
    heights = []
    monkeypatch.setattr(layers, "BAND", 1)
    filter_of_kornia = layers.guided_blur

    def guided(guide: torch.Tensor, *rest: object, **more: object) -> torch.Tensor:
        heights.append(guide.shape[2])
        return filter_of_kornia(guide, *rest, **more)

    monkeypatch.setattr(layers, "guided_blur", guided)
    for got, expected in zip((smoothed(x, 0.02), without_chroma_grain(x, 0.3)), whole[:2], strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)
    assert calm_variance(x) == pytest.approx(whole[2], rel=1e-5)
    assert len(heights) == 5 and max(heights) == 6 * CHROMA_REACH
