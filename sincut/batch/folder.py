"""Many pictures: plan every (source, target) pair first, then run the plan; one bad file never stops the rest.

The plan mirrors the tree of each input folder, or follows a pattern, and refuses, before the first pixel, two sources
with one target, a source that would be overwritten by its own translation, and results among the sources. What is done
already, by this model with these options, is known from the manifest in the output folder, and is not done again.
"""

import contextlib
import os
import string
import tempfile
import time
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path, PurePath
from typing import Any

from sincut.batch.manifest import BEGUN, DONE, FAILED, Manifest, stat_of
from sincut.batch.remote import AnyPath, Staged, Url, exists, listings, place
from sincut.errors import ConfigError, DamagedError, ImageError, ModelError, RunError, SincutError
from sincut.events import BatchStarted, Listener, PictureDone, PictureFailed, PictureStarted, Warned, ignore
from sincut.files import locked, make_folder, remove_parts, sha256
from sincut.model.model import MODEL_FILE, model_path
from sincut.pictures import formats, reading, writing
from sincut.pictures.formats import HEIF, SUFFIXES, WRITABLE, writable_format
from sincut.pictures.opening import MAX_PIXELS
from sincut.pictures.picture import Picture
from sincut.pictures.writing import AS_IT_CAME, Saving
from sincut.translation.translate import PLAIN, Options, Translator

SAMPLED = 1000  # pictures whose size is looked at, to say how much there is to do
FETCHED = 8  # of these, at most, where each has to be brought here
FIELDS = ("stem", "name", "suffix", "folder", "model")  # of a pattern for the output


@dataclass(frozen=True)
class Job:
    """One picture to translate."""

    source: AnyPath
    target: AnyPath


@dataclass(frozen=True)
class Plan:
    """What is to be done, what is done already (or has an output that nobody knows), and what has failed before.

    `refused` tells, a line each, of what lies there under names that no file can have.
    """

    jobs: tuple[Job, ...]
    skipped: tuple[Job, ...] = ()
    failed: tuple[Job, ...] = ()
    manifest: Manifest | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    refused: tuple[str, ...] = ()

    def pixels(self, max_pixels: int = MAX_PIXELS) -> int:
        """Of all jobs, from the sizes that their files declare; of very many, estimated from a sample."""
        here = [job.source for job in self.jobs if not isinstance(job.source, Url)]
        there = [job.source for job in self.jobs if isinstance(job.source, Url)]
        return _pixels(here, len(here) // SAMPLED, max_pixels) + _pixels(there, -(-len(there) // FETCHED), max_pixels)


def _pixels(sources: Sequence[AnyPath], step: int, max_pixels: int) -> int:
    """Of all sources, from one in `step` of them."""
    sizes = []
    for source in sources[:: max(1, step)]:
        staged = Staged(source, source)
        try:
            staged.fetch()
            h, w = reading.size_of(staged.source, max_pixels)
        except ImageError:
            continue
        finally:
            staged.close()
        sizes.append(h * w)
    return round(sum(sizes) / len(sizes) * len(sources)) if sizes else 0


@dataclass(frozen=True)
class Naming:
    """Where translations go.

    `output` is a file, for one file; a folder; or a pattern such as `styled/{stem}-{model}.jpg`, whose fields are the
    source's `stem`, `name` and `suffix`, the `folder` it lies in below the input, and the `model`. None stands for the
    inputs themselves. `format_`, a suffix without its dot, is for names that do not say it.
    """

    output: AnyPath | None
    format_: str | None = None
    model: str = "model"

    def __post_init__(self) -> None:
        if self.format_ is not None:
            writable_format(Path(f"x.{self.format_}"))
            if self.output is None:
                raise ConfigError("--format is for outputs with names of their own; with --in-place they keep theirs")
        if self.is_pattern:
            try:
                parsed = [entry for entry in string.Formatter().parse(str(self.output)) if entry[1] is not None]
            except ValueError as error:
                raise ConfigError(f"-o {self.output}: {error}; write fields as in {{stem}}") from None
            if any(spec or conversion for _, _, spec, conversion in parsed):
                raise ConfigError(f"-o {self.output}: fields take no format; write them as in {{stem}}")
            fields = [name for _, name, _, _ in parsed]
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
        is_dir = output.is_dir() if isinstance(output, Url) else os.path.isdir(output)
        return output.suffix.lower() in SUFFIXES and not is_dir

    def root(self, inputs: Sequence[AnyPath]) -> AnyPath | None:
        """The folder of the manifest: that of all outputs; None where a single file is written."""
        if self.output is None:
            remote = [path for path in inputs if isinstance(path, Url)]
            if remote:
                raise RunError(f"--in-place: {remote[0]} is no file of this machine, and is not replaced; give -o")
            roots = {path if path.is_dir() else path.parent for path in inputs}
            if len(roots) > 1:
                raise RunError("--in-place: give one folder, or files of one folder, at a time")
            return roots.pop()
        if self.is_file:
            return None
        if not self.is_pattern:
            return self.output
        filled = str(self.output).replace("{model}", self.model)
        return place(filled.partition("{")[0] + "x").parent

    def target(self, source: AnyPath, folder: PurePath) -> AnyPath:
        """Where the translation of `source` goes, which lies in `folder` below its input."""
        if self.output is None:
            return source
        if not self.is_pattern:
            return self.output / folder / self._named(source)
        values = {"stem": source.stem, "name": source.name, "suffix": source.suffix.removeprefix(".")}
        target = place(str(self.output).format(**values, folder=folder, model=self.model))
        return target if target.suffix.lower() in WRITABLE else target.with_name(self._named(target, source))

    def _named(self, path: PurePath, source: PurePath | None = None) -> str:
        """The name with a suffix that can be written."""
        suffix = (source or path).suffix.lower()
        if self.format_ is not None:
            return f"{path.stem if path.suffix.lower() in SUFFIXES else path.name}.{self.format_}"
        if suffix in WRITABLE:
            return path.name if path.suffix.lower() == suffix else f"{path.name}{suffix}"
        return f"{path.name}{'.jpg' if suffix in HEIF else '.png'}"


def recipe_of(model: Path, options: Options, saving: Saving) -> dict[str, Any]:
    """What decides what an output looks like: the model's and the mask's bytes, and the options that matter.

    Raises `ModelError` or `ImageError` where these cannot be read.
    """
    blend = {"strength": options.blend.strength, "keep": options.blend.keep, "scale": options.scale}
    written = {"quality": saving.quality, "strip": saving.strip, "greys": saving.greys}
    weights = model_path(model)
    if not weights.is_file():
        raise ModelError(f"{model}: no model there; give a run folder or its {MODEL_FILE}")
    mask = _digest_of(options.mask, ImageError) if options.mask else None
    return {"model": _digest_of(weights, ModelError), "mask": mask, **blend, **written}


def _digest_of(path: Path, kind: type[SincutError]) -> str:
    try:
        return sha256(path)
    except OSError as error:
        raise kind(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from None


def plan(
    inputs: Iterable[AnyPath],
    naming: Naming,
    overwrite: bool = False,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    recipe: Mapping[str, Any] | None = None,
    retry_failed: bool = False,
    arrived: Collection[Path] | None = None,
) -> Plan:
    """The jobs for files and folders.

    Folders are taken with everything below them; of what lies there, only names or paths that match one of `include`
    (all, without any) and none of `exclude` (shell patterns), and with `arrived` only these files. Formats that are not
    written become PNG, HEIC becomes JPEG. Without `overwrite`, what the manifest knows as done by this `recipe` is
    skipped, and so is an output that it does not know; what failed before is left alone until its source changes,
    unless `retry_failed`. Without a `recipe` there is no manifest. Raises `ImageError` for an input that is not there
    and `RunError` for targets that collide.
    """
    with listings():
        return _plan(
            list(inputs), naming, overwrite, retry_failed, _Filter(tuple(include), tuple(exclude)), recipe, arrived
        )


def _plan(
    inputs: list[AnyPath],
    naming: Naming,
    overwrite: bool,
    retry_failed: bool,
    wanted: "_Filter",
    recipe: Mapping[str, Any] | None,
    arrived: Collection[Path] | None,
) -> Plan:
    for path in inputs:
        if not exists(path):
            raise ImageError(f"{path}: there is no such file or folder, or it cannot be read; check the path")
    root, refused = naming.root(inputs), list[str]()
    if naming.is_file and len(inputs) == 1 and inputs[0].is_file():
        assert naming.output is not None
        writable_format(naming.output)
        jobs = [Job(inputs[0], naming.output)]
    else:
        if naming.is_file or (isinstance(naming.output, Path) and os.path.isfile(naming.output)):
            raise RunError(f"{naming.output}: several pictures need a folder to go to; give -o a folder")
        jobs = [job for path in inputs for job in _jobs_of(path, naming, wanted, refused, arrived)]
    _refuse_collisions(jobs, in_place=naming.output is None)
    manifest = Manifest.load(root) if root is not None and recipe is not None else None
    if isinstance(root, Url):
        deque(root.files(), 0)  # one listing, instead of asking for each output
    known = _Known(manifest, recipe or {}, overwrite, retry_failed)
    sorted_: dict[str, list[Job]] = {"": [], DONE: [], FAILED: []}
    for job in jobs:
        sorted_[known.state(job)].append(job)
    todo, done, failed = (tuple(sorted_[state]) for state in ("", DONE, FAILED))
    return Plan(todo, done, failed, manifest, recipe or {}, tuple(refused))


@dataclass
class Result:
    """What has become of one plan or several."""

    done: list[Job] = field(default_factory=list)
    skipped: list[Job] = field(default_factory=list)
    failed: list[tuple[Job, str]] = field(default_factory=list)
    failed_before: list[Job] = field(default_factory=list)
    jobs: int = 0

    @property
    def left(self) -> int:
        """Pictures that were not reached."""
        return self.jobs - len(self.done) - len(self.failed)

    def add(self, plan: Plan, done: list[Job], failed: list[tuple[Job, str]]) -> None:
        """What `run` gave for a plan."""
        self.jobs += len(plan.jobs)
        self.done += done
        self.failed += failed
        self.skipped += plan.skipped
        self.failed_before += plan.failed

    def summary(self) -> dict[str, Any]:
        """As plain values."""

        def names(jobs: list[Job]) -> list[dict[str, str]]:
            return [{"source": str(job.source), "target": str(job.target)} for job in jobs]

        failed = [{"source": str(job.source), "error": reason} for job, reason in self.failed]
        parts = {"done": self.done, "skipped": self.skipped, "failed_before": self.failed_before}
        return {**{key: names(jobs) for key, jobs in parts.items()}, "failed": failed}


def split_models(paths: Sequence[AnyPath]) -> tuple[list[Path], list[AnyPath]]:
    """The models in front, and the inputs behind them. Raises `ConfigError` where either is missing."""
    count = next((i for i, path in enumerate(paths) if i and not _is_model(path)), len(paths))
    if count == len(paths):
        usage = "usage: sincut apply MODEL INPUT... -o OUTPUT"
        raise ConfigError(f"{paths[-1]}: is a model, and no picture comes after it; {usage}")
    models = [path for path in paths[:count] if isinstance(path, Path)]
    if len(models) < count:
        raise ConfigError(f"{paths[0]}: a model is a file of this machine; copy it here first")
    return models, list(paths[count:])


def _is_model(path: AnyPath) -> bool:
    if isinstance(path, Url):
        return False
    return (path / MODEL_FILE).is_file() if path.is_dir() else path.suffix == Path(MODEL_FILE).suffix


def plans(
    models: Sequence[Path], inputs: Sequence[AnyPath], output: AnyPath | None, options: Options, saving: Saving, *,
    format_: str | None = None, **filters: Any,
) -> list[tuple[Path, Plan]]:  # fmt: skip
    """Each model with its `plan`. Raises `ConfigError` where several models would write to the same files."""
    if len(models) > 1 and "{model}" not in str(output):
        raise ConfigError("several models need {model} in -o, as in -o styled/{model}/")
    found: list[tuple[Path, Plan]] = []
    taken: dict[str, Path] = {}
    for model in models:
        name = (model if model.is_dir() else model.with_suffix("")).resolve().name
        if name in taken:
            raise ConfigError(
                f"{taken[name]} and {model} have one name, and so would their outputs; rename one of them"
            )
        taken[name] = model
        own = place(str(output).replace("{model}", name)) if output is not None else None
        recipe = recipe_of(model, options, saving)
        found.append((model, plan(inputs, Naming(own, format_, name), recipe=recipe, **filters)))
    return found


def forecast(plan: Plan, translator: Translator, options: Options = PLAIN) -> dict[str, Any]:
    """What a plan would do: counts, megapixels, and the expected seconds, after a tile or two to see how fast it is."""
    pixels = plan.pixels(options.max_pixels)
    return {
        "to do": len(plan.jobs),
        "done": len(plan.skipped),
        "failed before": len(plan.failed),
        "megapixels": round(pixels / 1e6, 3),
        "seconds": round(pixels * translator.probe()),
    }


@dataclass(frozen=True)
class _Known:
    """What can be said of a job before it begins."""

    manifest: Manifest | None
    recipe: Mapping[str, Any]
    overwrite: bool
    retry_failed: bool

    def state(self, job: Job) -> str:
        """DONE, FAILED, or nothing for what is to be done."""
        in_place = job.source == job.target
        if self.overwrite:
            return ""
        if self.manifest is None:
            return DONE if job.target.exists() and not in_place else ""
        status = self.manifest.status(job.target)
        if status == DONE:
            return DONE if self.manifest.is_done(job.source, job.target, self.recipe) else ""
        if status == FAILED and not self.retry_failed and self.manifest.is_unchanged(job.source, job.target):
            return FAILED
        if status == BEGUN:  # cut off by a crash; in place, the source may have been replaced already
            return DONE if in_place and not self.manifest.is_unchanged(job.source, job.target) else ""
        return DONE if status != FAILED and job.target.exists() and not in_place else ""


@dataclass(frozen=True)
class _Filter:
    """Shell patterns for what is taken from folders, matched with the name and with the path below the folder."""

    include: tuple[str, ...]
    exclude: tuple[str, ...]

    def __call__(self, path: PurePath) -> bool:
        def matches(patterns: tuple[str, ...]) -> bool:
            return any(fnmatch(path.name, p) or fnmatch(path.as_posix(), p) for p in patterns)

        return (not self.include or matches(self.include)) and not matches(self.exclude)


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
    with held(plan):
        return _run(plan, translator, options, saving, on_event, stop)


@contextlib.contextmanager
def held(plan: Plan) -> Iterator[None]:
    """Hold the output folder for this process, and clear what a killed one has left. Raises `RunError`."""
    if plan.manifest is None or not plan.jobs:
        yield
        return
    folder = plan.manifest.folder
    if isinstance(folder, Url):  # has no locks: two runs at once do work twice, and break nothing
        plan.manifest.announce((job.source, job.target) for job in plan.jobs)
        try:
            yield
        finally:
            plan.manifest.flush()
        return
    make_folder(folder, RunError)
    with locked(folder):
        clear(plan)
        yield


def clear(plan: Plan) -> None:
    """Remove what killed processes have left of files they were writing; the output folder is held."""
    for parent in {job.target.parent for job in plan.jobs}:
        if plan.manifest is not None and isinstance(parent, Path):
            remove_parts(parent)


def manifested(
    plan: Plan, job: Job, before: tuple[int, int], digest: str, seconds: float, error: str = "",
    written: tuple[int, int] | None = None,
) -> None:  # fmt: skip
    """Write down in the plan's manifest, if it has one, how a picture ended; `written` where that is known already."""
    if plan.manifest is None:
        return
    paths = job.source, before, digest, job.target
    plan.manifest.add(plan.manifest.entry(*paths, plan.recipe, seconds, error, written))


def begin(plan: Plan, pixels: int, on_event: Listener) -> None:
    """Tell what is to be done, and what was left out."""
    on_event(BatchStarted(len(plan.jobs), len(plan.skipped), len(plan.failed), pixels))
    for reason in plan.refused:
        on_event(Warned(reason))


def _run(
    plan: Plan, translator: Translator, options: Options, saving: Saving, on_event: Listener, stop: Callable[[], bool]
) -> tuple[list[Job], list[tuple[Job, str]]]:
    total = plan.pixels(options.max_pixels)
    begin(plan, total, on_event)
    done: list[Job] = []
    failed: list[tuple[Job, str]] = []
    pace = Pace(total, len(plan.jobs))
    hashed = plan.manifest is not None

    def fail(job: Job, error: Exception, read: Read, began: float) -> None:
        reason = reason_of(error, job, read.staged)
        failed.append((job, reason))
        if isinstance(error, DamagedError):  # anything else is tried again next time
            record(job, read, began, reason)
        read.staged.close()
        on_event(PictureFailed(job.source, reason))

    def succeed(job: Job, began: float, notes: tuple[str, ...], read: Read) -> None:
        done.append(job)
        record(job, read, began)
        left = pace.left(read.pixels)
        on_event(PictureDone(job.source, job.target, time.monotonic() - began, notes, left))

    def record(job: Job, read: Read, began: float, error: str = "") -> None:
        manifested(plan, job, read.before, read.sha256, time.monotonic() - began, error)

    def finish(saving: "_Saving") -> None:
        try:
            notes = saving.notes.result()
        except (SincutError, MemoryError) as error:
            fail(saving.job, error, saving.read, saving.began)
        else:
            succeed(saving.job, saving.began, notes, saving.read)

    on_its_way: _Saving | None = None
    with (
        ThreadPoolExecutor(1) as decoder,
        ThreadPoolExecutor(1) as encoder,
        contextlib.closing(
            _decoding(plan.jobs, decoder, lambda job: read(job, translator, options, hashed))
        ) as reading,
    ):
        for job, coming in reading:
            if stop():
                break
            began, translated = time.monotonic(), None
            found = coming.result()
            try:
                if found.error is not None:
                    raise found.error
                make_folder(found.staged.target.parent, ImageError)
                if plan.manifest is not None:
                    plan.manifest.begin(job.source, job.target)
                if found.picture is None:
                    if on_its_way:
                        finish(on_its_way)
                        on_its_way = None
                    notes = apply_staged(found.staged, translator, options, saving, _named(on_event, job))
                    succeed(job, began, notes, found)
                else:
                    translated = translator.apply_loaded(found.picture, job.source, job.target, options, on_event)
                    found = replace(found, picture=None)
            except (SincutError, MemoryError) as error:
                fail(job, error, found, began)
            if on_its_way:
                finish(on_its_way)
            written = encoder.submit(save, translated, found.staged, saving) if translated else None
            on_its_way = _Saving(job, began, written, found) if written else None
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

    Goes through temporary files, so that memory is bounded as everywhere. Returns notes on conversions too. Raises
    `ImageError`.
    """
    with tempfile.TemporaryDirectory() as place:
        source = Path(place, "stdin")
        source.write_bytes(data)
        try:
            suffix = f".{format_}" if format_ else reading.suffix_of(source)
            target = Path(place, f"stdout{suffix}")
            notes = translator.apply_file(source, target, options, saving)
        except (ImageError, MemoryError) as error:
            what = str(error).removeprefix(f"{source}: ") or "does not fit into memory; use a smaller picture"
            raise ImageError(f"-: {what.replace(str(source), '-')}") from None
        return target.read_bytes(), notes


@dataclass(frozen=True)
class _Saving:
    """A translated picture on its way into its file."""

    job: Job
    began: float
    notes: "Future[tuple[str, ...]]"
    read: "Read"


@dataclass(frozen=True)
class Read:
    """What is known of a source: size and time of its file, its hash, and the picture or what went wrong.

    Without a picture and an error, there is no room for it beside what is in memory now.
    """

    staged: Staged
    before: tuple[int, int] = (0, 0)
    sha256: str = ""
    picture: Picture | None = None
    pixels: int = 0
    error: SincutError | MemoryError | None = None


class Pace:
    """How long the rest will take, by pixels."""

    def __init__(self, total: int, count: int) -> None:
        self.total, self.count, self.pixels, self.pictures = total, count, 0, 0
        self.began = time.monotonic()

    def left(self, pixels: int) -> float:
        """Seconds, after one more picture of so many pixels."""
        self.pixels += pixels
        self.pictures += 1
        if self.pictures == self.count or not self.pixels:
            return 0.0
        left = max(self.total - self.pixels, self.pixels / self.pictures)  # at least one more of their mean size
        return (time.monotonic() - self.began) / self.pixels * left


def _decoding(
    jobs: tuple[Job, ...], pool: Executor, read: Callable[[Job], Read]
) -> Generator[tuple[Job, Future[Read]], None, None]:
    """Each job with its picture to come; the next one is read while the caller works on one.

    Closed before its end, it removes the temporary files of those that are not done.
    """
    ahead = deque(pool.submit(read, job) for job in jobs[:1])
    try:
        for index, job in enumerate(jobs):
            ahead.extend(pool.submit(read, job) for job in jobs[index + 1 : index + 2])
            yield job, ahead[0]
            ahead.popleft()
    finally:
        for coming in ahead:
            if not coming.cancel():
                with contextlib.suppress(Exception):  # the caller is ending, for a reason of its own
                    coming.result().staged.close()


def read(job: Job, translator: Translator, options: Options, hashed: bool = True) -> Read:
    """Fetch and decode the source of a job; whatever goes wrong with it is told in the result."""
    found = Read(Staged(job.source, job.target))
    source = found.staged.source
    try:
        found = replace(found, before=stat_of(job.source) or (0, 0))
        found.staged.fetch()
        found = replace(found, sha256=sha256(source) if hashed and found.before[0] else "")
        h, w = reading.size_of(source, options.max_pixels)
        formats.check_fits_format(found.staged.target, (h, w))
        fits = translator.fits((h, w), options, reading.bytes_in_memory(source))
        picture = reading.load(source, options.max_pixels) if fits else None
        return replace(found, picture=picture, pixels=h * w)
    except (SincutError, MemoryError) as error:
        return replace(found, error=error)
    except OSError as error:
        return replace(found, error=ImageError(f"{job.source}: cannot be read ({error.strerror}); check it"))


def apply_staged(
    staged: Staged, translator: Translator, options: Options, saving: Saving, on_event: Listener
) -> tuple[str, ...]:
    """Translate from file to file, and put the result in its place. Raises `ImageError`."""
    notes = translator.apply_file(staged.source, staged.target, options, saving, on_event)
    staged.publish()
    staged.close()
    return notes


def save(picture: Picture, staged: Staged, saving: Saving) -> tuple[str, ...]:
    """Write a translated picture, put it in its place, and return all notes on it. Raises `ImageError`."""
    try:
        notes = picture.notes + writing.save(picture, staged.target, saving)
        staged.publish()
    finally:
        staged.close()
    return notes


def _named(on_event: Listener, job: Job) -> Listener:
    """Tells of the job's own names where a picture is worked on under others."""
    return lambda event: on_event(
        replace(event, source=job.source, target=job.target) if isinstance(event, PictureStarted) else event
    )


def reason_of(error: Exception, job: Job, staged: Staged) -> str:
    """Why a picture failed, in a line that names it."""
    reason = staged.told(str(error)) or f"{job.source}: does not fit into memory; use a smaller picture"
    return reason if str(job.source) in reason or str(job.target) in reason else f"{job.source}: {reason}"


def _jobs_of(
    path: AnyPath, naming: Naming, wanted: Callable[[PurePath], bool], refused: list[str],
    arrived: Collection[Path] | None = None,
) -> Iterator[Job]:  # fmt: skip
    if path.is_file():
        if arrived is None:
            yield Job(path, naming.target(path, PurePath()))
        return
    root = naming.root([path])
    if naming.output is not None and root is not None and _lies_in(root, path):
        raise RunError(f"{root}: lies in {path}, and results would be taken for sources; give -o a place outside")
    found = arrived is not None
    sources: Iterable[AnyPath] = _files(path, refused) if arrived is None else sorted(arrived)
    for source in sources:
        if not source.is_relative_to(path):
            continue
        below = source.relative_to(path)
        if _is_picture(below) and wanted(below):
            found = True
            yield Job(source, naming.target(source, below.parent))
    if not found:
        known = ", ".join(sorted(SUFFIXES))
        raise ImageError(
            f"{path}: holds no pictures ({known}) that are asked for; check the path, --include, --exclude"
        )


def _lies_in(place_: AnyPath, folder: AnyPath) -> bool:
    if isinstance(place_, Path) and isinstance(folder, Path):
        return place_.resolve().is_relative_to(folder.resolve())
    return isinstance(place_, Url) and isinstance(folder, Url) and place_.is_relative_to(folder)


def _is_picture(below: PurePath) -> bool:
    """Whether a file below a folder is taken: its suffix is known, and neither it nor a folder around it is hidden."""
    return below.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in below.parts)


def _files(folder: AnyPath, refused: list[str]) -> Iterator[AnyPath]:
    """Files below a folder, in order; hidden folders are not looked into, links to folders not followed.

    What has no name here is left out, and told in `refused`.
    """

    def refuse(error: OSError) -> None:
        raise ImageError(f"{error.filename}: this folder cannot be read ({error.strerror}); check its permissions")

    if isinstance(folder, Url):
        yield from folder.files(refused.append)
        return
    for here, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(here, name) for name in sorted(files))


def _refuse_collisions(jobs: list[Job], in_place: bool) -> None:
    taken: dict[str, AnyPath] = {}
    sources = set() if in_place else {_real(job.source) for job in jobs}
    for job in jobs:
        if in_place:
            writable_format(job.target)
        elif _real(job.target) in sources or _is_one_file(job.target, job.source):
            raise RunError(
                f"{job.target}: an input would be overwritten by a translation; give -o another folder or name, "
                "or --in-place"
            )
        key = str(job.target) if isinstance(job.target, Url) else os.path.normcase(job.target.absolute())
        if key in taken:
            raise RunError(
                f"{taken[key]} and {job.source} would both be written to {job.target}; translate them into two folders"
            )
        taken[key] = job.source


def _real(path: AnyPath) -> str:
    return str(path) if isinstance(path, Url) else os.path.realpath(path)


def _is_one_file(target: AnyPath, source: AnyPath) -> bool:
    """Whether two names of this machine stand for one file, as hard links do."""
    if isinstance(target, Url) or isinstance(source, Url):
        return False
    return target.exists() and target.samefile(source)
