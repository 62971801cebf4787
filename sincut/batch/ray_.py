"""Joining a Ray cluster (the extra `sincut[ray]`, https://docs.ray.io), or starting Ray on this machine."""

import contextlib
import io
import math
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sincut.errors import ConfigError, RunError

DEFAULT_CPUS = 2.0  # for each worker
KNOCK_SECONDS = 10.0  # to wait for an answer from the cluster's address
OBJECT_STORE = 2**28  # bytes, where Ray is started here: pictures do not go through it
RAY_THREAD = "ray_listen_error_messages"  # of Ray's, which prints what it hears from workers
FIRST_LINE = 300  # characters, at most, of an error of Ray's that are told


@dataclass(frozen=True)
class Pool:
    """Workers of a cluster: their number, and the processors and GPUs (or parts of one) that each of them needs.

    `workers` None: as many as the cluster has room for now. `address` is that of a cluster, as in RAY_ADDRESS, which
    counts where there is none; without either, Ray is started on this machine and ended with the work. Raises
    `ConfigError` for numbers out of range.
    """

    workers: int | None = None
    cpus: float = DEFAULT_CPUS
    gpus: float = 0.0
    address: str | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and self.workers < 1:
            raise ConfigError(f"{self.workers} workers do nothing; give 1 or more, or None for as many as have room")
        if not (0 <= self.cpus < math.inf and 0 <= self.gpus < math.inf):
            raise ConfigError(f"a worker cannot have {self.cpus:g} CPUs and {self.gpus:g} GPUs; give numbers from 0")


@contextlib.contextmanager
def joined(pool: Pool) -> Iterator[Any]:
    """The module `ray`, connected. If Ray was not before, it is shut down after the block.

    Raises `RunError` where the extra is missing or the cluster cannot be reached.
    """
    try:
        import ray
    except ImportError:
        raise RunError("--engine ray needs an extra: pip install 'sincut[ray]'") from None
    if ray.is_initialized():
        yield ray
        return
    address = pool.address or os.environ.get("RAY_ADDRESS")
    _connect(ray, pool, address)
    try:
        if not address and pool.gpus > ray.cluster_resources().get("GPU", 0):
            raise RunError(
                f"--worker-gpus {pool.gpus:g}: this machine has no such GPU; leave it out, or join a cluster"
            )
        with contextlib.redirect_stdout(_WithoutRay(sys.stdout)):
            yield ray
    finally:
        ray.shutdown()


def _connect(ray: Any, pool: Pool, address: str | None) -> None:
    """Join the cluster at an address, or start Ray on this machine. Raises `RunError` where that fails."""
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # workers without GPUs: leave CUDA's variables
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
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


def _knock(address: str) -> None:
    """Raise OSError where nobody listens at host:port; Ray itself asks for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()


class _WithoutRay(io.TextIOBase):
    """Standard output without Ray's messages about dead workers, which `Warned` events report instead."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write a text, unless it is Ray's. Returns its number of characters in any case."""
        return len(text) if threading.current_thread().name == RAY_THREAD else self.stream.write(text)

    def flush(self) -> None:
        """Flush standard output."""
        self.stream.flush()


def room(ray: Any, pool: Pool) -> int:
    """Number of workers that the cluster can hold now, at least 1; it may grow, which `--workers` asks for."""
    there = ray.cluster_resources()
    by = [there.get("CPU", 1) / pool.cpus] if pool.cpus else []
    by += [there.get("GPU", 0) / pool.gpus] if pool.gpus else []
    return max(1, int(min(by, default=1)))


def needs(pool: Pool) -> str:
    """The needs of one worker in words, as in "2 CPUs and 1 GPUs"."""
    return f"{pool.cpus:g} CPUs" + (f" and {pool.gpus:g} GPUs" if pool.gpus else "")


def first_line(error: BaseException) -> str:
    """The first line of an error's text, cut to `FIRST_LINE` characters; its type's name where it has no text."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:FIRST_LINE] if lines else type(error).__name__
