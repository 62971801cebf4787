"""The colour map, a filter before G: an affine map from the source's colours to the target's, by optimal transport."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from sincut.nets.filters import register
from sincut.nets.local import symmetric_power
from sincut.nets.pooled import Pool


@register
@dataclass(frozen=True, eq=False)
class ColourMap:
    """An affine map of colours, `matrix @ rgb + offset`, with RGB in [-1, 1]; see `colour_transport`.

    Raises ValueError for tensors of other shapes.
    """

    kind: ClassVar[str] = "colour_map"
    reach: ClassVar[int] = 0
    matrix: Tensor  # (3, 3)
    offset: Tensor  # (3,)

    def __call__(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> the same with mapped colours, not clipped."""
        mapped = torch.einsum("oc,nchw->nohw", self.matrix.to(image), image)
        return mapped + self.offset.to(image)[:, None, None]

    def __post_init__(self) -> None:
        if self.matrix.shape != (3, 3) or self.offset.shape != (3,):
            raise ValueError("the colour map has a wrong shape")

    def tensors(self) -> dict[str, Tensor]:
        """Matrix (3, 3) and offset (3,), as `colour.matrix` and `colour.offset`."""
        return {"colour.matrix": self.matrix, "colour.offset": self.offset}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The map of `colour.matrix` and `colour.offset`. Raises KeyError or ValueError."""
        return cls(tensors["colour.matrix"], tensors["colour.offset"])

    @classmethod
    def identity(cls) -> Self:
        """The map that changes nothing."""
        return cls(torch.eye(3), torch.zeros(3))


def colour_transport(source: Tensor | Pool, target: Tensor | Pool) -> ColourMap:
    """The optimal transport from the source's colour Gaussian to the target's, of pictures or of sets.

    Pictures are (1, 3, H, W) in [-1, 1]; the Gaussian of a set is that of all of its pixels, see `Pool.covariance`.

    With means a and b and covariances Ca and Cb of source and target it is rgb -> A (rgb - a) + b, where
    A = Ca^-1/2 (Ca^1/2 Cb Ca^1/2)^1/2 Ca^-1/2 (Pitie and Kokaram 2007, "The linear Monge-Kantorovitch linear colour
    mapping"). A small variance is added to both, lest the grain of a source without colours be turned into colours.
    """
    (mean_a, cov_a), (mean_b, cov_b) = _gaussian(source), _gaussian(target)
    root = symmetric_power(cov_a, 0.5)
    inverse = symmetric_power(cov_a, -0.5)
    matrix = inverse @ symmetric_power(root @ cov_b @ root, 0.5) @ inverse
    return ColourMap(matrix.float(), (mean_b - matrix @ mean_a).float())


def _gaussian(picture: Tensor | Pool) -> tuple[Tensor, Tensor]:
    """Mean (3,) and covariance (3, 3), a small variance added, of a picture's colours, in float64 on the CPU."""
    mean, covariance = Pool.of(picture).covariance()
    return mean, covariance + 1e-3 * torch.eye(3, dtype=torch.float64)
