"""Ctrl-C and other signals that ask a command to save its work and end."""

import contextlib
import os
import signal
import stat
from collections.abc import Callable

import click

STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]


class stoppable:  # noqa: N801 (used like a function)
    """Within it, Ctrl-C, SIGTERM, Ctrl-Break and a terminal that closes ask to stop; a second Ctrl-C stops at once.

    Gives `stop()`, which tells whether that was asked.
    """

    def __enter__(self) -> Callable[[], bool]:
        self.asked = False
        hangup = getattr(signal, "SIGHUP", None)
        ignored = [hangup] if hangup and signal.getsignal(hangup) == signal.SIG_IGN else []  # by nohup: it is meant so
        self.before = {s: signal.signal(s, self._ask) for s in STOPPING if s not in ignored}
        return lambda: self.asked

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: object) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True
        with contextlib.suppress(OSError):
            click.echo("stopping as soon as the work in hand is saved; press Ctrl-C again to stop at once", err=True)
        if number == getattr(signal, "SIGHUP", None):
            _leave_terminal()


def _leave_terminal() -> None:
    """Write to a terminal no more: once it is closed that fails, and what is left to do is saving."""
    for number in (1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(number).st_mode):
                with click.open_file(os.devnull, "w") as nowhere:
                    os.dup2(nowhere.fileno(), number)
