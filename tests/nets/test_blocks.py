"""Blocks against plain float64 formulas, and the reach of layers against gradients."""

import math
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from helpers import ROOT, gradient_of

from sincut.nets import blocks
from sincut.nets.blocks import Blur, EqualConv2d, EqualLinear, ResidualBlock, UpBlock, binomial


def plain_activation(x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return F.leaky_relu(x + bias[:, None, None], 0.2) * math.sqrt(2)


def plain_blur(x: torch.Tensor, pad: int, gain: float = 1.0) -> torch.Tensor:
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype)
    kernel = torch.outer(taps, taps) / 64 * gain
    planes = F.conv2d(F.pad(x, [pad] * 4).flatten(0, 1)[:, None], kernel[None, None])  # (N*C, 1, H', W')
    return planes.view(*x.shape[:2], *planes.shape[2:])


def bias_of(layer: EqualConv2d | EqualLinear) -> torch.Tensor:
    assert layer.bias is not None
    return layer.bias


def test_equal_conv_scales_by_fan_in_and_activates() -> None:
    layer = EqualConv2d(5, 7, 3, activation=True).double()
    torch.nn.init.normal_(bias_of(layer))
    x = torch.randn(2, 5, 9, 8, dtype=torch.float64)
    want = plain_activation(F.conv2d(x, layer.weight / math.sqrt(45), padding=1), bias_of(layer))
    torch.testing.assert_close(layer(x), want)


def test_equal_linear_scales_by_fan_in_and_activates() -> None:
    layer = EqualLinear(6, 3, activation=True).double()
    torch.nn.init.normal_(bias_of(layer))
    x = torch.randn(4, 6, dtype=torch.float64)
    want = F.leaky_relu(x @ layer.weight.T / math.sqrt(6) + bias_of(layer), 0.2) * math.sqrt(2)
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
    torch.nn.init.normal_(bias_of(block.conv1)), torch.nn.init.normal_(bias_of(block.conv2))
    x = torch.randn(2, 4, 6, 7, dtype=torch.float64)
    y = plain_activation(F.conv2d(x, block.conv1.weight / 6, padding=1), bias_of(block.conv1))
    y = plain_activation(F.conv2d(y, block.conv2.weight / 6, padding=1), bias_of(block.conv2))
    torch.testing.assert_close(block(x), (x + y) / math.sqrt(2))


def test_downsampling_block_is_the_formula() -> None:
    block = ResidualBlock(4, 6, down=True).double()
    x = torch.randn(2, 4, 8, 12, dtype=torch.float64)
    y = plain_activation(F.conv2d(x, block.conv1.weight / 6, padding=1), bias_of(block.conv1))
    y = plain_activation(F.conv2d(plain_blur(y, 2), block.conv2.weight / 6, stride=2), bias_of(block.conv2))
    assert block.skip is not None
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
        seen = gradient_of(x)[0].abs().sum((0, 1)).nonzero().flatten().tolist()
        assert (min(seen), max(seen)) == block.reach((position, position))


@pytest.mark.parametrize(("stride", "padded"), [(1, True), (1, False), (2, True)])
def test_without_gradients_the_convolution_is_the_same(
    stride: int, padded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = EqualConv2d(5, 7, 3, stride=stride, activation=True)
    bias_of(layer).data.normal_()
    x = torch.randn(2, 5, 20, 22).contiguous(memory_format=torch.channels_last)
    expected = layer(x, padded).detach()
    with torch.inference_mode():
        torch.testing.assert_close(layer(x, padded), expected)
        monkeypatch.setattr(blocks, "FUSED", None)  # a torch without it
        torch.testing.assert_close(layer(x, padded), expected)


def test_binomial_filters_have_their_sum() -> None:
    for taps in ((1.0, 3.0, 3.0, 1.0), (1.0, 2.0, 1.0)):
        plain = torch.outer(torch.tensor(taps), torch.tensor(taps))
        assert torch.equal(binomial(taps, 4.0), plain * 4 / plain.sum())


SHAPES = """
import sys
import torch
from sincut.config.networks import Networks
from sincut.nets.architectures import make_generator
for architecture in ("stylegan2", "pyramid", "resnet"):
    with torch.device("meta"):
        network = make_generator(Networks(architecture=architecture, noise="none"))
    assert all(weight.is_meta for weight in network.parameters())
print(sorted({"torch._dynamo", "sympy"} & set(sys.modules)))
"""


def test_shapes_alone_do_without_torch_s_compiler() -> None:
    """Each model that is loaded makes them, and torch takes a second to load its compiler."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", SHAPES], env=env, capture_output=True, text=True, timeout=120)
    assert done.stdout == "[]\n", done.stderr
