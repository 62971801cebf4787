"""The status of a run, read from its folder, whoever trains it."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sincut.errors import RunError, SincutError
from sincut.model.file import CHECKPOINT_FILE
from sincut.model.model import describe
from sincut.model.provenance import number
from sincut.report.history import History

LOG_FILE = "training.log"  # stderr of a training that the page has started
RUNNING, STOPPING, DONE, STOPPED, FAILED = "running", "stopping", "finished", "stopped", "failed"  # phases


@dataclass(frozen=True)
class Status:
    """Phase and progress of a run."""

    phase: str
    step: int = 0  # done so far
    steps: int = 0  # planned; 0: not known yet
    seconds_left: float = 0.0
    said: tuple[str, ...] = ()  # notes on the pictures, warnings, and the last words of a training that failed

    @property
    def is_resumable(self) -> bool:
        """True if a training can go on from the run's checkpoint."""
        return self.phase == STOPPED


def status_at_rest(folder: Path) -> Status:
    """The status of a run that no process trains."""
    _, steps, _, said = last_words(folder)
    done, planned = _steps_of(folder)
    if planned and done >= planned:
        return Status(DONE, done, planned, 0.0, said)
    resumable = (folder / CHECKPOINT_FILE).is_file()
    return Status(STOPPED if resumable else FAILED, done, planned or steps, 0.0, said)


def last_words(folder: Path) -> tuple[int, int, float, tuple[str, ...]]:
    """The fields of `Status` after its phase, from the metrics and the log of a training. Never fails."""
    step, steps, left = _progress(folder)
    said = []
    for line in _lines(folder / LOG_FILE):
        if line.startswith("sincut: ") and "go on: " not in line:
            said.append(line.removeprefix("sincut: "))
        with suppress(ValueError, RecursionError, KeyError):
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("event") == "Warned":
                said.append(str(event.get("message")))
            if event.get("event") == "PictureRead" and event.get("notes"):
                said.append(f"{event['role']} {event['name']}: {'; '.join(map(str, event['notes']))}")
            if event.get("event") == "Planned":
                steps = _count(event["steps"])
    return step, steps, left, tuple(said)


def history_of(folder: Path) -> History:
    """Losses and figures of a run by step; empty if its folder cannot be read, as the page must go on without it."""
    with suppress(OSError, RunError):
        return History.read(folder)
    return History()


def _progress(folder: Path) -> tuple[int, int, float]:
    """Step, planned steps and seconds left in the last line of the metrics that has losses."""
    last = history_of(folder).last
    return int(last.get("step", 0)), _count(last.get("steps")), last.get("seconds_left", 0.0)


def _steps_of(folder: Path) -> tuple[int, int]:
    """Steps done and planned, as the model file says; (0, 0) without a readable one."""
    with suppress(SincutError):
        provenance = describe(folder)[1]
        return provenance.steps, provenance.planned_steps
    return 0, 0


def _lines(path: Path) -> list[str]:
    """The lines of a text file; none if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _count(value: Any) -> int:
    """A number of steps; 0 for what is none."""
    return max(0, int(number(value) or 0))
