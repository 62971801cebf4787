"""What `sincut study` says of the time that is left."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from sincut.cli import study
from sincut.report.study_table import Row


def test_the_time_left_counts_translating_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    plan: Any = SimpleNamespace(pairs=[SimpleNamespace(name=name) for name in "abc"], finished=set())
    teller = study._Teller(plan, as_json=False)
    told = {"event": "Progress", "step": 5, "steps": 10, "losses": {}, "rate": 0.1, "step_seconds": 6.0}
    line = json.dumps({**told, "seconds": 30.0, "seconds_left": 30.0})
    teller.line("a", line)
    assert "2:30 min for all" in capsys.readouterr().err  # 30 s of this one, 60 s of each other
    now[0] = 20.0
    teller.row(Row("a", 0, "trained", "a", picture="a.png"))
    teller.line("b", line)
    assert "2:10 min for all" in capsys.readouterr().err  # 30 + 60 + 2 x 20 s
    teller.row(Row("b", 0, "failed", "b", error="b: no memory"))
    assert teller.translating == 20.0
