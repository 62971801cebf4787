"""Pictures beyond memory: from file to file in rows of tiles."""

from pathlib import Path
from typing import Any

from sincut.devices import used_memory
from sincut.errors import ImageError
from sincut.events import Listener
from sincut.pictures import libvips, reading
from sincut.pictures.large import open_large, whole_only
from sincut.pictures.picture import Pixels
from sincut.pictures.writing import Saving
from sincut.translation.engine import Engine
from sincut.translation.memory import MORE_MEMORY, WHOLE_ONLY, budget
from sincut.translation.options import Options
from sincut.translation.pipeline import announce, translate_scene
from sincut.translation.rescaled import Widths
from sincut.translation.scene import Scene
from sincut.translation.tiles import Box


def apply_streamed(
    engine: Engine, source: Path, target: Path, options: Options, saving: Saving, on_event: Listener
) -> tuple[str, ...]:
    """Translate a file into a file that appears when it is complete; returns notes for the user. Raises `ImageError`.

    Needs the extra `sincut[large]`.
    """
    widths, memory = Widths.of(engine.model), engine.memory
    _check_possible(engine, source, options)
    with open_large(source, target, saving, options.max_pixels) as large:
        size, file_bytes = large.reader.size, large.reader.bytes_per_pixel
        seen = widths.seen(size, options.scale)
        drawer = engine.drawer(options)
        synthesis = drawer.synthesis if drawer else None
        tiling, needs = memory.streamed(size, seen, file_bytes, options, source, synthesis)
        announce(engine, (source, target), size, tiling, used_memory() + needs, options, on_event)
        band: Any = None  # the rows (h, W, 3 or 4) of the tiles that are being written

        def write(box: Box, pixels: Pixels | None) -> None:
            nonlocal band
            top, left, bottom, right = box
            if left == 0:
                band = large.reader.rows(top, bottom)
            if pixels is not None:
                band[:, left:right, :3] = pixels
            if right == size[1]:
                large.writer.write(band)

        scene = Scene(size, large.reader.dtype, large.window, large.rows)
        notes = translate_scene(engine, scene, write, tiling, options, on_event, target.parent)
    return (*large.notes, *notes)


def _check_possible(engine: Engine, source: Path, options: Options) -> None:
    """Raise `ImageError` where a file cannot be translated in parts: for the model, or without libvips."""
    size = reading.size_of(source, options.max_pixels)
    seen = Widths.of(engine.model).seen(size, options.scale)
    if engine.limits.whole_only and seen == size:
        remedy = f"{WHOLE_ONLY}: {MORE_MEMORY}"
    elif not libvips.installed():
        remedy = "pip install 'sincut[large]' or raise --max-memory"
    else:
        remedy = whole_only(source)
    if not remedy:
        return
    drawer = engine.drawer(options)
    synthesis = drawer.synthesis if drawer else None
    need = engine.memory.needs(size, seen, reading.bytes_in_memory(source), synthesis)
    allowed = budget(options)
    needed = f"{source}: {size[1]}x{size[0]} pixels need {need / 1e9:.1f} GB, {allowed / 1e9:.1f} GB are allowed"
    raise ImageError(f"{needed}; {remedy}")
