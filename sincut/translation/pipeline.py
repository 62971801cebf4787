"""The way of one picture: what is expected is told, then it is scaled, translated in tiles, blended and written."""

import math
from collections.abc import Callable
from pathlib import Path, PurePath

from torch import Tensor

from sincut.events import Listener, PictureStarted
from sincut.pictures.masks import load_mask
from sincut.pictures.picture import Pixels, to_pixels
from sincut.translation.drawing import FirstPass, Write, draw_picture, everywhere
from sincut.translation.engine import Engine
from sincut.translation.light import lit
from sincut.translation.memory import WHOLE_ONLY, Tiling
from sincut.translation.options import Options
from sincut.translation.rescaled import Widths, translate_rescaled
from sincut.translation.scene import Scene
from sincut.translation.tiles import Box, count, positions

WritePixels = Callable[[Box, Pixels | None], None]  # pixels (h, w, 3) of a box, or None where the source stays


def announce(
    engine: Engine,
    files: tuple[PurePath, PurePath],
    size: tuple[int, int],
    tiling: Tiling,
    memory: int,
    options: Options,
    on_event: Listener,
) -> None:
    """Tell size, tiles, memory (bytes) and time of a picture (H, W) on its way between two files."""
    seen = Widths.of(engine.model).seen(size, options.scale)
    seconds = engine.expected_seconds(size, seen, tiling, engine.drawer(options))
    tiles = tiling.tiles(size, seen) * engine.model.rounds(seen)
    on_event(PictureStarted(*files, size[1], size[0], tiles, memory, seconds, engine.model.unit))


def translate_scene(
    engine: Engine,
    scene: Scene,
    write: WritePixels,
    tiling: Tiling,
    options: Options,
    on_event: Listener,
    folder: Path | None = None,
) -> tuple[str, ...]:
    """Translate, draw where the model has an exemplar, blend, and write box by box, row by row.

    A layout that does not fit into memory is kept in `folder` meanwhile. Returns notes for the user. Raises
    `ImageError`.
    """
    mask = load_mask(options.mask, scene.size, options.max_pixels) if options.mask else None

    def wanted(box: Box) -> bool:
        return bool(options.blend.strength) and (mask is None or mask.touches(box))

    def finish(box: Box, output: Tensor | None) -> None:
        if output is not None and not (options.blend.is_whole and mask is None):
            output = options.blend(scene.tensor(*positions(box)), output.cpu(), mask.weight(box) if mask else None)
        write(box, None if output is None else to_pixels(output, scene.dtype))

    widths, w = Widths.of(engine.model), scene.size[1]
    factor, seen = widths.factor(w, options.scale), widths.seen(scene.size, options.scale)

    def translate(write: Write, on_event: Listener, wanted: Callable[[Box], bool] = everywhere) -> None:
        if factor == 1:
            engine.run(scene.tensor, write, scene.size, tiling.side, on_event, wanted)
        else:
            translate_rescaled(engine, scene, write, factor, tiling.side, on_event)

    drawer = engine.drawer(options)
    if drawer is None:
        translate(finish, on_event, wanted)
    else:

        def lay_out(write: Write, on_event: Listener) -> None:
            translate(lit(write, scene.tensor, scene.size, engine.model, options.dials.fidelity), on_event)

        first = FirstPass(lay_out, count(seen, tiling.side), math.prod(seen), engine.pixel_seconds)
        draw_picture(drawer, scene.size, tiling, first, finish, on_event, wanted, folder)
    return widths.remarks(w, options.scale) + _of_tiles(engine, options)


def _of_tiles(engine: Engine, options: Options) -> tuple[str, ...]:
    """A note where tiles were asked for that the model cannot have."""
    asked = options.tile not in ("auto", "off")
    return (f"--tile {options.tile} is left aside: {WHOLE_ONLY}",) if asked and engine.limits.whole_only else ()
