"""The source's own light and shade, put back in part into what G has laid out.

In a picture that it was not trained on, G may take dark trees for bright ones. A layout keeps some of the luma that the
colour map alone gives, and all of the colours that G chose.
"""

from torch import Tensor

from sincut.model.kinds import AnyModel
from sincut.nets.filters import SMOOTH_REACH, smoothed
from sincut.nets.local import without_border
from sincut.synthesis.pyramid import luma
from sincut.translation.drawing import Write
from sincut.translation.engine import Read
from sincut.translation.tiles import Box, mirrored_around, positions

TEXTURE = 0.02  # local variance, of values in [-1, 1], of which half is taken from the source as texture
PUT_BACK = 0.6  # share of the luma that a fidelity of 1 puts back


def lit(write: Write, read: Read, size: tuple[int, int], model: AnyModel, fidelity: float) -> Write:
    """A `Write` that moves the luma of G's tiles towards that of the colour-mapped source, which `read` gives.

    Of the source, of `size` (H, W), only what is larger or stronger than texture counts: a painting's luma is strokes.
    `fidelity` is that of `Dials`, in 0..1. Models without a colour map have their tiles written as they are.
    """
    maps = model.colour_maps
    if not maps:
        return write

    def write_lit(box: Box, tile: Tensor | None) -> None:
        if tile is not None:
            around = mirrored_around(*positions(box), size, SMOOTH_REACH)
            source = without_border(smoothed(read(*around), TEXTURE), SMOOTH_REACH).to(tile)
            for colour_map in maps:
                source = colour_map(source)
            tile = tile + PUT_BACK * fidelity * (luma(source) - luma(tile))
        write(box, tile)

    return write_lit
