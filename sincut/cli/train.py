"""`sincut train`: one training, or with --pairs those of a table."""

import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sincut.cli.console import clock, print_json, print_table, summary
from sincut.cli.signals import stoppable
from sincut.cli.started import STARTED
from sincut.cli.types import DEVICE_HELP, EXISTING, JSON_HELP, LISTED, cluster_options
from sincut.errors import Interrupted, RunError

if TYPE_CHECKING:
    from sincut.batch.ray_ import Pool


@click.command()
@click.argument("painting", type=EXISTING, required=False)
@click.argument("photo", type=EXISTING, required=False)
@click.option("-o", "--output", type=EXISTING, metavar="RUN", help="Run folder; runs/PAINTING-to-PHOTO by default.")
@click.option("--pairs", type=EXISTING, metavar="FILE.csv",
              help="Train each row of a table instead; -o holds their run folders, runs by default.")  # fmt: skip
@cluster_options
@click.option("--preset", help="A shipped preset (see `sincut presets`) or a .toml file; standard by default.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any setting, as in crops.count=2.")
@click.option("--minutes", type=float, help="Time for the whole command; fixes the number of steps.")
@click.option("--steps", type=int, help="Number of steps, instead of --minutes.")
@click.option("--reverse", is_flag=True, help="Learn photo -> painting instead: what one wants for styling photos.")
@click.option("--seed", type=int, help="Of every random choice; 0 by default.")
@click.option("--device", default="auto", show_default=True, help=DEVICE_HELP)
@click.option("--tensorboard", is_flag=True, help="Write what TensorBoard shows into the run folder, too.")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder, exactly where it stopped.")
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def train(
    painting: Path | None,
    photo: Path | None,
    output: Path | None,
    pairs: Path | None,
    engine: str,
    ray_address: str | None,
    workers: int | None,
    worker_cpus: float,
    worker_gpus: float,
    preset: str | None,
    settings: tuple[str, ...],
    minutes: float | None,
    steps: int | None,
    reverse: bool,
    seed: int | None,
    device: str,
    tensorboard: bool,
    resume: bool,
    as_json: bool,
) -> None:
    """Learn from PAINTING and PHOTO, these two files alone.

    Ctrl-C saves and stops; the same command with --resume goes on. With --pairs, each row of a CSV file with the
    columns painting and photo (and name, preset, minutes, steps, seed, reverse, or a setting such as crops.count) is
    trained; the same command goes on with what is not complete.
    """
    if minutes is not None and steps is not None:
        raise click.UsageError("give --minutes or --steps, not both")
    if pairs is not None and (painting or reverse):
        raise click.UsageError("--pairs names the pictures and their direction in its rows")
    if pairs is None and (painting is None or photo is None):
        raise click.UsageError("give PAINTING and PHOTO, or --pairs FILE.csv")
    if pairs is None and engine != "local":
        raise click.UsageError("--engine is for --pairs: one training is the work of one machine")
    if pairs is None and output is None and resume:
        raise click.UsageError("--resume needs the run folder: -o RUN")
    from sincut.config.sections import DEFAULT_PRESET, override, resolve, schedule_flags

    flags = [*settings, *schedule_flags(minutes, steps, seed)]
    if pairs is not None:
        from sincut.batch.ray_ import Pool

        pool = Pool(workers, worker_cpus, worker_gpus, ray_address) if engine == "ray" else None
        _train_pairs(pairs, output or Path("runs"), preset, flags, device, pool, as_json)
        return
    assert painting is not None and photo is not None
    config = None if resume and not preset else resolve(preset or DEFAULT_PRESET, flags)
    from sincut.cli.progress import Reporter
    from sincut.devices import prepared_device
    from sincut.runs.folder import default_folder, load_checkpoint
    from sincut.runs.run import train as train_run

    if config is None and output is not None and flags:  # --resume: what was typed must agree with what is stored
        config = override(load_checkpoint(output)[1], flags)
    folder = output or default_folder(painting, photo)
    listeners: list[Any] = []
    if tensorboard:
        from sincut.runs.board import Board

        listeners.append(Board(folder))
    from sincut.events import all_of

    found = prepared_device(device)
    again = [*_program(), "train", str(painting), str(photo), "-o", str(folder), *(["--reverse"] if reverse else [])]
    again += ["--device", device] if device != "auto" else []
    again += ["--tensorboard"] if tensorboard else []
    with Reporter(as_json) as reporter, stoppable() as stop:
        try:
            result = train_run(
                painting, photo, folder, config=config, reverse=reverse, resume=resume,
                device=found, on_event=all_of(reporter, *listeners), stop=stop, started=STARTED,
            )  # fmt: skip
        except Interrupted as error:
            raise Interrupted(
                f"{error}; {folder} holds a usable model; go on: {shlex.join([*again, '--resume'])}"
            ) from None
        source = photo if reverse else painting
        reporter.say(f"model: {folder / 'model.safetensors'}")
        reporter.say(f"apply: {shlex.join([*_program(), 'apply', str(folder), str(source), '-o', 'out.png'])}")
    if as_json:
        print_json({"run": str(folder), **summary(result.model.provenance)})


def _train_pairs(
    table: Path, output: Path, preset: str | None, flags: list[str], device: str, pool: "Pool | None", as_json: bool
) -> None:
    """All rows of a table, and what became of each."""
    from sincut.runs import pairs

    rows = pairs.load(table, output, preset, flags)

    def say(name: str, line: str) -> None:
        """A line of a training in JSON, or whatever it had to say."""
        try:
            values = json.loads(line)
        except ValueError:
            values = None
        if as_json and isinstance(values, dict):
            click.echo(json.dumps({"pair": name, **values}), err=True)
        elif values is None:
            click.echo(f"{name}: {line}", err=True)
        elif values.get("event") == "Progress":
            left = clock(values["seconds_left"])
            click.echo(f"{name}: step {values['step']}/{values['steps'] or '?'}, {left} left", err=True)

    def tell(outcome: pairs.Outcome) -> None:
        if not as_json:
            click.echo(f"{outcome.name}: {outcome.error or outcome.state}", err=True)

    with stoppable() as stop:
        found = pairs.train(rows, device, on_line=say, on_outcome=tell, stop=stop, pool=pool)
    if as_json:
        print_json([outcome.summary() for outcome in found])
    else:
        cells = [(o.name, o.state, str(o.steps or ""), clock(o.seconds) if o.seconds else "", o.folder) for o in found]
        print_table(("pair", "", "steps", "time", "run folder"), cells)
    failed = [outcome for outcome in found if outcome.state == pairs.FAILED]
    if any(outcome.state == pairs.STOPPED for outcome in found):
        raise Interrupted("stopped; the same command goes on with the rest")
    if failed:
        names = ", ".join(outcome.name for outcome in failed[:LISTED])
        raise RunError(f"{len(failed)} of {len(found)} pairs failed, see above: {names}")


def _program() -> list[str]:
    """How this command was called, for lines to type again."""
    if shutil.which("sincut"):
        return ["sincut"]
    return [sys.executable, "-m", "sincut"] if sys.argv[0].endswith("__main__.py") else [sys.argv[0]]
