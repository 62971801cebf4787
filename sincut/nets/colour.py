"""The closed-form part of a translation: an affine map of colours from the painting's to the photo's."""

from dataclasses import dataclass

import torch
from torch import Tensor


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
