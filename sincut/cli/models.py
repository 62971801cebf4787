"""`sincut models`: models are listed, renamed, deleted, freed of their checkpoints, added, and given cards."""

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sincut.cli.console import print_json, print_table
from sincut.cli.helping import WithDefault
from sincut.cli.types import FOLDER, MODEL, PATH, RUN, is_typed, json_option
from sincut.errors import Interrupted, RunError, SincutError, counted

if TYPE_CHECKING:
    from sincut.runs.shelf import Entry

RUNS = Path("runs")
FIGURES = ("colour", "texture")  # those that have a column
IN_FOLDER = click.argument("folder", type=FOLDER, default=RUNS, metavar="[FOLDER]")
MODELS = click.argument("models", type=MODEL, nargs=-1, required=True, metavar="MODEL...")


@click.command(name="list", short_help="List the models in a folder; done where no command is named.")
@IN_FOLDER
@json_option
def list_(folder: Path, as_json: bool) -> None:
    """List the models in FOLDER, run folders and model files, the last one first; FOLDER is runs by default.

    For each: the one whose look it gives, when it was written, whether its training has finished, and its size, with
    that of its checkpoint. colour and texture are distances to that look: 1 as without a translation, 0 none.
    """
    from sincut.runs.shelf import entries, freeable

    listed = entries(folder) if is_typed("folder") or folder.is_dir() else []
    if as_json:
        print_json({"folder": str(folder), "models": [each.to_dict() for each in listed]})
        return
    if not listed:
        click.echo(f"no models in {folder}: sincut train makes one, sincut models add takes in a file", err=True)
        return
    print_table(("model", "to", "date", "state", *FIGURES, "MB"), [*map(_row, listed)])
    for each in listed:
        if each.error:
            click.echo(f"damaged: {' '.join(each.error.split())}", err=True)
    total = sum(each.size + each.checkpoint for each in listed)
    spare = sum(freeable(each.path) for each in listed)
    more = f", of which checkpoints of finished runs {_megabytes(spare)} (sincut models free RUN...)" if spare else ""
    click.echo(f"{counted(len(listed), 'model')}, {_megabytes(total)} MB{more}", err=True)


def _row(each: "Entry") -> tuple[str, ...]:
    """The cells of a model in the table, as texts that no terminal takes for commands."""
    name = "".join(character if character.isprintable() else "?" for character in each.name)
    to = "" if not each.direction else "painting" if each.direction.startswith("photo") else "photo"
    figures = [f"{each.figures[key]:.2f}" if key in each.figures else "" for key in FIGURES]
    size = _megabytes(each.size) + (f" + {_megabytes(each.checkpoint)}" if each.checkpoint else "")
    return (name, to, each.date.astimezone().strftime("%Y-%m-%d"), each.state, *figures, size)


def _megabytes(count: int) -> str:
    """A number of bytes in MB of 10^6 bytes, to one place below 10, to two below 0.1."""
    return f"{count / 1e6:.{0 if count >= 9.95e6 else 1 if count >= 95_000 else 2}f}"


@click.command(short_help="Give a run folder or model file another name.")
@click.argument("model", type=MODEL)
@click.argument("name", metavar="NAME")
@json_option
def rename(model: Path, name: str, as_json: bool) -> None:
    """Give MODEL, a run folder or model file, another NAME; it stays in its folder, and a file keeps its suffix."""
    from sincut.runs.shelf import renamed

    path = renamed(model, name)
    if as_json:
        print_json({"before": str(model), "model": str(path)})
    else:
        click.echo(f"{model}: is {path} now", err=True)


@click.command(short_help="Delete run folders or model files, after a question.")
@MODELS
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
def delete(models: tuple[Path, ...], yes: bool, as_json: bool) -> None:
    """Delete each MODEL: a model file, or from a run folder all that its training has written.

    What else lies in a run folder stays there. What is not sincut's, or is being trained, is refused.
    """
    from sincut.runs import shelf

    left: dict[str, list[str]] = {}

    def act(model: Path) -> None:
        left[str(model)] = names = shelf.delete(model)
        if not as_json:
            more = f"; left in it: {', '.join(names)}" if names else ""
            click.echo(f"{model}: deleted{more}", err=True)

    if not yes:
        _ask(models)
    failed = _each(models, act)
    if as_json:
        print_json({"deleted": [*left], "left": {model: names for model, names in left.items() if names}})
    _check(failed, models, "deleted")


def _ask(models: Sequence[Path]) -> None:
    """Go on if the user says yes to those that can be deleted, if any. Raises `RunError` if not, or nobody is there."""
    from sincut.runs.shelf import check_own, entry

    count = 0
    for model in models:
        with suppress(SincutError):  # told when it is to be deleted
            check_own(model)
            told, count = entry(model), count + 1
            taken = f"model {_megabytes(told.size)} MB, checkpoint {_megabytes(told.checkpoint)} MB"
            click.echo(f"{model}: {told.state}, {counted(told.steps, 'step')}, {taken}", err=True)
    try:
        if not count or click.confirm(f"Delete {counted(count, 'model')}? This cannot be undone", err=True):
            return
    except click.Abort:
        click.echo(err=True)
        if not sys.stdin.isatty():
            raise RunError("nothing was deleted, since nobody is there to be asked; add --yes") from None
        raise Interrupted("nothing was deleted") from None
    raise RunError("nothing was deleted")


@click.command(short_help="Delete the checkpoints of finished runs, which are most of them.")
@click.argument("runs", type=RUN, nargs=-1, required=True, metavar="RUN...")
@json_option
def free(runs: tuple[Path, ...], as_json: bool) -> None:
    """Delete the checkpoint of each finished RUN, which is most of its folder; it then cannot be trained longer."""
    from sincut.runs import shelf

    freed: dict[str, int] = {}

    def act(run: Path) -> None:
        freed[str(run)] = size = shelf.free(run)
        if not as_json:
            click.echo(f"{run}: {_megabytes(size)} MB are free; its model stays", err=True)

    failed = _each(runs, act)
    if as_json:
        print_json({"freed": freed})
    _check(failed, runs, "freed")


@click.command(short_help="Take a model file from somebody else in among your own.")
@click.argument("file", type=PATH)
@IN_FOLDER
@click.option("--name", help="For the copy; that of FILE by default, or with -2, -3, ... what is free.")
@json_option
def add(file: Path, folder: Path, name: str | None, as_json: bool) -> None:
    """Copy FILE, a model file or run folder, into FOLDER (runs by default), after a look whether it is whole."""
    from sincut.runs.shelf import added

    if name == "":
        raise click.UsageError("--name is empty; leave it out, or give one")
    path = added(file, folder, name or "")
    if as_json:
        print_json({"model": str(path)})
    else:
        click.echo(f"{path}: added; sincut apply {path} PICTURE -o out.png", err=True)


@click.command(short_help="Write a model card, as model hubs read it.")
@click.argument("model", type=MODEL)
@click.option("-o", "--output", type=PATH, metavar="FILE", help="As in README.md; by default it goes to stdout.")
@click.option("--overwrite", is_flag=True, help="Replace FILE if it is there.")
@json_option
def card(model: Path, output: Path | None, overwrite: bool, as_json: bool) -> None:
    """Write the card of MODEL: Markdown that says what it learned from, how, and what its figures mean."""
    from sincut.files import write_whole
    from sincut.runs.hub_card import hub_card

    text = hub_card(model)
    if output is not None:
        if output.exists() and not overwrite:
            raise RunError(f"{output}: is there already; add --overwrite, or choose another name with -o")
        write_whole(output, text.encode(), RunError)
    if as_json:
        print_json({"card": text, "output": output and str(output)})
    elif output is None:
        click.echo(text, nl=False)
    else:
        click.echo(f"{output}: written; choose a licence, and write it in", err=True)


def _each(paths: Sequence[Path], act: Callable[[Path], None]) -> list[SincutError]:
    """Do something with each of several models; what went wrong with some of them."""
    failed = list[SincutError]()
    for path in paths:
        try:
            act(path)
        except SincutError as error:
            failed.append(error)
    return failed


def _check(failed: Sequence[SincutError], paths: Sequence[Path], done: str) -> None:
    """Raise the only error, of several a `RunError`, after each of them was told."""
    if len(paths) == 1:
        for error in failed:
            raise error
    for error in failed:
        click.echo(f"sincut: {' '.join(str(error).split())}", err=True)
    if failed:
        raise RunError(f"{len(failed)} of {len(paths)} could not be {done}, see above")


models = WithDefault(
    "models",
    titles={"Commands": (list_, rename, delete, free, add, card)},
    short_help="List your models; rename, delete, add them, write their cards.",
    help="""List the models in FOLDER, runs by default, or do something with some of them.

    A model is a run folder or a model file. `sincut models` alone is `sincut models list`; of each command tells
    `sincut models COMMAND --help`.""",
)
