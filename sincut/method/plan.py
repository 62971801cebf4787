"""The plan of a run: its phases, the steps of each, the crops of a step, and the learning rate of a step.

A phase is the training of one member of an ensemble, or at the end the distillation of all members into one G. Times
are in seconds (s), and a pace is seconds per step.
"""

import math
import time
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor

from sincut.config.sections import Config
from sincut.method.term import Progress

WARM_UP_STEPS = 2  # first steps that are not timed, because allocators and kernels are set up
CALIBRATION = (4, 4.0)  # least number of steps, and least seconds of them, that are timed to turn `minutes` into steps
SHORTEST = 1e-6  # s: least pace; on a coarse clock a step can seem to take no time
MOST = 10**10  # largest number of steps, and of seconds, that a stored plan may have
LATE_CHECKS = (0.75, 0.9)  # shares of a phase after which the pace is checked, besides `optimisation.decay`
TOLERANCE = 0.015  # share of the minutes by which a late check lets the run end too early or too late
SURPRISE = (0.2, 0.5)  # shares of the minutes: a pace timed for the first that makes the run late by the second counts
FEWEST_CROPS = 2  # least crops of a step: with one, PatchNCE would have too few negatives
FIRST_CROPS = 4  # crops of the first steps, by whose pace is said how many a step has: the first picture comes soon
CHOICES = 3  # times, at most, that the number of crops is chosen, since steps do not get dearer in proportion to it
TOO_FEW = 0.25  # share of `schedule.least_steps` below which the steps of a run are not worth having
MARGIN = 1.05  # factor by which the next member may be slower than the last one and still fit
DISTIL_RATE = 0.5  # learning rate of the distillation, as a share of a training's
DISTIL_COST = 0.3, 0.1  # seconds of a step of the distillation, as shares of a training's: in any case, for each member
# Of a run that goes on for more minutes, shares of `schedule.enough_steps`: from the first on a training is whole, and
# the minutes are for another one, if they have room for the second at least.
WHOLE, LEAST_MEMBER = 0.75, 0.4
SHORT, LONG = 12, 17  # numbers in the state of a plan, and of one that was made longer


class Plan:
    """The length of a run in steps: a setting, or as many as fit into `schedule.minutes`.

    A short calibration turns minutes into steps, and into crops a step: as many, up to `crops.count`, as leave
    `schedule.least_steps` steps. It begins with few crops, and steps of more or fewer are timed anew. A training has at
    most `schedule.enough_steps`; if more would fit, the run has as many trainings (members of an ensemble) as the
    minutes have room for, and then a distillation. Each of these is a phase with learning rates of its own.

    Before the share `optimisation.decay` of a phase the learning rate depends on the phase's length only through its
    square root, so the length is corrected there from the measured pace. Later it stays, unless the run would miss its
    time by more than `TOLERANCE`; and whenever steps become far slower (`SURPRISE`) the phase is shortened at once.

    A run that has ended, or was stopped, can be made longer (`extend`). The added time begins another phase, which is
    calibrated anew and has learning rates of its own: that of a further member, then distilled with those before; or
    the same training goes on, where the settings have no ensemble, its training has not had enough steps, or the time
    has no room for another.
    """

    def __init__(self, config: Config, started: float) -> None:
        self.full_rate, self.decay = config.optimisation.learning_rate, config.optimisation.decay
        self.full_rate_steps = config.optimisation.full_rate_steps
        self.steps = config.schedule.steps  # of all phases, as planned now; 0: not known yet
        self.given = self.steps > 0  # True if the number of steps is a setting, and the time does not matter
        self.start, self.end = 0, self.steps  # first step of the current phase, and the one after its last
        self.least_steps, self.enough_steps = config.schedule.least_steps, config.schedule.enough_steps
        single = self.given or not self.enough_steps
        self.most_members, self.distil_steps = 1 if single else config.ensemble.members, config.ensemble.steps
        self.each_time = config.ensemble.members if self.enough_steps else 1  # members that added time may begin
        self.members = 1  # number of trainings, as planned now
        self.member = 1  # number of the current training, from 1; of the last one during the distillation
        self.distils = False  # True if the current phase is the distillation
        self.most_crops = config.crops.count
        few = min(FIRST_CROPS, self.most_crops)
        self.crops = few if self.least_steps and not self.given else self.most_crops  # of each picture per step
        self.chosen = 0  # times that the number of crops was chosen in the calibration
        self.budget = config.schedule.minutes * 60  # s
        self.allotted = self.budget  # s of these that the run, or what it was last made longer by, was given
        self.added = 0.0  # s that were added to the run, each time it was made longer
        self.before = 0  # steps of the current member in earlier phases
        self.resumed = 0.0  # elapsed seconds when the run was resumed
        self.started = started  # of `time.monotonic()`, moved back by the seconds before an interruption
        self.timed: list[float] = []  # s of each step since the calibration began
        self.checked = 0.0  # share of the phase at which its length was last checked
        self.since = (0, 0.0)  # step and elapsed seconds since which the pace is measured
        self.began = 0.0  # elapsed seconds when the current phase began

    def elapsed(self) -> float:
        """Seconds since the run began, without interruptions."""
        return time.monotonic() - self.started

    def step_seconds(self) -> float:
        """Mean seconds of the steps timed for the calibration; 0 if none were."""
        timed = self.timed[WARM_UP_STEPS:]
        return sum(timed) / len(timed) if timed else 0.0

    def time_anew(self) -> None:
        """Forget the pace of the steps so far while it is being timed for the calibration: it has just changed."""
        if not self.steps:
            self.timed = []

    def minutes_to_learn(self, step: int, closing: float) -> int:
        """Minutes that give `schedule.least_steps` at the pace of now, if those of the settings give far fewer; else 0.

        `step` steps are done, and `closing` seconds are needed at the end, as for `update`. 0 for a run that was made
        longer, whose first minutes are over.
        """
        if self.given or self.added or self.member > 1 or not 0 < self.end < TOO_FEW * self.least_steps:
            return 0
        left = self.budget - self.elapsed() - closing
        pace = max(self.step_seconds(), left / max(1, self.end - step))
        seconds = self.elapsed() + (self.least_steps - step) * pace + closing
        return math.ceil(max(seconds, self.budget + 1) / 60)

    def done(self, step: int) -> bool:
        """True if the run is over after `step` steps."""
        return 0 < self.steps <= step

    def seconds_left(self, step: int, pace: float) -> float:
        """Seconds that are left after `step` steps, of which the last took `pace` each.

        Of a run by minutes these are what is left of them, unless its settings end it earlier. 0 if not known yet.
        """
        if self.given or self.ends_early:
            return max(0, self.steps - step) * pace
        return max(0.0, self.budget - self.elapsed())

    @property
    def doing(self) -> str:
        """The phase of the run, in words."""
        if not self.steps:
            return "measuring this machine"
        if self.distils:
            return f"learning the median of {self.members}"
        return f"training {self.member} of {self.members}" if self.members > 1 else "training"

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0.

        It is constant for the share `optimisation.decay` of the phase, then falls linearly to 0 after the last step. In
        trainings of more than `optimisation.full_rate_steps` all of it is lower, by the square root of their length.
        """
        at, length = step - self.start, self._length
        rate = self.full_rate * (DISTIL_RATE if self.distils else 1)
        if 0 < self.full_rate_steps < self.before + length:
            rate *= math.sqrt(self.full_rate_steps / (self.before + length))
        if not length or at <= self.decay * length:
            return rate
        return rate * (length - at) / (length - self.decay * length)

    def progress(self, step: int) -> Progress:
        """The position of a step, counted from 0, in the run and in the training of its member.

        While a training that goes on is calibrated, it is taken to become twice as long as it was.
        """
        return Progress(step, self.before + step - self.start, self.before + (self._length or self.before))

    def update(self, step: int, seconds: float, closing: float) -> bool:
        """Correct the plan after `step` steps, of which the last took `seconds`. True if `steps` has changed.

        `closing` are the seconds to be kept for the end: a preview, the balance, the last checkpoint.
        """
        if self.given or 0 < self.end <= step:
            return False
        left = self.budget - self.elapsed() - closing
        if not self.steps:
            return self._calibrate(step, seconds, left)
        if step <= self.since[0]:
            return False
        at, length, took = step - self.start, self._length, self.elapsed() - self.since[1]
        pace = max(SHORTEST, took / (step - self.since[0]))
        if self.member > 1 and not self.distils:
            left -= self._distil_seconds(self.member, pace)
        share = next((s for s in (self.decay, *LATE_CHECKS) if self.checked < s <= at / length), None)
        late = (length - at) * pace - left
        if share is None and (took < SURPRISE[0] * self.allotted or late <= SURPRISE[1] * self.allotted):
            return False
        length_now = self._no_more(at + max(1, round(left / pace)))
        self.since = step, self.elapsed()
        if share is not None:
            self.checked = share
            if share > self.decay and abs(length_now - length) * pace <= TOLERANCE * self.allotted:
                return False
            if share == self.decay and length_now * self.decay > at:
                self.checked = 0.0  # the phase became longer: check again at `decay` of its new length
        if length_now < self._enough:
            self.members = self.member
        before, self.end = self.steps, self.start + length_now
        self._count()
        return self.steps != before

    def next_phase(self, step: int, closing: float) -> bool:
        """After the last step of a phase: begin another one and return True, or end the run and return False.

        `closing` are the seconds to be kept for the end, as for `update`.
        """
        took, left = self.elapsed() - self.began, self.budget - self.elapsed() - closing
        if self.distils or self.most_members == 1 or self._length < self._enough:
            more = 0
        else:
            pace = MARGIN * took / self._length
            more = self._fitting(left, pace, self.member) - self.member
        self.members = self.member + more
        if more:
            self.member += 1
        elif self.member > 1 and not self.distils:
            self.distils = True
        else:
            self.steps = step
            return False
        self.before = 0
        self.start, self.end, self.checked = step, step + self._enough, 0.0
        self.began = self.elapsed()
        self.since = step, self.began
        self._count()
        return True

    def extend(self, step: int, seconds: float) -> bool:
        """Make a resumed run longer: after `step` steps it goes on for `seconds` since it was resumed.

        Begins a phase, and returns True if that is the training of a further member.
        """
        pace, done = self._pace(step), self.before + step - self.start
        room = seconds - self._distil_seconds(self.member + 1, pace)
        whole = self.distils or done >= WHOLE * self.enough_steps
        another = self.each_time > 1 and whole and room >= LEAST_MEMBER * self.enough_steps * pace
        self.before = 0 if another or self.distils else done
        self.member += another
        self.distils = self.distils and not another
        self.members, self.most_members = self.member, self.member + self.each_time - 1
        self.given, self.allotted, self.added = False, seconds, self.added + seconds
        self.budget = self.resumed + seconds
        self.start, self.end, self.steps, self.checked, self.timed = step, 0, 0, 0.0, []
        self.began = self.elapsed()
        return another

    def state(self) -> dict[str, Tensor]:
        """The plan as a tensor, by its name in a checkpoint."""
        phases = (self.start, self.end, self.began, self.member, self.members, self.distils)
        values = (self.steps, self.checked, self.elapsed(), *self.since, self.crops, *phases)
        longer = (self.budget, self.allotted, self.added, self.before, self.most_members) if self.added else ()
        return {"plan": torch.tensor((*values, *longer), dtype=torch.float64)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state`; a number of steps that is a setting stays, minutes go on where they stopped.

        Plans of earlier versions are shorter: they had a single phase, and the earliest the same crops in every step.
        Raises KeyError without a plan, and ValueError for numbers that no plan of these settings has.
        """
        values, longer = self._stored(state)
        steps, checked, elapsed, first, since, crops, start, end, began, member, members, distils = values
        if longer:
            self.given, (self.budget, self.allotted, self.added) = False, longer[:3]
            self.before, self.most_members = map(int, longer[3:])
        if not self.given:
            self.steps, self.end = int(steps), int(end)
        self.checked, self.since, self.began = checked, (int(first), since), began
        self.crops, self.start, self.distils = int(crops), int(start), bool(distils)
        self.member, self.members = int(member), int(members)
        self.started -= elapsed
        self.resumed = elapsed

    def _stored(self, state: Mapping[str, Tensor]) -> tuple[list[float], list[float]]:
        """The twelve numbers of `state`, and those of a plan that was made longer, else none.

        They are checked for what a plan of these settings can have.
        """
        plan = state["plan"]
        if plan.ndim != 1 or not (5 <= len(plan) <= SHORT or len(plan) == LONG):
            raise ValueError(f"the plan has the shape {list(plan.shape)}")
        stored = plan.double().tolist()
        stored, longer = stored[:SHORT], stored[SHORT:]
        early = [*[0.0] * 5, self.most_crops, 0, stored[0], 0.0, 1, 1, False]  # defaults of shorter, earlier plans
        values = [*stored, *early[len(stored) :]]
        steps, checked, elapsed, first, since, crops, start, end, began, member, members, distils = values
        if not min(FEWEST_CROPS, self.most_crops) <= crops <= self.most_crops:
            raise ValueError(f"the plan says {crops:g} crops a step, the settings allow at most {self.most_crops}")
        done = float(state.get("steps_done", torch.tensor(MOST)))
        budget, allotted, added, before, most = longer or (0.0, 0.0, 0.0, 0, self.most_members)
        ascending = (  # rows of numbers of which none is larger than the next; a NaN fails this
            *((0, start, done), (0, first, done, MOST), (1, member, members, most)),
            *((0, checked, 1), (0, since, elapsed, MOST), (0, began, elapsed), (0, budget, 2 * MOST)),
            *((0, allotted, added, MOST), (0, before, start)),
            (0, most, member + self.each_time - 1 if longer else most),
            (start, end, steps, MOST) if steps else (0, end, 0),
        )
        whole = (steps, first, crops, start, end, member, members, distils, before, most)
        ordered = all(a <= b for row in ascending for a, b in pairwise(row)) and (start < end or not steps)
        if not ordered or not all(n == int(n) for n in whole):
            raise ValueError("the plan holds numbers that no plan of these settings has")
        return values, longer

    def _calibrate(self, step: int, seconds: float, left: float) -> bool:
        """Time the last step, and plan once enough are timed: then True. `left` are the seconds left for steps."""
        self.timed.append(seconds)
        timed = self.timed[WARM_UP_STEPS:]
        enough = len(timed) >= CALIBRATION[0] and sum(timed) >= CALIBRATION[1]
        if not timed or (not enough and left > 0):
            return False
        pace, at = max(SHORTEST, sum(timed) / len(timed)), step - self.start
        later = self._distil_seconds(self.member, pace) if self.member > 1 and not self.distils else 0
        length = at + max(1, round((left - later) / pace))
        crops = self._crops(length) if left > 0 and not self.added else self.crops
        if crops != self.crops and self.chosen < CHOICES:
            self.crops, self.timed, self.chosen = crops, [], self.chosen + 1
            return False
        self.since = step, self.elapsed()
        self.end = self.start + max(at, self._no_more(length))
        if self._length < length and not self.distils:
            fitting = self._fitting(left + (self.before + at) * pace, MARGIN * pace, self.member - 1)
            self.members = max(self.member, fitting)
        self._count()
        return True

    @property
    def ends_early(self) -> bool:
        """True if the settings' limits end the run before its minutes do: more minutes would give no more steps."""
        enough = 0 < self._enough <= self._length
        return enough and not self.given and self.members == self.most_members

    @property
    def _length(self) -> int:
        """Number of steps of the current phase; 0: not known yet."""
        return max(0, self.end - self.start)

    @property
    def _enough(self) -> int:
        """The most steps of the current phase; 0: any number."""
        if self.distils:
            return self.distil_steps
        if self.added and self.each_time == 1:  # the same training is asked to go on
            return 0
        return max(0, self.enough_steps - self.before)

    def _pace(self, step: int) -> float:
        """Mean seconds of a step of a training, over all `step` steps of the run and whatever was done between them."""
        fixed, each = DISTIL_COST
        distilled = (step - self.start) * (fixed + each * self.member) if self.distils else step - self.start
        return max(SHORTEST, self.elapsed() / max(1.0, self.start + distilled))

    def _no_more(self, steps: int) -> int:
        """`steps`, limited to the most steps of the current phase."""
        return min(steps, self._enough) if self._enough else steps

    def _fitting(self, left: float, pace: float, trained: int) -> int:
        """The number of members, `trained` ones included, for whose steps `left` seconds suffice at a pace."""
        for members in range(self.most_members, trained, -1):
            seconds = (members - trained) * self.enough_steps * pace
            if seconds + (self._distil_seconds(members, pace) if members > 1 else 0) <= left:
                return members
        return max(1, trained)

    def _distil_seconds(self, members: int, pace: float) -> float:
        """Seconds of a distillation of so many members, if a step of a training takes `pace`."""
        fixed, each = DISTIL_COST
        return self.distil_steps * pace * (fixed + each * members)

    def _count(self) -> None:
        """Set `steps`, those of all phases, from the end of this one and what is planned after it."""
        later = self.members - self.member
        distillation = self.distil_steps if self.members > 1 and not self.distils else 0
        self.steps = self.end + later * self.enough_steps + distillation

    def _crops(self, steps: int) -> int:
        """The crops of a step of which there are `schedule.least_steps`, if as many as now allow `steps` steps."""
        if not self.least_steps:
            return self.crops
        return min(self.most_crops, max(FEWEST_CROPS, self.crops * steps // self.least_steps))
