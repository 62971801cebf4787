"""Several trainings, and what one G learns of them."""

import numpy as np
import pytest
import torch
from helpers import CPU, PLAIN, RESNET, average_of, check_that_resumed_equals_uninterrupted, snapshot, style, tensors_of

from sincut.config.sections import Config, overlay
from sincut.errors import ModelError
from sincut.events import Checkpoint, Event, Planned, Preview, Progress
from sincut.method.ensemble import consensus, median, translations_of
from sincut.method.loop import train
from sincut.method.step import Cut
from sincut.method.term import Progress as Place
from sincut.method.training import Training
from sincut.model.model import Model, with_generator


def test_while_another_member_is_trained_the_last_one_is_shown(
    ensemble: Config, pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    config = overlay(ensemble, {"output": {"log_every": 3, "previews": 11, "checkpoint_seconds": 0.0}})
    events: list[Event] = []
    weights: dict[int, torch.Tensor] = {}

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, Checkpoint):
            model = with_generator(event.model)
            assert model.projector is not None
            parts = model.generator, model.projector
            weights[event.step] = torch.cat([p.flatten() for part in parts for p in part.parameters()]).clone()

    model = train(*pictures, config, device=CPU, on_event=listen)
    assert all(torch.equal(weights[4], weights[step]) for step in (5, 6, 7))
    assert not torch.equal(weights[3], weights[4]) and not torch.equal(weights[9], weights[8])
    assert model.provenance.members == 2
    assert [e.step for e in events if isinstance(e, Preview)][1:] == [1, 2, 3, 4, 8, 9, 10, 11]  # after an early one
    named = {e.step: set(e.losses) for e in events if isinstance(e, Progress)}
    assert list(named) == [3, 4, 6, 8, 9, 11]  # no mean over two phases
    assert named[9] == named[11] == {"distil"} and "NCE" in named[8]
    phases = [(e.step, e.steps, e.phase_steps, e.member, e.distils) for e in events if isinstance(e, Planned)]
    assert phases == [(1, 11, 4, 1, False), (4, 11, 4, 2, False), (8, 11, 3, 2, True)]


def test_networks_for_sets_are_members_and_distilled_too(
    ensemble: Config, pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    events = check_that_resumed_equals_uninterrupted(overlay(ensemble, RESNET), pictures, 9)
    state = tensors_of(events)
    names = [name.removeprefix("member.1.") for name in state if name.startswith("member.1.generator.")]
    for name in names:  # the encoder stays that of the last member
        part = name.split(".")[1]
        taught = part in ("decoder", "up", "rgb")
        assert torch.equal(state[name], state[f"member.1.{name}"]) != taught or "bias" in name, name


def test_distillation_brings_the_decoder_to_what_members_that_differ_have_in_common(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    training = Training(*pictures, overlay(tiny, {"optimisation": {"ema": 0.0}}), PLAIN)
    for _ in range(2):
        for _ in range(20):
            training.step(0.01)
        if not training.members:
            training.next_member()
    training.begin_to_distil()
    first, last = (style(member.generator) for member in training.members)
    assert torch.equal(last.rgb.weight, average_of(training).rgb.weight)  # it begins as one of them
    x = training.sides.source.pictures[0].image
    noise = torch.randn(1, 1, *x.shape[2:])

    def distance() -> float:
        with torch.no_grad():
            wanted = consensus(torch.stack([first(x, noise), last(x, noise)]))
            return float((average_of(training)(x, noise) - wanted).square().mean())

    before = distance()
    with torch.no_grad():
        apart = float((first(x, noise) - last(x, noise)).square().mean())
    assert apart > 1e-4 and apart / 40 < before < apart / 4  # but for fine detail, half the way lies before it
    heads = [p.clone() for p in training.cut.averages.copies["projector"].parameters()]
    losses = [float(training.step(0.003)["distil"]) for _ in range(100)]
    assert distance() < 0.5 * before and np.mean(losses[-20:]) < np.mean(losses[:20])
    assert all(map(torch.equal, heads, training.cut.averages.copies["projector"].parameters()))
    for mine, theirs in zip(average_of(training).encode(x), last.encode(x), strict=True):
        assert torch.equal(mine, theirs)  # what similarity is taken from


def test_members_agree_on_forms_and_the_grain_of_one_stays() -> None:
    grain = 0.1 * torch.randn(3, 2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    translations = grain + torch.tensor([0.0, 0.2, 0.9]).view(3, 1, 1, 1, 1)
    agreed = consensus(translations)
    assert float(agreed.mean()) == pytest.approx(0.2, abs=0.01)
    assert float(agreed.std()) == pytest.approx(0.1, rel=0.05)
    assert float(median(grain).std()) < 0.07  # what their median would leave of it
    assert float((agreed - 0.2 - grain[-1]).std()) < 0.03


def test_a_member_that_went_wrong_has_no_say(tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    training = Training(*pictures, tiny, PLAIN)
    for _ in range(2):
        training.next_member()
    for member, shift in zip(training.members, (9.0, 0.0), strict=True):
        style(member.generator).rgb_bias.data.fill_(shift)
    average_of(training).rgb_bias.data.fill_(0.1)
    training.begin_to_distil()
    assert float(average_of(training).rgb_bias[0]) in (0.0, pytest.approx(0.1))
    begun = training.model().after[0].tensors()
    training.close()
    (closed,) = training.model().after
    assert all(torch.equal(begun[name], value) for name, value in closed.tensors().items())
    x, noise, translations = translations_of(training.cut, training.members)
    wanted = median(translations)
    assert wanted.max() < 3 and translations[0].min() > 3
    torch.testing.assert_close(median(translations[1:]), translations[1:].mean(0))
    torch.testing.assert_close(wanted, translations.median(0).values)
    assert x.shape == wanted.shape and noise.shape[2:] == x.shape[2:]


@pytest.mark.parametrize("steps", [2, 4, 7, 8, 10])
def test_an_ensemble_resumes_bit_for_bit_in_each_of_its_phases(
    ensemble: Config, pictures: tuple[torch.Tensor, torch.Tensor], steps: int
) -> None:
    events = check_that_resumed_equals_uninterrupted(ensemble, pictures, steps)
    stopped, ended = [event for event in events if isinstance(event, Checkpoint)]
    assert (with_generator(stopped.model).after == ()) == (steps < 4)  # later there is a member that is at its end
    assert ended.step == 11 and with_generator(ended.model).after


def weights_of(model: Model) -> torch.Tensor:
    """All numbers that make a translation: G's weights, then the tensors of the filters after it."""
    filters = [value for filter_ in model.after for value in filter_.tensors().values()]
    return torch.cat([value.flatten().float().clone() for value in (*model.generator.parameters(), *filters)])


def test_previews_at_the_end_of_a_phase_show_what_is_saved_there(
    ensemble: Config, pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    config = overlay(ensemble, {"ensemble": {"members": 3}, "output": {"previews": 30, "checkpoint_seconds": 0.0}})
    shown, saved = dict[int, torch.Tensor](), dict[int, torch.Tensor]()

    def listen(event: Event) -> None:
        if isinstance(event, Preview | Checkpoint):
            (shown if isinstance(event, Preview) else saved)[event.step] = weights_of(with_generator(event.model))

    train(*pictures, config, device=CPU, on_event=listen)
    assert {4, 8, 12, 15} <= shown.keys()
    for step in shown.keys() & saved.keys() - {1}:
        assert torch.equal(shown[step], saved[step]), step
    assert not torch.equal(shown[8], shown[4])


def test_members_keep_their_balance_over_an_interruption(
    ensemble: Config, pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    training = Training(*pictures, ensemble, PLAIN)
    training.step(0.01)
    training.close()
    own = weights_of(training.model())
    training.next_member()
    again = Training(*pictures, ensemble, PLAIN)
    again.load_state(training.state())
    assert torch.equal(weights_of(again.model()), own) and again.model().after
    old = {name: value for name, value in training.state().items() if ".balance." not in name}
    older = old | {name.removeprefix("member.0."): v for name, v in training.state().items() if ".balance." in name}
    again = Training(*pictures, ensemble, PLAIN)
    again.load_state(older)  # as earlier versions kept the balance of the last member that was closed
    assert torch.equal(weights_of(again.model()), own)


@pytest.mark.parametrize("members", [3, 10**7])
def test_a_checkpoint_that_announces_members_it_lacks_is_refused(
    ensemble: Config, pictures: tuple[torch.Tensor, torch.Tensor], members: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training(*pictures, ensemble, PLAIN)
    training.next_member()
    state = training.state() | {"members": torch.tensor(members)}
    monkeypatch.setattr("copy.deepcopy", lambda _: pytest.fail("a member was made"))
    with pytest.raises(ValueError, match=f"{members} members"):
        training.load_state(state)


def test_a_plan_with_more_crops_than_the_settings_allow_is_refused(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    events: list[Event] = []
    train(*pictures, tiny, device=CPU, on_event=snapshot(events))
    state = tensors_of(events)
    state["plan"][5] = 1e9
    with pytest.raises(ModelError, match="crops a step"):
        train(*pictures, tiny, device=CPU, state=state)


def test_the_phases_of_an_ensemble_go_around_any_method(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    class Still(Cut):
        """A method that learns nothing but a colour: each member another one."""

        def step(self, rate: float, progress: Place, count: int | None = None) -> dict[str, torch.Tensor]:
            style(self.generator).rgb_bias.data += 0.5 + float(torch.rand((), generator=self.random))
            self.averages.update(self.steps_done)
            self.steps_done += 1
            return {"colour": style(self.generator).rgb_bias.mean().detach()}

    training = Training(*pictures, overlay(tiny, {"optimisation": {"ema": 0.0}}), PLAIN, Still)
    assert training.step(0.1).keys() == {"colour"}
    for _ in range(2):
        training.next_member()
        training.step(0.1)
    training.begin_to_distil()
    assert training.step(0.001).keys() == {"distil"} and len(training.members) == 3
    assert len({float(style(member.generator).rgb_bias[0]) for member in training.members}) == 3
