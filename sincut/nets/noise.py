"""Noise that depends on absolute positions alone, so that a tile gets the noise of the whole picture at its place.

A counter-based generator: a position is hashed, the hash is the random number. The hash is written in arithmetic modulo
2**32, so it gives the same bits on every machine: by numpy on a CPU, and in torch's 64-bit integers, which are slower
there, on other devices and in an ONNX file.
"""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# Odd multipliers. Rows and seed: the primes 1 and 4 of xxHash32 (its specification, section "Overview",
# https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md). Columns: the first of MurmurHash3's finaliser
# (fmix32 in https://github.com/aappleby/smhasher/blob/master/src/MurmurHash3.cpp).
ROWS = 0x9E3779B1
SEED = 0x27D4EB2F
COLUMNS = 0x85EBCA6B
MASK = 0xFFFFFFFF  # of 32 bits
LEAST, MOST = 2**-33, 1 - 2**-24  # of uniform numbers


def noise_device(device: torch.device) -> torch.device:
    """Where noise for this device is made: on CUDA there, else on the CPU; MPS lacks what it takes."""
    return device if device.type == "cuda" else torch.device("cpu")


def noise_at(rows: Tensor, columns: Tensor, seed: int = 0) -> Tensor:
    """Standard normal noise (1, 1, H, W) at absolute positions (H,), (W,), which may be negative.

    From two hashes of the position by the transform of Box and Muller (1958, "A note on the generation of random normal
    deviates"). It is on the device of the positions.
    """
    first, second = (uniform_at(rows[:, None], columns, 2 * seed + part) for part in range(2))
    if _by_numpy(rows):
        noise = np.sqrt(-2 * np.log(first.numpy())) * np.cos(np.float32(2 * math.pi) * second.numpy())
        return torch.from_numpy(noise)[None, None]
    return (torch.sqrt(-2 * torch.log(first)) * torch.cos(2 * math.pi * second))[None, None]


def uniform_at(rows: Tensor, columns: Tensor, seed: int) -> Tensor:
    """Uniform float32 in (0, 1): a hash of the seed and of integer positions, whose shapes are broadcast."""
    if not _by_numpy(rows):
        return _uniform_by_torch(rows, columns, seed)
    y, x = (positions.numpy().astype(np.uint32) for positions in (rows, columns))  # arithmetic modulo 2**32
    down = _mix(y * np.uint32(ROWS) + np.uint32(seed * SEED & MASK))
    bits = _mix(_mix(down ^ (x * np.uint32(COLUMNS))))
    return torch.from_numpy(((bits + 0.5) / 2**32).astype(np.float32).clip(LEAST, MOST))


def _mix(x: NDArray[Any]) -> NDArray[Any]:
    """A bijection of 32-bit integers that changes about half of the bits for any change of one.

    It is lowbias32 of Chris Wellons, "Prospecting for Hash Functions" (https://nullprogram.com/blog/2018/07/31/), found
    by search for the lowest bias between input and output bits.
    """
    x = (x ^ (x >> 16)) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * np.uint32(0x846CA68B)
    x ^= x >> 16
    return x


def _by_numpy(positions: Tensor) -> bool:
    """True if hashes are computed by numpy; an ONNX file, for which torch traces them, cannot call it."""
    return positions.device.type == "cpu" and not torch.compiler.is_compiling()


def _uniform_by_torch(rows: Tensor, columns: Tensor, seed: int) -> Tensor:
    down = _mix_by_torch((rows * ROWS + (seed * SEED & MASK)) & MASK)
    bits = _mix_by_torch(_mix_by_torch(down ^ (columns * COLUMNS & MASK)))
    return ((bits.double() + 0.5) / 2**32).float().clamp(LEAST, MOST)


def _mix_by_torch(x: Tensor) -> Tensor:
    """`_mix` in 64 bits; the upper ones of products may overflow, and are cut off."""
    x = ((x ^ (x // 2**16)) * 0x7FEB352D) & MASK
    x = ((x ^ (x // 2**15)) * 0x846CA68B) & MASK
    return x ^ (x // 2**16)
