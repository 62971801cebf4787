"""Training beside busy neighbours: turns, what of them counts, and a real one that leaves no process."""

import json
from pathlib import Path
from typing import Any

import psutil
import pytest
from helpers import CPU, in_process

from sincut.bench import load, neighbours
from sincut.bench.measure import Measuring
from sincut.bench.neighbours import COUNTS, measure_neighbours
from sincut.cli.machine import neighbours_table
from sincut.config.sections import Config
from sincut.errors import Interrupted


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns are over after a step or two."""
    for module, name, value in (
        (load, "BEFORE_SECONDS", 0.0),
        (neighbours, "ROUNDS", 1),
        (neighbours, "SETTLE_SECONDS", 0.0),
        (neighbours, "TURN_SECONDS", 0.0),
    ):
        monkeypatch.setattr(module, name, value)


def busy() -> list[psutil.Process]:
    """Neighbours that this process has."""
    return [child for child in psutil.Process().children() if COUNTS in child.cmdline()]


def test_turns_come_one_after_the_other_and_their_first_seconds_do_not_count(
    tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, started, told = [100.0], list[int](), list[str]()
    monkeypatch.setattr(load, "BEFORE_SECONDS", 0.0)
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    monkeypatch.setattr(neighbours._Turns, "_keep", lambda turns, count: started.append(count))
    turns = neighbours._Turns([0, 2], Measuring(tiny, CPU, told.append, lambda: False, 1000.0))
    assert not turns.over() and started == []  # the training has not begun
    seconds = {0: 0.5, 2: 2.0}  # of a step beside so many neighbours
    while not turns.over():
        beside = started[-1] if started else 0
        slow = now[0] < turns.counted_from  # until the training has come to terms with them
        now[0] += 3.0 if slow else seconds[beside]
        turns.hear('{"event": "Progress"}')
        turns.hear('{"event": "Evaluated"}')
    assert started == [0, 2] * neighbours.ROUNDS and told[:2] == ["training alone", "training beside 2 busy neighbours"]
    alone, beside_two = turns.figures()
    assert alone["busy"] == 0 and alone["step_seconds"] == pytest.approx(0.5) and alone["speed"] == 1.0
    assert beside_two["busy"] == 2 and beside_two["step_seconds"] == pytest.approx(2.0)
    assert beside_two["speed"] == pytest.approx(0.25) and beside_two["turns"] == neighbours.ROUNDS


def test_numbers_without_a_turn_are_left_out(tiny: Config, at_once: None) -> None:
    bench = Measuring(tiny, CPU, lambda part: None, lambda: False, -1.0)
    turns = neighbours._Turns([0, 1], bench)
    assert turns.over() and turns.figures() == []
    assert [left["part"] for left in bench.left_out] == ["training alone", "training beside 1 busy neighbour"]


def test_the_command_measures_a_real_training_and_its_neighbours_end(
    at_once: None, tiny_flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[int]()
    keep = neighbours._Turns._keep

    def watched(turns: Any, count: int) -> None:
        keep(turns, count)
        seen.append(len(busy()))

    monkeypatch.setattr(neighbours._Turns, "_keep", watched)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    result = in_process("bench", "--neighbours", "1", "--device", "cpu", "--json", *tiny_flags)
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    assert seen == [0, 1, 0] and busy() == []
    assert [row["busy"] for row in figures["neighbours"]] == [0, 1] and figures["omp_num_threads"] is None
    for row in figures["neighbours"]:
        assert row["step_seconds"] > 0 and row["steps"] >= neighbours.LEAST_STEPS and row["turns"] == 1
    rows = dict(neighbours_table(figures))
    assert rows["device"].startswith("cpu, threads as it chooses")
    assert "of the speed alone" in rows["training beside 1 busy program"]


def test_one_that_is_stopped_leaves_no_process(tiny: Config, at_once: None, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        measure_neighbours(tiny, CPU, (1,), stop=lambda: True)
    assert busy() == []
