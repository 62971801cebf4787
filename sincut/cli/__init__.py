"""The commands: resolve what was typed, call the library, render what it says. No arithmetic here.

Heavy imports stand inside the commands, so that `--help` is instant. Results go to stdout, progress and errors to
stderr. Exit codes: 0 done, 1 something failed, 2 wrong usage, 130 interrupted with the work saved.
"""

import time

STARTED = time.monotonic()  # before anything heavy is imported: `--minutes` count from here
# In this order: each imports only those before it.
MODULES = ("console",)

import contextlib  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import shlex  # noqa: E402
import shutil  # noqa: E402
import signal  # noqa: E402
import stat  # noqa: E402
import sys  # noqa: E402
import warnings  # noqa: E402
from collections.abc import Callable, Sequence  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import TYPE_CHECKING, Any, TypeVar  # noqa: E402

import click  # noqa: E402

from sincut import __version__  # noqa: E402
from sincut.errors import ConfigError, Interrupted, RunError, SincutError  # noqa: E402

if TYPE_CHECKING:
    import torch

    from sincut.batch.cluster import Pool
    from sincut.batch.remote import AnyPath

T = TypeVar("T", int, float)
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
EXISTING = click.Path(path_type=Path)
DEVICE_HELP = "auto, cpu, cuda, cuda:1, ... or mps."
KERNELS_KEPT = "128"  # by torch; it keeps 1024 by default, of every size of picture in a folder
LISTED = 20  # failed pictures, at most, that are named again at the end
STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]
JSON_HELP = "One JSON object on stdout, progress as JSON lines on stderr."


class Commands(click.Group):
    """The one place where errors become exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Interrupted as error:
            click.echo(f"sincut: {error}", err=True)
            sys.exit(130)
        except SincutError as error:
            click.echo(f"sincut: {' '.join(str(error).split())}", err=True)
            sys.exit(2 if isinstance(error, ConfigError) else 1)
        except BrokenPipeError:  # whoever read stdout has had enough, as `head` does
            os._exit(1)  # at a usual end Python would complain that it cannot flush
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            click.echo(f"sincut: {where}{error.strerror or error}; check the path and its permissions", err=True)
            sys.exit(1)
        except KeyboardInterrupt:
            click.echo("sincut: stopped at once, nothing more was saved", err=True)
            sys.exit(130)


@click.group(cls=Commands, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="sincut")
def main() -> None:
    """Learn to translate one painting into the look of one photo, then translate pictures of any size."""
    # Large tensors in huge pages: on a CPU, page faults else take a good part of every step. Read when torch loads.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    warnings.filterwarnings("ignore", message=r"`torch.jit.script` is deprecated")  # torch's and kornia's own use of it


def _cluster_options(command: Callable[..., Any]) -> Callable[..., Any]:
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


@main.command()
@click.argument("painting", type=EXISTING, required=False)
@click.argument("photo", type=EXISTING, required=False)
@click.option("-o", "--output", type=EXISTING, metavar="RUN", help="Run folder; runs/PAINTING-to-PHOTO by default.")
@click.option("--pairs", type=EXISTING, metavar="FILE.csv",
              help="Train each row of a table instead; -o holds their run folders, runs by default.")  # fmt: skip
@_cluster_options
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
        from sincut.batch.cluster import Pool

        pool = Pool(workers, worker_cpus, worker_gpus, ray_address) if engine == "ray" else None
        _train_pairs(pairs, output or Path("runs"), preset, flags, device, pool, as_json)
        return
    assert painting is not None and photo is not None
    config = None if resume and not preset else resolve(preset or DEFAULT_PRESET, flags)
    from sincut.cli.console import Reporter
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

    found = _device(device)
    again = [*_program(), "train", str(painting), str(photo), "-o", str(folder), *(["--reverse"] if reverse else [])]
    again += ["--device", device] if device != "auto" else []
    again += ["--tensorboard"] if tensorboard else []
    with Reporter(as_json) as reporter, _stoppable() as stop:
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
        _print_json({"run": str(folder), **_summary(result.model.provenance)})


def _train_pairs(
    table: Path, output: Path, preset: str | None, flags: list[str], device: str, pool: "Pool | None", as_json: bool
) -> None:
    """All rows of a table, and what became of each."""
    from sincut.cli.console import clock
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

    with _stoppable() as stop:
        found = pairs.train(rows, device, on_line=say, on_outcome=tell, stop=stop, pool=pool)
    if as_json:
        _print_json([outcome.summary() for outcome in found])
    else:
        cells = [(o.name, o.state, str(o.steps or ""), clock(o.seconds) if o.seconds else "", o.folder) for o in found]
        _print_table(("pair", "", "steps", "time", "run folder"), cells)
    failed = [outcome for outcome in found if outcome.state == pairs.FAILED]
    if any(outcome.state == pairs.STOPPED for outcome in found):
        raise Interrupted("stopped; the same command goes on with the rest")
    if failed:
        names = ", ".join(outcome.name for outcome in failed[:LISTED])
        raise RunError(f"{len(failed)} of {len(found)} pairs failed, see above: {names}")


class _Size(click.ParamType):  # type: ignore[type-arg]
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


class _Place(click.ParamType):  # type: ignore[type-arg]
    """A path, or a URL of another file system."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> "AnyPath":
        from sincut.batch.remote import place

        return place(str(value))


class _Scale(click.ParamType):  # type: ignore[type-arg]
    """A factor, or auto."""

    name = "scale"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        return value if value == "auto" else float(click.FLOAT.convert(value, param, ctx))


@main.command()
@click.argument("paths", type=_Place(), nargs=-1, required=True, metavar="MODEL... INPUT...")
@click.option(
    "-o", "--output", type=_Place(),
    help="A file for one file, else a folder, or a pattern: styled/{stem}-{model}.jpg. - writes to stdout.",
)  # fmt: skip
@click.option("--in-place", is_flag=True, help="Replace the inputs by their translations, instead of -o.")
@click.option("--overwrite", is_flag=True, help="Translate again what is there already.")
@click.option("--include", multiple=True, metavar="GLOB", help="Of folders, only names or paths like this.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Of folders, no names or paths like this.")
@click.option("--retry-failed", is_flag=True, help="Try again what failed before and has not changed.")
@_cluster_options
@click.option("--watch", is_flag=True, help="Then wait for pictures that arrive in the folders, until Ctrl-C.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done, and how long it would take.")
@click.option("--format", "format_", metavar="SUFFIX", help="png, jpg, webp, tif, ... where -o does not say it.")
@click.option("--quality", type=int, help="1 to 100, of JPEG, WebP and AVIF; by default the source's own.")
@click.option("--strip", is_flag=True, help="Write no metadata.")
@click.option("--greys", default="colour", show_default=True, type=click.Choice(["colour", "keep"]),
              help="What becomes of pictures without colours.")  # fmt: skip
@click.option("--strength", type=float, default=1.0, show_default=True, help="0 (the source) to 1 (the translation).")
@click.option("--keep-colour", "keep", flag_value="colour", help="Keep the source's colours, take texture and light.")
@click.option("--keep-texture", "keep", flag_value="texture", help="Keep the source's texture and light, take colours.")
@click.option("--mask", type=EXISTING, metavar="FILE", help="Translate where this picture is white, blend where grey.")
@click.option("--scale", type=_Scale(), default=1.0, show_default=True,
              help="Translate at this scale and come back with the source's detail; auto: as in training.")  # fmt: skip
@click.option("--tile", default="auto", show_default=True, help="Side of the tiles in px, auto (by memory) or off.")
@click.option(
    "--max-memory", type=_Size(), metavar="SIZE", help="Of the whole program, as in 2GB; else half of what is free."
)
@click.option("--max-pixels", type=int, help="Refuse files that declare more; 2147483648 by default.")
@click.option("--device", default="auto", show_default=True, help=DEVICE_HELP)
@click.option("--json", "as_json", is_flag=True, help=JSON_HELP)
def apply(
    paths: "tuple[AnyPath, ...]",
    output: "AnyPath | None",
    in_place: bool,
    overwrite: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    retry_failed: bool,
    engine: str,
    ray_address: str | None,
    workers: int | None,
    worker_cpus: float,
    worker_gpus: float,
    watch: bool,
    dry_run: bool,
    format_: str | None,
    quality: int | None,
    strip: bool,
    greys: str,
    strength: float,
    keep: str | None,
    mask: Path | None,
    scale: float | str,
    tile: str,
    max_memory: int | None,
    max_pixels: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Translate files and folders with MODEL, a run folder or its model file; several models take turns.

    Sizes stay as they are. Folders are mirrored below the output folder, where manifest.jsonl records what is done: the
    same command goes on where it was stopped. A file that cannot be read is reported at the end, the others go on. `-`
    reads a picture from stdin.
    """
    if tile not in ("auto", "off") and not (tile.isdecimal() and int(tile) > 0):
        raise click.BadParameter("give a number of pixels, auto or off", param_hint="--tile")
    if (output is None) == (not in_place):
        raise click.UsageError("give one of -o and --in-place: where do translations go?")
    if in_place and engine == "ray":  # between replacing a picture and saying so, a worker can die
        raise click.UsageError(
            "--in-place: what a lost worker had is sent again, and would be translated twice; give -o"
        )
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", KERNELS_KEPT)  # read when torch is loaded
    from sincut.batch import folder

    models, inputs = folder.split_models(paths)
    streams = Path("-") in inputs, output == Path("-")
    of_folders = as_json or dry_run or watch or include or exclude or retry_failed or overwrite
    if any(streams) and (not all(streams) or len(inputs) > 1 or len(models) > 1 or of_folders):
        raise click.UsageError("- is for one picture from stdin to stdout: sincut apply MODEL - -o -")
    from sincut.pictures.opening import MAX_PIXELS
    from sincut.pictures.writing import Saving
    from sincut.translation.blend import Blend
    from sincut.translation.translate import Options

    blend, saving = Blend(strength, keep or ""), Saving(quality, strip, greys)
    options = Options(int(tile) if tile.isdecimal() else tile, max_memory, max_pixels or MAX_PIXELS, blend, mask, scale)
    format_ = format_.removeprefix(".").lower() if format_ else None
    if any(streams):
        _apply_to_stream(models[0], options, saving, format_, device)
        return

    def plans(arrived: set[Path] | None = None) -> list[tuple[Path, folder.Plan]]:
        return folder.plans(
            models, inputs, output, options, saving,
            format_=format_, overwrite=overwrite, include=include, exclude=exclude, retry_failed=retry_failed,
            arrived=arrived,
        )  # fmt: skip

    if watch:
        from sincut.batch.watch import arrivals, check

        check(inputs)
    first = plans()
    from sincut.cli.console import Reporter
    from sincut.translation.translate import load

    found = _device(device)
    if dry_run:
        rows = [folder.forecast(plan, load(model, found), options) for model, plan in first]
        if as_json:
            _print_json(rows)
        else:
            _print_table(tuple(rows[0]), [tuple(str(value) for value in row.values()) for row in rows])
        return
    translators = {model: load(model, found) for model in models}
    result = folder.Result()
    with Reporter(as_json) as reporter, _stoppable() as stop, contextlib.ExitStack() as stack:
        if engine == "ray":
            from sincut.batch import cluster

            pool = cluster.Pool(workers, worker_cpus, worker_gpus, ray_address)
            if watch or any(plan.jobs for _, plan in first):
                stack.enter_context(cluster.joined(pool))

        def run(plans: list[tuple[Path, folder.Plan]]) -> None:
            for model, plan in plans:
                if engine == "ray":
                    ended = cluster.run(plan, model, pool, options, saving, reporter, stop)
                else:
                    ended = folder.run(plan, translators[model], options, saving, reporter, stop)
                result.add(plan, *ended)

        run(first)
        if watch and not stop():
            for arrived in arrivals(inputs, stop):
                run(plans(arrived))
    if as_json:
        _print_json(result.summary())
    if watch:
        raise Interrupted(f"stopped watching; {len(result.done)} pictures are written; the same command goes on")
    if result.left:
        total = f"{len(result.done)} of {result.jobs}"
        raise Interrupted(f"stopped; {total} are written; the same command goes on with the rest")
    if result.failed and result.jobs == 1:
        raise RunError(result.failed[0][1])
    if result.failed:
        names = ", ".join(str(job.source) for job, _ in result.failed[:LISTED])
        more = f" and {len(result.failed) - LISTED} more" if len(result.failed) > LISTED else ""
        raise RunError(f"{len(result.failed)} of {result.jobs} pictures failed, see above: {names}{more}")
    if result.failed_before:
        count = len(result.failed_before)
        raise RunError(f"{count} pictures failed before and are as they were; --retry-failed tries them again")


def _apply_to_stream(model: Path, options: Any, saving: Any, format_: str | None, device: str) -> None:
    """From stdin to stdout; what there is to say goes to stderr."""
    from sincut.batch import folder
    from sincut.translation.translate import load

    translator = load(model, _device(device))
    written, notes = folder.run_bytes(sys.stdin.buffer.read(), translator, options, saving, format_)
    sys.stdout.buffer.write(written)
    sys.stdout.buffer.flush()
    click.echo("\n".join(notes), err=True, nl=bool(notes))


@main.command()
@click.argument("painting", type=EXISTING)
@click.argument("photo", type=EXISTING)
@click.argument("output", type=EXISTING)
@click.option("--truth", type=EXISTING, help="What the painting shows as a photo, pixel by pixel: adds PSNR and SSIM.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def evaluate(painting: Path, photo: Path, output: Path, truth: Path | None, as_json: bool) -> None:
    """Figures for OUTPUT, a translation of PAINTING into the look of PHOTO."""
    from sincut.pictures import reading
    from sincut.report.evaluate import measure, missing_inception

    pictures = [reading.load(path) for path in (painting, photo, output, *([truth] if truth else []))]
    figures = measure(*pictures)
    if as_json:
        _print_json({"sifid": None, **figures})
        return
    rows = [(name, f"{value:.4g}") for name, value in figures.items()]
    _print_table(("figure", "value"), rows if "sifid" in figures else [*rows, ("sifid", missing_inception())])


@main.command()
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
    from sincut.report import compare as comparing

    _check_kept(sheet, *outputs, picture, photo)
    comparing.check_output(sheet)
    found = comparing.compare(
        outputs, picture, photo, _device(device), lambda result: click.echo(f"done: {result.name}", err=True)
    )
    comparing.write(found, sheet)
    rows = [{"name": result.name, "path": str(result.path), "figures": result.figures} for result in found.results]
    if as_json:
        _print_json({"sheet": str(sheet), "outputs": rows})
        return
    titles = found.figures()
    cells = [(r.name, *(f"{r.figures[t]:.4g}" if t in r.figures else "" for t in titles)) for r in found.results]
    _print_table(("output", *titles), cells)
    click.echo(f"sheet: {sheet}")


@main.command()
@click.argument("run", type=EXISTING)
@click.option("-o", "--output", type=EXISTING, metavar="FILE", help="report.html in the run folder by default.")
@click.option("--painting", type=EXISTING, metavar="FILE", help="The painting, for a run folder that holds no copy.")
@click.option("--photo", type=EXISTING, metavar="FILE", help="The photo, for a run folder that holds no copy.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def report(run: Path, output: Path | None, painting: Path | None, photo: Path | None, as_json: bool) -> None:
    """Write the page that explains a RUN folder: pictures, curves, settings, provenance. One file, nothing to load."""
    from sincut.report.report import write

    _check_kept(output, run, painting, photo)
    path = write(run, output, painting, photo)
    if as_json:
        _print_json({"report": str(path), "bytes": path.stat().st_size})
    else:
        click.echo(f"report: {path}")


@main.command()
@click.argument("model", type=EXISTING)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def inspect(model: Path, as_json: bool) -> None:
    """What a MODEL file says of itself: inputs, settings, steps, losses, versions."""
    from sincut.model.model import Model

    loaded = Model.load(model)
    provenance = _summary(loaded.provenance)
    if as_json:
        _print_json({**provenance, "config": loaded.config.to_dict()})
        return
    rows = [(key, value if isinstance(value, str) else json.dumps(value)) for key, value in provenance.items()]
    _print_table(("", ""), rows)
    click.echo("\n" + loaded.config.to_toml(), nl=False)


class _Point(click.ParamType):  # type: ignore[type-arg]
    """A place in a picture."""

    name = "x,y"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        try:
            x, y = map(int, str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is no place; write it in px from the left and the top, as in 320,200")
        return x, y


@main.command()
@click.argument("model", type=EXISTING)
@click.argument("image", type=EXISTING)
@click.option("--point", type=_Point(), required=True, metavar="X,Y", help="Of the output, in px from left and top.")
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
    from sincut.pictures import formats, reading, writing
    from sincut.report.figure import heat_maps
    from sincut.translation import similarity
    from sincut.translation.translate import load

    if output:
        _check_kept(output, model, image)
        formats.writable_format(output)
    translator, picture = load(model, _device(device), heads=True), reading.load(image)
    maps = similarity.similarity_maps(translator, picture, point, layers)
    if output:
        panels, low, high = similarity.shown(maps, translator.model.config.losses.temperature, cosine)
        writing.save(heat_maps(picture, panels, point, low, high), output)
    if as_json:
        rows = {str(i): similarity.figures(found, similarity.place_of(point, i)) for i, found in maps.items()}
        everywhere = similarity.figures(similarity.all_layers(maps), similarity.place_of(point, min(maps)))
        _print_json({"point": point, "all_layers": everywhere, "layers": rows})


@main.command()
@click.argument("model", type=EXISTING)
@click.argument("image", type=EXISTING)
@click.option("--layer", type=int, help="Of the encoder, from 0; the deepest of PatchNCE by default.")
@click.option("-o", "--output", type=EXISTING, required=True, metavar="FILE", help="A picture of the size of IMAGE.")
@click.option("--device", default="auto", show_default=True, help=DEVICE_HELP)
def features(model: Path, image: Path, layer: int | None, output: Path, device: str) -> None:
    """The first three principal components of the encoder's features of IMAGE as red, green and blue."""
    from sincut.pictures import formats, reading, writing
    from sincut.report.figure import enlarged
    from sincut.translation.similarity import principal_components
    from sincut.translation.translate import load

    _check_kept(output, model, image)
    formats.writable_format(output)
    translator, picture = load(model, _device(device)), reading.load(image)
    writing.save(enlarged(picture, principal_components(translator, picture, layer)), output)


@main.command()
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
        _print_json({"output": str(output), "difference": difference})
        return
    checked = "not checked, for want of onnxruntime" if difference is None else f"{difference:.1g} from torch at most"
    click.echo(f"{output}: written, {checked}", err=True)


@main.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def presets(name: str | None, as_json: bool) -> None:
    """List the presets with their reason, or print one as a complete preset file."""
    from sincut.config.sections import load_preset
    from sincut.config.sections import presets as shipped

    if name:
        preset = load_preset(name)
        if as_json:
            _print_json({"about": preset.about, **preset.config.to_dict()})
        else:
            click.echo(preset.config.to_toml(preset.about), nl=False)
        return
    if as_json:
        _print_json({preset.name: preset.about for preset in shipped()})
    else:
        _print_table(("preset", "about"), [(preset.name, preset.about) for preset in shipped()])


@main.command()
@click.option("--preset", default="standard", show_default=True, help="Settings to measure.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any setting, as in crops.count=2.")
@click.option("--device", default="auto", show_default=True, help=DEVICE_HELP)
@click.option(
    "--megapixels", default="1,4,16,64", show_default=True, metavar="N,...", help="Sizes to translate; 0 for none."
)
@click.option("--pictures", type=click.FloatRange(0.01, 100), metavar="N",
              help="Instead, what many pictures of so many megapixels cost one worker, from file to file.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
def bench(
    preset: str, settings: tuple[str, ...], device: str, megapixels: str, pictures: float | None, as_json: bool
) -> None:
    """Measure this machine: training and translating, and how near they come to what it can do.

    Takes minutes; run nothing else meanwhile.
    """
    from sincut.bench import measure, measure_pictures
    from sincut.cli.console import bench_table, pictures_table
    from sincut.config.sections import resolve

    sizes = [size for size in _numbers(megapixels, "--megapixels") if size > 0]
    config = resolve(preset, settings)
    if pictures:
        figures, table = measure_pictures(config, _device(device), pictures), pictures_table
    else:
        figures = measure(config, _device(device), sizes, lambda part: click.echo(f"measuring: {part}", err=True))
        table = bench_table
    if as_json:
        _print_json(figures)
    else:
        _print_table(("measured", "value"), table(figures))


@main.command()
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

    config = resolve(preset, settings)
    budgets, numbers = _numbers(minutes, "--minutes"), _numbers(seeds, "--seeds", int)
    from sincut.runs.curve import curve as measure

    def say(row: dict[str, Any]) -> None:
        click.echo(" ".join(f"{name} {value:g}" for name, value in row.items()), err=True)

    found = _device(device)
    rows = measure(
        painting, photo, output, config,
        minutes=budgets, seeds=numbers, reverse=reverse, truth=truth, device=found, on_row=say,
    )  # fmt: skip
    if as_json:
        _print_json(rows)
    else:
        _print_table(tuple(rows[0]), [tuple(f"{value:g}" for value in row.values()) for row in rows])


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 is all of them.")
@click.option("--port", type=click.IntRange(1, 65535), help="7860 by default, or the next that is free.")
@click.option("--runs", type=EXISTING, default=Path("runs"), show_default=True, help="Folder of the run folders.")
@click.option("--open/--no-open", "open_", default=True, show_default=True, help="Open the page in a browser.")
@click.option("--max-upload", type=_Size(), default="2GB", show_default=True, metavar="SIZE", help="Of one file.")
@click.option("--max-pixels", type=int, help="Refuse files that declare more; 2147483648 by default.")
@click.option("--device", default="auto", show_default=True, help=DEVICE_HELP)
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

    with _stoppable() as stop:
        left = serve(
            runs, host=host, port=port, device=device, max_upload=max_upload, max_pixels=max_pixels or MAX_PIXELS,
            open_=open_, stop=stop, say=say,
        )  # fmt: skip
    saved = f"; {', '.join(left)} can be resumed" if left else ""
    raise Interrupted(f"stopped{saved}")


def _numbers(text: str, option: str, kind: Callable[[str], T] = float) -> list[T]:  # type: ignore[assignment]
    """Numbers with commas between."""
    try:
        return [kind(number) for number in text.split(",")]
    except ValueError:
        raise click.BadParameter("give numbers with commas between, as in 1,4", param_hint=option) from None


def _check_kept(output: Path | None, *inputs: Path | None) -> None:
    """Raise `RunError` where -o is one of the inputs, before anything is computed."""
    for path in filter(None, inputs):
        if output is not None and output.exists() and path.exists() and output.samefile(path):
            raise RunError(f"{output}: is what is read, and would be replaced; choose another name with -o")


def _device(name: str) -> "torch.device":
    """The device, set up for a command that does nothing else."""
    from sincut.devices import find_device, use_fast_kernels

    device = find_device(name)
    use_fast_kernels(device)
    return device


class _stoppable:  # noqa: N801 (used like a function)
    """Within it, Ctrl-C, SIGTERM, Ctrl-Break and a terminal that closes ask to stop; a second Ctrl-C stops at once.

    Gives `stop()`, which tells whether that was asked.
    """

    def __enter__(self) -> Callable[[], bool]:
        self.asked = False
        hangup = getattr(signal, "SIGHUP", None)
        ignored = [hangup] if hangup and signal.getsignal(hangup) == signal.SIG_IGN else []  # by nohup: it is meant so
        self.before = {s: signal.signal(s, self._ask) for s in STOPPING if s not in ignored}
        return lambda: self.asked

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: object) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True
        with contextlib.suppress(OSError):
            click.echo("stopping as soon as the work in hand is saved; press Ctrl-C again to stop at once", err=True)
        if number == getattr(signal, "SIGHUP", None):
            _leave_terminal()


def _leave_terminal() -> None:
    """Write to a terminal no more: once it is closed that fails, and what is left to do is saving."""
    for number in (1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(number).st_mode):
                with click.open_file(os.devnull, "w") as nowhere:
                    os.dup2(nowhere.fileno(), number)


def _program() -> list[str]:
    """How this command was called, for lines to type again."""
    if shutil.which("sincut"):
        return ["sincut"]
    return [sys.executable, "-m", "sincut"] if sys.argv[0].endswith("__main__.py") else [sys.argv[0]]


def _summary(provenance: dict[str, Any]) -> dict[str, Any]:
    """Provenance without the thumbnails, which are no reading."""
    return {key: value for key, value in provenance.items() if key != "thumbnails"}


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2))


def _print_table(titles: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=any(titles), box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(markup=False, highlight=False).print(table)
