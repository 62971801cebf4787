"""The record of an output folder: `manifest.jsonl`, a line of JSON for each picture, appended when it is finished.

A line says which source (its absolute path or URL, size, time and SHA-256), by which recipe (model and options), went
to which output, in how many seconds, and how it ended. A short line before it says that a picture is begun: an output
of which nothing more is known was cut off by a crash, and is done again. Of several lines on one output the last
counts; a damaged line is ignored.

Object stores cannot append. There the lines stand in the objects of a folder `manifest/`, see `remote.Pieces`; what
will be written is said before the run begins, and what has been is told every few seconds.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sincut.batch.remote import AnyPath, Pieces, Url, sha256_of, stamp_of
from sincut.errors import ImageError, RunError

MANIFEST_FILE = "manifest.jsonl"
BEGUN, DONE, FAILED = "begun", "done", "failed"


@dataclass(frozen=True)
class Entry:
    """One line. `size` and `mtime_ns` are the source's before, `written` the output's size and time after."""

    output: str  # relative to the manifest's folder
    status: str
    source: str  # absolute, or a URL; early versions wrote it as it was typed
    sha256: str
    size: int
    mtime_ns: int
    recipe: Mapping[str, Any]
    seconds: float
    written: tuple[int, int] | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Known:
    """The part of an entry that is kept in memory; a million of them must fit."""

    status: str
    sha256: str
    size: int
    mtime_ns: int
    recipe: bytes  # a digest
    written: tuple[int, int] | None
    source: bytes = b""  # a digest of its absolute path
    real_source: bytes = b""  # the same with the links in its folder followed


@dataclass
class Manifest:
    """The manifest of an output folder; nothing is written before the first entry."""

    folder: AnyPath
    known: dict[str, _Known] = field(default_factory=dict)
    pieces: Pieces | None = None  # where nothing can be appended
    file_read: int = 0  # the inode of the file that was read, which may have been replaced since
    bytes_read: int = 0  # of it, so far
    real_folders: dict[str, str] = field(default_factory=dict)  # of sources, with links followed

    @classmethod
    def load(cls, folder: AnyPath) -> "Manifest":
        """The manifest of a folder, empty where there is none. Raises `RunError` where it cannot be read."""
        manifest = cls(folder, pieces=Pieces(folder) if isinstance(folder, Url) else None)
        manifest.refresh()
        return manifest

    def refresh(self) -> None:
        """Learn the lines that have been added since the last time. Raises `RunError` where they cannot be read."""
        self.real_folders.clear()
        for line in self._new_lines():
            self._read(line)

    def announce(self, outputs: Iterable[tuple[AnyPath, AnyPath]]) -> None:
        """Say that all these (source, output) will be written, where that has to be said beforehand.

        Raises `RunError`.
        """
        if self.pieces is None:
            return
        for source, output in outputs:
            self._begin(source, output)
        self.pieces.flush()

    def begin(self, source: AnyPath, output: AnyPath) -> None:
        """Say that `output` will be written, before any of it is. Raises `RunError`."""
        if self.pieces is None:
            self._begin(source, output)

    def flush(self) -> None:
        """Write the lines that wait for others to be written with them. Raises `RunError`."""
        if self.pieces is not None:
            self.pieces.flush()

    def _begin(self, source: AnyPath, output: AnyPath) -> None:
        stamp = None if isinstance(source, Url) else stamp_of(source)  # of use in place only, where no Url is
        name, (size, mtime_ns) = self._name(output), stamp or (0, 0)
        self._append({"output": name, "status": BEGUN, "size": size, "mtime_ns": mtime_ns})
        self._remember_begun(name, size, mtime_ns)

    def add(self, entry: Entry) -> None:
        """Append an entry. Raises `RunError`."""
        self._append(asdict(entry))
        self._remember(entry)

    def _new_lines(self) -> Iterator[str]:
        if self.pieces is not None:
            try:
                yield from self.pieces.read()
            except ImageError as error:
                raise RunError(str(error)) from None
            return
        assert isinstance(self.folder, Path)
        path = self.folder / MANIFEST_FILE
        try:
            with path.open("rb") as file:
                stat = os.fstat(file.fileno())
                if stat.st_ino != self.file_read or stat.st_size < self.bytes_read:  # another file, or the first time
                    self.known.clear()
                    self.file_read, self.bytes_read = stat.st_ino, 0
                file.seek(self.bytes_read)
                for line in file:
                    if line.endswith(b"\n"):  # one that is torn, or being written, is read again next time
                        self.bytes_read += len(line)
                    yield line.decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            self.known.clear()
            self.file_read = self.bytes_read = 0
        except OSError as error:
            raise RunError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None

    def _append(self, values: dict[str, Any]) -> None:
        line = (json.dumps(values, ensure_ascii=False) + "\n").encode("utf-8", "surrogateescape")
        if self.pieces is not None:
            self.pieces.append(line)
            return
        assert isinstance(self.folder, Path)
        path = self.folder / MANIFEST_FILE
        try:
            with path.open("ab") as file:
                torn = file.tell() > 0 and not _ends_with_newline(path)  # by a crash: what follows must not suffer
                file.write((b"\n" if torn else b"") + line)
        except OSError as error:
            raise RunError(f"{path}: cannot be written ({error.strerror}); free some space, then run again") from None

    def status(self, output: AnyPath) -> str:
        """BEGUN, DONE or FAILED, as its last line says; empty for an output without one."""
        known = self.known.get(self._name(output))
        return known.status if known else ""

    def is_done(self, source: AnyPath, output: AnyPath, recipe: Mapping[str, Any]) -> bool:
        """True if an output that an entry calls done needs no work.

        It exists and is current (same recipe, unchanged source), or it is not ours to replace (edited since, or made
        from another source). In place nothing is done a second time. False for a source that cannot be read: the run
        tells what is wrong with it.
        """
        known = self.known.get(self._name(output))
        written = stamp_of(output)
        if known is None or written is None:
            return False
        if source == output or written != known.written or not self._is_source(source, known):
            return True
        return known.recipe == _digest_of_recipe(recipe) and _is_as_recorded(source, known)

    def is_unchanged(self, source: AnyPath, output: AnyPath) -> bool:
        """True if the source has the size and time that it had when the entry of `output` was written."""
        known = self.known.get(self._name(output))
        return known is not None and _stamp_if_reachable(source) == (known.size, known.mtime_ns)

    def is_translated_in_place(self, path: Path) -> bool:
        """True if a file is as it was left when it was replaced by its own translation."""
        known = self.known.get(self._name(path))
        if known is None or known.status != DONE or known.written is None or stamp_of(path) != known.written:
            return False
        named, real = self._digests_of(str(path))
        return named == known.source or real == known.real_source

    def _is_source(self, source: AnyPath, known: _Known) -> bool:
        """True if the output was made from this source: by its path, or by its bytes if it has another one.

        So a folder may be moved, and entries with paths as they were typed count from any folder.
        """
        named, real = self._digests_of(str(source))
        if named == known.source or real == known.real_source:
            return True
        stamp = None if isinstance(source, Url) else stamp_of(source)
        return stamp is not None and stamp[0] == known.size and _is_as_recorded(source, known)

    def _digests_of(self, source: str) -> tuple[bytes, bytes]:
        """Digests of a source's absolute path, as it is named and with the links in its folder followed."""
        if "://" in source:  # a URL; a local path has no two slashes behind each other
            digest = _digest(source.encode("utf-8", "surrogateescape"))
            return digest, digest
        path = Path(source).absolute()
        parent = str(path.parent)
        if parent not in self.real_folders:
            self.real_folders[parent] = os.path.realpath(parent)
        named = _digest(os.fsencode(path))
        if self.real_folders[parent] == parent:
            return named, named
        return named, _digest(os.fsencode(os.path.join(self.real_folders[parent], path.name)))

    def _name(self, output: AnyPath) -> str:
        try:
            return output.relative_to(self.folder).as_posix()
        except ValueError:
            return str(output)

    def _read(self, line: str) -> None:
        """Learn from a line; nothing from a damaged one."""
        try:
            values = json.loads(line)
            if values.get("status") == BEGUN:
                self._remember_begun(str(values["output"]), int(values["size"]), int(values["mtime_ns"]))
                return
            written = values["written"]
            entry = Entry(**{**values, "written": None if written is None else (int(written[0]), int(written[1]))})
            texts, numbers = (entry.output, entry.status, entry.source, entry.sha256), (entry.size, entry.mtime_ns)
            if all(isinstance(t, str) for t in texts) and all(isinstance(n, int) for n in numbers):
                self._remember(entry)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, RecursionError):
            return

    def _remember_begun(self, name: str, size: int, mtime_ns: int) -> None:
        self.known[name] = _Known(BEGUN, "", size, mtime_ns, b"", None)

    def _remember(self, entry: Entry) -> None:
        recipe = _digest_of_recipe(entry.recipe)
        state = entry.status, entry.sha256, entry.size, entry.mtime_ns, recipe, entry.written
        self.known[entry.output] = _Known(*state, *self._digests_of(entry.source))

    def entry(
        self, source: AnyPath, before: tuple[int, int], digest: str, output: AnyPath, recipe: Mapping[str, Any],
        seconds: float, error: str = "", written: tuple[int, int] | None = None,
    ) -> Entry:  # fmt: skip
        """An entry on a picture that has been done, or has failed if there is an `error`."""
        written = None if error else written or stamp_of(output)
        status, place = FAILED if error else DONE, source if isinstance(source, Url) else source.absolute()
        return Entry(self._name(output), status, str(place), digest, *before, recipe, round(seconds, 3), written, error)


def _is_as_recorded(source: AnyPath, known: _Known) -> bool:
    """True if a source has the recorded size and time, or was only touched; False where it cannot be read."""
    try:
        return stamp_of(source) == (known.size, known.mtime_ns) or sha256_of(source) == known.sha256
    except (OSError, ImageError):
        return False


def _stamp_if_reachable(source: AnyPath) -> tuple[int, int] | None:
    try:
        return stamp_of(source)
    except ImageError:
        return None


def _digest_of_recipe(recipe: Mapping[str, Any]) -> bytes:
    return _digest(json.dumps(recipe, sort_keys=True).encode())


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:16]


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
