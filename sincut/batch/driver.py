"""A plan on many machines, with Ray (the extra `sincut[ray]`, https://docs.ray.io).

Workers are actors of Ray that hold the model, each with some processors or a GPU. The driver keeps a few pictures in
flight for each of them, and alone writes the manifest: so a picture whose worker died is simply done again, none stands
twice in the manifest, and none is missing. A worker that died is replaced by a new one. Machines are started and given
back by Ray. Model and mask are sent to the workers; sources and targets are URLs, or files on a file system that all
machines share.
"""

import contextlib
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sincut import __version__
from sincut.batch.naming import Job
from sincut.batch.plan import Plan
from sincut.batch.ray_ import Pool, first_line, joined, needs, room
from sincut.batch.remote import AnyPath, Url
from sincut.batch.tally import Tally, clear, held
from sincut.batch.work import Outcome
from sincut.batch.worker import Worker
from sincut.errors import ImageError, ModelError, RunError
from sincut.events import Listener, Warned, ignore
from sincut.files import read_whole, stat_of
from sincut.model.file import model_path
from sincut.pictures.writing import AS_IT_CAME, Saving
from sincut.translation.loading import load_model
from sincut.translation.options import PLAIN, Options

IN_FLIGHT = 3  # pictures for each worker: one is read, one translated, one written
DEATHS = 3  # of workers over one picture, before it counts as failed
STILLBORN = 3  # give up after so many failed starts and one more for each worker
LEAVE_SECONDS = 5.0  # for all workers together
PATIENCE = 30.0  # seconds without any worker, after which that is told


def run(
    plan: Plan,
    model: Path,
    pool: Pool,
    options: Options = PLAIN,
    saving: Saving = AS_IT_CAME,
    on_event: Listener = ignore,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[list[Job], list[tuple[Job, str]]]:
    """Translate all jobs on a Ray cluster; returns as `pipe.run` those done, and those failed with the reason.

    Raises `RunError` as `joined` does, and where workers cannot be started, and `ModelError` for a bad model.
    """
    if not plan.jobs:
        Tally(plan, options.max_pixels, on_event)
        return [], []
    for job in plan.jobs:
        if job.source == job.target:  # a worker may die between replacing a picture and saying so
            raise RunError(f"{job.source}: a picture sent again would be translated twice; give -o another folder")
        for path in (job.source, job.target):
            if isinstance(path, Url) and path.scheme == "memory":
                raise RunError(f"{path}: is in the memory of one process, where no worker sees it")
    load_model(model)  # a bad one is told before any machine starts
    with joined(pool) as ray, held(plan):
        driver = _Driver(ray, plan, model, pool, options, saving, on_event)
        try:
            return driver.run(stop)
        finally:
            driver.end()
            clear(plan)  # of what killed workers were writing


@dataclass(eq=False)
class _Seat:
    """A worker, and the pictures that it has."""

    actor: Any
    jobs: dict[Any, Job] = field(default_factory=dict)


class _Driver:
    """The owner of the workers: it hands out pictures, and takes in how each of them ended."""

    def __init__(
        self, ray: Any, plan: Plan, model: Path, pool: Pool, options: Options, saving: Saving, on_event: Listener
    ) -> None:
        self.ray, self.plan, self.pool, self.saving, self.on_event = ray, plan, pool, plan.signed(saving), on_event
        self.max_pixels = options.max_pixels
        weights = read_whole(model_path(model), ModelError)
        mask = (str(options.mask), read_whole(options.mask, ImageError)) if options.mask else None
        self.arguments = ray.put(weights), ray.put(mask), replace(options, mask=None), pool.cpus, pool.gpus
        limits = {"num_cpus": pool.cpus, "num_gpus": pool.gpus, "max_concurrency": IN_FLIGHT, "max_restarts": 0}
        self.kind = ray.remote(**limits)(Worker)
        self.count = max(1, min(pool.workers or room(ray, pool), len(plan.jobs)))
        self.starting: dict[Any, _Seat] = {}  # by the reference of its `hello`
        self.seats: list[_Seat] = []  # workers that have started
        self.flying: dict[Any, _Seat] = {}  # by the references of the pictures that it has
        self.waiting = deque(plan.jobs)
        self.suspects = deque[Job]()  # over which a worker died
        self.deaths: dict[Job, int] = {}  # of workers, by the picture
        self.stillborn, self.began, self.warned = 0, time.monotonic(), False

    def run(self, stop: Callable[[], bool]) -> tuple[list[Job], list[tuple[Job, str]]]:
        """Have the jobs done until `stop()`; returns those done, and those failed with a reason. Raises `RunError`."""
        self.tally = Tally(self.plan, self.max_pixels, self.on_event, self.saving.keep_times)
        for _ in range(self.count):
            self._start()
        while self.waiting or self.suspects or self.flying:
            if stop():  # what is in work is finished
                self.waiting.clear()
                self.suspects.clear()
                if not self.flying:
                    break
            for reference in self._ready():
                if reference in self.starting:
                    self._welcome(reference)
                elif reference in self.flying:
                    self._hear(reference)
            self._tell_of_waiting()
        return self.tally.done, self.tally.failed

    def end(self) -> None:
        """Give the workers back."""
        if farewells := [seat.actor.leave.remote() for seat in self.seats if not seat.jobs]:
            with contextlib.suppress(self.ray.exceptions.RayError):
                self.ray.wait(farewells, num_returns=len(farewells), timeout=LEAVE_SECONDS)
        for seat in (*self.seats, *self.starting.values()):
            self._kill(seat)

    def _start(self) -> None:
        seat = _Seat(self.kind.remote(*self.arguments))
        self.starting[seat.actor.hello.remote()] = seat

    def _ready(self) -> list[Any]:
        """Calls to workers that have been answered, after up to a second."""
        references = [*self.flying, *self.starting]
        if not self.ray.wait(references, num_returns=1, timeout=1.0)[0]:
            return []
        answered: list[Any] = self.ray.wait(references, num_returns=len(references), timeout=0)[0]
        return answered

    def _welcome(self, reference: Any) -> None:
        """Give pictures to a worker that has started; if it could not, start another one. Raises `RunError`."""
        seat = self.starting.pop(reference)
        try:
            version = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            self.stillborn += 1
            if self.stillborn >= STILLBORN + self.count:
                why = "every machine needs sincut, and memory for each worker"
                raise RunError(f"workers die before they begin ({first_line(error)}); {why}") from None
            self._start()
            return
        if version != __version__:
            raise RunError(f"a worker has sincut {version}, this is {__version__}; install the same on every machine")
        self.seats.append(seat)
        self._hand_out(seat)

    def _hand_out(self, seat: _Seat) -> None:
        """Pictures to a worker: several as long as there are many; one over which a worker has died goes alone."""
        while self.waiting and len(seat.jobs) < min(IN_FLIGHT, 1 + len(self.waiting) // self.count):
            self._send(seat, self.waiting.popleft())
        if self.suspects and not seat.jobs:
            self._send(seat, self.suspects.popleft())

    def _send(self, seat: _Seat, job: Job) -> None:
        if job not in self.deaths:
            self.tally.begin(job)
        reference = seat.actor.translate.remote(_absolute(job.source), _absolute(job.target), self.saving)
        seat.jobs[reference] = job
        self.flying[reference] = seat

    def _hear(self, reference: Any) -> None:
        """Take in how one picture ended, or that its worker did."""
        seat = self.flying[reference]
        try:
            outcome = self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:  # a bug of ours, or of a library
            raise error.as_instanceof_cause() from None
        except self.ray.exceptions.RayError as error:  # the worker, or its machine, is gone
            self._lost(seat, first_line(error))
            return
        del self.flying[reference]
        self._note(seat.jobs.pop(reference), outcome)
        self._hand_out(seat)

    def _lost(self, seat: _Seat, reason: str) -> None:
        """All that this worker had is done again, by itself; another worker takes its place."""
        self.seats.remove(seat)
        self._kill(seat)  # it may be out of reach only
        for reference, job in seat.jobs.items():
            del self.flying[reference]
            self._again(job, reason)
        if self.waiting or self.suspects:
            self._start()
        for other in self.seats:
            self._hand_out(other)

    def _again(self, job: Job, reason: str) -> None:
        """Do a picture again over which a worker died, and perhaps because of it; give it up after `DEATHS`."""
        self.deaths[job] = self.deaths.get(job, 0) + 1
        if self.deaths[job] < DEATHS:
            self.on_event(Warned(f"{job.source}: its worker is gone, it is done again"))
            self.suspects.append(job)
            return
        remedy = "give workers more memory, or leave it out"
        self.tally.fail(job, f"{job.source}: {DEATHS} workers died over it ({reason}); {remedy}")

    def _note(self, job: Job, outcome: Outcome) -> None:
        error = outcome.error.replace(_absolute(job.source), str(job.source))
        written = outcome.written if isinstance(job.target, Url) else stat_of(job.target)
        if not error and written is None:
            error = f"{job.target}: was written by a worker, and is not to be seen here; use a shared folder or a URL"
        self.tally.end(job, replace(outcome, error=error, written=written))

    def _tell_of_waiting(self) -> None:
        """Say once that no worker starts: the cluster may be full, grow, or never have what is asked for."""
        if self.warned or self.seats or time.monotonic() - self.began < PATIENCE:
            return
        self.warned = True
        there, free = self.ray.cluster_resources(), self.ray.available_resources()
        has = ", ".join(f"{there.get(kind, 0):g} {kind}s ({free.get(kind, 0):g} free)" for kind in ("CPU", "GPU"))
        self.on_event(Warned(f"no worker is ready yet; each needs {needs(self.pool)}, there are {has}; still waiting"))

    def _kill(self, seat: _Seat) -> None:
        with contextlib.suppress(Exception):
            self.ray.kill(seat.actor)


def _absolute(path: AnyPath) -> str:
    return str(path) if isinstance(path, Url) else str(path.absolute())
