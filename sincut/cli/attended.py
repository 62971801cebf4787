"""Commands that another process of sincut has started: they stop when it ends, and save with nobody to hear them."""

import io
import sys
from typing import Any


def begin() -> None:
    """In a command that `sincut.runs.child` has started, follow its parent; in any other do nothing."""
    from sincut.runs.child import follow_parent

    if follow_parent():
        raw = io.BufferedWriter(_Unheard(2, "w", closefd=False))
        sys.stderr = io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)


class _Unheard(io.FileIO):
    """A pipe or file that takes what nobody reads any more: a parent that was killed leaves its end of the pipe closed,
    and a training has to be saved all the same."""

    def write(self, data: Any) -> int:
        """Write bytes; if the other end is closed, drop them."""
        try:
            return super().write(data)
        except BrokenPipeError:
            return len(data)
