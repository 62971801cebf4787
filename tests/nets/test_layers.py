"""Layers of the networks for sets of pictures, against torch's own and against plain sums."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from sincut.nets import layers


@pytest.mark.parametrize("count", [1, 3])
def test_each_picture_is_normalised_by_itself(count: int) -> None:
    x = torch.randn(count, 5, 9, 7, dtype=torch.float64, requires_grad=True) * 3 + 2
    torch.testing.assert_close(layers.normalised(x), F.instance_norm(x))
    assert torch.equal(layers.normalised(torch.ones(count, 2, 1, 1)), torch.zeros(count, 2, 1, 1))


def test_half_precision_stays_and_is_near() -> None:
    x = torch.randn(1, 4, 32, 32).bfloat16()
    out = layers.normalised(x)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), F.instance_norm(x.float()), atol=0.02, rtol=0.01)


@pytest.mark.parametrize("size", [(8, 6), (7, 9), (1, 4)])
def test_a_blur_comes_before_every_second_place(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size)
    padded, taps = torch.from_numpy(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")), (0.25, 0.5, 0.25)
    want = torch.zeros(2, 3, -(-size[0] // 2), -(-size[1] // 2))
    for row in range(want.shape[2]):
        for column in range(want.shape[3]):
            for i, down in enumerate(taps):
                for j, across in enumerate(taps):
                    want[:, :, row, column] += down * across * padded[:, :, 2 * row + i, 2 * column + j]
    torch.testing.assert_close(layers.BlurPool()(x), want)


@pytest.mark.parametrize("size", [(4, 5), (2, 1), (3, 9)])
def test_a_short_side_is_reflected_more_than_once(size: tuple[int, int]) -> None:
    x = torch.randn(1, 2, *size)
    want = np.pad(x, ((0, 0), (0, 0), (3, 3), (3, 3)), mode="reflect")
    assert torch.equal(layers.reflected(x, 3), torch.from_numpy(want))


def test_steps_up_are_a_transposed_convolution_with_the_binomial_filter() -> None:
    x, taps = torch.randn(2, 3, 5, 7), torch.tensor([1.0, 3.0, 3.0, 1.0])
    kernel = (torch.outer(taps, taps) / 16).expand(3, 1, 4, 4)
    spread = F.conv_transpose2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, stride=2, groups=3)
    torch.testing.assert_close(layers.enlarged(x), spread[:, :, 3:-3, 3:-3])


def test_first_weights_are_small_and_biases_zero() -> None:
    convolution, linear = layers.Conv2d(40, 60, 3), layers.Linear(300, 500)
    assert not convolution.bias.any() and not linear.bias.any()  # type: ignore[union-attr]
    assert convolution.weight.std().item() == pytest.approx(0.02 * (2 / (9 * (40 + 60))) ** 0.5, rel=0.05)
    assert linear.weight.std().item() == pytest.approx(0.02 * (2 / (300 + 500)) ** 0.5, rel=0.05)
