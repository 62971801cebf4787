"""Where a run stands, read from its folder: whoever trains it, here or elsewhere."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sincut.errors import RunError, SincutError
from sincut.model.model import CHECKPOINT_FILE, describe
from sincut.report.history import History, number

LOG_FILE = "training.log"
RUNNING, STOPPING, DONE, STOPPED, FAILED = "running", "stopping", "finished", "stopped", "failed"


@dataclass(frozen=True)
class Status:
    """Where a run stands. `said` holds warnings, and the last words of a training that failed."""

    phase: str
    step: int = 0
    steps: int = 0  # 0: not known yet
    seconds_left: float = 0.0
    said: tuple[str, ...] = ()

    @property
    def is_resumable(self) -> bool:
        return self.phase == STOPPED


def history_of(folder: Path) -> History:
    with suppress(OSError, RunError):  # the page must not stop at a folder that nobody may read
        return History.read(folder)
    return History()


def _progress(folder: Path) -> tuple[int, int, float]:
    """Step, steps and seconds left, of the last line of metrics that tells them."""
    last = history_of(folder).last
    return int(last.get("step", 0)), _count(last.get("steps")), last.get("seconds_left", 0.0)


def status_at_rest(folder: Path) -> Status:
    """Of a run that no process trains."""
    _, steps, _, said = last_words(folder)
    done, planned = _steps_of(folder)
    if planned and done >= planned:
        return Status(DONE, done, planned, 0.0, said)
    resumable = (folder / CHECKPOINT_FILE).is_file()
    return Status(STOPPED if resumable else FAILED, done, planned or steps, 0.0, said)


def last_words(folder: Path) -> tuple[int, int, float, tuple[str, ...]]:
    """Progress, with the steps that are planned by now, and what the training had to say."""
    step, steps, left = _progress(folder)
    said = []
    for line in _lines(folder / LOG_FILE):
        if line.startswith("sincut: ") and "go on: " not in line:
            said.append(line.removeprefix("sincut: "))
        with suppress(ValueError, RecursionError, KeyError):
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("event") == "Warned":
                said.append(str(event.get("message")))
            if event.get("event") == "Planned":
                steps = _count(event["steps"])
    return step, steps, left, tuple(said)


def _steps_of(folder: Path) -> tuple[int, int]:
    """Steps done and planned, as the model says."""
    with suppress(SincutError):
        provenance = describe(folder)[1]
        return _count(provenance.get("steps")), _count(provenance.get("planned_steps"))
    return 0, 0


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _count(value: Any) -> int:
    return max(0, int(number(value) or 0))
