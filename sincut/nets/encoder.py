"""The encoder of a generator as a network of its own, for the variants of PatchNCE that have a second one."""

import copy

from torch import Tensor, nn

from sincut.nets.architectures import make_generator
from sincut.nets.generator import Generator


class Encoder(nn.Module):
    """All layers of a generator's encoder and none of its decoder; `encode` is that of `Generator`."""

    def __init__(self, generator: Generator) -> None:
        """The encoder of `generator` itself, with the same weights, not a copy of them."""
        super().__init__()
        self.parts = nn.ModuleList(generator.encoder_parts)
        self.encode = generator.encode

    @classmethod
    def like(cls, generator: Generator) -> "Encoder":
        """An encoder of the same layers, with new initial weights of torch's default generator."""
        return cls(make_generator(generator.config))

    @classmethod
    def copy_of(cls, generator: Generator) -> "Encoder":
        """A copy of a generator's encoder, not trained."""
        return cls(copy.deepcopy(generator)).requires_grad_(False)

    def forward(self, x: Tensor, last: int | None = None) -> list[Tensor]:
        """Features of layers 0..last of (N, 3, H, W), see `Generator.encode`."""
        return self.encode(x, last)
