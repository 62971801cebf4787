"""Files in other places, named by URLs such as s3://bucket/scans, through fsspec (the extra `sincut[remote]`).

A `Url` is a pure path: names are joined and taken apart as those of files, and nothing that wants a local file takes it
for one. Pictures are worked on as local files, see `batch.staged`. See https://filesystem-spec.readthedocs.io.
"""

import contextlib
import hashlib
import os
import re
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from sincut.errors import ConfigError, ImageError, RunError, SincutError
from sincut.files import PART, sha256, stat_of

EXTRA = "pip install 'sincut[remote]'"
ALIASES = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "abfss": "abfs", "az": "abfs"}  # one name for one place
HERE = ("file", "local")  # schemes of this machine
WHOLE = ("s3", "gs", "abfs", "oss", "oci", "hf")  # object stores: an object appears when all of it has arrived
TIMES = ("LastModified", "mtime", "modified", "last_modified", "updated", "created")  # as file systems call it
PIECES = "manifest"  # the folder of a manifest where nothing can be appended
PIECE_SECONDS = 10.0  # at least, between two pieces
PIECE_SHARE = 0.02  # at least, between two pieces, of the time since the run began
PIECE_LINES = 20_000  # with which a piece is written whatever the time
READ_AT_ONCE = 64  # pieces
CHAIN = "::"  # joins file systems in URLs of fsspec; in names it is like any other text
NEVER = "\ufdd0\ufdd1"  # stands for it there: characters that Unicode keeps out of all text
URL = re.compile(r"([a-z][a-z0-9+.-]+)://(.*)", re.DOTALL)


class Url(PurePosixPath):
    """A place in another file system. Its first part is the scheme, as in ("s3:", "bucket", "scans").

    A relative one, as `relative_to` gives, has no scheme, and its text is that of a plain relative path.
    """

    __slots__ = ()

    def __str__(self) -> str:
        scheme, rest = self.parts[:1], self.parts[1:]
        return f"{scheme[0]}//{'/'.join(rest)}" if scheme and scheme[0].endswith(":") else super().__str__()

    def __fspath__(self) -> str:
        raise TypeError(f"{self} is no local file")

    @property
    def scheme(self) -> str:
        """The scheme, such as "s3"."""
        return self.parts[0].removesuffix(":")

    def located(self) -> tuple[Any, str]:
        """Its file system of fsspec, and its key there. Raises `RunError` where an extra is missing."""
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise RunError(f"{self}: URLs need an extra: {EXTRA}") from None
        try:
            system, key = url_to_fs(str(self).replace(CHAIN, NEVER))
        except ImportError as error:  # of the file system's own package
            what = EXTRA if self.scheme == "s3" else "its package is not installed"
            raise RunError(f"{self}: {_reason(error)}: {what}") from None
        except Exception as error:
            raise RunError(f"{self}: cannot be used ({_reason(error)}); check the URL") from None
        return system, str(key).replace(NEVER, CHAIN)

    def stamp(self) -> tuple[int, int] | None:
        """Size in bytes, and a number that changes with the file: a digest of its tag, or its time in ns.

        None where there is no file. Raises `ImageError` where that cannot be found out.
        """
        known = self._listing()
        if known is not None:
            return known.get(str(self))
        system, key = self.located()
        with _reached(self):
            try:
                info = system.info(key)
            except FileNotFoundError:
                return None
        return None if info.get("type") == "directory" else _stamp_of(info)

    def _listing(self) -> "dict[str, tuple[int, int]] | None":
        """The listing (see `listings`) of a folder that it lies in; None where none was made."""
        listed = _LISTED.get() or {}
        return next((known for folder, known in listed.items() if self.is_relative_to(folder)), None)

    def exists(self) -> bool:
        """True if a file or a folder is there."""
        return self.is_file() or (self._listing() is None and self.is_dir())

    def is_file(self) -> bool:
        """True if a file is there."""
        return self.stamp() is not None

    def is_dir(self) -> bool:
        """True if a folder is there: on an object store, if any key lies below it."""
        system, key = self.located()
        with _reached(self):
            return bool(system.isdir(key))

    def files(self, refused: Callable[[str], None] = lambda reason: None) -> Iterator["Url"]:
        """All files below, in order of their names, as they are now.

        A name that no file of this machine can have is left out, and `refused` is given a line about it. Raises
        `ImageError` where the folder cannot be listed.
        """
        system, key = self.located()
        with _reached(self):
            system.invalidate_cache()
            infos = system.find(key, detail=True)
        base, listed, known = key.rstrip("/") + "/", _LISTED.get(), dict[str, tuple[int, int]]()
        if listed is not None:
            listed[self] = known
        for name in sorted(infos):
            if not name.startswith(base) or name.endswith("/") or infos[name].get("type") == "directory":
                continue  # consoles of object stores keep empty objects as folders
            parts = name.removeprefix(base).split("/")
            wrong = next((part for part in parts if not _is_name(part)), None)
            if wrong is not None:
                below = name.removeprefix(base)
                refused(f"{self}/{below}: {wrong!r} is no name of a file or folder, it is left out; rename it there")
                continue
            file = self.joinpath(*parts)
            known[str(file)] = _stamp_of(infos[name])
            yield file

    def fetch(self, local: Path) -> None:
        """Copy the file here. Raises `ImageError`."""
        system, key = self.located()
        with _reached(self):
            system.get_file(key, str(local))

    def sha256(self) -> str:
        """The SHA-256 of its bytes, as hex digits. Raises `ImageError`."""
        system, key = self.located()
        with _reached(self), system.open(key, "rb") as file:
            digest = hashlib.sha256()
            while data := file.read(2**20):
                digest.update(data)
        return digest.hexdigest()


def _is_name(part: str) -> bool:
    """True if a part of a key can be the name of a file or folder of this machine."""
    return part not in ("", ".", "..") and "\0" not in part and not (os.name == "nt" and set(part) & set('\\:*?"<>|'))


AnyPath = Path | Url
_LISTED: ContextVar[dict[Url, dict[str, tuple[int, int]]] | None] = ContextVar("_LISTED", default=None)


@contextlib.contextmanager
def listings() -> Iterator[None]:
    """Inside this context, questions about a folder that was listed are answered from that listing, with no request."""
    token = _LISTED.set({})
    try:
        yield
    finally:
        _LISTED.reset(token)


def place(text: str) -> AnyPath:
    """The path or URL that a text names; `file://` stands for the path itself. Raises `ConfigError`.

    `-` stays what it is, and stands for stdin or stdout; `./-` is a file of that name.
    """
    if "://" not in text:
        path = Path(text)
        return path.absolute() if path == Path("-") and text != "-" else path
    match = URL.fullmatch(text)
    if not match:
        raise ConfigError(f"{text}: is no URL; write it as in s3://bucket/folder")
    scheme, rest = ALIASES.get(match[1], match[1]), match[2]
    if scheme in HERE:
        return _place_here(text, rest)
    if ".." in rest.split("/"):
        raise ConfigError(f"{text}: has .. in it; write the place itself")
    if not rest.strip("/") or (rest.startswith("/") and scheme != "memory"):
        raise ConfigError(f"{text}: names no bucket or host; write it as in s3://bucket/folder")
    return Url(f"{scheme}:/{rest}")


def _place_here(text: str, rest: str) -> Path:
    """The path of a file URL, see https://www.rfc-editor.org/rfc/rfc8089. Raises `ConfigError` for other machines."""
    from urllib.request import url2pathname  # takes a while

    host, slash, path = rest.partition("/")
    if host.lower() not in ("", "localhost") or not slash:
        raise ConfigError(f"{text}: names no file of this machine; write it as in file:///folder/x.png, or as a path")
    return Path(url2pathname(slash + path))


def exists(path: AnyPath) -> bool:
    """True if a file or folder is there; unlike `Path.exists`, False and no error for one that may not be looked at."""
    return path.exists() if isinstance(path, Url) else os.path.exists(path)


def stamp_of(path: AnyPath) -> tuple[int, int] | None:
    """Size and time of a file, as `files.stat_of` and `Url.stamp` give them; None where there is none.

    Raises `ImageError` for a URL where that cannot be found out.
    """
    return path.stamp() if isinstance(path, Url) else stat_of(path)


def sha256_of(path: AnyPath) -> str:
    """The SHA-256 of a file's bytes, as hex digits. Raises OSError for a local file, `ImageError` for a URL."""
    return path.sha256() if isinstance(path, Url) else sha256(path)


def put(local: Path, url: Url) -> None:
    """Copy a file there, whole or not at all. Raises `ImageError`.

    Object stores show nothing of an object before all of it is there. Elsewhere it is written beside its name and
    renamed; what a killed process leaves ends in `files.PART`.
    """
    system, key = url.located()
    with _reached(url, "written"):
        if url.scheme in WHOLE:
            system.put_file(str(local), key)
            return
        folder, _, name = key.rpartition("/")
        part = f"{folder}/.{name[:40]}.{secrets.token_hex(4)}{PART}"
        system.makedirs(folder, exist_ok=True)
        try:
            system.put_file(str(local), part)
            _rename(system, part, key)
        except BaseException:
            with contextlib.suppress(Exception):
                system.rm_file(part)
            raise


def _rename(system: Any, old: str, new: str) -> None:
    """Give a file its name. The `mv` that fsspec itself has would take brackets and question marks for patterns."""
    from fsspec.spec import AbstractFileSystem

    if type(system).mv is not AbstractFileSystem.mv:
        system.mv(old, new)
        return
    system.cp_file(old, new)
    system.rm_file(old)


class Pieces:
    """A manifest's lines on an object store, which cannot append: in pieces, objects that are written once and stay.

    So no line can be torn, and several machines cannot overwrite each other's lines. Lines wait for the next piece,
    longer in longer runs: a day makes some hundreds of pieces. The names of pieces sort by time.
    """

    def __init__(self, folder: Url) -> None:
        self.folder = folder / PIECES
        self.waiting: list[bytes] = []
        self.seen: set[str] = set()  # names of pieces that were read, or written here
        self.began = self.written = time.monotonic()

    def read(self) -> Iterator[str]:
        """The lines of all pieces that have not been seen before. Raises `ImageError`."""
        files = [file for file in self.folder.files() if file.suffix == ".jsonl" and file.name not in self.seen]
        system = self.folder.located()[0]
        for start in range(0, len(files), READ_AT_ONCE):
            batch = files[start : start + READ_AT_ONCE]
            keys = [file.located()[1] for file in batch]
            with _reached(self.folder):
                contents = system.cat_ranges(keys, None, None)  # `cat` would take brackets in them for patterns
                for error in (data for data in contents if isinstance(data, Exception)):
                    raise error
            for file, data in zip(batch, contents, strict=True):
                yield from data.decode("utf-8", "surrogateescape").split("\n")
                self.seen.add(file.name)

    def append(self, line: bytes) -> None:
        """Add a line, with its newline. Raises `RunError`."""
        self.waiting.append(line)
        now = time.monotonic()
        due = now - self.written >= max(PIECE_SECONDS, PIECE_SHARE * (now - self.began))
        if due or len(self.waiting) >= PIECE_LINES:
            self.flush()

    def flush(self) -> None:
        """Write the lines that wait, as one piece. Raises `RunError`."""
        if not self.waiting:
            return
        name = f"{time.time_ns():020}-{secrets.token_hex(4)}.jsonl"
        with tempfile.TemporaryDirectory(prefix="sincut-") as here:
            local = Path(here, name)
            local.write_bytes(b"".join(self.waiting))
            try:
                put(local, self.folder / name)
            except ImageError as error:
                raise RunError(str(error)) from None
        self.seen.add(name)
        self.waiting.clear()
        self.written = time.monotonic()


@contextlib.contextmanager
def _reached(url: Url, what: str = "read") -> Iterator[None]:
    """Turn all that a file system raises into an `ImageError` with the remedy; `what` was tried: read, written."""
    try:
        yield
    except SincutError:
        raise
    except FileNotFoundError:
        raise ImageError(f"{url}: there is no such file or folder; check the URL") from None
    except Exception as error:  # each kind of file system has errors of its own
        remedy = "check the URL, the network and your credentials"
        raise ImageError(f"{url}: cannot be {what} ({_reason(error)}); {remedy}") from None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _stamp_of(info: dict[str, Any]) -> tuple[int, int]:
    return int(info.get("size") or 0), _changed(info)


def _changed(info: dict[str, Any]) -> int:
    """A number that changes with a file: from its tag if it has one, as listings round times, else its time in ns."""
    tag = info.get("ETag") or info.get("etag")
    if tag:
        return int.from_bytes(hashlib.sha256(str(tag).encode()).digest()[:7])
    value = next((info[name] for name in TIMES if info.get(name)), 0)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return 0
    seconds = value.timestamp() if isinstance(value, datetime) else float(value)
    return round(seconds * 1e6) * 1000
