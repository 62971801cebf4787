"""The command for what a model's file carries of its target."""

from pathlib import Path

import click

from sincut.cli.console import print_json
from sincut.cli.types import MODEL, PATH, json_option

SUFFIX = ".safetensors"


@click.command(short_help="Put the picture of its look into a model, or take it out.")
@click.argument("model", type=MODEL)
@click.argument("targets", type=PATH, nargs=-1, metavar="[TARGET]...")
@click.option("--remove", is_flag=True, help="Take the picture out instead, for those who may not pass it on.")
@click.option("-o", "--output", type=PATH, metavar=f"FILE{SUFFIX}", help="Write this file and leave MODEL as it is.")
@json_option
def exemplar(model: Path, targets: tuple[Path, ...], remove: bool, output: Path | None, as_json: bool) -> None:
    """Let MODEL carry TARGET, the picture whose look it learned, so that pictures are drawn from it.

    MODEL is a run folder or model file of any version. It is replaced, whole or not at all. Where it learned from a
    set, TARGET are its pictures: several files, a folder, or a pattern in quotes.
    """
    if remove is bool(targets):
        raise click.UsageError("give TARGET, the picture whose look MODEL learned, or --remove")
    if output is not None and output.suffix.lower() != SUFFIX:
        raise click.UsageError(f"-o {output}: only {SUFFIX} can be written")
    from sincut.cli.progress import Reporter
    from sincut.model.carry import add_exemplar, remove_exemplar
    from sincut.model.file import model_path
    from sincut.runs.finding import find

    written = output or model_path(model)
    size, holds = None, "no pixels of its target but a thumbnail"
    if remove:
        remove_exemplar(model, output)
    else:
        paths = find(targets, "target").paths
        with Reporter(as_json) as reporter:
            size = add_exemplar(model, paths, output, reporter)
        more = f", and pixels of {len(paths) - 1} more" if len(paths) > 1 else ""
        holds = f"{size[1]}x{size[0]} pixels of {paths[0]}{more}"
    if as_json:
        print_json({"output": str(written), "exemplar": {"width": size[1], "height": size[0]} if size else None})
        return
    click.echo(f"{written}: holds {holds}", err=True)
