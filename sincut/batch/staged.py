"""A picture's source and target as local files: of a URL or a stream, temporary ones.

Streams are stdin and stdout, both written `-`, and what has a name but no place for a file: named pipes, as a shell
makes them of `<(...)`, and devices such as `/dev/stdout`.
"""

import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sincut.batch.remote import AnyPath, Url, put
from sincut.errors import ImageError
from sincut.pictures.kinds import may_be_picture

STANDARD = Path("-")  # stdin as a source, stdout as a target
DESCRIPTOR = re.compile(r"/dev/(stdin|stdout|stderr)|/(?:dev|proc/self)/fd/([0-9]+)")
HEAD = 4096  # bytes of a stream that show whether it may be a picture
NUMBERS = {"stdin": 0, "stdout": 1, "stderr": 2}


def is_stream(path: AnyPath) -> bool:
    """True for `-`, a named pipe, a device, and whatever an open descriptor of this process leads to."""
    if isinstance(path, Url):
        return False
    if path == STANDARD or (_descriptor(path) is not None and not os.path.isdir(path)):
        return True
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


class Staged:
    """A picture's source and target as local files, `source` to read and `target` to write.

    Of a URL or a stream it is a temporary file; of a path it is the file itself. `suffix` is that of a target that is a
    stream, if its name has none.
    """

    def __init__(self, source: AnyPath, target: AnyPath, suffix: str = "") -> None:
        self.given = source, target
        self.streams = is_stream(source), is_stream(target)
        remote = any(isinstance(path, Url) for path in self.given)
        self.folder = Path(tempfile.mkdtemp(prefix="sincut-")) if remote or any(self.streams) else None
        self.source = self._local(source, self.streams[0], f"source{source.suffix}")
        self.target = self._local(target, self.streams[1], f"target{target.suffix or suffix}")

    def _local(self, path: AnyPath, is_stream_: bool, name: str) -> Path:
        if isinstance(path, Url) or is_stream_:
            assert self.folder is not None
            return self.folder / name
        return path

    def fetch(self) -> None:
        """Bring the source here; a stream is read to its end. Raises `ImageError`."""
        source = self.given[0]
        if isinstance(source, Url):
            source.fetch(self.source)
        elif self.streams[0]:
            with _blamed(source, "read"), _stream(source, "rb") as stream, self.source.open("wb") as file:
                head = stream.read(HEAD)
                file.write(head)
                if may_be_picture(head):  # else it may have no end
                    shutil.copyfileobj(stream, file)

    def name_target(self, suffix_of: Callable[[Path], str]) -> None:
        """Give a target without a suffix, which only a stream can have, that which `suffix_of` finds for the source."""
        if not self.target.suffix:
            self.target = self.target.with_suffix(suffix_of(self.source))

    def publish(self) -> None:
        """Copy the finished target to its URL or stream, if it has one. Raises `ImageError`, or `BrokenPipeError`."""
        target = self.given[1]
        if isinstance(target, Url):
            put(self.target, target)
        elif self.streams[1]:
            with _blamed(target, "written"), _stream(target, "wb") as stream, self.target.open("rb") as file:
                shutil.copyfileobj(file, stream)
                stream.flush()

    def close(self) -> None:
        """Remove the temporary files."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def told(self, text: str) -> str:
        """A message about the local files, with the names that were given."""
        for local, given in zip((self.source, self.target), self.given, strict=True):
            text = text.replace(str(local), str(given)) if local != given else text
        return text


@contextmanager
def _stream(path: Path, mode: str) -> Iterator[IO[bytes]]:
    """A stream opened for reading ("rb") or writing ("wb"); those that were open before stay open."""
    if path == STANDARD:
        standard = sys.stdin if mode == "rb" else sys.stdout
        if standard is None:
            raise OSError(f"{'stdin' if mode == 'rb' else 'stdout'} is closed")
        yield standard.buffer
        return
    number = _descriptor(path)
    # A descriptor is used itself: its file may be open at another place than its beginning, or have no name.
    with open(path if number is None else os.dup(number), mode) as file:
        yield file


def _descriptor(path: Path) -> int | None:
    match = DESCRIPTOR.fullmatch(path.as_posix())
    return None if match is None else NUMBERS[match[1]] if match[1] else int(match[2])


@contextmanager
def _blamed(path: Path, what: str) -> Iterator[None]:
    """Turn errors of the system into an `ImageError`; that nobody reads a pipe any more stays a `BrokenPipeError`."""
    try:
        yield
    except BrokenPipeError:
        raise
    except (OSError, ValueError) as error:  # ValueError: closed within Python
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise ImageError(f"{path}: cannot be {what} ({reason}); check what is at its other end") from None
