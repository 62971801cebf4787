"""Many pictures: plan every (source, target) pair first, then run the plan; one bad file never stops the rest.

The plan mirrors the tree of each input folder and refuses, before the first pixel, two sources with one target and a
source that would be overwritten by its own translation.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sincut.errors import ImageError, RunError, SincutError
from sincut.events import BatchStarted, Listener, PictureDone, PictureFailed, ignore
from sincut.files import make_folder
from sincut.images import SUFFIXES, WRITABLE, writable_format
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
    """Translate all jobs; returns those done, and those failed with the reason. `stop` is asked between pictures."""
    on_event(BatchStarted(len(plan.jobs), len(plan.skipped)))
    done: list[Job] = []
    failed: list[tuple[Job, str]] = []
    for job in plan.jobs:
        if stop():
            break
        began = time.monotonic()
        try:
            make_folder(job.target.parent, ImageError)
            notes = translator.apply_file(job.source, job.target, tile, on_event)
        except (SincutError, MemoryError) as error:
            reason = str(error) or f"{job.source}: does not fit into memory; use a smaller picture"
            failed.append((job, reason))
            on_event(PictureFailed(job.source, reason))
            continue
        done.append(job)
        on_event(PictureDone(job.source, job.target, time.monotonic() - began, notes))
    return done, failed


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
