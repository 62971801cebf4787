"""The generator G, the network that translates: what all architectures of it have in common.

G is an encoder and a decoder; PatchNCE compares the encoder's features, whose layers are numbered from 0, the RGB
input. `stylegan2.py` has the published network for single pictures, `resnet.py` that for sets of pictures, and
`architectures.py` makes the one that the settings choose. Whoever trains, applies or stores a G uses this interface
alone.

Pictures are (N, 3, H, W), inputs and outputs about [-1, 1] and not clipped; noise is standard normal (N, 1, H, W).
Ours: the output may be added to the base, the input without its texture (`networks.residual`, `networks.smooth`); and
with `networks.materials` there may be further channels of noise, (N, 1 + 3 K, H, W), the detail of the target's K
materials (`materials.py`).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sincut.config.networks import Networks
from sincut.nets.filters import smoothed
from sincut.nets.local import precise
from sincut.nets.materials import Materials


class Generator(nn.Module, ABC):
    """The translator (N, 3, H, W) -> (N, 3, H, W), for any H, W >= 1; its layers follow from the settings alone.

    An architecture has an output pixel depend on its receptive field alone, and then overrides `halo`, `encoder_halo`,
    `translate_middle` and `encode_middle`, by which pictures are translated in exact tiles. Or it is `whole_only`: any
    pixel may influence any other, there is no halo, and the middle of a picture is all of it.
    """

    stride: ClassVar[int]  # px of the picture per place of the innermost feature maps; tiles start at multiples of it
    whole_only: ClassVar[bool] = False
    kept_share: ClassVar[float] = 1.0  # of `pass_bytes_of`: what a step of a training keeps for the gradient of a pass
    texture: Tensor

    def __init__(self, config: Networks) -> None:
        super().__init__()
        self.config, self.residual, self.smooths_base = config, config.residual, False
        self.materials = Materials(config.materials) if config.materials else None
        self.register_buffer("texture", torch.zeros(()))  # see `set_base_smoothing`; the name is a format

    @classmethod
    @abstractmethod
    def channels_of(cls, config: Networks) -> tuple[int, ...]:
        """The channels of each layer of the encoder, from 0 (RGB), for these settings."""

    @classmethod
    @abstractmethod
    def bytes_of(cls, config: Networks) -> int:
        """Bytes per pixel of all feature maps alive at once in a translation, roughly, for these settings."""

    @classmethod
    @abstractmethod
    def pass_bytes_of(cls, config: Networks) -> int:
        """Bytes per pixel of the largest feature maps of one pass, roughly, by which a training's memory is told."""

    @classmethod
    @abstractmethod
    def step_of(cls, layer: int) -> int:
        """Pixels of the picture, along each side, per place of a layer's features."""

    @staticmethod
    @abstractmethod
    def linear(f_in: int, f_out: int) -> nn.Module:
        """A new linear layer (R, F_in) -> (R, F_out) for the projection heads, of the kind of G's own layers.

        They are trained at the same learning rate.
        """

    @abstractmethod
    def encode(self, x: Tensor, last: int | None = None) -> list[Tensor]:
        """Features of layers 0..last (the whole encoder by default) of (N, 3, H, W), H and W multiples of `stride`.

        Those of a layer are (N, C, H / s, W / s), with C of `channels_of` and s of `step_of`; layer 0 is the input.
        """

    @abstractmethod
    def decode(self, features: Sequence[Tensor], noise: Tensor) -> Tensor:
        """The translation (N, 3, H, W) of a picture, from the features of all its layers (`encode`) and noise."""

    @property
    @abstractmethod
    def encoder_parts(self) -> Iterable[nn.Module]:
        """The layers of the encoder, all that `encode` computes with."""

    @property
    def deepest(self) -> int:
        """The number of the encoder's last layer."""
        return self.config.deepest_layer

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """The translation of x (N, 3, H, W) of any size, padded to a multiple of `stride` and cropped again."""
        h, w = x.shape[2:]
        pad = (0, -w % self.stride, 0, -h % self.stride)
        if any(pad):
            x, noise = F.pad(x, pad, mode="replicate"), F.pad(noise, pad)
        return self.decode(self.encode(x), noise)[:, :, :h, :w]

    def translate_middle(self, x: Tensor, noise: Tensor) -> Tensor:
        """`forward` of a window (N, 3, H, W), multiples of `stride`, cropped by `halo` px on every side.

        The result is (N, 3, H - 2 halo, W - 2 halo); `noise` (N, 1, ...) covers it and `noise_reach` px around it.
        """
        return self.decode(self.encode(x), noise)

    def encode_middle(self, x: Tensor, last: int) -> list[Tensor]:
        """`encode` of a window (N, 3, H, W), multiples of `stride`, cropped by `encoder_halo(last)` px a side."""
        return self.encode(x, last)

    @property
    def halo(self) -> int:
        """Receptive radius in px of an output pixel, rounded up to a multiple of `stride`; 0 with `whole_only`."""
        return 0

    @property
    def noise_reach(self) -> int:
        """Radius in px, a multiple of `stride`, within which noise influences an output box aligned to `stride`."""
        return 0

    def encoder_halo(self, last: int) -> int:
        """Receptive radius in px of the features of layers 0..last, as `halo`."""
        return 0

    def set_base_smoothing(self, variance: float) -> None:
        """Smooth the base, the input that the output is added to, by `filters.smoothed` of this variance; 0: do not.

        The variance is the buffer `texture`, and so a part of the weights: call this again after loading them.
        """
        self.texture.fill_(variance)
        self.smooths_base = variance > 0

    def _base(self, x: Tensor) -> Tensor:
        """The base: the input, with `set_base_smoothing` without its texture, since G is to draw the target's."""
        return smoothed(x, self.texture) if self.residual and self.smooths_base else precise(x)
