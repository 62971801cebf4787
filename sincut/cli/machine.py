"""The commands about this machine and its settings: presets, bench and the page in a browser."""

from pathlib import Path
from typing import Any

import click

from sincut.cli.console import print_json, print_table
from sincut.cli.signals import stoppable
from sincut.cli.types import (
    FOLDER,
    PRESET,
    Numbers,
    Size,
    device_option,
    is_typed,
    json_option,
    max_pixels_option,
    settings_option,
)
from sincut.errors import Interrupted, counted


@click.command(short_help="List the presets, or print one as a file.")
@click.argument("name", type=PRESET, required=False)
@json_option
def presets(name: str | None, as_json: bool) -> None:
    """List the presets with their reason, or print one as a complete preset file; A+B is B laid over A."""
    from sincut.config.resolve import load_preset
    from sincut.config.resolve import presets as shipped

    if name:
        preset = load_preset(name)
        if as_json:
            print_json({"about": preset.about, **preset.config.to_dict()})
        else:
            click.echo(preset.to_toml(), nl=False)
        return
    if as_json:
        print_json({preset.name: preset.about for preset in shipped()})
    else:
        print_table(("preset", "about"), [(preset.name, preset.about) for preset in shipped()])


@click.command(short_help="Measure this machine: training and translating.")
@click.option("--preset", type=PRESET, default="standard", show_default=True, help="Settings to measure.")
@settings_option
@device_option
@click.option(
    "--megapixels",
    type=Numbers(click.FloatRange(0)),
    default="1,4,16,64",
    show_default=True,
    metavar="N,...",
    help="Sizes to translate; 0 for none.",
)
@click.option("--pictures", type=click.FloatRange(0.01, 100), metavar="N",
              help="Instead, what many pictures of so many megapixels cost one worker, from file to file.")  # fmt: skip
@click.option("--neighbours", type=Numbers(click.IntRange(1, 1024)), metavar="N,...",
              help="Instead, training beside so many other busy programs, as a share of its speed alone.")  # fmt: skip
@json_option
def bench(
    preset: str,
    settings: tuple[str, ...],
    device: str,
    megapixels: tuple[float, ...],
    pictures: float | None,
    neighbours: tuple[int, ...] | None,
    as_json: bool,
) -> None:
    """Measure this machine: training and translating, and how near they come to what it can do.

    Takes up to five minutes, whatever the settings; run nothing else meanwhile.
    """
    if sum(map(bool, (pictures, neighbours, is_typed("megapixels")))) > 1:
        raise click.UsageError("--pictures, --neighbours and --megapixels each measure nothing else; give one of them")
    from sincut.bench.measure import measure, measure_pictures
    from sincut.bench.neighbours import measure_neighbours
    from sincut.config.resolve import resolve
    from sincut.devices import find_device

    config, chosen = resolve(preset, settings), find_device(device)

    def on_part(part: str) -> None:
        click.echo(f"measuring: {part}", err=True)

    with stoppable("stopping") as stop:
        if pictures:
            figures, table = measure_pictures(config, chosen, pictures, stop), pictures_table
        elif neighbours:
            figures, table = measure_neighbours(config, chosen, neighbours, on_part, stop), neighbours_table
        else:
            sizes = [size for size in megapixels if size]
            figures, table = measure(config, chosen, sizes, on_part, stop), bench_table
    if as_json:
        print_json(figures)
    else:
        print_table(("measured", "value"), [*table(figures), *_beside_table(figures)])


def bench_table(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """The figures of `bench.measure.measure` as rows for people."""
    from sincut.devices import machine_words

    f = figures
    rows = [("device", machine_words(f["device"], f["threads"], f["precision"]))]
    if "step_seconds" in f:
        peaks = f"{f['peak_forward_tflops']:.3g} TFLOP/s forward, {f['peak_tflops']:.3g} with backward"
        step = (
            f"{f['step_seconds']:.3g} s, {f['crops_per_second']:.3g} crops/s, {counted(f['steps_timed'], 'step')} timed"
        )
        work = f"{f['step_tflop']:.3g} TFLOP necessary, {f['step_utilisation']:.0%} of the peak"
        memory = f"{f['train_peak_rss_mb']:.0f} MB"
        rows += [("peak of a convolution", peaks), ("training step", step), ("", work), ("memory of training", memory)]
    for name, part in (("first_step_seconds", "first step"), ("first_tile_seconds", "first tile of apply --fast")):
        if name in f:
            rows.append((f"{part} after", f"{f[name]:.1f} s from the command's start"))
    for a in f["apply"]:
        speed = f"{a['megapixels_per_second']:.3g} MP/s, {a['utilisation']:.0%} of the peak"
        rows.append((f"applying to {a['megapixels']:g} MP", f"{a['seconds']:.3g} s{_once(a)}, {speed}, {_memory(a)}"))
    for d in f["synthesis"]:
        times = f", {d['times_translating']:.3g} times translating" if "times_translating" in d else ""
        speed = f"{d['seconds_per_megapixel']:.3g} s/MP{times}"
        rows.append((f"drawing {d['megapixels']:g} MP", f"{d['seconds']:.3g} s{_once(d)}, {speed}, {_memory(d)}"))
    if f.get("folder"):
        b = f["folder"]
        each = f"{b['seconds_per_picture']:.3g} s for a picture of {b['megapixels']:g} MP"
        ratio = f"{b['overlap_ratio']:.3g} times the bare translations, {counted(b['turns'], 'turn')}"
        rows.append((f"applying to a folder of {b['pictures']}", f"{each}, {ratio}"))
    return rows


def pictures_table(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """The figures of `bench.measure.measure_pictures` as rows for people."""
    f = figures
    each = f"{1 / f['pictures_per_second']:.3g} s of {f['worker']}, {f['runs']} timed"
    rows = [(f"a picture of {f['megapixels']:.3g} MP", each)]
    rows += [
        (f"{int(count):,} pictures", f"{hours:,.4g} hours of {f['worker']}") for count, hours in f["hours"].items()
    ]
    return rows


def neighbours_table(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """The figures of `bench.neighbours.measure_neighbours` as rows for people."""
    given = figures["omp_num_threads"]
    threads = f"OMP_NUM_THREADS={given}" if given else "threads as it chooses"
    rows = [("device", f"{figures['device']}, {threads}, {figures['precision']}")]
    for n in figures["neighbours"]:
        beside = f"beside {counted(n['busy'], 'busy program')}" if n["busy"] else "alone"
        speed = f", {n['speed']:.0%} of the speed alone" if n["busy"] and "speed" in n else ""
        timed = f"{counted(n['steps'], 'step')} in {counted(n['turns'], 'turn')}"
        rows.append((f"training {beside}", f"{n['step_seconds']:.3g} s a step{speed}, {timed}"))
    return rows


def _beside_table(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """Rows of what was left out, of the load of the machine, and of warnings, which all measurements have."""
    load = figures["load"]
    rows = [(f"left out: {part['part']}", part["why"]) for part in figures["left_out"]]
    taken = "not known on this system"
    if load:
        before, during = (f"{load[name]:.0%}" for name in ("taken_before", "taken_during"))
        taken = f"{before} of {counted(load['cores'], 'core')} before, {during} meanwhile"
    rows.append(("taken by other programs", taken))
    return rows + [("warning", text) for text in figures["warnings"]]


def _once(part: dict[str, Any]) -> str:
    """A remark on a part that was timed a single time."""
    return " (timed once)" if part["runs"] == 1 else ""


def _memory(part: dict[str, Any]) -> str:
    return f"{part['peak_rss_mb']:.0f} MB"


@click.command(short_help="Do all of this in a browser.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 is all of them.")
@click.option("--port", type=click.IntRange(1, 65535), help="7860 by default, or the next that is free.")
@click.option("--runs", type=FOLDER, default=Path("runs"), show_default=True, help="Folder of the run folders.")
@click.option("--open/--no-open", "open_", default=True, show_default=True, help="Open the page in a browser.")
@click.option("--max-upload", type=Size(), default="2GB", show_default=True, metavar="SIZE", help="Of one file.")
@max_pixels_option
@device_option
def ui(
    host: str, port: int | None, runs: Path, open_: bool, max_upload: int, max_pixels: int | None, device: str
) -> None:  # fmt: skip
    """Train, apply and look at models in a browser; the page is served from this machine.

    Ctrl-C ends it; trainings are saved and can be resumed, there or with `sincut train --resume`.
    """
    from sincut.page.serve import LOCAL, serve
    from sincut.pictures.opening import MAX_PIXELS

    if host not in LOCAL:
        anyone = f"warning: anyone who reaches {host} over the network can use this page, there are no passwords"
        click.echo(f"{anyone}; they may name pictures below {Path.cwd()}", err=True)

    def say(text: str) -> None:
        click.echo(text, err=True)

    with stoppable() as stop:
        left = serve(
            runs, host=host, port=port, device=device, max_upload=max_upload, max_pixels=max_pixels or MAX_PIXELS,
            open_=open_, stop=stop, say=say,
        )  # fmt: skip
    saved = f"; {', '.join(left)} can be resumed" if left else ""
    raise Interrupted(f"stopped{saved}")
