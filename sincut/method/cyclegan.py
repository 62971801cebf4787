"""CycleGAN on two single pictures: a second generator F translates back, and what went there and back must be the same.

Zhu, Park, Isola and Efros 2017 (https://arxiv.org/abs/1703.10593), as the baseline for single pictures in Park et al.
2020 (appendix): with the networks, crops, tiles and adversarial losses of SinCUT. In the paper's terms G: X -> Y is the
generator that is averaged, saved and applied, with the discriminator D_Y; F: Y -> X has the same layers and
D_X, and both stay in the checkpoint. `CycleGan.step` is one update of both D's, then of G and F together, down

    L_D = as in step.py, of D_Y for G(x) and y, and of D_X for F(y) and x
    L_G = E[softplus(-D_Y(G(x)))] + E[softplus(-D_X(F(y)))]
          + cycle * (|F(G(x)) - x|_1 + |G(F(y)) - y|_1)
          + same * (|G(y) - y|_1 + |F(x) - x|_1)

x are crops of the source behind the filters before G, as G gets them: F translates the target's crops into the look of
the filtered source, since nothing undoes a filter. Filters after G, the coarse guide and the smoothed base
(`networks.smooth`) are G's alone. Noise is drawn anew for each translation.
"""

from functools import partial

import torch

from sincut.method.losses import mean_absolute
from sincut.method.step import Cut
from sincut.method.term import Part, Progress, Seen, Term, noise_like, translated
from sincut.method.terms import Same
from sincut.nets.generator import Generator

BACK = "back"  # the way y -> F(y); ends the names of its losses and networks


class CycleGan(Cut):
    """`Cut` with F and its critics besides; without PatchNCE, if `losses.nce` is 0, and then without heads H."""

    def make(self) -> None:
        """Make what `Cut` has, then F, its critics and the terms that need it."""
        super().make()
        losses = self.config.losses
        self.back = self.generators[f"generator_{BACK}"] = self.translator(self.sides.source)
        like = self.sides.normalised_by
        self.add_way(BACK, self.translate_back, None if like is None else self.sides.source.pool(self.config.crops))
        self.terms += [Cycle(losses.cycle, self.generator, self.back, self.random)] if losses.cycle else []
        self.terms += [Backwards(Same(losses.same))] if losses.same else []

    def translate_back(self, seen: Seen) -> Seen:
        """The step with its two sides exchanged: fake = F(y) and, if there is an identity loss, same = F(x)."""
        both = self.config.losses.same > 0
        return translated(self.back, seen.y, seen.x, both, partial(noise_like, random=self.random, generator=self.back))


class Cycle(Term):
    """The cycle consistency: what F makes of G(x) should be x, and what G makes of F(y) should be y."""

    def __init__(self, weight: float, generator: Generator, back: Generator, random: torch.Generator) -> None:
        self.weight, self.generator, self.back, self.random = weight, generator, back, random

    def parts(self, seen: Seen, progress: Progress) -> list[Part]:
        """The losses `cycle`, |F(G(x)) - x|, and `cycle_back`, |G(F(y)) - y|, means over pixels and channels."""
        there, back = seen.fake, seen.ways[BACK].fake
        again = (
            self.back(there, noise_like(there, self.random, self.back)),
            self.generator(back, noise_like(back, self.random, self.generator)),
        )
        pairs = zip(("cycle", f"cycle_{BACK}"), again, (seen.x, seen.y), strict=True)
        return [Part(name, self.weight, mean_absolute(output, crops)) for name, output, crops in pairs]


class Backwards(Term):
    """A term of F: another one, that looks at the step with its two sides exchanged."""

    def __init__(self, term: Term) -> None:
        self.term = term

    def parts(self, seen: Seen, progress: Progress) -> list[Part]:
        """The losses of the other term, named `..._back`."""
        parts = self.term.parts(seen.ways[BACK], progress)
        return [part._replace(name=f"{part.name}_{BACK}") for part in parts]
