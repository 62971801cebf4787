"""The discriminator D: StyleGAN2's, without minibatch deviation, on square tiles (https://arxiv.org/abs/1912.04958)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sincut.config.sections import Networks
from sincut.nets.blocks import EqualConv2d, EqualLinear, ResidualBlock

DETAIL_WINDOW = 9  # px; structure finer than that is detail to D
LEAST_DEVIATION = 0.02  # of the target's colours, so that an even picture is not blown up
D_WIDTHS = {4: 384, 8: 256, 16: 128, 32: 64, 64: 32, 128: 16}  # channels at each resolution, as published; 16 above


class Discriminator(nn.Module):
    """(T, 3, tile, tile) -> logits (T, 1); `tile`, in px, is a power of two."""

    mean: Tensor
    deviation: Tensor

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
        self.detail = 0.0
        self.register_buffer("mean", torch.zeros(3, 1, 1), persistent=False)  # of the target's colours, see `expect`
        self.register_buffer("deviation", torch.ones(3, 1, 1), persistent=False)

    def expect(self, target: Tensor, detail: float) -> None:
        """Normalise tiles by mean and deviation of the colours of (1, 3, H, W), and multiply their detail by `detail`.

        Means, contrasts and large forms differ more from tile to tile than between real and fake, above all in dark or
        soft pictures, where D would see nothing else for hundreds of steps.
        """
        self.detail = detail
        self.mean = target.mean((0, 2, 3))[:, None, None].to(self.mean)
        self.deviation = target.std((0, 2, 3))[:, None, None].clamp(min=LEAST_DEVIATION).to(self.deviation)

    def forward(self, tiles: Tensor) -> Tensor:
        """(T, 3, tile, tile) -> (T, 1): positive for tiles taken for real."""
        if self.detail:
            tiles = (tiles - self.mean) / self.deviation
            large = F.pad(tiles, (DETAIL_WINDOW // 2,) * 4, mode="replicate")
            for window in ((DETAIL_WINDOW, 1), (1, DETAIL_WINDOW)):
                large = F.avg_pool2d(large, window, stride=1)
            tiles = torch.lerp(large, tiles, self.detail)
        x = self.convolutions(tiles).flatten(1)  # (T, C, 4, 4) -> (T, C*16)
        out: Tensor = self.logit(self.hidden(x))
        return out
