"""Load of the machine by other programs: the share of its cores that they take, which makes any figure too low."""

import os
import time
from dataclasses import dataclass

import psutil

from sincut.errors import counted

BEFORE_SECONDS = 1.0  # that the machine is watched before anything is measured
BUSY = 0.1  # share of the cores taken by others from which on figures are warned of


@dataclass(frozen=True)
class Reading:
    """Processor time since the machine's start, in seconds over all cores."""

    passed: float
    busy: float  # by all programs, and taken by other machines of the same host
    own: float  # by this process and those that it has started, also ended ones

    @staticmethod
    def now() -> "Reading":
        """A reading of this moment."""
        times = psutil.cpu_times()._asdict()
        passed = sum(value for name, value in times.items() if not name.startswith("guest"))  # counted in user and nice
        return Reading(passed, passed - times["idle"] - times.get("iowait", 0.0), _own())

    def taken_since(self, before: "Reading") -> float:
        """Share of all cores, 0 to 1, that others have taken since `before`."""
        passed = self.passed - before.passed
        others = (self.busy - before.busy) - (self.own - before.own)
        return min(1.0, max(0.0, others / passed)) if passed > 0 else 0.0


class Load:
    """Share of the cores that other programs take, watched before measuring and from then on."""

    def __init__(self) -> None:
        before = Reading.now()
        time.sleep(BEFORE_SECONDS)
        self.began = Reading.now()
        self.before = self.began.taken_since(before)

    def figures(self) -> dict[str, float]:
        """Number of cores, and the shares of them taken by others before and while it was measured.

        Empty on Windows, which keeps no account of processes that have ended.
        """
        if os.name == "nt":
            return {}
        during = Reading.now().taken_since(self.began)
        return {"cores": psutil.cpu_count() or 1, "taken_before": self.before, "taken_during": during}


def warnings(load: dict[str, float]) -> list[str]:
    """A warning if other programs took so much of the machine that figures are too low."""
    taken = max(load.get("taken_before", 0.0), load.get("taken_during", 0.0))
    if taken < BUSY:
        return []
    what = f"other programs took up to {taken:.0%} of this machine's {counted(int(load['cores']), 'core')}"
    return [f"{what}: speeds are too low; close them and measure again"]


def _own() -> float:
    """Processor seconds of this process, of those below it, and of all that it has waited for."""
    seconds = sum(os.times()[:4])  # user and system, of this process and of children that have ended
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.Error:  # it has ended since it was listed
            continue
        ended = getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
        seconds += times.user + times.system + ended
    return seconds
