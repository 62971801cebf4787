"""The command in a process of its own that has torch loaded from the start.

A server that has imported all that the command imports, and computed nothing, is forked for each command: of two
seconds and more that `python -m sincut` takes to start, some hundredths are left. Where the system cannot fork
(Windows), each process imports anew.
"""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

from sincut.cli import main

# Modules that the server imports: what a training and a translation import late, as torch's compiler by an optimiser.
# pytest, since each process imports the main module of the one that has begun it.
_LOADED = [__name__, "pytest", "torch._dynamo", "sincut.batch.pipe", "sincut.runs.run", "sincut.report.run_page"]
if sys.platform == "win32":
    _CONTEXT = multiprocessing.get_context("spawn")
else:
    _CONTEXT = multiprocessing.get_context("forkserver")
    _CONTEXT.set_forkserver_preload(_LOADED)


def begun(words: list[object], stderr: Path, **environment: str) -> BaseProcess:
    """The command with these arguments, running; its stderr is appended to a file that is there."""
    process = _CONTEXT.Process(target=_command, args=([*map(str, words)], stderr, environment))
    process.start()
    return process


def killed_after(words: list[object], said: bytes, times: int, seconds: float, folder: Path) -> bool:
    """Kill a command so many seconds after its stderr has said something so many times; True if it was still at work.

    `folder` holds its stderr. A command that ends of itself is waited for no longer.
    """
    stderr = folder / "stderr.txt"
    stderr.write_bytes(b"")
    process = begun(words, stderr)
    until(lambda: not process.is_alive() or stderr.read_bytes().count(said) >= times)
    time.sleep(seconds)
    at_work = process.is_alive()
    process.kill()
    process.join()
    return at_work


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until a condition is true. Raises `TimeoutError` after `seconds`."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.002)


def _command(words: list[str], stderr: Path, environment: dict[str, str]) -> None:
    """Be the command: its own stdout and stderr, and its exit code."""
    os.environ.update(environment)
    for stream, path in ((sys.stdout, Path(os.devnull)), (sys.stderr, stderr)):
        stream.flush()
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND), stream.fileno())
    main(words, prog_name="sincut")
