"""Many pictures: plan every (source, target) pair first, then run the plan; one bad file never stops the rest.

The plan mirrors the tree of each input folder and refuses, before the first pixel, two sources with one target and a
source that would be overwritten by its own translation.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sincut import images
from sincut.errors import ImageError, RunError, SincutError
from sincut.events import BatchStarted, Listener, PictureDone, PictureFailed, ignore
from sincut.files import make_folder
from sincut.images import SUFFIXES, WRITABLE, Picture, writable_format
from sincut.translate import Tile, Translator


@dataclass(frozen=True)
class Job:
    """One picture to translate."""

    source: Path
    target: Path


@dataclass(frozen=True)
class Plan:
    """What is to be done, and what is done already."""

    jobs: tuple[Job, ...]
    skipped: tuple[Job, ...]


def plan(inputs: Iterable[Path], output: Path, overwrite: bool = False) -> Plan:
    """The jobs for files and folders; existing targets are skipped unless `overwrite`.

    A single file goes to `output` itself where that has a picture's suffix, everything else into the folder `output`:
    files by name, folders with their tree. Formats that are not written become PNG. Raises `ImageError` for an input
    that is not there and `RunError` for colliding targets.
    """
    inputs = list(inputs)
    for path in inputs:
        if not os.path.exists(path):  # unlike Path.exists this says no to what cannot be looked at
            raise ImageError(f"{path}: there is no such file or folder, or it cannot be read; check the path")
    names_a_file = output.suffix.lower() in SUFFIXES and not os.path.isdir(output)
    if len(inputs) == 1 and inputs[0].is_file() and names_a_file:
        writable_format(output)
        jobs = [Job(inputs[0], output)]
    else:
        if names_a_file or os.path.isfile(output):
            raise RunError(f"{output}: several pictures need a folder to go to; give -o a folder")
        jobs = [job for path in inputs for job in _jobs_of(path, output)]
    _refuse_collisions(jobs)
    done = tuple(job for job in jobs if job.target.exists() and not overwrite)
    return Plan(tuple(job for job in jobs if job not in set(done)), done)


def run(
    plan: Plan,
    translator: Translator,
    tile: Tile = "auto",
    on_event: Listener = ignore,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[list[Job], list[tuple[Job, str]]]:
    """Translate all jobs; returns those done, and those failed with the reason. `stop` is asked between pictures.

    While one picture is translated, the next is decoded and the one before encoded, each in a thread.
    """
    on_event(BatchStarted(len(plan.jobs), len(plan.skipped)))
    done: list[Job] = []
    failed: list[tuple[Job, str]] = []

    def fail(job: Job, error: Exception) -> None:
        reason = str(error) or f"{job.source}: does not fit into memory; use a smaller picture"
        failed.append((job, reason))
        on_event(PictureFailed(job.source, reason))

    def finish(saving: "_Saving") -> None:
        try:
            notes = saving.notes.result()
        except (SincutError, MemoryError) as error:
            fail(saving.job, error)
        else:
            done.append(saving.job)
            on_event(PictureDone(saving.job.source, saving.job.target, time.monotonic() - saving.began, notes))

    saving: _Saving | None = None
    with ThreadPoolExecutor(1) as decoder, ThreadPoolExecutor(1) as encoder:
        for job, coming in _decoding(plan.jobs, decoder):
            if stop():
                break
            began, translated = time.monotonic(), None
            try:
                make_folder(job.target.parent, ImageError)
                translated = translator.apply_loaded(coming.result(), job.source, job.target, tile, on_event)
            except (SincutError, MemoryError) as error:
                fail(job, error)
            if saving:
                finish(saving)
            saving = _Saving(job, began, encoder.submit(_save, translated, job.target)) if translated else None
        if saving:
            finish(saving)
    return done, failed


@dataclass(frozen=True)
class _Saving:
    """A translated picture on its way into its file."""

    job: Job
    began: float
    notes: "Future[tuple[str, ...]]"


def _decoding(jobs: tuple[Job, ...], pool: Executor) -> Iterator[tuple[Job, "Future[Picture]"]]:
    """Each job with its picture to come; the next one is read while the caller works on one."""
    ahead = deque(pool.submit(images.load, job.source) for job in jobs[:1])
    for index, job in enumerate(jobs):
        ahead.extend(pool.submit(images.load, job.source) for job in jobs[index + 1 : index + 2])
        yield job, ahead.popleft()


def _save(picture: Picture, target: Path) -> tuple[str, ...]:
    return picture.notes + images.save(picture, target)


def _jobs_of(path: Path, output: Path) -> Iterator[Job]:
    if path.is_file():
        yield Job(path, output / _target_name(path))
        return
    results = output.resolve()
    nested = results != path.resolve() and results.is_relative_to(path.resolve())
    sources = [s for s in _pictures(path) if not (nested and s.resolve().is_relative_to(results))]  # no earlier results
    if not sources:
        raise ImageError(f"{path}: holds no pictures ({', '.join(sorted(SUFFIXES))}); check the path")
    for source in sources:
        yield Job(source, output / source.relative_to(path).parent / _target_name(source))


def _pictures(folder: Path) -> Iterator[Path]:
    """Picture files below a folder, in order; hidden ones are left out, links to folders are not followed."""

    def refuse(error: OSError) -> None:
        raise ImageError(f"{error.filename}: this folder cannot be read ({error.strerror}); check its permissions")

    for here, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield Path(here) / name


def _target_name(source: Path) -> str:
    return source.name if source.suffix.lower() in WRITABLE else f"{source.name}.png"


def _refuse_collisions(jobs: list[Job]) -> None:
    taken: dict[str, Path] = {}
    for job in jobs:
        if job.target.exists() and job.target.samefile(job.source):
            raise RunError(f"{job.source}: would be overwritten by its translation; give -o another folder or name")
        key = os.path.normcase(job.target.absolute())
        if key in taken:
            raise RunError(
                f"{taken[key]} and {job.source} would both be written to {job.target}; translate them into two folders"
            )
        taken[key] = job.source
