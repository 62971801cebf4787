"""The projection heads H of PatchNCE (Park et al. 2020, section 3, https://arxiv.org/abs/2007.15651)."""

import torch.nn.functional as F
from torch import Tensor, nn

from sincut.config.networks import Networks
from sincut.nets.architectures import architecture


class Projector(nn.Module):
    """The heads H: for each PatchNCE layer a perceptron C -> F -> ReLU -> F, and division by the L2 norm."""

    def __init__(self, config: Networks, layers: tuple[int, ...]) -> None:
        super().__init__()
        chosen = architecture(config)
        channels, linear = chosen.channels_of(config), chosen.linear
        self.heads = nn.ModuleList()
        for layer in layers:
            first, second = linear(channels[layer], config.features), linear(config.features, config.features)
            self.heads.append(nn.Sequential(first, nn.ReLU(), second))

    def forward(self, patches: list[Tensor]) -> list[Tensor]:
        """Rows of features (R, C) of each layer -> rows (R, F) of unit length, in float32."""
        return [F.normalize(head(rows).float(), dim=1) for head, rows in zip(self.heads, patches, strict=True)]
