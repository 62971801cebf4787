"""Watching folders for pictures that arrive (the extra `sincut[watch]`, https://watchfiles.helpmanual.io)."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sincut.batch.remote import AnyPath
from sincut.errors import RunError
from sincut.files import stat_of

SETTLED_SECONDS = 2.0  # for which a file has to stay as it is before it counts as complete
TICK_MS = 500  # between two looks


def arrivals(folders: Sequence[AnyPath], stop: Callable[[], bool]) -> Iterator[set[Path] | None]:
    """Files that have been written or moved into the folders and are complete, in sets, whenever there are some.

    First comes None, once the folders are watched: files that came before have to be looked for. Ends after `stop` has
    returned True. Raises `RunError` as `check` does.
    """
    watched = check(folders)
    from watchfiles import Change, watch

    changes = watch(
        *watched, watch_filter=None, rust_timeout=TICK_MS, yield_on_timeout=True, raise_interrupt=False,
        ignore_permission_denied=True,
    )  # fmt: skip
    settling, begun = _Settling(), False
    for changed in changes:
        if stop():
            return
        if not begun:
            begun = True
            yield None
        now = time.monotonic()
        for kind, name in changed:
            if kind != Change.deleted:
                path = _as_given(Path(name), watched)
                for file in _files_of(path, kind == Change.added):
                    settling.add(file, now)
        if complete := settling.complete(now):
            yield complete


class _Settling:
    """Files that were seen to change, until they have stayed as they are for `SETTLED_SECONDS`."""

    def __init__(self) -> None:
        self.pending: dict[Path, tuple[tuple[int, int] | None, float]] = {}  # the file's size and time, since when

    def add(self, file: Path, now: float) -> None:
        """Wait for a file from `now` (s) on; one that is waited for already stays as it is."""
        self.pending.setdefault(file, (stat_of(file), now))

    def complete(self, now: float) -> set[Path]:
        """Files that have settled by now; they are forgotten, and so are those that are gone."""
        complete = set()
        for file, (before, since) in list(self.pending.items()):
            current = stat_of(file)
            if current is None:
                del self.pending[file]
            elif current != before:
                self.pending[file] = (current, now)
            elif now - since >= SETTLED_SECONDS:
                complete.add(file)
                del self.pending[file]
        return complete


def check(folders: Sequence[AnyPath]) -> list[Path]:
    """The folders among the inputs. Raises `RunError` where the extra is missing or there is no folder to watch."""
    try:
        import watchfiles  # noqa: F401
    except ImportError:
        raise RunError("--watch needs an extra: pip install 'sincut[watch]'") from None
    elsewhere = [folder for folder in folders if not isinstance(folder, Path)]
    if elsewhere:
        raise RunError(
            f"--watch: {elsewhere[0]} is no folder of this machine, and cannot be watched; run again instead"
        )
    watched = [folder for folder in folders if isinstance(folder, Path) and folder.is_dir()]
    if not watched:
        raise RunError("--watch: no folder among the inputs; name one")
    return watched


def _files_of(path: Path, is_new: bool) -> Iterator[Path]:
    """The file itself, or all files below a folder that was moved here."""
    for file in path.rglob("*") if is_new and os.path.isdir(path) else (path,):
        if os.path.isfile(file):  # unlike Path.is_file this says no to what cannot be looked at
            yield file


def _as_given(path: Path, folders: Sequence[Path]) -> Path:
    """The path of a file below one of the folders as these were named.

    The system tells absolute paths, and on some systems real ones: on macOS /var is a link to /private/var.
    """
    real = Path(os.path.realpath(path.parent), path.name)
    for folder in folders:
        for told, known in ((path, folder.absolute()), (real, Path(os.path.realpath(folder)))):
            if told.is_relative_to(known):
                return folder / told.relative_to(known)
    return path
