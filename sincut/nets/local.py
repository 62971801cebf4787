"""Local operations on whole pictures, in bounded memory, and a few functions of tensors that the filters share.

An operation is local if an output pixel depends only on input pixels within a `reach` in px. Tensors are (N, C, H, W).
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor

BAND = 4_000_000  # pixels that are filtered at once
SMALL_BAND = 1_000_000  # the same where memory is scarce
SAMPLED = 1_000_000  # values of which quantiles are taken, about


_PIXELS = ContextVar("pixels", default=0)  # filtered at once; 0: `BAND`


def without_border(x: Tensor, places: int) -> Tensor:
    """A view of (N, C, H, W), cropped by this many places on every side."""
    h, w = x.shape[2:]
    return x[:, :, places : h - places, places : w - places]


def blurred(x: Tensor, sigma: float) -> Tensor:
    """(N, C, H, W) blurred by a Gaussian of `sigma` px; borders are continued by their last pixel."""
    size = 2 * math.ceil(3 * sigma) + 1
    return gaussian_blur2d(x, (size, size), (sigma, sigma), border_type="replicate")


def sampled_quantiles(x: Tensor, at: tuple[float, ...]) -> Tensor:
    """Quantiles (len(at),) of x at the shares `at`, in 0..1; of more than a million values, an even sample is taken."""
    values = x.flatten()
    return torch.quantile(values[:: 1 + len(values) // SAMPLED], torch.tensor(at, device=x.device))


def precise(x: Tensor) -> Tensor:
    """x in float32 at least: half precisions become float32, float64 stays."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def precisely(local: Callable[[Tensor], Tensor], x: Tensor, reach: int) -> Tensor:
    """`in_bands` in float32 at least, also under autocast: a variance is a small difference of large numbers."""
    with torch.autocast(x.device.type, enabled=False):
        return in_bands(local, precise(x), reach)


def in_bands(local: Callable[[Tensor], Tensor], x: Tensor, reach: int) -> Tensor:
    """The operation `local`, of this reach in px, applied band by band to a large (N, C, H, W) to bound its memory.

    `local` keeps height and width, or reduces the width to 1; the result does not depend on the bands. These begin at
    multiples of 4 rows, if `reach` is one, so that G, which has a stride of 2 or 4, may be `local`.
    """
    h, w = x.shape[2:]
    rows = max(4 * reach, (_PIXELS.get() or BAND) // w // 4 * 4)
    if torch.compiler.is_compiling() or h <= rows:
        return local(x)
    bands = []
    for top in range(0, h, rows):
        first, bottom = max(0, top - reach), min(h, top + rows)
        bands.append(local(x[:, :, first : bottom + reach])[:, :, top - first : bottom - first])
    return torch.cat(bands, dim=2)


@contextmanager
def bands_of(pixels: int) -> Iterator[None]:
    """A block in which `in_bands` works on so many pixels at once, in this thread or task; 0 stands for `BAND`."""
    before = _PIXELS.set(pixels)
    try:
        yield
    finally:
        _PIXELS.reset(before)


def symmetric_power(matrix: Tensor, exponent: float) -> Tensor:
    """A power of a symmetric positive semidefinite matrix (F, F); definite, if the exponent is negative."""
    values, vectors = torch.linalg.eigh(matrix)
    least = 0.0 if exponent > 0 else 1e-12  # rounding makes small ones negative
    powered: Tensor = (vectors * values.clamp(min=least) ** exponent) @ vectors.T
    return powered
