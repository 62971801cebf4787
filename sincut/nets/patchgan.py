"""The discriminator for sets of pictures: PatchGAN, which judges each 70 x 70 px of a picture (Isola et al. 2017).

"Image-to-Image Translation with Conditional Adversarial Networks" (https://arxiv.org/abs/1611.07004), section 3.2.2;
with anti-aliased downsampling, as in the published code of CUT. T tiles are (T, 3, tile, tile) in [-1, 1].
"""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from sincut.config.networks import Networks
from sincut.nets.discriminator import Discriminator
from sincut.nets.layers import BlurPool, Conv2d, normalised

WIDTHS = (64, 128, 256, 512)  # channels of the convolutions but the last
SLOPE = 0.2  # of the leaky ReLU


class PatchDiscriminator(Discriminator):
    """Tiles (T, 3, tile, tile) -> logits (T, 1, h, w), one for each of overlapping patches: 30 x 30 of 256 px.

    Five 4x4 convolutions; after the first three every second place is taken, behind a blur. All but the first and the
    last have instance normalisation.
    """

    def __init__(self, config: Networks) -> None:
        super().__init__()
        channels = [3, *(max(1, round(width * config.discriminator)) for width in WIDTHS), 1]
        self.convolutions = nn.ModuleList(Conv2d(c_in, c_out, 4, padding=1) for c_in, c_out in pairwise(channels))
        self.blur = BlurPool()

    def judged(self, tiles: Tensor) -> Tensor:
        """Tiles (T, 3, tile, tile) -> logits (T, 1, h, w)."""
        first, *middle, last = self.convolutions
        y = self.blur(F.leaky_relu(first(tiles), SLOPE))
        for number, convolution in enumerate(middle, 1):
            y = F.leaky_relu(normalised(convolution(y)), SLOPE)
            y = self.blur(y) if number < len(middle) else y
        out: Tensor = last(y)
        return out
