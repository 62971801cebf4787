"""What a run folder says of its run: the names of its files, and the history in `metrics.jsonl`.

A line of `metrics.jsonl` is a JSON object with a `step` and one of three things: `losses` (with the learning rate and
the times of `events.Progress`), `figures` (of `measures.measure`), or a `session`, written where a training begins or
goes on: when, on what machine, from which files. A damaged line is left out, never an error.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sincut.errors import RunError
from sincut.files import write_whole

METRICS_FILE = "metrics.jsonl"
REPORT_FILE = "report.html"
PREVIEWS = "previews"
INPUTS = {"painting": "painting.jpeg", "photo": "photo.jpeg"}  # among the previews and of their size; those are .jpg
FUTURE = 2**63  # counts as the step of a line that tells none
LONGEST_NUMBER = 10**15  # beyond it JavaScript and people lose count


@dataclass
class History:
    """Losses and figures by step, and the sessions in which the steps were done."""

    losses: dict[int, dict[str, float]] = field(default_factory=dict)
    figures: dict[int, dict[str, float]] = field(default_factory=dict)
    sessions: list[dict[str, Any]] = field(default_factory=list)
    last: dict[str, float] = field(default_factory=dict)  # numbers of the last line with losses

    @classmethod
    def read(cls, folder: Path) -> "History":
        """Of a run folder's metrics; empty where there are none."""
        history = cls()
        for line in lines(folder):
            history.add(parsed(line))
        return history

    def add(self, values: dict[str, Any]) -> None:
        """One line; what makes no sense in it is left out."""
        step = step_of(values)
        if step >= FUTURE:
            return
        for name, rows in (("losses", self.losses), ("figures", self.figures)):
            numbers = _numbers(values.get(name))
            if numbers:
                rows[step] = numbers
        if isinstance(values.get("losses"), dict):
            self.last = {"step": step, **_numbers(values)}
        if isinstance(values.get("session"), dict):
            self.sessions.append({**values["session"], "step": step})


def append(folder: Path, values: dict[str, Any]) -> None:
    """Add a line to the metrics. Raises `RunError`."""
    path = folder / METRICS_FILE
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}); free some space, then --resume") from None


def forget_after(folder: Path, step: int) -> None:
    """Drop the lines of steps that will be done again, and those that are damaged. Raises `RunError`."""
    kept = [line for line in lines(folder) if step_of(parsed(line)) <= step]
    write_whole(folder / METRICS_FILE, "".join(f"{line}\n" for line in kept).encode(), RunError)


def lines(folder: Path) -> list[str]:
    """Of the metrics, as they are; bytes that are no text are replaced, and spoil their line alone."""
    path = folder / METRICS_FILE
    return path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []


def parsed(line: str) -> dict[str, Any]:
    """The object of a line; an empty one where a crash or a full disk has cut it off."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def step_of(values: dict[str, Any]) -> int:
    """The step of a line; one without counts as future."""
    step = values.get("step")
    return step if type(step) is int and 0 <= step < FUTURE else FUTURE


def previews(folder: Path) -> dict[int, Path]:
    """Previews of the whole painting by step, in order."""
    found = {int(path.stem): path for path in (folder / PREVIEWS).glob("*.jpg") if path.stem.isdecimal()}
    return dict(sorted(found.items()))


def number(value: Any) -> Any:
    """What is a finite number that people can read; None for all else that files of strangers may hold."""
    return value if type(value) in (int, float) and abs(value) < LONGEST_NUMBER else None  # which no NaN is


def _numbers(values: Any) -> dict[str, float]:
    """Of an object, what is a `number`."""
    entries = values.items() if isinstance(values, dict) else ()
    return {str(name): value for name, value in entries if number(value) is not None}
