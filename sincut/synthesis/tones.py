"""The tones of one picture mapped to those of another."""

from dataclasses import dataclass

import torch
from torch import Tensor

from sincut.nets.local import sampled_quantiles
from sincut.synthesis.pyramid import luma

KNOTS = 33  # quantiles that are compared
LEAST = 1e-3  # of a step between two of them, in luma of [-1, 1]: even pictures are not torn apart
SHARE = 0.5  # of the way to the other tones: another picture may truly be darker or brighter
MOST = 0.06  # by which a tone is moved, in luma of [-1, 1]; further, and a sea would be drawn from the sky
STEEPEST = 4.0  # slope: noise of an even sky is not to become a pattern


@dataclass(frozen=True)
class Tones:
    """A rising, piecewise linear map of luma, as knots `before` and `after` (KNOTS,); colours move along with it."""

    before: Tensor
    after: Tensor

    @classmethod
    def between(cls, first: Tensor, second: Tensor) -> "Tones":
        """The map that brings the distribution of the lumas `first` nearer to that of `second`, by their quantiles."""
        at = tuple(n / (KNOTS - 1) for n in range(KNOTS))
        before, after = sampled_quantiles(first, at), sampled_quantiles(second, at)
        steps = before.diff().clamp(min=LEAST)
        rises = torch.minimum(after.diff(), STEEPEST * steps)
        middle = KNOTS // 2  # tones are kept there, where rises had to be limited
        before = before[0] + torch.cat([steps.new_zeros(1), steps.cumsum(0)])
        risen = torch.cat([rises.new_zeros(1), rises.cumsum(0)])
        moved = after[middle] + risen - risen[middle] - before
        return cls(before, before + (SHARE * moved).clamp(-MOST, MOST))

    def __call__(self, picture: Tensor) -> Tensor:
        """(1, 3, h, w) -> the same in the other tones, in [-1, 1]. Beyond the knots tones are moved as at the last."""
        y = luma(picture)
        upper = torch.searchsorted(self.before, y.contiguous()).clamp_(1, KNOTS - 1)
        low, high = self.before[upper - 1], self.before[upper]
        share = ((y - low) / (high - low)).clamp_(0, 1)
        mapped = torch.lerp(self.after[upper - 1], self.after[upper], share)
        return (picture + (mapped - torch.minimum(torch.maximum(y, self.before[0]), self.before[-1]))).clamp_(-1, 1)
