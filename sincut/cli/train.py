"""`sincut train`: one training, or with --pairs those of a table."""

import json
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sincut.cli.children import tell_as_json, words
from sincut.cli.console import clock, print_json, print_table, summary
from sincut.cli.helping import Sectioned
from sincut.cli.signals import stoppable
from sincut.cli.started import STARTED
from sincut.cli.types import (
    METHOD,
    PATH,
    PRESET,
    RUN,
    Direction,
    Engine,
    device_option,
    direction_options,
    engine_options,
    events_option,
    gathered,
    settings_option,
)
from sincut.errors import Interrupted, RunError, counted, listed

if TYPE_CHECKING:
    from sincut.cli.progress import Reporter
    from sincut.config.sections import Config
    from sincut.events import Listener


SECTIONS = {  # of the help: titles, and parameters in the order of use
    "What to learn": ("output", "to", "preset", "minutes", "settings"),
    "To go on with a run": ("more", "resume"),
    "Several pictures of a side": ("painting", "photo"),
    "More of this training": ("steps", "seed", "reverse", "exemplar", "method", "weights"),
    "This machine, and programs": ("device", "tensorboard", "as_json"),
    "Many trainings": ("pairs", "engine", "workers", "worker_cpus", "worker_gpus", "ray_address"),
}


@dataclass(frozen=True)
class Lesson:
    """Options for the settings of a training, or of all trainings of a table."""

    preset: str | None
    settings: tuple[str, ...]
    minutes: float | None
    steps: int | None
    seed: int | None
    exemplar: bool | None
    method: str | None
    weights: Path | None

    def __post_init__(self) -> None:
        if self.minutes is not None and self.steps is not None:
            raise click.UsageError("give --minutes or --steps, not both")

    def flags(self) -> list[str]:
        """The options as `key=value`. Raises `ConfigError` for a length that is not above 0."""
        from sincut.config.resolve import schedule_flags

        carried = [] if self.exemplar is None else [f"synthesis.exemplar={str(self.exemplar).lower()}"]
        method = [] if self.method is None else [f"method.algorithm={self.method}"]
        weights = [] if self.weights is None else [f"rival.weights={json.dumps(str(self.weights))}"]
        return [*method, *weights, *self.settings, *carried, *schedule_flags(self.minutes, self.steps, self.seed)]

    def config(self, resumed: Path | None) -> "Config | None":
        """The settings to train with; with `resumed`, a run folder, they must agree with what is stored there.

        None stands for what is stored, where nothing else was typed. Raises `ConfigError` or `ModelError`.
        """
        from sincut.config.resolve import DEFAULT_PRESET, override, resolve

        if resumed is None or self.preset:
            return resolve(self.preset or DEFAULT_PRESET, self.flags())
        flags = self.flags()
        if not flags:
            return None
        from sincut.runs.folder import load_checkpoint

        return override(load_checkpoint(resumed)[1], flags)


lesson_options = gathered(
    "lesson",
    Lesson,
    click.option(
        "--preset",
        type=PRESET,
        help="A shipped preset (see `sincut presets`), a .toml file, or A+B; standard by default.",
    ),
    settings_option,
    click.option("--minutes", type=float, help="Time for the whole command; fixes the number of steps."),
    click.option("--steps", type=int, help="Number of steps, instead of --minutes."),
    click.option("--seed", type=int, help="Of every random choice; 0 by default."),
    click.option(
        "--exemplar/--no-exemplar",
        default=None,
        help="Let the model carry the pixels of its target, or not; as the preset says by default.",
    ),
    click.option(
        "--method", type=METHOD, metavar="NAME", help="sincut, cyclegan, or another algorithm: gatys, strotss, wct2."
    ),
    click.option(
        "--weights",
        type=PATH,
        metavar="FILE",
        help="Of the trained network that gatys and strotss (VGG-19) or wct2 uses.",
    ),
)


@dataclass(frozen=True)
class Sides:
    """Arguments and options that name the pictures of a training."""

    pictures: tuple[Path, ...]
    painting: tuple[Path, ...]
    photo: tuple[Path, ...]

    @property
    def named(self) -> bool:
        """True if any picture is named."""
        return bool(self.pictures or self.painting or self.photo)

    @property
    def run(self) -> Path | None:
        """The only thing that is named, without an option: a run folder, where one is to go on; else None."""
        alone = len(self.pictures) == 1 and not (self.painting or self.photo)
        return self.pictures[0] if alone else None

    def by_role(self) -> dict[str, Path | list[Path]]:
        """Painting and photo, each a path or several. Raises `UsageError` where it is not said which is which."""
        paintings, photos = self.painting, self.photo
        if paintings and photos and self.pictures:
            raise click.UsageError("--painting and --photo name both sides; leave out the other pictures")
        if not (paintings or photos):
            if len(self.pictures) > 2:
                told = f"{len(self.pictures)} pictures are given, and not which are paintings and which photos; "
                quotes = "put a pattern in quotes, as in 'monets/*.jpg', so that the shell leaves it as it is, "
                raise click.UsageError(f"{told}{quotes}or give a folder, or name one side by --painting or --photo")
            paintings, photos = self.pictures[:1], self.pictures[1:]
        sides = {"painting": paintings, "photo": photos}
        if self.painting or self.photo:
            sides = {role: paths or self.pictures for role, paths in sides.items()}
        if not all(sides.values()):
            raise click.UsageError("give PAINTING and PHOTO, or --pairs FILE.csv")
        return {role: paths[0] if len(paths) == 1 else list(paths) for role, paths in sides.items()}


sides_options = gathered(
    "sides",
    Sides,
    click.argument("pictures", type=PATH, nargs=-1, metavar="PAINTING PHOTO"),
    click.option("--painting", type=PATH, multiple=True, metavar="FILE",
                 help="A painting, as often as you like; pictures without an option are then the photos."),
    click.option("--photo", type=PATH, multiple=True, metavar="FILE",
                 help="A photo, as often as you like; pictures without an option are then the paintings."),
)  # fmt: skip


@dataclass(frozen=True)
class Onward:
    """Options of how a run that is there goes on: as it was planned, or for some minutes more."""

    resume: bool
    more: float | None

    @property
    def flag(self) -> str:
        """The option that is typed; empty for a new run."""
        return "--more" if self.more else "--resume" if self.resume else ""

    def pictures(self, sides: Sides, output: Path | None) -> "tuple[dict[str, Path | list[Path]], Path | None]":
        """Painting and photo by role, and the run folder as far as it is said; it alone says its pictures too.

        Raises `UsageError`, and what `sides_of` raises.
        """
        if not self.flag or sides.run is None or output is not None:
            given = sides.by_role()
            if self.flag and output is None:
                raise click.UsageError(f"{self.flag} needs the run folder: -o RUN")
            return given, output
        from sincut.report.history import run_folder
        from sincut.runs.again import sides_of

        folder = run_folder(sides.run)
        known = sides_of(folder)
        return {r: Path(s) if isinstance(s, str) else [*map(Path, s)] for r, s in known.items()}, folder


onward_options = gathered(
    "onward",
    Onward,
    click.option("--resume", is_flag=True, help="Go on with the run in the folder, exactly where it stopped."),
    click.option(
        "--more",
        type=click.FloatRange(0, min_open=True),
        metavar="MINUTES",
        help="Go on with a run, finished or not, for so many more: sincut train RUN --more 5.",
    ),
)


@click.command(
    cls=Sectioned, sections=SECTIONS, short_help="Learn a look from a painting and a photo, for some minutes."
)
@sides_options
@click.option("-o", "--output", type=RUN, metavar="RUN", help="Run folder; runs/SOURCE-to-TARGET by default.")
@click.option("--pairs", type=PATH, metavar="FILE.csv",
              help="Train each row of a table instead; -o holds their run folders, runs by default.")  # fmt: skip
@engine_options
@lesson_options
@direction_options
@device_option
@click.option("--tensorboard", is_flag=True, help="Write what TensorBoard shows into the run folder, too.")
@onward_options
@events_option
def train(
    sides: Sides,
    output: Path | None,
    pairs: Path | None,
    engine: Engine,
    lesson: Lesson,
    direction: Direction,
    device: str,
    tensorboard: bool,
    onward: Onward,
    as_json: bool,
) -> None:
    """Learn from PAINTING and PHOTO, these two files alone: paintings will look like the photo.

    Either may be a set: a folder, a pattern in quotes, or several files by --painting or --photo. With --to painting,
    photos will look like the painting. Ctrl-C saves and stops; the same command with --resume goes on, with --more 5
    for five minutes more. Both also take a run folder alone: sincut train RUN --more 5. With --pairs, each row of a CSV
    file with the columns painting and photo (and name, preset, minutes, steps, seed, to, exemplar, or a setting such as
    crops.count) is trained; the same command goes on with what is not complete.
    """
    reverse = direction.asked
    if pairs is not None:
        if sides.named or reverse is not None:
            raise click.UsageError("--pairs names the pictures and their direction in its rows")
        if onward.flag:
            raise click.UsageError("--pairs goes on with what is not complete by itself; leave out --resume and --more")
        if tensorboard:
            raise click.UsageError("--tensorboard is for one training; leave it out, or train without --pairs")
        _train_pairs(pairs, output or Path("runs"), lesson, engine, device, as_json)
        return
    if onward.more and (lesson.minutes is not None or lesson.steps is not None):
        raise click.UsageError("--more says how long it goes on; leave out --minutes and --steps")
    if engine.engine != "local":
        raise click.UsageError("--engine is for --pairs: one training is the work of one machine")
    from sincut.cli.progress import Reporter

    with Reporter(as_json) as reporter:
        reporter.load()
        given, output = onward.pictures(sides, output)
        config = lesson.config(output if onward.flag else None)
        from sincut.runs.finding import find
        from sincut.runs.folder import default_folder

        stems = [find(side, role).stem for role, side in given.items()] if output is None else []
        folder = output or default_folder(*(reversed(stems) if reverse else stems))
        _train_one(reporter, given, folder, config, reverse, device, tensorboard, onward)


def _train_one(
    reporter: "Reporter",
    sides: "dict[str, Path | list[Path]]",
    folder: Path,
    config: "Config | None",
    reverse: bool | None,
    device: str,
    tensorboard: bool,
    onward: Onward,
) -> None:
    """Train into a run folder, and print the commands that go on and that apply the model."""
    from sincut.devices import find_device
    from sincut.events import all_of
    from sincut.model.file import is_model
    from sincut.report.history import words_of
    from sincut.runs.finding import find
    from sincut.runs.run import train as train_run

    listeners: list[Listener] = []
    if tensorboard:
        from sincut.runs.board import Board

        listeners.append(Board(folder))
    chosen = find_device(device)
    named = words_of({role: [*map(str, side)] if isinstance(side, list) else str(side) for role, side in sides.items()})
    again = [*_program(), "train", *named, "-o", str(folder)]
    again += ["--to", "painting"] if reverse else []
    again += ["--device", device] if device != "auto" else []
    again += ["--tensorboard"] if tensorboard else []
    with stoppable() as stop:
        try:
            result = train_run(
                sides["painting"], sides["photo"], folder, config=config, reverse=reverse, resume=onward.resume,
                more=onward.more or 0.0, device=chosen, on_event=all_of(reporter, *listeners),
                stop=stop, started=STARTED,
            )  # fmt: skip
        except Interrupted as error:
            if not is_model(folder):
                raise Interrupted(f"{error}; begin again: {shlex.join(again)}") from None
            line = shlex.join([*again, "--resume"])
            raise Interrupted(f"{error}; {folder} holds a usable model; go on: {line}") from None
        role = result.model.provenance.roles[0]
        source = find(sides[role], role).paths[0]
        reporter.say(f"model: {folder / 'model.safetensors'}")
        reporter.say(f"apply: {shlex.join([*_program(), 'apply', str(folder), str(source), '-o', 'out.png'])}")
    if reporter.as_json:
        print_json({"run": str(folder), **summary(result.model.provenance)})


def _train_pairs(table: Path, output: Path, lesson: Lesson, engine: Engine, device: str, as_json: bool) -> None:
    """Train all rows of a table, then print what became of each. Raises `RunError` where one of them failed."""
    from sincut.runs import pairs
    from sincut.runs.table import FAILED, STOPPED, Outcome, load

    rows = load(table, output, lesson.preset, lesson.flags())

    def tell(outcome: Outcome) -> None:
        if not as_json:
            click.echo(f"{outcome.name}: {outcome.error or outcome.state}", err=True)

    def say(pair: str, line: str) -> None:
        if text := words(line):
            click.echo(f"{pair}: {text}", err=True)

    with stoppable() as stop:
        outcomes = pairs.train(
            rows, device, on_line=tell_as_json if as_json else say, on_outcome=tell, stop=stop, pool=engine.pool
        )
    if as_json:
        print_json({"pairs": [outcome.summary() for outcome in outcomes]})
    else:
        cells = [
            (o.name, o.state, str(o.steps or ""), clock(o.seconds) if o.seconds else "", o.folder) for o in outcomes
        ]
        print_table(("pair", "", "steps", "time", "run folder"), cells)
    failed = [outcome.name for outcome in outcomes if outcome.state == FAILED]
    if any(outcome.state == STOPPED for outcome in outcomes):
        raise Interrupted("stopped; the same command goes on with the rest")
    if failed:
        raise RunError(f"{len(failed)} of {counted(len(outcomes), 'pair')} failed, see above: {listed(failed)}")


def _program() -> list[str]:
    """The words that this command was called by, for lines to type again."""
    if shutil.which("sincut"):
        return ["sincut"]
    return [sys.executable, "-m", "sincut"] if sys.argv[0].endswith("__main__.py") else [sys.argv[0]]
