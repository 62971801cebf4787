"""A table of pairs: a row of a CSV file for each training, a painting and a photo with what is special about them.

Columns are `painting` and `photo` (a file, a folder or a pattern, relative to the table's folder), and any of `name`
(of the run folder; by default PAINTING-to-PHOTO), `preset`, `minutes`, `steps`, `seed`, `to` (photo, or painting for
the other way round), `exemplar` (yes or no: if the model is to carry its target) and settings such as `crops.count`. An
empty cell leaves what holds for all rows. `reverse` (yes or no) is an earlier word for `to`.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sincut.config.resolve import DEFAULT_PRESET, resolve, schedule_flags
from sincut.config.sections import Config
from sincut.errors import ConfigError, RunError, SincutError
from sincut.events import ignore
from sincut.files import read_whole, sha256
from sincut.model.provenance import ROLES, PictureIdentity, Provenance, asked_reverse, direction
from sincut.runs.finding import find, is_pattern
from sincut.runs.inputs import read_side

REQUIRED, OPTIONAL = ROLES, ("name", "preset", "minutes", "steps", "seed", "to", "exemplar", "reverse")
YES_OR_NO = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False, "": None}
TRAINED, SKIPPED, FAILED, STOPPED = "trained", "skipped", "failed", "stopped"


@dataclass(frozen=True)
class Pair:
    """One training: two pictures or sets (a folder or a pattern), its run folder, and its complete settings."""

    name: str
    painting: Path
    photo: Path
    folder: Path
    config: Config
    reverse: bool = False

    @property
    def to(self) -> str:
        """The role of the picture whose look is learned."""
        return "painting" if self.reverse else "photo"

    def identity(self) -> Provenance:
        """Pictures and direction of the training: `Inputs.identity`, of two files without sizes.

        A set has to be read, since pictures that cannot be learned from are left out. Raises OSError or `ImageError`.
        """
        painting, photo = (self._identity(*side) for side in zip((self.painting, self.photo), ROLES, strict=True))
        return Provenance(painting, photo, direction(self.reverse))

    def _identity(self, path: Path, role: str) -> PictureIdentity:
        side = find(path, role)
        if len(side.images) > 1:
            return read_side(side, role, self.config, ignore).identity()
        return PictureIdentity(side.name, sha256=sha256(side.paths[0]))


@dataclass(frozen=True)
class Outcome:
    """The outcome of a row: one of the states above, the steps of its model, and the error if it failed."""

    name: str
    state: str
    folder: str = ""
    steps: int = 0
    seconds: float = 0.0  # of this training, 0 if nothing was done
    error: str = ""

    def summary(self) -> dict[str, Any]:
        """The fields as plain values, for JSON."""
        return asdict(self)


def load(table: Path, output: Path, preset: str | None = None, flags: Sequence[str] = ()) -> list[Pair | Outcome]:
    """The rows of a table in order; a row that cannot be trained is an `Outcome` that has failed.

    Run folders lie in `output`. `preset` and `flags` (as `config.resolve` takes them) hold where a row says
    nothing else. Raises `RunError` for a file that cannot be read, `ConfigError` for columns that are missing or
    unknown.
    """
    rows: list[Pair | Outcome] = []
    taken: dict[str, int] = {}  # line of each name
    for line, cells in _lines(table):
        try:
            pair = _pair(cells, table.parent, output, preset, flags)
            key = pair.name.casefold()  # on many machines, names in capitals are the same ones
            if key in taken:
                raise ConfigError(f"{pair.name} is the name of the row in line {taken[key]} too; give it another")
            taken[key] = line
            rows.append(pair)
        except SincutError as error:
            rows.append(Outcome(f"line {line}", FAILED, error=f"{table}, line {line}: {error}"))
    return rows


def _lines(table: Path) -> list[tuple[int, dict[str, Any]]]:
    """Line number and cells by column of each row, as `csv.DictReader` gives them. Raises as `load` does."""
    try:
        text = read_whole(table, RunError).decode("utf-8-sig")  # with the mark that spreadsheets put in front
        rows = csv.DictReader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
        columns = [str(name).strip() for name in rows.fieldnames or ()]
        rows.fieldnames = columns
        _check_columns(table, columns)
        lines = [(rows.line_num, row) for row in rows]
    except (UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"{table}: is no CSV file in UTF-8 ({error}); save it as one") from None
    if not lines:
        raise RunError(f"{table}: has no rows below its header; add one for each pair")
    return lines


def _check_columns(table: Path, columns: list[str]) -> None:
    """Raise `ConfigError` for columns that are missing or unknown."""
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        raise ConfigError(f"{table}: has no column {missing[0]}; its first line must name painting and photo")
    for name in columns:
        if name not in (*REQUIRED, *OPTIONAL) and "." not in name:
            known = ", ".join((*REQUIRED, *OPTIONAL))
            raise ConfigError(f"{table}: no column {name!r}; there are {known}, and settings such as crops.count")


def _pair(row: dict[str, Any], base: Path, output: Path, preset: str | None, flags: Sequence[str]) -> Pair:
    """The pair of a row whose paths are relative to `base`. Raises `SincutError` if it cannot be trained."""
    if None in row or None in row.values():
        raise ConfigError("has more or fewer cells than the header; check its commas and quotes")
    cells = {name: str(value).strip() for name, value in row.items()}
    empty = [name for name in REQUIRED if not cells[name]]
    if empty:
        raise ConfigError(f"names no {empty[0]}")
    painting, photo = (base / cells[name] for name in REQUIRED)
    for path in (painting, photo):
        if not (path.is_file() or path.is_dir() or is_pattern(path)):
            raise ConfigError(f"{path}: there is no such file, or it cannot be read; check the path")
    reverse = _is_reverse(cells)
    stems = [find(path, role).stem for role, path in zip(REQUIRED, (painting, photo), strict=True)]
    source, target = reversed(stems) if reverse and cells.get("to") else stems
    name = cells.get("name") or f"{source}-to-{target}"
    if Path(name).name != name or name.startswith("."):
        raise ConfigError(f"{name!r} is no name for a folder; write one without slashes")
    chosen = cells.get("preset") or preset or DEFAULT_PRESET
    if chosen.endswith(".toml") and cells.get("preset"):
        chosen = str(base / chosen)
    config = resolve(chosen, [*flags, *_flags(cells)])
    return Pair(name, painting, photo, output / name, config, reverse)


def _is_reverse(cells: dict[str, str]) -> bool:
    """True if a row's cells ask for photo -> painting. Raises `ConfigError` for unknown words, or two that disagree."""
    reverse = cells.get("reverse", "").lower()
    if reverse not in YES_OR_NO:
        raise ConfigError(f"reverse is {reverse!r}; write yes or no")
    return bool(asked_reverse(cells.get("to", "").lower() or None, YES_OR_NO[reverse]))


def _flags(cells: dict[str, str]) -> list[str]:
    """The settings in a row's cells, as `config.resolve` takes them. Raises `ConfigError`."""
    carried = cells.get("exemplar", "").lower()
    if carried not in YES_OR_NO:
        raise ConfigError(f"exemplar is {carried!r}; write yes or no")
    own = [f"{name}={value}" for name, value in cells.items() if "." in name and value]
    own += [f"synthesis.exemplar={str(YES_OR_NO[carried]).lower()}"] if carried else []
    return schedule_flags(*(cells.get(name) or None for name in ("minutes", "steps", "seed"))) + own
