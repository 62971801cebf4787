"""`sincut apply`: pictures, folders and streams, translated by one model or several."""

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sincut.cli.console import print_json, print_table
from sincut.cli.signals import stoppable
from sincut.cli.types import DEVICE_HELP, EXISTING, JSON_HELP, LISTED, Place, Scale, Size, cluster_options
from sincut.errors import Interrupted, RunError

if TYPE_CHECKING:
    from sincut.batch.remote import AnyPath

KERNELS_KEPT = "128"  # by torch; it keeps 1024 by default, of every size of picture in a folder


@click.command()
@click.argument("paths", type=Place(), nargs=-1, required=True, metavar="MODEL... INPUT...")
@click.option(
    "-o", "--output", type=Place(),
    help="A file for one file, else a folder, or a pattern: styled/{stem}-{model}.jpg. - writes to stdout.",
)  # fmt: skip
@click.option("--in-place", is_flag=True, help="Replace the inputs by their translations, instead of -o.")
@click.option("--overwrite", is_flag=True, help="Translate again what is there already.")
@click.option("--include", multiple=True, metavar="GLOB", help="Of folders, only names or paths like this.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Of folders, no names or paths like this.")
@click.option("--retry-failed", is_flag=True, help="Try again what failed before and has not changed.")
@cluster_options
@click.option("--watch", is_flag=True, help="Then wait for pictures that arrive in the folders, until Ctrl-C.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done, and how long it would take.")
@click.option("--format", "format_", metavar="SUFFIX", help="png, jpg, webp, tif, ... where -o does not say it.")
@click.option("--quality", type=int, help="1 to 100, of JPEG, WebP and AVIF; by default the source's own.")
@click.option("--strip", is_flag=True, help="Write no metadata.")
@click.option("--greys", default="colour", show_default=True, type=click.Choice(["colour", "keep"]),
              help="What becomes of pictures without colours.")  # fmt: skip
@click.option("--strength", type=float, default=1.0, show_default=True, help="0 (the source) to 1 (the translation).")
@click.option("--keep-colour", "keep", flag_value="colour", help="Keep the source's colours, take texture and light.")
@click.option("--keep-texture", "keep", flag_value="texture", help="Keep the source's texture and light, take colours.")
@click.option("--mask", type=EXISTING, metavar="FILE", help="Translate where this picture is white, blend where grey.")
@click.option("--scale", type=Scale(), default=1.0, show_default=True,
              help="Translate at this scale and come back with the source's detail; auto: as in training.")  # fmt: skip
@click.option("--tile", default="auto", show_default=True, help="Side of the tiles in px, auto (by memory) or off.")
@click.option(
    "--max-memory", type=Size(), metavar="SIZE", help="Of the whole program, as in 2GB; else half of what is free."
)
@click.option("--max-pixels", type=int, help="Refuse files that declare more; 2147483648 by default.")
@click.option("--device", default="auto", show_default=True, help=DEVICE_HELP)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def apply(
    paths: "tuple[AnyPath, ...]",
    output: "AnyPath | None",
    in_place: bool,
    overwrite: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    retry_failed: bool,
    engine: str,
    ray_address: str | None,
    workers: int | None,
    worker_cpus: float,
    worker_gpus: float,
    watch: bool,
    dry_run: bool,
    format_: str | None,
    quality: int | None,
    strip: bool,
    greys: str,
    strength: float,
    keep: str | None,
    mask: Path | None,
    scale: float | str,
    tile: str,
    max_memory: int | None,
    max_pixels: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Translate files and folders with MODEL, a run folder or its model file; several models take turns.

    Sizes stay as they are. Folders are mirrored below the output folder, where manifest.jsonl records what is done: the
    same command goes on where it was stopped. A file that cannot be read is reported at the end, the others go on. `-`
    reads a picture from stdin.
    """
    if tile not in ("auto", "off") and not (tile.isdecimal() and int(tile) > 0):
        raise click.BadParameter("give a number of pixels, auto or off", param_hint="--tile")
    if (output is None) == (not in_place):
        raise click.UsageError("give one of -o and --in-place: where do translations go?")
    if in_place and engine == "ray":  # between replacing a picture and saying so, a worker can die
        raise click.UsageError(
            "--in-place: what a lost worker had is sent again, and would be translated twice; give -o"
        )
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", KERNELS_KEPT)  # read when torch is loaded
    from sincut.batch import pipe
    from sincut.batch.plan import Plan, forecast, make_plans, split_models
    from sincut.batch.tally import Result

    models, inputs = split_models(paths)
    streams = Path("-") in inputs, output == Path("-")
    of_folders = as_json or dry_run or watch or include or exclude or retry_failed or overwrite
    if any(streams) and (not all(streams) or len(inputs) > 1 or len(models) > 1 or of_folders):
        raise click.UsageError("- is for one picture from stdin to stdout: sincut apply MODEL - -o -")
    from sincut.pictures.opening import MAX_PIXELS
    from sincut.pictures.writing import Saving
    from sincut.translation.blend import Blend
    from sincut.translation.options import Options

    blend, saving = Blend(strength, keep or ""), Saving(quality, strip, greys)
    options = Options(int(tile) if tile.isdecimal() else tile, max_memory, max_pixels or MAX_PIXELS, blend, mask, scale)
    format_ = format_.removeprefix(".").lower() if format_ else None
    if any(streams):
        _apply_to_stream(models[0], options, saving, format_, device)
        return

    def plans(arrived: set[Path] | None = None) -> list[tuple[Path, Plan]]:
        return make_plans(
            models, inputs, output, options, saving,
            format_=format_, overwrite=overwrite, include=include, exclude=exclude, retry_failed=retry_failed,
            arrived=arrived,
        )  # fmt: skip

    if watch:
        from sincut.batch.watch import arrivals, check

        check(inputs)
    first = plans()
    from sincut.cli.progress import Reporter
    from sincut.devices import prepared_device
    from sincut.translation.translator import load

    found = prepared_device(device)
    if dry_run:
        rows = [forecast(plan, load(model, found), options) for model, plan in first]
        if as_json:
            print_json(rows)
        else:
            print_table(tuple(rows[0]), [tuple(str(value) for value in row.values()) for row in rows])
        return
    translators = {model: load(model, found) for model in models}
    result = Result()
    with Reporter(as_json) as reporter, stoppable() as stop, contextlib.ExitStack() as stack:
        if engine == "ray":
            from sincut.batch import driver
            from sincut.batch.ray_ import Pool, joined

            pool = Pool(workers, worker_cpus, worker_gpus, ray_address)
            if watch or any(plan.jobs for _, plan in first):
                stack.enter_context(joined(pool))

        def run(plans: list[tuple[Path, Plan]]) -> None:
            for model, plan in plans:
                if engine == "ray":
                    ended = driver.run(plan, model, pool, options, saving, reporter, stop)
                else:
                    ended = pipe.run(plan, translators[model], options, saving, reporter, stop)
                result.add(plan, *ended)

        run(first)
        if watch and not stop():
            for arrived in arrivals(inputs, stop):
                run(plans(arrived))
    if as_json:
        print_json(result.summary())
    if watch:
        raise Interrupted(f"stopped watching; {len(result.done)} pictures are written; the same command goes on")
    if result.left:
        total = f"{len(result.done)} of {result.jobs}"
        raise Interrupted(f"stopped; {total} are written; the same command goes on with the rest")
    if result.failed and result.jobs == 1:
        raise RunError(result.failed[0][1])
    if result.failed:
        names = ", ".join(str(job.source) for job, _ in result.failed[:LISTED])
        more = f" and {len(result.failed) - LISTED} more" if len(result.failed) > LISTED else ""
        raise RunError(f"{len(result.failed)} of {result.jobs} pictures failed, see above: {names}{more}")
    if result.failed_before:
        count = len(result.failed_before)
        raise RunError(f"{count} pictures failed before and are as they were; --retry-failed tries them again")


def _apply_to_stream(model: Path, options: Any, saving: Any, format_: str | None, device: str) -> None:
    """From stdin to stdout; what there is to say goes to stderr."""
    from sincut.devices import prepared_device
    from sincut.translation.piped import apply_bytes
    from sincut.translation.translator import load

    translator = load(model, prepared_device(device))
    written, notes = apply_bytes(sys.stdin.buffer.read(), translator, options, saving, format_)
    sys.stdout.buffer.write(written)
    sys.stdout.buffer.flush()
    click.echo("\n".join(notes), err=True, nl=bool(notes))
