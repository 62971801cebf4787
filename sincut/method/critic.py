"""A critic: a discriminator D, what it sees of crops, and its two sides of the adversarial loss.

The loss is the non-saturating one with the R1 penalty, at tiles of the crops and never at whole ones: this bounds what
D can memorise of two single pictures (Park et al. 2020, appendix). A second critic, of large forms, is ours.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from sincut.config.sections import Losses
from sincut.method.losses import adversarial, discrimination, r1_penalty
from sincut.method.term import Part
from sincut.nets.discriminator import Discriminator


class Critic:
    """A discriminator with its `view` of crops and its `weight` in the loss of G. `suffix` ends its losses' names."""

    def __init__(
        self,
        network: Discriminator,
        view: Callable[[Tensor], Tensor],
        losses: Losses,
        weight: float = 1.0,
        suffix: str = "",
    ) -> None:
        self.network, self.view, self.weight, self.suffix = network, view, weight, suffix
        self.r1, self.r1_every = losses.r1, losses.r1_every

    def tell_apart(self, real: Tensor, fake: Tensor, step: int) -> list[Part]:
        """The loss of D at real and fake views, both (T, 3, tile, tile); at every `r1_every`-th step with R1."""
        name, penalty_name = f"D{self.suffix}", f"R1{self.suffix}"
        if step % self.r1_every:
            accepted, rejected = self.network(torch.cat([real, fake])).chunk(2)
            return [Part(name, 1.0, discrimination(accepted, rejected))]
        accepted, penalty = r1_penalty(self.network, real)  # "lazy" (StyleGAN2): seldom, but as strong on average
        loss = discrimination(accepted, self.network(fake))
        return [Part(name, 1.0, loss), Part(penalty_name, self.r1 * self.r1_every, penalty, shown=False)]

    def convince(self, fake: Tensor) -> list[Part]:
        """The loss of G at views (T, 3, tile, tile) of its translations."""
        return [Part(f"G{self.suffix}", self.weight, adversarial(self.network(fake)))]
