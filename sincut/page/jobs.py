"""Run folders seen from outside, and trainings as processes of their own.

A training that is started here is the command `sincut train`: it goes on when whoever started it goes away, and what is
known of it is read from its run folder. So a run that was started here is resumed by the command, and the other way
round. Its pictures are copied into the folder, where a resumed training finds them; its words go to `training.log`.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from sincut.config.sections import Config, resolve, schedule_flags
from sincut.errors import ConfigError, ModelError, RunError
from sincut.files import is_locked, make_folder, sha256, stat_of
from sincut.method.crops import check_size
from sincut.model.model import CHECKPOINT_FILE, MODEL_FILE, describe, load_metadata
from sincut.page.status import LOG_FILE, RUNNING, STOPPING, Status, history_of, last_words, status_at_rest
from sincut.pictures import reading
from sincut.report.history import METRICS_FILE, History, previews
from sincut.runs.folder import default_folder

INPUTS = "inputs"
RUN_FILES = (MODEL_FILE, LOG_FILE, CHECKPOINT_FILE)  # one of them makes a folder a run
ROLES = ("painting", "photo")
DEPTH = 2  # of folders below that of all runs, in which runs are found
CLOSING_SECONDS = 120.0  # that a training has to save, when everything ends
NAME = re.compile(r"\w[\w .()+-]{0,79}")  # of a run: a plain folder, on any system


@dataclass(frozen=True)
class Order:
    """What a new training is to learn, and how. `minutes` None: as the preset says. `settings` are `key=value`."""

    painting: Path
    photo: Path
    reverse: bool = False
    preset: str = "standard"
    minutes: float | None = None
    seed: int = 0
    settings: Sequence[str] = ()
    name: str = ""  # of the run folder; PAINTING-to-PHOTO without one

    def flags(self) -> list[str]:
        """As options of `sincut train`."""
        found = ["--preset", self.preset, "--seed", str(self.seed), *(["--reverse"] if self.reverse else [])]
        found += ["--minutes", f"{self.minutes:g}"] if self.minutes is not None else []
        return found + [flag for setting in self.settings for flag in ("--set", setting)]

    def check(self) -> Config:
        """Raise `ConfigError` or `ImageError` for what the training would refuse."""
        if self.name and (not NAME.fullmatch(self.name) or self.name.endswith((".", " "))):
            raise ConfigError(f"{self.name!r} is no name for a run; use letters, digits, spaces, - and _")
        config = resolve(self.preset, [*self.settings, *schedule_flags(self.minutes, seed=self.seed)])
        for path in (self.painting, self.photo):
            check_size(str(path), *reading.size_of(path), config.crops)
        return config


@dataclass
class Trainings:
    """The runs in a folder, and the trainings of them that were started here. Safe to use from several threads."""

    runs: Path
    device: str = "auto"
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)  # to stop
    known: dict[str, tuple[tuple[Any, ...], Status]] = field(default_factory=dict)  # by the files that tell it
    closed: bool = False  # no training can be started any more
    lock: threading.RLock = field(default_factory=threading.RLock)  # of the fields above

    def names(self) -> list[str]:
        """Of all runs, the latest first: folders below that of all runs."""
        found = {path.parent for path in _below(self.runs, RUN_FILES)}
        return [self._name(path) for path in sorted(found, key=_changed, reverse=True)]

    def models(self) -> list[str]:
        """Of all models, the latest first: runs that have one already, and model files that lie among them."""
        found = {path.parent for path in _below(self.runs, (MODEL_FILE,))}
        found |= set(self.runs.glob(f"*{Path(MODEL_FILE).suffix}"))
        return [self._name(path) for path in sorted(found, key=_changed, reverse=True)]

    def path(self, name: str) -> Path:
        """Of a run or model that `names` or `models` tell; nothing else in the world. Raises `RunError`."""
        plain, path = PurePath(name), self.runs / name
        inside = plain.as_posix() == name and not plain.anchor and ".." not in plain.parts
        files = [path / file for file in RUN_FILES]
        if len(plain.parts) == 1 and plain.suffix == Path(MODEL_FILE).suffix:
            files.append(path)
        if not inside or not 0 < len(plain.parts) <= DEPTH or not any(map(os.path.exists, files)):
            raise RunError(f"{name}: no such run in {self.runs}; choose another")
        return path

    def start(self, order: Order) -> str:
        """Begin a training in a process of its own; returns the run's name. Raises `SincutError`."""
        order.check()
        with self.lock:
            folder = default_folder(order.painting, order.photo, self.runs, order.name)
            make_folder(folder, RunError)
        pictures = [
            _copied(p, folder / INPUTS / role) for p, role in zip((order.painting, order.photo), ROLES, strict=True)
        ]
        return self._begin(folder, [*map(str, pictures), *order.flags()])

    def resume(self, name: str, candidates: Sequence[Path] = ()) -> str:
        """Go on with a run that was stopped; its pictures may be among `candidates`. Raises `SincutError`."""
        folder = self.path(name)
        if self.status(name).phase in (RUNNING, STOPPING):
            raise RunError(f"{name}: is being trained already; wait for it or stop it")
        known = _inputs_of(folder)
        pictures = [_found(folder, known, number, candidates) for number in range(2)]
        reverse = ["--reverse"] if str(known["direction"]).startswith("photo") else []
        return self._begin(folder, [*map(str, pictures), "--resume", *reverse])

    def stop(self, name: str) -> None:
        """Ask a training to save and end. Raises `RunError` for one that was started elsewhere."""
        with self.lock:
            process = self.processes.get(name)
            if process is not None and process.poll() is None:
                self._interrupt(name, process)
            elif self.status(name).phase == RUNNING:
                raise RunError(f"{name}: was started elsewhere; stop it there, with Ctrl-C")

    def close(self) -> list[str]:
        """Stop all trainings that were started here and wait until they have saved; from now on none can be started.

        Returns the names of those that can be resumed. Waits `CLOSING_SECONDS` at most.
        """
        with self.lock:
            self.closed = True
            running = {name: process for name, process in self.processes.items() if process.poll() is None}
            for name, process in running.items():
                self._interrupt(name, process)
        until = time.monotonic() + CLOSING_SECONDS
        for process in running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, until - time.monotonic()))
        return [name for name in running if self._status(self.runs / name).is_resumable]

    def status(self, name: str) -> Status:
        """Where a run stands, from its folder and its process. Raises `RunError`."""
        return self._status(self.path(name))

    def statuses(self) -> dict[str, Status]:
        """Of all runs, the latest first."""
        return {name: self._status(self.runs / name) for name in self.names()}

    def _status(self, folder: Path) -> Status:
        name = self._name(folder)
        process = self.processes.get(name)
        own = process is not None and process.poll() is None
        if own or is_locked(folder):
            return Status(STOPPING if own and name in self.asked else RUNNING, *last_words(folder))
        files = tuple(stat_of(folder / file) for file in (MODEL_FILE, CHECKPOINT_FILE, METRICS_FILE, LOG_FILE))
        if self.known.get(name, ((), None))[0] != files:
            self.known[name] = files, status_at_rest(folder)
        return self.known[name][1]

    def history(self, name: str) -> History:
        """Losses and figures by step."""
        return history_of(self.path(name))

    def previews(self, name: str) -> list[Path]:
        """Pictures of the whole painting, the last one last."""
        return list(previews(self.path(name)).values())

    def picture(self, name: str, role: str) -> Path | None:
        """The painting or the photo, where it was copied into the run folder."""
        return next(iter(sorted((self.path(name) / INPUTS / role).glob("*"))), None)

    def about(self, name: str) -> tuple[Config, dict[str, Any]]:
        """Configuration and provenance of a model. Raises `ModelError`."""
        return describe(self.path(name))

    def _begin(self, folder: Path, arguments: list[str]) -> str:
        """Start `sincut train` with these arguments for a run folder; returns the run's name. Raises `RunError`."""
        name = self._name(folder)
        command = [sys.executable, "-m", "sincut", "train", *arguments, "-o", str(folder), "--json"]
        command += ["--device", self.device] if self.device != "auto" else []
        with self.lock:
            if self.closed:
                raise RunError(f"{name}: sincut ui is closing and starts no more trainings; start it again first")
            if name in self.processes and self.processes[name].poll() is None:
                raise RunError(f"{name}: is being trained already; wait for it or stop it")
            self.asked.discard(name)
            with (folder / LOG_FILE).open("wb") as log:
                self.processes[name] = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, **_apart()
                )
        return name

    def _interrupt(self, name: str, process: "subprocess.Popen[bytes]") -> None:
        """Send what Ctrl-C sends, once: a training that is interrupted twice ends without saving."""
        if name in self.asked:
            return
        self.asked.add(name)
        if os.name == "nt":
            process.send_signal(signal.CTRL_BREAK_EVENT)  # type: ignore[attr-defined,unused-ignore]
        else:
            process.send_signal(signal.SIGINT)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.runs).as_posix()


def _apart() -> dict[str, Any]:
    """Options of `Popen` for a session of its own: Ctrl-C in this terminal must not reach the training twice."""
    if os.name == "nt":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}  # type: ignore[attr-defined,unused-ignore]
    return {"start_new_session": True}


def _below(runs: Path, names: Sequence[str]) -> Iterator[Path]:
    for depth in range(1, DEPTH + 1):
        for name in names:
            yield from runs.glob("/".join(["*"] * depth + [name]))


def _changed(path: Path) -> float:
    """When a run or a model file was last written to."""
    times = [0.0]
    for file in (path, *(path / name for name in (MODEL_FILE, METRICS_FILE, LOG_FILE))):
        with suppress(OSError):
            times.append(file.stat().st_mtime)
    return max(times)


def _copied(path: Path, folder: Path) -> Path:
    make_folder(folder, RunError)
    target = (folder / path.name).absolute()
    try:
        shutil.copyfile(path, target)
    except OSError as error:
        raise RunError(f"{target}: cannot be written ({error.strerror}); free some space") from None
    return target


def _inputs_of(folder: Path) -> dict[str, Any]:
    """What a checkpoint says of its two pictures. Raises `ModelError` or `RunError`."""
    path = folder / CHECKPOINT_FILE
    if not path.is_file():
        raise RunError(f"{folder}: holds no checkpoint to go on from; train anew")
    try:
        known = json.loads(load_metadata(path)["inputs"])
        return {**known, "identities": [(str(known[role]["name"]), str(known[role]["sha256"])) for role in ROLES]}
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise ModelError(f"{path}: is no complete checkpoint ({error}); train anew") from None


def _found(folder: Path, known: Mapping[str, Any], number: int, candidates: Sequence[Path]) -> Path:
    """The painting (0) or the photo (1) of a run: in its folder, where it was, or given now; known by its bytes."""
    name, digest = known["identities"][number]
    paths = known.get("paths")
    was = [Path(p) for p in paths if isinstance(p, str) and p] if isinstance(paths, list) else []
    for path in (*sorted((folder / INPUTS).glob("*/*")), *was, *candidates):
        with suppress(OSError):
            if path.is_file() and sha256(path) == digest:
                return path
    raise RunError(f"{folder.name}: its {ROLES[number]} {name} is not where it was; choose it above, then resume")
