"""Many trainings, a `Pair` each: one after the other on this machine, or side by side on a Ray cluster.

What is complete is not trained again, what was interrupted goes on, and one that fails stops no other.
"""

import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from sincut.batch.ray_ import Pool, first_line, joined, room
from sincut.devices import find_device
from sincut.errors import Interrupted, RunError, SincutError
from sincut.files import make_folder, write_whole
from sincut.model.file import CHECKPOINT_FILE, MODEL_FILE
from sincut.model.model import describe
from sincut.runs import child, run
from sincut.runs.child import TICK
from sincut.runs.inputs import differences
from sincut.runs.table import FAILED, SKIPPED, STOPPED, TRAINED, Outcome, Pair
from sincut.translation.loading import load_model

RETRIES = 3  # of a training whose machine was lost

Say = Callable[[str, str], None]  # the name of a pair, and a line that its training says


def train(
    rows: Sequence[Pair | Outcome],
    device: str = "auto",
    *,
    on_line: Say = lambda name, line: None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
    stop: Callable[[], bool] = lambda: False,
    pool: Pool | None = None,
) -> list[Outcome]:
    """Train all rows of a table, one after the other on this machine, or with a `pool` side by side on a Ray cluster.

    Returns what became of each, in their order; `on_outcome` hears it at once. On this machine, `on_line` is called
    with each line that a training writes to stderr (with `--json`); what it raises stops that training, which saves,
    and is raised here. Once `stop` is true, trainings save and end, and the rest are not begun. With a pool, tables,
    pictures and run folders lie on a file system that all machines share; a training whose machine is lost goes on
    elsewhere from its last checkpoint. Raises `RunError` if the cluster cannot be reached.
    """
    outcomes: dict[int, Outcome] = {}
    for number, outcome in _outcomes(rows, device, on_line, stop, pool):
        outcomes[number] = outcome
        on_outcome(outcome)
    return [outcomes[number] for number in range(len(rows))]


def finished(pair: Pair) -> bool:
    """True if all steps of its run are done. Raises `RunError` if the folder holds one of other pictures or settings,
    `ModelError` if its model is damaged, and OSError if a picture cannot be read."""
    if not (pair.folder / MODEL_FILE).exists():
        return False
    model = load_model(pair.folder)
    changed = differences(pair.identity(), model.provenance) + pair.config.differences(model.config)
    if changed:
        raise RunError(f"{pair.folder}: holds another run ({'; '.join(changed)}); give -o another folder")
    return model.provenance.is_finished


def command(pair: Pair, device: str) -> list[str]:
    """The command that trains a pair, or goes on with it. Its settings go into a preset file beside the run folder.

    Raises `RunError` if that cannot be written.
    """
    preset = pair.folder.with_name(f".{pair.folder.name}.sincut.toml")  # no row has such a name
    make_folder(preset.parent, RunError)
    write_whole(preset, pair.config.to_toml().encode(), RunError)
    flags = ["--to", pair.to]
    flags += ["--resume"] if _is_begun(pair) else []
    return child.command(pair.painting, pair.photo, "-o", pair.folder, "--preset", preset, "--device", device, *flags)


def _outcomes(
    rows: Sequence[Pair | Outcome], device: str, on_line: Say, stop: Callable[[], bool], pool: Pool | None
) -> Iterator[tuple[int, Outcome]]:
    """The number of each row and what became of it, those first that need no training."""
    todo: list[tuple[int, Pair]] = []
    for number, row in enumerate(rows):
        outcome = row if isinstance(row, Outcome) else _outcome_without_training(row)
        if outcome is not None:
            yield number, outcome
        elif isinstance(row, Pair):
            todo.append((number, row))
    if pool is not None and todo:
        yield from _on_cluster(todo, device, stop, pool)
        return
    for number, pair in todo:
        yield number, _stopped(pair) if stop() else _train_apart(pair, device, on_line, stop)


def _outcome_without_training(pair: Pair) -> Outcome | None:
    """`SKIPPED` if its run is finished, `FAILED` if it cannot be trained, None if it is to be trained."""
    try:
        return _done(pair, SKIPPED, 0.0) if finished(pair) else None
    except (SincutError, OSError) as error:
        return _failed(pair, str(error))


def _train_apart(pair: Pair, device: str, on_line: Say, stop: Callable[[], bool]) -> Outcome:
    """Train in a process of its own. Raises what `on_line` or `stop` raises."""
    began = time.monotonic()
    try:
        words = command(pair, device)
    except SincutError as error:
        return _failed(pair, str(error))
    ended = child.attend([*words, "--json"], partial(on_line, pair.name), stop)
    if ended.stopped:
        return _stopped(pair)
    if ended.code < 0:
        return _failed(pair, f"was killed by signal {-ended.code}, as by a system that is short of memory; try again")
    if ended.code:
        return _failed(pair, ended.last_line.removeprefix("sincut: ") or f"ended with code {ended.code}")
    return _done(pair, TRAINED, time.monotonic() - began)


def _on_cluster(
    todo: list[tuple[int, Pair]], device: str, stop: Callable[[], bool], pool: Pool
) -> Iterator[tuple[int, Outcome]]:
    """Train side by side; the number of each row and what became of it, as they end."""
    with joined(pool) as ray:
        needs = {"num_cpus": pool.cpus, "num_gpus": pool.gpus, "max_retries": RETRIES}
        task, most = ray.remote(**needs)(_train_in_worker), room(ray, pool)
        waiting, flying = deque(todo), dict[Any, tuple[int, Pair]]()
        while waiting or flying:
            while waiting and len(flying) < (pool.workers or most):
                number, pair = waiting.popleft()
                flying[task.remote(_absolute(pair), device, max(1, int(pool.cpus)))] = number, pair
            ready = ray.wait(list(flying), num_returns=1, timeout=TICK)[0]
            for reference in ready:
                number, pair = flying.pop(reference)
                yield number, _result(ray, reference, pair)
            if stop():
                for reference in flying:
                    ray.cancel(reference)  # a SIGINT, on which the training saves
                yield from ((number, _stopped(pair)) for number, pair in waiting)
                yield from ((number, _result(ray, reference, pair)) for reference, (number, pair) in flying.items())
                return


def _result(ray: Any, reference: Any, pair: Pair) -> Outcome:
    """The outcome of a pair on the cluster; waits for it."""
    try:
        outcome: Outcome = ray.get(reference)
        return outcome
    except ray.exceptions.TaskCancelledError:
        return _stopped(pair)
    except ray.exceptions.RayError as error:
        what = first_line(getattr(error, "cause", error))
        return _failed(pair, f"its worker is gone ({what}); the same command goes on")


def _train_in_worker(pair: Pair, device: str, threads: int) -> Outcome:
    """Train in this process, which is a worker's; SIGINT asks to stop."""
    import torch

    began, asked = time.monotonic(), threading.Event()
    signal.signal(signal.SIGINT, lambda *_: asked.set())
    torch.set_num_threads(threads)
    try:
        run.train(
            pair.painting,
            pair.photo,
            pair.folder,
            config=pair.config,
            reverse=pair.reverse,
            resume=_is_begun(pair),
            device=find_device(device),
            stop=asked.is_set,
            started=began,
        )
    except Interrupted:
        return _stopped(pair)
    except (SincutError, OSError, MemoryError) as error:
        return _failed(pair, " ".join(str(error).split()))
    return _done(pair, TRAINED, time.monotonic() - began)


def _is_begun(pair: Pair) -> bool:
    """True if there is a checkpoint to go on from."""
    return (pair.folder / CHECKPOINT_FILE).exists()


def _absolute(pair: Pair) -> Pair:
    """The same pair for a process in another folder."""
    painting, photo, folder = (path.absolute() for path in (pair.painting, pair.photo, pair.folder))
    return replace(pair, painting=painting, photo=photo, folder=folder)


def _done(pair: Pair, state: str, seconds: float) -> Outcome:
    """`TRAINED` or `SKIPPED`. Raises `ModelError`."""
    steps = describe(pair.folder)[1].steps
    return Outcome(pair.name, state, str(pair.folder), steps, round(seconds, 1))


def _stopped(pair: Pair) -> Outcome:
    return Outcome(pair.name, STOPPED, str(pair.folder))


def _failed(pair: Pair, reason: str) -> Outcome:
    return Outcome(pair.name, FAILED, str(pair.folder), error=f"{pair.name}: {reason}")
