"""A plan on many machines, with Ray (the extra `sincut[ray]`, https://docs.ray.io).

A pool of actors holds the model, each with some processors or a GPU. The driver keeps a few pictures in flight for each
of them, hears what became of them, and alone writes the manifest: so a picture whose worker died is simply done again,
none stands twice in the manifest, and none is missing. It also starts a worker in the place of one that died. Starting
machines and giving them back is Ray's business. Model and mask are sent to the workers; sources and targets are URLs,
or files on a file system that all machines share.
"""

import contextlib
import io
import math
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from sincut import __version__
from sincut.batch import folder
from sincut.batch.folder import Job, Pace, Plan
from sincut.batch.manifest import stat_of
from sincut.batch.remote import AnyPath, Url, place
from sincut.devices import available_memory, use_fast_kernels, used_memory
from sincut.errors import DamagedError, ImageError, ModelError, RunError, SincutError
from sincut.events import Listener, PictureDone, PictureFailed, Warned, ignore
from sincut.files import make_folder, read_whole, write_whole
from sincut.model.model import MODEL_FILE, Model, model_path
from sincut.pictures.writing import AS_IT_CAME, Saving
from sincut.translation.translate import MEMORY_SHARE, PLAIN, Options, load

IN_FLIGHT = 3  # pictures for each worker: one is read, one translated, one written
DEATHS = 3  # of workers over one picture, before it counts as failed
STILLBORN = 3  # workers that died before their first picture, and more by as many as there are, before all is given up
DEFAULT_CPUS = 2.0  # for each worker
KNOCK_SECONDS = 10.0
LEAVE_SECONDS = 5.0  # for all workers together
PATIENCE = 30.0  # seconds without any worker, after which that is told
OBJECT_STORE = 2**28  # bytes, where Ray is started here: pictures do not go through it
RAY_THREAD = "ray_listen_error_messages"
FIRST_LINE = 300  # characters of what Ray has to say


@dataclass(frozen=True)
class Pool:
    """How many workers, and what each of them needs.

    `workers` None: as many as the cluster has room for now. `address` is that of a cluster, as in RAY_ADDRESS, which
    counts where there is none; without either, Ray is started on this machine and ended with the work.
    """

    workers: int | None = None
    cpus: float = DEFAULT_CPUS
    gpus: float = 0.0
    address: str | None = None


@dataclass(frozen=True)
class _Outcome:
    """What a worker tells of one picture. `damaged` says that the source is at fault."""

    before: tuple[int, int]
    sha256: str
    pixels: int
    seconds: float
    notes: tuple[str, ...] = ()
    written: tuple[int, int] | None = None
    error: str = ""
    damaged: bool = False


class _Worker:
    """The model in a process of its own, somewhere; while it translates one picture, others are read and written."""

    def __init__(
        self, model: bytes, mask: tuple[str, bytes] | None, options: Options, cpus: float, gpus: float
    ) -> None:
        torch.set_num_threads(max(1, int(cpus)))
        device = torch.device("cuda" if gpus else "cpu")
        use_fast_kernels(device)
        with tempfile.TemporaryDirectory(prefix="sincut-") as temporary:  # a worker that is killed leaves little behind
            weights = Path(temporary, MODEL_FILE)
            write_whole(weights, model, RunError)
            self.translator = load(weights, device)
        self.place = tempfile.TemporaryDirectory(prefix="sincut-")
        if mask is not None:
            options = replace(options, mask=Path(self.place.name, f"mask{mask[0]}"))
            assert options.mask is not None
            write_whole(options.mask, mask[1], RunError)
        if options.max_memory is None:  # what is free is shared with the other workers of this machine
            beside = max(1, (os.cpu_count() or 1) // max(1, int(cpus)))
            free = MEMORY_SHARE * available_memory(torch.device("cpu")) / beside
            options = replace(options, max_memory=round(used_memory() + free))
        self.options, self.turn = options, threading.Lock()

    def hello(self) -> str:
        """The version of sincut there."""
        return __version__

    def leave(self) -> None:
        """Remove the temporary files."""
        self.place.cleanup()

    def translate(self, source: str, target: str, saving: Saving) -> _Outcome:
        job, began = Job(place(source), place(target)), time.monotonic()
        read = folder.read(job, self.translator, self.options)
        known = read.before, read.sha256, read.pixels
        try:
            if read.error is not None:
                raise read.error
            make_folder(read.staged.target.parent, ImageError)
            if read.picture is None:
                with self.turn:
                    notes = folder.apply_staged(read.staged, self.translator, self.options, saving, ignore)
            else:
                with self.turn:
                    picture = self.translator.apply_picture(read.picture, self.options)
                read = replace(read, picture=None)
                notes = folder.save(picture, read.staged, saving)
            written = stat_of(job.target)
        except (SincutError, MemoryError) as error:
            reason, damaged = folder.reason_of(error, job, read.staged), isinstance(error, DamagedError)
            return _Outcome(*known, time.monotonic() - began, error=reason, damaged=damaged)
        finally:
            read.staged.close()
        return _Outcome(*known, time.monotonic() - began, notes, written)


@contextlib.contextmanager
def joined(pool: Pool) -> Iterator[Any]:
    """The module `ray`, connected. What is started here ends with the block.

    Raises `RunError` where the extra is missing or the cluster cannot be reached.
    """
    try:
        import ray
    except ImportError:
        raise RunError("--engine ray needs an extra: pip install 'sincut[ray]'") from None
    if ray.is_initialized():
        yield ray
        return
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = pool.address or os.environ.get("RAY_ADDRESS")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        if address and address != "local":
            _knock(address)
            ray.init(address=address, **quiet)
        else:
            cpus = max(1, math.ceil(pool.cpus * (pool.workers or 1)), 0 if pool.workers else os.cpu_count() or 1)
            ray.init("local", num_cpus=cpus, include_dashboard=False, object_store_memory=OBJECT_STORE, **quiet)
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():  # Ray has its own, with which nothing would be saved
                signal.signal(number, handler)
    except (ConnectionError, RuntimeError, ValueError, OSError, AssertionError) as error:
        where = f"at {address}, check --ray-address and RAY_ADDRESS" if address else "on this machine"
        raise RunError(f"Ray cannot be reached {where} ({first_line(error)})") from None
    try:
        if not address and pool.gpus > ray.cluster_resources().get("GPU", 0):
            raise RunError(
                f"--worker-gpus {pool.gpus:g}: this machine has no such GPU; leave it out, or join a cluster"
            )
        with contextlib.redirect_stdout(_WithoutRay(sys.stdout)):
            yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Raise OSError where nobody listens at host:port; Ray itself asks for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()


class _WithoutRay(io.TextIOBase):
    """Standard output without what Ray prints there of workers that died; `Warned` events say it."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        return len(text) if threading.current_thread().name == RAY_THREAD else self.stream.write(text)

    def flush(self) -> None:
        self.stream.flush()


def run(
    plan: Plan,
    model: Path,
    pool: Pool,
    options: Options = PLAIN,
    saving: Saving = AS_IT_CAME,
    on_event: Listener = ignore,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[list[Job], list[tuple[Job, str]]]:
    """`folder.run` on a Ray cluster.

    Raises `RunError` as `joined` does, and where workers cannot be started, and `ModelError` for a bad model.
    """
    if not plan.jobs:
        folder.begin(plan, 0, on_event)
        return [], []
    for job in plan.jobs[:1]:
        if job.source == job.target:  # a worker may die between replacing a picture and saying so
            raise RunError(f"{job.source}: a picture sent again would be translated twice; give -o another folder")
        for path in (job.source, job.target):
            if isinstance(path, Url) and path.scheme == "memory":
                raise RunError(f"{path}: is in the memory of one process, where no worker sees it")
    Model.load(model)  # a bad one is told before any machine starts
    with joined(pool) as ray, folder.held(plan):
        driver = _Driver(ray, plan, model, pool, options, saving, on_event)
        try:
            return driver.run(stop)
        finally:
            driver.end()
            folder.clear(plan)  # of what killed workers were writing


@dataclass
class _Seat:
    """A worker, and the pictures that it has."""

    actor: Any
    jobs: dict[Any, Job] = field(default_factory=dict)


class _Driver:
    """Hands out pictures and hears what became of them."""

    def __init__(
        self, ray: Any, plan: Plan, model: Path, pool: Pool, options: Options, saving: Saving, on_event: Listener
    ) -> None:
        self.ray, self.plan, self.pool, self.saving, self.on_event = ray, plan, pool, saving, on_event
        self.max_pixels = options.max_pixels
        weights = read_whole(model_path(model), ModelError)
        mask = (options.mask.suffix, read_whole(options.mask, ImageError)) if options.mask else None
        self.arguments = ray.put(weights), ray.put(mask), replace(options, mask=None), pool.cpus, pool.gpus
        needs = {"num_cpus": pool.cpus, "num_gpus": pool.gpus, "max_concurrency": IN_FLIGHT, "max_restarts": 0}
        self.kind = ray.remote(**needs)(_Worker)
        self.count = max(1, min(pool.workers or room(ray, pool), len(plan.jobs)))
        self.starting: dict[Any, _Seat] = {}
        self.seats: list[_Seat] = []
        self.flying: dict[Any, _Seat] = {}
        self.waiting, self.suspects = deque(plan.jobs), deque[Job]()
        self.deaths: dict[Job, int] = {}
        self.stillborn, self.began, self.warned = 0, time.monotonic(), False
        self.done: list[Job] = []
        self.failed: list[tuple[Job, str]] = []

    def run(self, stop: Callable[[], bool]) -> tuple[list[Job], list[tuple[Job, str]]]:
        plan, total = self.plan, self.plan.pixels(self.max_pixels)
        folder.begin(plan, total, self.on_event)
        self.pace = Pace(total, len(plan.jobs))
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
        return self.done, self.failed

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
        """What has been answered, after up to a second."""
        references = [*self.flying, *self.starting]
        if not self.ray.wait(references, num_returns=1, timeout=1.0)[0]:
            return []
        found: list[Any] = self.ray.wait(references, num_returns=len(references), timeout=0)[0]
        return found

    def _welcome(self, reference: Any) -> None:
        """A worker is there, or could not be started."""
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
        if self.plan.manifest is not None and job not in self.deaths:
            self.plan.manifest.begin(job.source, job.target)
        reference = seat.actor.translate.remote(_absolute(job.source), _absolute(job.target), self.saving)
        seat.jobs[reference] = job
        self.flying[reference] = seat

    def _hear(self, reference: Any) -> None:
        """Of one picture: how it ended, or that its worker did."""
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
        """A worker died over a picture, and perhaps because of it."""
        self.deaths[job] = self.deaths.get(job, 0) + 1
        if self.deaths[job] < DEATHS:
            self.on_event(Warned(f"{job.source}: its worker is gone, it is done again"))
            self.suspects.append(job)
            return
        self._fail(
            job, f"{job.source}: {DEATHS} workers died over it ({reason}); give workers more memory, or leave it out"
        )

    def _note(self, job: Job, outcome: _Outcome) -> None:
        error = outcome.error.replace(_absolute(job.source), str(job.source))
        written = outcome.written if isinstance(job.target, Url) else stat_of(job.target)
        if not error and written is None:
            error = f"{job.target}: was written by a worker, and is not to be seen here; use a shared folder or a URL"
        if not error or outcome.damaged:
            before, seconds = outcome.before, outcome.seconds
            folder.manifested(self.plan, job, before, outcome.sha256, seconds, error, written)
        if error:
            self._fail(job, error)
            return
        self.done.append(job)
        left = self.pace.left(outcome.pixels)
        self.on_event(PictureDone(job.source, job.target, outcome.seconds, outcome.notes, left))

    def _fail(self, job: Job, reason: str) -> None:
        self.failed.append((job, reason))
        self.on_event(PictureFailed(job.source, reason))

    def _tell_of_waiting(self) -> None:
        """Say once that no worker starts: the cluster may be full, grow, or never have what is asked for."""
        if self.warned or self.seats or time.monotonic() - self.began < PATIENCE:
            return
        self.warned = True
        there, free = self.ray.cluster_resources(), self.ray.available_resources()
        has = ", ".join(f"{there.get(kind, 0):g} {kind}s ({free.get(kind, 0):g} free)" for kind in ("CPU", "GPU"))
        self.on_event(Warned(f"no worker is ready yet; each needs {_needs(self.pool)}, there are {has}; still waiting"))

    def _kill(self, seat: _Seat) -> None:
        with contextlib.suppress(Exception):
            self.ray.kill(seat.actor)


def room(ray: Any, pool: Pool) -> int:
    """How many workers the cluster can hold now; it may grow, which `--workers` asks for."""
    found = ray.cluster_resources()
    by = [found.get("CPU", 1) / pool.cpus] if pool.cpus else []
    by += [found.get("GPU", 0) / pool.gpus] if pool.gpus else []
    return max(1, int(min(by, default=1)))


def _needs(pool: Pool) -> str:
    return f"{pool.cpus:g} CPUs" + (f" and {pool.gpus:g} GPUs" if pool.gpus else "")


def _absolute(path: AnyPath) -> str:
    return str(path) if isinstance(path, Url) else str(path.absolute())


def first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:FIRST_LINE] if lines else type(error).__name__
