"""Parts of a measurement in processes of their own, each with its own peak of memory; none outlives this one."""

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import torch

from sincut.config.sections import Config
from sincut.errors import Interrupted, SincutError
from sincut.runs import child

TICK = 0.2  # seconds between two questions whether to stop
END_SECONDS = 5.0  # that a process has to clear up
STOPPED = "stopped; nothing was kept"

T = TypeVar("T")


class OutOfTimeError(SincutError):
    """A part took longer than it was given."""


def alone(
    work: Callable[..., T],
    config: Config,
    device: torch.device,
    *rest: Any,
    threads: int | None = None,
    limit: float | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> T:
    """The result of `work` in a new process, whose torch has so many threads (None: as many as here).

    The process is ended with this one, also if this one is killed. Raises what `work` raises, `OutOfTimeError` after
    `limit` seconds, `Interrupted` once `stop` is true, and `SincutError` if the process dies.
    """
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    given = sender, os.getpid(), threads or torch.get_num_threads(), work, config, device, *rest
    process = context.Process(target=_work, args=given, daemon=True)
    process.start()
    sender.close()
    try:
        answer = _answer(receiver, process, limit, stop)
    finally:
        end(process)
        receiver.close()
    if isinstance(answer, BaseException):
        raise answer
    result: T = answer
    return result


def begin(parent: int) -> None:
    """In a process of ours: end with the parent, tidily when asked to, and leave Ctrl-C to the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("SIGTERM", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda number, frame: sys.exit(1))  # made-up files are removed
    child.follow(parent)


def end(process: BaseProcess) -> None:
    """End a process, and wait for it."""
    process.terminate()
    process.join(END_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()


def _answer(receiver: Connection, process: BaseProcess, limit: float | None, stop: Callable[[], bool]) -> Any:
    """The message that a process sends: the result of its work, or the exception. Raises as `alone`."""
    until = None if limit is None else time.monotonic() + limit
    while not receiver.poll(TICK):
        if stop():
            raise Interrupted(STOPPED)
        if until is not None and time.monotonic() > until:
            raise OutOfTimeError(f"not done within {limit:.0f} s")
    try:
        answer = receiver.recv()
    except EOFError:
        process.join(END_SECONDS)
        what = f"a measuring process ended without a result (exit code {process.exitcode})"
        raise SincutError(f"{what}; close other programs if memory is short, or measure less") from None
    process.join(END_SECONDS)
    return answer


def _work(
    sender: Connection,
    parent: int,
    threads: int,
    work: Callable[..., Any],
    config: Config,
    device: torch.device,
    *rest: Any,
) -> None:
    """Do the work, and send what it returns or raises."""
    begin(parent)
    torch.set_num_threads(threads)
    try:
        answer = work(config, device, *rest)
    except Exception as error:
        answer = error
    with suppress(BrokenPipeError):
        sender.send(answer)
