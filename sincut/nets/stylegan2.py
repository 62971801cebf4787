"""The generator G of SinCUT: an encoder and a decoder of StyleGAN2's blocks (https://arxiv.org/abs/2007.15651).

A 1x1 convolution (3 -> c1), a downsampling block (c1 -> c2), residual blocks (c2), an upsampling block (c2 -> c1), a
1x1 convolution to RGB. The encoder is everything up to the middle of the residual blocks; PatchNCE compares its
features. There is no normalisation layer: an output pixel depends on its receptive field alone, so that tiles are
exact.

Ours: each block of the decoder may have noise inputs of its own (`networks.noise`); the output may be mixed with the
detail of the target's materials (`networks.materials`); and `PyramidGenerator` goes down twice, so that its residual
blocks are at a quarter of the resolution.

The encoder's layers are numbered as in the published code: 0 the RGB input, 1 after the 1x1 convolution, 2 after the
downsampling block, 3 and up after each further block.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sincut.config.networks import Networks
from sincut.nets.blocks import EqualConv2d, EqualLinear, ResidualBlock, UpBlock
from sincut.nets.filters import SMOOTH_REACH
from sincut.nets.generator import Generator
from sincut.nets.local import precise, without_border

COLOUR_VARIANCE = 0.02  # squared distance of colours, in [-1, 1], by which a material's share falls by a factor of e
COLOUR_REACH = 2  # px around a pixel over which its colour is averaged for that


class StyleGenerator(Generator):
    """The translator (N, 3, H, W) -> (N, 3, H, W), for any H, W >= 1.

    Raises ValueError for `noise=auto`, which `method/sides.py` replaces by `all` or `none` after a look at the two
    pictures.
    """

    stride = 2

    def __init__(self, config: Networks) -> None:
        super().__init__(config)
        if config.noise == "auto":
            raise ValueError("networks.noise=auto is settled by two pictures; a generator needs last, all or none")
        c1, c2, *_ = widths = self.widths(config)
        inner = widths[-1]
        self.stem = EqualConv2d(3, c1, 1, activation=True)
        self.down = ResidualBlock(c1, c2, down=True)
        self.deeper = nn.ModuleList(ResidualBlock(a, b, down=True) for a, b in pairwise(widths[1:]))
        self.encoder = nn.ModuleList(ResidualBlock(inner, inner) for _ in range(config.encoder_blocks))
        decoder_blocks = config.blocks - config.encoder_blocks
        self.decoder = nn.ModuleList(ResidualBlock(inner, inner) for _ in range(decoder_blocks))
        self.noise = nn.ModuleList(EqualConv2d(self.stride**2, inner, 1) for _ in self.decoder if config.noise == "all")
        for layer in self.noise:
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
        self.higher = nn.ModuleList(UpBlock(b, a) for a, b in reversed([*pairwise(widths[1:])]))
        self.up = UpBlock(c2, c1)
        self.up.noise_gain.requires_grad_(config.noise != "none")  # else it stays 0
        for block in self.higher:
            block.noise_gain.requires_grad_(config.noise == "all")  # type: ignore[union-attr,operator]
        self.rgb = EqualConv2d(c1, 3, 1)
        self.rgb_bias = nn.Parameter(torch.zeros(3))
        self.mixture = EqualConv2d(c1, config.materials, 1) if config.materials else None
        if self.mixture is not None:
            nn.init.zeros_(self.mixture.weight)  # type: ignore[arg-type]

    @staticmethod
    def widths(config: Networks) -> tuple[int, ...]:
        """The channels at full resolution and, after each downsampling block, at half of the one before."""
        return config.stem, config.inner

    @classmethod
    def channels_of(cls, config: Networks) -> tuple[int, ...]:
        """3 of RGB, those of `widths`, and again the last for each residual block."""
        widths = cls.widths(config)
        return (3, *widths, *[widths[-1]] * config.encoder_blocks)

    @classmethod
    def bytes_of(cls, config: Networks) -> int:
        """A few maps at full resolution, a few at half."""
        c1, c2, *rest = cls.widths(config)
        deeper: int = sum(4 * 6 * c // 4**level for level, c in enumerate(rest, 2))
        return 4 * (4 * c1 + 6 * c2 // 4 + 12 + 4 * config.materials) + deeper

    @classmethod
    def pass_bytes_of(cls, config: Networks) -> int:
        """Measured: so many bytes are the unit of a training's memory."""
        c1, c2, *rest = cls.widths(config)
        deeper: int = sum(4 * 8 * c // 4**level for level, c in enumerate(rest, 2))
        return 4 * (4 * c1 + 2 * c2 + 4 * config.materials) + deeper

    @classmethod
    def step_of(cls, layer: int) -> int:
        """1 px of layers 0 and 1, twice as many of each after a downsampling block, and the same of all others."""
        return 1 if layer < 2 else min(cls.stride, 2 ** (layer - 1))

    @staticmethod
    def linear(f_in: int, f_out: int) -> nn.Module:
        """One with equalised learning rate."""
        return EqualLinear(f_in, f_out)

    @property
    def encoder_parts(self) -> Iterable[nn.Module]:
        """The 1x1 convolution, the downsampling blocks, and the first half of the residual blocks."""
        return (self.stem, self.down, *self.deeper, *self.encoder)

    def encode(self, x: Tensor, last: int | None = None) -> list[Tensor]:
        """See `Generator.encode`: layer 0 is (N, 3, H, W), layer 1 (N, c1, H, W), layer 2 (N, c2, H/2, W/2)."""
        features = [x]
        for layer in (*self.encoder_parts,)[:last]:
            features.append(layer(features[-1]))
        return features

    def encode_middle(self, x: Tensor, last: int) -> list[Tensor]:
        """`encode` of a window (N, 3, H, W), multiples of `stride`, cropped by `encoder_halo(last)` px a side."""
        halo = self.encoder_halo(last)
        features = enumerate(self.encode(x, last))
        return [without_border(f, halo // self.step_of(layer)) for layer, f in features]

    def decode(self, features: Sequence[Tensor], noise: Tensor) -> Tensor:
        """See `Generator.decode`."""
        y, (noise, detail) = features[-1], _parts(noise)
        for index, block in enumerate(self.decoder):
            y = block(self._with_noise(y, noise, index))
        skips = features[2 : 2 + len(self.higher)]
        return self._paint(self._base(features[0]), self._raised(y, skips, noise), noise, detail)

    def translate_middle(self, x: Tensor, noise: Tensor) -> Tensor:
        """`forward` of a window (N, 3, H, W), multiples of `stride`, cropped by `halo` px on every side.

        The result is (N, 3, H - 2 halo, W - 2 halo); `noise` (N, 1, ...) covers it and `noise_reach` px around it. The
        residual blocks leave their padding out, so that no layer computes more of the halo than later ones read, and no
        feature map lives longer than needed.
        """
        trim = self.stride * ResidualBlock.TRIM  # px that each block takes from every side
        trimmed = trim * (len(self.encoder) + len(self.decoder))
        y, skips = self.down(self.stem(x)), list[Tensor]()
        for level, block in enumerate(self.deeper, 1):
            skips.append(without_border(y, trimmed // 2**level))
            y = block(y)
        for block in self.encoder:
            y = block(y, padded=False)
        noise, detail = _parts(noise)
        noise = F.pad(noise, (self.halo - trim * len(self.encoder) - self.noise_reach,) * 4)  # to the size of y
        for index, block in enumerate(self.decoder):
            y = block(self._with_noise(y, noise, index), padded=False)
            noise = without_border(noise, trim)
        y = self._raised(y, skips, noise)
        seen = min(trimmed, SMOOTH_REACH)
        base = without_border(self._base(without_border(x, trimmed - seen)), seen)
        detail = F.pad(detail, (self.halo - trimmed - self.noise_reach,) * 4)
        return without_border(self._paint(base, y, noise, detail), self.halo - trimmed)

    def _with_noise(self, y: Tensor, noise: Tensor, index: int) -> Tensor:
        """Features y (N, C, H/s, W/s), s of `stride`, plus the noise (N, 1, H, W), weighted for a decoder block (ours).

        In an even sky, strokes or grain can be made of nothing else. As in StyleGAN2 each block has noise weights of
        its own; here they are a 1x1 convolution of the noise's s x s blocks, and start at 0.
        """
        if not self.noise:
            return y
        out: Tensor = y + self.noise[index](F.pixel_unshuffle(noise, self.stride).to(y.dtype))
        return out

    def _raised(self, y: Tensor, skips: Sequence[Tensor], noise: Tensor) -> Tensor:
        """Innermost features y at half the resolution (N, c2, H/2, W/2), each step up joined by the encoder's features.

        `skips` are those before each of the `deeper` blocks, the largest first; `noise` is (N, 1, H, W). Without such
        blocks y is half as large as the picture already.
        """
        for level, block in zip(range(len(skips), 0, -1), self.higher, strict=True):
            cells = 2**level  # px, along each side: means of noise over them, of unit variance again
            y = (block(y, cells * F.avg_pool2d(noise, cells)) + skips[level - 1]) * math.sqrt(0.5)
        return y

    def _paint(self, base: Tensor, y: Tensor, noise: Tensor, detail: Tensor) -> Tensor:
        """The picture: upsampled features y (N, c2, H/2, W/2) as RGB; with `networks.residual`, added to the base.

        A mixture of the materials' `detail` (N, 3 K, H, W) is added, if there is some.
        """
        features = self.up(y, noise)
        out: Tensor = precise(self.rgb(features)) + self.rgb_bias[:, None, None]
        picture = base + self.residual * out if self.residual else out
        return picture + self._mixed(picture, features, detail) if detail.shape[1] else picture

    def _mixed(self, picture: Tensor, features: Tensor, detail: Tensor) -> Tensor:
        """Detail (N, 3, H, W) for a picture (N, 3, H, W): a mixture of that of K materials (N, 3 K, H, W).

        A material's share falls with the distance of its colour from the picture's; features (N, c1, H, W) correct it.
        """
        assert self.mixture is not None and self.materials is not None
        window = 2 * COLOUR_REACH + 1
        coarse = F.avg_pool2d(picture.detach(), window, 1, COLOUR_REACH, count_include_pad=False)
        colours = self.materials.colours[:, :, None, None]
        apart = torch.cat([(coarse - colour).square().sum(1, keepdim=True) for colour in colours], dim=1)
        shares = (precise(self.mixture(features)) - apart / COLOUR_VARIANCE).softmax(1)
        mixed = torch.zeros_like(picture)
        for share, each in zip(shares.split(1, dim=1), detail.split(3, dim=1), strict=True):
            mixed = mixed + share * each
        return mixed

    @property
    def halo(self) -> int:
        """Receptive radius in px of an output pixel, rounded up to a multiple of `stride`."""
        return -(-self.receptive_radius() // self.stride) * self.stride

    @property
    def noise_reach(self) -> int:
        """Radius in px, a multiple of `stride`, within which noise influences an output box aligned to `stride`."""
        mixing = -(-COLOUR_REACH // self.stride) * self.stride if self.mixture is not None else 0
        if not self.noise:
            return mixing
        reach = self.up.reach((0, self.stride - 1))
        for block in (*reversed(self.higher), *reversed(self.decoder)):
            reach = block.reach(reach)  # type: ignore[operator]
        return self.stride * max(-reach[0], reach[1]) + mixing

    def encoder_halo(self, last: int) -> int:
        """Receptive radius in px of the features of layers 0..last, rounded up to a multiple of `stride`."""
        reach = (0, 0)
        for block in reversed([self.down, *self.deeper, *self.encoder][: max(0, last - 1)]):
            reach = block.reach(reach)  # type: ignore[operator]
        return -(-max(-reach[0], reach[1]) // self.stride) * self.stride

    def receptive_radius(self) -> int:
        """Receptive radius in px of an output pixel, computed from the layers."""
        radius = SMOOTH_REACH if self.residual and self.smooths_base else 0
        inwards = (*reversed(self.higher), *reversed(self.decoder), *reversed(self.encoder), *reversed(self.deeper))
        for position in range(self.stride):  # positions have different receptive fields
            reach = self.up.reach((position, position))
            for block in (*inwards, self.down):
                reach = block.reach(reach)  # type: ignore[operator]
            radius = max(radius, position - reach[0], reach[1] - position)
        return radius + (COLOUR_REACH if self.mixture is not None else 0)


def _parts(noise: Tensor) -> tuple[Tensor, Tensor]:
    """White noise (N, 1, H, W), and the detail of K materials (N, 3 K, H, W), K of 0 or more, of noise of both."""
    return noise[:, :1], noise[:, 1:]


class PyramidGenerator(StyleGenerator):
    """The translator with residual blocks at a quarter of the resolution (ours).

    There a place costs a quarter of one at half the resolution, so that blocks can have more channels and see twice as
    far in the same time. On the way up the features at half the resolution are joined by those on the way down.
    """

    stride = 4
    kept_share = 0.6  # as measured with 16 crops a step; with 48 it is less

    @staticmethod
    def widths(config: Networks) -> tuple[int, ...]:
        """The channels at full, half and a quarter of the resolution."""
        return config.stem, config.middle, config.inner
