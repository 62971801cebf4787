"""Proofs: translations of a picture at the size of a screen, to choose by before files are made.

A proof is made of a reduced copy of the picture, in a second or two. Its strokes are as large, relative to the picture,
as those of the full size. Strength, mask and what is kept of the source are mixed into it at once.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sincut.files import stat_of
from sincut.page import uploads
from sincut.pictures import reading
from sincut.pictures.masks import load_mask
from sincut.pictures.picture import Picture, to_pixels, to_tensor
from sincut.synthesis.synthesis import STROKE_SCALES
from sincut.translation.blend import WHOLE, Blend
from sincut.translation.options import Options
from sincut.translation.translator import Translator

MEGAPIXELS = 0.35  # of a proof
KEPT = 6  # proofs that are kept


@dataclass(frozen=True)
class Proof:
    """A reduced source and its whole translation, both without alpha, and the size (H, W) of the source itself."""

    source: Picture
    output: Picture
    size: tuple[int, int]

    def mixed(self, blend: Blend, mask: Path | None = None) -> Picture:
        """The translation as it looks with this blend, where the mask is white. Raises `ImageError` as `load_mask`."""
        weight = load_mask(mask, self.source.size).weight((0, 0, *self.source.size)) if mask else None
        mixed = blend(to_tensor(self.source.pixels), to_tensor(self.output.pixels), weight)
        return replace(self.output, pixels=to_pixels(mixed))


@dataclass
class Proofs:
    """The last proofs by everything that decides how they look."""

    made: "OrderedDict[tuple[Any, ...], Proof]" = field(default_factory=OrderedDict)

    def there(self, model: tuple[Any, ...], path: Path, options: Options) -> Proof | None:
        """The proof of a picture file, if it is kept. `model` tells the model's name and file."""
        return self.made.get(_key(model, path, options))

    def make(self, model: tuple[Any, ...], path: Path, options: Options, translator: Translator) -> Proof:
        """The proof of a picture file, made where it is not kept. Raises `ImageError`, and `ConfigError` for dials."""
        key = _key(model, path, options)
        if key not in self.made:
            self.made[key] = _made(path, options, translator)
            while len(self.made) > KEPT:
                self.made.popitem(last=False)
        return self.made[key]


def _key(model: tuple[Any, ...], path: Path, options: Options) -> tuple[Any, ...]:
    """All that decides how a proof looks."""
    return model, path, stat_of(path), replace(options, blend=WHOLE, mask=None)


def _made(path: Path, options: Options, translator: Translator) -> Proof:
    """The proof of a picture file. Raises `ImageError`."""
    size = uploads.size_to_show(path, options.max_pixels)
    source = reading.viewable(path, MEGAPIXELS, options.max_pixels)
    factor = math.sqrt(math.prod(size) / math.prod(source.size))
    output = translator.apply_picture(source, reduced(options, factor, bool(translator.model.exemplars)))
    return Proof(source, output, size)


def reduced(options: Options, factor: float, draws: bool) -> Options:
    """The options for a copy whose sides are 1/`factor` of the picture's, for it to look as the picture would.

    Strokes are as much smaller, where the model draws; G sees what it would see, but no more than the copy shows.
    """
    dials = options.dials
    if draws and not options.fast:
        least, most = STROKE_SCALES
        dials = replace(dials, stroke_scale=min(max(dials.stroke_scale / factor, least), most))
    seen = options.scale if isinstance(options.scale, str) else min(1.0, options.scale * factor)
    return replace(options, blend=WHOLE, mask=None, dials=dials, scale=seen)
