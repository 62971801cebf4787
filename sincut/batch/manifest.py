"""What has been done in a folder: `manifest.jsonl`, a line of JSON for each picture, appended when it is finished.

A line says which source (its path, size, time and SHA-256), by which recipe (model and options), went to which output,
in how many seconds, and how it ended. A short line before it says that a picture is begun: an output of which nothing
more is known was cut off by a crash, and is done again. Of several lines on one output the last counts; a damaged line
is ignored.

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
    source: str
    sha256: str
    size: int
    mtime_ns: int
    recipe: Mapping[str, Any]
    seconds: float
    written: tuple[int, int] | None = None
    error: str = ""


@dataclass(frozen=True)
class _Known:
    """What is kept in memory of an entry; a million of them must fit."""

    status: str
    sha256: str
    size: int
    mtime_ns: int
    recipe: bytes
    written: tuple[int, int] | None
    source: bytes = b""  # a digest of its path


@dataclass
class Manifest:
    """The manifest of an output folder; nothing is written before the first entry."""

    folder: AnyPath
    known: dict[str, _Known] = field(default_factory=dict)
    pieces: Pieces | None = None  # where nothing can be appended

    @classmethod
    def load(cls, folder: AnyPath) -> "Manifest":
        """The manifest of a folder, empty where there is none. Raises `RunError` where it cannot be read."""
        found = cls(folder, pieces=Pieces(folder) if isinstance(folder, Url) else None)
        for line in found._lines():
            found._read(line)
        return found

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
        """Write what waits for others to be written with it. Raises `RunError`."""
        if self.pieces is not None:
            self.pieces.flush()

    def _begin(self, source: AnyPath, output: AnyPath) -> None:
        found = None if isinstance(source, Url) else stamp_of(source)  # of use in place only, where no Url is
        name, (size, mtime_ns) = self._name(output), found or (0, 0)
        self._append({"output": name, "status": BEGUN, "size": size, "mtime_ns": mtime_ns})
        self._remember_begun(name, size, mtime_ns)

    def add(self, entry: Entry) -> None:
        """Append an entry. Raises `RunError`."""
        self._append(asdict(entry))
        self._remember(entry)

    def _lines(self) -> Iterator[str]:
        if self.pieces is not None:
            try:
                yield from self.pieces.read()
            except ImageError as error:
                raise RunError(str(error)) from None
            return
        assert isinstance(self.folder, Path)
        path = self.folder / MANIFEST_FILE
        try:
            with path.open(encoding="utf-8", errors="surrogateescape") as lines:
                yield from lines
        except FileNotFoundError:
            return
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
        """Whether nothing is left to do for `output`, which an entry says is done.

        That is so where it is there and was made by this recipe from this source as it is now. And where it is not this
        manifest's to replace: somebody has changed it since, or it was made from another source. In place nothing is
        done a second time.
        """
        known = self.known.get(self._name(output))
        written = stamp_of(output)
        if known is None or written is None:
            return False
        if source == output or written != known.written or known.source != _path_digest(str(source)):
            return True
        if known.recipe != _digest(recipe):
            return False
        return stamp_of(source) == (known.size, known.mtime_ns) or sha256_of(source) == known.sha256  # only touched

    def is_unchanged(self, source: AnyPath, output: AnyPath) -> bool:
        """Whether the source is as it was when the entry of `output` was written."""
        known = self.known.get(self._name(output))
        return known is not None and stamp_of(source) == (known.size, known.mtime_ns)

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
        self.known[entry.output] = _Known(
            entry.status,
            entry.sha256,
            entry.size,
            entry.mtime_ns,
            _digest(entry.recipe),
            entry.written,
            _path_digest(entry.source),
        )

    def entry(
        self, source: AnyPath, before: tuple[int, int], digest: str, output: AnyPath, recipe: Mapping[str, Any],
        seconds: float, error: str = "", written: tuple[int, int] | None = None,
    ) -> Entry:  # fmt: skip
        """An entry on a picture that has been done, or has failed where there is an `error`."""
        written = None if error else written or stamp_of(output)
        status = FAILED if error else DONE
        return Entry(
            self._name(output), status, str(source), digest, *before, recipe, round(seconds, 3), written, error
        )


def _digest(recipe: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).digest()[:16]


def _path_digest(path: str) -> bytes:
    """Of a path or a URL; a local path has no two slashes behind each other."""
    return hashlib.sha256(os.fsencode(path if "://" in path else Path(path).absolute())).digest()[:16]


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
