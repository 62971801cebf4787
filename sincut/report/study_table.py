"""The table of a study: what is known of each training, and of each preset the mean and the spread over its seeds."""

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from sincut import __version__
from sincut.report import measures
from sincut.report.measures import FIGURES, meaning

PARAMETERS = "parameters_"  # begins the names of columns: of G, D, H or whatever networks a method has
UNTOUCHED = ("psnr_painting", "ssim_painting")  # of the source itself, which all trainings share
COLUMNS = {  # before the parameters and the figures, with their meaning
    "step_seconds": "Seconds of a step: the median of the steady part of a training (the first quarter is left out)",
    "memory_gb": "Most memory that the training’s process held up to its last step, in GB (10⁹ bytes); with CUDA, of "
    "the device",
    "seconds": "Seconds of the whole training",
    "steps": "Steps of the training, all phases together",
    "crops": "Crops of each picture in a step",
    "members": "Trainings of the ensemble, where the minutes have room for several",
}
NETWORK = "Trained parameters of {}"


@dataclass(frozen=True)
class Entry:
    """One preset of a study."""

    name: str
    about: str  # a sentence
    changes: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)  # value here and in the study's first preset


@dataclass(frozen=True)
class Row:
    """One training of a study. Numbers that are not known are left out."""

    preset: str
    seed: int
    state: str  # trained, failed, stopped (not complete yet) or waiting for its turn
    run: str  # run folder, in the study's
    error: str = ""  # a line, if it has failed
    picture: str = ""  # file of the translation, in the study's folder; empty if there is none
    numbers: Mapping[str, float] = field(default_factory=dict)  # by column

    @property
    def figures(self) -> dict[str, float]:
        """Those of the numbers that `FIGURES` explains."""
        return {name: value for name, value in self.numbers.items() if name in FIGURES}


class Mean(NamedTuple):
    """A column's mean over the seeds of a preset."""

    mean: float
    spread: float | None  # sample standard deviation; None of one seed


@dataclass(frozen=True)
class Table:
    """All trainings of a study in their order, with its presets; `inputs` and `length` say what was trained, in words.

    Its dictionary is the JSON file of a study.
    """

    source: str  # name of the picture that is translated
    target: str  # of the one whose look is learned
    length: str  # of each training, as in "20 steps"
    entries: Sequence[Entry]
    rows: Sequence[Row]
    facts: Mapping[str, str] = field(default_factory=dict)  # titled texts on inputs, machine and versions

    def columns(self) -> list[str]:
        """Names of the numbers that are known of any training, in the order in which they are shown."""
        known = {name for row in self.rows for name in row.numbers}
        networks = dict.fromkeys(name for row in self.rows for name in row.numbers if name.startswith(PARAMETERS))
        return [name for name in (*COLUMNS, *networks, *FIGURES) if name in known]

    def of(self, preset: str) -> list[Row]:
        """The trainings of a preset."""
        return [row for row in self.rows if row.preset == preset]

    def means(self, preset: str) -> dict[str, Mean]:
        """By column, over those seeds of a preset that have the number."""
        means = {}
        for name in self.columns():
            values = [row.numbers[name] for row in self.of(preset) if name in row.numbers]
            if values:
                spread = _rounded(statistics.stdev(values)) if len(values) > 1 else None
                means[name] = Mean(_rounded(statistics.fmean(values)), spread)
        return means

    def best(self) -> dict[str, float]:
        """The best mean of each figure in which presets differ."""
        return measures.best([{name: m.mean for name, m in self.means(entry.name).items()} for entry in self.entries])

    def meanings(self) -> dict[str, str]:
        """The meaning of each column, by its name."""
        told = {**COLUMNS, **{name: meaning(name) for name in FIGURES}}
        return {name: told.get(name, NETWORK.format(name.removeprefix(PARAMETERS))) for name in self.columns()}

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, with the means of each preset."""
        presets = [
            {
                "name": entry.name,
                "about": entry.about,
                "changes": {key: list(values) for key, values in entry.changes.items()},
                "means": {name: value._asdict() for name, value in self.means(entry.name).items()},
            }
            for entry in self.entries
        ]
        return {
            "sincut": __version__,
            "source": self.source,
            "target": self.target,
            "length": self.length,
            "facts": dict(self.facts),
            "columns": self.meanings(),
            "presets": presets,
            "best": self.best(),
            "rows": [{**asdict(row), "numbers": dict(row.numbers)} for row in self.rows],
        }

    def to_csv(self) -> str:
        """A line for each training, below their titles."""
        file, columns = io.StringIO(), self.columns()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["preset", "seed", "state", *columns, "error"])
        for row in self.rows:
            writer.writerow([row.preset, row.seed, row.state, *(row.numbers.get(n, "") for n in columns), row.error])
        return file.getvalue()


def _rounded(value: float) -> float:
    """A number to six significant digits."""
    return float(f"{value:.6g}")
