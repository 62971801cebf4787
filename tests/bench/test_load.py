"""Load by other programs: what is not ours, as a share of all cores."""

import subprocess
import sys
import time

import pytest

from sincut.bench import load
from sincut.bench.load import Load, Reading, warnings


def test_what_others_take_is_what_is_busy_and_not_ours() -> None:
    before, after = Reading(1000.0, 300.0, 50.0), Reading(1020.0, 312.0, 57.0)
    assert after.taken_since(before) == pytest.approx((12 - 7) / 20)
    assert before.taken_since(before) == 0.0
    assert Reading(1020.0, 305.0, 57.0).taken_since(before) == 0.0  # clocks of two accounts differ a little


def test_time_of_our_processes_is_our_own_also_once_they_have_ended() -> None:
    counts = [
        sys.executable,
        "-c",
        "import time\nuntil = time.process_time() + 0.3\nwhile time.process_time() < until: pass",
    ]
    began = Reading.now()
    with subprocess.Popen(counts) as process:
        until = time.monotonic() + 60
        while Reading.now().own - began.own < 0.1:  # while it goes on
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.01)
    ended = Reading.now()
    assert ended.own - began.own >= 0.3 and ended.passed > began.passed and ended.busy > began.busy


def test_a_busy_machine_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "BEFORE_SECONDS", 0.01)
    figures = Load().figures()
    assert figures["cores"] >= 1 and all(0 <= figures[name] <= 1 for name in ("taken_before", "taken_during"))
    assert warnings({"cores": 4, "taken_before": 0.02, "taken_during": 0.09}) == [] == warnings({})
    (warning,) = warnings({"cores": 4, "taken_before": 0.02, "taken_during": 0.38})
    assert "38% of this machine's 4 cores" in warning and "too low" in warning
