"""The discriminator D of square tiles: what its architectures have in common, and StyleGAN2's.

Karras et al. 2020, https://arxiv.org/abs/1912.04958, without minibatch standard deviation. T tiles are
(T, 3, tile, tile) in [-1, 1].
"""

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sincut.config.networks import Networks
from sincut.nets.blocks import EqualConv2d, EqualLinear, ResidualBlock
from sincut.nets.pooled import Pool

DETAIL_WINDOW = 9  # px; detail is what a mean over such a window takes away
LEAST_DEVIATION = 0.02  # of colours in [-1, 1]: an even target is not scaled up beyond that
# Channels at each resolution in px, 16 above: those of the published code at ndf 8.
D_WIDTHS = {4: 384, 8: 256, 16: 128, 32: 64, 64: 32, 128: 16}


class Discriminator(nn.Module, ABC):
    """Tiles (T, 3, tile, tile) -> logits (T, 1, ...), positive for what D takes for real."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.detail = 0.0  # factor of detail, see `normalise_by`; 0: tiles are seen as they are
        self.register_buffer("mean", torch.zeros(3, 1, 1), persistent=False)  # of the target's colours
        self.register_buffer("deviation", torch.ones(3, 1, 1), persistent=False)  # of the target's colours

    @abstractmethod
    def judged(self, tiles: Tensor) -> Tensor:
        """The logits (T, 1, ...) of tiles (T, 3, tile, tile), which are standardised where that is asked."""

    def normalise_by(self, target: Tensor | Pool, detail: float) -> None:
        """From now on, standardise tiles by the target's colours and multiply their detail by `detail` (ours).

        The mean and standard deviation of each channel are those of `target`, a picture (1, 3, H, W) or a set. Means,
        contrasts and large forms differ more from tile to tile than between real and fake, above all in dark or soft
        pictures; without this D would learn nothing else there for hundreds of steps.
        """
        self.detail = detail
        pool = Pool.of(target)
        self.mean = pool.mean(lambda x: x.mean((0, 2, 3)))[:, None, None].to(self.mean)
        self.deviation = pool.deviation()[:, None, None].clamp(min=LEAST_DEVIATION).to(self.deviation)

    def forward(self, tiles: Tensor) -> Tensor:
        """Tiles (T, 3, tile, tile) -> logits (T, 1, ...), positive for what D takes for real."""
        if self.detail:
            tiles = (tiles - self.mean) / self.deviation
            large = F.pad(tiles, (DETAIL_WINDOW // 2,) * 4, mode="replicate")
            for window in ((DETAIL_WINDOW, 1), (1, DETAIL_WINDOW)):
                large = F.avg_pool2d(large, window, stride=1)
            tiles = torch.lerp(large, tiles, self.detail)
        return self.judged(tiles)


class StyleDiscriminator(Discriminator):
    """Tiles (T, 3, tile, tile) -> logits (T, 1); `tile`, in px, is a power of two.

    A 1x1 convolution, downsampling residual blocks to 4x4, a 3x3 convolution and two linear layers.
    """

    def __init__(self, config: Networks, tile: int) -> None:
        super().__init__()

        def width(resolution: int) -> int:
            return max(1, round(D_WIDTHS.get(resolution, 16) * config.discriminator))

        channels = width(tile)
        layers: list[nn.Module] = [EqualConv2d(3, channels, 1, activation=True)]
        resolution = tile
        while resolution > 4:
            resolution //= 2
            layers.append(ResidualBlock(channels, width(resolution), down=True))
            channels = width(resolution)
        layers.append(EqualConv2d(channels, channels, 3, activation=True))
        self.convolutions = nn.Sequential(*layers)
        self.hidden = EqualLinear(channels * resolution**2, channels, activation=True)
        self.logit = EqualLinear(channels, 1)

    def judged(self, tiles: Tensor) -> Tensor:
        """Tiles (T, 3, tile, tile) -> logits (T, 1)."""
        x = self.convolutions(tiles).flatten(1)  # (T, C, 4, 4) -> (T, C*16)
        out: Tensor = self.logit(self.hidden(x))
        return out
