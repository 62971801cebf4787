"""Trainings that the page starts, each the command `sincut train` in a process of its own, and the folder of all runs.

A training goes on when the visitor who started it leaves, and saves and stops when the page ends, even if that is
killed. Its state is read from its run folder, so what was started here is resumed by the command and the other way
round. Its two pictures are copied into the run folder, where a resumed training finds them; its stderr goes to
`training.log`.
"""

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from sincut.config.resolve import DEFAULT_PRESET, closest, resolve, schedule_flags
from sincut.config.sections import Config
from sincut.errors import ConfigError, RunError, SincutError
from sincut.files import is_locked, make_folder, sha256, stat_of
from sincut.method.algorithms import check_picture
from sincut.model.file import CHECKPOINT_FILE, MODEL_FILE
from sincut.model.model import describe, exemplar_sizes
from sincut.model.provenance import ROLES, Provenance
from sincut.page.status import RUNNING, STOPPING, Status, history_of, last_words, status_at_rest
from sincut.pictures import reading
from sincut.report.history import METRICS_FILE, REPORT_FILE, History, previews, words_of
from sincut.runs import child
from sincut.runs.again import INPUTS, sides_of
from sincut.runs.folder import default_folder
from sincut.runs.shelf import DEPTH, LOG_FILE, SUFFIX, check_name

RUN_FILES = (MODEL_FILE, LOG_FILE, CHECKPOINT_FILE)  # a folder with one of them is a run
CLOSING_SECONDS = 120.0  # time to save that all trainings together have when the page ends


@dataclass(frozen=True)
class Order:
    """A new training as a visitor has ordered it: pictures, direction, preset, settings and name of the run."""

    painting: Path
    photo: Path
    to: str = "photo"  # role of the picture whose look is learned
    preset: str = DEFAULT_PRESET
    minutes: float | None = None  # None: as the preset says
    seed: int = 0
    settings: Sequence[str] = ()  # section.key=value, as for the option --set
    name: str = ""  # of the run folder; "": SOURCE-to-TARGET
    exemplar: bool = True  # False: the model does not carry its target, whatever the preset says

    @property
    def by_part(self) -> tuple[Path, Path]:
        """The files of the source and of the target."""
        return (self.photo, self.painting) if self.to == "painting" else (self.painting, self.photo)

    def flags(self) -> list[str]:
        """The order as options of `sincut train`."""
        flags = ["--to", self.to, "--preset", self.preset, "--seed", str(self.seed)]
        flags += ["--minutes", f"{self.minutes:g}"] if self.minutes is not None else []
        flags += [] if self.exemplar else ["--no-exemplar"]
        return flags + [flag for setting in self.settings for flag in ("--set", setting)]

    def content(self) -> tuple[str, ...]:
        """All that decides what is learned: the hashes of the two pictures and the options, but no name of a run."""
        return sha256(self.painting), sha256(self.photo), *self.flags()

    def check(self) -> Config:
        """The configuration of the training. Raises `ConfigError` or `ImageError` if the training would refuse it.

        Raises `RunError` for a name that no run can have.
        """
        if self.name:
            check_name(self.name)
        config = resolve(self.preset, [*self.settings, *schedule_flags(self.minutes, seed=self.seed)])
        for path in (self.painting, self.photo):
            check_picture(str(path), reading.size_of(path), config)
        return config


@dataclass
class Trainings:
    """All runs below a folder, and the processes of those that are trained from here. Safe to use from threads.

    Runs and models are named by their path below the folder, as in `sea` or `group/sea`.
    """

    runs: Path
    device: str = "auto"
    processes: dict[str, child.Process] = field(default_factory=dict)
    orders: dict[str, tuple[str, ...]] = field(default_factory=dict)  # `Order.content` of those started, by name
    asked: set[str] = field(default_factory=set)  # names of those that were asked to stop
    known: dict[str, tuple[tuple[Any, ...], Status]] = field(default_factory=dict)  # `stat_of` run files, status then
    closed: bool = False  # no training can be started any more
    lock: threading.RLock = field(default_factory=threading.RLock)  # of the fields above

    def names(self) -> list[str]:
        """The names of all runs, the one last written to first."""
        folders = {path.parent for path in _below(self.runs, RUN_FILES)}
        return [self.name(path) for path in sorted(folders, key=_changed, reverse=True)]

    def models(self) -> list[str]:
        """The names of all models, the one last written to first: runs with a model, and model files beside them.

        A run that was stopped before its first step has a model file, but none to use.
        """
        paths = {path.parent for path in _below(self.runs, (MODEL_FILE,))}
        paths |= set(self.runs.glob(f"*{SUFFIX}"))
        return [self.name(path) for path in sorted(paths, key=_changed, reverse=True) if _has_learned(path)]

    def path(self, name: str) -> Path:
        """The path of a run or model that stands in `names` or `models`. Raises `RunError` for any other name."""
        plain, path = PurePath(name), self.runs / name
        inside = plain.as_posix() == name and not plain.anchor and ".." not in plain.parts
        files = [path / file for file in RUN_FILES]
        if len(plain.parts) == 1 and plain.suffix == SUFFIX:
            files.append(path)
        if not inside or not 0 < len(plain.parts) <= DEPTH or not any(map(os.path.exists, files)):
            raise RunError(f"{name}: no such run in {self.runs}; choose another")
        return path

    def resting(self, name: str) -> Path:
        """The path of a run or model, to be renamed or deleted. Raises `RunError` while it is being trained from here.

        A training of another program is told by its lock, see `runs.shelf`.
        """
        process = self.processes.get(name)
        if process is not None and process.poll() is None:
            raise RunError(f"{name}: is being trained; stop it first")
        return self.path(name)

    def start(self, order: Order) -> str:
        """Start a new training; returns the run's name.

        Raises `RunError` while the very same is being trained already, and any other `SincutError`.
        """
        order.check()
        content = order.content()
        with self.lock:
            for name, process in self.processes.items():
                if process.poll() is None and self.orders.get(name) == content:
                    raise RunError(f"{name}: is just this training, and it runs; change something, or another seed")
            source, target = order.by_part
            folder = default_folder(source.stem, target.stem, self.runs, order.name)
            make_folder(folder, RunError)
            given = zip(ROLES, (order.painting, order.photo), strict=True)
            pictures = [_copied(path, folder / INPUTS / role) for role, path in given]
            name = self._begin(folder, [*map(str, pictures), *order.flags()])
            self.orders[name] = content
        return name

    def again(self, name: str, candidates: Sequence[Path] = ()) -> str:
        """Start what a run has trained once more, with the next seed; returns the new run's name.

        Raises `SincutError`, as for pictures that are not found, see `resume`.
        """
        sides = [side for side in sides_of(self.path(name), candidates).values() if isinstance(side, str)]
        if len(sides) < len(ROLES):
            raise RunError(f"{name}: has learned from a set; train it again by the command, with another --seed")
        config, provenance = self.about(name)
        preset = closest(config)
        changed = {key: value for key, (value, _) in config.changes(preset.config).items() if key != "schedule.seed"}
        painting, photo = map(Path, sides)
        return self.start(
            Order(
                painting,
                photo,
                "painting" if provenance.reverse else "photo",
                preset.name,
                seed=config.schedule.seed + 1,
                settings=[f"{key}={json.dumps(value)}" for key, value in changed.items()],
            )
        )

    def resume(self, name: str, candidates: Sequence[Path] = ()) -> str:
        """Go on with a run that was stopped; returns its name. Raises `SincutError`.

        Pictures that are neither in its folder nor where they were are looked for among `candidates`.
        """
        return self._go_on(name, candidates, "--resume")

    def train_longer(self, name: str, minutes: float | None, candidates: Sequence[Path] = ()) -> str:
        """Go on with a run, be it finished or stopped, for some more minutes; returns its name. Raises as `resume`."""
        schedule_flags(minutes)  # says what is wrong with the number
        if minutes is None:
            raise ConfigError("minutes: say for how many more the run shall be trained")
        return self._go_on(name, candidates, "--more", f"{minutes:g}")

    def _go_on(self, name: str, candidates: Sequence[Path], *flags: str) -> str:
        """Start `sincut train` with these options for a run that is there; returns its name. Raises `SincutError`."""
        folder = self.path(name)
        if self.status(name).phase in (RUNNING, STOPPING):
            raise RunError(f"{name}: is being trained already; wait for it or stop it")
        return self._begin(folder, [*words_of(sides_of(folder, candidates)), *flags])

    def stop(self, name: str) -> None:
        """Ask a training to save and end. Raises `RunError` if it was started elsewhere."""
        with self.lock:
            process = self.processes.get(name)
            if process is not None and process.poll() is None:
                self._ask_to_stop(name, process)
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
                self._ask_to_stop(name, process)
        until = time.monotonic() + CLOSING_SECONDS
        for process in running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, until - time.monotonic()))
        return [name for name in running if self._status(self.runs / name).is_resumable]

    def status(self, name: str) -> Status:
        """The status of a run, from its folder and its process. Raises `RunError`."""
        return self._status(self.path(name))

    def statuses(self) -> dict[str, Status]:
        """The status of every run by its name, in the order of `names`."""
        return {name: self._status(self.runs / name) for name in self.names()}

    def _status(self, folder: Path) -> Status:
        """The status of the run in a folder; one at rest is read again only if its files have changed."""
        name = self.name(folder)
        process = self.processes.get(name)
        own = process is not None and process.poll() is None
        if own or is_locked(folder):
            return last_words(folder, STOPPING if own and name in self.asked else RUNNING)
        files = tuple(stat_of(folder / file) for file in (MODEL_FILE, CHECKPOINT_FILE, METRICS_FILE, LOG_FILE))
        if self.known.get(name, ((), None))[0] != files:
            self.known[name] = files, status_at_rest(folder)
        return self.known[name][1]

    def history(self, name: str) -> History:
        """Losses and figures of a run by step. Raises `RunError`."""
        return history_of(self.path(name))

    def previews(self, name: str) -> list[Path]:
        """The files of a run's previews, in the order of their steps. Raises `RunError`."""
        return list(previews(self.path(name)).values())

    def report(self, name: str) -> Path | None:
        """The report of a run, None as long as it has none. Raises `RunError`."""
        path = self.path(name) / REPORT_FILE
        return path if path.is_file() else None

    def picture(self, name: str, role: str) -> Path | None:
        """The painting or the photo of a run (see `ROLES`), None if no copy lies in its folder. Raises `RunError`."""
        return next(iter(sorted((self.path(name) / INPUTS / role).glob("*"))), None)

    def about(self, name: str) -> tuple[Config, Provenance]:
        """Configuration and provenance of a model. Raises `RunError` or `ModelError`."""
        return describe(self.path(name))

    def exemplars(self, name: str) -> tuple[tuple[int, int], ...]:
        """Height and width of each exemplar that a model carries. Raises `RunError` or `ModelError`."""
        return exemplar_sizes(self.path(name))

    def _begin(self, folder: Path, arguments: list[str]) -> str:
        """Start `sincut train` with these arguments for a run folder; returns the run's name. Raises `RunError`."""
        name = self.name(folder)
        command = child.command(*arguments, "-o", folder, "--json")
        command += ["--device", self.device] if self.device != "auto" else []
        with self.lock:
            if self.closed:
                raise RunError(f"{name}: sincut ui is closing and starts no more trainings; start it again first")
            if name in self.processes and self.processes[name].poll() is None:
                raise RunError(f"{name}: is being trained already; wait for it or stop it")
            self.asked.discard(name)
            with (folder / LOG_FILE).open("wb") as log:
                self.processes[name] = child.start(command, log, apart=True)
        return name

    def _ask_to_stop(self, name: str, process: child.Process) -> None:
        """Ask the process of a run to save and end, and show the run as stopping."""
        self.asked.add(name)
        child.ask_to_stop(process)

    def name(self, path: Path) -> str:
        """The name of a run or model: its path below the folder of all."""
        return path.relative_to(self.runs).as_posix()


def _below(runs: Path, names: Sequence[str]) -> Iterator[Path]:
    """All files of these names in folders at most `DEPTH` levels below `runs`."""
    for depth in range(1, DEPTH + 1):
        for name in names:
            yield from runs.glob("/".join(["*"] * depth + [name]))


def _has_learned(path: Path) -> bool:
    """False for the model of a training that has not done its first step."""
    with suppress(SincutError):
        provenance = describe(path)[1]
        return provenance.steps > 0 or not provenance.planned_steps
    return True  # why it cannot be read is told where it is chosen


def _changed(path: Path) -> float:
    """The time at which a run or a model file was last written to, in seconds since 1970."""
    times = [0.0]
    for file in (path, *(path / name for name in (MODEL_FILE, METRICS_FILE, LOG_FILE))):
        with suppress(OSError):
            times.append(file.stat().st_mtime)
    return max(times)


def _copied(path: Path, folder: Path) -> Path:
    """A copy of a picture in a folder, which is made. Raises `RunError`."""
    make_folder(folder, RunError)
    target = (folder / path.name).absolute()
    try:
        shutil.copyfile(path, target)
    except OSError as error:
        raise RunError(f"{target}: cannot be written ({error.strerror}); free some space") from None
    return target
