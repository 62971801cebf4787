"""The options of translating: tiles, memory, and how much of the translation is used where and at which scale."""

import math
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path

from sincut.errors import ConfigError
from sincut.model.exemplar import REMEDY
from sincut.pictures.opening import MAX_PIXELS
from sincut.synthesis.synthesis import Dials
from sincut.translation.blend import WHOLE, Blend

AS_LEARNED = Dials()  # the exemplar at its own scale
Tile = int | str  # side in px, or "auto", or "off"


@dataclass(frozen=True)
class Options:
    """The options of translating, the same for all pictures of a call.

    - `tile`: side in px, "auto" (by memory) or "off" (the whole picture at once).
    - `max_memory`: bytes for the whole program; None: a share of what is free.
    - `max_pixels`: files that declare more are refused.
    - `blend`: how much of the translation is used; `mask`: a picture whose greys are weights for it at each pixel.
    - `scale`: G runs on the picture scaled by this factor, and the source's finer detail is put back; "auto" takes the
      nearest scale that the training has seen.
    - `fast`: G's translation is all, also where the model has an exemplar to draw the picture from.
    - `dials`: how the picture is drawn from that exemplar.

    Raises `ConfigError` for values out of range.
    """

    tile: Tile = "auto"
    max_memory: int | None = None
    max_pixels: int = MAX_PIXELS
    blend: Blend = WHOLE
    mask: Path | None = None
    scale: float | str = 1.0
    fast: bool = False
    dials: Dials = AS_LEARNED

    def __post_init__(self) -> None:
        if self.tile not in ("auto", "off") and not (isinstance(self.tile, Integral) and _counts(self.tile)):
            raise ConfigError(f"tile={self.tile!r} is unknown: it must be a side in px of 1 or more, auto or off")
        for name in ("max_memory", "max_pixels"):
            value = getattr(self, name)
            if not (_counts(value) or (name == "max_memory" and value is None)):
                raise ConfigError(f"{name}={value!r} is out of range: it must be a number of 1 or more")
        if self.scale != "auto" and not (isinstance(self.scale, int | float) and 0.01 <= self.scale <= 16):
            raise ConfigError(f"a scale of {self.scale} is out of range: it must be 0.01 to 16, or auto")
        if self.fast and self.dials != AS_LEARNED:
            raise ConfigError(
                "fast leaves out what stroke scale, fidelity and by height are for; give one or the other"
            )

    def check_exemplar(self, there: bool, remedy: str = REMEDY) -> None:
        """Raise `ConfigError`, with a remedy, where dials ask something of a model's exemplar that is not `there`."""
        if self.dials != AS_LEARNED and not there:
            raise ConfigError(
                f"stroke scale, fidelity and by height are for a model that carries its exemplar; {remedy}"
            )


def _counts(value: object) -> bool:
    """True for a finite number of 1 or more."""
    return isinstance(value, Real) and not isinstance(value, bool) and 1 <= float(value) < math.inf


PLAIN = Options()
