"""What arrives in folders, told when it is complete (the extra `sincut[watch]`, https://watchfiles.helpmanual.io)."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sincut.batch.remote import AnyPath
from sincut.errors import RunError
from sincut.files import stat_of

SETTLED_SECONDS = 2.0  # for which a file has to stay as it is before it counts as complete
TICK_MS = 500  # between two looks


def arrivals(folders: Sequence[AnyPath], stop: Callable[[], bool]) -> Iterator[set[Path] | None]:
    """Files that have been written or moved into the folders and are complete, as often as there are some.

    First comes None, once the folders are watched: what came before is there to be looked for. Ends when `stop` says
    so. Raises `RunError` as `check` does.
    """
    watched = check(folders)
    from watchfiles import Change, watch

    pending: dict[Path, tuple[tuple[int, int] | None, float]] = {}  # how the file was, and since when
    changes = watch(
        *watched, watch_filter=None, rust_timeout=TICK_MS, yield_on_timeout=True, raise_interrupt=False,
        ignore_permission_denied=True,
    )  # fmt: skip
    begun = False
    for found in changes:
        if stop():
            return
        if not begun:
            begun = True
            yield None
        now = time.monotonic()
        for kind, name in found:
            path = _as_given(Path(name), watched)
            if kind == Change.deleted:
                continue
            for file in path.rglob("*") if path.is_dir() and kind == Change.added else (path,):  # a folder moved here
                if file.is_file():
                    pending.setdefault(file, (stat_of(file), now))
        ready = set()
        for path, (before, since) in list(pending.items()):
            current = stat_of(path)
            if current is None:
                del pending[path]
            elif current != before:
                pending[path] = (current, now)
            elif now - since >= SETTLED_SECONDS:
                ready.add(path)
                del pending[path]
        if ready:
            yield ready


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


def _as_given(path: Path, folders: Sequence[Path]) -> Path:
    """The path of a file below one of the folders as these were named; the system tells absolute ones."""
    for folder in folders:
        try:
            return folder / path.relative_to(folder.absolute())
        except ValueError:
            continue
    return path
