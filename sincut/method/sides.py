"""The two sides of a training: source and target as the networks see them, and what was measured of both.

The source x is the picture that G translates, the target y the one whose look it learns; by default the painting and
the photo, with `--reverse` the other way round. The source is prepared by the filters before G. Pictures that are
aligned to it, such as the coarse guide, are cut out at the same places. Pictures are (1, 3, H, W) in [-1, 1].
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from sincut.config.sections import Config, Crops, Networks
from sincut.method.crops import Outlines, random_crops, without_excess
from sincut.method.guide import ALIKE, coarse_guide, comparable_texture
from sincut.nets.balance import no_wider
from sincut.nets.colour import ColourMap, colour_transport
from sincut.nets.filters import ChromaGrain, Filter, Smoothing, calm_variance, chroma_grain

FAINT = 0.04  # of a picture's deviation: with less in its even parts, strokes or their absence escape D for long


@dataclass(frozen=True, eq=False)
class Prepared:
    """A picture of a side, and pictures aligned to it by name, in one tensor, so that they are cropped as one."""

    stack: Tensor  # (1, 3 * (1 + len(names)), H, W)
    names: tuple[str, ...] = ()
    outlines: Outlines | None = None  # where crops are drawn by them

    @property
    def image(self) -> Tensor:
        """(1, 3, H, W): the picture itself."""
        return self.stack[:, :3]


@dataclass(frozen=True, eq=False)
class Side:
    """The pictures of one side; with several, each step draws one."""

    pictures: tuple[Prepared, ...]

    def crops(self, settings: Crops, random: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """(N, 3, crop, crop) of one picture at random, and by name those of what is aligned to it."""
        several = len(self.pictures) > 1
        picture = self.pictures[int(torch.randint(len(self.pictures), (), generator=random)) if several else 0]
        crops = random_crops(picture.stack, settings, random, picture.outlines)
        x, *aligned = torch.split(crops.contiguous(memory_format=torch.channels_last), 3, dim=1)
        return x, dict(zip(picture.names, aligned, strict=True))


@dataclass(frozen=True)
class Diagnosis:
    """Measurements of source and target, and what follows from them for filters and networks (ours)."""

    source_texture: float  # calm variance, the texture of a picture's even parts, see `calm_variance`
    target_texture: float
    faint: bool  # True if the even parts of one of the two are as good as empty: a clear or a night sky

    @classmethod
    def of(cls, source: Tensor, target: Tensor) -> "Diagnosis":
        """Of two pictures (1, 3, H, W)."""
        textures = calm_variance(source), calm_variance(target)
        pairs = zip((source, target), textures, strict=True)
        faint = any(texture < FAINT**2 * float(picture.var((0, 2, 3)).mean()) for picture, texture in pairs)
        return cls(*textures, faint)

    @property
    def excess(self) -> float:
        """Variance of the source's strokes beyond any texture of the target; 0 where the two can be compared."""
        return max(0.0, self.source_texture - ALIKE * self.target_texture)

    @property
    def lacks_texture(self) -> bool:
        """True if the source has too little texture for the target's to be made of it."""
        return self.target_texture > ALIKE * self.source_texture

    def settled(self, networks: Networks) -> Networks:
        """The settings of the networks with nothing left to choose."""
        if networks.noise != "auto":
            return networks
        return replace(networks, noise="all" if self.lacks_texture else "none")


class Sides(NamedTuple):
    """Both sides, prepared, with all that follows from the two pictures."""

    source: Side
    target: Side
    before: tuple[Filter, ...]  # in front of G
    networks: Networks  # settled
    base_variance: float  # below which the picture under G's output is smoothed; 0: it is not
    expected: Tensor | None  # the target, if D normalises its tiles by it, see `Discriminator.expect`


def prepare(source: Tensor, target: Tensor, config: Config, device: torch.device) -> Sides:
    """Both pictures as a training sees them, on `device`; everything is measured on the device they come on."""
    diagnosis = Diagnosis.of(source, target)
    before, mapped = _filters(source, target, config, diagnosis)
    names: tuple[str, ...] = ()
    stack = mapped
    if config.losses.guide:
        comparable = comparable_texture(diagnosis.source_texture, diagnosis.target_texture)
        names, stack = ("guide",), torch.cat([mapped, coarse_guide(source, target, comparable)], dim=1)
    smooths = config.networks.smooth and diagnosis.excess
    detail = config.networks.detail and diagnosis.faint
    return Sides(
        Side((_prepared(stack, names, config.crops, device),)),
        Side((_prepared(target, (), config.crops, device),)),
        before,
        diagnosis.settled(config.networks),
        config.networks.smooth * calm_variance(mapped) if smooths else 0.0,
        target if detail else None,
    )


def _filters(source: Tensor, target: Tensor, config: Config, diagnosis: Diagnosis) -> tuple[tuple[Filter, ...], Tensor]:
    """The filters in front of G, each measured behind the one before it, and the source behind all of them."""
    smoothing = Smoothing(config.colour.smooth * diagnosis.excess)
    smooth = smoothing(source)
    colour = colour_transport(smooth, target) if config.colour.map else ColourMap.identity()
    mapped = colour(smooth)
    own = chroma_grain(mapped) if config.colour.grain else 0.0
    # A ratio of mean squares, used as a factor of the amplitude: what is left has less energy than the target's grain.
    grain = ChromaGrain(min(1.0, chroma_grain(no_wider(target, source)) / own) if own else 1.0)
    return (smoothing, colour, grain), grain(mapped)


def _prepared(stack: Tensor, names: tuple[str, ...], settings: Crops, device: torch.device) -> Prepared:
    stack = without_excess(stack, settings).to(device)
    return Prepared(stack, names, Outlines.of(stack) if settings.places > 1 else None)
