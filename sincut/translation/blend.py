"""Blending of source and translation, pixel by pixel, so that the tiles of a picture fit together.

Pictures are (1, 3, H, W) in [-1, 1], sRGB. Blending happens in CIELAB (CIE 1976), where equal steps look about equal:
lightness L and the colour axes a, b.
"""

from dataclasses import dataclass

import torch
from kornia.color import lab_to_rgb, rgb_to_lab
from torch import Tensor

from sincut.errors import ConfigError

KEEP = ("", "colour", "texture")


@dataclass(frozen=True)
class Blend:
    """A mix of source and translation: `strength` in [0, 1], 0 being the source and 1 the translation.

    `keep="colour"` leaves the source's a and b, `keep="texture"` its L. Raises `ConfigError` for other values.
    """

    strength: float = 1.0
    keep: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise ConfigError(f"a strength of {self.strength:g} is out of range: it must be 0 to 1")
        if self.keep not in KEEP:
            raise ConfigError(f"keep={self.keep!r} is unknown: it must be colour or texture")

    @property
    def is_whole(self) -> bool:
        """True if the translation is used as it is."""
        return self.strength == 1 and not self.keep

    def __call__(self, source: Tensor, output: Tensor, weight: Tensor | None = None) -> Tensor:
        """The mix of two pictures; `weight` (1, 1, H, W) in 0..1, of a mask, scales the strength at each pixel."""
        if self.is_whole and weight is None:
            return output
        first, second = (rgb_to_lab((picture.clamp(-1, 1) + 1) / 2) for picture in (source, output))
        if self.keep == "colour":
            second = torch.cat([second[:, :1], first[:, 1:]], dim=1)
        if self.keep == "texture":
            second = torch.cat([first[:, :1], second[:, 1:]], dim=1)
        share = self.strength * (weight if weight is not None else torch.ones_like(first[:, :1]))
        mixed = lab_to_rgb(torch.lerp(first, second, share)) * 2 - 1
        mixed = torch.where(share == 0, source, mixed)
        return torch.where(share == 1, output, mixed) if not self.keep else mixed


WHOLE = Blend()
