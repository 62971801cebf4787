"""Parameter types of the commands, and options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from sincut.batch.remote import AnyPath

T = TypeVar("T", int, float)
EXISTING = click.Path(path_type=Path)
DEVICE_HELP = "auto, cpu, cuda, cuda:1, ... or mps."
JSON_HELP = "One JSON object on stdout, progress as JSON lines on stderr."
LISTED = 20  # failed pictures, at most, that are named again at the end


def cluster_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where the work is done; the same for all commands that can share it out."""
    for option in reversed((
        click.option("--engine", default="local", show_default=True, type=click.Choice(["local", "ray"]),
                     help="ray: on a Ray cluster, or as several processes of this machine."),
        click.option("--ray-address", envvar="RAY_ADDRESS", metavar="ADDRESS",
                     help="Of the cluster; by default what RAY_ADDRESS says, else this machine."),
        click.option("--workers", type=click.IntRange(1), help="With ray; as many as there is room for by default."),
        click.option("--worker-cpus", type=click.FloatRange(0, min_open=True), default=2.0, show_default=True,
                     help="With ray, for each worker."),
        click.option("--worker-gpus", type=click.FloatRange(0), default=0.0, show_default=True,
                     help="With ray, for each worker, as in 1 or 0.5; it then computes there."),
    )):  # fmt: skip
        command = option(command)
    return command


class Size(click.ParamType):  # type: ignore[type-arg]
    """Bytes, as in 2GB or 800MB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        number = str(value).strip().upper().removesuffix("B")
        unit = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}.get(number[-1:], 1)
        try:
            size = float(number.rstrip("KMGT")) * unit
        except ValueError:
            size = 0
        return int(size) if 0 < size < 1e18 else self.fail(f"{value!r} is no size; write it as in 2GB or 800MB")


class Place(click.ParamType):  # type: ignore[type-arg]
    """A path, or a URL of another file system."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> "AnyPath":
        from sincut.batch.remote import place

        return place(str(value))


class Scale(click.ParamType):  # type: ignore[type-arg]
    """A factor, or auto."""

    name = "scale"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        return value if value == "auto" else float(click.FLOAT.convert(value, param, ctx))


class Point(click.ParamType):  # type: ignore[type-arg]
    """A place in a picture."""

    name = "x,y"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        try:
            x, y = map(int, str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is no place; write it in px from the left and the top, as in 320,200")
        return x, y


def numbers(text: str, option: str, kind: Callable[[str], T] = float) -> list[T]:  # type: ignore[assignment]
    """Numbers with commas between."""
    try:
        return [kind(number) for number in text.split(",")]
    except ValueError:
        raise click.BadParameter("give numbers with commas between, as in 1,4", param_hint=option) from None
