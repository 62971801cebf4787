"""A row of the corpus: a file, and what is right for it; and the numbers that the files are made from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

COLUMNS = ("extras", "beyond", "base")  # with all extras; the same beyond memory; without any
H, W = 37, 53  # no multiples of anything
GREYS = "greys"  # a word of the note on greys that became RGB


@dataclass(frozen=True, eq=False)
class Done:
    """The file is translated: with strength 0 the output shows these colours."""

    pixels: np.ndarray  # (H, W, 3) of 8 or 16 bits, sRGB, as the output is shown through its own profile
    words: tuple[str, ...] | None = ()  # all stand in its notes ("a|b": either); none: it has no notes; None: whatever
    alpha: np.ndarray | None = None  # (H, W)
    off: float = 0.0  # the largest mean error, of 255
    kept: Mapping[str, object] = field(default_factory=dict)  # what `look.Look` says of the output
    has: tuple[bytes, ...] = ()  # such bytes are in the output
    lacks: tuple[bytes, ...] = ()  # and no such ones
    or_told: str = ""  # what is not kept or not in the output is right, too, where the notes say this


@dataclass(frozen=True)
class Refused:
    """The file is refused in words, all of which stand in the one line."""

    words: tuple[str, ...]
    damaged: bool | None = False  # and remembered as such; None: whatever


@dataclass(frozen=True, eq=False)
class Row:
    """A file of this name, the bytes that it has, and its outcome in the columns."""

    name: str
    make: Callable[[], bytes]
    want: Done | Refused
    base: Done | Refused | None = None  # in the base install, where it differs
    to: str = ".png"  # suffix of the output
    needs: str = ""  # the module that is needed to make it

    def outcome(self, column: str) -> Done | Refused:
        """What is right in a column."""
        return self.base if column == "base" and self.base is not None else self.want


def smooth() -> np.ndarray:
    """Muted colours (H, W, 3) in 0..1, which most colour spaces hold and lossy encoders change little."""
    y, x = np.mgrid[:H, :W]
    red = 0.5 + 0.22 * np.sin(x / 9)
    green = 0.45 + 0.2 * np.sin(y / 7 + x / 30)
    return np.stack([red, green, 0.3 + 0.4 * y / H], -1)


def eight(values: np.ndarray) -> np.ndarray:
    """Values in 0..1, or of 16 bits, as 8 bits."""
    values = values / 65535 if values.dtype == np.uint16 else values
    return (values * 255).round().astype(np.uint8)


def sixteen(values: np.ndarray) -> np.ndarray:
    """Values in 0..1 as 16 bits."""
    return (values * 65535).round().astype(np.uint16)


def of_grey(values: np.ndarray) -> np.ndarray:
    """Greys (H, W) as (H, W, 3)."""
    return np.repeat(values[..., None], 3, axis=2)


VALUES = smooth()
RGB, DEEP = eight(VALUES), sixteen(VALUES)
GREY, DEEP_GREY = RGB[..., 1], DEEP[..., 1]
ALPHA = np.linspace(40, 255, H * W).round().astype(np.uint8).reshape(H, W)
DEEP_ALPHA = (ALPHA.astype(np.uint16) * 257).astype(np.uint16)


def deep(name: str, make: Callable[[], bytes], pixels: np.ndarray, *words: str, **more: object) -> Row:
    """A row of 16 bits a channel, which the base install makes 8 of."""
    alpha = more.pop("alpha", None)
    assert alpha is None or isinstance(alpha, np.ndarray)
    off = float(str(more.pop("off", 0.0)))
    less = Done(eight(pixels), (*words, "8"), None if alpha is None else eight(alpha), max(off, 0.6))
    return Row(name, make, Done(pixels, words, alpha, off), less, **more)  # type: ignore[arg-type]
