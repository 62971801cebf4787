"""What has been done in a folder: `manifest.jsonl`, a line of JSON for each picture, appended when it is finished.

A line says which source (its path, size, time and SHA-256), by which recipe (model and options), went to which output,
in how many seconds, and how it ended. A short line before it says that a picture is begun: an output of which nothing
more is known was cut off by a crash, and is done again. Of several lines on one output the last counts; a damaged line
is ignored.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sincut.errors import RunError
from sincut.files import sha256

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

    folder: Path
    known: dict[str, _Known] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> "Manifest":
        """The manifest of a folder, empty where there is none. Raises `RunError` where it cannot be read."""
        found = cls(folder)
        try:
            with (folder / MANIFEST_FILE).open(encoding="utf-8", errors="surrogateescape") as lines:
                for line in lines:
                    found._read(line)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise RunError(
                f"{folder / MANIFEST_FILE}: cannot be read ({error.strerror}); check its permissions"
            ) from None
        return found

    def begin(self, source: Path, output: Path) -> None:
        """Say that `output` will be written, before any of it is. Raises `RunError`."""
        size, mtime_ns = stat_of(source) or (0, 0)
        self._append({"output": self._name(output), "status": BEGUN, "size": size, "mtime_ns": mtime_ns})
        self.known[self._name(output)] = _Known(BEGUN, "", size, mtime_ns, b"", None)

    def add(self, entry: Entry) -> None:
        """Append an entry. Raises `RunError`."""
        self._append(asdict(entry))
        self._remember(entry)

    def _append(self, values: dict[str, Any]) -> None:
        path = self.folder / MANIFEST_FILE
        line = json.dumps(values, ensure_ascii=False) + "\n"
        try:
            with path.open("ab") as file:
                torn = file.tell() > 0 and not _ends_with_newline(path)  # by a crash: what follows must not suffer
                file.write((b"\n" if torn else b"") + line.encode("utf-8", "surrogateescape"))
        except OSError as error:
            raise RunError(f"{path}: cannot be written ({error.strerror}); free some space, then run again") from None

    def status(self, output: Path) -> str:
        """ "done", "failed", or "" for what it does not know."""
        known = self.known.get(self._name(output))
        return known.status if known else ""

    def is_done(self, source: Path, output: Path, recipe: Mapping[str, Any]) -> bool:
        """Whether nothing is left to do for `output`, which an entry says is done.

        That is so where it is there and was made by this recipe from this source as it is now. And where it is not this
        manifest's to replace: somebody has changed it since, or it was made from another source. In place nothing is
        done a second time.
        """
        known = self.known.get(self._name(output))
        written = stat_of(output)
        if known is None or written is None:
            return False
        if source == output or written != known.written or known.source != _path_digest(source):
            return True
        if known.recipe != _digest(recipe):
            return False
        return stat_of(source) == (known.size, known.mtime_ns) or sha256(source) == known.sha256  # only touched

    def is_unchanged(self, source: Path, output: Path) -> bool:
        """Whether the source is as it was when the entry of `output` was written."""
        known = self.known.get(self._name(output))
        return known is not None and stat_of(source) == (known.size, known.mtime_ns)

    def _name(self, output: Path) -> str:
        try:
            return output.relative_to(self.folder).as_posix()
        except ValueError:
            return str(output)

    def _read(self, line: str) -> None:
        """Learn from a line; nothing from a damaged one."""
        try:
            values = json.loads(line)
            if values.get("status") == BEGUN:
                size, mtime_ns = int(values["size"]), int(values["mtime_ns"])
                self.known[str(values["output"])] = _Known(BEGUN, "", size, mtime_ns, b"", None)
                return
            written = values["written"]
            entry = Entry(**{**values, "written": None if written is None else (int(written[0]), int(written[1]))})
            texts, numbers = (entry.output, entry.status, entry.source, entry.sha256), (entry.size, entry.mtime_ns)
            if all(isinstance(t, str) for t in texts) and all(isinstance(n, int) for n in numbers):
                self._remember(entry)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, RecursionError):
            return

    def _remember(self, entry: Entry) -> None:
        self.known[entry.output] = _Known(
            entry.status,
            entry.sha256,
            entry.size,
            entry.mtime_ns,
            _digest(entry.recipe),
            entry.written,
            _path_digest(Path(entry.source)),
        )

    def entry(
        self, source: Path, before: tuple[int, int], digest: str, output: Path, recipe: Mapping[str, Any],
        seconds: float, error: str = "",
    ) -> Entry:  # fmt: skip
        """An entry on a picture that has been done, or has failed where there is an `error`."""
        written = None if error else stat_of(output)
        status = FAILED if error else DONE
        return Entry(
            self._name(output), status, str(source), digest, *before, recipe, round(seconds, 3), written, error
        )


def stat_of(path: Path) -> tuple[int, int] | None:
    """Size and time of a file; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _digest(recipe: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).digest()[:16]


def _path_digest(path: Path) -> bytes:
    return hashlib.sha256(os.fsencode(path.absolute())).digest()[:16]


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, 2)
        return file.read(1) == b"\n"
