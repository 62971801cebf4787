"""Local operations on whole pictures in bounded memory: a pixel of the result depends on pixels within a `reach`.

Tensors are (N, C, H, W).
"""

import math
from collections.abc import Callable

import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor

BAND = 4_000_000  # pixels filtered at once


def without_border(x: Tensor, places: int) -> Tensor:
    """(N, C, H, W) without the outer places on every side, as a view."""
    h, w = x.shape[2:]
    return x[:, :, places : h - places, places : w - places]


def blurred(x: Tensor, sigma: float) -> Tensor:
    """(N, C, H, W) by a Gaussian of `sigma` px; borders are continued by their last pixel."""
    size = 2 * math.ceil(3 * sigma) + 1
    return gaussian_blur2d(x, (size, size), (sigma, sigma), border_type="replicate")


def sampled_quantiles(x: Tensor, at: tuple[float, ...]) -> Tensor:
    """Quantiles (len(at),) of all of x, or of at most a million evenly spread values of it."""
    values = x.flatten()
    return torch.quantile(values[:: 1 + len(values) // 1_000_000], torch.tensor(at, device=x.device))


def precise(x: Tensor) -> Tensor:
    """The values in float32 at least: float64 stays as it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def precisely(local: Callable[[Tensor], Tensor], x: Tensor, reach: int) -> Tensor:
    """A filter in float32 at least: a variance is a small difference of large numbers."""
    with torch.autocast(x.device.type, enabled=False):
        return in_bands(local, precise(x), reach)


def in_bands(local: Callable[[Tensor], Tensor], x: Tensor, reach: int) -> Tensor:
    """A filter that sees `reach` pixels, band by band of a large (N, C, H, W), so that its own memory is bounded."""
    h, w = x.shape[2:]
    rows = max(4 * reach, BAND // w)
    if torch.compiler.is_compiling() or h <= rows:
        return local(x)
    bands = []
    for top in range(0, h, rows):
        first, bottom = max(0, top - reach), min(h, top + rows)
        bands.append(local(x[:, :, first : bottom + reach])[:, :, top - first : bottom - first])
    return torch.cat(bands, dim=2)


def symmetric_power(matrix: Tensor, exponent: float) -> Tensor:
    """A symmetric matrix (F, F) without negative eigenvalues to a real power; for one below 0 they are above 0."""
    values, vectors = torch.linalg.eigh(matrix)
    least = 0.0 if exponent > 0 else 1e-12  # rounding makes small ones negative
    powered: Tensor = (vectors * values.clamp(min=least) ** exponent) @ vectors.T
    return powered
