"""Speed of training beside other busy programs of the same priority, against that of a machine left alone.

The command `sincut train` goes on throughout, so that it is the real training that has to come to terms with them,
while processes that only count begin and end beside it, in turns: 0, 1, 2, 0, 1, 2, ... Of each turn the first seconds
are not counted, in which a training may notice and choose other threads.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from sincut.bench.alone import STOPPED
from sincut.bench.measure import SECONDS, Measuring, OnPart, Stop
from sincut.bench.starts import GRACE, event_of, training_command
from sincut.config.sections import Config
from sincut.devices import find_compute
from sincut.errors import Interrupted, SincutError, counted
from sincut.runs import child

ROUNDS = 3  # turns of each number of neighbours, if there is time
SETTLE_SECONDS = 5.0  # of a turn that are not counted
TURN_SECONDS = 8.0  # of a turn that are counted, at least
LEAST_STEPS = 3  # of a turn that are counted
ENDLESS = ["--steps", "1000000", "--set", "output.previews=0", "--set", "output.checkpoint_seconds=86400"]
COUNTS = "from sincut.runs.child import follow_parent; follow_parent()\nwhile True: pass"  # and keeps a core busy


def measure_neighbours(
    config: Config,
    device: torch.device,
    counts: Sequence[int],
    on_part: OnPart = lambda part: None,
    stop: Stop = lambda: False,
    seconds: float = SECONDS,
) -> dict[str, Any]:
    """Measure the seconds of a training step alone, and beside each number of busy processes of the same priority.

    Returns the figures by name. `neighbours` has for each number, with 0 first, `busy`, the mean `step_seconds`, the
    number of `steps` counted, the `turns` they were in, and `speed`, as a share of that alone, from the same run.
    `omp_num_threads` is the environment's, which settles the number of threads, or None. Ends within `seconds`; a
    number that had no turn is in `left_out`. Raises as `measure`.
    """
    bench = Measuring(config, device, on_part, stop, seconds)
    turns = _Turns(list(dict.fromkeys((0, *counts))), bench)
    with tempfile.TemporaryDirectory() as made:
        words = [*training_command(config, device, Path(made)), *ENDLESS]
        try:
            ended = child.attend(words, turns.hear, turns.over, GRACE)
        finally:
            turns.close()
    if stop():
        raise Interrupted(STOPPED)
    if not ended.asked:
        raise SincutError(f"train ended before it was measured: {ended.last_line.strip()}")
    return bench.figures({
        "device": str(device),
        "precision": find_compute(device).precision,
        "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
        "neighbours": turns.figures(),
    })  # fmt: skip


class _Turns:
    """Turns of the numbers of neighbours beside a training; told of its steps, and asked whether all is measured."""

    def __init__(self, counts: list[int], bench: Measuring) -> None:
        self.counts, self.bench = counts, bench
        self.waiting = [count for _ in range(ROUNDS) for count in counts]  # numbers of neighbours of turns to come
        self.busy = list[child.Process]()
        self.steps = list[float]()  # times at which steps of the turn ended
        self.counted_from = 0.0  # time; 0: no turn has begun
        self.timed: dict[int, list[tuple[int, float]]] = {count: [] for count in counts}  # steps and seconds of a turn

    def hear(self, line: str) -> None:
        """Note a step of the training; called in another thread."""
        if event_of(line) == "Progress":
            self.steps.append(time.monotonic())

    def over(self) -> bool:
        """True if all turns are over, there is no time for more, or they were asked to stop."""
        if self.bench.left <= 0 or self.bench.stop():
            return True
        steps = [step for step in self.steps if step > self.counted_from]
        if not self.counted_from:
            if steps:
                self._begin()
        elif len(steps) > LEAST_STEPS and time.monotonic() - self.counted_from > TURN_SECONDS:
            self.timed[self.waiting.pop(0)].append((len(steps) - 1, steps[-1] - steps[0]))
            if not self.waiting:
                return True
            self._begin()
        return False

    def close(self) -> None:
        """End all neighbours."""
        self._keep(0)

    def figures(self) -> list[dict[str, Any]]:
        """Mean seconds of a step by number of neighbours; `left_out` of the bench gets numbers that had no turn."""
        rows = list[dict[str, Any]]()
        for count, turns in self.timed.items():
            if not turns:
                what = f"had no time for {LEAST_STEPS} steps of training"
                self.bench.left_out.append({"part": _named(count), "why": what})
                continue
            steps, seconds = (sum(each) for each in zip(*turns, strict=True))
            rows.append({"busy": count, "step_seconds": seconds / steps, "steps": steps, "turns": len(turns)})
        alone = next((row["step_seconds"] for row in rows if not row["busy"]), None)
        return [{**row, **({"speed": alone / row["step_seconds"]} if alone else {})} for row in rows]

    def _begin(self) -> None:
        """Begin the next turn, with its number of neighbours."""
        count = self.waiting[0]
        self.bench.on_part(_named(count))
        self._keep(count)
        self.counted_from, self.steps = time.monotonic() + SETTLE_SECONDS, []

    def _keep(self, count: int) -> None:
        """Start or end neighbours until there are so many."""
        while len(self.busy) > count:
            neighbour = self.busy.pop()
            neighbour.kill()  # it has nothing to save
            neighbour.wait()
        while len(self.busy) < count:
            self.busy.append(child.start([sys.executable, "-c", COUNTS], subprocess.DEVNULL))


def _named(count: int) -> str:
    """Name of a part of the measurement, by its number of neighbours."""
    return f"training beside {counted(count, 'busy neighbour')}" if count else "training alone"
