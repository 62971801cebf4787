"""The status of a run, read from its folder, whoever trains it."""

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sincut.errors import RunError, SincutError
from sincut.model.file import CHECKPOINT_FILE
from sincut.model.model import describe
from sincut.model.provenance import number
from sincut.report.history import History
from sincut.runs.shelf import LOG_FILE

RUNNING, STOPPING, DONE, STOPPED, FAILED = "running", "stopping", "finished", "stopped", "failed"  # phases


# The words for what a training is doing, by the event that began it.
READING, MEASURING, FINISHING = "reading the pictures", "measuring how fast this machine is", "making the last picture"


@dataclass(frozen=True)
class Status:
    """Phase and progress of a run."""

    phase: str
    step: int = 0  # done so far
    steps: int = 0  # planned; 0: not known yet
    seconds_left: float = 0.0
    said: tuple[str, ...] = ()  # notes on the pictures, warnings, and the last words of a training that failed
    seconds: float = 0.0  # trained so far
    doing: str = ""  # at the moment, in words; "": a training that is at rest or has said nothing yet

    @property
    def is_resumable(self) -> bool:
        """True if a training can go on from the run's checkpoint."""
        return self.phase == STOPPED

    @property
    def share(self) -> float | None:
        """The share in [0, 1] of the time that is over, or without times of the steps; None: nothing is known yet."""
        if self.phase == DONE:
            return 1.0
        if self.seconds_left and self.seconds:
            return self.seconds / (self.seconds + self.seconds_left)
        return min(1.0, self.step / self.steps) if self.steps and self.step else None


def status_at_rest(folder: Path) -> Status:
    """The status of a run that no process trains."""
    last = last_words(folder, STOPPED)
    done, planned = _steps_of(folder)
    if planned and done >= planned:
        return Status(DONE, done, planned, 0.0, last.said)
    resumable = (folder / CHECKPOINT_FILE).is_file()
    return Status(STOPPED if resumable else FAILED, done, planned or last.steps, 0.0, last.said)


def last_words(folder: Path, phase: str) -> Status:
    """The status of a run in this phase, from the metrics and the log of its training. Never fails."""
    step, steps, left = _progress(folder)
    status = Status(phase, step, steps, left)
    for line in _lines(folder / LOG_FILE):
        if line.startswith("sincut: ") and "go on: " not in line:
            status = replace(status, said=(*status.said, line.removeprefix("sincut: ")))
        with suppress(ValueError, RecursionError, KeyError, TypeError):
            event = json.loads(line) if line.startswith("{") else {}
            status = _after(status, event)
    return status


def _after(status: Status, event: dict[str, Any]) -> Status:
    """The status after a line of the log, an event as `--json` writes it. Raises `KeyError` for an incomplete one."""
    kind = event.get("event")
    if kind == "Warned":
        return replace(status, said=(*status.said, str(event.get("message"))))
    if kind == "PictureRead" and event.get("notes"):
        words = f"{event['role']} {event['name']}: {'; '.join(map(str, event['notes']))}"
        return replace(status, said=(*status.said, words))
    if kind == "Reading":
        return replace(status, doing=READING)
    if kind == "Started":
        return replace(status, doing=MEASURING, step=max(status.step, _count(event["step"])))
    if kind == "Planned":
        return replace(status, steps=_count(event["steps"]), doing=str(event.get("doing") or "training"))
    if kind in ("Progress", "Preview", "Advanced"):
        steps, doing = _count(event["steps"]) or status.steps, str(event.get("doing") or status.doing)
        known = replace(status, step=max(status.step, _count(event["step"])), steps=steps, doing=doing)
        if kind == "Preview":
            return known
        seconds, left = (number(event[name]) or 0.0 for name in ("seconds", "seconds_left"))
        return replace(known, seconds=seconds, seconds_left=left)
    if kind == "Trained":
        return replace(status, doing=FINISHING, seconds_left=0.0)
    return status


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
