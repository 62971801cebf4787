"""A plan on this machine: while one picture is translated, the next is decoded and the one before encoded."""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from sincut.batch.naming import Job
from sincut.batch.plan import Plan
from sincut.batch.staged import is_stream
from sincut.batch.tally import Tally, held
from sincut.batch.work import Read, apply_staged, read, save
from sincut.devices import within_memory
from sincut.errors import ImageError, SincutError
from sincut.events import Event, Listener, PictureStarted, ignore
from sincut.files import make_folder
from sincut.pictures.picture import Picture
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

    A picture that does not fit into memory beside the others waits until its turn, and then goes from file to file if
    need be. One that fails never stops the rest; an error of `on_event` does. Raises `RunError` where the output folder
    is held by another process, or the manifest cannot be written.
    """
    with held(plan), _executor(plan) as decoder, _executor(plan) as encoder:
        pipe = _Pipe(plan, translator, options, plan.signed(saving), on_event, encoder)
        hashed = plan.manifest is not None or pipe.saving.imprint is not None
        coming = _decoding(plan.jobs, decoder, lambda job: read(job, translator, options, hashed))
        with contextlib.closing(coming):
            for job, picture in coming:
                if stop():
                    break
                pipe.take(job, picture.result())
            pipe.finish()
        return pipe.tally.done, pipe.tally.failed


class _AtOnce(Executor):
    """Work in the thread that hands it in: where a stream waits for its other end, Ctrl-C can end it there alone."""

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> "Future[Any]":
        """The work done already; its result, or the error that it raised."""
        done: Future[Any] = Future()
        try:
            done.set_result(work(*arguments, **named))
        except Exception as error:
            done.set_exception(error)
        return done


def _executor(plan: Plan) -> Executor:
    streams = any(is_stream(path) for job in plan.jobs[:1] for path in (job.source, job.target))
    return _AtOnce() if streams else ThreadPoolExecutor(1)


class _Guarded:
    """A listener whose own errors can be told from those of the work during which it was called."""

    def __init__(self, on_event: Listener) -> None:
        self.on_event = on_event
        self.error: Exception | None = None

    def __call__(self, event: Event) -> None:
        try:
            self.on_event(event)
        except Exception as error:
            self.error = error
            raise


@dataclass(frozen=True, eq=False)
class _Encoding:
    """A translated picture that is being written; its notes come when it is in its place."""

    job: Job
    read: Read
    began: float
    notes: "Future[tuple[str, ...]]"


class _Pipe:
    """Translates pictures that were read, one at a time, while the one before is being written."""

    def __init__(
        self, plan: Plan, translator: Translator, options: Options, saving: Saving, on_event: Listener,
        encoder: Executor,
    ) -> None:  # fmt: skip
        self.translator, self.options, self.saving, self.encoder = translator, options, saving, encoder
        self.on_event = _Guarded(on_event)
        self.tally = Tally(plan, options.max_pixels, on_event, saving.keep_times)
        self.encoding: _Encoding | None = None

    def take(self, job: Job, source: Read) -> None:
        """Translate a picture, and give it away to be written; where memory is short, go from file to file."""
        began = time.monotonic()
        try:
            if source.error is not None:
                raise source.error
            make_folder(source.staged.target.parent, ImageError)
            self.tally.begin(job)
            translated = None if source.picture is None else self._translated(job, source.picture)
        except (SincutError, MemoryError) as error:
            self._fail(job, source, error, began)
            self.finish()
            return
        source = replace(source, picture=None)
        self.finish()
        if translated is None:
            self._stream(job, source, began)
        else:
            notes = self.encoder.submit(save, translated, source.staged, source.signed(self.saving))
            self.encoding = _Encoding(job, source, began, notes)

    def _translated(self, job: Job, picture: Picture) -> Picture:
        with within_memory():
            return self.translator.apply_loaded(picture, job.source, job.target, self.options, self.on_event)

    def _stream(self, job: Job, source: Read, began: float) -> None:
        """Translate from file to file."""
        listener = _renamed(self.on_event, job)
        try:
            notes = apply_staged(source.staged, self.translator, self.options, source.signed(self.saving), listener)
        except (SincutError, MemoryError) as error:
            self._fail(job, source, error, began)
        else:
            self.tally.end(job, source.outcome(time.monotonic() - began, notes))

    def finish(self) -> None:
        """Wait for the picture that is being written, if there is one."""
        if self.encoding is None:
            return
        last, self.encoding = self.encoding, None
        try:
            notes = last.notes.result()
        except (SincutError, MemoryError) as error:
            self._fail(last.job, last.read, error, last.began)
        else:
            self.tally.end(last.job, last.read.outcome(time.monotonic() - last.began, notes))

    def _fail(self, job: Job, source: Read, error: SincutError | MemoryError, began: float) -> None:
        """Give a picture up; an error that is the listener's own is no fault of the picture, and ends the run."""
        if self.on_event.error is not None:
            raise self.on_event.error from None
        outcome = source.failure(error, time.monotonic() - began)
        source.staged.close()
        self.tally.end(job, outcome)


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


def _renamed(on_event: Listener, job: Job) -> Listener:
    """A listener that tells of the job's own names while the picture is worked on under others."""
    return lambda event: on_event(
        replace(event, source=job.source, target=job.target) if isinstance(event, PictureStarted) else event
    )
