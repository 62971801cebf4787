"""How many steps a training has, of how many crops, and the learning rate and the guidance of each."""

import math
import time

import torch
from torch import Tensor

from sincut.config import Config

WARM_UP_STEPS = 2  # not timed: allocators and kernels are set up
CALIBRATION = (4, 4.0)  # at least so many steps, and seconds, are timed before `minutes` become steps
LATE_CHECKS = (0.75, 0.9)  # shares of the steps at which the pace is looked at once more
TOLERANCE = 0.015  # of the minutes; a smaller miss is let be
FEWEST_CROPS = 2  # in a step of a short run; of a single one, PatchNCE would have too few negatives


class Plan:
    """How many steps, and of how many crops: given, or as many as fit into the minutes.

    A short calibration turns minutes into steps; where these are fewer than `schedule.least_steps`, steps of fewer
    crops are timed anew; no more are made than `schedule.enough_steps`. Up to `optimisation.decay` the learning rate
    knows the number only by its square root, so there it is corrected by the speed seen so far. Later it stays, unless
    the machine has changed its pace so much that the run would miss its time by more than `TOLERANCE`.
    """

    def __init__(self, config: Config, started: float) -> None:
        self.full_rate, self.decay = config.optimisation.learning_rate, config.optimisation.decay
        self.full_rate_steps = config.optimisation.full_rate_steps
        self.guide_until, self.guide_end = config.losses.guide_until, config.losses.guide_end
        self.steps = config.schedule.steps  # 0: not known yet
        self.given = self.steps > 0
        self.least_steps, self.enough_steps = config.schedule.least_steps, config.schedule.enough_steps
        self.ends_early = False  # with `enough_steps`, before the minutes are over
        self.crops = config.crops.count
        self.budget = config.schedule.minutes * 60
        self.started = started
        self.timed: list[float] = []  # seconds of the steps timed for the calibration
        self.checked = 0.0  # the share of the steps at which the number was last looked at
        self.since = (0, 0.0)  # the step and the time from which the pace is taken

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
        """Constant up to `decay` of the steps, then linear to 0 after the last; lower in longer runs."""
        rate = self.full_rate
        if 0 < self.full_rate_steps < self.steps:
            rate *= math.sqrt(self.full_rate_steps / self.steps)
        if not self.steps or step <= self.decay * self.steps:
            return rate
        return rate * (self.steps - step) / (self.steps - self.decay * self.steps)

    def guidance(self, step: int) -> float:
        """How much of the coarse guide's weight a step has: from 1 linearly to `guide_end` at `guide_until`."""
        if not self.steps:
            return 1.0
        fallen = min(1.0, step / max(1.0, self.guide_until * self.steps))
        return 1 - fallen * (1 - self.guide_end)

    def update(self, step: int, seconds: float, closing: float) -> bool:
        """After a step that took `seconds`, with `closing` seconds kept for the end: whether `steps` changed."""
        if self.given or self.done(step):
            return False
        left = self.budget - self.elapsed() - closing
        if not self.steps:
            return self._calibrate(step, seconds, left)
        share = next((s for s in (self.decay, *LATE_CHECKS) if self.checked < s <= step / self.steps), None)
        if share is None or step <= self.since[0]:
            return False
        pace = (self.elapsed() - self.since[1]) / (step - self.since[0])
        steps = self._enough(step + max(1, round(left / pace)))
        self.checked, self.since = share, (step, self.elapsed())
        if share > self.decay and abs(steps - self.steps) * pace <= TOLERANCE * self.budget:
            return False
        if share == self.decay and steps * self.decay > step:
            self.checked = 0.0  # more steps fit than it seemed: look again when their half is reached
        self.steps = steps
        return True

    def state(self) -> dict[str, Tensor]:
        """The plan as tensors by name."""
        values = (self.steps, self.checked, self.elapsed(), *self.since, self.crops)
        return {"plan": torch.tensor(values, dtype=torch.float64)}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state`; steps that were given stay, minutes go on where they stopped.

        Earlier versions had the crops of the settings in every step, and kept no number of them.
        """
        steps, self.checked, elapsed, first, since, *crops = state["plan"].tolist()
        self.crops = int(crops[0]) if crops else self.crops
        self.steps = self.steps if self.given else int(steps)
        self.since = int(first), since
        self.started -= elapsed

    def _calibrate(self, step: int, seconds: float, left: float) -> bool:
        self.timed.append(seconds)
        timed = self.timed[WARM_UP_STEPS:]
        enough = len(timed) >= CALIBRATION[0] and sum(timed) >= CALIBRATION[1]
        if not timed or (not enough and left > 0):
            return False
        steps = step + max(1, round(left * len(timed) / sum(timed)))
        crops = self._crops(steps) if left > 0 else self.crops
        if crops != self.crops:
            self.crops, self.timed = crops, []
            return False
        self.since = step, self.elapsed()
        self.steps = self._enough(steps)
        return True

    def _enough(self, steps: int) -> int:
        self.ends_early = 0 < self.enough_steps < steps
        return self.enough_steps if self.ends_early else steps

    def _crops(self, steps: int) -> int:
        """How many crops a step should have, where it would be `steps` with as many as now."""
        if steps < self.least_steps and self.crops > FEWEST_CROPS:
            return max(FEWEST_CROPS, self.crops * steps // self.least_steps)
        return self.crops
