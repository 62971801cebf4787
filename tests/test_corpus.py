"""Each file of the corpus, with all extras, beyond memory and in the base install: colours, metadata, words, exit code.

The next odd file is one more row of `corpus.rows`.
"""

import json
import subprocess
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from corpus.look import Look, look
from corpus.row import COLUMNS, Done, Refused, Row
from corpus.rows import ROWS
from helpers import GENTLE, in_process, make_translator, without_extras

from sincut.errors import DamagedError, ImageError
from sincut.pictures.libvips import installed
from sincut.translation.blend import Blend
from sincut.translation.options import Options

TRANSLATOR = make_translator(GENTLE)
EXTRAS = installed()
AS_READ = Options(blend=Blend(0.0))
NO_ROOM = Options(tile=64, max_memory=1, blend=Blend(0.0))


def cells() -> Iterator[object]:
    for row in ROWS:
        for column in COLUMNS:
            skipped = pytest.mark.skipif(column != "base" and not EXTRAS, reason="sincut[large] is not installed")
            yield pytest.param(row, column, id=f"{row.name}-{column}", marks=skipped)


@pytest.mark.parametrize(("row", "column"), list(cells()))
def test_every_cell_of_the_corpus(row: Row, column: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if row.needs:
        pytest.importorskip(row.needs)
    source, target = tmp_path / row.name, tmp_path / f"out{row.to}"
    source.write_bytes(row.make())
    if column == "base":
        without_extras(monkeypatch)
    want = row.outcome(column)
    try:
        notes = TRANSLATOR.apply_file(source, target, NO_ROOM if column == "beyond" else AS_READ)
    except ImageError as error:
        assert not target.exists()
        check_refusal(error, source, want, column == "beyond")
    else:
        check_notes(notes, want)
        assert isinstance(want, Done)
        seen = look(target.read_bytes())
        depths = (np.uint8, np.uint16) if column == "beyond" else (want.pixels.dtype,)  # which may keep more there
        assert seen.profile or seen.pixels.dtype in depths, f"{seen.pixels.dtype} a channel"
        check_output(seen, want, "; ".join(notes).lower())


@pytest.mark.parametrize("column", ["extras", "base"])
def test_all_of_them_in_one_command_end_as_each_does(
    column: str, model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, as some are refused, JSON and nothing but that on both streams, and damage alone is remembered."""
    if column == "extras" and not EXTRAS:
        pytest.skip("sincut[large] is not installed")
    rows = [row for row in ROWS if not row.needs or find_spec(row.needs)]
    for row in rows:
        (tmp_path / row.name).write_bytes(row.make())
    if column == "base":
        without_extras(monkeypatch)
    command = [
        "apply",
        model_file,
        *(tmp_path / row.name for row in rows),
        "-o",
        tmp_path / "out",
        "--strength",
        "0",
        "--json",
    ]
    first, again = in_process(*command), in_process(*command)
    wanted = {row.name: row.outcome(column) for row in rows}
    refused = {name for name, want in wanted.items() if isinstance(want, Refused)}
    assert first.returncode == 1 == again.returncode
    assert names(first, "done") == set(wanted) - refused and names(first, "failed") == refused
    remembered = {name for name, want in wanted.items() if isinstance(want, Refused) and want.damaged}
    open_ = {name for name, want in wanted.items() if isinstance(want, Refused) and want.damaged is None}
    assert remembered <= names(again, "failed_before") <= remembered | open_
    assert names(again, "skipped") == set(wanted) - refused
    *events, last = first.stderr.strip().splitlines()
    assert all(isinstance(json.loads(line), dict) for line in events) and last.startswith("sincut: ")
    assert capfd.readouterr().err == ""  # libraries below have their own way to it
    alone = ["apply", model_file, tmp_path / "plain.jpg", "-o", tmp_path / "alone", "--strength", "0"]
    assert in_process(*alone).returncode == 0


def names(result: subprocess.CompletedProcess[str], what: str) -> set[str]:
    """Names of the sources of which a command says this in the end."""
    return {
        Path(entry["source"] if isinstance(entry, dict) else entry).name for entry in json.loads(result.stdout)[what]
    }


def check_refusal(error: ImageError, source: Path, want: Done | Refused, beyond: bool) -> None:
    """It is refused in the right words; of what has no room that is told, and it is tried again with more."""
    said, damaged = str(error), isinstance(error, DamagedError)
    assert said.startswith(str(source.parent)) and "\n" not in said, said
    said = said.removeprefix(str(source)).lower()
    if beyond and ("memory" in said or "files of this size" in said):
        assert not damaged, said
        return
    assert isinstance(want, Refused), said
    missing = missing_in(said, want.words)
    assert not missing, f"no {missing} in {said}"
    assert want.damaged is None or damaged == want.damaged, f"remembered: {damaged}, {said}"
    assert damaged or "damaged" not in said, said


def check_notes(notes: Sequence[str], want: Done | Refused) -> None:
    """All that was changed is told, and nothing else."""
    assert isinstance(want, Done), f"translated, with {notes}"
    if want.words is not None:
        said = "; ".join(notes).lower()
        missing = missing_in(said, want.words)
        assert not missing and bool(notes) == bool(want.words), f"no {missing} in {notes}"


def missing_in(said: str, words: Sequence[str]) -> list[str]:
    """The words that are not said; "a|b" is said where either is."""
    return [word for word in words if not any(part.lower() in said for part in word.split("|"))]


def check_output(seen: Look, want: Done, said: str) -> None:
    """It shows what is wanted, and carries what is to be kept, or the notes tell."""
    assert seen.pixels.shape == want.pixels.shape
    error = distance(seen.pixels, want.pixels)
    assert error <= want.off, f"off by {error:.2f}"
    if want.alpha is None:
        assert seen.alpha is None or seen.alpha.min() == np.iinfo(seen.alpha.dtype).max, "alpha"
    else:
        assert seen.alpha is not None and distance(seen.alpha, want.alpha) <= 0.5, "alpha"
    for part in want.lacks:
        assert part not in seen.data, f"{part!r} is there"
    if want.or_told and want.or_told.lower() in said:
        return
    for name, value in want.kept.items():
        got = getattr(seen, name)
        assert got == (pytest.approx(value, rel=1e-3) if value and name == "dpi" else value), f"{name}: {got}"
    for part in want.has:
        assert part in seen.data, f"{part!r} is gone"


def distance(some: np.ndarray, others: np.ndarray) -> float:
    """Mean error of 255."""
    of_one, more_of_one = (numbers / float(np.iinfo(numbers.dtype).max) for numbers in (some, others))
    return float(np.abs(of_one - more_of_one).mean() * 255)
