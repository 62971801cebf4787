"""The commands that look at results: figures, comparisons, reports, and what a model file or its encoder holds."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sincut.cli.console import nested, print_json, print_table, summary
from sincut.cli.signals import stoppable
from sincut.cli.types import (
    FOLDER,
    MODEL,
    PATH,
    PRESET,
    RUN,
    Direction,
    Numbers,
    Point,
    device_option,
    direction_options,
    fast_option,
    json_option,
    settings_option,
)
from sincut.errors import RunError

if TYPE_CHECKING:
    from sincut.report.compare import Result


@click.command(short_help="Measure a translation: its look, and what it keeps.")
@click.argument("painting", type=PATH)
@click.argument("photo", type=PATH)
@click.argument("output", type=PATH)
@click.option("--truth", type=PATH, help="What the painting shows as a photo, pixel by pixel: adds PSNR and SSIM.")
@json_option
def evaluate(painting: Path, photo: Path, output: Path, truth: Path | None, as_json: bool) -> None:
    """Measure OUTPUT, a translation of PAINTING into the look of PHOTO.

    PHOTO may be a set, a folder or a pattern in quotes; the look is then what its pictures have together.
    """
    from sincut.pictures import reading
    from sincut.report.measures import measure, missing_inception
    from sincut.runs.finding import find

    scene, translation, *true = (reading.load(path) for path in (painting, output, *([truth] if truth else [])))
    figures = measure(scene, [reading.load(path) for path in find(photo, "photo").paths], translation, *true)
    if as_json:
        print_json({"sifid": None, **figures})
        return
    rows = [(name, f"{value:.4g}") for name, value in figures.items()]
    print_table(("figure", "value"), rows if "sifid" in figures else [*rows, ("sifid", missing_inception())])


@click.command(short_help="Put models or pictures side by side, with figures.")
@click.argument("outputs", type=MODEL, nargs=-1, required=True, metavar="OUTPUT...")
@click.option("-o", "--output", "sheet", type=PATH, required=True, metavar="FILE",
              help="The sheet: a picture, or a page where it ends in .html.")  # fmt: skip
@click.option("--picture", type=PATH, metavar="FILE", help="What models translate; what they learned from, if at hand.")
@click.option(
    "--photo",
    type=PATH,
    metavar="FILE",
    help="The look, for the figures; the run's own, if at hand. A set may be a folder.",
)
@fast_option
@device_option
@json_option
def compare(
    outputs: tuple[Path, ...],
    sheet: Path,
    picture: Path | None,
    photo: Path | None,
    fast: bool,
    device: str,
    as_json: bool,
) -> None:
    """Put several OUTPUTs side by side, with names and figures: run folders, model files, translated pictures."""
    from sincut.devices import find_device
    from sincut.report import compare as comparing
    from sincut.runs.finding import find

    _check_kept(sheet, *outputs, picture, photo)
    comparing.check_output(sheet)

    def say(result: "Result") -> None:
        click.echo(f"done: {result.name}", err=True)

    look = find(photo, "photo").paths if photo else None
    comparison = comparing.compare(outputs, picture, look, find_device(device), say, fast)
    comparing.write(comparison, sheet)
    rows = [{"name": r.name, "path": str(r.path), "figures": r.figures} for r in comparison.results]
    if as_json:
        print_json({"sheet": str(sheet), "outputs": rows})
        return
    titles = comparison.figures()
    cells = [(r.name, *(f"{r.figures[t]:.4g}" if t in r.figures else "" for t in titles)) for r in comparison.results]
    print_table(("output", *titles), cells)
    click.echo(f"sheet: {sheet}")


@click.command(short_help="Write the page that explains a run: pictures, curves, settings.")
@click.argument("run", type=RUN)
@click.option("-o", "--output", type=PATH, metavar="FILE", help="report.html in the run folder by default.")
@click.option("--painting", type=PATH, metavar="FILE", help="The painting, for a run folder that holds no copy.")
@click.option("--photo", type=PATH, metavar="FILE", help="The photo, for a run folder that holds no copy.")
@json_option
def report(run: Path, output: Path | None, painting: Path | None, photo: Path | None, as_json: bool) -> None:
    """Write the page that explains a RUN folder: pictures, curves, settings, provenance. One file, nothing to load."""
    from sincut.report.run_page import write

    _check_kept(output, run, painting, photo)
    path = write(run, output, painting, photo)
    if as_json:
        print_json({"report": str(path), "bytes": path.stat().st_size})
    else:
        click.echo(f"report: {path}")


@click.command(short_help="Say what a model learned from, or what made a picture.")
@click.argument("file", type=MODEL, metavar="MODEL|PICTURE")
@json_option
def inspect(file: Path, as_json: bool) -> None:
    """Print what a MODEL says of its training, or a PICTURE of what made it.

    Of a model: inputs, settings, steps, losses, versions, and what it carries. Of a picture that sincut wrote: model
    and options, and if it was changed since.
    """
    from sincut.model.file import is_model
    from sincut.pictures.opening import UnknownFormatError

    if not file.is_dir() and not is_model(file):
        try:
            _inspect_picture(file, as_json)
            return
        except UnknownFormatError:  # a model by another name, or neither
            pass
    _inspect_model(file, as_json)


def _inspect_picture(path: Path, as_json: bool) -> None:
    """Print what a picture says of its making. Raises `ImageError`, `UnknownFormatError` for what is no picture."""
    from sincut.pictures.imprint import is_sealed
    from sincut.pictures.reading import imprint_of, size_of

    imprint, (h, w) = imprint_of(path), size_of(path)
    unchanged = imprint is not None and is_sealed(path)
    if as_json:
        print_json({"picture": str(path), "width": w, "height": h,
                    "made": imprint and {**asdict(imprint), "unchanged": unchanged}})  # fmt: skip
        return
    rows = [("picture", str(path)), ("size", f"{w}x{h}")]
    if imprint is None:
        why = "not made by it, or written with --strip or as BMP, or its metadata were taken out since"
        print_table(("", ""), [*rows, ("made by", f"says nothing of sincut: {why}")])
        return
    since = "nothing, it is as sincut wrote it" if unchanged else "its pixels or metadata are not as sincut wrote them"
    print_table(("", ""), [*rows, *imprint.rows(), ("changed since", since)])


def _inspect_model(path: Path, as_json: bool) -> None:
    """Print what a model file says of its training. Raises `ModelError`."""
    from sincut.model.card import carried_words
    from sincut.translation.loading import load_model

    loaded = load_model(path)
    provenance = summary(loaded.provenance)
    if as_json:
        sizes = [{"width": w, "height": h} for h, w in loaded.exemplar_sizes]
        carried = {"exemplar": sizes[0] if sizes else None, **({"exemplars": sizes} if sizes[1:] else {})}
        print_json({**provenance, **carried, "config": loaded.config.to_dict()})
        return
    provenance["exemplar"] = carried_words(loaded.exemplar_sizes, loaded.provenance)
    print_table(("", ""), nested(provenance))
    click.echo("\n" + loaded.config.to_toml(), nl=False)


@click.command(short_help="Draw which patches of a picture a model takes for similar.")
@click.argument("model", type=MODEL)
@click.argument("image", type=PATH)
@click.option("--point", type=Point(), required=True, metavar="X,Y", help="Of the output, in px from left and top.")
@click.option("--layer", "layers", type=int, multiple=True, help="Of PatchNCE, as often as you like; all by default.")
@click.option("-o", "--output", type=PATH, metavar="FILE", help="Takes the heat maps: all layers, and each.")
@click.option("--cosine", is_flag=True, help="Show the cosine itself instead of exp(cosine / tau).")
@device_option
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
    """Compare a patch of the translated IMAGE with all patches of IMAGE, in the features of MODEL's encoder."""
    if output is None and not as_json:
        raise click.UsageError("give -o, --json or both: where does the result go?")
    from sincut.devices import find_device
    from sincut.pictures import formats, writing
    from sincut.pictures.visible import load_visible
    from sincut.report.heat_maps import heat_maps
    from sincut.translation import similarity
    from sincut.translation.translator import load

    if output:
        _check_kept(output, model, image)
        formats.writable_format(output)
    translator, picture = load(model, find_device(device), heads=True), load_visible(image)
    maps = similarity.similarity_maps(translator, picture, point, layers)
    if output:
        panels, low, high = similarity.shown(maps, translator.model.config.losses.temperature, cosine)
        writing.save(heat_maps(picture, panels, point, low, high), output)
    if as_json:
        places = {i: similarity.place_of(translator.model, point, i) for i in maps}
        rows = {str(i): similarity.figures(one, places[i]) for i, one in maps.items()}
        everywhere = similarity.figures(similarity.all_layers(maps), places[min(maps)])
        print_json({"point": point, "all_layers": everywhere, "layers": rows})


@click.command(short_help="Draw what a model's encoder sees, as colours.")
@click.argument("model", type=MODEL)
@click.argument("image", type=PATH)
@click.option("--layer", type=int, help="Of the encoder, from 0; the deepest of PatchNCE by default.")
@click.option("-o", "--output", type=PATH, required=True, metavar="FILE", help="A picture of the size of IMAGE.")
@device_option
@json_option
def features(model: Path, image: Path, layer: int | None, output: Path, device: str, as_json: bool) -> None:
    """Draw the first three principal components of the encoder's features of IMAGE as red, green and blue."""
    from sincut.devices import find_device
    from sincut.pictures import formats, writing
    from sincut.pictures.visible import load_visible
    from sincut.report.heat_maps import enlarged
    from sincut.translation.similarity import principal_components
    from sincut.translation.translator import load

    _check_kept(output, model, image)
    formats.writable_format(output)
    translator, picture = load(model, find_device(device)), load_visible(image)
    layer = max(translator.model.config.losses.layers) if layer is None else layer
    colours = principal_components(translator, picture, layer)
    writing.save(enlarged(picture, colours), output)
    if as_json:
        height, width = colours.shape[-2:]
        print_json({"output": str(output), "layer": layer, "map": {"width": width, "height": height}})


@click.command(short_help="Write a model as ONNX, for programs without torch.")
@click.argument("model", type=MODEL)
@click.option("-o", "--output", type=PATH, required=True, metavar="FILE.onnx", help="The file to write.")
@json_option
def export(model: Path, output: Path, as_json: bool) -> None:
    """Write MODEL as an ONNX file for programs without torch; checked against torch where onnxruntime is installed.

    It holds G alone, which gives what `sincut apply --fast` gives.
    """
    from sincut.model.export import HOLDS
    from sincut.model.export import export as write
    from sincut.model.model import Model

    if output.suffix.lower() != ".onnx":
        raise click.UsageError(f"-o {output}: only .onnx can be written")
    difference = write(Model.load(model), output)
    if as_json:
        print_json({"output": str(output), "difference": difference, "holds": HOLDS})
        return
    checked = "not checked, for want of onnxruntime" if difference is None else f"{difference:.1g} from torch at most"
    click.echo(f"{output}: written, {checked}; it holds {HOLDS}", err=True)


@click.command(short_help="Train for several times: time against quality.")
@click.argument("painting", type=PATH)
@click.argument("photo", type=PATH)
@click.option("-o", "--output", type=FOLDER, required=True, metavar="FOLDER", help="Takes a run folder per training.")
@click.option(
    "--minutes",
    type=Numbers(click.FloatRange(0, min_open=True)),
    default="2,5,10,15,30,60",
    show_default=True,
    metavar="N,...",
    help="A training for each.",
)
@click.option("--seeds", type=Numbers(click.IntRange(0)), default="0", show_default=True, metavar="N,...",
              help="All of these for each of --minutes.")  # fmt: skip
@click.option("--preset", type=PRESET, default="standard", show_default=True, help="All other settings.")
@settings_option
@direction_options
@click.option("--truth", type=PATH, help="What the painting shows as a photo, pixel by pixel: adds PSNR and SSIM.")
@device_option
@click.option("--fast", is_flag=True, help="Measure what G alone gives, not drawn from the target's patches.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list on stdout, a line of progress each on stderr.")
def curve(
    painting: Path,
    photo: Path,
    output: Path,
    minutes: tuple[float, ...],
    seeds: tuple[int, ...],
    preset: str,
    settings: tuple[str, ...],
    direction: Direction,
    truth: Path | None,
    device: str,
    fast: bool,
    as_json: bool,
) -> None:
    """Time against quality: train on PAINTING and PHOTO for several times and seeds, and print the figures of each.

    Takes the sum of all minutes; run nothing else meanwhile. The same command goes on where it was stopped.
    """
    reverse = bool(direction.asked)
    direction.check_truth(truth)
    from sincut.config.resolve import resolve
    from sincut.devices import find_device

    config = resolve(preset, settings)
    from sincut.runs.curve import curve as measure

    def say(row: dict[str, Any]) -> None:
        click.echo(" ".join(f"{name} {value:g}" for name, value in row.items()), err=True)

    chosen = find_device(device)
    with stoppable() as stop:
        rows = measure(
            painting, photo, output, config,
            minutes=minutes, seeds=seeds, reverse=reverse, truth=truth, device=chosen, fast=fast, on_row=say, stop=stop,
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
