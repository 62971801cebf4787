"""The script for accelerators, `gpu.sh`, on the CPU: its parts run, and a bound that does not hold is told."""

import os
import re
import subprocess
import sys
from pathlib import Path

import gpu
import pytest
import torch

from sincut.devices import FIXED_BY, FreeProcessors, considerate

SCRIPT = Path(gpu.__file__).with_suffix(".sh")
PARTS = (
    "threads",
    "a step of",
    "losses of 2 steps, and on the CPU",
    "in float16, and in float32",
    "interrupted, resumed, and not",
    "translation in bfloat16, and in float32",
    "translating 0.02 MP in float32",
    "drawing near its layout, and on the CPU",
    "drawing 0.01 MP",
    "memory ends for G",
    "memory ends for the drawing",
)


def test_the_whole_path_runs_on_the_cpu() -> None:
    words = ["bash", str(SCRIPT), "--quick", "--device", "cpu"]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHON": sys.executable})
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(part in done.stdout for part in PARTS) and done.stdout.endswith("all bounds hold\n")
    assert "Warning" not in done.stderr and len(re.findall(r" <= ", done.stdout)) >= 10


def test_on_a_cpu_the_number_of_threads_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a resumed training differs in the last bits where another program begins or ends meanwhile."""
    before = torch.get_num_threads()
    for name in FIXED_BY:
        monkeypatch.setenv(name, "")  # put back at the end, with what the script sets
    monkeypatch.setattr(gpu, "LOOKED_SECONDS", 0.0)
    torch.set_num_threads(2)
    try:
        count = gpu.fix_threads()
        torch.set_num_threads(2)  # so that it could go down
        monkeypatch.setattr(FreeProcessors, "look", lambda self: 1)
        with considerate(torch.device("cpu")) as threads:
            assert count in (1, 2) and os.environ["OMP_NUM_THREADS"] == str(count) and threads.adjust() == 2
    finally:
        torch.set_num_threads(before)


def test_a_bound_that_does_not_hold_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    table = gpu.Table()
    table.add("fine", "1 s", 0.5, 0.5)
    table.add("timed", "1 s")
    assert not table.failed
    table.add("off", "1 s", 0.6, 0.5)
    table.add("odd", "1 s", float("nan"), 0.5)
    assert table.failed == ["off", "odd"] and capsys.readouterr().out.count("FAILED") == 2
