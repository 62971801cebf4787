"""The ensemble, phases around any method: several trainings, then one G learns the median of them (ours).

What an adversary carves into rock and water is another thing in each training, and what most have in common has less
of it; a training that went wrong has no say. See Hinton, Vinyals, Dean 2015, "Distilling the Knowledge in a Neural
Network" (https://arxiv.org/abs/1503.02531).

Crops are (N, 3, crop, crop), translations of K members (K, N, 3, crop, crop).
"""

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sincut.method.losses import mean_squared
from sincut.method.step import Cut, noise_like
from sincut.method.term import Part
from sincut.nets.filters import Filter
from sincut.nets.generator import Generator
from sincut.nets.heads import Projector
from sincut.nets.local import blurred

FINE = 2.0  # px, of a Gaussian: detail below that is not made to agree between the members


@dataclass(frozen=True, eq=False)
class Member:
    """A training that is over: the averages of its G and H, and the filters after G that were found at its end."""

    generator: Generator
    heads: Projector
    after: tuple[Filter, ...] = ()


class Distillation:
    """The last phase: G's decoder learns what the members have in common in random crops of the source.

    G begins as the last member. Its encoder stays, and with it what its features tell of likeness. Fine detail stays
    too: strokes or grain made of noise lie elsewhere in each member, and their median is dull.
    """

    def __init__(self, cut: Cut, members: list[Member]) -> None:
        self.cut, self.members = cut, members
        first = members[-1]
        copies = {"generator": copy.deepcopy(first.generator), "projector": copy.deepcopy(first.heads)}
        cut.averages.copies.update(copies)
        cut.generator.load_state_dict(first.generator.state_dict())
        cut.heads["projector"].load_state_dict(first.heads.state_dict())
        for part in (cut.generator.stem, cut.generator.down, cut.generator.encoder):
            part.requires_grad_(False)
        cut.descend.restart("g", cut.generator)
        cut.steps_done = 0

    def step(self, rate: float, count: int | None = None) -> dict[str, Tensor]:
        """One update of G's decoder towards the members' consensus; `rate` and `count` as in `Cut.step`."""
        cut = self.cut
        x, noise, translations = translations_of(cut, self.members, count)
        with cut.descend.autocast():
            loss = mean_squared(cut.generator(x, noise), consensus(translations))
        cut.descend("g", [Part("distil", 1.0, loss)], rate)
        cut.descend.scaler.update()
        cut.averages.update(cut.steps_done)
        cut.steps_done += 1
        return {"distil": loss.detach()}


def nearest_last(cut: Cut, members: list[Member]) -> list[Member]:
    """The members with the one at the end that is nearest to their median in random crops of the source."""
    translations = translations_of(cut, members)[2]
    nearest = int((translations - median(translations)).square().flatten(1).mean(1).argmin())
    return [*members[:nearest], *members[nearest + 1 :], members[nearest]]


def translations_of(cut: Cut, members: list[Member], count: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Crops (N, 3, crop, crop) of the source, noise (N, 1, crop, crop), and what each member makes of both."""
    crops = replace(cut.config.crops, count=count or cut.config.crops.count)
    x, _ = cut.sides.source.crops(crops, cut.random)
    noise = noise_like(x, cut.random)
    with torch.no_grad(), cut.descend.autocast():
        return x, noise, torch.stack([member.generator(x, noise) for member in members])


def consensus(translations: Tensor) -> Tensor:
    """The median of (K, N, 3, H, W), with the fine detail of the last: (N, 3, H, W)."""
    own = translations[-1].float()
    return own + blurred(median(translations).float() - own, FINE)


def median(values: Tensor) -> Tensor:
    """The median over the first axis; of an even number, the mean of the two in the middle."""
    ordered, last = values.sort(dim=0).values, len(values) - 1
    return (ordered[last // 2] + ordered[-(-last // 2)]) / 2
