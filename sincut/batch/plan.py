"""Planning a batch: every (source, target) pair, before the first pixel.

A plan mirrors the tree of each input folder, or follows a pattern. It refuses two sources with one target, a source
that would be overwritten by a translation, and results among the sources. Outputs that the manifest in the output
folder knows as made by this model with these options are skipped.
"""

import os
from collections import Counter, deque
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sincut.batch.existing import REMEDY, is_made
from sincut.batch.manifest import BEGUN, DONE, FAILED, MANIFEST_FILE, Manifest
from sincut.batch.naming import Job, Naming, split_pattern, with_model
from sincut.batch.remote import AnyPath, Url, exists, listings
from sincut.batch.sources import REPEATED, REPLACED, TWICE, Filter, LeftOut, jobs_of
from sincut.batch.staged import Staged, is_stream
from sincut.errors import ConfigError, ImageError, RunError
from sincut.model.file import is_model
from sincut.pictures import reading
from sincut.pictures.formats import writable_format
from sincut.pictures.imprint import Imprint
from sincut.pictures.opening import MAX_PIXELS
from sincut.pictures.writing import Saving
from sincut.translation.options import PLAIN, Options
from sincut.translation.recipe import Known, imprint_by, known_model, recipe_of
from sincut.translation.translator import Translator

SAMPLED = 1000  # pictures whose size is looked at, to say how much there is to do
FETCHED = 8  # of these, at most, where each has to be brought here
TO_DO = ""  # beside DONE and FAILED of the manifest


@dataclass(frozen=True)
class Plan:
    """The jobs to do; those skipped, as their output is there or unknown to the manifest; those that failed before.

    `warnings` are lines on what was left out, `left_out` counts of files by their suffix, and `unread` what cannot be
    read, each with the reason: a failure that costs the other pictures nothing.
    """

    jobs: tuple[Job, ...]
    skipped: tuple[Job, ...] = ()
    failed: tuple[Job, ...] = ()
    manifest: Manifest | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    imprint: Imprint | None = None  # of each output, but its source
    warnings: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    unread: tuple[tuple[AnyPath, str], ...] = ()

    def signed(self, saving: Saving) -> Saving:
        """The choices of a user with what outputs say of their making, as far as it is the same for all."""
        return saving if self.imprint is None else replace(saving, imprint=self.imprint)

    def pixels(self, max_pixels: int = MAX_PIXELS) -> int:
        """Pixels of all jobs, by the sizes that their files declare; of very many, estimated from a sample."""
        here = [job.source for job in self.jobs if not isinstance(job.source, Url)]
        there = [job.source for job in self.jobs if isinstance(job.source, Url)]
        return _pixels(here, len(here) // SAMPLED, max_pixels) + _pixels(there, -(-len(there) // FETCHED), max_pixels)


def _pixels(sources: Sequence[AnyPath], step: int, max_pixels: int) -> int:
    """Pixels of all sources, estimated from one in `step` of them; those that cannot be read are left out."""
    sizes = []
    for source in sources[:: max(1, step)]:
        if is_stream(source):  # can be read only once
            continue
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


class Memory:
    """The part of a plan that stays for the next one of the same command, as with `--watch`.

    Manifests, of which then only new lines are read, the models as they were when they were loaded, and what was told
    of what is left out, which is told once.
    """

    def __init__(self) -> None:
        self.manifests: dict[AnyPath, Manifest] = {}
        self.models: dict[Path, Known] = {}
        self.told: set[str] = set()  # of what is left out: lines, and suffixes

    def manifest(self, folder: AnyPath) -> Manifest:
        """The manifest of an output folder as it is now. Raises `RunError` where it cannot be read."""
        if folder in self.manifests:
            self.manifests[folder].refresh()
        else:
            self.manifests[folder] = Manifest.load(folder)
        return self.manifests[folder]

    def news(self, left_out: LeftOut, kinds: Container[str]) -> tuple[tuple[str, ...], tuple[tuple[AnyPath, str], ...]]:
        """Lines on what is left out, and on files of these kinds, and what cannot be read; nothing is told twice."""
        counts = Counter({kind: count for kind, count in left_out.kinds.items() if kind in kinds})
        lines = tuple(line for line in replace(left_out, kinds=counts).warnings() if line not in self.told)
        unread = tuple((path, reason) for path, reason in left_out.unread.items() if reason not in self.told)
        self.told |= {*lines, *left_out.kinds, *left_out.unread.values()}
        return lines, unread

    def model(self, path: Path) -> Known:
        """A model as it was when first asked for. Raises `ModelError` where it cannot be read."""
        if path not in self.models:
            self.models[path] = known_model(path)
        return self.models[path]


def make_plan(
    inputs: Iterable[AnyPath],
    naming: Naming,
    overwrite: bool = False,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    recipe: Mapping[str, Any] | None = None,
    retry_failed: bool = False,
    arrived: Collection[Path] | None = None,
    memory: Memory | None = None,
) -> Plan:
    """The plan for files and folders.

    Folders are taken with everything below them; of what lies there, only names or paths that match one of `include`
    (all, without any) and none of `exclude` (shell patterns), and with `arrived` only these files. Formats that are not
    written become PNG, HEIC becomes JPEG. Without `overwrite`, what the manifest knows as done by this `recipe` is
    skipped, and so is an output that it does not know; what failed before is left alone until its source changes,
    unless `retry_failed`. Without a `recipe` there is no manifest. A source in a folder that cannot be read is a job
    like any other, and fails as such. Raises `ImageError` for an input that is not there and `RunError` for targets
    that collide.
    """
    given, memory, left_out = list(inputs), memory or Memory(), LeftOut()
    if stream := next((path for path in (*given, naming.output) if path is not None and is_stream(path)), None):
        return _stream_plan(given, naming, overwrite, stream)
    with listings():
        there = _there(given, naming, left_out)
        root = naming.root(there)
        _refuse_file_as_folder(naming, root)
        if len(given) > 1 or not there[0].is_file():
            _refuse_one_file(naming)
        jobs = _jobs(there, naming, Filter(tuple(include), tuple(exclude)), left_out, arrived)
        manifest = memory.manifest(root) if root is not None and recipe is not None else None
        if isinstance(root, Url):
            deque(root.files(), 0)  # one listing, instead of asking for each output
        states = _States(manifest, recipe, overwrite, retry_failed)
        sorted_: dict[str, list[Job]] = {TO_DO: [], DONE: [], FAILED: []}
        for job in jobs:
            sorted_[states.of(job)].append(job)
    todo, done, failed = (tuple(sorted_[state]) for state in (TO_DO, DONE, FAILED))
    kinds = left_out.kinds if arrived is None else left_out.kinds.keys() - memory.told
    warnings, unread = memory.news(left_out, kinds)
    told = (*states.told, *warnings)
    return Plan(todo, done, failed, manifest, recipe or {}, None, told, left_out.kinds, unread)


def _stream_plan(inputs: Sequence[AnyPath], naming: Naming, overwrite: bool, stream: AnyPath) -> Plan:
    """The plan for one picture that comes from a stream, or goes into one; no manifest knows of it.

    Raises `ConfigError` for several pictures and for a place without a name, and else as `make_plan`.
    """
    usage = "give one picture and one place, as in sincut apply MODEL - -o FILE, or -o - for stdout"
    if len(inputs) > 1 or naming.output is None:
        raise ConfigError(f"{stream}: is a stream, which holds one picture and is not replaced; {usage}")
    source, target = inputs[0], naming.output
    if not is_stream(source):
        if not exists(source):
            raise ImageError(f"{source}: there is no such file, or it cannot be read; check the path")
        if not source.is_file():
            raise ConfigError(f"{source}: is a folder, and {stream} takes one picture; {usage}")
    if is_stream(target):
        return Plan((Job(source, target, f".{naming.format_}" if naming.format_ else ""),))
    file = naming.file()
    if file is None:
        raise ConfigError(f"-o {target}: is no file, and a picture from {source} has no name of its own; {usage}")
    if exists(file) and not overwrite:
        raise RunError(f"{file}: is there already, and {source} can be read only once, to make it; {REMEDY}")
    return Plan((Job(source, file),))


def _there(inputs: Sequence[AnyPath], naming: Naming, left_out: LeftOut) -> list[AnyPath]:
    """The inputs that are there; in place, links to files become what they lead to.

    Others are noted as unread. Raises `ImageError` where none is there.
    """
    there: list[AnyPath] = []
    for path in inputs:
        try:
            missing = not exists(path)
        except ImageError as error:  # a URL that cannot be reached
            left_out.unread[path] = str(error)
            continue
        if missing:
            left_out.unread[path] = f"{path}: there is no such file or folder, or it cannot be read; check the path"
        elif naming.output is None and isinstance(path, Path) and path.is_symlink() and path.is_file():
            left_out.note(REPLACED, path)
            there.append(Path(os.path.realpath(path)))
        else:
            there.append(path)
    if not there:
        raise ImageError(next(iter(left_out.unread.values())))
    return there


def _refuse_one_file(naming: Naming) -> None:
    """Raise `RunError` where the output is one file, and not a place for several."""
    if naming.is_file or (isinstance(naming.output, Path) and os.path.isfile(naming.output)):
        raise RunError(f"{naming.output}: several pictures need a folder to go to; give -o a folder")


def _refuse_file_as_folder(naming: Naming, root: AnyPath | None) -> None:
    """Raise `RunError` where the folder of all outputs, or one that it lies in, is a file."""
    if not isinstance(root, Path):
        return
    there = next((path for path in (root, *root.parents) if os.path.lexists(path)), root)
    if naming.output is not None and os.path.isfile(there):
        remedy = "give -o a folder, or for one picture a name that ends in .png, .jpg, .webp or .tif"
        raise RunError(f"{there}: is a file, and no folder for translations; {remedy}")


def _jobs(
    inputs: list[AnyPath], naming: Naming, wanted: Filter, left_out: LeftOut, arrived: Collection[Path] | None
) -> list[Job]:
    """The jobs of all inputs, each real file once. Raises `ImageError` where there are none, and for collisions."""
    file = naming.file() if len(inputs) == 1 and inputs[0].is_file() else None
    if file is not None:
        jobs = [Job(inputs[0], file)]
    else:
        jobs = [job for path in inputs for job in jobs_of(path, naming, wanted, left_out, arrived)]
    if not jobs and arrived is None:
        raise ImageError([*left_out.unread.values(), *left_out.empty][0])
    left_out.lines += left_out.empty
    return _each_once(jobs, naming, left_out)


def _each_once(jobs: Sequence[Job], naming: Naming, left_out: LeftOut) -> list[Job]:
    """The jobs without those of a file that is done already by another name. Raises `RunError` for collisions."""
    real = _Real()
    sources = [real(job.source) for job in jobs]
    linked = [isinstance(job.source, Path) and os.path.islink(job.source) for job in jobs]
    themselves = {source for source, link in zip(sources, linked, strict=True) if not link}
    targets: dict[str, AnyPath] = {}  # of the sources that are taken
    kept = []
    for job, source, link in zip(jobs, sources, linked, strict=True):
        if link and not os.path.exists(source):  # leads nowhere: fails as such
            kept.append(job)
        elif link and (source in themselves or source in targets):
            left_out.note(REPEATED, job.source)
        elif source in targets:
            left_out.note(TWICE, job.source) if targets[source] != job.target else None
        else:
            targets[source] = job.target
            kept.append(job)
    _refuse_collisions(kept, {*sources}, real, in_place=naming.output is None)
    return kept


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
    return not isinstance(path, Url) and is_model(path)


def make_plans(
    models: Sequence[Path], inputs: Sequence[AnyPath], output: AnyPath | None, options: Options, saving: Saving, *,
    format_: str | None = None, is_folder: bool = False, memory: Memory | None = None, **filters: Any,
) -> list[tuple[Path, Plan]]:  # fmt: skip
    """Each model with its plan, made as `make_plan` does with these `filters` and a `Naming` of the other arguments.

    Raises `ConfigError` where several models would write to the same files, and for dials that a model has not, and
    `RunError` where a translation would replace the mask of the options.
    """
    if len(models) > 1 and (stream := next(filter(is_stream, inputs), None)):
        raise ConfigError(f"{stream}: is a stream, which can be read only once; give one model at a time")
    if len(models) > 1 and (output is None or "{model}" not in split_pattern(output)[1]):
        raise ConfigError("several models need {model} in -o, as in -o styled/{model}/")
    memory = memory or Memory()
    planned: list[tuple[Path, Plan]] = []
    taken: dict[str, Path] = {}
    for model in models:
        name = (model if model.is_dir() else model.with_suffix("")).resolve().name
        if name in taken:
            raise ConfigError(
                f"{taken[name]} and {model} have one name, and so would their outputs; rename one of them"
            )
        taken[name] = model
        naming = Naming(with_model(output, name) if output is not None else None, format_, name, is_folder)
        recipe = recipe_of(memory.model(model), options, saving)
        if options.mask is not None and naming.is_file:  # before what is there is looked at
            assert naming.output is not None
            _refuse_mask(Plan((Job(inputs[0], naming.output),)), options.mask)
        plan = make_plan(inputs, naming, recipe=recipe, memory=memory, **filters)
        plan = replace(plan, imprint=imprint_by(memory.model(model), recipe))
        if options.mask is not None:
            _refuse_mask(plan, options.mask)
        planned.append((model, plan))
    return planned


def forecast(plan: Plan, translator: Translator, options: Options = PLAIN) -> dict[str, Any]:
    """A plan in figures: counts, megapixels, and the expected seconds, measured on a tile or two."""
    pixels = plan.pixels(options.max_pixels)
    return {
        "to do": len(plan.jobs),
        "done": len(plan.skipped),
        "failed before": len(plan.failed),
        "left out": sum(plan.left_out.values()),
        "megapixels": round(pixels / 1e6, 3),
        "seconds": round(pixels * translator.probe(options)),
    }


@dataclass(frozen=True)
class _States:
    """Tells jobs to do from those that are done or failed before, by the manifest and by the outputs that exist."""

    manifest: Manifest | None
    recipe: Mapping[str, Any] | None  # without one, nothing is known of outputs
    overwrite: bool
    retry_failed: bool
    told: list[str] = field(default_factory=list)  # why outputs are made anew
    others: dict[Path, Manifest] = field(default_factory=dict)  # of folders around sources that are replaced

    def of(self, job: Job) -> str:
        """DONE, FAILED or TO_DO."""
        in_place = job.source == job.target
        if self.overwrite:
            return TO_DO
        if self.manifest is None or self.recipe is None:
            if in_place or not _is_taken(job.target):
                return TO_DO
            return DONE if self.recipe is None or is_made(job, self.recipe, self.told) else TO_DO
        status = self.manifest.status(job.target)
        if in_place and isinstance(job.source, Path) and self._is_translated(job.source.absolute()):
            return DONE
        if status == DONE:
            return DONE if self.manifest.is_done(job.source, job.target, self.recipe) else TO_DO
        if status == FAILED and not self.retry_failed and self.manifest.is_unchanged(job.source, job.target):
            return FAILED
        if status == BEGUN:  # cut off by a crash; in place, the source may have been replaced already
            return DONE if in_place and not self.manifest.is_unchanged(job.source, job.target) else TO_DO
        return DONE if status != FAILED and not in_place and _is_taken(job.target) else TO_DO

    def _is_translated(self, path: Path) -> bool:
        """True if a manifest of any folder around a file knows that it was translated in place, and left as it is."""
        for folder in path.parents:
            if folder not in self.others:
                self.others[folder] = Manifest(folder)
                if os.path.isfile(folder / MANIFEST_FILE):
                    with suppress(RunError):  # of somebody else, and not to be read
                        self.others[folder].refresh()
            if self.others[folder].is_translated_in_place(path):
                return True
        return False


def _is_taken(target: AnyPath) -> bool:
    """True if a file is there already; a folder of that name is none, and the picture fails."""
    return exists(target) and (isinstance(target, Url) or not os.path.isdir(target))


class _Real:
    """Real paths of files: links are followed, those in a folder's path once for each folder."""

    def __init__(self) -> None:
        self.folders: dict[Path, str] = {}

    def __call__(self, path: AnyPath) -> str:
        if isinstance(path, Url):
            return str(path)
        if path.parent not in self.folders:
            self.folders[path.parent] = os.path.realpath(path.parent)
        real = os.path.join(self.folders[path.parent], path.name)
        return os.path.realpath(real) if os.path.islink(real) else real


def _refuse_collisions(jobs: Sequence[Job], sources: set[str], real: _Real, in_place: bool) -> None:
    """Raise `RunError` where a target is that of two sources, or is one of the `sources`, but its own `in_place`."""
    taken: dict[str, AnyPath] = {}
    for job in jobs:
        if in_place:
            _refuse_unwritten(job.target)
        elif real(job.target) in sources or _is_one_file(job.target, job.source):
            raise RunError(
                f"{job.target}: an input would be overwritten by a translation; give -o another folder or name, "
                "or --in-place"
            )
        key = str(job.target) if isinstance(job.target, Url) else os.path.normcase(job.target.absolute())
        if key in taken:
            raise RunError(
                f"{taken[key]} and {job.source} would both be written to {job.target}; give -o a pattern that tells "
                "them apart, as in 'styled/{folder}/{name}.png', or translate them into two folders"
            )
        taken[key] = job.source


def _refuse_mask(plan: Plan, mask: Path) -> None:
    """Raise `RunError` where a target is the file of the mask, by whatever path or link."""
    try:
        of_mask = mask.stat()
    except OSError:  # it is not there, and told as such when it is read
        return
    for job in (*plan.jobs, *plan.skipped, *plan.failed):
        with suppress(OSError):  # a target that is not there yet
            if isinstance(job.target, Path) and os.path.samestat(of_mask, job.target.stat()):
                way = "leave it out by --exclude" if job.source == job.target else "give -o another folder or name"
                raise RunError(f"{job.target}: the mask would be overwritten by a translation; {way}")


def _refuse_unwritten(path: AnyPath) -> None:
    """Raise `ImageError` for a picture that cannot be replaced, as its format is not written."""
    try:
        writable_format(path)
    except ImageError as error:
        raise ImageError(f"{error}, leave such files out by --exclude '*{path.suffix}', or give -o") from None


def _is_one_file(target: AnyPath, source: AnyPath) -> bool:
    """True if two paths of this machine stand for one file, as hard links do."""
    if isinstance(target, Url) or isinstance(source, Url):
        return False
    try:
        return target.samefile(source)
    except OSError:  # one of them is not there, or may not be looked at
        return False
