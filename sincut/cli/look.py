"""The commands that look at results: figures, comparisons, reports, and what a model file or its encoder holds."""

import json
from pathlib import Path
from typing import Any

import click

from sincut.cli.console import print_json, print_table, summary
from sincut.cli.types import DEVICE_HELP, EXISTING, Point, numbers
from sincut.errors import RunError


@click.command()
@click.argument("painting", type=EXISTING)
@click.argument("photo", type=EXISTING)
@click.argument("output", type=EXISTING)
@click.option("--truth", type=EXISTING, help="What the painting shows as a photo, pixel by pixel: adds PSNR and SSIM.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def evaluate(painting: Path, photo: Path, output: Path, truth: Path | None, as_json: bool) -> None:
    """Figures for OUTPUT, a translation of PAINTING into the look of PHOTO."""
    from sincut.pictures import reading
    from sincut.report.measures import measure, missing_inception

    pictures = [reading.load(path) for path in (painting, photo, output, *([truth] if truth else []))]
    figures = measure(*pictures)
    if as_json:
        print_json({"sifid": None, **figures})
        return
    rows = [(name, f"{value:.4g}") for name, value in figures.items()]
    print_table(("figure", "value"), rows if "sifid" in figures else [*rows, ("sifid", missing_inception())])


@click.command()
@click.argument("outputs", type=EXISTING, nargs=-1, required=True, metavar="OUTPUT...")
@click.option("-o", "--output", "sheet", type=EXISTING, required=True, metavar="FILE",
              help="The sheet: a picture, or a page where it ends in .html.")  # fmt: skip
@click.option(
    "--picture", type=EXISTING, metavar="FILE", help="What models translate; what they learned from, if at hand."
)
@click.option("--photo", type=EXISTING, metavar="FILE", help="The look, for the figures; the run's own, if at hand.")
@click.option("--device", default="auto", show_default=True, help=DEVICE_HELP)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def compare(
    outputs: tuple[Path, ...], sheet: Path, picture: Path | None, photo: Path | None, device: str, as_json: bool
) -> None:
    """Put several OUTPUTs side by side, with names and figures: run folders, model files, translated pictures."""
    from sincut.devices import prepared_device
    from sincut.report import compare as comparing

    _check_kept(sheet, *outputs, picture, photo)
    comparing.check_output(sheet)
    found = comparing.compare(
        outputs, picture, photo, prepared_device(device), lambda result: click.echo(f"done: {result.name}", err=True)
    )
    comparing.write(found, sheet)
    rows = [{"name": result.name, "path": str(result.path), "figures": result.figures} for result in found.results]
    if as_json:
        print_json({"sheet": str(sheet), "outputs": rows})
        return
    titles = found.figures()
    cells = [(r.name, *(f"{r.figures[t]:.4g}" if t in r.figures else "" for t in titles)) for r in found.results]
    print_table(("output", *titles), cells)
    click.echo(f"sheet: {sheet}")


@click.command()
@click.argument("run", type=EXISTING)
@click.option("-o", "--output", type=EXISTING, metavar="FILE", help="report.html in the run folder by default.")
@click.option("--painting", type=EXISTING, metavar="FILE", help="The painting, for a run folder that holds no copy.")
@click.option("--photo", type=EXISTING, metavar="FILE", help="The photo, for a run folder that holds no copy.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def report(run: Path, output: Path | None, painting: Path | None, photo: Path | None, as_json: bool) -> None:
    """Write the page that explains a RUN folder: pictures, curves, settings, provenance. One file, nothing to load."""
    from sincut.report.run_page import write

    _check_kept(output, run, painting, photo)
    path = write(run, output, painting, photo)
    if as_json:
        print_json({"report": str(path), "bytes": path.stat().st_size})
    else:
        click.echo(f"report: {path}")


@click.command()
@click.argument("model", type=EXISTING)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def inspect(model: Path, as_json: bool) -> None:
    """What a MODEL file says of itself: inputs, settings, steps, losses, versions."""
    from sincut.model.model import Model

    loaded = Model.load(model)
    provenance = summary(loaded.provenance)
    if as_json:
        print_json({**provenance, "config": loaded.config.to_dict()})
        return
    rows = [(key, value if isinstance(value, str) else json.dumps(value)) for key, value in provenance.items()]
    print_table(("", ""), rows)
    click.echo("\n" + loaded.config.to_toml(), nl=False)


@click.command()
@click.argument("model", type=EXISTING)
@click.argument("image", type=EXISTING)
@click.option("--point", type=Point(), required=True, metavar="X,Y", help="Of the output, in px from left and top.")
@click.option("--layer", "layers", type=int, multiple=True, help="Of PatchNCE, as often as you like; all by default.")
@click.option("-o", "--output", type=EXISTING, metavar="FILE", help="Takes the heat maps: all layers, and each.")
@click.option("--cosine", is_flag=True, help="Show the cosine itself instead of exp(cosine / tau).")
@click.option("--device", default="auto", show_default=True, help=DEVICE_HELP)
@click.option("--json", "as_json", is_flag=True, help="Numbers of each layer, one JSON object on stdout.")
def similarity(
    model: Path,
    image: Path,
    point: tuple[int, int],
    layers: tuple[int, ...],
    output: Path | None,
    cosine: bool,
    device: str,
    as_json: bool,
) -> None:
    """What MODEL's encoder takes for similar: a patch of the translated IMAGE against all patches of IMAGE."""
    if output is None and not as_json:
        raise click.UsageError("give -o, --json or both: where does the result go?")
    from sincut.devices import prepared_device
    from sincut.pictures import formats, reading, writing
    from sincut.report.heat_maps import heat_maps
    from sincut.translation import similarity
    from sincut.translation.translator import load

    if output:
        _check_kept(output, model, image)
        formats.writable_format(output)
    translator, picture = load(model, prepared_device(device), heads=True), reading.load(image)
    maps = similarity.similarity_maps(translator, picture, point, layers)
    if output:
        panels, low, high = similarity.shown(maps, translator.model.config.losses.temperature, cosine)
        writing.save(heat_maps(picture, panels, point, low, high), output)
    if as_json:
        rows = {str(i): similarity.figures(found, similarity.place_of(point, i)) for i, found in maps.items()}
        everywhere = similarity.figures(similarity.all_layers(maps), similarity.place_of(point, min(maps)))
        print_json({"point": point, "all_layers": everywhere, "layers": rows})


@click.command()
@click.argument("model", type=EXISTING)
@click.argument("image", type=EXISTING)
@click.option("--layer", type=int, help="Of the encoder, from 0; the deepest of PatchNCE by default.")
@click.option("-o", "--output", type=EXISTING, required=True, metavar="FILE", help="A picture of the size of IMAGE.")
@click.option("--device", default="auto", show_default=True, help=DEVICE_HELP)
def features(model: Path, image: Path, layer: int | None, output: Path, device: str) -> None:
    """The first three principal components of the encoder's features of IMAGE as red, green and blue."""
    from sincut.devices import prepared_device
    from sincut.pictures import formats, reading, writing
    from sincut.report.heat_maps import enlarged
    from sincut.translation.similarity import principal_components
    from sincut.translation.translator import load

    _check_kept(output, model, image)
    formats.writable_format(output)
    translator, picture = load(model, prepared_device(device)), reading.load(image)
    writing.save(enlarged(picture, principal_components(translator, picture, layer)), output)


@click.command()
@click.argument("model", type=EXISTING)
@click.option("-o", "--output", type=EXISTING, required=True, metavar="FILE.onnx", help="The file to write.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def export(model: Path, output: Path, as_json: bool) -> None:
    """Write MODEL as an ONNX file for programs without torch; checked against torch where onnxruntime is installed."""
    from sincut.model.export import export as write
    from sincut.model.model import Model

    if output.suffix.lower() != ".onnx":
        raise click.UsageError(f"-o {output}: only .onnx can be written")
    difference = write(Model.load(model), output)
    if as_json:
        print_json({"output": str(output), "difference": difference})
        return
    checked = "not checked, for want of onnxruntime" if difference is None else f"{difference:.1g} from torch at most"
    click.echo(f"{output}: written, {checked}", err=True)


@click.command()
@click.argument("painting", type=EXISTING)
@click.argument("photo", type=EXISTING)
@click.option("-o", "--output", type=EXISTING, required=True, metavar="FOLDER", help="Takes a run folder per training.")
@click.option("--minutes", default="2,5,10,15,30,60", show_default=True, metavar="N,...", help="A training for each.")
@click.option("--seeds", default="0", show_default=True, metavar="N,...", help="All of these for each of --minutes.")
@click.option("--preset", default="standard", show_default=True, help="All other settings.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any setting, as in crops.count=2.")
@click.option("--reverse", is_flag=True, help="Learn photo -> painting.")
@click.option("--truth", type=EXISTING, help="What the painting shows as a photo, pixel by pixel: adds PSNR and SSIM.")
@click.option("--device", default="auto", show_default=True, help=DEVICE_HELP)
@click.option("--json", "as_json", is_flag=True, help="One JSON list on stdout, a line of progress each on stderr.")
def curve(
    painting: Path,
    photo: Path,
    output: Path,
    minutes: str,
    seeds: str,
    preset: str,
    settings: tuple[str, ...],
    reverse: bool,
    truth: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Time against quality: train on PAINTING and PHOTO for several times and seeds, and print the figures of each.

    Takes the sum of all minutes; run nothing else meanwhile. The same command goes on where it was stopped.
    """
    if truth and reverse:
        raise click.UsageError("--truth is of the painting; it cannot be compared with what --reverse learns")
    from sincut.config.sections import resolve
    from sincut.devices import prepared_device

    config = resolve(preset, settings)
    budgets, drawn = numbers(minutes, "--minutes"), numbers(seeds, "--seeds", int)
    from sincut.runs.curve import curve as measure

    def say(row: dict[str, Any]) -> None:
        click.echo(" ".join(f"{name} {value:g}" for name, value in row.items()), err=True)

    found = prepared_device(device)
    rows = measure(
        painting, photo, output, config,
        minutes=budgets, seeds=drawn, reverse=reverse, truth=truth, device=found, on_row=say,
    )  # fmt: skip
    if as_json:
        print_json(rows)
    else:
        print_table(tuple(rows[0]), [tuple(f"{value:g}" for value in row.values()) for row in rows])


def _check_kept(output: Path | None, *inputs: Path | None) -> None:
    """Raise `RunError` where -o is one of the inputs, before anything is computed."""
    for path in filter(None, inputs):
        if output is not None and output.exists() and path.exists() and output.samefile(path):
            raise RunError(f"{output}: is what is read, and would be replaced; choose another name with -o")
