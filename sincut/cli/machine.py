"""The commands about this machine and its settings: presets, bench and the page in a browser."""

from pathlib import Path
from typing import Any

import click

from sincut.cli.console import print_json, print_table
from sincut.cli.signals import stoppable
from sincut.cli.types import (
    PATH,
    Numbers,
    Size,
    device_option,
    is_typed,
    json_option,
    max_pixels_option,
    settings_option,
)
from sincut.errors import Interrupted, counted


@click.command()
@click.argument("name", required=False)
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


@click.command()
@click.option("--preset", default="standard", show_default=True, help="Settings to measure.")
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
@json_option
def bench(
    preset: str,
    settings: tuple[str, ...],
    device: str,
    megapixels: tuple[float, ...],
    pictures: float | None,
    as_json: bool,
) -> None:
    """Measure this machine: training and translating, and how near they come to what it can do.

    Takes minutes; run nothing else meanwhile.
    """
    if pictures and is_typed("megapixels"):
        raise click.UsageError("--pictures measures nothing else; leave out --megapixels")
    from sincut.bench import measure, measure_pictures
    from sincut.config.resolve import resolve
    from sincut.devices import prepared_device

    config, chosen = resolve(preset, settings), prepared_device(device)
    if pictures:
        figures, table = measure_pictures(config, chosen, pictures), pictures_table
    else:
        sizes = [size for size in megapixels if size]
        figures = measure(config, chosen, sizes, lambda part: click.echo(f"measuring: {part}", err=True))
        table = bench_table
    if as_json:
        print_json(figures)
    else:
        print_table(("measured", "value"), table(figures))


def bench_table(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """The figures of `bench.measure` as rows for people."""
    f = figures
    peaks = f"{f['peak_forward_tflops']:.3g} TFLOP/s forward, {f['peak_tflops']:.3g} with backward"
    step = f"{f['step_seconds']:.3g} s, {f['crops_per_second']:.3g} crops/s"
    work = f"{f['step_tflop']:.3g} TFLOP necessary, {f['step_utilisation']:.0%} of the peak"
    rows = [
        ("device", f"{f['device']}, {counted(f['threads'], 'thread')}, {f['precision']}"),
        ("peak of a convolution", peaks),
        ("training step", step),
        ("", work),
        ("first step after", f"{f['first_step_seconds']:.1f} s from the command's start"),
        ("memory of training", f"{f['train_peak_rss_mb']:.0f} MB"),
    ]
    for a in f["apply"]:
        speed = f"{a['megapixels_per_second']:.3g} MP/s, {a['utilisation']:.0%} of the peak"
        rows.append(
            (f"applying to {a['megapixels']:g} MP", f"{a['seconds']:.3g} s, {speed}, {a['peak_rss_mb']:.0f} MB")
        )
    for d in f["synthesis"]:
        speed = f"{d['seconds_per_megapixel']:.3g} s/MP, {d['times_translating']:.3g} times translating"
        rows.append((f"drawing {d['megapixels']:g} MP", f"{d['seconds']:.3g} s, {speed}, {d['peak_rss_mb']:.0f} MB"))
    if f.get("folder"):
        b = f["folder"]
        each = f"{b['seconds_per_picture']:.3g} s for a picture of {b['megapixels']:g} MP"
        rows.append(
            (
                f"applying to a folder of {b['pictures']}",
                f"{each}, {b['overlap_ratio']:.3g} times the bare translations",
            )
        )
    return rows


def pictures_table(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """The figures of `bench.measure_pictures` as rows for people."""
    f = figures
    rows = [(f"a picture of {f['megapixels']:.3g} MP", f"{1 / f['pictures_per_second']:.3g} s of {f['worker']}")]
    rows += [
        (f"{int(count):,} pictures", f"{hours:,.4g} hours of {f['worker']}") for count, hours in f["hours"].items()
    ]
    return rows


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 is all of them.")
@click.option("--port", type=click.IntRange(1, 65535), help="7860 by default, or the next that is free.")
@click.option("--runs", type=PATH, default=Path("runs"), show_default=True, help="Folder of the run folders.")
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
