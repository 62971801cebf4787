"""The options of translating: tiles, memory, and how much of the translation is used where and at which scale."""

from dataclasses import dataclass
from pathlib import Path

from sincut.errors import ConfigError
from sincut.pictures.opening import MAX_PIXELS
from sincut.translation.blend import WHOLE, Blend

Tile = int | str  # side in px, or "auto", or "off"


@dataclass(frozen=True)
class Options:
    """How pictures are translated, the same for all of them.

    - `tile`: side in px, "auto" (by memory) or "off" (the whole picture at once).
    - `max_memory`: bytes for the whole program; None: a share of what is free.
    - `max_pixels`: files that declare more are refused.
    - `blend`: how much of the translation is used; `mask`: a picture whose greys are weights for it at each pixel.
    - `scale`: G runs on the picture scaled by this factor, and the source's finer detail is put back; "auto" takes the
      nearest scale that the training has seen.

    Raises `ConfigError` for values out of range.
    """

    tile: Tile = "auto"
    max_memory: int | None = None
    max_pixels: int = MAX_PIXELS
    blend: Blend = WHOLE
    mask: Path | None = None
    scale: float | str = 1.0

    def __post_init__(self) -> None:
        if self.scale != "auto" and not (isinstance(self.scale, int | float) and 0.01 <= self.scale <= 16):
            raise ConfigError(f"a scale of {self.scale} is out of range: it must be 0.01 to 16, or auto")


PLAIN = Options()
