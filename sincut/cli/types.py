"""Parameter types of the commands, and options that several commands share."""

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from sincut.cli import completion
from sincut.errors import ConfigError

if TYPE_CHECKING:
    from sincut.batch.ray_ import Pool
    from sincut.batch.remote import AnyPath

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

SIZE = re.compile(r"((?:\d+\.?\d*|\.\d+)(?:E\+?\d+)?)\s*([KMGT]?)B?", re.IGNORECASE)
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
DEVICE_HELP = "auto, cpu, cuda, cuda:1, ... or mps."
JSON_HELP = "One JSON object on stdout, progress as JSON lines on stderr."


class Completed(click.ParamType):  # type: ignore[type-arg]
    """A text for which the shell is offered what a function of `completion.py` gives."""

    name = "text"

    def __init__(self, offers: Callable[[str], completion.Items]) -> None:
        self.offers = offers

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> completion.Items:
        """Completions for the shell of what is typed so far."""
        return self.offers(incomplete)


class LocalPath(Completed):
    """A path on this machine, of something that need not exist."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path in a text. Raises `ConfigError` for a URL of another file system."""
        path = _place(str(value))
        if not isinstance(path, Path):
            raise ConfigError(f"{value}: is a URL, and only INPUT and -o of apply may be one; copy the file here first")
        return path


class Place(Completed):
    """A path, or a URL of another file system; for the first of several the shell is offered models."""

    name = "path"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> completion.Items:
        """Completions for the shell: models for the first path, any files for those behind it."""
        given = ctx.params.get(param.name) if param.name else None
        return completion.files(incomplete) if given else super().shell_complete(ctx, param, incomplete)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> "AnyPath":
        """The path or URL in a text."""
        return _place(str(value))


def _place(text: str) -> "AnyPath":
    from sincut.batch.remote import place

    return place(text)


class Size(click.ParamType):  # type: ignore[type-arg]
    """A number of bytes, at least 1, written as in 2GB, 0.5 G or 800000; the units are powers of 1000."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of bytes in a text; anything else is a usage error."""
        parts = SIZE.fullmatch(str(value).strip())
        size = float(parts[1]) * UNITS[parts[2].upper()] if parts else 0.0
        return int(size) if 1 <= size < 1e18 else self.fail(f"{value!r} is no size; write it as in 2GB or 800MB")


class Scale(click.ParamType):  # type: ignore[type-arg]
    """A factor, or auto."""

    name = "scale"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """The factor in a text, or "auto"; anything else is a usage error."""
        return value if value == "auto" else float(click.FLOAT.convert(value, param, ctx))


class Tile(click.ParamType):  # type: ignore[type-arg]
    """The side of a tile in px, auto or off."""

    name = "tile"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """The px in a text, or "auto" or "off"; anything else is a usage error."""
        text = str(value)
        if text in ("auto", "off"):
            return text
        return int(text) if text.isdecimal() and int(text) else self.fail("give a number of pixels, auto or off")


class Point(click.ParamType):  # type: ignore[type-arg]
    """A pixel of a picture: x from the left and y from the top."""

    name = "x,y"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """The (x, y) in a text such as 320,200; anything else is a usage error."""
        try:
            x, y = map(int, str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is no place; write it in px from the left and the top, as in 320,200")
        return x, y


class Numbers(click.ParamType):  # type: ignore[type-arg]
    """Numbers separated by commas, each accepted by `kind` (a number type of click)."""

    name = "n,..."

    def __init__(self, kind: click.ParamType) -> None:  # type: ignore[type-arg]
        self.kind = kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """The finite numbers in a text; anything else is a usage error."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(self.kind.convert(number.strip(), param, ctx) for number in str(value).split(","))
        except click.BadParameter as error:
            self.fail(f"{error.message} Give numbers with commas between, as in 1,4.", param, ctx)
        if any(not number < float("inf") for number in numbers):
            self.fail(f"{value!r} holds what is no finite number", param, ctx)
        return numbers


class Names(click.ParamType):  # type: ignore[type-arg]
    """Names separated by commas, none of them empty."""

    name = "name,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The names in a text; an empty one is a usage error."""
        names = value if isinstance(value, tuple) else tuple(name.strip() for name in str(value).split(","))
        return names if all(names) else self.fail(f"{value!r} holds an empty name; give names with commas between")


PATH, FOLDER = LocalPath(completion.files), LocalPath(completion.folders)
MODEL, RUN = LocalPath(completion.models), LocalPath(completion.runs)
PRESET, METHOD = Completed(completion.presets), Completed(completion.methods)


def gathered(name: str, kind: type[Any], *options: Decorator) -> Decorator:
    """Options that reach the command as one argument: an instance of the dataclass `kind`, with a field for each."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def gather(**values: Any) -> Any:
            own = {field.name: values.pop(field.name) for field in fields(kind)}
            return command(**values, **{name: kind(**own)})

        for option in reversed(options):
            option(gather)
        return gather

    return decorate


def is_typed(parameter: str) -> bool:
    """True if the user has given this option of the running command, be it with its default."""
    return click.get_current_context().get_parameter_source(parameter) is ParameterSource.COMMANDLINE


@dataclass(frozen=True)
class Engine:
    """Options of who does the work, translating pictures or training pairs: this process, or workers of Ray."""

    engine: str
    ray_address: str | None
    workers: int | None
    worker_cpus: float
    worker_gpus: float

    def __post_init__(self) -> None:
        ignored = ("ray_address", "workers", "worker_cpus", "worker_gpus") if self.engine != "ray" else ()
        for name in filter(is_typed, ignored):
            raise click.UsageError(f"--{name.replace('_', '-')} is for --engine ray; give both or neither")

    @property
    def pool(self) -> "Pool | None":
        """The workers, or None where this process does the work."""
        from sincut.batch.ray_ import Pool

        if self.engine != "ray":
            return None
        return Pool(self.workers, self.worker_cpus, self.worker_gpus, self.ray_address)


engine_options = gathered(
    "engine",
    Engine,
    click.option("--engine", default="local", show_default=True, type=click.Choice(["local", "ray"]),
                 help="ray: on a Ray cluster, or as several processes of this machine."),
    click.option("--ray-address", envvar="RAY_ADDRESS", metavar="ADDRESS",
                 help="Of the cluster; by default what RAY_ADDRESS says, else this machine."),
    click.option("--workers", type=click.IntRange(1), help="With ray; as many as there is room for by default."),
    click.option("--worker-cpus", type=click.FloatRange(0, min_open=True), default=2.0, show_default=True,
                 help="With ray, for each worker."),
    click.option("--worker-gpus", type=click.FloatRange(0), default=0.0, show_default=True,
                 help="With ray, for each worker, as in 1 or 0.5; it then computes there."),
)  # fmt: skip


@dataclass(frozen=True)
class Direction:
    """Options of what will look like what."""

    to: str | None
    reverse: bool

    @property
    def asked(self) -> bool | None:
        """True for photo -> painting, False for painting -> photo, None if neither option is typed.

        Raises `ConfigError` if the two disagree.
        """
        from sincut.model.provenance import asked_reverse

        return asked_reverse(self.to, self.reverse or None)

    def check_truth(self, truth: Path | None) -> None:
        """Raise `UsageError` for a truth, which is of the painting, where the look of a painting is learned."""
        if truth and self.asked:
            raise click.UsageError("--truth is of the painting; it cannot be compared with what --to painting learns")


direction_options = gathered(
    "direction",
    Direction,
    click.option("--to", type=click.Choice(["photo", "painting"]),
                 help="The one whose look is learned; photo by default. painting: to style photos like it."),
    click.option("--reverse", is_flag=True, help="The same as --to painting."),
)  # fmt: skip
device_option = click.option(
    "--device", type=Completed(completion.devices), default="auto", show_default=True, help=DEVICE_HELP
)
json_option = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
events_option = click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
settings_option = click.option(
    "--set",
    "settings",
    type=Completed(completion.settings),
    multiple=True,
    metavar="KEY=VALUE",
    help="Any setting, as in crops.count=2.",
)
fast_option = click.option(
    "--fast", is_flag=True,
    help="Translate only, a second a megapixel; do not draw the result from the picture that was learned from.",
)  # fmt: skip
max_pixels_option = click.option(
    "--max-pixels", type=click.IntRange(1), metavar="N", help="Refuse files that declare more; 2147483648 by default."
)
