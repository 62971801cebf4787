"""What has become of a plan's pictures: held, written down, counted."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sincut.batch.naming import Job
from sincut.batch.plan import Plan
from sincut.batch.remote import Url
from sincut.errors import RunError
from sincut.events import BatchStarted, Listener, Warned
from sincut.files import locked, make_folder, remove_parts


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
