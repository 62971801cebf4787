"""Files that are whole or not there at all, and a folder that only one process writes to."""

import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import lock_descriptor, unlock_descriptor

from sincut.errors import RunError, SincutError

UMASK = os.umask(0o022)  # it can only be read by setting it, which no thread should see
os.umask(UMASK)
PART = ".sincut-part"  # ends the names of files that are being written
PART_PREFIX = 20  # characters of the target's name in that of its part: some file systems end at 143 bytes
LOCK_FILE = ".lock"
EXCLUSIVE_LOOK_SECONDS = 0.1  # a lock held for less may be a look of an earlier version, or on Windows
RETRY_SECONDS = 0.001


def write_whole(path: Path, data: bytes, kind: type[SincutError]) -> None:
    """Write a file beside its name, flush it to the disk, then rename it: readers see the old or the new one whole.

    Raises `kind` with the remedy where that fails; nothing is left behind then.
    """
    with written_whole(path, kind) as temporary, writing(path, kind):
        temporary.write_bytes(data)


def read_whole(path: Path, kind: type[SincutError]) -> bytes:
    """A file's bytes. Raises `kind` with the remedy where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        what = error.strerror or error
        raise kind(f"{path}: cannot be read ({what}); check the path and its permissions") from None


@contextmanager
def writing(path: Path, kind: type[SincutError]) -> Iterator[None]:
    """A block in which every OSError means that `path` cannot be written: raises `kind` with the remedy instead."""
    try:
        yield
    except OSError as error:
        what = error.strerror or error
        raise kind(f"{path}: cannot be written ({what}); free some space or choose another place with -o") from None


@contextmanager
def written_whole(path: Path, kind: type[SincutError]) -> Iterator[Path]:
    """A temporary name beside `path` to write to; where the block ends well, that file replaces `path` in one step.

    Raises `kind` with the remedy where the temporary file cannot be made, flushed or renamed; nothing is left behind
    then. Errors of the block are its own: it writes within `writing` whatever may be blamed on `path`.
    """
    with writing(path, kind):
        target = path.resolve() if path.is_symlink() else path  # a link stays one
        prefix = f".{target.name[:PART_PREFIX]}."
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=prefix, suffix=PART, delete=False) as file:
            temporary = Path(file.name)
    try:
        yield temporary
        with writing(path, kind):
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~UMASK)
            temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Remove what a killed process left of files it was writing in a folder that is held for this process.

    What cannot be removed stays, as in a folder that is closed to writing.
    """
    for part in folder.glob(f".*{PART}"):
        with suppress(OSError):
            part.unlink(missing_ok=True)


def make_folder(path: Path, kind: type[SincutError]) -> None:
    """Create a folder and its parents. Raises `kind` with the remedy."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = error.strerror or error
        raise kind(f"{path}: this folder cannot be made ({what}); choose another place with -o") from None


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stat_of(path: Path) -> tuple[int, int] | None:
    """Size in bytes and modification time in ns of a file; None where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process; the lock goes with the process, however it ends.

    Raises `RunError` if another process holds it, or if the folder cannot be written. On a file system without locks
    the folder is not guarded.
    """
    try:
        file = (folder / LOCK_FILE).open("a+b")
    except OSError as error:
        raise RunError(f"{folder}: cannot be written ({error.strerror}); choose another folder with -o") from None
    with file:
        if not _lock(file.fileno()):
            raise RunError(f"{folder}: another sincut writes there; wait for it or choose another folder with -o")
        yield


def is_locked(folder: Path) -> bool:
    """True if a process holds the folder now. A look changes nothing: neither another look nor `locked` notices it."""
    try:
        file = (folder / LOCK_FILE).open("rb")
    except OSError:  # nobody has ever held it
        return False
    with file:
        return _is_held(file.fileno())


def _lock(descriptor: int) -> bool:
    """Lock an open file for this process; False if another one holds it. The system unlocks it when it is closed."""
    patience = time.monotonic() + EXCLUSIVE_LOOK_SECONDS
    while not _try_lock(descriptor):
        if _is_held(descriptor) and time.monotonic() > patience:
            return False
        time.sleep(RETRY_SECONDS)  # somebody is only looking
    return True


def _try_lock(descriptor: int) -> bool:
    try:
        return lock_descriptor(descriptor, blocking=False)
    except OSError:  # a file system without locks: better unguarded than not at all
        return True


def _is_held(descriptor: int) -> bool:
    """True if an open file is locked through another descriptor.

    It is asked by a shared lock for an instant, with fcntl: filelock's own shared locks are a database of their own,
    which `locked` and earlier versions would not see.
    """
    if sys.platform == "win32":  # filelock has no shared lock there
        if not _try_lock(descriptor):
            return True
        with suppress(OSError):  # a file system without locks
            unlock_descriptor(descriptor)
        return False
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # EACCES from some network file systems
        return True
    except OSError:  # a file system without locks
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False
