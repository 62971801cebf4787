"""One-sided constraints besides PatchNCE: what G has to keep of x, with no second generator that translates back.

Distances between crops, or between the halves of one, are kept (Benaim and Wolf 2017, "One-Sided Unsupervised Domain
Mapping", https://arxiv.org/abs/1706.00826); a turned picture has a turned translation (Fu et al. 2019, GcGAN,
https://arxiv.org/abs/1809.05852). Each is a term with a weight in `losses`; crops are (N, 3, s, s) in [-1, 1].
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from sincut.config.networks import Crops
from sincut.method.losses import half_distances, mean_absolute, pair_distances
from sincut.method.sides import Side, Sides
from sincut.method.term import Ingredients, Part, Progress, Seen, Term, Way, translated
from sincut.nets.generator import Generator

TURNED = "turned"  # the way f(x) -> G(f(x)); ends the names of its losses and networks
DRAWS = 32  # steps' crops of each picture in which means and deviations of distances are measured
LEAST_DEVIATION = 1e-4  # of distances, for a picture whose crops are all alike

Measure = Callable[[Tensor], Tensor]  # crops (N, 3, s, s) -> distances (K,)
Turn = Callable[[Tensor], Tensor]  # (N, C, s, s) -> the same, turned


def constraints(ingredients: Ingredients, sides: Sides) -> list[Term]:
    """The terms of this module whose weight in the settings is above 0."""
    config, generator, _ = ingredients
    losses = config.losses
    measures = ("distance", losses.distance, pair_distances), ("self_distance", losses.self_distance, half_distances)
    terms: list[Term] = [Distance(*one, sides, config.crops) for one in measures if one[1]]
    return terms + ([Geometry(losses.geometry, TURNS[losses.turn], generator)] if losses.geometry else [])


class Distance(Term):
    """Distances within x, standardised as those of the source are spread, are those within G(x), as the target's are.

    The loss is the mean of |(d(x) - m_x) / s_x - (d(G(x)) - m_y) / s_y|, with d of `pair_distances` or
    `half_distances`. The paper takes the means m and standard deviations s of d over a set of pictures; here, where
    each side has next to none, they are those of d over the crops of `DRAWS` steps of source and target, drawn before
    the first step with random numbers of their own, always the same ones. So a training that is resumed measures the
    same, and no other random choice changes.
    """

    def __init__(self, name: str, weight: float, measure: Measure, sides: Sides, crops: Crops) -> None:
        self.name, self.weight, self.measure = name, weight, measure
        several = replace(crops, count=max(2, crops.count))
        self.source, self.target = (spread(side, measure, several) for side in (sides.source, sides.target))

    def parts(self, seen: Seen, progress: Progress) -> list[Part]:
        """The loss `distance` or `self_distance`."""
        pairs = (seen.x, self.source), (seen.fake, self.target)
        before, after = ((self.measure(crops) - mean) / deviation for crops, (mean, deviation) in pairs)
        return [Part(self.name, self.weight, mean_absolute(after, before))]


def spread(side: Side, measure: Measure, crops: Crops) -> tuple[float, float]:
    """Mean and standard deviation of the distances within the crops of `DRAWS` steps, each step on its own."""
    random = torch.Generator().manual_seed(0)
    values = torch.cat([measure(side.crops(crops, random)[0]) for _ in range(DRAWS)])
    return values.mean().item(), max(values.std(correction=0).item(), LEAST_DEVIATION)


def clockwise(crops: Tensor) -> Tensor:
    """(N, C, s, s) turned by 90 degrees, clockwise."""
    return crops.rot90(-1, (2, 3)).contiguous(memory_format=torch.channels_last)


def upside_down(crops: Tensor) -> Tensor:
    """(N, C, s, s) mirrored top-bottom."""
    return crops.flip(2)


TURNS: dict[str, Turn] = {"rotation": clockwise, "flip": upside_down}  # f, by `losses.turn`


class Geometry(Term):
    """The geometry consistency of GcGAN: G(f(x)) is f(G(x)), for f a rotation by 90 degrees or a vertical flip.

    The paper has a second translator and a second discriminator for the turned domains; in its published code
    (https://github.com/hufu6371/GcGAN, `gc_gan_share`) the translators are one, as here. So a step also makes G(f(x)),
    which a critic of its own tells from f(y). The noise is turned too: it is a part of what G translates. The loss is
    the paper's |G(x) - f^-1(G(f(x)))|_1 + |G(f(x)) - f(G(x))|_1, of which both summands are the same number.
    """

    def __init__(self, weight: float, turn: Turn, generator: Generator) -> None:
        self.weight, self.turn, self.generator = weight, turn, generator

    def ways(self) -> dict[str, Way]:
        """The turned crops' translation."""
        return {TURNED: self.translate_turned}

    def translate_turned(self, seen: Seen) -> Seen:
        """The step with both sides turned: fake = G(f(x)), which is to look like f(y)."""
        turned = self.turn(seen.noise[: len(seen.x)])
        return translated(self.generator, self.turn(seen.x), self.turn(seen.y), False, lambda _: turned)

    def parts(self, seen: Seen, progress: Progress) -> list[Part]:
        """The loss `geometry`."""
        value = mean_absolute(seen.ways[TURNED].fake, self.turn(seen.fake))
        return [Part("geometry", self.weight, 2 * value)]
