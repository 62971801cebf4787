"""The plan: minutes become steps, phases and learning rates."""

from collections.abc import Callable

import pytest
import torch

from sincut.config.resolve import resolve
from sincut.config.sections import Config, overlay
from sincut.method.plan import Plan


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("sincut.method.plan.time.monotonic", lambda: self.now)


def drive(plan: Plan, clock: Clock, pace: Callable[[int], float], closing: float = 5.0) -> int:
    """Run a plan with steps of `pace(step)` seconds to its end."""
    step = 0
    while not plan.done(step):
        seconds = pace(step)
        clock.now += seconds
        step += 1
        plan.update(step, seconds, closing)
        if step == plan.end:
            plan.next_phase(step, closing)
    return step


@pytest.mark.parametrize(
    "pace",
    [lambda step: 1.0, lambda step: 0.5 if step < 100 else 0.8, lambda step: 1.0 if step < 600 else 1.25],
    ids=["steady", "slows early", "slows late"],
)
def test_minutes_end_on_time_at_any_pace(monkeypatch: pytest.MonkeyPatch, pace: Callable[[int], float]) -> None:
    clock = Clock(monkeypatch)
    plan = Plan(overlay(resolve(), {"schedule": {"minutes": 15.0, "enough_steps": 0}}), started=clock.now - 20)
    steps = drive(plan, clock, pace)
    assert plan.elapsed() + 5 == pytest.approx(900, rel=0.03)
    assert plan.learning_rate(steps) == 0


def test_a_run_that_becomes_far_slower_is_shortened_before_its_minutes_are_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    settings = {"schedule": {"minutes": 15.0, "enough_steps": 0}, "optimisation": {"full_rate_steps": 0}}
    plan = Plan(overlay(resolve(), settings), clock.now)
    rates: list[float] = []

    def pace(step: int) -> float:
        rates.append(plan.learning_rate(step))
        return 0.5 if step < 60 else 5.0

    drive(plan, clock, pace)
    assert plan.elapsed() + 5 == pytest.approx(900, rel=0.03)
    assert rates[0] == rates[len(rates) // 2 - 2] and rates[-1] < rates[0] / 50 and rates == sorted(rates)[::-1]


def test_steps_too_short_for_the_clock_have_a_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    config = overlay(resolve(), {"schedule": {"minutes": 1.0, "enough_steps": 0}})
    plan = Plan(config, clock.now)
    assert drive(plan, clock, lambda step: 2.0 if step < 7 or step > 40 else 0.0) > 40
    late = Plan(config, clock.now - 60)
    assert drive(late, clock, lambda step: 0.0) == 4


def test_minutes_that_are_too_few_end_after_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    plan = Plan(overlay(resolve(), {"schedule": {"minutes": 1.0}}), started=clock.now)
    assert drive(plan, clock, lambda step: 12.0) <= 6


def test_minutes_resume_with_the_number_that_was_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    config = overlay(resolve(), {"schedule": {"minutes": 10.0}})
    plan = Plan(config, clock.now)
    for step in range(1, 400):
        clock.now += 1
        plan.update(step, 1.0, 0)
    saved = plan.state()
    clock.now += 50_000
    later = Plan(config, clock.now)
    later.load_state(saved)
    assert later.steps == plan.steps and later.elapsed() == pytest.approx(399)
    assert later.learning_rate(450) == plan.learning_rate(450)


@pytest.mark.parametrize(("minutes", "crops"), [(60, 8), (20, 8), (5, 3), (2, 2)])
def test_crops_follow_the_minutes_so_that_steps_are_enough(
    monkeypatch: pytest.MonkeyPatch, minutes: float, crops: int
) -> None:
    clock = Clock(monkeypatch)
    schedule = {"minutes": minutes, "least_steps": 700, "enough_steps": 0}
    config = overlay(resolve(), {"crops": {"count": 8}, "schedule": schedule})
    plan = Plan(config, clock.now)
    steps = drive(plan, clock, lambda step: 0.1 + 0.1 * plan.crops)
    assert plan.crops == crops and (steps >= 700 or crops == 2)
    assert plan.elapsed() + 5 == pytest.approx(60 * minutes, rel=0.03)
    later = Plan(config, clock.now)
    later.load_state(plan.state())
    assert later.crops == crops


@pytest.mark.parametrize(("minutes", "crops"), [(15, 14), (60, 48), (1, 2)])
def test_more_minutes_are_for_more_crops_a_step(monkeypatch: pytest.MonkeyPatch, minutes: float, crops: int) -> None:
    clock = Clock(monkeypatch)
    schedule = {"minutes": minutes, "least_steps": 600, "enough_steps": 600}
    config = overlay(resolve(), {"crops": {"count": 48}, "schedule": schedule, "ensemble": {"members": 1}})
    plan = Plan(config, clock.now)
    assert plan.crops == 4  # the first step comes soon
    steps = drive(plan, clock, lambda step: 0.3 + 0.08 * plan.crops)
    assert plan.crops == crops and (steps == 600 or minutes == 1)
    assert plan.elapsed() <= 60 * minutes


@pytest.mark.parametrize(("enough", "minutes"), [(1000, 60), (0, 60), (1000, 5)])
def test_a_run_ends_with_enough_steps(monkeypatch: pytest.MonkeyPatch, enough: int, minutes: float) -> None:
    clock = Clock(monkeypatch)
    schedule = {"minutes": minutes, "enough_steps": enough}
    config = overlay(resolve(), {"schedule": schedule, "ensemble": {"members": 1}})
    plan = Plan(config, clock.now)
    steps = drive(plan, clock, lambda step: 0.1 * plan.crops)
    assert plan.ends_early == (steps == enough) == (enough > 0 and minutes == 60)
    assert plan.learning_rate(steps) == 0
    if not plan.ends_early:
        assert plan.elapsed() + 5 == pytest.approx(60 * minutes, rel=0.03)
    given = Plan(overlay(config, {"schedule": {"steps": 5000}}), clock.now)
    assert drive(given, clock, lambda step: 0.1) == 5000 and not given.ends_early


@pytest.mark.parametrize(("minutes", "members"), [(4, 1), (7, 1), (9, 2), (15, 3), (60, 3)])
def test_an_ensemble_has_as_many_members_as_the_minutes_have_room_for(
    monkeypatch: pytest.MonkeyPatch, minutes: float, members: int
) -> None:
    clock = Clock(monkeypatch)
    config = overlay(resolve(), {"schedule": {"minutes": minutes}})
    plan = Plan(config, clock.now - 20)
    planned: set[int] = set()
    rates: dict[int, float] = {}

    def pace(step: int) -> float:
        planned.add(plan.steps)
        rates[step] = plan.learning_rate(step)
        return 0.15 if plan.distils else 0.33

    steps = drive(plan, clock, pace)
    assert plan.members == plan.member == members and plan.distils == (members > 1)
    assert steps == (600 if members == 1 else 600 * members + 300)
    assert planned == {0, steps} and plan.ends_early == (members == 3)
    assert plan.elapsed() + 5 <= 60 * minutes
    assert (plan.progress(plan.start).done, plan.learning_rate(steps)) == (0, 0)
    for first in range(600, 600 * members, 600):  # each training has the rates of the first one
        assert [rates[first + i] for i in range(600)] == [rates[i] for i in range(600)]
    assert members == 1 or rates[600 * members] == rates[0] / 2


def test_a_member_that_slows_down_leaves_time_for_the_distillation(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    plan = Plan(overlay(resolve(), {"schedule": {"minutes": 15.0}}), clock.now)
    steps = drive(plan, clock, lambda step: (0.15 if plan.distils else 0.33) * (1 if step < 800 else 4))
    assert plan.elapsed() + 5 == pytest.approx(900, rel=0.05)
    assert plan.distils and plan.members == 2 and 900 < plan.start < 1200 and 100 < steps - plan.start <= 300


@pytest.mark.parametrize("interrupted", [300, 650, 1500, 1801])
def test_the_phases_of_a_plan_go_on_where_they_stopped(monkeypatch: pytest.MonkeyPatch, interrupted: int) -> None:
    clock = Clock(monkeypatch)
    config = overlay(resolve(), {"schedule": {"minutes": 15.0}})
    whole, first, second = (Plan(config, clock.now) for _ in range(3))
    steps = drive(whole, clock, lambda step: 0.3)
    first.started = clock.now
    for step in range(1, interrupted + 1):
        clock.now += 0.3
        first.update(step, 0.3, 5.0)
        if step == first.end:
            first.next_phase(step, 5.0)
    state = first.state()
    clock.now += 50_000
    second.started = clock.now
    second.load_state(state)
    phase = ("start", "end", "steps", "member", "members", "distils", "crops", "checked", "since", "began")
    assert all(getattr(first, name) == getattr(second, name) for name in phase)
    assert second.learning_rate(interrupted) == first.learning_rate(interrupted)
    assert second.steps == steps


def test_steps_keep_their_crops_where_they_are_given_or_few_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Plan(overlay(resolve(), {"crops": {"count": 8}, "schedule": {"steps": 5}}), 0.0)
    assert not given.update(3, 100.0, 0.0) and given.crops == 8
    clock = Clock(monkeypatch)
    slow, fast = (
        Plan(overlay(resolve(), {"crops": {"count": 8}, "schedule": {"least_steps": 0, "enough_steps": 0}}), clock.now)
        for _ in range(2)
    )
    assert [slow.update(step, 2.0, 0.0) for step in range(1, 8)].count(True) == 1 and slow.crops == 8
    assert [fast.update(step, 0.01, 0.0) for step in range(1, 800)].count(True) == 1 and fast.crops == 8
    earlier = {"plan": slow.state()["plan"][:5]}  # as it was saved before there was a number of crops
    slow.load_state(earlier)
    assert slow.crops == 8


def test_learning_rate_is_constant_then_falls_to_zero() -> None:
    plan = Plan(overlay(resolve(), {"schedule": {"steps": 100}, "optimisation": {"learning_rate": 0.002}}), 0)
    assert [plan.learning_rate(step) for step in (0, 50, 75, 100)] == [0.002, 0.002, 0.001, 0]


@pytest.mark.parametrize(("steps", "rate"), [(300, 0.004), (2_000, 0.002), (50_000, 0.0004)])
def test_longer_runs_have_a_lower_learning_rate(steps: int, rate: float) -> None:
    settings = {"learning_rate": 0.004, "full_rate_steps": 500}
    plan = Plan(overlay(resolve(), {"schedule": {"steps": steps}, "optimisation": settings}), 0.0)
    assert plan.learning_rate(0) == plan.learning_rate(steps // 2) == pytest.approx(rate)
    assert plan.learning_rate(steps * 3 // 4) == pytest.approx(rate / 2)
    always = overlay(resolve(), {"schedule": {"steps": steps}, "optimisation": settings | {"full_rate_steps": 0}})
    assert Plan(always, 0.0).learning_rate(7) == 0.004


def test_steps_that_become_quicker_once_a_program_ends_use_the_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    settings = {"schedule": {"minutes": 15.0, "enough_steps": 0, "least_steps": 0}}
    plan = Plan(overlay(resolve(), settings), clock.now)
    steps = drive(plan, clock, lambda step: 1.5 if step < 100 else 0.3)
    assert plan.elapsed() + 5 == pytest.approx(900, rel=0.03) and steps > 2000


def test_a_pace_that_has_just_changed_is_timed_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    config = overlay(resolve(), {"crops": {"count": 4}, "schedule": {"minutes": 15.0, "enough_steps": 0}})
    chosen: dict[bool, int] = {}
    for anew in (False, True):
        plan = Plan(config, clock.now)
        for step in range(1, 40):
            if step == 5 and anew:
                plan.time_anew()
            clock.now += (seconds := 12.0 if step < 5 else 0.3)
            if plan.update(step, seconds, 5.0):
                break
        chosen[anew] = plan.chosen
        assert plan.steps > 2500 and plan.crops == 4
    assert chosen == {False: 2, True: 0}  # steps that waited for others seemed too few for four, until that was timed
    plan.time_anew()  # no longer: its steps are fixed
    assert plan.step_seconds() == pytest.approx(0.3)


@pytest.mark.parametrize(("minutes", "pace", "more"), [(1.5, 0.5, 0), (1.5, 8.0, 80), (0.1, 0.3, 4), (15, 0.3, 0)])
def test_minutes_that_are_too_few_are_told_how_many_would_do(
    monkeypatch: pytest.MonkeyPatch, minutes: float, pace: float, more: int
) -> None:
    clock = Clock(monkeypatch)
    plan = Plan(overlay(resolve(), {"schedule": {"minutes": minutes}}), clock.now)
    step = 0
    while not plan.steps:
        clock.now, step = clock.now + pace, step + 1
        plan.update(step, pace, 5.0)
    assert plan.minutes_to_learn(step, 5.0) == pytest.approx(more, abs=1)
    if more:
        again = Plan(overlay(resolve(), {"schedule": {"minutes": plan.minutes_to_learn(step, 5.0)}}), clock.now)
        assert drive(again, clock, lambda step: pace) >= 590
    given = Plan(overlay(resolve(), {"schedule": {"steps": 3}}), clock.now)
    assert given.minutes_to_learn(1, 5.0) == 0


def ended(config: Config, clock: Clock, pace: Callable[[int], float], stop: int = 10**9) -> tuple[Plan, int]:
    """A plan that was driven to its end or for `stop` steps, as it is loaded again in another process."""
    plan, step = Plan(config, clock.now), 0
    while not plan.done(step) and step < stop:
        clock.now += pace(step)
        step += 1
        plan.update(step, pace(step), 0)
        if step == plan.end:
            plan.next_phase(step, 0)
    later = Plan(config, clock.now)
    later.load_state({**plan.state(), "steps_done": torch.tensor(step)})
    return later, step


def go_on(plan: Plan, clock: Clock, step: int, pace: float, config: Config) -> int:
    """Drive a plan that was made longer to its end, stopped and loaded again after each step; returns the step."""
    while not plan.done(step):
        clock.now += pace
        step += 1
        plan.update(step, pace, 0)
        if step == plan.end:
            plan.next_phase(step, 0)
        if plan.steps:
            loaded = Plan(config, clock.now)
            loaded.load_state({**plan.state(), "steps_done": torch.tensor(step)})
            assert {**vars(loaded), "timed": 0, "resumed": 0} == {**vars(plan), "timed": 0, "resumed": 0}
    return step


@pytest.mark.parametrize("given", [{"steps": 100}, {"minutes": 5.0}, {"minutes": 5.0, "enough_steps": 300}])
def test_more_minutes_are_for_the_same_training_where_there_is_no_ensemble(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, float]
) -> None:
    clock = Clock(monkeypatch)
    schedule = {"steps": 0, "enough_steps": 0, "least_steps": 0}
    config = overlay(resolve(), {"schedule": {**schedule, **given}, "ensemble": {"members": 1}})
    plan, step = ended(config, clock, lambda _: 1.0)
    assert plan.done(step)
    full, before = plan.full_rate, plan.elapsed()
    assert not plan.extend(step, 240)
    assert not plan.done(step) and plan.learning_rate(step) == full and not plan.distils
    last = go_on(plan, clock, step, 1.0, config)
    assert last - step == pytest.approx(240, rel=0.03) and plan.elapsed() - before == pytest.approx(240, rel=0.03)
    assert plan.members == 1 and plan.learning_rate(last) == 0
    assert not plan.extend(last, 60) and plan.added == 300  # and again


def test_more_minutes_are_for_further_members_and_another_distillation(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    schedule = {"minutes": 15.0, "enough_steps": 200, "least_steps": 0}
    config = overlay(resolve(), {"schedule": schedule, "ensemble": {"members": 3, "steps": 30}})
    plan, step = ended(config, clock, lambda _: 1.0)
    assert plan.done(step) and (plan.member, plan.distils) == (3, True) and step == 630
    assert plan.extend(step, 600) and (plan.member, plan.distils) == (4, False)
    last = go_on(plan, clock, step, 1.0, config)
    assert (plan.member, plan.distils) == (5, True) and last == step + 2 * 200 + 30
    assert plan.extend(last, 60_000)
    assert go_on(plan, clock, last, 1.0, config) == last + 3 * 200 + 30  # no more at a time than the settings have
    short, step = ended(config, clock, lambda _: 1.0)
    assert short.extend(step, 170)  # less than a whole member
    assert 80 < go_on(short, clock, step, 1.0, config) - step - 30 < 170 and short.member == 4
    tiny, step = ended(config, clock, lambda _: 1.0)
    assert not tiny.extend(step, 60) and tiny.distils  # the median is learned more exactly
    assert go_on(tiny, clock, step, 1.0, config) == step + 30


def test_a_training_that_was_stopped_has_enough_steps_first(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    schedule = {"minutes": 60.0, "enough_steps": 400, "least_steps": 0}
    config = overlay(resolve(), {"schedule": schedule, "ensemble": {"members": 2, "steps": 30}})
    plan, step = ended(config, clock, lambda _: 1.0, stop=150)
    assert not plan.extend(step, 900) and plan.before == 150
    assert plan.progress(step).done == 150 and plan.progress(step).length == 300
    last = go_on(plan, clock, step, 1.0, config)
    assert plan.distils and plan.member == 2 and last == 400 + 400 + 30
