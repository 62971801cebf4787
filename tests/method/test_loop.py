"""The loop: events, checkpoints, going on exactly where a run stopped."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers import (
    CPU,
    PLAIN,
    RESNET,
    SMALL_BANK,
    VARIANTS,
    average_of,
    check_that_resumed_equals_uninterrupted,
    shrunk,
    snapshot,
    stop_after,
    tensors_of,
)
from kornia.color import rgb_to_grayscale
from kornia.filters import gaussian_blur2d

from sincut import devices
from sincut.config.sections import Config, overlay
from sincut.errors import Interrupted, TrainingError
from sincut.events import Advanced, Checkpoint, Event, Planned, Preview, Progress, Started, Trained, Warned
from sincut.method.crops import without_excess
from sincut.method.loop import train
from sincut.method.plan import Plan
from sincut.method.term import Progress as Place
from sincut.method.training import Training
from sincut.model.exemplar import exemplar_of
from sincut.model.model import with_generator
from sincut.nets.blocks import EqualConv2d
from sincut.nets.materials import Materials
from sincut.nets.pooled import Pool
from sincut.pictures.picture import to_pixels


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_resumed_equals_uninterrupted_bit_for_bit(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor], precision: str
) -> None:
    config = overlay(tiny, {"schedule": {"steps": 12}, "losses": {"r1_every": 3}})
    check_that_resumed_equals_uninterrupted(config, pictures, 5, precision)


@pytest.mark.parametrize("variant", [*VARIANTS, "fastcut", "external+fifteen-negatives", "separate-encoders+external"])
def test_every_variant_goes_on_bit_for_bit(variant: str, pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    small = {"schedule": {"steps": 4}, "output": {"previews": 0}, "losses": {"patches": 8}}
    config = overlay(overlay(shrunk(variant), SMALL_BANK), small)
    check_that_resumed_equals_uninterrupted(config, pictures, 2)


def test_a_bank_begins_anew_with_each_member(ensemble: Config, pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    config = overlay(ensemble, {"losses": {"negatives": "external", "bank": 50, "bank_step": 3}})
    events = check_that_resumed_equals_uninterrupted(config, pictures, 6)  # in the second training of four steps
    assert set(tensors_of(events)["bank._extra_state"].tolist()) == {4 * 3}


def test_a_method_without_heads_trains_members_and_distils_bit_for_bit(
    ensemble: Config, pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    config = overlay(ensemble, {"losses": {"nce": 0.0}})
    events = check_that_resumed_equals_uninterrupted(config, pictures, 9)
    assert not any("heads" in name or "projector" in name or ".h." in name for name in tensors_of(events))
    models = [event.model for event in events if isinstance(event, Checkpoint)]
    assert all(with_generator(model).projector is None for model in models)


def test_materials_are_taken_once_and_go_on_bit_for_bit(
    ensemble: Config, pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    config = overlay(ensemble, {"networks": {"materials": 2}})
    state = tensors_of(check_that_resumed_equals_uninterrupted(config, pictures, 6))
    taken = Materials(2)
    taken.take(Pool.of(without_excess(pictures[1], replace(config.crops, excess=1.0))))
    assert torch.equal(state["generator.materials.patches"], taken.patches) and taken.patches.any()


def test_networks_for_sets_resume_bit_for_bit_too(tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    config = overlay(overlay(tiny, RESNET), {"schedule": {"steps": 6}, "optimisation": {"ema": 0.0}})
    x, y = pictures
    sets = (x, x.flip(2)), (y, y.flip(3), y[..., :60])
    check_that_resumed_equals_uninterrupted(config, sets, 3, "bfloat16")


def test_checkpoints_without_an_average_of_the_heads_go_on_alike(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    events: list[Event] = []
    with pytest.raises(Interrupted):
        train(*pictures, tiny, device=CPU, on_event=snapshot(events), stop=stop_after(2))
    state = tensors_of(events)
    old = {name: value for name, value in state.items() if not name.startswith("average_heads.")}
    assert len(old) < len(state)
    ends = []
    for begun in (state, old):
        train(*pictures, tiny, device=CPU, on_event=snapshot(events), state={k: v.clone() for k, v in begun.items()})
        ends.append(tensors_of(events))
    for name, value in ends[0].items():
        if name != "plan" and not name.startswith("average_heads."):
            assert torch.equal(value, ends[1][name]), name


def test_events_come_in_order_and_at_their_cadence(tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    events: list[Event] = []
    train(*pictures, tiny, device=CPU, on_event=events.append)
    kinds = [type(event) for event in events]
    assert kinds[:2] == [Started, Planned] and kinds[-2:] == [Checkpoint, Trained]
    assert [e.step for e in events if isinstance(e, Progress)] == [2, 4]
    assert [e.step for e in events if isinstance(e, Preview)] == [2, 4]
    assert all(np.isfinite(list(e.losses.values())).all() for e in events if isinstance(e, Progress))


def test_a_loss_that_is_not_finite_stops_and_saves_nothing(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = 0
    forward = EqualConv2d.forward

    def poisoned(self: EqualConv2d, x: torch.Tensor, padded: bool = True) -> torch.Tensor:
        return forward(self, x, padded) * (float("nan") if done >= 2 else 1)

    monkeypatch.setattr(EqualConv2d, "forward", poisoned)
    events: list[Event] = []
    finite: list[bool] = []

    def listen(event: Event) -> None:
        nonlocal done
        events.append(event)
        if isinstance(event, Checkpoint):  # now: the tensors go on changing
            finite.append(all(value.isfinite().all() for value in with_generator(event.model).generator.parameters()))
        done = event.step if isinstance(event, Progress) else done

    config = overlay(tiny, {"schedule": {"steps": 6}, "output": {"checkpoint_seconds": 0.0}})
    with pytest.raises(TrainingError, match=r"learning_rate=0\.001"):
        train(*pictures, config, device=CPU, on_event=listen)
    saved = [event for event in events if isinstance(event, Checkpoint)]
    assert saved and saved[-1].step == 2
    assert all(finite)


def test_a_weight_that_is_not_finite_is_never_saved(tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    events: list[Event] = []
    trainings: list[Training] = []

    def poison(event: Event) -> None:
        events.append(event)
        if isinstance(event, Progress) and event.step == 4:  # after the last loss was looked at
            average_of(trainings[-1]).rgb.weight.data.fill_(torch.nan)

    created = Training.__init__

    def remember(self: Training, *arguments: Any) -> None:
        created(self, *arguments)
        trainings.append(self)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(TrainingError, match="a weight"):
        patch.setattr(Training, "__init__", remember)
        train(*pictures, tiny, device=CPU, on_event=poison)
    assert not any(isinstance(event, Checkpoint) for event in events)


def test_a_training_that_has_enough_steps_before_its_pace_is_known_is_closed(
    ensemble: Config, pictures: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sincut.method.plan.CALIBRATION", (6, 0.0))
    single = overlay(ensemble, {"ensemble": {"members": 1}})
    for config, steps in ((single, 6), (ensemble, 6 + 4 + 3)):
        model = train(*pictures, config, device=CPU)
        assert model.after and model.provenance.steps == model.provenance.planned_steps == steps


def test_a_run_of_minutes_tells_how_many_crops_its_steps_have(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, counts, step = Clock(0.0, 0.0), list[int](), Training.step

    def timed(self: Training, rate: float, progress: Place, count: int) -> dict[str, torch.Tensor]:
        clock.now += 0.01 * count
        counts.append(count)
        return step(self, rate, progress, count)

    monkeypatch.setattr("sincut.method.plan.CALIBRATION", (1, 0.0))
    monkeypatch.setattr("sincut.method.loop.time.monotonic", clock)
    monkeypatch.setattr(Training, "step", timed)
    planned: list[Planned] = []
    schedule = {"steps": 0, "minutes": 0.02, "least_steps": 1_000_000}
    config = overlay(tiny, {"crops": {"count": 4}, "schedule": schedule})
    model = train(
        *pictures, config, device=CPU, on_event=lambda e: planned.append(e) if isinstance(e, Planned) else None
    )
    assert planned[0].crops == model.provenance.crops == 2
    assert counts == [4] * 3 + [2] * (model.provenance.steps - 3)  # two steps warm up, one is timed


def test_too_little_memory_is_told_with_what_takes_less(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sincut.method.plan.CALIBRATION", (1, 0.0))
    step = Training.step

    def costly(self: Training, rate: float, progress: Place, count: int) -> dict[str, torch.Tensor]:
        if self.steps_done == 4:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return step(self, rate, progress, count)

    monkeypatch.setattr(Training, "step", costly)
    schedule = {"steps": 0, "minutes": 1.0, "least_steps": 0}
    with pytest.raises(TrainingError, match="memory of cpu is not enough") as caught:
        train(*pictures, overlay(tiny, {"crops": {"count": 4}, "schedule": schedule}), device=CPU)
    assert "use --set crops.count=2 or --set networks.inner=4" in str(caught.value)
    with pytest.raises(TrainingError, match=r"use --set networks\.inner=4"):  # one crop is the fewest
        train(*pictures, overlay(tiny, {"crops": {"count": 1}, "schedule": schedule}), device=CPU)


def test_a_finished_translation_has_the_photo_s_strengths(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    painting, photo = pictures
    tiny = overlay(tiny, {"colour": {"smooth": 0.0}, "networks": {"smooth": 0.0}})  # the strokes stay
    rough = painting + 0.5 * torch.randn(painting.shape, generator=torch.Generator().manual_seed(0))
    ended: list[Event] = []
    model = train(rough, photo, tiny, device=CPU, on_event=snapshot(ended))
    (balance,) = model.after
    noise = torch.randn(1, 1, *rough.shape[2:], generator=torch.Generator().manual_seed(0))

    def fine(picture: torch.Tensor) -> torch.Tensor:
        luma = rgb_to_grayscale(picture)
        return (luma - gaussian_blur2d(luma, (19, 19), (3.0, 3.0), border_type="replicate")).abs().mean()

    own = model.translate(rough, noise), replace(model, after=()).translate(rough, noise)
    now, before = (float(fine(picture) / fine(photo)) for picture in own)
    assert abs(now - 1) < 0.15 < 0.3 < before - 1
    assert with_generator(next(e for e in ended if isinstance(e, Preview)).model).after == ()  # until it is closed
    again = train(rough, photo, tiny, device=CPU, state=tensors_of(ended))  # nothing is left to do
    (same,) = again.after
    assert torch.equal(same.tensors()["balance.gains"], balance.tensors()["balance.gains"])
    left = train(rough, photo, overlay(tiny, {"colour": {"balance": False}}), device=CPU)
    assert left.after == ()


def test_the_balance_of_a_large_source_does_not_depend_on_its_bands(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    painting, photo = (picture.repeat(1, 1, 3, 1) for picture in pictures)
    training = Training(painting, photo, overlay(tiny, {"crops": {"excess": 0.0}, "networks": {"noise": "all"}}), PLAIN)
    for _ in range(3):
        training.step(0.01)
    average_of(training).up.noise_gain.data.fill_(0.3)
    tensors = []
    for rows in (painting.shape[2], 4 * average_of(training).halo + 1):  # at once; in bands of an odd height
        monkeypatch.setattr("sincut.nets.local.BAND", rows * painting.shape[3])
        training.close()
        tensors.append(training.after[0].tensors())
    for name, value in tensors[0].items():
        torch.testing.assert_close(tensors[1][name], value, atol=1e-4, rtol=1e-4)


def test_every_model_of_a_training_carries_the_target_as_it_is(
    ensemble: Config, pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """Those of previews and checkpoints too, of each member and of the distillation, and after an interruption."""
    config, events = overlay(ensemble, {"synthesis": {"exemplar": True}}), list[Event]()
    with pytest.raises(Interrupted):
        train(*pictures, config, device=CPU, on_event=events.append, stop=stop_after(6))
    state = tensors_of(events)
    last = train(*pictures, config, device=CPU, on_event=events.append, state=state)
    models = [event.model for event in events if isinstance(event, Preview | Checkpoint)]
    assert len(models) > 4
    wanted = exemplar_of(to_pixels(pictures[1]), config.crops)
    assert all(torch.equal(model.exemplars[0], wanted) for model in [*models, last])
    assert not any("exemplar" in name for name in state)  # the two pictures are at hand when a run goes on


def test_the_exemplar_changes_nothing_that_is_learned(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    plain, carrying = (
        train(*pictures, overlay(tiny, {"synthesis": {"exemplar": on}}), device=CPU) for on in (False, True)
    )
    assert plain.exemplar is None and carrying.exemplar is not None
    weights = [model.generator.state_dict() for model in (plain, carrying)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    assert plain.provenance.losses == carrying.provenance.losses


class Clock:
    """A clock on which only previews take time: so many seconds if G is shown alone, so many if they are drawn."""

    def __init__(self, alone: float, drawn: float) -> None:
        self.now, self.seconds, self.drawn = 0.0, (alone, drawn), dict[int, bool]()

    def __call__(self) -> float:
        return self.now

    def listen(self, event: Event) -> None:
        if isinstance(event, Preview):
            self.now += self.seconds[event.drawn]
            self.drawn[event.step] = event.drawn

    def steps_drawn(self) -> list[int]:
        return [step for step, drawn in self.drawn.items() if drawn]


@pytest.fixture
def carrying(ensemble: Config) -> Config:
    """Two trainings of four steps and a distillation of three, in an hour; an exemplar, and a preview at each step."""
    return overlay(ensemble, {"synthesis": {"exemplar": True}, "output": {"previews": 30}})


@pytest.mark.parametrize(
    ("changes", "clock", "drawn"),
    [
        ({}, Clock(1.0, 40.0), [4, 8, 11]),  # the ends of phases
        ({"schedule": {"minutes": 3.0}}, Clock(1.0, 10.0), [4, 8, 11]),
        ({"schedule": {"minutes": 3.0}}, Clock(8.0, 40.0), []),  # would be expected to take 32 s, of which 27 are given
        ({"schedule": {"minutes": 3.0}}, Clock(1.0, 40.0), [4]),  # which took longer than was expected
        ({"schedule": {"steps": 4}}, Clock(4.0, 40.0), [4]),
        ({"schedule": {"steps": 4}}, Clock(0.0, 0.0), [4]),
        ({"synthesis": {"exemplar": False}}, Clock(1.0, 1.0), []),
    ],
)
def test_previews_are_drawn_at_the_ends_of_phases_where_there_is_time(
    carrying: Config,
    pictures: tuple[torch.Tensor, torch.Tensor],
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    clock: Clock,
    drawn: list[int],
) -> None:
    monkeypatch.setattr("sincut.method.loop.time.monotonic", clock)
    train(*pictures, overlay(carrying, changes), device=CPU, on_event=clock.listen)
    assert clock.steps_drawn() == drawn and (len(clock.drawn) > len(drawn) or not changes)


def test_others_are_drawn_within_their_share_of_the_time(
    carrying: Config, pictures: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(1.0, 4.0)
    monkeypatch.setattr("sincut.method.loop.DRAWN_SHARE", 0.5)
    monkeypatch.setattr("sincut.method.loop.time.monotonic", clock)
    config = overlay(carrying, {"schedule": {"steps": 40}, "output": {"previews": 40}})
    train(*pictures, config, device=CPU, on_event=clock.listen)
    drawn = clock.steps_drawn()
    # At first 4 s are expected, of 8 gone by; then after each drawn one 4 s of others go by.
    assert drawn == [9, 14, 19, 24, 29, 34, 39, 40]


def test_the_time_of_a_drawn_preview_is_kept_for_the_end(
    carrying: Config, pictures: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, clock, update = list[float](), Clock(1.0, 40.0), Plan.update

    def noted(plan: Plan, step: int, seconds: float, closing: float) -> bool:
        kept.append(closing)
        return update(plan, step, seconds, closing)

    monkeypatch.setattr("sincut.method.loop.time.monotonic", clock)
    monkeypatch.setattr(Plan, "update", noted)
    train(*pictures, carrying, device=CPU, on_event=clock.listen)
    assert kept == pytest.approx([0.5, *[7.5] * 3, *[43.5] * 7])


def test_a_training_has_as_many_threads_as_processors_are_free(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside another program from its third step on, which ends after the sixth."""
    for name in devices.FIXED_BY:
        monkeypatch.delenv(name, raising=False)
    threads, done, clock, busy = torch.get_num_threads(), 0, 0.0, 0.0

    def read() -> devices.Load:
        nonlocal clock, busy
        others = 1.0 if 2 <= done < 6 else 0.0
        clock, busy = clock + 5.0, busy + 5.0 * others
        return devices.Load(clock, busy, 0.0)

    def hear(event: Event) -> None:
        nonlocal done
        if isinstance(event, Progress):
            done = event.step
            used.append(event.threads)

    monkeypatch.setattr(devices, "_PROCESSORS", devices.FreeProcessors(2, read))
    used: list[int] = []
    torch.set_num_threads(2)
    try:
        config = overlay(tiny, {"schedule": {"steps": 8}, "output": {"log_every": 1, "previews": 0}})
        train(*pictures, config, device=CPU, on_event=hear)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert used == [2, 2, 1, 1, 1, 1, 2, 2]


def test_minutes_that_are_too_few_are_said_once_and_more_are_offered(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    schedule = {"steps": 0, "minutes": 0.002, "least_steps": 600, "enough_steps": 600}
    events: list[Event] = []
    train(*pictures, overlay(tiny, {"schedule": schedule}), device=CPU, on_event=events.append)
    (warned,) = [event.message for event in events if isinstance(event, Warned)]
    told = r"only \d+ steps fit into 0.002 minutes, too few to learn a look; give \d+ minutes?, for about 600"
    assert re.fullmatch(told, warned)


def check_that_longer_resumes(config: Config, pictures: tuple[torch.Tensor, torch.Tensor], stops: list[int]) -> None:
    """A run that ended goes on for more minutes; stopped on the way it gives the same weights, bit for bit."""
    first: list[Event] = []
    train(*pictures, config, device=CPU, on_event=snapshot(first))
    done = int(tensors_of(first)["steps_done"])

    def state() -> dict[str, torch.Tensor]:
        return {name: value.clone() for name, value in tensors_of(first).items()}  # a training goes on changing it

    whole: list[Event] = []
    train(*pictures, config, device=CPU, on_event=snapshot(whole), state=state(), more=60.0)
    want = tensors_of(whole)
    assert int(want["steps_done"]) > done
    assert any(not torch.equal(want[name], value) for name, value in state().items() if name.startswith("average."))
    for stop in stops:
        parts: list[Event] = []
        with pytest.raises(Interrupted):
            how: dict[str, Any] = {"state": state(), "more": 60.0, "stop": stop_after(stop)}
            train(*pictures, config, device=CPU, on_event=snapshot(parts), **how)
        assert int(tensors_of(parts)["steps_done"]) == done + stop
        train(*pictures, config, device=CPU, on_event=snapshot(parts), state=tensors_of(parts))
        got = tensors_of(parts)
        assert set(want) == set(got)
        assert [name for name in want if name != "plan" and not torch.equal(want[name], got[name])] == [], stop
    told = next(event.model.provenance for event in reversed(whole) if isinstance(event, Checkpoint))
    assert (told.more, told.steps, told.is_finished) == (60.0, int(want["steps_done"]), True)


def test_a_longer_training_resumes_bit_for_bit(ensemble: Config, pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Four more steps of the same training, then another one and a distillation."""
    config = overlay(ensemble, {"schedule": {"steps": 3, "enough_steps": 7}})
    check_that_longer_resumes(config, pictures, [1, 3])


def test_a_longer_ensemble_resumes_bit_for_bit(ensemble: Config, pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    """Two further members and another distillation, stopped as it is calibrated and in each phase."""
    check_that_longer_resumes(ensemble, pictures, [2, 6, 9])


def test_steps_are_told_between_lines_of_metrics(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step takes longer than `TELL_SECONDS` here; lines of metrics stay at their interval."""
    monkeypatch.setattr("sincut.method.loop.TELL_SECONDS", 0.0)
    events: list[Event] = []
    config = overlay(tiny, {"schedule": {"steps": 6}, "output": {"log_every": 4, "previews": 0}})
    train(*pictures, config, device=CPU, on_event=events.append)
    told = [event for event in events if isinstance(event, Advanced)]
    assert [(event.step, event.steps, event.doing) for event in told] == [(n, 6, "training") for n in range(1, 7)]
    assert all(event.seconds_left > 0 for event in told[:-1]) and told[-1].seconds_left == 0
    assert [event.step for event in events if isinstance(event, Progress)] == [4, 6]
