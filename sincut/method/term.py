"""Loss terms of a step: what one may look at, what it gives, and the base of all of them.

A term is a loss of G with a name and a weight. Those of SinCUT are `nce.PatchNce`, `terms.Same` and `terms.Guide`; one
of your own is registered by name (`registry.register_term`) and switched on by `losses.own.NAME=WEIGHT`.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sincut.config.sections import Config
from sincut.nets.generator import Generator


class Progress(NamedTuple):
    """The place of a step: number `step` of the whole run, number `done` of `length` in its phase, both from 0."""

    step: int = 0
    done: int = 0
    length: int = 0  # 0: not known yet


class Seen(NamedTuple):
    """What one step has made of its crops. Losses read it and change nothing in it.

    N crops of side s; where a term needs `same`, G is given both pictures' crops in one pass, those of x first.
    """

    x: Tensor  # (N, 3, s, s) crops of the source, prepared, in [-1, 1]
    y: Tensor  # (N, 3, s, s) crops of the target
    given: Tensor  # (N or 2N, 3, s, s): x, then y where a term needs G(y)
    out: Tensor  # (N or 2N, 3, s, s): G(given)
    fake: Tensor  # (N, 3, s, s): G(x)
    same: Tensor  # (N or 0, 3, s, s): G(y)
    features: list[Tensor]  # of layers 0.. of G's encoder for `given`: keys of PatchNCE that cost nothing
    aligned: Mapping[str, Tensor]  # (N, 3, s, s) by name, cut out exactly as x: "guide"


class Part(NamedTuple):
    """One summand of a loss: `weight * value`, the value a scalar. `shown` ones are reported by name."""

    name: str
    weight: float
    value: Tensor
    shown: bool = True


class Ingredients(NamedTuple):
    """What a term may be made of. Weights of networks that it makes are drawn from torch's own generator."""

    config: Config
    generator: Generator
    random: torch.Generator  # of all random choices of the run, on the CPU


class Term:
    """Base of the losses of G and H; `parts` is all that one needs to have."""

    needs_same = False  # True if it looks at G(y)

    def parts(self, seen: Seen, progress: Progress) -> list[Part]:
        """Summands of the loss for this step; none where the term has no say in it."""
        raise NotImplementedError

    def after(self, seen: Seen) -> None:
        """Called when G has been updated: for queues of keys, momentum encoders and the like."""

    def networks(self) -> dict[str, nn.Module]:
        """Networks by name that are trained with G, averaged and saved with it."""
        return {}


def total(parts: list[Part]) -> Tensor:
    """The sum of weighted parts, a scalar."""
    loss = torch.zeros(())
    for part in parts:
        loss = loss + part.weight * part.value
    return loss
