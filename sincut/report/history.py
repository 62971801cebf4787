"""The history of a run in its folder: names of files, `metrics.jsonl` line by line, and the previews.

A line of `metrics.jsonl` is a JSON object with a `step` and one of three things: `losses` (with the learning rate and
the times of `events.Progress`, and the `memory` in bytes that the process has held at most), `figures` (of
`measures.measure`), or a `session`, written when a training begins or goes on: the time, the machine, the files it
learns from. A damaged line is left out, never an error.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sincut.errors import RunError
from sincut.files import read_whole, write_whole
from sincut.model.provenance import numbers, whole

METRICS_FILE = "metrics.jsonl"
REPORT_FILE = "report.html"
PREVIEWS = "previews"
INPUTS = {"painting": "painting.jpeg", "photo": "photo.jpeg"}  # among the previews, which are .jpg, and of their size
SHOWN_OF_SET = 6  # pictures of a set that are kept there: the first ones
FAST = "-fast"  # ends the stem of the file that shows G alone, beside that of a preview that is drawn
FUTURE = 2**63  # the step of a line that tells none


@dataclass
class History:
    """Losses, seconds of a step and figures by step, and the sessions in which the steps were done."""

    losses: dict[int, dict[str, float]] = field(default_factory=dict)
    paces: dict[int, float] = field(default_factory=dict)  # seconds of each of the steps up to this one
    figures: dict[int, dict[str, float]] = field(default_factory=dict)
    sessions: list[dict[str, Any]] = field(default_factory=list)
    last: dict[str, float] = field(default_factory=dict)  # numbers of the last line with losses
    memory: int = 0  # bytes, the most that any session has held; 0 if none has told

    @classmethod
    def read(cls, folder: Path) -> "History":
        """The history in a run folder, empty if it has no metrics. Raises `RunError` if they cannot be read."""
        history = cls()
        for line in lines(folder):
            history.add(parsed(line))
        return history

    def add(self, values: dict[str, Any]) -> None:
        """Add one line; whatever makes no sense in it is left out."""
        step = step_of(values)
        if step >= FUTURE:
            return
        for name, rows in (("losses", self.losses), ("figures", self.figures)):
            if known := numbers(values.get(name)):
                rows[step] = known
        if isinstance(values.get("losses"), dict):
            self.last = {"step": step, **numbers(values)}
            self.memory = max(self.memory, whole(values.get("memory")) or 0)
            if "step_seconds" in self.last:
                self.paces[step] = self.last["step_seconds"]
        if isinstance(values.get("session"), dict):
            self.sessions.append({**values["session"], "step": step})


def kept_name(role: str, number: int) -> str:
    """The name of a run's copy of a picture of the painting or the photo, counted from 0; a set has several."""
    first = Path(INPUTS[role])
    return first.with_stem(f"{first.stem}-{number + 1}").name if number else first.name


def kept(folder: Path, role: str) -> list[Path]:
    """The copies that a run folder holds of its painting or photo; of a set those of the first pictures."""
    paths = [folder / PREVIEWS / kept_name(role, number) for number in range(SHOWN_OF_SET)]
    return [path for path in paths if path.is_file()]


def words_of(sides: Mapping[str, str | Sequence[str]]) -> list[str]:
    """The words of a command `sincut train` that name its two sides by role; a side may be several files."""
    if all(isinstance(named, str) for named in sides.values()):
        return [str(named) for named in sides.values()]
    each = {role: [named] if isinstance(named, str) else named for role, named in sides.items()}
    return [word for role, paths in each.items() for path in paths for word in (f"--{role}", str(path))]


def run_folder(path: Path) -> Path:
    """The run folder itself, or the one around a model file."""
    return path if path.is_dir() else path.parent


def append(folder: Path, values: dict[str, Any]) -> None:
    """Add a line to the metrics. Raises `RunError`."""
    path = folder / METRICS_FILE
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")
    except OSError as error:
        raise RunError(f"{path}: cannot be written ({error.strerror}); free some space, then --resume") from None


def forget_after(folder: Path, step: int) -> None:
    """Drop the metrics and previews of steps that will be done again, and damaged lines. Raises `RunError`."""
    kept = [line for line in lines(folder) if step_of(parsed(line)) <= step]
    write_whole(folder / METRICS_FILE, "".join(f"{line}\n" for line in kept).encode(), RunError)
    for shown, path in previews(folder).items():
        if shown > step:  # its step may not be shown again, if the plan of the steps changes
            path.unlink(missing_ok=True)
            fast_preview(path).unlink(missing_ok=True)


def lines(folder: Path) -> list[str]:
    """The lines of the metrics as they are. Bytes that are no text are replaced, and spoil their line alone."""
    path = folder / METRICS_FILE
    return read_whole(path, RunError).decode("utf-8", "replace").split("\n") if path.exists() else []


def parsed(line: str) -> dict[str, Any]:
    """The object in a line; an empty one if a crash or a full disk has cut it off."""
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def step_of(values: dict[str, Any]) -> int:
    """The step of a line; `FUTURE` for a line without."""
    step = values.get("step")
    return step if type(step) is int and 0 <= step < FUTURE else FUTURE


def previews(folder: Path) -> dict[int, Path]:
    """Previews of the whole painting by step, in order."""
    paths = {int(path.stem): path for path in (folder / PREVIEWS).glob("*.jpg") if path.stem.isdecimal()}
    return dict(sorted(paths.items()))


def fast_preview(path: Path) -> Path:
    """The file that shows G alone, beside a preview that is drawn from the exemplar; beside others there is none."""
    return path.with_stem(f"{path.stem}{FAST}")


def is_drawn(path: Path) -> bool:
    """True if a preview is drawn from the exemplar, not G's translation itself."""
    return fast_preview(path).exists()
