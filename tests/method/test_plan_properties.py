"""The plan at any pace: driven, interrupted, and given numbers that no plan has."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from unittest.mock import patch

import pytest
import torch
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from sincut.config.sections import Config, overlay
from sincut.method.plan import DISTIL_COST, TOLERANCE, Plan

Values = Mapping[str, Mapping[str, float]]

TICK = 1 / 64  # s: times are multiples of it, so that sums of them are exact
# Of a plan: where its clock begins, and what an interruption forgets.
TRANSIENT = {"started", "timed", "chosen", "resumed"}


class Clock:
    """Time of all plans of a test; it stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1024.0

    def monotonic(self) -> float:
        return self.now

    @contextmanager
    def running(self) -> Iterator["Clock"]:
        with patch("sincut.method.plan.time", SimpleNamespace(monotonic=self.monotonic)):
            yield self


@st.composite
def values(draw: st.DrawFn, minutes: bool = False) -> Values:
    """Settings of runs that have a few hundred steps at most."""
    steps = 0 if minutes else draw(st.sampled_from((0, 0, 0, 1, 2, 150)))
    schedule = {
        "steps": steps,
        "minutes": draw(st.integers(1, 600)) / 60,
        "least_steps": draw(st.sampled_from((0, 1, 40, 300))),
        "enough_steps": draw(st.sampled_from((0, 1, 2, 7, 60))),
    }
    optimisation = {
        "decay": draw(st.sampled_from((0.0, 0.3, 0.5, 0.8, 1.0)) | st.floats(0, 1)),
        "full_rate_steps": draw(st.sampled_from((0, 1, 50))),
    }
    ensemble = {"members": draw(st.integers(1, 4)), "steps": draw(st.sampled_from((1, 2, 30)))}
    crops = {"count": draw(st.sampled_from((1, 2, 3, 16)))}
    return {"schedule": schedule, "optimisation": optimisation, "ensemble": ensemble, "crops": crops}


def check(plan: Plan, step: int, config: Config) -> None:
    """What is true of a plan after `step` steps, at any time."""
    assert plan.steps == 0 or 0 < plan.end <= plan.steps
    assert 0 <= plan.start <= step and (not plan.end or plan.start < plan.end)
    assert min(2, config.crops.count) <= plan.crops <= config.crops.count
    assert 1 <= plan.member <= plan.members <= config.ensemble.members
    if config.schedule.steps:
        assert (plan.steps, plan.crops, plan.members) == (config.schedule.steps, config.crops.count, 1)
    if plan.done(step):
        assert step == plan.steps == plan.end and plan.member == plan.members
        return
    assert step < plan.end or not plan.end  # steps are never below what is done
    assert 0 < plan.learning_rate(step) <= config.optimisation.learning_rate
    progress = plan.progress(step)
    assert progress.step == step and progress.done >= 0 and (progress.done < progress.length or not progress.length)


def advance(plan: Plan, step: int, seconds: float, closing: float) -> int:
    """What the loop does after a step, whose time has passed already; the number of steps then."""
    plan.update(step + 1, seconds, closing)
    if 0 < plan.end <= step + 1:
        plan.next_phase(step + 1, closing)
    return step + 1


def numbers(plan: Plan) -> dict[str, object]:
    return {name: value for name, value in vars(plan).items() if name not in TRANSIENT}


class Runs(RuleBasedStateMachine):
    """A run whose steps take any time, beside the same run with interruptions."""

    @initialize(own=values(), before=st.integers(0, 64 * 30))
    def begin(self, own: Values, before: int) -> None:
        self.clock, self.config, self.step = Clock(), overlay(Config(), own), 0
        started = self.clock.now - before * TICK
        with self.clock.running():
            self.whole, self.parts = Plan(self.config, started), Plan(self.config, started)

    @rule(count=st.integers(1, 40), ticks=st.sampled_from((0, 1, 3, 64, 64 * 9)), closing=st.sampled_from((0.0, 5.0)))
    def go_on(self, count: int, ticks: int, closing: float) -> None:
        with self.clock.running():
            for _ in range(count):
                if self.whole.done(self.step):
                    break
                self.clock.now += ticks * TICK
                assert advance(self.parts, self.step, ticks * TICK, closing) == self.step + 1
                self.step = advance(self.whole, self.step, ticks * TICK, closing)
                check(self.whole, self.step, self.config)

    @rule(pause=st.integers(0, 64 * 10_000), before=st.integers(0, 64))
    def interrupt(self, pause: int, before: int) -> None:
        with self.clock.running():
            state = self.parts.state()
            self.clock.now += pause * TICK
            self.whole.started += pause * TICK
            self.parts = Plan(self.config, self.clock.now)
            self.parts.load_state(state)
            if not self.whole.steps:  # the calibration begins anew
                self.whole.timed.clear()

    @invariant()
    def both_go_on_alike(self) -> None:
        if not hasattr(self, "whole"):
            return
        with self.clock.running():
            assert numbers(self.parts) == numbers(self.whole)
            assert self.parts.elapsed() == self.whole.elapsed()

    def teardown(self) -> None:
        if not hasattr(self, "whole"):
            return
        with self.clock.running():
            self.run_to_its_end()

    def run_to_its_end(self) -> None:
        most = self.step + 4 * 60 + 150 + 1300  # of the phases; of the minutes, at a step a second
        while not self.whole.done(self.step):
            assert self.step < most
            self.clock.now += 1
            self.step = advance(self.whole, self.step, 1.0, 1.0)
            check(self.whole, self.step, self.config)


def test_a_run_keeps_to_its_limits_at_any_pace_and_over_interruptions() -> None:
    run_state_machine_as_test(Runs, settings=settings(max_examples=60, stateful_step_count=12, deadline=None))


@settings(max_examples=100, deadline=None)
@given(values(minutes=True), st.integers(1, 256), st.integers(0, 64), st.integers(0, 64 * 5))
def test_a_steady_run_ends_with_its_minutes(own: Values, ticks: int, each: int, closing: int) -> None:
    """Within the tolerance of them, and with the few steps without which there is no pace."""
    config = overlay(Config(), own)
    with Clock().running() as clock:
        plan, step, slowest = Plan(config, clock.now), 0, 0.0
        while not plan.done(step):
            seconds = (ticks + each * plan.crops) * TICK
            if plan.distils:
                seconds *= DISTIL_COST[0] + DISTIL_COST[1] * plan.members
            slowest = max(slowest, seconds)
            clock.now += seconds
            step = advance(plan, step, seconds, closing * TICK)
            check(plan, step, config)
        used = plan.elapsed() + closing * TICK
        assert used <= max((1 + TOLERANCE) * plan.budget, closing * TICK) + 8 * slowest
        if not config.schedule.enough_steps and used > 20 * slowest:
            assert used >= (1 - TOLERANCE) * plan.budget - slowest


STATES = st.one_of(
    st.lists(st.floats() | st.integers(-(2**62), 2**62) | st.sampled_from((-1, 0, 1, 2, 0.5)), max_size=14).map(
        lambda values: torch.tensor(values, dtype=torch.float64)
    ),
    st.sampled_from((torch.tensor(3.0), torch.zeros(2, 6), torch.zeros(12, 1), torch.zeros(0), torch.zeros(10**6))),
)


def first_plan(own: Values, clock: Clock, ticks: int, interrupted: int) -> tuple[Plan, int]:
    """A plan after so many steps, or at its end."""
    plan, step = Plan(overlay(Config(), own), clock.now), 0
    while step < interrupted and not plan.done(step):
        clock.now += ticks * TICK
        step = advance(plan, step, ticks * TICK, 1.0)
    return plan, step


@settings(max_examples=100, deadline=None)
@given(values(), STATES)
def test_a_plan_of_any_numbers_is_refused_or_keeps_to_its_limits(own: Values, state: torch.Tensor) -> None:
    refused_or_within_limits(overlay(Config(), own), {"plan": state, "steps_done": torch.tensor(3)})


@settings(max_examples=100, deadline=None)
@given(values(), st.integers(1, 512), st.integers(0, 200), st.data())
def test_a_plan_with_one_other_number_is_refused_or_keeps_to_its_limits(
    own: Values, ticks: int, interrupted: int, data: st.DataObject
) -> None:
    with Clock().running() as clock:
        plan, step = first_plan(own, clock, ticks, interrupted)
        state = {**plan.state(), "steps_done": torch.tensor(step)}
    name = data.draw(st.sampled_from(("plan", "plan", "plan", "steps_done")))
    number = data.draw(st.floats() | st.integers(-(2**60), 2**60) | st.integers(-2, 300), label=name)
    if name == "steps_done":
        assume(math.isfinite(number))
        state[name] = torch.tensor(int(max(-(2**60), min(2**60, number))))
    else:
        state[name][data.draw(st.integers(0, 11), label="place")] = number
    refused_or_within_limits(overlay(Config(), own), state)


def refused_or_within_limits(config: Config, state: dict[str, torch.Tensor]) -> None:
    with Clock().running() as clock:
        plan = Plan(config, clock.now)
        before = dict(vars(plan))
        try:
            plan.load_state(state)
        except ValueError:
            event("refused")
            assert vars(plan) == before
            return
        event("taken")
        step = int(state["steps_done"])
        assert 0 <= plan.elapsed() <= 10**10 and plan.steps <= 10**10 and plan.start <= step
        assert 0 < plan.learning_rate(max(plan.start, min(step, plan.end - 1))) <= config.optimisation.learning_rate
        assert min(2, config.crops.count) <= plan.crops <= config.crops.count
        assert 1 <= plan.member <= plan.members <= max(1, config.ensemble.members)
        for _ in range(2000):
            if plan.done(step):
                break
            clock.now += 1 + plan.budget / 100
            step = advance(plan, step, 1 + plan.budget / 100, 1.0)
        assert plan.done(step)


@pytest.mark.parametrize("length", [5, 6])
def test_plans_of_earlier_versions_go_on(length: int) -> None:
    own: Values = {"schedule": {"steps": 0, "minutes": 5.0}, "crops": {"count": 4}}
    with Clock().running() as clock:
        plan, step = first_plan(own, clock, 32, 30)
        later = Plan(overlay(Config(), own), clock.now)
        later.load_state({"plan": plan.state()["plan"][:length], "steps_done": torch.tensor(step)})
        assert numbers(later) == numbers(plan) and plan.steps > 0
