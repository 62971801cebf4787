"""Translating at another scale than the picture's own, and the scales that a training has seen."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sincut.events import Listener
from sincut.model.kinds import AnyModel
from sincut.pictures.resampling import resized, resized_rows
from sincut.translation.drawing import Write
from sincut.translation.engine import Engine
from sincut.translation.memory import PIXELS_AT_ONCE
from sincut.translation.scene import Scene
from sincut.translation.tiles import Box, index_of

NEAR_TRAINING = 1.25  # times the widths of the training, up to which --scale auto changes nothing
FAR_FROM_TRAINING = 2.0  # times the widths of the training, where --scale is worth a thought


@dataclass(frozen=True)
class Widths:
    """The smallest and the largest width in px at which a training has shown its source to G."""

    low: float
    high: float

    @classmethod
    def of(cls, model: AnyModel) -> "Widths":
        """The widths that a model tells; 1 to infinity where they are unknown."""
        return cls(*model.widths)

    def factor(self, w: int, scale: float | str) -> float:
        """The factor by which a picture of width W is scaled for G, `scale` being that factor or "auto"."""
        if scale != "auto":
            return float(scale)
        if w > NEAR_TRAINING * self.high:
            return self.high / w
        return self.low / w if w * NEAR_TRAINING < self.low else 1.0

    def seen(self, size: tuple[int, int], scale: float | str) -> tuple[int, int]:
        """The size (H, W) at which G sees a picture of this size."""
        return scaled_size(size, self.factor(size[1], scale))

    def remarks(self, w: int, scale: float | str) -> tuple[str, ...]:
        """Notes for the user on the scale at which a picture of width W is translated."""
        factor = self.factor(w, scale)
        if scale == "auto" and factor != 1:
            return (f"translated at {factor:.3g} of its size, which the training has seen",)
        if w * factor > FAR_FROM_TRAINING * self.high:
            return (f"{w * factor / self.high:.1f} times as wide as the largest of the training; try --scale auto",)
        if w * factor < self.low / FAR_FROM_TRAINING:
            return (f"{self.low / w / factor:.1f} times narrower than the smallest of the training; try --scale auto",)
        return ()


def scaled_size(size: tuple[int, int], factor: float) -> tuple[int, int]:
    """A size (H, W) times a factor, rounded, at least 1x1."""
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def translate_rescaled(
    engine: Engine, scene: Scene, write: Write, factor: float, side: int, on_event: Listener
) -> None:
    """Translate at another scale and come back to the picture's own, with the detail that was lost on the way.

    That detail is the picture minus the picture scaled down and up again, in the colours that the colour map gives:
    what is scaled up is the translation without the colour-mapped small picture, and then the whole one is added.
    """
    (h, w), small_size = scene.size, scaled_size(scene.size, factor)
    half = np.float32(np.iinfo(scene.dtype).max / 2)
    small = resized_rows(scene.rows, (h, w), small_size) / half  # (h', w', 3) float32, in [0, 2]
    translated = np.empty((*small_size, 3), np.float32)
    matrix = engine.model.colour_matrix

    def read(rows: Tensor, columns: Tensor) -> Tensor:
        part = small[index_of(rows)][:, index_of(columns)]
        return torch.from_numpy(part - 1).permute(2, 0, 1)[None].float()

    def keep(box: Box, tile: Tensor | None) -> None:
        assert tile is not None
        top, left, bottom, right = box
        translated[top:bottom, left:right] = tile[0].permute(1, 2, 0).cpu().numpy()

    engine.run(read, keep, small_size, side, on_event)
    if factor < 1:
        translated -= small @ matrix.numpy().T
    step = max(1, PIXELS_AT_ONCE // w)
    for top in range(0, h, step):
        bottom = min(top + step, h)
        out = torch.from_numpy(resized(translated, (h, w), (top, bottom))).permute(2, 0, 1)[None]
        if factor < 1:
            whole = torch.from_numpy(scene.rows(top, bottom) / half).permute(2, 0, 1)[None]
            out = out + torch.einsum("oc,nchw->nohw", matrix, whole.float())
        write((top, 0, bottom, w), out)
