"""Filters before and after G (ours): closed-form maps of pictures, used alike in training and translating.

A filter has a `kind`, its name in model files; a `reach`, the distance in px within which input pixels influence an
output pixel; and tensors, which a model file holds. A translator's halo is the sum of the reaches of its filters and of
G's own. `register` makes a kind known to model files. Shipped are the two edge-preserving filters here, the colour map
(`colour.py`) and the balance (`balance.py`).

Pictures are (N, 3, H, W), inputs and outputs about [-1, 1] and not clipped.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import torch
import torch.nn.functional as F
from kornia.color import rgb_to_grayscale
from kornia.filters import guided_blur
from torch import Tensor

from sincut.nets.local import in_bands, precisely
from sincut.nets.pooled import Pool

SMOOTH_WINDOW = 11  # px: side of the guided filter's windows
SMOOTH_REACH = 2 * (SMOOTH_WINDOW // 2)  # px: two means over such windows, one after the other
CHROMA_WINDOW = 9  # px
CHROMA_REACH = 2 * (CHROMA_WINDOW // 2)  # px
CHROMA_VARIANCE = 0.004  # epsilon of the guided filter: a luma of less variance has no edge for colour to follow


class Filter(Protocol):
    """A closed-form map of pictures with its receptive radius and its tensors."""

    kind: ClassVar[str]  # the name of its class in model files

    @property
    def reach(self) -> int:
        """Distance in px within which input pixels influence an output pixel; a multiple of G's stride, 2."""

    def __call__(self, image: Tensor) -> Tensor:
        """The filtered picture: (N, 3, H, W) -> (N, 3, H, W)."""

    def tensors(self) -> dict[str, Tensor]:
        """The filter's parameters by their names in a model file."""

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The filter with these parameters; tensors of other names are ignored. Raises KeyError or ValueError."""


FILTERS: dict[str, type[Filter]] = {}  # registered classes by kind


def register(filter_: type[Filter]) -> type[Filter]:
    """Class decorator that makes a kind of filter known to model files. Raises ValueError if the kind is taken."""
    if FILTERS.setdefault(filter_.kind, filter_) is not filter_:
        raise ValueError(f"there is a filter {filter_.kind!r} already; give this one another kind")
    return filter_


def tensors_of(filters: Sequence[Filter]) -> dict[str, Tensor]:
    """All tensors of a model's filters, by their names in its file. Raises ValueError if two kinds share a name."""
    tensors: dict[str, Tensor] = {}
    for prefix, filter_ in zip(_prefixes(f.kind for f in filters), filters, strict=True):
        own = {f"{prefix}{name}": value for name, value in filter_.tensors().items()}
        if shared := sorted(own.keys() & tensors.keys()):
            raise ValueError(f"the filter {filter_.kind!r} and another one both have a tensor {shared[0]!r}")
        tensors |= own
    return tensors


def filters_of(kinds: Sequence[str], tensors: Mapping[str, Tensor]) -> tuple[Filter, ...]:
    """All of a model's filters, the inverse of `tensors_of`, from their kinds in order.

    Raises ValueError for a kind that is not registered, KeyError or ValueError for tensors that do not fit.
    """
    unknown = [kind for kind in kinds if kind not in FILTERS]
    if unknown:
        raise ValueError(f"its filter {unknown[0]!r} is not known; import what registers it, or update sincut")
    named: dict[str, dict[str, Tensor]] = {"": dict(tensors)}  # by prefix
    for name, value in tensors.items():
        number, dot, rest = name.partition(".")
        if number.isdigit():
            named.setdefault(f"{number}{dot}", {})[rest] = value
    return tuple(FILTERS[kind].of_tensors(named.get(p, {})) for p, kind in zip(_prefixes(kinds), kinds, strict=True))


def _prefixes(kinds: Iterable[str]) -> list[str]:
    """Prefixes of the names of each filter's tensors: none for the first filter of its kind, then "1.", "2.", ..."""
    before: Counter[str] = Counter()
    prefixes = []
    for kind in kinds:
        prefixes.append(f"{before[kind]}." if before[kind] else "")
        before[kind] += 1
    return prefixes


@register
@dataclass(frozen=True)
class Smoothing:
    """The edge-preserving filter `smoothed`, which takes strokes from the source. A `variance` of 0 changes nothing."""

    kind: ClassVar[str] = "smoothing"
    variance: float  # local variance, of values in [-1, 1], at which half of a channel's variation is kept

    @property
    def reach(self) -> int:
        """`SMOOTH_REACH` px, or 0 if the filter changes nothing."""
        return SMOOTH_REACH if self.variance else 0

    def __call__(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> the same, smoothed, in float32 at least."""
        return smoothed(image, self.variance) if self.variance else image

    def tensors(self) -> dict[str, Tensor]:
        """The variance, (), as `colour.texture`."""
        return {"colour.texture": torch.tensor(self.variance, dtype=torch.float64)}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The filter whose variance is `colour.texture`. Raises KeyError."""
        return cls(float(tensors["colour.texture"]))


@register
@dataclass(frozen=True)
class ChromaGrain:
    """The filter `without_chroma_grain`, which keeps a share of the grain's amplitude, in 0..1. 1 changes nothing."""

    kind: ClassVar[str] = "chroma_grain"
    kept: float  # share of the amplitude, in 0..1

    @property
    def reach(self) -> int:
        """`CHROMA_REACH` px, or 0 if the filter changes nothing."""
        return CHROMA_REACH if self.kept < 1 else 0

    def __call__(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) -> the same with less chroma grain, in float32 at least."""
        return without_chroma_grain(image, self.kept) if self.kept < 1 else image

    def tensors(self) -> dict[str, Tensor]:
        """The share that is kept, (), as `colour.grain`."""
        return {"colour.grain": torch.tensor(self.kept, dtype=torch.float64)}

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """The filter that keeps the share `colour.grain`. Raises KeyError."""
        return cls(float(tensors["colour.grain"]))


def calm_variance(x: Tensor | Pool) -> float:
    """Texture of the even parts of a picture (1, C, H, W) or a set: the lower quartile of its local variances.

    A local variance is that within `SMOOTH_WINDOW` px around a pixel, the mean over the channels.
    """

    def spread(x: Tensor) -> Tensor:
        mean, square = _window_means(x, x.square())
        return (square - mean.square()).clamp(min=0).mean(1, keepdim=True)

    return float(Pool.of(x).map(lambda x: in_bands(spread, x.float(), SMOOTH_REACH)).quantiles((0.25,)))


def smoothed(x: Tensor, variance: Tensor | float) -> Tensor:
    """Edge-preserving smoothing: (N, C, H, W) -> the same in float32 at least.

    The guided filter with each channel as its own guide and `variance` as its epsilon (He, Sun, Tang 2010, "Guided
    image filtering"): variation well below that local variance goes, such as strokes and grain; edges well above it
    stay. A pixel depends on `SMOOTH_REACH` px to any side; borders are continued by their last pixel. By hand, since
    kornia's `guided_blur` has one guide for all channels, and is slower.
    """

    def smooth(x: Tensor) -> Tensor:
        mean, square = _window_means(x, x.square())
        spread = (square - mean.square()).clamp(min=0)
        keep = spread / (spread + variance + 1e-8)
        slope, offset = _window_means(keep, mean * (1 - keep))
        return torch.addcmul(offset, slope, x)

    return precisely(smooth, x, SMOOTH_REACH)


def chroma_grain(x: Tensor | Pool) -> float:
    """Energy of the chroma grain of (1, 3, H, W) or a set: mean square of all that `without_chroma_grain` removes."""
    return float(Pool.of(x).mean(lambda x: (x - without_chroma_grain(x, 0.0)).square().mean()))


def without_chroma_grain(x: Tensor, kept: float) -> Tensor:
    """(N, 3, H, W) -> the same in float32 at least, with a share `kept`, in 0..1, of its chroma grain's amplitude.

    Chroma grain is fine colour that the luma Y does not show: the part of R - Y, G - Y and B - Y that a guided filter
    with Y as the guide removes (He, Sun, Tang 2010, section 3). Edges of colour stay where Y has one, and Y stays as it
    is. A pixel depends on `CHROMA_REACH` px to any side; borders are continued by their last pixel.
    """

    def take(x: Tensor) -> Tensor:
        luma = rgb_to_grayscale(x)
        chroma = x - luma
        size = (CHROMA_WINDOW, CHROMA_WINDOW)
        edges = guided_blur(luma, chroma, size, CHROMA_VARIANCE, border_type="replicate")
        return luma + torch.lerp(edges, chroma, kept)

    return precisely(take, x, CHROMA_REACH)


def _window_means(*maps: Tensor) -> tuple[Tensor, ...]:
    """Box means of maps (N, C, H, W): at each pixel, over the `SMOOTH_WINDOW` x `SMOOTH_WINDOW` px around it."""
    x = F.pad(torch.cat(maps, dim=1), (SMOOTH_WINDOW // 2,) * 4, mode="replicate")
    x = x.contiguous(memory_format=torch.channels_last)  # the fastest memory format for depthwise convolutions
    row = x.new_full((x.shape[1], 1, 1, SMOOTH_WINDOW), 1 / SMOOTH_WINDOW)
    x = F.conv2d(F.conv2d(x, row, groups=len(row)), row.transpose(2, 3), groups=len(row))
    return x.chunk(len(maps), dim=1)
