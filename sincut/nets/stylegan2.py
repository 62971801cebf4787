"""The generator G of SinCUT: an encoder and a decoder of StyleGAN2's blocks (https://arxiv.org/abs/2007.15651).

A 1x1 convolution (3 -> c1), a downsampling block (c1 -> c2), residual blocks (c2), an upsampling block (c2 -> c1), a
1x1 convolution to RGB. The encoder is everything up to the middle of the residual blocks; PatchNCE compares its
features. There is no normalisation layer: an output pixel depends on its receptive field alone, so that tiles are
exact.

Ours: each block of the decoder may have noise inputs of its own (`networks.noise`).

The encoder's layers are numbered as in the published code: 0 the RGB input, 1 after the 1x1 convolution, 2 after the
downsampling block, 3 and up after each residual block.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sincut.config.networks import Networks
from sincut.nets.blocks import EqualConv2d, EqualLinear, ResidualBlock, UpBlock
from sincut.nets.filters import SMOOTH_REACH
from sincut.nets.generator import Generator
from sincut.nets.local import precise, without_border

STRIDE = 2  # px of the picture per place of the inner feature maps; tiles start at multiples of it


class StyleGenerator(Generator):
    """The translator (N, 3, H, W) -> (N, 3, H, W), for any H, W >= 1.

    Raises ValueError for `noise=auto`, which `method/sides.py` replaces by `all` or `none` after a look at the two
    pictures.
    """

    stride = STRIDE

    def __init__(self, config: Networks) -> None:
        super().__init__(config)
        if config.noise == "auto":
            raise ValueError("networks.noise=auto is settled by two pictures; a generator needs last, all or none")
        c1, c2 = config.stem, config.inner
        self.stem = EqualConv2d(3, c1, 1, activation=True)
        self.down = ResidualBlock(c1, c2, down=True)
        self.encoder = nn.ModuleList(ResidualBlock(c2, c2) for _ in range(config.encoder_blocks))
        self.decoder = nn.ModuleList(ResidualBlock(c2, c2) for _ in range(config.blocks - config.encoder_blocks))
        self.noise = nn.ModuleList(EqualConv2d(STRIDE**2, c2, 1) for _ in self.decoder if config.noise == "all")
        for layer in self.noise:
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
        self.up = UpBlock(c2, c1)
        self.up.noise_gain.requires_grad_(config.noise != "none")  # else it stays 0
        self.rgb = EqualConv2d(c1, 3, 1)
        self.rgb_bias = nn.Parameter(torch.zeros(3))

    @staticmethod
    def channels_of(config: Networks) -> tuple[int, ...]:
        """3 of RGB, c1 at full resolution, c2 at half."""
        return (3, config.stem, *[config.inner] * (config.deepest_layer - 1))

    @staticmethod
    def bytes_of(config: Networks) -> int:
        """A few maps at full resolution, a few at half."""
        return 4 * (4 * config.stem + 6 * config.inner // STRIDE**2 + 12)

    @staticmethod
    def pass_bytes_of(config: Networks) -> int:
        """Measured: so many bytes are the unit of a training's memory."""
        return 4 * (4 * config.stem + 2 * config.inner)

    @staticmethod
    def step_of(layer: int) -> int:
        """1 px of layers 0 and 1, 2 px of all others."""
        return 1 if layer < 2 else STRIDE

    @staticmethod
    def linear(f_in: int, f_out: int) -> nn.Module:
        """One with equalised learning rate."""
        return EqualLinear(f_in, f_out)

    @property
    def encoder_parts(self) -> Iterable[nn.Module]:
        """The 1x1 convolution, the downsampling block, and the first half of the residual blocks."""
        return (self.stem, self.down, *self.encoder)

    def encode(self, x: Tensor, last: int | None = None) -> list[Tensor]:
        """Features of layers 0..last (the whole encoder by default) of a picture (N, 3, H, W), H and W even.

        Those of layer 0 are (N, 3, H, W), of layer 1 (N, c1, H, W), of all others (N, c2, H/2, W/2).
        """
        features = [x]
        for layer in (*self.encoder_parts,)[:last]:
            features.append(layer(features[-1]))
        return features

    def encode_middle(self, x: Tensor, last: int) -> list[Tensor]:
        """`encode` of a window (N, 3, H, W), H and W even, cropped by `encoder_halo(last)` px on every side."""
        halo = self.encoder_halo(last)
        features = enumerate(self.encode(x, last))
        return [without_border(f, halo if layer < 2 else halo // STRIDE) for layer, f in features]

    def decode(self, x: Tensor, deepest: Tensor, noise: Tensor) -> Tensor:
        """The translation (N, 3, H, W) of x (N, 3, H, W), from its deepest features (N, c2, H/2, W/2) and noise."""
        y = deepest
        for index, block in enumerate(self.decoder):
            y = block(self._with_noise(y, noise, index))
        return self._paint(self._base(x), y, noise)

    def translate_middle(self, x: Tensor, noise: Tensor) -> Tensor:
        """`forward` of a window (N, 3, H, W), H and W even, cropped by `halo` px on every side.

        The result is (N, 3, H - 2 halo, W - 2 halo); `noise` (N, 1, ...) covers it and `noise_reach` px around it. The
        residual blocks leave their padding out, so that no layer computes more of the halo than later ones read, and no
        feature map lives longer than needed.
        """
        trim = STRIDE * ResidualBlock.TRIM  # px that each block takes from every side
        y = self.down(self.stem(x))
        for block in self.encoder:
            y = block(y, padded=False)
        noise = F.pad(noise, (self.halo - trim * len(self.encoder) - self.noise_reach,) * 4)  # to the size of y
        for index, block in enumerate(self.decoder):
            y = block(self._with_noise(y, noise, index), padded=False)
            noise = without_border(noise, trim)
        trimmed = trim * (len(self.encoder) + len(self.decoder))
        seen = min(trimmed, SMOOTH_REACH)
        base = without_border(self._base(without_border(x, trimmed - seen)), seen)
        return without_border(self._paint(base, y, noise), self.halo - trimmed)

    def _with_noise(self, y: Tensor, noise: Tensor, index: int) -> Tensor:
        """Features y (N, c2, H/2, W/2) plus the noise (N, 1, H, W), weighted for block `index` of the decoder (ours).

        In an even sky, strokes or grain can be made of nothing else. As in StyleGAN2 each block has noise weights of
        its own; here they are a 1x1 convolution of the noise's 2x2 blocks, and start at 0.
        """
        if not self.noise:
            return y
        out: Tensor = y + self.noise[index](F.pixel_unshuffle(noise, STRIDE).to(y.dtype))
        return out

    def _paint(self, base: Tensor, y: Tensor, noise: Tensor) -> Tensor:
        """The picture: upsampled features y (N, c2, H/2, W/2) as RGB; with `networks.residual`, added to the base."""
        out: Tensor = precise(self.rgb(self.up(y, noise))) + self.rgb_bias[:, None, None]
        return base + self.residual * out if self.residual else out

    @property
    def halo(self) -> int:
        """Receptive radius in px of an output pixel, rounded up to a multiple of `STRIDE`."""
        return -(-self.receptive_radius() // STRIDE) * STRIDE

    @property
    def noise_reach(self) -> int:
        """Radius in px, a multiple of `STRIDE`, within which noise influences an output box aligned to `STRIDE`."""
        if not self.noise:
            return 0
        first, last = self.up.reach((0, STRIDE - 1))
        for block in reversed(self.decoder):
            first, last = block.reach((first, last))  # type: ignore[operator]
        return STRIDE * max(-first, last)

    def encoder_halo(self, last: int) -> int:
        """Receptive radius in px of the features of layers 0..last, rounded up to a multiple of `STRIDE`."""
        reach = (0, 0)
        for block in reversed([self.down, *self.encoder][: max(0, last - 1)]):
            reach = block.reach(reach)  # type: ignore[operator]
        return -(-max(-reach[0], reach[1]) // STRIDE) * STRIDE

    def receptive_radius(self) -> int:
        """Receptive radius in px of an output pixel, computed from the layers."""
        radius = SMOOTH_REACH if self.residual and self.smooths_base else 0
        for position in range(STRIDE):  # even and odd positions have different receptive fields
            reach = self.up.reach((position, position))
            for block in (*reversed(self.decoder), *reversed(self.encoder), self.down):
                reach = block.reach(reach)  # type: ignore[operator]
            radius = max(radius, position - reach[0], reach[1] - position)
        return radius
