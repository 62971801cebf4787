"""Pixels of 8 and 16 bits, and the numbers that networks see."""

import numpy as np
import torch

from sincut.pictures.picture import Picture, eight_bit, to_pixels, to_tensor


def test_deep_pixels_are_rounded_not_cut() -> None:
    values = np.array([0, 127, 128, 129, 385, 386, 65535], np.uint16)
    assert eight_bit(values).tolist() == [0, 0, 0, 1, 1, 2, 255]
    ramp = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16, 1).repeat(3, axis=2)
    assert np.array_equal(to_pixels(to_tensor(ramp), np.uint16), ramp)


def test_tensor_and_pixels_are_inverse() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    tensor = to_tensor(pixels)
    assert tensor.shape == (1, 3, 16, 16) and tensor.min() == -1 and tensor.max() == 1
    assert np.array_equal(to_pixels(tensor), pixels)
    assert (to_pixels(torch.full((1, 3, 1, 1), 7.0)) == 255).all()


def test_pictures_can_be_compared_and_counted() -> None:
    one, other = (Picture(np.zeros((2, 3, 3), np.uint8)) for _ in range(2))
    assert one == one and one != other and one in [other, one] and len({one, other, one}) == 2
