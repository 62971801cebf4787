"""A plan on this machine: while one picture is translated, the next is decoded and the one before encoded."""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from sincut.batch.naming import Job
from sincut.batch.plan import Plan
from sincut.batch.tally import Pace, begin, held, manifested
from sincut.batch.work import Read, apply_staged, read, reason_of, save
from sincut.errors import DamagedError, ImageError, SincutError
from sincut.events import Listener, PictureDone, PictureFailed, PictureStarted, ignore
from sincut.files import make_folder
from sincut.pictures.writing import AS_IT_CAME, Saving
from sincut.translation.options import PLAIN, Options
from sincut.translation.translator import Translator


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


@dataclass(frozen=True)
class _Saving:
    """A translated picture on its way into its file."""

    job: Job
    began: float
    notes: "Future[tuple[str, ...]]"
    read: "Read"


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


def _named(on_event: Listener, job: Job) -> Listener:
    """Tells of the job's own names where a picture is worked on under others."""
    return lambda event: on_event(
        replace(event, source=job.source, target=job.target) if isinstance(event, PictureStarted) else event
    )
