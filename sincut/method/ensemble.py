"""The ensemble (ours): several trainings from different initial weights, then one G learns the median of them.

The invented detail that an adversary carves into rock and water differs from training to training; the median of their
translations has less of it, and ignores a training that went wrong. The median is distilled into one G (Hinton,
Vinyals, Dean 2015, "Distilling the Knowledge in a Neural Network", https://arxiv.org/abs/1503.02531), so that
translating is as fast as after a single training.

Crops are (N, 3, crop, crop), translations of K members (K, N, 3, crop, crop), in [-1, 1] but not clipped.
"""

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sincut.method.losses import mean_squared
from sincut.method.step import Cut
from sincut.method.term import Part, noise_like
from sincut.nets.filters import Filter
from sincut.nets.generator import Generator
from sincut.nets.heads import Projector
from sincut.nets.local import blurred

FINE = 2.0  # px: sigma of the Gaussian whose residual is the fine detail that G keeps from one member


@dataclass(frozen=True, eq=False)
class Member:
    """A finished training: the averages of its G and H, and the filters after G that were measured at its end."""

    generator: Generator
    projector: Projector | None  # H; None: the method has none
    after: tuple[Filter, ...] = ()


class Distillation:
    """The last phase of an ensemble: G's decoder learns the consensus of the members in random crops of the source.

    G begins as the last of `members`. Its encoder is not trained, so its features, and the heads for them, stay valid.
    Its fine detail is kept too: strokes or grain made of noise differ in place between members, and their median is
    dull.
    """

    def __init__(self, cut: Cut, members: list[Member]) -> None:
        self.cut, self.members = cut, members
        first = members[-1]
        cut.averages.copies["generator"] = copy.deepcopy(first.generator)
        cut.generator.load_state_dict(first.generator.state_dict())
        if first.projector is not None:
            cut.averages.copies["projector"] = copy.deepcopy(first.projector)
            cut.term_networks["projector"].load_state_dict(first.projector.state_dict())
        for part in cut.generator.encoder_parts:
            part.requires_grad_(False)
        cut.descend.restart("g", cut.generator)
        cut.steps_done = 0

    def step(self, rate: float, count: int | None = None) -> dict[str, Tensor]:
        """One update of G's decoder towards the members' consensus. Arguments as of `Cut.step`.

        Returns the mean squared difference, a detached scalar, under the name `distil`.
        """
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
    """The members, reordered: the one nearest (by mean square) to their median in random crops comes last."""
    translations = translations_of(cut, members)[2]
    nearest = int((translations - median(translations)).square().flatten(1).mean(1).argmin())
    return [*members[:nearest], *members[nearest + 1 :], members[nearest]]


def translations_of(cut: Cut, members: list[Member], count: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Random crops (N, 3, crop, crop) of the source, noise for them (N, 1, crop, crop), and the translations.

    These are (K, N, 3, crop, crop), one by each of K members, from the same crops and noise.
    """
    crops = replace(cut.config.crops, count=count or cut.config.crops.count)
    x, _ = cut.sides.source.crops(crops, cut.random)
    noise = noise_like(x, cut.random, cut.generator)
    with torch.no_grad(), cut.descend.autocast():
        return x, noise, torch.stack([member.generator(x, noise) for member in members])


def consensus(translations: Tensor) -> Tensor:
    """Median of K translations (K, N, 3, H, W), with the fine detail of the last of them: (N, 3, H, W) in float32."""
    own = translations[-1].float()
    return own + blurred(median(translations).float() - own, FINE)


def median(values: Tensor) -> Tensor:
    """Median over the first axis; for an even number of values, the mean of the two in the middle."""
    ordered, last = values.sort(dim=0).values, len(values) - 1
    return (ordered[last // 2] + ordered[-(-last // 2)]) / 2
