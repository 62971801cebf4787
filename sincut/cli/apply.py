"""`sincut apply`: pictures, folders and streams, translated by one model or several."""

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sincut.cli import completion
from sincut.cli.console import print_json, print_table
from sincut.cli.helping import Sectioned
from sincut.cli.signals import stoppable
from sincut.cli.types import (
    PATH,
    Engine,
    Place,
    Scale,
    Size,
    Tile,
    device_option,
    engine_options,
    events_option,
    fast_option,
    gathered,
    max_pixels_option,
)

if TYPE_CHECKING:
    from sincut.batch.remote import AnyPath
    from sincut.pictures.writing import Saving
    from sincut.translation.options import Options

SECTIONS = {  # of the help: titles, and parameters in the order of use
    "Where to": ("output", "in_place", "overwrite", "dry_run"),
    "The look": ("strength", "stroke_scale", "fidelity", "by_height", "keep", "mask", "fast", "scale", "greys"),
    "Files": ("format_", "quality", "strip", "keep_times"),
    "Folders": ("include", "exclude", "retry_failed", "watch"),
    "This machine, and programs": ("device", "max_memory", "tile", "max_pixels", "as_json"),
    "Many machines": ("engine", "workers", "worker_cpus", "worker_gpus", "ray_address"),
}
KERNELS_KEPT = "128"  # by torch; it keeps 1024 by default, of every size of picture in a folder


@dataclass(frozen=True)
class Filters:
    """Selection of the pictures in folders."""

    overwrite: bool
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    retry_failed: bool


@dataclass(frozen=True)
class Look:
    """Options of the translation itself and of the files it is written to."""

    format_: str | None
    quality: int | None
    strip: bool
    keep_times: bool
    greys: str
    strength: float
    keep: str | None
    mask: Path | None
    scale: float | str
    fast: bool
    stroke_scale: float
    fidelity: float
    by_height: bool


@dataclass(frozen=True)
class Limits:
    """Limits of memory and size."""

    tile: int | str
    max_memory: int | None
    max_pixels: int | None


filter_options = gathered(
    "filters",
    Filters,
    click.option("--overwrite", is_flag=True, help="Translate again what is there already."),
    click.option("--include", multiple=True, metavar="GLOB", help="Of folders, only names or paths like this."),
    click.option("--exclude", multiple=True, metavar="GLOB", help="Of folders, no names or paths like this."),
    click.option("--retry-failed", is_flag=True, help="Try again what failed before and has not changed."),
)
look_options = gathered(
    "look",
    Look,
    click.option("--format", "format_", metavar="SUFFIX", help="png, jpg, webp, tif, ... where -o does not say it."),
    click.option("--quality", type=int, help="1 to 100, of JPEG, WebP and AVIF; by default the source's own."),
    click.option("--strip", is_flag=True, help="Write no metadata."),
    click.option("--keep-times", is_flag=True, help="Give outputs the time of the last change of their inputs."),
    click.option("--greys", default="colour", show_default=True, type=click.Choice(["colour", "keep"]),
                 help="What becomes of pictures without colours."),
    click.option("--strength", type=float, default=1.0, show_default=True,
                 help="0 (the source) to 1 (the translation)."),
    click.option("--keep-colour", "keep", flag_value="colour",
                 help="Keep the source's colours, take texture and light."),
    click.option("--keep-texture", "keep", flag_value="texture",
                 help="Keep the source's texture and light, take colours."),
    click.option("--mask", type=PATH, metavar="FILE",
                 help="Translate where this picture is white, blend where grey."),
    click.option("--scale", type=Scale(), default=1.0, show_default=True,
                 help="Translate at this scale and come back with the source's detail; auto: as in training."),
    fast_option,
    click.option("--stroke-scale", type=float, default=1.0, show_default=True, metavar="0.25..4",
                 help="Size of strokes and texture: 2 draws them twice as large as in the picture learned from."),
    click.option("--fidelity", type=float, default=0.5, show_default=True, metavar="0..1",
                 help="0: freely drawn, with the most paint or texture, 1: outlines and small things kept."),
    click.option("--by-height", is_flag=True,
                 help="Take pieces from the height at which they are drawn: for landscapes of one kind."),
)  # fmt: skip
limit_options = gathered(
    "limits",
    Limits,
    click.option("--tile", type=Tile(), default="auto", show_default=True, metavar="TEXT",
                 help="Side of the tiles in px, auto (by memory) or off."),
    click.option("--max-memory", type=Size(), metavar="SIZE",
                 help="Of the whole program, as in 2GB; else half of what is free."),
    max_pixels_option,
)  # fmt: skip


@click.command(cls=Sectioned, sections=SECTIONS, short_help="Translate pictures and folders with a model.")
@click.argument("paths", type=Place(completion.models), nargs=-1, required=True, metavar="MODEL... INPUT...")
@click.option(
    "-o", "--output", metavar="PATH",
    help="A file for one file, else a folder, or a pattern: styled/{stem}-{model}.jpg. - writes to stdout.",
)  # fmt: skip
@click.option("--in-place", is_flag=True, help="Replace the inputs by their translations, instead of -o.")
@filter_options
@engine_options
@click.option("--watch", is_flag=True, help="Then wait for pictures that arrive in the folders, until Ctrl-C.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done, and how long it would take.")
@look_options
@limit_options
@device_option
@events_option
def apply(
    paths: "tuple[AnyPath, ...]",
    output: str | None,
    in_place: bool,
    filters: Filters,
    engine: Engine,
    watch: bool,
    dry_run: bool,
    look: Look,
    limits: Limits,
    device: str,
    as_json: bool,
) -> None:
    """Translate files and folders with MODEL, a run folder or its model file; several models take turns.

    Sizes stay as they are. Folders are mirrored below the output folder, where manifest.jsonl records what is done: the
    same command goes on where it was stopped. A file that cannot be read is reported at the end, the others go on. `-`
    is a picture from stdin, or to stdout with -o.
    """
    if (output is None) == (not in_place):
        raise click.UsageError("give one of -o and --in-place: where do translations go?")
    if in_place and engine.engine == "ray":  # between replacing a picture and saying so, a worker can die
        raise click.UsageError(
            "--in-place: what a lost worker had is sent again, and would be translated twice; give -o"
        )
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", KERNELS_KEPT)  # read when torch is loaded
    from sincut.batch.batch import Batch, check
    from sincut.batch.plan import split_models
    from sincut.batch.remote import place
    from sincut.batch.staged import STANDARD, is_stream
    from sincut.batch.watch import check as check_watched

    models, inputs = split_models(paths)
    asked = place(output) if output is not None else None
    if any(is_stream(path) for path in (*inputs, *([asked] if asked is not None else []))):
        on_stdout = asked == STANDARD and (as_json or dry_run or filters.overwrite)
        if on_stdout or watch or engine.engine == "ray" or any(asdict(replace(filters, overwrite=False)).values()):
            raise click.UsageError("- is for one picture, as in sincut apply MODEL - -o -, without such options")
    options, saving = _options(look, limits), _saving(look)
    format_ = look.format_.removeprefix(".").lower() if look.format_ else None
    if watch:
        check_watched(inputs)
    is_folder = output is not None and output.endswith(("/", os.sep))
    batch = Batch(models, inputs, asked, options, saving, format_, asdict(filters), engine.pool, is_folder=is_folder)
    plans = batch.plans()
    from sincut.cli.progress import Reporter
    from sincut.devices import find_device

    chosen = find_device(device)
    if dry_run:
        with Reporter(as_json) as reporter:
            _print_forecasts(batch.forecast(plans, chosen, reporter), as_json)
        return
    with Reporter(as_json) as reporter, stoppable() as stop:
        result = batch.run(plans, chosen, reporter, stop, watch)
    if as_json:
        print_json(result.summary())
    check(result, watch)


def _options(look: Look, limits: Limits) -> "Options":
    from sincut.pictures.opening import MAX_PIXELS
    from sincut.synthesis.synthesis import Dials
    from sincut.translation.blend import Blend
    from sincut.translation.options import Options

    blend, dials = Blend(look.strength, look.keep or ""), Dials(look.stroke_scale, look.fidelity, look.by_height)
    return Options(
        limits.tile, limits.max_memory, limits.max_pixels or MAX_PIXELS, blend, look.mask, look.scale, look.fast, dials
    )


def _saving(look: Look) -> "Saving":
    from sincut.pictures.writing import Saving

    return Saving(look.quality, look.strip, look.greys, look.keep_times)


def _print_forecasts(forecasts: list[dict[str, Any]], as_json: bool) -> None:
    """Print what each model's plan would do; the table names the models only if there are several."""
    if as_json:
        print_json({"plans": forecasts})
        return
    titles = [title for title in forecasts[0] if title != "model" or len(forecasts) > 1]
    print_table(tuple(titles), [tuple(str(forecast[title]) for title in titles) for forecast in forecasts])
