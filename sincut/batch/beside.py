"""Things of a picture outside its file's bytes: sidecars of XMP, the time of its last change, its further names."""

import os
import time
from pathlib import Path

from sincut.batch.remote import AnyPath, Url
from sincut.batch.staged import is_stream
from sincut.errors import ImageError
from sincut.files import read_whole, write_whole
from sincut.pictures import xmp

SUFFIXES = (".xmp", ".XMP")
MOST_BYTES = 2**24  # a sidecar that is longer is none


def copy_sidecars(source: AnyPath, target: AnyPath) -> tuple[str, ...]:
    """Copy the sidecars of a source beside its target, under the target's name; notes on those that stay behind.

    Those are named after the picture, as `a.xmp` (Adobe) or `a.jpg.xmp` (darktable). They lose what the picture in a
    file loses too (`xmp.upright`). One that is there already with other contents is left as it is; in place all are.
    """
    if not _is_here(source) or not _is_here(target) or source == target:
        return ()
    assert isinstance(source, Path) and isinstance(target, Path)
    notes = []
    for suffix in SUFFIXES:
        for old, new in ((source.stem, target.stem), (source.name, target.name)):
            note = _copied(source.with_name(old + suffix), target.with_name(new + suffix))
            notes += [note] if note else []
    return tuple(dict.fromkeys(notes))


def further_names(source: AnyPath, target: AnyPath) -> tuple[str, ...]:
    """A note that a file about to be replaced in place has further names (hard links), which will not follow it."""
    if source != target or not _is_here(source):
        return ()
    assert isinstance(source, Path)
    try:
        names = source.stat().st_nlink
    except OSError:  # it cannot be read either, and is told as such
        return ()
    if names < 2:
        return ()
    return (f"its file had {names} names (hard links); under this one it is a file of its own now",)


def keep_time(source: AnyPath, mtime_ns: int, target: AnyPath) -> tuple[str, ...]:
    """Give a target the time of the last change that its source had; a note where it cannot have it."""
    if not _is_here(target):
        return ("its time cannot be kept there",) if isinstance(target, Url) else ()
    if not _is_here(source) or not mtime_ns:
        return ("its source tells no time that could be kept",)
    try:
        os.utime(target, ns=(time.time_ns(), mtime_ns))
    except OSError as error:
        return (f"its time could not be kept ({error.strerror})",)
    return ()


def _is_here(path: AnyPath) -> bool:
    """True for a path of this machine that is no stream."""
    return not isinstance(path, Url) and not is_stream(path)


def _copied(old: Path, new: Path) -> str:
    """Copy one sidecar, if it is there; a note where it stays behind."""
    try:
        if not old.is_file():
            return ""
        if old.stat().st_size > MOST_BYTES:
            return f"its sidecar {old.name} is too long and was not copied"
        data = xmp.upright(read_whole(old, ImageError))
        if new.exists():
            return (
                ""
                if read_whole(new, ImageError) == data
                else f"the sidecar {new.name} was there already and stayed as it is"
            )
        write_whole(new, data, ImageError)
    except (OSError, ImageError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        return f"its sidecar {old.name} could not be copied ({reason})"
    return ""
