"""The closed-form part of a translation: brush strokes smoothed away, then an affine map of colours to the photo's.

What a painting's even parts have of texture is its strokes and its canvas; left in, the network would keep it.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

SMOOTH_WINDOW = 11  # px
SMOOTH_REACH = 2 * (SMOOTH_WINDOW // 2)  # px


@dataclass(frozen=True)
class ColourMap:
    """An affine map of colours, `matrix @ rgb + offset`, with RGB in [-1, 1]; see `colour_transport`."""

    matrix: Tensor  # (3, 3)
    offset: Tensor  # (3,)

    def __call__(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> the same with mapped colours, not clipped."""
        mapped = torch.einsum("oc,nchw->nohw", self.matrix.to(image), image)
        return mapped + self.offset.to(image)[:, None, None]

    @classmethod
    def identity(cls) -> "ColourMap":
        return cls(torch.eye(3), torch.zeros(3))


def colour_transport(painting: Tensor, photo: Tensor) -> ColourMap:
    """The optimal transport between the two pictures' colour Gaussians: mean b, covariance Cb from a, Ca.

    `A = Ca^-1/2 (Ca^1/2 Cb Ca^1/2)^1/2 Ca^-1/2` (Pitie and Kokaram 2007, "The linear Monge-Kantorovitch linear colour
    mapping"). Pictures are (1, 3, H, W) in [-1, 1]. A small variance is added to both, so that a painting without
    colours does not have its grain turned into them.
    """
    noise = 1e-3 * torch.eye(3, dtype=torch.float64)
    rows = [picture[0].cpu().double().flatten(1) for picture in (painting, photo)]  # (3, H*W)
    (mean_a, cov_a), (mean_b, cov_b) = ((r.mean(1), torch.cov(r) + noise) for r in rows)
    root = _power(cov_a, 0.5)
    inverse = _power(cov_a, -0.5)
    matrix = inverse @ _power(root @ cov_b @ root, 0.5) @ inverse
    return ColourMap(matrix.float(), (mean_b - matrix @ mean_a).float())


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """A symmetric positive definite (3, 3) matrix to a real power."""
    values, vectors = torch.linalg.eigh(matrix)
    powered: Tensor = (vectors * values.clamp(min=1e-12) ** exponent) @ vectors.T
    return powered


def calm_variance(x: Tensor) -> float:
    """The lower quartile of the variance around the pixels of (1, C, H, W): the texture of a picture's even parts."""
    mean, square = _window_means(x.float(), x.float().square())
    spread = (square - mean.square()).clamp(min=0).mean(1).flatten()
    return float(torch.quantile(spread[:: 1 + len(spread) // 1_000_000], 0.25))


def smoothed(x: Tensor, variance: Tensor | float) -> Tensor:
    """(N, C, H, W) -> the same in float32 at least, each channel smoothed where its local variance is below `variance`.

    The guided filter with the channel as its own guide (He, Sun, Tang 2010, "Guided image filtering"): brush strokes
    and grain go, edges stay. A pixel sees `SMOOTH_REACH` pixels to any side; borders are continued by their last pixel.
    """
    with torch.autocast(x.device.type, enabled=False):  # a variance is a small difference of large numbers
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        mean, square = _window_means(x, x.square())
        spread = (square - mean.square()).clamp(min=0)
        keep = spread / (spread + variance + 1e-8)
        slope, offset = _window_means(keep, mean * (1 - keep))
        return torch.addcmul(offset, slope, x)


def _window_means(*maps: Tensor) -> tuple[Tensor, ...]:
    """Of each (N, C, H, W) the mean of the square of `SMOOTH_WINDOW` around each pixel."""
    x = F.pad(torch.cat(maps, dim=1), (SMOOTH_WINDOW // 2,) * 4, mode="replicate")
    x = x.contiguous(memory_format=torch.channels_last)  # a depthwise convolution is fastest so
    row = x.new_full((x.shape[1], 1, 1, SMOOTH_WINDOW), 1 / SMOOTH_WINDOW)
    x = F.conv2d(F.conv2d(x, row, groups=len(row)), row.transpose(2, 3), groups=len(row))
    return x.chunk(len(maps), dim=1)
