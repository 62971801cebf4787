"""Files that are whole or not there at all, and a folder that only one process writes to."""

import errno
import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sincut.errors import RunError, SincutError

UMASK = os.umask(0o022)  # it can only be read by setting it, which no thread should see
os.umask(UMASK)
LOOKED_SECONDS = 0.1  # after which a folder is free again that `is_locked` was just looking at
PART = ".sincut-part"  # ends the names of files that are being written


def write_whole(path: Path, data: bytes, kind: type[SincutError]) -> None:
    """Write a file beside its name, flush it to the disk, then rename it: readers see the old or the new one whole.

    Raises `kind` with the remedy where that fails; nothing is left behind then.
    """
    with written_whole(path, kind) as temporary:
        temporary.write_bytes(data)


def read_whole(path: Path, kind: type[SincutError]) -> bytes:
    """A file's bytes. Raises `kind` with the remedy where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise kind(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from None


@contextmanager
def written_whole(path: Path, kind: type[SincutError]) -> Iterator[Path]:
    """A name beside `path` to write to; what is there when the block ends well takes the place of `path`, at once.

    Raises `kind` with the remedy where files cannot be written; nothing is left behind then.
    """
    temporary = None
    path = path.resolve() if path.is_symlink() else path  # a link stays one
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name[:40]}.", suffix=PART, delete=False
        ) as file:
            temporary = Path(file.name)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~UMASK)
        temporary.replace(path)
    except OSError as error:
        what = error.strerror or error
        raise kind(f"{path}: cannot be written ({what}); free some space or choose another place with -o") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Remove what a killed process left of files it was writing in a folder that is held for this process."""
    for part in folder.glob(f".*{PART}"):
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
    """Hold the folder for this process; the lock goes with the process, however it ends. Raises `RunError`."""
    try:
        file = (folder / ".lock").open("a+b")
    except OSError as error:
        raise RunError(f"{folder}: cannot be written ({error.strerror}); choose another folder with -o") from None
    with file:
        taken = not _try_lock(file)
        if taken:
            time.sleep(LOOKED_SECONDS)
        if taken and not _try_lock(file):
            raise RunError(f"{folder}: another sincut writes there; wait for it or choose another folder with -o")
        yield


def is_locked(folder: Path) -> bool:
    """Whether a process holds the folder now."""
    try:
        file = (folder / ".lock").open("r+b")
    except OSError:  # nobody has ever held it
        return False
    with file:
        return not _try_lock(file)


def _try_lock(file: IO[bytes]) -> bool:
    """Lock an open file without waiting; the operating system unlocks it when the file is closed."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        taken = (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)
        return error.errno not in taken  # else a file system without locks: better unguarded than not at all
    return True
