"""Ctrl-C and other signals that ask a command to save its work and end."""

import contextlib
import os
import signal
import stat
from collections.abc import Callable, Iterator

import click

from sincut.cli.console import tell

SAVING = "stopping as soon as the work in hand is saved; press Ctrl-C again to stop at once"
STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)]


@contextlib.contextmanager
def stoppable(told: str = SAVING) -> Iterator[Callable[[], bool]]:
    """Within it, Ctrl-C, SIGTERM, Ctrl-Break and a terminal that closes ask to stop; a second Ctrl-C stops at once.

    Gives `stop()`, which is True once that was asked; `told` is then printed. A hangup that is ignored, as under nohup,
    stays ignored.
    """
    asked, hangup = False, getattr(signal, "SIGHUP", None)

    def ask(number: int, frame: object) -> None:
        nonlocal asked
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked = True
        with contextlib.suppress(OSError):
            tell(told)
        if number == hangup:
            _leave_terminal()

    ignored = [hangup] if hangup and signal.getsignal(hangup) == signal.SIG_IGN else []
    before = {number: signal.signal(number, ask) for number in STOPPING if number not in ignored}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave_terminal() -> None:
    """Write to a terminal no more: once it is closed, writing fails, and the work still has to be saved."""
    for number in (1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(number).st_mode):
                with click.open_file(os.devnull, "w") as nowhere:
                    os.dup2(nowhere.fileno(), number)
