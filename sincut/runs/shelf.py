"""The shelf of models: run folders and model files are listed, renamed, deleted, added, and freed of their checkpoints.

`entries` lists all below a folder and `entry` tells of one; `renamed`, `delete`, `free` and `added` change them.
`freeable` says what `free` would give back, `check_own` and `check_name` raise what would be refused. A model card is
made by `runs/hub_card.py`. A path is that of a run folder or of a model file beside such folders.

Nothing is touched but what sincut has written: a file counts as its own by the metadata at its beginning, a folder by
such a file or by the metrics of a training; in a folder only files go that trainings write. A run that is being
trained is refused. Each change is one rename or leaves something that the same call finishes.
"""

import errno
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

from sincut.errors import ModelError, RunError, SincutError
from sincut.files import LOCK_FILE, PART, UMASK, is_locked, locked, sha256, stat_of
from sincut.model.file import CHECKPOINT_FILE, FORMAT, MODEL_BEFORE, MODEL_FILE, model_path
from sincut.model.markup import short
from sincut.model.model import describe
from sincut.model.provenance import Provenance
from sincut.report.history import METRICS_FILE, PREVIEWS, REPORT_FILE, History
from sincut.runs.again import INPUTS
from sincut.translation.loading import load_model

SUFFIX = Path(MODEL_FILE).suffix
DEPTH = 2  # levels of folders below that of all runs in which runs are looked for
LOG_FILE = "training.log"  # stderr of a training that the page has started
# All that trainings write into a run folder, the model last: what is deleted only in part is still listed.
FILES = (CHECKPOINT_FILE, METRICS_FILE, REPORT_FILE, LOG_FILE, MODEL_BEFORE, MODEL_FILE)
FOLDERS = {  # and in folders of it, by patterns; the inner ones first
    PREVIEWS: ("[0-9]*.jpg", "painting*.jpeg", "photo*.jpeg"),
    f"{INPUTS}/painting": ("*",),
    f"{INPUTS}/photo": ("*",),
    INPUTS: (),
    "tensorboard": ("events.out.tfevents.*",),
}
LONGEST_HEADER = 32_000_000  # bytes of JSON at the beginning of a safetensors file; thumbnails are most of it
STALE_SECONDS = 3600.0  # after which no process still copies a model
LONGEST_NAME = 200  # bytes in UTF-8: file systems end at 255, and files that are being written have longer names
FORBIDDEN = frozenset('/\\<>:"|?*')  # in names of files, by Windows
RESERVED = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))})

TRAINING, FINISHED, STOPPED = "training", "finished", "stopped"
UNTRAINED, DAMAGED = "untrained", "damaged"  # there is no step in the model, or no model yet; it cannot be read


@dataclass(frozen=True)
class Entry:
    """A model on the shelf, as far as its files tell."""

    name: str  # path below the folder of all, with slashes
    path: Path  # of the run folder or model file
    state: str  # TRAINING, FINISHED, STOPPED, UNTRAINED or DAMAGED
    direction: str = ""  # as in "painting -> photo"
    changed: float = 0.0  # when its model, else its folder, was last written to, in seconds since 1970
    steps: int = 0  # done
    planned_steps: int = 0  # 0: not known
    seconds: float | None = None  # trained
    figures: Mapping[str, float] = field(default_factory=dict)  # by name, as in `report.measures.FIGURES`
    size: int = 0  # bytes of the model file
    checkpoint: int = 0  # bytes of the checkpoint; 0: there is none
    error: str = ""  # why it cannot be read

    @property
    def date(self) -> datetime:
        """When it was last written to, in UTC."""
        return datetime.fromtimestamp(self.changed, UTC)

    def to_dict(self) -> dict[str, Any]:
        """All that is told, as plain values; the time as in 2026-11-27T09:30:00+00:00."""
        told = {**asdict(self), "path": str(self.path), "figures": dict(self.figures)}
        return {**told, "changed": self.date.isoformat(timespec="seconds")}


def entries(folder: Path) -> list[Entry]:
    """All runs and model files in a folder and at most `DEPTH` levels below it, the one last written to first.

    A run folder is its own only entry. Raises `RunError` if the folder is not there or cannot be read.
    """
    try:
        paths = [folder] if is_run(folder) else list(_below(folder, DEPTH))
    except OSError as error:
        remedy = "train a model first, or name another folder"
        raise RunError(f"{folder}: cannot be listed ({error.strerror}); {remedy}") from None
    listed = [entry(path, folder) for path in paths]
    return sorted(listed, key=lambda each: (-each.changed, each.name))


def _below(folder: Path, depth: int) -> Iterator[Path]:
    """The runs and model files in a folder and in those below it; what is hidden or not sincut's is left out."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.suffix.lower() == SUFFIX and path.is_file():
            if _format(path) in (FORMAT, None):  # one that cannot be read is listed as damaged
                yield path
            continue
        with suppress(OSError):  # a folder that is closed to us
            if is_run(path):
                yield path
            elif depth > 1 and path.is_dir():
                yield from _below(path, depth - 1)


def is_run(path: Path) -> bool:
    """True for a folder that holds a model or checkpoint of sincut, be it cut off, or metrics of a training.

    Also for one in which a training has just begun, or ended before its first step. Raises OSError for a folder that
    cannot be read.
    """
    if not os.path.isdir(path):
        return False
    if any(_format(path / name) == FORMAT for name in (MODEL_FILE, CHECKPOINT_FILE)):
        return True
    with suppress(RunError):
        history = History.read(path)
        if history.sessions or history.losses or history.figures:
            return True
    names = {file.name for file in path.iterdir() if not file.name.endswith(PART)}
    own = {*FILES, *FOLDERS, LOCK_FILE}
    begun = LOCK_FILE in names and bool(names & {LOG_FILE, PREVIEWS})  # there has been no step yet
    return begun and (names <= own or is_locked(path))


def _format(path: Path) -> str | None:
    """The format that the beginning of a safetensors file tells, "" if none; None for what is no such file."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if 0 < length <= LONGEST_HEADER else None
    except (OSError, ValueError, RecursionError):
        return None
    metadata = header.get("__metadata__", {}) if isinstance(header, dict) else None
    return str(metadata.get("format", "")) if isinstance(metadata, dict) else None


def entry(path: Path, folder: Path | None = None) -> Entry:
    """The entry of a run folder or model file, named by its path below `folder`, by default the one that it lies in."""
    name = path.absolute().name if folder in (None, path) else path.relative_to(folder or path.parent).as_posix()
    model = model_path(path)
    in_training = path.is_dir() and is_locked(path)
    checkpoint = _bytes(path / CHECKPOINT_FILE) if path.is_dir() else 0
    told = Entry(name, path, TRAINING, changed=_changed(path), size=_bytes(model), checkpoint=checkpoint)
    if not model.is_file():
        return told if in_training else replace(told, state=UNTRAINED)
    try:
        known = describe(path)[1]
    except SincutError as error:
        return replace(told, state=DAMAGED, error=str(error))
    over = known.is_finished or (not known.planned_steps and not checkpoint)
    at_rest = UNTRAINED if known.planned_steps and not known.steps else FINISHED if over else STOPPED
    return replace(
        told,
        state=TRAINING if in_training else at_rest,
        direction=short(known.direction),
        steps=known.steps,
        planned_steps=known.planned_steps,
        seconds=known.seconds,
        figures=known.figures,
    )


def _bytes(path: Path) -> int:
    """The size of a file; 0 where there is none."""
    stat = stat_of(path)
    return stat[0] if stat else 0


def _changed(path: Path) -> float:
    """When the model, else the checkpoint, the metrics or the folder was last written to, in seconds since 1970."""
    for file in (model_path(path), path / CHECKPOINT_FILE, path / METRICS_FILE, path):
        if stat := stat_of(file):
            return stat[1] / 1e9
    return 0.0


def renamed(path: Path, name: str) -> Path:
    """The new path of a run folder or model file, which keeps its place and its suffix.

    Raises `RunError` for a name that is taken or cannot be one, a run that is being trained, and what is not sincut's.
    """
    check_own(path)
    plain = name.removesuffix(SUFFIX)
    check_name(plain)
    target = path.with_name(plain if path.is_dir() else f"{plain}{SUFFIX}")
    with _at_rest(path, "renamed", is_moved=True):
        if os.path.lexists(target) and not (target.exists() and path.exists() and path.samefile(target)):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
        if path.is_dir() or os.path.lexists(target):  # the second: only its case changes
            path.rename(target)
        else:
            _move(path, target)
    return target


def check_name(name: str) -> None:
    """Raise `RunError` unless this can be the name of a run folder, or with a suffix of a file, on any system."""
    odd = sorted(FORBIDDEN.intersection(name)) or [each for each in name if not each.isprintable()]
    if not name.strip():
        why = "it is empty"
    elif odd:
        why = f"it has {odd[0]!r} in it"
    elif name.startswith((".", "-", " ", "~")) or name.endswith((".", " ")):
        why = "of a name the first is no dot, dash, tilde or space, and the last no dot or space"
    elif name.partition(".")[0].lower() in RESERVED:
        why = "Windows keeps it for itself"
    elif len(name.encode("utf-8", "replace")) > LONGEST_NAME:
        why = f"it has more than {LONGEST_NAME} bytes"
    else:
        return
    raise RunError(f"{name!r}: is no name for a model: {why}; choose another")


def delete(path: Path) -> list[str]:
    """Delete a model file, or from a run folder all that a training has written; the folder, too, if that was all.

    Returns the names of what is left in the folder. Raises `RunError` for a run that is being trained, for what is not
    sincut's, and where something cannot be deleted.
    """
    check_own(path)
    if not path.is_dir():
        with _at_rest(path, "deleted"):
            path.unlink()
        return []
    if path.is_symlink():
        raise RunError(f"{path}: is a link to {path.resolve()}; name that folder, or remove the link yourself")
    with _at_rest(path, "deleted"):
        for file in _own(path):
            file.unlink(missing_ok=True)
        for name in FOLDERS:
            with suppress(OSError):  # it is not there, not empty, or a link
                (path / name).rmdir()
    with suppress(OSError):  # that lock is held no longer; where it is again, a new training has just begun there
        if not is_locked(path) and not any(os.path.lexists(path / name) for name in FILES):
            (path / LOCK_FILE).unlink(missing_ok=True)
            path.rmdir()
    return sorted(each.name for each in path.iterdir()) if path.exists() else []


def _own(folder: Path) -> list[Path]:
    """The files in a run folder that a training has written, the model last; folders that are links are left alone."""
    inner = [
        file
        for name, patterns in FOLDERS.items()
        if not (folder / name).is_symlink() and not (folder / name).parent.is_symlink()
        for pattern in (*patterns, f".*{PART}")
        for file in (folder / name).glob(pattern)
        if file.is_symlink() or not file.is_dir()
    ]
    return [*inner, *folder.glob(f".*{PART}"), *(folder / name for name in FILES)]


def freeable(path: Path) -> int:
    """Bytes of the checkpoint of a finished run, which only training longer needs; 0 for any other."""
    with suppress(SincutError):
        if path.is_dir() and describe(path)[1].is_finished:
            return _bytes(path / CHECKPOINT_FILE)
    return 0


def free(path: Path) -> int:
    """Delete the checkpoint of a finished run, which then cannot be trained longer; returns the bytes.

    Raises `RunError` for a run that is being trained, is not finished, or has none.
    """
    check_own(path)
    with _at_rest(path, "freed of its checkpoint"):
        size = freeable(path)
        if not size:
            has_one = path.is_dir() and _bytes(path / CHECKPOINT_FILE)
            why = "is not finished, and goes on from its checkpoint" if has_one else "has no checkpoint to free"
            raise RunError(f"{path}: {why}; nothing was deleted")
        (path / CHECKPOINT_FILE).unlink()
    return size


def added(file: Path, folder: Path, name: str = "") -> Path:
    """The path of a copy of a model in a folder of runs, which is made if it is missing.

    `file` is a model file or run folder, of which the model alone is taken. The copy is named `name`, by default as the
    file or folder is, or a `MODEL_FILE` as its pictures are; where a run or model of that name is there, with -2, -3,
    ... appended. It is loaded before it gets its name. Raises `ModelError` for what is no whole model, and `RunError`
    where it is there already, for a name that cannot be one, and where it cannot be written.
    """
    source = model_path(file)
    plain = name.removesuffix(SUFFIX) or _name_of(file, describe(source)[1])
    check_name(plain)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for other in entries(folder):
            if other.size == _bytes(source) and sha256(model_path(other.path)) == sha256(source):
                raise RunError(f"{file}: is there already, as {other.name}; nothing was added")
        with _copied(source, folder) as copy:
            try:
                load_model(copy)
            except ModelError as error:
                raise ModelError(str(error).replace(str(copy), str(source))) from None
            return _named(copy, folder, plain)
    except OSError as error:
        what = error.strerror or error
        raise RunError(f"{folder}: cannot be written ({what}); free some space, or name another folder") from None


def _named(copy: Path, folder: Path, plain: str) -> Path:
    """Give a file the first name in a folder that neither a file nor a run has, and return its path there."""
    for number in itertools.count(1):
        target = folder / f"{plain}{f'-{number}' if number > 1 else ''}{SUFFIX}"
        if not os.path.lexists(target.with_suffix("")):
            with suppress(FileExistsError):
                _move(copy, target)
                break
    return target


def _name_of(file: Path, known: Provenance) -> str:
    """The name for a copy of a model: that of its file or folder, or of a nameless file that of its pictures."""
    if file.is_dir():
        return file.resolve().name
    if file.name != MODEL_FILE or known.source is None or known.target is None:
        return file.stem
    return f"{PurePath(known.source.name).stem}-to-{PurePath(known.target.name).stem}"


@contextmanager
def _copied(source: Path, folder: Path) -> Iterator[Path]:
    """A copy of a file in a folder, flushed to the disk, by a hidden name; it is removed unless it gets another one.

    Those that killed processes have left there are removed first; a younger one may still be written.
    """
    for part in folder.glob(f".*{PART}"):
        stat = stat_of(part)
        if stat and time.time() - stat[1] / 1e9 > STALE_SECONDS:
            part.unlink(missing_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".", suffix=PART, delete=False) as file:
        copy = Path(file.name)
    try:
        shutil.copyfile(source, copy)
        copy.chmod(0o666 & ~UMASK)
        with copy.open("rb+") as file:
            os.fsync(file.fileno())
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def _move(path: Path, target: Path) -> None:
    """Give a file a name that nobody has. Raises FileExistsError if another process is faster."""
    try:
        os.link(path, target, follow_symlinks=False)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):  # a file system without hard links
        with target.open("xb"):  # takes the name
            pass
        path.replace(target)
        return
    path.unlink()


def check_own(path: Path) -> None:
    """Raise `RunError` unless this is a run folder, or a model file that is no part of one."""
    if not os.path.lexists(path):
        raise RunError(f"{path}: there is no such run or model; `sincut models` lists those that are there")
    if path.is_dir():
        try:
            is_own = is_run(path)
        except OSError as error:
            raise RunError(f"{path}: cannot be looked into ({error.strerror}); check its permissions") from None
        if not is_own:
            raise RunError(f"{path}: holds no training of sincut, so it is left alone; give a run folder")
    elif _format(path) != FORMAT:
        raise RunError(
            f"{path}: does not begin as a model of sincut, so it is left alone; delete or rename it yourself"
        )
    elif path.name in FILES and any(os.path.lexists(path.parent / name) for name in FILES if name != path.name):
        raise RunError(f"{path}: is a part of a run; give its folder: {path.parent}")


@contextmanager
def _at_rest(path: Path, done: str, is_moved: bool = False) -> Iterator[None]:
    """A block in which no training writes to a run folder, and every OSError becomes a `RunError`: it cannot be `done`.

    A folder with open files cannot be moved on Windows, so there the lock is only looked at if it `is_moved`.
    """
    with ExitStack() as held:
        if path.is_dir():
            if is_locked(path):
                raise RunError(f"{path}: is being trained; stop it first")
            if not (is_moved and sys.platform == "win32"):
                try:
                    held.enter_context(locked(path))
                except RunError:
                    why = "it is closed to writing, or a training has just begun there"
                    raise RunError(f"{path}: cannot be {done}: {why}; check its permissions") from None
        try:
            yield
        except FileExistsError as error:
            taken = Path(error.filename2 or error.filename or path).name
            raise RunError(f"{taken}: there is one of that name already; choose another") from None
        except OSError as error:
            where, what = error.filename or path, error.strerror or error
            raise RunError(f"{where}: cannot be {done} ({what}); check its permissions") from None
