"""The command for what a model's file carries of its target."""

from pathlib import Path

import click

from sincut.cli.console import print_json
from sincut.cli.types import PATH, json_option

SUFFIX = ".safetensors"


@click.command()
@click.argument("model", type=PATH)
@click.argument("target", type=PATH, required=False)
@click.option("--remove", is_flag=True, help="Take the picture out instead, for those who may not pass it on.")
@click.option("-o", "--output", type=PATH, metavar=f"FILE{SUFFIX}", help="Write this file and leave MODEL as it is.")
@json_option
def exemplar(model: Path, target: Path | None, remove: bool, output: Path | None, as_json: bool) -> None:
    """Let MODEL carry TARGET, the picture whose look it learned, so that pictures are drawn from it.

    MODEL is a run folder or model file of any version. It is replaced, whole or not at all.
    """
    if remove is (target is not None):
        raise click.UsageError("give TARGET, the picture whose look MODEL learned, or --remove")
    if output is not None and output.suffix.lower() != SUFFIX:
        raise click.UsageError(f"-o {output}: only {SUFFIX} can be written")
    from sincut.cli.progress import Reporter
    from sincut.model.carry import add_exemplar, remove_exemplar
    from sincut.model.file import model_path

    written = output or model_path(model)
    size = None
    if target is None:
        remove_exemplar(model, output)
    else:
        with Reporter(as_json) as reporter:
            size = add_exemplar(model, target, output, reporter)
    if as_json:
        print_json({"output": str(written), "exemplar": {"width": size[1], "height": size[0]} if size else None})
        return
    holds = f"{size[1]}x{size[0]} pixels of {target}" if size else "no pixels of its target but a thumbnail"
    click.echo(f"{written}: holds {holds}", err=True)
