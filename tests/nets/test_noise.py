"""Noise goes by position and is standard normal."""

import numpy as np
import torch

from sincut.nets.noise import _mix, _uniform_by_torch, noise_at, uniform_at


def test_noise_is_standard_normal_and_goes_by_position() -> None:
    noise = noise_at(torch.arange(-50, 350), torch.arange(400))
    assert noise.shape == (1, 1, 400, 400)
    assert abs(noise.mean()) < 0.01 and abs(noise.std() - 1) < 0.01
    assert abs((noise**4).mean() - 3) < 0.1
    for axis in (2, 3):
        neighbours = (noise * noise.roll(1, axis)).mean()
        assert abs(neighbours) < 0.01
    part = noise_at(torch.arange(10, 20), torch.arange(100, 130))
    assert torch.equal(part, noise[:, :, 60:70, 100:130])
    assert not torch.equal(
        noise_at(torch.arange(5), torch.arange(5)), noise_at(torch.arange(5), torch.arange(5), seed=1)
    )


def test_the_hash_is_lowbias32() -> None:
    def plain(x: int) -> int:
        x ^= x >> 16
        x = x * 0x7FEB352D % 2**32
        x ^= x >> 15
        x = x * 0x846CA68B % 2**32
        return x ^ x >> 16

    values = [0, 1, 2, 12345, 2**31, 2**32 - 1]
    assert _mix(np.array(values, np.uint32)).tolist() == [plain(value) for value in values]


def test_other_devices_have_the_same_hash() -> None:
    rows, columns = torch.arange(-300, 300)[:, None], torch.tensor([-(2**20), -1, 0, 1, 77, 2**31 - 1, 2**40])
    for seed in (0, 1, 7, 2**31):
        assert torch.equal(_uniform_by_torch(rows, columns, seed), uniform_at(rows, columns, seed))
