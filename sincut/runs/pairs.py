"""Many trainings from a table: a row of a CSV file for each, a painting and a photo with what is special about them.

Columns are `painting` and `photo` (relative to the table's folder), and any of `name` (of the run folder; by default
PAINTING-to-PHOTO), `preset`, `minutes`, `steps`, `seed`, `reverse` (yes or no) and settings such as `crops.count`. An
empty cell leaves what holds for all. What is complete is not trained again, what was interrupted goes on, and a row
that fails stops no other.
"""

import csv
import io
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sincut.batch.ray_ import Pool, first_line, joined, room
from sincut.config.sections import DEFAULT_PRESET, Config, resolve, schedule_flags
from sincut.devices import prepared_device
from sincut.errors import ConfigError, Interrupted, RunError, SincutError
from sincut.files import make_folder, read_whole, sha256, write_whole
from sincut.model.model import CHECKPOINT_FILE, MODEL_FILE, Model
from sincut.runs import child, run
from sincut.runs.child import TICK

REQUIRED, OPTIONAL = ("painting", "photo"), ("name", "preset", "minutes", "steps", "seed", "reverse")
TRUE, FALSE = ("yes", "true", "1"), ("no", "false", "0", "")
TRAINED, SKIPPED, FAILED, STOPPED = "trained", "skipped", "failed", "stopped"
RETRIES = 3  # of a training whose machine was lost

Say = Callable[[str, str], None]  # the name of a pair, and a line that its training says


@dataclass(frozen=True)
class Pair:
    """One training: two pictures, its run folder, and its complete settings."""

    name: str
    painting: Path
    photo: Path
    folder: Path
    config: Config
    reverse: bool = False

    def inputs(self) -> dict[str, str]:
        """What decides what is learned, besides the settings."""
        direction = "photo -> painting" if self.reverse else "painting -> photo"
        return {"painting": sha256(self.painting), "photo": sha256(self.photo), "direction": direction}


@dataclass(frozen=True)
class Outcome:
    """What has become of a row; `error` where it failed."""

    name: str
    state: str
    folder: str = ""
    steps: int = 0
    seconds: float = 0.0
    error: str = ""

    def summary(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def load(table: Path, output: Path, preset: str | None = None, flags: Sequence[str] = ()) -> list[Pair | Outcome]:
    """The rows of a table, those that cannot be trained as the `Outcome` that they have failed.

    Run folders lie in `output`. `preset` and `flags` (as `config.resolve` takes them) hold where a row says
    nothing else. Raises `RunError` for a file that cannot be read, `ConfigError` for columns that are missing or
    unknown.
    """
    try:
        text = read_whole(table, RunError).decode("utf-8-sig")  # with the mark that spreadsheets put in front
        rows = csv.DictReader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
        columns = [str(name).strip() for name in rows.fieldnames or ()]
        rows.fieldnames = columns
        _check_columns(table, columns)
        numbered = [(rows.line_num, row) for row in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"{table}: is no CSV file in UTF-8 ({error}); save it as one") from None
    if not numbered:
        raise RunError(f"{table}: has no rows below its header; add one for each pair")
    found: list[Pair | Outcome] = []
    taken: dict[str, int] = {}
    for number, row in numbered:
        try:
            pair = _pair(row, table.parent, output, preset, flags)
            key = pair.name.casefold()  # on many machines, names in capitals are the same ones
            if key in taken:
                raise ConfigError(f"{pair.name} is the name of the row in line {taken[key]} too; give it another")
            taken[key] = number
            found.append(pair)
        except SincutError as error:
            found.append(Outcome(f"line {number}", FAILED, error=f"{table}, line {number}: {error}"))
    return found


def _check_columns(table: Path, columns: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise ConfigError(f"{table}: has no column {missing[0]}; its first line must name painting and photo")
    for name in columns:
        if name not in (*REQUIRED, *OPTIONAL) and "." not in name:
            known = ", ".join((*REQUIRED, *OPTIONAL))
            raise ConfigError(f"{table}: no column {name!r}; there are {known}, and settings such as crops.count")


def _pair(row: dict[str, Any], base: Path, output: Path, preset: str | None, flags: Sequence[str]) -> Pair:
    """Raises `SincutError` for a row that cannot be trained."""
    if None in row or None in row.values():
        raise ConfigError("has more or fewer cells than the header; check its commas and quotes")
    cells = {name: str(value).strip() for name, value in row.items()}
    empty = [name for name in REQUIRED if not cells[name]]
    if empty:
        raise ConfigError(f"names no {empty[0]}")
    painting, photo = (base / cells[name] for name in REQUIRED)
    for path in (painting, photo):
        if not path.is_file():
            raise ConfigError(f"{path}: there is no such file, or it cannot be read; check the path")
    name = cells.get("name") or f"{painting.stem}-to-{photo.stem}"
    if Path(name).name != name or name.startswith("."):
        raise ConfigError(f"{name!r} is no name for a folder; write one without slashes")
    reverse = cells.get("reverse", "").lower()
    if reverse not in (*TRUE, *FALSE):
        raise ConfigError(f"reverse is {reverse!r}; write yes or no")
    chosen = cells.get("preset") or preset or DEFAULT_PRESET
    if chosen.endswith(".toml") and cells.get("preset"):
        chosen = str(base / chosen)
    config = resolve(chosen, [*flags, *_flags(cells)])
    return Pair(name, painting, photo, output / name, config, reverse in TRUE)


def _flags(cells: dict[str, str]) -> list[str]:
    """Settings that a row has of its own."""
    own = [f"{name}={value}" for name, value in cells.items() if "." in name and value]
    return schedule_flags(*(cells.get(name) or None for name in ("minutes", "steps", "seed"))) + own


def train(
    rows: Sequence[Pair | Outcome],
    device: str = "auto",
    *,
    on_line: Say = lambda name, line: None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
    stop: Callable[[], bool] = lambda: False,
    pool: Pool | None = None,
) -> list[Outcome]:
    """Train all rows, one after the other on this machine, or with a `pool` side by side on a Ray cluster.

    Returns what became of each, in their order. With a pool, tables, pictures and run folders lie on a file system that
    all machines share; a training whose machine is lost goes on elsewhere from its last checkpoint. Raises `RunError`
    where the cluster cannot be reached.
    """
    found: dict[int, Outcome] = {}
    for number, outcome in _outcomes(rows, device, on_line, stop, pool):
        found[number] = outcome
        on_outcome(outcome)
    return [found[number] for number in range(len(rows))]


def _outcomes(
    rows: Sequence[Pair | Outcome], device: str, on_line: Say, stop: Callable[[], bool], pool: Pool | None
) -> Iterator[tuple[int, Outcome]]:
    """Of each row by its number, as they come."""
    todo: list[tuple[int, Pair]] = []
    for number, row in enumerate(rows):
        outcome = row if isinstance(row, Outcome) else _known(row)
        if outcome is not None:
            yield number, outcome
        elif isinstance(row, Pair):
            todo.append((number, row))
    if pool is not None and todo:
        yield from _on_cluster(todo, device, stop, pool)
        return
    for number, pair in todo:
        stopped = Outcome(pair.name, STOPPED, str(pair.folder))
        yield number, stopped if stop() else _train_apart(pair, device, on_line, stop)


def _known(pair: Pair) -> Outcome | None:
    """What can be said before a training: that it is finished, or cannot be done; None where it is to be done."""
    try:
        if not finished(pair):
            return None
    except (SincutError, OSError) as error:
        return Outcome(pair.name, FAILED, str(pair.folder), error=f"{pair.name}: {error}")
    return _ended(pair, SKIPPED, 0.0)


def _ended(pair: Pair, state: str, seconds: float) -> Outcome:
    steps = int(Model.load(pair.folder).provenance.get("steps", 0))
    return Outcome(pair.name, state, str(pair.folder), steps, round(seconds, 1))


def finished(pair: Pair) -> bool:
    """Whether its run is at its end. Raises `RunError` where the folder holds one of other pictures or settings."""
    if not (pair.folder / MODEL_FILE).exists():
        return False
    model = Model.load(pair.folder)
    provenance = model.provenance
    changed = pair.config.differences(model.config)
    for key, value in pair.inputs().items():
        entry = provenance.get(key)
        if (entry.get("sha256") if isinstance(entry, dict) else entry) != value:
            changed.append(f"the {key} is another")
    if changed:
        raise RunError(f"{pair.folder}: holds another run ({'; '.join(changed)}); give -o another folder")
    return bool(0 < provenance.get("planned_steps", 0) <= provenance.get("steps", 0))


def command(pair: Pair, device: str) -> list[str]:
    """The command that trains a pair, or goes on with it. Its settings go into a preset file beside the run folder.

    Raises `RunError` if that cannot be written.
    """
    preset = pair.folder.with_name(f".{pair.folder.name}.sincut.toml")  # no row has such a name
    make_folder(preset.parent, RunError)
    write_whole(preset, pair.config.to_toml().encode(), RunError)
    flags = ["--reverse"] if pair.reverse else []
    flags += ["--resume"] if (pair.folder / CHECKPOINT_FILE).exists() else []
    return child.command(pair.painting, pair.photo, "-o", pair.folder, "--preset", preset, "--device", device, *flags)


def _train_apart(pair: Pair, device: str, on_line: Say, stop: Callable[[], bool]) -> Outcome:
    """Train in a process of its own; see `child`. Raises what `on_line` or `stop` raises."""
    began = time.monotonic()
    try:
        words = command(pair, device)
    except SincutError as error:
        return Outcome(pair.name, FAILED, str(pair.folder), error=f"{pair.name}: {error}")
    ended = child.attend([*words, "--json"], partial(on_line, pair.name), stop)
    if ended.stopped:
        return Outcome(pair.name, STOPPED, str(pair.folder))
    if ended.code:
        reason = ended.last_line.removeprefix("sincut: ") or f"ended with code {ended.code}"
        return Outcome(pair.name, FAILED, str(pair.folder), error=f"{pair.name}: {reason}")
    return _ended(pair, TRAINED, time.monotonic() - began)


def _on_cluster(
    todo: list[tuple[int, Pair]], device: str, stop: Callable[[], bool], pool: Pool
) -> Iterator[tuple[int, Outcome]]:
    with joined(pool) as ray:
        needs = {"num_cpus": pool.cpus, "num_gpus": pool.gpus, "max_retries": RETRIES}
        task, most = ray.remote(**needs)(_train_in_worker), room(ray, pool)
        waiting, flying, asked = deque(todo), dict[Any, tuple[int, Pair]](), False
        while waiting or flying:
            while waiting and len(flying) < (pool.workers or most) and not asked:
                number, pair = waiting.popleft()
                place = _absolute(pair)
                flying[task.remote(place, device, max(1, int(pool.cpus)))] = number, pair
            ready = ray.wait(list(flying), num_returns=1, timeout=TICK)[0] if flying else []
            if stop() and not asked:
                asked = True
                for reference in flying:
                    ray.cancel(reference)  # a SIGINT, on which the training saves
            for reference in ready:
                number, pair = flying.pop(reference)
                try:
                    outcome = ray.get(reference)
                except ray.exceptions.TaskCancelledError:
                    outcome = Outcome(pair.name, STOPPED, str(pair.folder))
                except ray.exceptions.RayError as error:
                    what = first_line(getattr(error, "cause", error))
                    reason = f"{pair.name}: its worker is gone ({what}); the same command goes on"
                    outcome = Outcome(pair.name, FAILED, str(pair.folder), error=reason)
                yield number, outcome
            if asked and not flying:
                yield from ((number, Outcome(pair.name, STOPPED, str(pair.folder))) for number, pair in waiting)
                waiting.clear()


def _absolute(pair: Pair) -> Pair:
    painting, photo, folder = (path.absolute() for path in (pair.painting, pair.photo, pair.folder))
    return Pair(pair.name, painting, photo, folder, pair.config, pair.reverse)


def _train_in_worker(pair: Pair, device: str, threads: int) -> Outcome:
    """Train in this process, which is a worker's; SIGINT asks to stop."""
    import torch

    began, asked = time.monotonic(), threading.Event()
    signal.signal(signal.SIGINT, lambda *_: asked.set())
    torch.set_num_threads(threads)
    try:
        found = prepared_device(device)
        resume = (pair.folder / CHECKPOINT_FILE).exists()
        run.train(
            pair.painting, pair.photo, pair.folder, config=pair.config, reverse=pair.reverse, resume=resume,
            device=found, stop=asked.is_set, started=began,
        )  # fmt: skip
    except Interrupted:
        return Outcome(pair.name, STOPPED, str(pair.folder))
    except (SincutError, OSError, MemoryError) as error:
        return Outcome(pair.name, FAILED, str(pair.folder), error=f"{pair.name}: {' '.join(str(error).split())}")
    return _ended(pair, TRAINED, time.monotonic() - began)
