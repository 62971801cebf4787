"""Generator G, discriminator D and projection heads H of single-image CUT (https://arxiv.org/abs/2007.15651).

G is an encoder whose features serve two purposes: the decoder turns the last of them into a picture, and PatchNCE
compares them between input and output. There is no normalisation over space anywhere: a pixel of the output depends
on its receptive field and on nothing else, which is what makes translating in tiles exact.

Pictures are (N, 3, H, W) in [-1, 1]. Layers are numbered as in the published code: 0 the RGB input, 1 after the 1x1
convolution, 2 after the downsampling block, 3 and up after each residual block.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sincut.config.sections import Networks
from sincut.nets.layers import SMOOTH_REACH, EqualConv2d, EqualLinear, ResidualBlock, UpBlock, smoothed, without_border

DETAIL_WINDOW = 9  # px: what is finer is detail to D
LEAST_DEVIATION = 0.02  # of a photo's colours, so that an even one is not blown up
D_WIDTHS = {4: 384, 8: 256, 16: 128, 32: 64, 64: 32, 128: 16}  # channels at each resolution; 16 above
STRIDE = 2  # G works at half resolution inside: tiles start at multiples of this


class Generator(nn.Module):
    """(N, 3, H, W) -> (N, 3, H, W), for any H, W >= 1.

    With `networks.noise`, one that is not `noisy` has no noise anywhere: where the painting has texture enough, some
    first weights would make grain of it that no photo has, all over the picture.
    """

    texture: Tensor

    def __init__(self, config: Networks, noisy: bool = True) -> None:
        super().__init__()
        c1, c2 = config.stem, config.inner
        encoder_blocks = config.blocks // 2
        self.residual, self.smooth = config.residual, False
        self.register_buffer("texture", torch.zeros(()))  # variance that `smoothed` takes away, see `smooth_below`
        self.stem = EqualConv2d(3, c1, 1, activation=True)
        self.down = ResidualBlock(c1, c2, down=True)
        self.encoder = nn.ModuleList(ResidualBlock(c2, c2) for _ in range(encoder_blocks))
        self.decoder = nn.ModuleList(ResidualBlock(c2, c2) for _ in range(config.blocks - encoder_blocks))
        self.noise = nn.ModuleList(EqualConv2d(STRIDE**2, c2, 1) for _ in self.decoder if config.noise and noisy)
        for layer in self.noise:
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
        self.up = UpBlock(c2, c1)
        self.up.noise_gain.requires_grad_(noisy or not config.noise)  # else it stays 0
        self.rgb = EqualConv2d(c1, 3, 1)
        self.rgb_bias = nn.Parameter(torch.zeros(3))

    def smooth_below(self, variance: float) -> None:
        """Lay the output on the input without its texture below this local variance; 0: on the input as it is."""
        self.texture.fill_(variance)
        self.smooth = variance > 0

    def encode(self, x: Tensor, last: int | None = None) -> list[Tensor]:
        """Features of layers 0..last (all of the encoder by default) of (N, 3, H, W) with even H and W.

        Layers 0 and 1 are (N, C, H, W), the others (N, C, H/2, W/2).
        """
        features = [x]
        for layer in (self.stem, self.down, *self.encoder)[:last]:
            features.append(layer(features[-1]))
        return features

    def encode_middle(self, x: Tensor, last: int) -> list[Tensor]:
        """`encode` of (N, 3, H, W) with even H and W without the outer `encoder_halo(last)` pixels."""
        halo = self.encoder_halo(last)
        features = enumerate(self.encode(x, last))
        return [without_border(f, halo if layer < 2 else halo // STRIDE) for layer, f in features]

    def decode(self, x: Tensor, deepest: Tensor, noise: Tensor) -> Tensor:
        """The picture (N, 3, H, W) from the input, its deepest features and standard normal noise (N, 1, H, W)."""
        y = deepest
        for index, block in enumerate(self.decoder):
            y = block(self._with_noise(y, noise, index))
        return self._paint(self._base(x), y, noise)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Translate (N, 3, H, W) of any size with noise (N, 1, H, W); odd sizes are padded by a pixel, then cropped."""
        h, w = x.shape[2:]
        pad = (0, w % STRIDE, 0, h % STRIDE)
        if any(pad):
            x, noise = F.pad(x, pad, mode="replicate"), F.pad(noise, pad)
        return self.decode(x, self.encode(x)[-1], noise)[:, :, :h, :w]

    def translate_middle(self, x: Tensor, noise: Tensor) -> Tensor:
        """`forward` of (N, 3, H, W) with even H and W without the outer `halo` pixels, which are only there to be seen.

        The result is (N, 3, H - 2 halo, W - 2 halo); noise (N, 1, ...) is that of the result and of `noise_reach` px
        around it. The residual blocks leave their padding out, so that no layer computes more of the halo than later
        ones look at; and no feature map lives longer than needed.
        """
        trim = STRIDE * ResidualBlock.TRIM  # px that each block takes from every side
        y = self.down(self.stem(x))
        for block in self.encoder:
            y = block(y, padded=False)
        noise = F.pad(noise, (self.halo - trim * len(self.encoder) - self.noise_reach,) * 4)  # of all places of y
        for index, block in enumerate(self.decoder):
            y = block(self._with_noise(y, noise, index), padded=False)
            noise = without_border(noise, trim)
        trimmed = trim * (len(self.encoder) + len(self.decoder))
        seen = min(trimmed, SMOOTH_REACH)
        base = without_border(self._base(without_border(x, trimmed - seen)), seen)
        return without_border(self._paint(base, y, noise), self.halo - trimmed)

    def _with_noise(self, y: Tensor, noise: Tensor, index: int) -> Tensor:
        """Features before a block of the decoder plus what they get of the noise (N, 1, H, W).

        Strokes in an even sky can come from nothing else. As in StyleGAN2 each block has weights of its own for it.
        """
        if not self.noise:
            return y
        out: Tensor = y + self.noise[index](F.pixel_unshuffle(noise, STRIDE).to(y.dtype))
        return out

    def _base(self, x: Tensor) -> Tensor:
        """What the output is laid on: the input without its own texture, so that G draws all that there will be."""
        return smoothed(x, self.texture) if self.residual and self.smooth else x.float()

    def _paint(self, base: Tensor, y: Tensor, noise: Tensor) -> Tensor:
        """The picture from its last features at half resolution, on top of its base."""
        out: Tensor = self.rgb(self.up(y, noise)).float() + self.rgb_bias[:, None, None]
        return base + self.residual * out if self.residual else out

    @property
    def halo(self) -> int:
        """The receptive radius, rounded up to a multiple of `STRIDE`."""
        return -(-self.receptive_radius() // STRIDE) * STRIDE

    @property
    def noise_reach(self) -> int:
        """How many pixels around a part of the output that starts and ends at multiples of `STRIDE`, as this does, have
        noise that can influence it.
        """
        if not self.noise:
            return 0
        first, last = self.up.reach((0, STRIDE - 1))
        for block in reversed(self.decoder):
            first, last = block.reach((first, last))  # type: ignore[operator]
        return STRIDE * max(-first, last)

    def encoder_halo(self, last: int) -> int:
        """How many pixels around those that it stands for can influence a feature of layers 0..last; as `halo`."""
        reach = (0, 0)
        for block in reversed([self.down, *self.encoder][: max(0, last - 1)]):
            reach = block.reach(reach)  # type: ignore[operator]
        return -(-max(-reach[0], reach[1]) // STRIDE) * STRIDE

    def receptive_radius(self) -> int:
        """How many pixels to any side of an output pixel can influence it, computed from the layers."""
        radius = SMOOTH_REACH if self.residual and self.smooth else 0
        for position in range(STRIDE):  # even and odd positions see differently far
            reach = self.up.reach((position, position))
            for block in (*reversed(self.decoder), *reversed(self.encoder), self.down):
                reach = block.reach(reach)  # type: ignore[operator]
            radius = max(radius, position - reach[0], reach[1] - position)
        return radius


class Discriminator(nn.Module):
    """Logits (T, 1) of tiles (T, 3, tile, tile), tile a power of two; StyleGAN2's, without minibatch deviation."""

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
        self.register_buffer("mean", torch.zeros(3, 1, 1), persistent=False)  # of the photo's colours, in `expect`
        self.register_buffer("deviation", torch.ones(3, 1, 1), persistent=False)

    def expect(self, photo: Tensor, detail: float) -> None:
        """From now on look at tiles relative to the colours of (1, 3, H, W), their detail `detail` times as strong.

        Means, contrasts and large forms differ more from tile to tile than between real and fake, above all in dark or
        soft pictures, where D would see nothing else for hundreds of steps.
        """
        self.detail = detail
        self.mean = photo.mean((0, 2, 3))[:, None, None].to(self.mean)
        self.deviation = photo.std((0, 2, 3))[:, None, None].clamp(min=LEAST_DEVIATION).to(self.deviation)

    def forward(self, tiles: Tensor) -> Tensor:
        if self.detail:
            tiles = (tiles - self.mean) / self.deviation
            large = F.pad(tiles, (DETAIL_WINDOW // 2,) * 4, mode="replicate")
            for window in ((DETAIL_WINDOW, 1), (1, DETAIL_WINDOW)):
                large = F.avg_pool2d(large, window, stride=1)
            tiles = torch.lerp(large, tiles, self.detail)
        x = self.convolutions(tiles).flatten(1)  # (T, C, 4, 4) -> (T, C*16)
        out: Tensor = self.logit(self.hidden(x))
        return out


class Projector(nn.Module):
    """The heads H: for each PatchNCE layer a 2-layer perceptron, then unit length."""

    def __init__(self, config: Networks, layers: tuple[int, ...]) -> None:
        super().__init__()
        channels = (3, config.stem)  # of layers 0 and 1; all others have c2
        self.heads = nn.ModuleList()
        for layer in layers:
            c = channels[layer] if layer < 2 else config.inner
            heads = EqualLinear(c, config.features), nn.ReLU(), EqualLinear(config.features, config.features)
            self.heads.append(nn.Sequential(*heads))

    def forward(self, patches: list[Tensor]) -> list[Tensor]:
        """For each layer (P, C) -> (P, F), rows of unit length."""
        return [F.normalize(head(rows).float(), dim=1) for head, rows in zip(self.heads, patches, strict=True)]
