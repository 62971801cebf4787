"""A training in a process of its own: the command `sincut train`, started, listened to and asked to stop.

Its minutes are then those a user waits, and it leaves nothing behind for the next one. No process outlives the one that
has started it, however that ends: each watches its parent (`follow`), and stops as if it had been asked to.
"""

import io
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

SAVED = 130  # exit code of a command that was asked to stop and has saved its work
TICK = 0.5  # seconds between two questions whether to stop
PARENT = "SINCUT_PARENT"  # environment variable: number of the process that has started this command

Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Ended:
    """The end of a training's process."""

    code: int  # exit code; negative: the number of the signal that killed it
    asked: bool  # to stop
    last_line: str = ""  # of its stderr, if that was listened to

    @property
    def stopped(self) -> bool:
        """True if it was interrupted and the same command goes on. One that is killed before it can catch the signal
        has nothing to save yet."""
        return self.code == SAVED or (self.code < 0 and self.asked)


def command(*arguments: object, name: str = "train") -> list[str]:
    """The command `sincut train`, or another of sincut by its name, with these arguments, by this Python."""
    return [sys.executable, "-m", "sincut", name, *map(str, arguments)]


def start(words: Sequence[str], stderr: int | IO[bytes] | None = None, *, apart: bool = False) -> Process:
    """Start a command whose results are files: it has no input, and its stdout is dropped.

    `stderr` is as for `Popen`; None: this process's own. With `apart` no Ctrl-C in this terminal reaches it. A command
    of sincut stops when this process ends (`follow_parent`).
    """
    options: dict[str, Any] = {"start_new_session": apart}
    if os.name == "nt":  # only a process group of its own can be asked to stop
        options = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}  # type: ignore[attr-defined,unused-ignore]
    options["env"] = {**os.environ, PARENT: str(os.getpid())}
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr, **options)


def follow_parent() -> bool:
    """Follow the process that has started this command by `start`; False if none has."""
    pid = os.environ.pop(PARENT, "")  # no concern of what this process starts itself
    if pid.isdecimal():
        follow(int(pid))
    return pid.isdecimal()


def follow(pid: int) -> None:
    """Ask this process to stop, as SIGTERM does, once process `pid` has ended, be it killed. Returns at once.

    The parent is looked for every `TICK` seconds. The kernel's own signal (PR_SET_PDEATHSIG) is for Linux alone, and
    comes when the parent's thread ends that has started the child.
    """
    threading.Thread(target=_stop_behind, args=(pid,), daemon=True).start()


def _stop_behind(pid: int) -> None:
    """Wait until a process has ended, then ask this one to stop."""
    import psutil

    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        while parent.is_running() and parent.status() != psutil.STATUS_ZOMBIE:  # dead, and not yet waited for
            time.sleep(TICK)
    if os.name == "nt":
        signal.raise_signal(signal.SIGBREAK)  # type: ignore[attr-defined,unused-ignore]
    else:
        os.kill(os.getpid(), signal.SIGTERM)


def ask_to_stop(process: Process) -> None:
    """Ask a training to save and end. Nothing happens if it has ended already, or is asked again."""
    if os.name == "nt":
        process.send_signal(signal.CTRL_BREAK_EVENT)  # type: ignore[attr-defined,unused-ignore]
    else:
        process.send_signal(signal.SIGTERM)  # no SIGINT: a second one would end it at once


def attend(
    words: Sequence[str],
    on_line: Callable[[str], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
    grace: float = math.inf,
) -> Ended:
    """Run a training's command to its end; once `stop` is true, it is asked to save and end, and killed if it has not
    done so in `grace` seconds.

    `on_line` is called, in another thread, with each line of its stderr; without it the training writes to this
    process's stderr. If `on_line` or `stop` raises, or Ctrl-C interrupts this, the training is stopped in the same way,
    and the exception raised when it has ended.
    """
    asked, until = False, math.inf
    with start(words, subprocess.PIPE if on_line else None) as process:
        listener = _Listener(process.stderr, on_line) if process.stderr is not None and on_line else None
        try:
            while process.poll() is None:
                if not asked and (stop() or (listener is not None and listener.error is not None)):
                    asked, until = True, time.monotonic() + grace
                    ask_to_stop(process)
                if time.monotonic() > until:
                    process.kill()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(TICK)
            asked = asked or stop()  # it may have heard of that first, as of a Ctrl-C in their common terminal
        except BaseException:
            ask_to_stop(process)
            process.wait()
            raise
        finally:
            if listener is not None:
                listener.join()
    if listener is None:
        return Ended(process.returncode, asked)
    if listener.error is not None:
        raise listener.error
    return Ended(process.returncode, asked, listener.last_line)


class _Listener(threading.Thread):
    """Hands on the lines of a pipe. Reads on to its end even if `on_line` raises, as a full pipe blocks its writer."""

    def __init__(self, pipe: IO[bytes], on_line: Callable[[str], None]) -> None:
        super().__init__(daemon=True)
        self.pipe, self.on_line = pipe, on_line
        self.last_line = ""
        self.error: BaseException | None = None  # that `on_line` has raised; it is not called again
        self.start()

    def run(self) -> None:
        """Read the pipe to its end, line by line; an error of `on_line` is kept, and reading goes on."""
        for line in io.TextIOWrapper(self.pipe, encoding="utf-8", errors="replace"):
            self.last_line = line.rstrip("\n")
            if self.error is None:
                try:
                    self.on_line(self.last_line)
                except BaseException as error:
                    self.error = error
