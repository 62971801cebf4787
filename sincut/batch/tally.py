"""The accounts of a run: the output folder is held, each picture's end is told and written into the manifest."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sincut.batch.beside import keep_time
from sincut.batch.naming import Job
from sincut.batch.plan import Plan
from sincut.batch.remote import AnyPath, Url, stamp_of
from sincut.batch.work import Outcome
from sincut.errors import RunError
from sincut.events import BatchStarted, Listener, PictureDone, PictureFailed, Warned
from sincut.files import locked, make_folder, remove_parts


class Tally:
    """The jobs of a plan that are done or failed so far. Where a run begins, it tells `on_event` of the plan.

    Used wherever plans are carried out, so that manifest and events are the same on one machine and on many.
    """

    def __init__(self, plan: Plan, max_pixels: int, on_event: Listener, keep_times: bool = False) -> None:
        self.plan, self.on_event, self.keep_times = plan, on_event, keep_times
        self.done: list[Job] = []
        self.failed: list[tuple[Job, str]] = []
        pixels = plan.pixels(max_pixels)
        on_event(BatchStarted(len(plan.jobs), len(plan.skipped), len(plan.failed), pixels))
        tell(plan, on_event)
        self.pace = Pace(pixels, len(plan.jobs))

    def begin(self, job: Job) -> None:
        """Write down that a job's output will be written. Raises `RunError`."""
        if self.plan.manifest is not None:
            self.plan.manifest.begin(job.source, job.target)

    def end(self, job: Job, outcome: Outcome) -> None:
        """Write down and tell how a job ended; failures that may pass are not written. Raises `RunError`."""
        manifest, error = self.plan.manifest, outcome.error
        outcome, in_place = outcome if error else self._timed(job, outcome), job.source == job.target
        if manifest is not None and (not error or outcome.damaged):
            paths = job.source, outcome.before, outcome.sha256, job.target
            manifest.add(manifest.entry(*paths, self.plan.recipe, outcome.seconds, error, outcome.written))
        if error:
            self.fail(job, error)
            return
        if in_place and self.keep_times:
            keep_time(job.source, outcome.before[1], job.target)
        self.done.append(job)
        left = self.pace.left(outcome.pixels)
        self.on_event(PictureDone(job.source, job.target, outcome.seconds, outcome.notes, left))

    def _timed(self, job: Job, outcome: Outcome) -> Outcome:
        """The outcome of a picture whose output has got the time of its source, where that is asked for.

        In place it gets it after it was written down as done: before, a crash would leave a file that looks untouched.
        """
        if not self.keep_times:
            return outcome
        if job.source == job.target:
            stamp = stamp_of(job.target)
            return replace(outcome, written=(stamp[0], outcome.before[1]) if stamp else None)
        notes = keep_time(job.source, outcome.before[1], job.target)
        written = outcome.written if isinstance(job.target, Url) else stamp_of(job.target)
        return replace(outcome, notes=outcome.notes + notes, written=written)

    def fail(self, job: Job, reason: str) -> None:
        """Tell that a job failed, through no fault of its source: the manifest does not hear of it."""
        self.failed.append((job, reason))
        self.on_event(PictureFailed(job.source, reason))


def tell(plan: Plan, on_event: Listener) -> None:
    """Tell of what a plan leaves out, and of folders and inputs that cannot be read."""
    for line in plan.warnings:
        on_event(Warned(line))
    for path, reason in plan.unread:
        on_event(PictureFailed(path, reason))


class Pace:
    """The time that the rest of a run will take, by the pixels so far."""

    def __init__(self, total: int, count: int) -> None:
        self.total, self.count, self.pixels, self.pictures = total, count, 0, 0
        self.began = time.monotonic()

    def left(self, pixels: int) -> float:
        """Seconds that are left, after one more picture of so many pixels."""
        self.pixels += pixels
        self.pictures += 1
        if self.pictures == self.count or not self.pixels:
            return 0.0
        left = max(self.total - self.pixels, self.pixels / self.pictures)  # at least one more of their mean size
        return (time.monotonic() - self.began) / self.pixels * left


@dataclass
class Result:
    """The jobs of one plan or several, by how they ended, and what was no job.

    `unread` are folders and inputs that cannot be read, with the reason; `left_out` counts files of other kinds.
    """

    done: list[Job] = field(default_factory=list)
    skipped: list[Job] = field(default_factory=list)
    failed: list[tuple[Job, str]] = field(default_factory=list)
    failed_before: list[Job] = field(default_factory=list)
    jobs: int = 0
    unread: dict[AnyPath, str] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def left(self) -> int:
        """Number of pictures that were not reached."""
        return self.jobs - len(self.done) - len(self.failed)

    def add(self, plan: Plan, done: list[Job], failed: list[tuple[Job, str]]) -> None:
        """Add a plan, and what `run` gave for it."""
        self.jobs += len(plan.jobs)
        self.done += done
        self.failed += failed
        self.skipped += plan.skipped
        self.failed_before += plan.failed
        self.unread.update(plan.unread)
        self.left_out.update(plan.left_out)

    def summary(self) -> dict[str, Any]:
        """As plain values."""

        def names(jobs: list[Job]) -> list[dict[str, str]]:
            return [{"source": str(job.source), "target": str(job.target)} for job in jobs]

        failures = [*((job.source, reason) for job, reason in self.failed), *self.unread.items()]
        failed = [{"source": str(source), "error": reason} for source, reason in failures]
        parts = {"done": self.done, "skipped": self.skipped, "failed_before": self.failed_before}
        return {**{key: names(jobs) for key, jobs in parts.items()}, "failed": failed, "left_out": self.left_out}


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
    """Remove the unfinished files of killed processes; the output folder is held meanwhile."""
    for parent in {job.target.parent for job in plan.jobs}:
        if plan.manifest is not None and isinstance(parent, Path):
            remove_parts(parent)
