"""The two sides of a training: source and target, prepared for it, and what was measured of both.

The source x is the picture that G translates, the target y the one whose look it learns; by default the painting and
the photo, with `--to painting` the other way round. The source goes through the filters before G. Pictures that are
aligned to it, such as the coarse guide, are cropped at the same places. With the defaults (the published method) there
is no guide, and the filters change nothing. Pictures are (1, 3, H, W) in [-1, 1].

Either side may be a set of pictures. Each step takes its crops of a side from one of them, drawn by area
(`crops.shares`). What is measured is measured of the whole set, each picture weighing its chance to be drawn
(`nets/pooled.py`), so there is one diagnosis and one colour map.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from sincut.config.networks import Crops, Networks
from sincut.config.sections import Config
from sincut.method.crops import Outlines, random_crops, shares, without_excess
from sincut.method.guide import ALIKE, coarse_guides, comparable_texture
from sincut.nets.balance import no_wider
from sincut.nets.colour import ColourMap, colour_transport
from sincut.nets.filters import ChromaGrain, Filter, Smoothing, calm_variance, chroma_grain
from sincut.nets.pooled import Pool

Pictures = Tensor | Sequence[Tensor]  # one picture (1, 3, H, W), or the pictures of a set

# A picture is faint if the standard deviation within its even parts is below this share of its own: for hundreds of
# steps D then does not notice whether strokes are there.
FAINT = 0.04


@dataclass(frozen=True, eq=False)
class Prepared:
    """A picture, and those aligned to it, stacked along the channels so that one crop takes the same part of all."""

    stack: Tensor  # (1, 3 * (1 + len(names)), H, W): the picture, then the aligned ones
    names: tuple[str, ...] = ()  # of the aligned pictures
    outlines: Outlines | None = None  # strength of the picture's outlines, if crops are chosen by it

    @property
    def image(self) -> Tensor:
        """(1, 3, H, W): the picture itself."""
        return self.stack[:, :3]


@dataclass(frozen=True, eq=False)
class Side:
    """The pictures of one side; where there are several, each step draws one of them, by `crops.shares`."""

    pictures: tuple[Prepared, ...]

    def pool(self, settings: Crops) -> Pool:
        """The pictures themselves, each with its chance to be drawn."""
        return pool_of([picture.image for picture in self.pictures], settings)

    def crops(self, settings: Crops, random: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Random crops (N, 3, crop, crop) of one picture, and the same parts of those aligned to it, by name."""
        number = 0
        if len(self.pictures) > 1:
            chances = torch.tensor(self.pool(settings).shares, dtype=torch.float64)
            number = int(torch.multinomial(chances, 1, generator=random))
        picture = self.pictures[number]
        crops = random_crops(picture.stack, settings, random, picture.outlines)
        x, *aligned = torch.split(crops.contiguous(memory_format=torch.channels_last), 3, dim=1)
        return x, dict(zip(picture.names, aligned, strict=True))


@dataclass(frozen=True)
class Diagnosis:
    """Measurements of source and target, and what follows from them for filters and networks (ours)."""

    source_texture: float  # variance within the source's even parts, see `calm_variance`
    target_texture: float  # the same of the target
    faint: bool  # True if one of the two has next to no texture in its even parts, as a clear or a night sky

    @classmethod
    def of(cls, source: Tensor | Pool, target: Tensor | Pool) -> "Diagnosis":
        """The diagnosis of two pictures (1, 3, H, W) in [-1, 1], or of two sets."""
        textures = calm_variance(source), calm_variance(target)
        pairs = zip((source, target), textures, strict=True)
        faint = any(texture < FAINT**2 * float(Pool.of(side).variance().mean()) for side, texture in pairs)
        return cls(*textures, faint)

    @property
    def stroke_variance(self) -> float:
        """Variance of the source's strokes: its texture beyond `ALIKE` times the target's; 0 if there is none."""
        return max(0.0, self.source_texture - ALIKE * self.target_texture)

    @property
    def lacks_texture(self) -> bool:
        """True if the target's texture is more than `ALIKE` times the source's, so that G has to invent some."""
        return self.target_texture > ALIKE * self.source_texture

    def settled(self, networks: Networks) -> Networks:
        """The settings of the networks with `noise=auto` replaced by all (if the source lacks texture) or none."""
        if networks.noise != "auto":
            return networks
        return replace(networks, noise="all" if self.lacks_texture else "none")


class Sides(NamedTuple):
    """Both sides, prepared, and the settings of filters and networks that follow from the two pictures."""

    source: Side  # behind the filters before G
    target: Side
    before: tuple[Filter, ...]  # the filters before G
    networks: Networks  # settings with nothing left to choose
    base_variance: float  # strength of `Generator.set_base_smoothing`; 0: off
    normalised_by: Pool | None  # the target, for `Discriminator.normalise_by`; None: off


def pictures_of(given: Pictures) -> tuple[Tensor, ...]:
    """The pictures of a side, (1, 3, H, W) each."""
    return (given,) if isinstance(given, Tensor) else tuple(given)


def pool_of(pictures: Sequence[Tensor], settings: Crops) -> Pool:
    """Pictures (1, 3, H, W), each with its chance to be drawn."""
    return Pool(tuple(pictures), tuple(shares([(x.shape[2], x.shape[3]) for x in pictures], settings)))


def prepare(source: Pictures, target: Pictures, config: Config, device: torch.device) -> Sides:
    """Measure, filter and stack the pictures (1, 3, H, W) in [-1, 1] of both sides, and move the stacks to `device`."""
    sources, targets = (pool_of(pictures_of(given), config.crops) for given in (source, target))
    diagnosis = Diagnosis.of(sources, targets)
    before, mapped = _filters(sources, targets, config, diagnosis)
    names: tuple[str, ...] = ()
    stacks = mapped.pictures
    if config.losses.guide:
        comparable = comparable_texture(diagnosis.source_texture, diagnosis.target_texture)
        guides = coarse_guides(sources, targets, comparable)
        names, stacks = ("guide",), tuple(torch.cat(pair, dim=1) for pair in zip(stacks, guides, strict=True))
    smooths = config.networks.smooth and (config.networks.materials or diagnosis.stroke_variance)
    normalises = config.networks.detail and diagnosis.faint
    return Sides(
        Side(tuple(_prepared(stack, names, config.crops, device) for stack in stacks)),
        Side(tuple(_prepared(picture, (), config.crops, device) for picture in targets.pictures)),
        before,
        diagnosis.settled(config.networks),
        config.networks.smooth * calm_variance(mapped) if smooths else 0.0,
        targets if normalises else None,
    )


def _filters(source: Pool, target: Pool, config: Config, diagnosis: Diagnosis) -> tuple[tuple[Filter, ...], Pool]:
    """The filters before G, each measured on the output of the one before it, and the sources behind all of them."""
    smoothing = Smoothing(config.colour.smooth * diagnosis.stroke_variance)
    smooth = source.map(smoothing)
    colour = colour_transport(smooth, target) if config.colour.map else ColourMap.identity()
    mapped = smooth.map(colour)
    own = chroma_grain(mapped) if config.colour.grain else 0.0
    # A ratio of energies (mean squares) as a factor of the amplitude: less energy is left than the target's grain has.
    grain = ChromaGrain(min(1.0, chroma_grain(target.map(lambda y: no_wider(y, source))) / own) if own else 1.0)
    return (smoothing, colour, grain), mapped.map(grain)


def _prepared(stack: Tensor, names: tuple[str, ...], settings: Crops, device: torch.device) -> Prepared:
    stack = without_excess(stack, settings).to(device)
    return Prepared(stack, names, Outlines.of(stack) if settings.places > 1 else None)
