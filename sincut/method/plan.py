"""The plan of a run: its phases, their steps, the crops of a step, and the learning rate."""

import math
import time
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor

from sincut.config.sections import Config
from sincut.method.term import Progress

WARM_UP_STEPS = 2  # not timed: allocators and kernels are set up
CALIBRATION = (4, 4.0)  # at least so many steps, and seconds, are timed before `minutes` become steps
SHORTEST = 1e-6  # s, of a step: on a coarse clock some seem to take no time at all
MOST = 10**10  # steps and seconds of a plan that is read
LATE_CHECKS = (0.75, 0.9)  # shares of the steps at which the pace is looked at once more
TOLERANCE = 0.015  # of the minutes; a smaller miss is let be
SURPRISE = (0.2, 0.5)  # of the minutes: a pace measured that long, by which the run would be that late, tells at once
FEWEST_CROPS = 2  # in a step of a short run; of a single one, PatchNCE would have too few negatives
MARGIN = 1.05  # a member may take so many times as long as the last one, and still fit
DISTIL_RATE = 0.5  # of the learning rate, for the steps in which G learns the members' median
DISTIL_COST = 0.3, 0.1  # of such a step, as shares of a usual one: in any case, and for each member


class Plan:
    """The numbers of steps and of crops in each: given, or as many as fit into the minutes.

    A short calibration turns minutes into steps; where these are fewer than `schedule.least_steps`, steps of fewer
    crops are timed anew; no more are made in one training than `schedule.enough_steps`. Where more would fit, the run
    has several trainings, the members of an ensemble, as many as the minutes have room for, and then steps in which G
    learns their median. Each of these is a phase, with learning rates of its own.

    Before `optimisation.decay` of a phase the learning rate depends on the phase's length only through its square root,
    so the length may still be corrected from the measured pace. Later it stays, unless the pace has changed so much
    that the run would miss its time by more than `TOLERANCE`. Where steps become far slower, it is shortened at once.
    """

    def __init__(self, config: Config, started: float) -> None:
        self.full_rate, self.decay = config.optimisation.learning_rate, config.optimisation.decay
        self.full_rate_steps = config.optimisation.full_rate_steps
        self.steps = config.schedule.steps  # of all phases, as it seems; 0: not known yet
        self.given = self.steps > 0
        self.start, self.end = 0, self.steps  # of the phase that goes on
        self.least_steps, self.enough_steps = config.schedule.least_steps, config.schedule.enough_steps
        single = self.given or not self.enough_steps
        self.most_members, self.distil_steps = 1 if single else config.ensemble.members, config.ensemble.steps
        self.members = 1  # how many there will be, as it seems
        self.member = 1  # the one that is trained; the last one while it `distils`
        self.distils = False  # whether G learns the median of the members
        self.crops = config.crops.count
        self.budget = config.schedule.minutes * 60
        self.started = started
        self.timed: list[float] = []  # seconds of the steps timed for the calibration
        self.checked = 0.0  # share of the phase at which its length was last checked
        self.since = (0, 0.0)  # the step and the time from which the pace is taken
        self.began = 0.0  # when the phase did

    def elapsed(self) -> float:
        """Seconds since the training began, interruptions not counted."""
        return time.monotonic() - self.started

    def step_seconds(self) -> float:
        """Mean of the steps timed for the calibration; 0 without one."""
        timed = self.timed[WARM_UP_STEPS:]
        return sum(timed) / len(timed) if timed else 0.0

    def done(self, step: int) -> bool:
        return 0 < self.steps <= step

    def learning_rate(self, step: int) -> float:
        """Constant up to `decay` of the phase, then linear to 0 after its last step; lower in longer phases."""
        at, length = step - self.start, self.end - self.start
        rate = self.full_rate * (DISTIL_RATE if self.distils else 1)
        if 0 < self.full_rate_steps < length:
            rate *= math.sqrt(self.full_rate_steps / length)
        if not length or at <= self.decay * length:
            return rate
        return rate * (length - at) / (length - self.decay * length)

    def progress(self, step: int) -> Progress:
        """The place of a step, counted from 0, in the run and in its phase."""
        return Progress(step, step - self.start, self.end - self.start if self.end else 0)

    def update(self, step: int, seconds: float, closing: float) -> bool:
        """Correct the plan after step number `step` (from 1), which took `seconds` (s). True if `steps` has changed.

        `closing` seconds are kept for the end: a preview, the balance, the last checkpoint.
        """
        if self.given or 0 < self.end <= step:
            return False
        left = self.budget - self.elapsed() - closing
        if not self.steps:
            return self._calibrate(step, seconds, left)
        if step <= self.since[0]:
            return False
        at, length, took = step - self.start, self.end - self.start, self.elapsed() - self.since[1]
        pace = max(SHORTEST, took / (step - self.since[0]))
        if self.member > 1 and not self.distils:
            left -= self._distil_seconds(self.member, pace)
        share = next((s for s in (self.decay, *LATE_CHECKS) if self.checked < s <= at / length), None)
        late = (length - at) * pace - left
        if share is None and (took < SURPRISE[0] * self.budget or late <= SURPRISE[1] * self.budget):
            return False
        length_now = self._no_more(at + max(1, round(left / pace)))
        self.since = step, self.elapsed()
        if share is not None:
            self.checked = share
            if share > self.decay and abs(length_now - length) * pace <= TOLERANCE * self.budget:
                return False
            if share == self.decay and length_now * self.decay > at:
                self.checked = 0.0  # more steps fit than it seemed: look again when their half is reached
        if length_now < self._enough:
            self.members = self.member
        before, self.end = self.steps, self.start + length_now
        self._count()
        return self.steps != before

    def next_phase(self, step: int, closing: float) -> bool:
        """After the last step of a phase: begin another one, and return True; or else the run is `done`."""
        took, left = self.elapsed() - self.began, self.budget - self.elapsed() - closing
        if self.distils or self.most_members == 1 or self.end - self.start < self.enough_steps:
            more = 0
        else:
            pace = MARGIN * took / (self.end - self.start)
            more = self._fitting(left, pace, self.member) - self.member
        self.members = self.member + more
        if more:
            self.member += 1
        elif self.member > 1 and not self.distils:
            self.distils = True
        else:
            self.steps = step
            return False
        self.start, self.end, self.checked = step, step + self._enough, 0.0
        self.began = self.elapsed()
        self.since = step, self.began
        self._count()
        return True

    def state(self) -> dict[str, Tensor]:
        """The plan as tensors by name."""
        phases = (self.start, self.end, self.began, self.member, self.members, self.distils)
        values = (self.steps, self.checked, self.elapsed(), *self.since, self.crops, *phases)
        return {"plan": torch.tensor(values, dtype=torch.float64)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state`; steps that were given stay, minutes go on where they stopped.

        Earlier versions had a single phase, and still earlier ones the crops of the settings in every step. Raises
        ValueError for numbers that no plan has.
        """
        steps, checked, elapsed, first, since, crops, start, end, began, member, members, distils = self._stored(state)
        if not self.given:
            self.steps, self.end = int(steps), int(end)
        self.checked, self.since, self.began = checked, (int(first), since), began
        self.crops, self.start, self.distils = int(crops), int(start), bool(distils)
        self.member, self.members = int(member), int(members)
        self.started -= elapsed

    def _stored(self, state: Mapping[str, Tensor]) -> list[float]:
        """The numbers of `state`, none of which lies where no plan of these settings can have it."""
        plan = state["plan"]
        if plan.ndim != 1 or not 5 <= len(plan) <= 12:
            raise ValueError(f"the plan has the shape {list(plan.shape)}")
        stored = plan.double().tolist()
        early = [*[0.0] * 5, self.crops, 0, stored[0], 0.0, 1, 1, False]  # what the end of a shorter list stands for
        values = [*stored, *early[len(stored) :]]
        steps, checked, elapsed, first, since, crops, start, end, began, member, members, distils = values
        if not min(FEWEST_CROPS, self.crops) <= crops <= self.crops:
            raise ValueError(f"the plan says {crops:g} crops a step, the settings allow at most {self.crops}")
        done = float(state.get("steps_done", torch.tensor(MOST)))
        ascending = (  # a NaN is in no order
            *((0, start, end, steps, MOST), (start, done), (0, first, done, MOST), (1, member, members)),
            *((0, checked, 1), (0, since, elapsed, MOST), (0, began, elapsed), (members, self.most_members)),
        )
        whole = (steps, first, crops, start, end, member, members, distils)
        ordered = all(a <= b for row in ascending for a, b in pairwise(row)) and (start < end or not steps)
        if not ordered or not all(n == int(n) for n in whole):
            raise ValueError("the plan holds numbers that no plan of these settings has")
        return values

    def _calibrate(self, step: int, seconds: float, left: float) -> bool:
        self.timed.append(seconds)
        timed = self.timed[WARM_UP_STEPS:]
        enough = len(timed) >= CALIBRATION[0] and sum(timed) >= CALIBRATION[1]
        if not timed or (not enough and left > 0):
            return False
        pace = max(SHORTEST, sum(timed) / len(timed))
        steps = step + max(1, round(left / pace))
        crops = self._crops(steps) if left > 0 else self.crops
        if crops != self.crops:
            self.crops, self.timed = crops, []
            return False
        self.since = step, self.elapsed()
        self.end = max(step, self._no_more(steps))
        if self.end < steps:
            self.members = self._fitting(left + step * pace, MARGIN * pace, 0)
        self._count()
        return True

    @property
    def ends_early(self) -> bool:
        """True if more minutes would not give more steps."""
        enough = 0 < self._enough <= self.end - self.start
        return enough and not self.given and self.members == self.most_members

    @property
    def _enough(self) -> int:
        """The most steps that the phase makes; 0: any number."""
        return self.distil_steps if self.distils else self.enough_steps

    def _no_more(self, steps: int) -> int:
        """`steps`, but no more than the phase makes."""
        return min(steps, self._enough) if self._enough else steps

    def _fitting(self, left: float, pace: float, trained: int) -> int:
        """The number of members for which `left` s suffice, where `trained` are done and a step takes `pace` s."""
        for members in range(self.most_members, trained, -1):
            seconds = (members - trained) * self.enough_steps * pace
            if seconds + (self._distil_seconds(members, pace) if members > 1 else 0) <= left:
                return members
        return max(1, trained)

    def _distil_seconds(self, members: int, pace: float) -> float:
        fixed, each = DISTIL_COST
        return self.distil_steps * pace * (fixed + each * members)

    def _count(self) -> None:
        """The steps of all phases, from the length of this one on."""
        later = self.members - self.member
        taught = self.distil_steps if self.members > 1 and not self.distils else 0
        self.steps = self.end + later * self.enough_steps + taught

    def _crops(self, steps: int) -> int:
        """The crops of a step, if as many as now would allow `steps` steps: fewer where these are too few."""
        if steps < self.least_steps and self.crops > FEWEST_CROPS:
            return max(FEWEST_CROPS, self.crops * steps // self.least_steps)
        return self.crops
