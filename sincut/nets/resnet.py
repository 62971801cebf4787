"""The generator for sets of pictures: a ResNet with instance normalisation (Park et al. 2020, section 4.1).

Johnson et al. 2016 (https://arxiv.org/abs/1603.08155) as in CycleGAN and, with anti-aliased resampling, in the
published code of CUT: a 7x7 convolution (3 -> c), two of 3x3 that double the channels, each before a step down to half
the resolution, residual blocks (4c), two steps up, each before a 3x3 convolution, and a 7x7 convolution to RGB with a
tanh. The encoder is everything up to the middle of the residual blocks, in the published nine the fifth.

Instance normalisation lets an output pixel depend on the whole picture, so that pictures are translated whole. There
are no noise inputs.

The encoder's layers: 0 the RGB input, 1 after the 7x7 convolution, 2 and 3 the two convolutions that double the
channels, before their normalisation and at the resolution before the step down, 4 and up after each residual block. The
published code counts the parts of its network instead, and names layers 0, 2, 3, 4 and 8 0, 4, 8, 12 and 16; its layer
0 has 3 px of reflected border.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from sincut.config.networks import Networks
from sincut.nets.generator import Generator
from sincut.nets.layers import BlurPool, Conv2d, Linear, enlarged, normalised, reflected
from sincut.nets.local import precise

FIRST_BLOCK = 4  # the layer after the first residual block


class ResnetBlock(nn.Module):
    """(N, C, H, W) -> the same: two 3x3 convolutions with instance normalisation, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = Conv2d(channels, channels, 3), Conv2d(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """The block applied to (N, C, H, W), continued by reflection."""
        y = torch.relu_(normalised(self.conv1(reflected(x, 1))))
        return x + normalised(self.conv2(reflected(y, 1)))


class ResnetGenerator(Generator):
    """The translator (N, 3, H, W) -> (N, 3, H, W), for any H, W >= 1; outputs are in [-1, 1].

    With `networks.residual` they are added to the base.
    """

    stride = 4
    whole_only = True

    def __init__(self, config: Networks) -> None:
        super().__init__(config)
        full, half, quarter = widths(config)
        first = config.encoder_blocks
        self.blur = BlurPool()
        self.stem = Conv2d(3, full, 7)
        self.down = nn.ModuleList([Conv2d(full, half, 3, padding=1), Conv2d(half, quarter, 3, padding=1)])
        self.encoder = nn.ModuleList(ResnetBlock(quarter) for _ in range(first))
        self.decoder = nn.ModuleList(ResnetBlock(quarter) for _ in range(config.blocks - first))
        self.up = nn.ModuleList([Conv2d(quarter, half, 3, padding=1), Conv2d(half, full, 3, padding=1)])
        self.rgb = Conv2d(full, 3, 7)

    @classmethod
    def channels_of(cls, config: Networks) -> tuple[int, ...]:
        """3 of RGB, c after the 7x7 convolution, twice as many at half the resolution, and those of the blocks."""
        full, half, quarter = widths(config)
        return (3, full, half, quarter, *[quarter] * config.encoder_blocks)

    @classmethod
    def bytes_of(cls, config: Networks) -> int:
        """The first step down: what was convolved, its result, and this normalised; and the layers that are kept."""
        full, half, _ = widths(config)
        return 4 * (2 * full + 3 * half + 12)

    @classmethod
    def pass_bytes_of(cls, config: Networks) -> int:
        """Twice as many as `bytes_of`, as measured: of what is normalised both copies are kept for the gradient."""
        return 2 * cls.bytes_of(config)

    @classmethod
    def step_of(cls, layer: int) -> int:
        """1 px of layers 0 to 2, 2 px of layer 3, 4 px of all others."""
        return 1 if layer < 3 else 2 if layer == 3 else 4

    @staticmethod
    def linear(f_in: int, f_out: int) -> nn.Module:
        """A plain one."""
        return Linear(f_in, f_out)

    @property
    def encoder_parts(self) -> Iterable[nn.Module]:
        """The convolutions up to a quarter of the resolution, and the first residual blocks."""
        return (self.stem, self.down, *self.encoder)

    def encode(self, x: Tensor, last: int | None = None) -> list[Tensor]:
        """See `Generator.encode`. Layers 0 to 2 are as large as the picture, layer 3 half, the others a quarter."""
        last = self.deepest if last is None else last
        features = [x]
        if last > 0:
            features.append(torch.relu_(normalised(self.stem(reflected(x, 3)))))
        for layer, convolution in enumerate(self.down, 2):
            if layer <= last:
                y = features[-1] if layer == 2 else self._halved(features[-1])
                features.append(convolution(y))
        for layer, block in enumerate(self.encoder, FIRST_BLOCK):
            if layer <= last:
                y = features[-1] if layer > FIRST_BLOCK else self._halved(features[-1])
                features.append(block(y))
        return features

    def decode(self, features: Sequence[Tensor], noise: Tensor) -> Tensor:
        """See `Generator.decode`; only the input and the deepest features (N, 4c, H/4, W/4) are read, and no noise."""
        x, y = features[0], features[-1]
        for block in self.decoder:
            y = block(y)
        for convolution in self.up:
            y = torch.relu_(normalised(convolution(enlarged(y))))
        out: Tensor = torch.tanh(precise(self.rgb(reflected(y, 3))))
        return self._base(x) + self.residual * out if self.residual else out

    def _halved(self, y: Tensor) -> Tensor:
        """What follows a convolution of a step down: (N, C, H, W) -> (N, C, H/2, W/2)."""
        out: Tensor = self.blur(torch.relu_(normalised(y)))
        return out


def widths(config: Networks) -> tuple[int, int, int]:
    """Channels at full, half and a quarter of the resolution."""
    return config.stem, 2 * config.stem, config.inner
