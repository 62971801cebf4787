"""Filters before and after G: closed-form maps of pictures, the same objects in training, model file and translation.

A filter has a `kind`, by which a model file names it, a `reach` in px, within which input pixels influence an output
pixel, and tensors, by their names in the file. A translator's halo is the sum of the reaches of its filters and of G's
own. `register` makes a kind known to model files; the shipped ones are the two edge-preserving filters here, the colour
map (`nets/colour.py`) and the balance (`nets/balance.py`).

Pictures are (N, 3, H, W) in [-1, 1], not clipped.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import torch
import torch.nn.functional as F
from kornia.color import rgb_to_grayscale
from kornia.filters import guided_blur
from torch import Tensor

from sincut.nets.local import in_bands, precisely, sampled_quantiles

SMOOTH_WINDOW = 11  # px
SMOOTH_REACH = 2 * (SMOOTH_WINDOW // 2)  # px
CHROMA_WINDOW = 9  # px
CHROMA_REACH = 2 * (CHROMA_WINDOW // 2)  # px
CHROMA_VARIANCE = 0.004  # of lightness: where it varies less than that, colour has no edge to follow


class Filter(Protocol):
    """A map of pictures that needs no training, with what tiles and model files have to know of it."""

    kind: ClassVar[str]  # its name in model files

    @property
    def reach(self) -> int:
        """Distance in px within which input pixels influence an output pixel; even, as G's stride is."""

    def __call__(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H, W)."""

    def tensors(self) -> dict[str, Tensor]:
        """Everything that the filter consists of, by its names in a model file."""

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The inverse of `tensors`; others are ignored. Raises KeyError or ValueError where they do not fit."""


FILTERS: dict[str, type[Filter]] = {}  # by kind


def register(filter_: type[Filter]) -> type[Filter]:
    """Make a kind of filter known to model files; a class decorator. Raises ValueError where the kind is taken."""
    if FILTERS.setdefault(filter_.kind, filter_) is not filter_:
        raise ValueError(f"there is a filter {filter_.kind!r} already; give this one another kind")
    return filter_


def filters_of(kinds: list[str], tensors: Mapping[str, Tensor]) -> tuple[Filter, ...]:
    """Filters of these kinds, in this order, from the tensors of a model file. Raises KeyError or ValueError."""
    unknown = [kind for kind in kinds if kind not in FILTERS]
    if unknown:
        raise ValueError(f"its filter {unknown[0]!r} is not known; import what registers it, or update sincut")
    return tuple(FILTERS[kind].of_tensors(tensors) for kind in kinds)


@register
@dataclass(frozen=True)
class Smoothing:
    """`smoothed` with a fixed strength: removes brush strokes from the source. A `variance` of 0 changes nothing."""

    kind: ClassVar[str] = "smoothing"
    variance: float

    @property
    def reach(self) -> int:
        return SMOOTH_REACH if self.variance else 0

    def __call__(self, image: Tensor) -> Tensor:
        return smoothed(image, self.variance) if self.variance else image

    def tensors(self) -> dict[str, Tensor]:
        return {"colour.texture": torch.tensor(self.variance, dtype=torch.float64)}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        return cls(float(tensors["colour.texture"]))


@register
@dataclass(frozen=True)
class ChromaGrain:
    """`without_chroma_grain` with a fixed share `kept`, in 0..1, of the grain's amplitude. 1 changes nothing."""

    kind: ClassVar[str] = "chroma_grain"
    kept: float

    @property
    def reach(self) -> int:
        return CHROMA_REACH if self.kept < 1 else 0

    def __call__(self, image: Tensor) -> Tensor:
        return without_chroma_grain(image, self.kept) if self.kept < 1 else image

    def tensors(self) -> dict[str, Tensor]:
        return {"colour.grain": torch.tensor(self.kept, dtype=torch.float64)}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        return cls(float(tensors["colour.grain"]))


def calm_variance(x: Tensor) -> float:
    """The lower quartile of the variance around the pixels of (1, C, H, W): the texture of a picture's even parts."""

    def spread(x: Tensor) -> Tensor:
        mean, square = _window_means(x, x.square())
        return (square - mean.square()).clamp(min=0).mean(1, keepdim=True)

    return float(sampled_quantiles(in_bands(spread, x.float(), SMOOTH_REACH), (0.25,)))


def smoothed(x: Tensor, variance: Tensor | float) -> Tensor:
    """(N, C, H, W) -> the same in float32 at least, each channel smoothed where its local variance is below `variance`.

    The guided filter with the channel as its own guide (He, Sun, Tang 2010, "Guided image filtering"): brush strokes
    and grain go, edges stay. A pixel sees `SMOOTH_REACH` pixels to any side; borders are continued by their last pixel.
    By hand, since kornia's `guided_blur` has one guide for all channels, and is slower.
    """

    def smooth(x: Tensor) -> Tensor:
        mean, square = _window_means(x, x.square())
        spread = (square - mean.square()).clamp(min=0)
        keep = spread / (spread + variance + 1e-8)
        slope, offset = _window_means(keep, mean * (1 - keep))
        return torch.addcmul(offset, slope, x)

    return precisely(smooth, x, SMOOTH_REACH)


def chroma_grain(x: Tensor) -> float:
    """The mean square of what `without_chroma_grain` can take from (1, 3, H, W): fine colour that the luma lacks."""
    return float((x - without_chroma_grain(x, 0.0)).square().mean())


def without_chroma_grain(x: Tensor, kept: float) -> Tensor:
    """(N, 3, H, W) -> the same in float32 at least, with only `kept`, in 0..1, of its chroma grain.

    That is what the guided filter takes from R - Y, G - Y and B - Y with the luma Y as their guide (He, Sun, Tang 2010,
    section 3): edges of colour stay where lightness has one, and Y stays as it is. A pixel sees `CHROMA_REACH` pixels
    to any side; borders are continued by their last pixel.
    """

    def take(x: Tensor) -> Tensor:
        luma = rgb_to_grayscale(x)
        chroma = x - luma
        size = (CHROMA_WINDOW, CHROMA_WINDOW)
        edges = guided_blur(luma, chroma, size, CHROMA_VARIANCE, border_type="replicate")
        return luma + torch.lerp(edges, chroma, kept)

    return precisely(take, x, CHROMA_REACH)


def _window_means(*maps: Tensor) -> tuple[Tensor, ...]:
    """Of each (N, C, H, W) the mean of the square of `SMOOTH_WINDOW` around each pixel."""
    x = F.pad(torch.cat(maps, dim=1), (SMOOTH_WINDOW // 2,) * 4, mode="replicate")
    x = x.contiguous(memory_format=torch.channels_last)  # a depthwise convolution is fastest so
    row = x.new_full((x.shape[1], 1, 1, SMOOTH_WINDOW), 1 / SMOOTH_WINDOW)
    x = F.conv2d(F.conv2d(x, row, groups=len(row)), row.transpose(2, 3), groups=len(row))
    return x.chunk(len(maps), dim=1)
