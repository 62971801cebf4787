"""Planning a batch: every (source, target) pair, before the first pixel.

A plan mirrors the tree of each input folder, or follows a pattern. It refuses two sources with one target, a source
that would be overwritten by a translation, and results among the sources. Outputs that the manifest in the output
folder knows as made by this model with these options are skipped.
"""

import os
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sincut.batch.manifest import BEGUN, DONE, FAILED, Manifest
from sincut.batch.naming import Job, Naming
from sincut.batch.recipe import Known, known_model, recipe_of
from sincut.batch.remote import AnyPath, Staged, Url, exists, listings, place
from sincut.batch.sources import Filter, jobs_of
from sincut.errors import ConfigError, ImageError, RunError
from sincut.model.file import is_model
from sincut.pictures import reading
from sincut.pictures.formats import writable_format
from sincut.pictures.opening import MAX_PIXELS
from sincut.pictures.writing import Saving
from sincut.translation.options import PLAIN, Options
from sincut.translation.translator import Translator

SAMPLED = 1000  # pictures whose size is looked at, to say how much there is to do
FETCHED = 8  # of these, at most, where each has to be brought here
TO_DO = ""  # beside DONE and FAILED of the manifest


@dataclass(frozen=True)
class Plan:
    """The jobs to do; those skipped, as their output is there or unknown to the manifest; those that failed before.

    `refused` holds a line on each object of a URL that has a name which no file can have.
    """

    jobs: tuple[Job, ...]
    skipped: tuple[Job, ...] = ()
    failed: tuple[Job, ...] = ()
    manifest: Manifest | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    refused: tuple[str, ...] = ()

    def pixels(self, max_pixels: int = MAX_PIXELS) -> int:
        """Pixels of all jobs, by the sizes that their files declare; of very many, estimated from a sample."""
        here = [job.source for job in self.jobs if not isinstance(job.source, Url)]
        there = [job.source for job in self.jobs if isinstance(job.source, Url)]
        return _pixels(here, len(here) // SAMPLED, max_pixels) + _pixels(there, -(-len(there) // FETCHED), max_pixels)


def _pixels(sources: Sequence[AnyPath], step: int, max_pixels: int) -> int:
    """Pixels of all sources, estimated from one in `step` of them; those that cannot be read are left out."""
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


class Memory:
    """The part of a plan that stays for the next one of the same command, as with `--watch`.

    Manifests, of which then only new lines are read, and the models as they were when they were loaded.
    """

    def __init__(self) -> None:
        self.manifests: dict[AnyPath, Manifest] = {}
        self.models: dict[Path, Known] = {}

    def manifest(self, folder: AnyPath) -> Manifest:
        """The manifest of an output folder as it is now. Raises `RunError` where it cannot be read."""
        if folder in self.manifests:
            self.manifests[folder].refresh()
        else:
            self.manifests[folder] = Manifest.load(folder)
        return self.manifests[folder]

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
    inputs = list(inputs)
    with listings():
        for path in inputs:
            if not exists(path):
                raise ImageError(f"{path}: there is no such file or folder, or it cannot be read; check the path")
        root, refused = naming.root(inputs), list[str]()
        jobs = _jobs(inputs, naming, Filter(tuple(include), tuple(exclude)), refused, arrived)
        _refuse_collisions(jobs, in_place=naming.output is None)
        manifest = (memory or Memory()).manifest(root) if root is not None and recipe is not None else None
        if isinstance(root, Url):
            deque(root.files(), 0)  # one listing, instead of asking for each output
        states = _States(manifest, recipe or {}, overwrite, retry_failed)
        sorted_: dict[str, list[Job]] = {TO_DO: [], DONE: [], FAILED: []}
        for job in jobs:
            sorted_[states.of(job)].append(job)
    todo, done, failed = (tuple(sorted_[state]) for state in (TO_DO, DONE, FAILED))
    return Plan(todo, done, failed, manifest, recipe or {}, tuple(refused))


def _jobs(
    inputs: list[AnyPath], naming: Naming, wanted: Filter, refused: list[str], arrived: Collection[Path] | None
) -> list[Job]:
    if naming.is_file and len(inputs) == 1 and inputs[0].is_file():
        assert naming.output is not None
        writable_format(naming.output)
        return [Job(inputs[0], naming.output)]
    if naming.is_file or (isinstance(naming.output, Path) and os.path.isfile(naming.output)):
        raise RunError(f"{naming.output}: several pictures need a folder to go to; give -o a folder")
    return [job for path in inputs for job in jobs_of(path, naming, wanted, refused, arrived)]


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
    format_: str | None = None, memory: Memory | None = None, **filters: Any,
) -> list[tuple[Path, Plan]]:  # fmt: skip
    """Each model with its plan, made as `make_plan` does with these `filters`.

    Raises `ConfigError` where several models would write to the same files, and for dials that a model has not.
    """
    if len(models) > 1 and "{model}" not in str(output):
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
        own = place(str(output).replace("{model}", name)) if output is not None else None
        recipe = recipe_of(memory.model(model), options, saving)
        planned.append((model, make_plan(inputs, Naming(own, format_, name), recipe=recipe, memory=memory, **filters)))
    return planned


def forecast(plan: Plan, translator: Translator, options: Options = PLAIN) -> dict[str, Any]:
    """A plan in figures: counts, megapixels, and the expected seconds, measured on a tile or two."""
    pixels = plan.pixels(options.max_pixels)
    return {
        "to do": len(plan.jobs),
        "done": len(plan.skipped),
        "failed before": len(plan.failed),
        "megapixels": round(pixels / 1e6, 3),
        "seconds": round(pixels * translator.probe(options)),
    }


@dataclass(frozen=True)
class _States:
    """Tells jobs to do from those that are done or failed before, by the manifest and by the outputs that exist."""

    manifest: Manifest | None
    recipe: Mapping[str, Any]
    overwrite: bool
    retry_failed: bool

    def of(self, job: Job) -> str:
        """DONE, FAILED or TO_DO."""
        in_place = job.source == job.target
        if self.overwrite:
            return TO_DO
        if self.manifest is None:
            return DONE if not in_place and exists(job.target) else TO_DO
        status = self.manifest.status(job.target)
        if status == DONE:
            return DONE if self.manifest.is_done(job.source, job.target, self.recipe) else TO_DO
        if status == FAILED and not self.retry_failed and self.manifest.is_unchanged(job.source, job.target):
            return FAILED
        if status == BEGUN:  # cut off by a crash; in place, the source may have been replaced already
            return DONE if in_place and not self.manifest.is_unchanged(job.source, job.target) else TO_DO
        return DONE if status != FAILED and not in_place and exists(job.target) else TO_DO


def _refuse_collisions(jobs: list[Job], in_place: bool) -> None:
    """Raise `RunError` where a target is that of two sources, or is a source, but its own `in_place`."""
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
    """True if two paths of this machine stand for one file, as hard links do."""
    if isinstance(target, Url) or isinstance(source, Url):
        return False
    try:
        return target.samefile(source)
    except OSError:  # one of them is not there, or may not be looked at
        return False
