"""Delays of commands: heard, out of time, stopped, and commands that end before."""

import sys
from collections.abc import Callable

import pytest
from helpers import CPU

from sincut.bench import starts
from sincut.bench.alone import OutOfTimeError
from sincut.config.sections import Config
from sincut.errors import Interrupted, SincutError


def says(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a program of Python stand for the commands."""
    monkeypatch.setattr("sincut.runs.child.command", lambda *words, **name: [sys.executable, "-c", program, "train"])


def test_a_training_that_ends_before_its_first_step_is_told(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    says("import sys; sys.exit('sincut: no memory')", monkeypatch)
    with pytest.raises(SincutError, match="train ended before its Progress: sincut: no memory"):
        starts.first_step_seconds(tiny, CPU, 60.0)


@pytest.mark.parametrize("delay", [starts.first_step_seconds, starts.first_tile_seconds])
def test_a_delay_ends_with_the_event_and_leaves_no_command(
    delay: Callable[..., float], tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = "".join(f'print("""{{"event": "{name}"}}""", file=sys.stderr);' for name in ("Progress", "TileDone"))
    says(
        f"import sys, time; print('no event', file=sys.stderr); {told} sys.stderr.flush(); time.sleep(600)", monkeypatch
    )
    assert 0 < delay(tiny, CPU, 60.0) < 60


def test_a_delay_without_end_is_out_of_time_or_stopped(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    says("import time; time.sleep(600)", monkeypatch)
    with pytest.raises(OutOfTimeError, match="not done within 0 s"):
        starts.first_step_seconds(tiny, CPU, 0.01)
    with pytest.raises(Interrupted):
        starts.first_step_seconds(tiny, CPU, 60.0, lambda: True)
