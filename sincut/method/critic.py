"""A critic: a discriminator D, the tiles that it sees, and the adversarial loss of D and of G.

The loss is the non-saturating one with the R1 penalty, or that of least squares (see `losses.py`). D sees tiles of the
crops instead of whole crops, which bounds what it can memorise of two single pictures (Park et al. 2020, appendix).
"""

import torch
from torch import Tensor

from sincut.config.sections import Losses
from sincut.method.crops import tiles
from sincut.method.losses import (
    adversarial,
    discrimination,
    least_squares,
    least_squares_discrimination,
    r1_penalty,
)
from sincut.method.term import Part, Seen
from sincut.nets.discriminator import Discriminator

GANS = {  # by `losses.gan`, the losses of G and of D
    "non-saturating": (adversarial, discrimination),
    "lsgan": (least_squares, least_squares_discrimination),
}


class Critic:
    """A discriminator D with its part of L_D and L_G.

    `tile` is the side in px of what D sees. `way` is the name of the translation that it judges, if that is another one
    than G(x); it ends the names of its losses and of its tensors in a checkpoint.
    """

    def __init__(self, network: Discriminator, losses: Losses, tile: int, way: str = "") -> None:
        self.network, self.tile, self.way = network, tile, way
        self.suffix = f"_{way}" if way else ""
        self.r1, self.r1_every = losses.r1, losses.r1_every
        self.loss_of_g, self.loss_of_d = GANS[losses.gan]

    def views(self, seen: Seen) -> tuple[Tensor, Tensor]:
        """What D sees of the real crops and of the translation that is to look like them, (T, 3, tile, tile) each."""
        judged = seen.ways[self.way] if self.way else seen
        return tiles(judged.y, self.tile), tiles(judged.fake, self.tile)

    def penalises(self, step: int) -> bool:
        """True if step number `step` of the run has the R1 penalty."""
        return bool(self.r1) and step % self.r1_every == 0

    def discriminator_loss(self, real: Tensor, fake: Tensor, step: int) -> list[Part]:
        """L_D of views of target and translation, both (T, 3, tile, tile), in step number `step` of the run.

        The R1 penalty is added in every `r1_every`-th step, with as many times its weight: lazy regularisation, as in
        StyleGAN2 (Karras et al. 2020, https://arxiv.org/abs/1912.04958, section 3.1). With a weight of 0 there is none.
        """
        name, penalty_name = f"D{self.suffix}", f"R1{self.suffix}"
        if not self.penalises(step):
            real_logits, fake_logits = self.network(torch.cat([real, fake])).chunk(2)  # (T, 1, ...) each
            return [Part(name, 1.0, self.loss_of_d(real_logits, fake_logits))]
        real_logits, penalty = r1_penalty(self.network, real)
        loss = self.loss_of_d(real_logits, self.network(fake))
        return [Part(name, 1.0, loss), Part(penalty_name, self.r1 * self.r1_every, penalty, shown=False)]

    def generator_loss(self, fake: Tensor) -> list[Part]:
        """The adversarial part of L_G, of views (T, 3, tile, tile) of the translation."""
        return [Part(f"G{self.suffix}", 1.0, self.loss_of_g(self.network(fake)))]
