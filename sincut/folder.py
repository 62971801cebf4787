"""Many pictures: plan every (source, target) pair first, then run the plan; one bad file never stops the rest.

The plan mirrors the tree of each input folder, or follows a pattern, and refuses, before the first pixel, two sources
with one target and a source that would be overwritten by its own translation.
"""

import os
import string
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from sincut import images
from sincut.errors import ConfigError, ImageError, RunError, SincutError
from sincut.events import BatchStarted, Listener, PictureDone, PictureFailed, ignore
from sincut.files import make_folder
from sincut.images import AS_IT_CAME, HEIF, SUFFIXES, WRITABLE, Picture, Saving, writable_format
from sincut.translate import PLAIN, Options, Translator

FIELDS = ("stem", "name", "suffix", "folder", "model")  # of a pattern for the output


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


@dataclass(frozen=True)
class Naming:
    """Where translations go.

    `output` is a file, for one file; a folder; or a pattern such as `styled/{stem}-{model}.jpg`, whose fields are the
    source's `stem`, `name` and `suffix`, the `folder` it lies in below the input, and the `model`. None stands for the
    inputs themselves. `format_`, a suffix without its dot, is for names that do not say it.
    """

    output: Path | None
    format_: str | None = None
    model: str = "model"

    def __post_init__(self) -> None:
        if self.format_ is not None:
            writable_format(Path(f"x.{self.format_}"))
        if self.is_pattern:
            try:
                fields = [name for _, name, _, _ in string.Formatter().parse(str(self.output)) if name is not None]
            except ValueError as error:
                raise ConfigError(f"-o {self.output}: {error}; write fields as in {{stem}}") from None
            unknown = [name for name in fields if name not in FIELDS]
            if unknown:
                known = ", ".join(f"{{{name}}}" for name in FIELDS)
                raise ConfigError(f"-o {self.output}: no field {{{unknown[0]}}}; there are {known}")

    @property
    def is_pattern(self) -> bool:
        return self.output is not None and "{" in str(self.output)

    @property
    def is_file(self) -> bool:
        """Whether it names one file."""
        output = self.output
        if output is None or self.is_pattern:
            return False
        return output.suffix.lower() in SUFFIXES and not os.path.isdir(output)

    def target(self, source: Path, folder: Path) -> Path:
        """Where the translation of `source` goes, which lies in `folder` below its input."""
        if self.output is None:
            return source
        if not self.is_pattern:
            return self.output / folder / self._named(source)
        values = {"stem": source.stem, "name": source.name, "suffix": source.suffix.removeprefix(".")}
        target = Path(str(self.output).format(**values, folder=folder, model=self.model))
        return target if target.suffix.lower() in WRITABLE else target.with_name(self._named(target, source))

    def _named(self, path: Path, source: Path | None = None) -> str:
        """The name with a suffix that can be written."""
        suffix = (source or path).suffix.lower()
        if self.format_ is not None:
            return f"{path.stem if path.suffix.lower() in SUFFIXES else path.name}.{self.format_}"
        if suffix in WRITABLE:
            return path.name if path.suffix.lower() == suffix else f"{path.name}{suffix}"
        return f"{path.name}{'.jpg' if suffix in HEIF else '.png'}"


def plan(inputs: Iterable[Path], naming: Naming, overwrite: bool = False) -> Plan:
    """The jobs for files and folders; existing targets are skipped unless `overwrite`.

    Folders are taken with everything below them. Formats that are not written become PNG, and HEIC becomes JPEG.
    Raises `ImageError` for an input that is not there and `RunError` for colliding targets.
    """
    inputs = list(inputs)
    for path in inputs:
        if not os.path.exists(path):  # unlike Path.exists this says no to what cannot be looked at
            raise ImageError(f"{path}: there is no such file or folder, or it cannot be read; check the path")
    if naming.is_file and len(inputs) == 1 and inputs[0].is_file():
        assert naming.output is not None
        writable_format(naming.output)
        jobs = [Job(inputs[0], naming.output)]
    else:
        if naming.is_file or (naming.output is not None and os.path.isfile(naming.output)):
            raise RunError(f"{naming.output}: several pictures need a folder to go to; give -o a folder")
        jobs = [job for path in inputs for job in _jobs_of(path, naming)]
    _refuse_collisions(jobs, in_place=naming.output is None)
    done = tuple(job for job in jobs if job.target.exists() and not overwrite and naming.output is not None)
    return Plan(tuple(job for job in jobs if job not in set(done)), done)


def run(
    plan: Plan,
    translator: Translator,
    options: Options = PLAIN,
    saving: Saving = AS_IT_CAME,
    on_event: Listener = ignore,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[list[Job], list[tuple[Job, str]]]:
    """Translate all jobs; returns those done, and those failed with the reason. `stop` is asked between pictures.

    While one picture is translated, the next is decoded and the one before encoded, each in a thread. A picture for
    which memory is short waits until its turn, and then goes from file to file where need be.
    """
    on_event(BatchStarted(len(plan.jobs), len(plan.skipped)))
    done: list[Job] = []
    failed: list[tuple[Job, str]] = []

    def fail(job: Job, error: Exception) -> None:
        reason = str(error) or f"{job.source}: does not fit into memory; use a smaller picture"
        reason = reason if str(job.source) in reason or str(job.target) in reason else f"{job.source}: {reason}"
        failed.append((job, reason))
        on_event(PictureFailed(job.source, reason))

    def succeed(job: Job, began: float, notes: tuple[str, ...]) -> None:
        done.append(job)
        on_event(PictureDone(job.source, job.target, time.monotonic() - began, notes))

    def finish(saving: "_Saving") -> None:
        try:
            notes = saving.notes.result()
        except (SincutError, MemoryError) as error:
            fail(saving.job, error)
        else:
            succeed(saving.job, saving.began, notes)

    def decode(job: Job) -> Picture | None:
        """None where there is no room beside what is in memory now."""
        size = images.size_of(job.source, options.max_pixels)
        return images.load(job.source, options.max_pixels) if translator.fits(size, options) else None

    on_its_way: _Saving | None = None
    with ThreadPoolExecutor(1) as decoder, ThreadPoolExecutor(1) as encoder:
        for job, coming in _decoding(plan.jobs, decoder, decode):
            if stop():
                break
            began, translated = time.monotonic(), None
            try:
                make_folder(job.target.parent, ImageError)
                picture = coming.result()
                if picture is None:
                    if on_its_way:
                        finish(on_its_way)
                        on_its_way = None
                    notes = translator.apply_file(job.source, job.target, options, saving, on_event)
                    succeed(job, began, notes)
                else:
                    translated = translator.apply_loaded(picture, job.source, job.target, options, on_event)
            except (SincutError, MemoryError) as error:
                fail(job, error)
            if on_its_way:
                finish(on_its_way)
            on_its_way = (
                _Saving(job, began, encoder.submit(_save, translated, job.target, saving)) if translated else None
            )
        if on_its_way:
            finish(on_its_way)
    return done, failed


def run_bytes(
    data: bytes,
    translator: Translator,
    options: Options = PLAIN,
    saving: Saving = AS_IT_CAME,
    format_: str | None = None,
) -> tuple[bytes, tuple[str, ...]]:
    """A picture file's bytes to those of its translation, in the same format or that of the suffix `format_`.

    Returns notes on conversions too. Raises `ImageError`.
    """
    picture, found = images.load_bytes(data, "-", options.max_pixels)
    known = writable_format(Path(f"x.{format_}")) if format_ else found if found in WRITABLE.values() else "PNG"
    out = translator.apply_picture(picture, options)
    written, notes = images.encode(out, known, saving)
    return written, (*out.notes, *notes)


@dataclass(frozen=True)
class _Saving:
    """A translated picture on its way into its file."""

    job: Job
    began: float
    notes: "Future[tuple[str, ...]]"


def _decoding(
    jobs: tuple[Job, ...], pool: Executor, decode: Callable[[Job], Picture | None]
) -> Iterator[tuple[Job, "Future[Picture | None]"]]:
    """Each job with its picture to come; the next one is read while the caller works on one."""
    ahead = deque(pool.submit(decode, job) for job in jobs[:1])
    for index, job in enumerate(jobs):
        ahead.extend(pool.submit(decode, job) for job in jobs[index + 1 : index + 2])
        yield job, ahead.popleft()


def _save(picture: Picture, target: Path, saving: Saving) -> tuple[str, ...]:
    return picture.notes + images.save(picture, target, saving)


def _jobs_of(path: Path, naming: Naming) -> Iterator[Job]:
    if path.is_file():
        yield Job(path, naming.target(path, Path()))
        return
    nested = False
    if naming.output is not None and not naming.is_pattern:
        results = naming.output.resolve()
        nested = results != path.resolve() and results.is_relative_to(path.resolve())
    sources = [s for s in _pictures(path) if not (nested and s.resolve().is_relative_to(results))]  # no earlier results
    if not sources:
        raise ImageError(f"{path}: holds no pictures ({', '.join(sorted(SUFFIXES))}); check the path")
    for source in sources:
        yield Job(source, naming.target(source, source.relative_to(path).parent))


def _pictures(folder: Path) -> Iterator[Path]:
    """Picture files below a folder, in order; hidden ones are left out, links to folders are not followed."""

    def refuse(error: OSError) -> None:
        raise ImageError(f"{error.filename}: this folder cannot be read ({error.strerror}); check its permissions")

    for here, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield Path(here) / name


def _refuse_collisions(jobs: list[Job], in_place: bool) -> None:
    taken: dict[str, Path] = {}
    for job in jobs:
        if in_place:
            writable_format(job.target)
        elif job.target.exists() and job.target.samefile(job.source):
            raise RunError(
                f"{job.source}: would be overwritten by its translation; give -o another folder or name, or --in-place"
            )
        key = os.path.normcase(job.target.absolute())
        if key in taken:
            raise RunError(
                f"{taken[key]} and {job.source} would both be written to {job.target}; translate them into two folders"
            )
        taken[key] = job.source
