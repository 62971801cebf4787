"""Sets of pictures measured as one: means, variances and quantiles over all of them, each weighing its share.

Whatever measures a picture for a filter, D or the guide takes a picture (N, C, H, W) or a `Pool` of several. A pool of
one gives the very numbers of its picture.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sincut.nets.local import SAMPLED, sampled_quantiles


@dataclass(frozen=True, eq=False)
class Pool:
    """Pictures (1, C, H, W) of any sizes, and the share of each in what is measured of all. Shares sum to 1."""

    pictures: tuple[Tensor, ...]
    shares: tuple[float, ...]

    @classmethod
    def of(cls, pictures: "Tensor | Pool") -> "Pool":
        """The pool itself, or the pool of one picture (N, C, H, W)."""
        return pictures if isinstance(pictures, Pool) else cls((pictures,), (1.0,))

    @classmethod
    def weighted(cls, pictures: Sequence[Tensor], weights: Sequence[float]) -> "Pool":
        """A pool with shares in proportion to positive weights."""
        return cls(tuple(pictures), tuple(weight / sum(weights) for weight in weights))

    def map(self, change: Callable[[Tensor], Tensor]) -> "Pool":
        """The pool of the changed pictures, with the same shares."""
        return Pool(tuple(map(change, self.pictures)), self.shares)

    def mean(self, measure: Callable[[Tensor], Tensor]) -> Tensor:
        """The mean of what is measured of each picture, weighted by the shares; of the shape of one measurement."""
        first, *rest = (share * measure(x) for share, x in zip(self.shares, self.pictures, strict=True))
        for other in rest:
            first = first + other
        return first

    def width(self) -> float:
        """Mean width in px."""
        return float(sum(share * x.shape[3] for share, x in zip(self.shares, self.pictures, strict=True)))

    def variance(self) -> Tensor:
        """Variance (C,) of each channel over all pixels: within the pictures, and between their means."""
        mean = self.mean(_channel_means)
        return self.mean(lambda x: x.var((0, 2, 3)) + (_channel_means(x) - mean).square())

    def deviation(self) -> Tensor:
        """Standard deviation (C,) of each channel over all pixels."""
        return self.pictures[0].std((0, 2, 3)) if len(self.pictures) == 1 else self.variance().sqrt()

    def covariance(self) -> tuple[Tensor, Tensor]:
        """Mean (C,) and covariance (C, C) over all pixels, in float64 on the CPU."""
        mean = self.mean(lambda x: _rows(x).mean(1))

        def spread(x: Tensor) -> Tensor:
            rows = _rows(x)
            apart = rows.mean(1) - mean
            return torch.cov(rows) + torch.outer(apart, apart)

        return mean, self.mean(spread)

    def quantiles(self, at: tuple[float, ...]) -> Tensor:
        """Quantiles (len(at),) over all values, at shares in 0..1; an even sample is taken of very many."""
        if len(self.pictures) == 1:
            return sampled_quantiles(self.pictures[0], at)
        most = SAMPLED // len(self.pictures)
        samples = [x.flatten()[:: 1 + x.numel() // most] for x in self.pictures]
        weights = [x.new_full(x.shape, share / len(x)) for share, x in zip(self.shares, samples, strict=True)]
        values, order = torch.cat(samples).sort()
        reached = torch.cat(weights)[order].cpu().double().cumsum(0)  # on the CPU, since MPS has no float64
        places = torch.searchsorted(reached, torch.tensor(at, dtype=reached.dtype)).clamp(max=len(values) - 1)
        return values[places.to(values.device)]


def _channel_means(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (C,)."""
    return x.mean((0, 2, 3))


def _rows(x: Tensor) -> Tensor:
    """(1, C, H, W) -> (C, H*W), in float64 on the CPU."""
    return x[0].cpu().double().flatten(1)
