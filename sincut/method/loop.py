"""The training loop: steps and phases by the plan; metrics, previews and checkpoints as events.

`train` is the algorithm `sincut` (see `algorithms.py`). It reports through events (`sincut/events.py`), and reads and
writes no file.
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

import torch
from torch import Tensor

from sincut.config.sections import Config
from sincut.devices import Threads, considerate, find_compute, out_of_memory
from sincut.errors import NOT_BEGUN, Interrupted, ModelError, TrainingError, counted
from sincut.events import Advanced, Checkpoint, Listener, Planned, Preview, Progress, Started, Trained, Warned, ignore
from sincut.method.plan import Plan
from sincut.method.sides import Pictures
from sincut.method.training import Training
from sincut.model.model import Model
from sincut.model.provenance import Provenance

CLOSING_SECONDS = 0.5  # s kept for the end of the process
TELL_SECONDS = 1.0  # s between two `Advanced` events; a step more where steps take longer
# Previews that are drawn from the exemplar: expected seconds, as a multiple of a preview of G alone; the share of the
# minutes that one at a phase's end may take; the share of the time gone by that all others together may take.
DRAWN_COST, DRAWN_MOST, DRAWN_SHARE = 4.0, 0.15, 0.05


def train(
    source: Pictures,
    target: Pictures,
    config: Config,
    *,
    device: torch.device,
    precision: str = "auto",
    on_event: Listener = ignore,
    stop: Callable[[], bool] = lambda: False,
    started: float | None = None,
    state: dict[str, Tensor] | None = None,
    more: float = 0.0,
    provenance: Provenance | None = None,
) -> Model:
    """Learn to translate `source` into the look of `target`, each a picture (1, 3, H, W) in [-1, 1] or several.

    Returns the model. If the settings allow it and the minutes suffice, there are several trainings (an ensemble), and
    one G learns the median of them at the end.

    - `device`, `precision`: see `devices.find_compute`.
    - `on_event`: called with each event; the default ignores them.
    - `stop`: asked before every step; once it returns True, a last `Checkpoint` is sent and `Interrupted` raised.
      Before the first step there is nothing to send.
    - `started`: time of `time.monotonic()` from which `schedule.minutes` counts; now by default.
    - `state`: that of a `Checkpoint`, to go on from. The steps that follow are those of an uninterrupted training, bit
      for bit on a CPU of the same machine, if they have as many threads (`devices.considerate`): sums of gradients are
      rounded otherwise for another number.
    - `more`: minutes for which a training goes on from `state`, ended or not, as `Plan.extend` says; 0: as planned.
    - `provenance`: what the model is to say of its making, before the progress of the training is added.

    Raises `ImageError` if a picture is too small for crops, `ConfigError` for an unknown loss term, `ModelError` if the
    state does not fit the settings, and `TrainingError` if a loss or weight is no longer finite or memory runs out.
    """
    started = time.monotonic() if started is None else started
    compute = find_compute(device, precision)
    with considerate(device) as threads:
        threads.adjust()
        training, plan = Training(source, target, config, compute), Plan(config, started)
        del source, target  # they are held no longer than preparing them takes
        if state is not None:
            _go_on(training, plan, state, more)
        how, counts = (str(device), compute.precision, compute.reason), training.parameter_counts()
        on_event(Started(training.steps_done, *how, threads.adjust(), counts, more))
        loop = Loop(training, plan, on_event, provenance or Provenance(), threads)
        if plan.done(training.steps_done):
            steps = counted(plan.steps, "step is", "steps are")
            on_event(Warned(f"{steps} done already; there is nothing to go on with"))
            training.close()
            return training.model(loop.provenance())
        try:
            loop.run(stop)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            remedy = _less(config)
            raise TrainingError(f"the memory of {device} is not enough for these settings; use {remedy}") from None
        return training.model(loop.provenance())


def _go_on(training: Training, plan: Plan, state: dict[str, Tensor], more: float) -> None:
    """Put a training and its plan into the state of a checkpoint, and make it `more` minutes longer.

    Raises `ModelError` if the state does not fit them.
    """
    try:
        training.load_state(state)
        plan.load_state(state)
        if more and plan.extend(training.steps_done, 60 * more):
            training.next_member()
    except (KeyError, ValueError, RuntimeError, IndexError) as error:
        what = str(error).splitlines()[0]
        raise ModelError(f"the checkpoint does not fit its own settings ({what}); train anew") from None


def _less(config: Config) -> str:
    """Settings that take less memory, as a command has them."""
    fewer = f"--set crops.count={config.crops.count // 2} or " if config.crops.count > 1 else ""
    return f"{fewer}--set networks.inner={config.networks.inner // 2}"


class Loop:
    """The steps of a run one by one, with metrics, previews and checkpoints at the intervals of the settings."""

    def __init__(
        self, training: Training, plan: Plan, on_event: Listener, provenance: Provenance, threads: Threads
    ) -> None:
        self.training, self.plan, self.on_event, self.threads = training, plan, on_event, threads
        self.threads_now = threads.adjust()  # of the last step
        self.few_told = False  # True once it is said that the minutes are too few
        self.output = training.config.output
        self.given = provenance  # what the caller knows of the model's making
        self.sums: dict[str, Tensor] = {}  # of losses by name, since they were last reported
        self.summed = 0  # number of steps in these sums
        self.losses: dict[str, float] = {}  # means by name, as last reported
        self.logged = self.saved = time.monotonic()  # when losses were reported, and a checkpoint was sent
        self.logged_step = training.steps_done  # number of steps at the last report
        self.told = 0.0  # when the last `Advanced` event was sent
        self.pace = 0.0  # s of a step, as last reported
        self.preview_seconds = self.save_seconds = 0.0  # durations of the last preview of G alone and checkpoint
        self.drawn_seconds = self.all_drawn_seconds = 0.0  # durations of the last drawn preview, and of all together
        if plan.steps:
            self._announce()

    def run(self, stop: Callable[[], bool]) -> None:
        """Do all steps that are left. Once `stop` is true: send a checkpoint, if one is done, raise `Interrupted`."""
        while not self.plan.done(self.training.steps_done):
            if stop():
                if not self.training.steps_done:
                    raise Interrupted(NOT_BEGUN)
                self.checkpoint()
                raise Interrupted(f"stopped after step {self.training.steps_done}")
            self.advance()
        self.finish()

    def advance(self) -> None:
        """Do one step and what is due after it: a report, the next phase, a preview, a checkpoint."""
        training, plan, done = self.training, self.plan, self.training.steps_done
        before, self.threads_now = self.threads_now, self.threads.adjust()
        if self.threads_now != before:
            plan.time_anew()
        began = time.monotonic()
        rate = plan.learning_rate(done)
        losses = training.step(rate, plan.progress(done), plan.crops)
        step = training.steps_done
        for name, value in losses.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.summed += 1
        if not plan.steps:
            self._finite_losses()  # waits for the device, so that the step's time is true
        known = plan.steps > 0
        # A preview of G, the balance, as much again for the rest; then the last preview drawn, and the last checkpoint.
        drawing = self._drawing_seconds() if self._draws(wanted=True) else 0.0
        closing = 3.0 * self.preview_seconds + drawing + self.save_seconds + CLOSING_SECONDS
        if plan.update(step, time.monotonic() - began, closing):
            self._announce()
            self._tell_of_few_steps(closing)
            if not known and self.output.previews:
                self.preview(wanted=False)  # an early one, which also tells how long previews take
        self._tell()
        over = 0 < plan.end <= step  # the phase is
        if step % self.output.log_every == 0 or over:
            self.report()
        due = plan.steps > 0 and self._preview_due(step, over)
        if over:
            training.close()
            self._next_phase(closing)
        if due:
            self.preview(wanted=over)
        if time.monotonic() - self.saved >= self.output.checkpoint_seconds and not plan.done(step):
            self.checkpoint()

    def finish(self) -> None:
        """After the last step: send a checkpoint with the finished model, then `Trained`."""
        self.checkpoint()
        self.on_event(Trained(self.training.steps_done, self.plan.elapsed(), self.losses))

    def report(self) -> None:
        """Send a `Progress` event with the mean losses since the last one. Raises `TrainingError`, if not finite."""
        self._finite_losses()
        step, now = self.training.steps_done, time.monotonic()
        each = self.pace = (now - self.logged) / max(1, step - self.logged_step)
        self.logged, self.logged_step = now, step
        left = self.plan.seconds_left(step, each)
        rate = self.plan.learning_rate(step - 1)
        times = each, self.plan.elapsed(), left
        self.on_event(Progress(step, self.plan.steps, self.losses, rate, *times, self.threads_now))
        self.sums, self.summed = {}, 0

    def _tell(self) -> None:
        """Send an `Advanced` event, if the last one is `TELL_SECONDS` old."""
        now, step, plan = time.monotonic(), self.training.steps_done, self.plan
        if now - self.told < TELL_SECONDS:
            return
        self.told = now
        pace = self.pace or (now - self.logged) / max(1, step - self.logged_step)
        self.on_event(Advanced(step, plan.steps, plan.elapsed(), plan.seconds_left(step, pace), plan.doing))

    def preview(self, wanted: bool) -> None:
        """Send a `Preview` event with the model so far: drawn if that is `wanted`, or takes little of the time."""
        began, drawn = time.monotonic(), self._draws(wanted)
        self.on_event(Preview(self.training.steps_done, self.plan.steps, self.training.model(self.provenance()), drawn))
        seconds = time.monotonic() - began
        if drawn:
            self.drawn_seconds = seconds
            self.all_drawn_seconds += seconds
        else:
            self.preview_seconds = seconds

    def checkpoint(self) -> None:
        """Send a `Checkpoint` event with the state and the model so far.

        Raises `TrainingError` if a loss or a weight is not finite, so that the last good checkpoint is kept.
        """
        self._finite_losses()
        if not self.training.is_finite():
            self._refuse("a weight")
        began = time.monotonic()
        state = self.training.state() | self.plan.state()
        self.on_event(Checkpoint(self.training.steps_done, state, self.training.model(self.provenance())))
        self.saved = time.monotonic()
        self.save_seconds = self.saved - began

    def provenance(self) -> Provenance:
        """The provenance of the model so far: the caller's, with the progress of the training."""
        plan = self.plan
        done = self.training.steps_done
        return replace(
            self.given,
            steps=done,
            planned_steps=plan.steps,
            crops=plan.crops,
            members=plan.member,
            seconds=round(plan.elapsed(), 1),
            more=round(plan.added / 60, 3) or None,
            losses=self.losses,
        )

    def _finite_losses(self) -> None:
        """Set `losses` to the means of the sums; waits for the device. Raises `TrainingError` if one is not finite."""
        if not self.summed:
            return
        means = (torch.stack([v.float().cpu() for v in self.sums.values()]) / self.summed).tolist()
        self.losses = {name: round(value, 6) for name, value in zip(self.sums, means, strict=True)}
        bad = [name for name, value in self.losses.items() if not math.isfinite(value)]
        if bad:
            self._refuse(f"the loss {', '.join(bad)}")

    def _refuse(self, what: str) -> NoReturn:
        rate = self.training.config.optimisation.learning_rate
        raise TrainingError(
            f"step {self.training.steps_done}: {what} is no longer a finite number; the last saved model is kept; "
            f"train into a new folder (-o) with --set optimisation.learning_rate={rate / 2:g} or another --seed"
        )

    def _announce(self) -> None:
        plan = self.plan
        pace, phase = plan.step_seconds(), (plan.end - plan.start, plan.member, plan.members, plan.distils)
        self.on_event(
            Planned(self.training.steps_done, plan.steps, pace, plan.crops, plan.ends_early, *phase, plan.doing)
        )

    def _tell_of_few_steps(self, closing: float) -> None:
        """Warn, once, of minutes that give too few steps for a picture worth having, and say how many would do."""
        minutes = self.plan.minutes_to_learn(self.training.steps_done, closing)
        if not minutes or self.few_told:
            return
        self.few_told = True
        given = counted(f"{self.plan.budget / 60:g}", "minute")
        few = f"only {counted(self.plan.steps, 'step fits', 'steps fit')} into {given}, too few to learn a look"
        self.on_event(Warned(f"{few}; give {counted(minutes, 'minute')}, for about {self.plan.least_steps}"))

    def _next_phase(self, closing: float) -> None:
        """Begin the next training or the distillation, if the plan has one."""
        if not self.plan.next_phase(self.training.steps_done, closing):
            return
        if self.plan.distils:
            self.training.begin_to_distil()
        else:
            self.training.next_member()
        self._announce()

    def _draws(self, wanted: bool) -> bool:
        """True if a preview is to be drawn from the exemplar, as far as there is one and time for it.

        One that is `wanted` may take `DRAWN_MOST` of the minutes, and any time in a run of a given number of steps;
        others together `DRAWN_SHARE` of the time gone by, once it is known how long a preview takes.
        """
        plan, seconds = self.plan, self._drawing_seconds()
        if not self.training.exemplars:
            return False
        if wanted:
            return plan.given or seconds <= DRAWN_MOST * plan.allotted
        return 0 < self.all_drawn_seconds + seconds <= DRAWN_SHARE * plan.elapsed()

    def _drawing_seconds(self) -> float:
        """Seconds that a drawn preview takes, as the last one did; before, as those of G alone let expect."""
        return self.drawn_seconds or DRAWN_COST * self.preview_seconds

    def _preview_due(self, step: int, over: bool) -> bool:
        """True if a preview is due: at the end of each phase, and evenly spread over the first one's steps.

        Over the distillation's too; but not while another member is trained, since the model is not a new one then.
        """
        count, steps = self.output.previews, self.plan.steps
        if over or (self.plan.member > 1 and not self.plan.distils):
            return over and count > 0
        return step * count // steps > (step - 1) * count // steps
