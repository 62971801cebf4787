"""Several trainings, and what one G learns of them."""

import numpy as np
import pytest
import torch
from helpers import CPU, PLAIN, average_of, check_that_resumed_equals_uninterrupted

from sincut.config.sections import Config, overlay
from sincut.events import Checkpoint, Event, Planned, Preview, Progress
from sincut.method.ensemble import consensus, median, translations_of
from sincut.method.loop import train
from sincut.method.training import Training


def test_while_another_member_is_trained_the_last_one_is_shown(
    ensemble: Config, pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    config = overlay(ensemble, {"output": {"log_every": 3, "previews": 11, "checkpoint_seconds": 0.0}})
    events: list[Event] = []
    weights: dict[int, torch.Tensor] = {}

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, Checkpoint):
            assert event.model.projector is not None
            parts = event.model.generator, event.model.projector
            weights[event.step] = torch.cat([p.flatten() for part in parts for p in part.parameters()]).clone()

    model = train(*pictures, config, device=CPU, on_event=listen)
    assert all(torch.equal(weights[4], weights[step]) for step in (5, 6, 7))
    assert not torch.equal(weights[3], weights[4]) and not torch.equal(weights[9], weights[8])
    assert model.provenance["members"] == 2
    assert [e.step for e in events if isinstance(e, Preview)][1:] == [1, 2, 3, 4, 8, 9, 10, 11]  # after an early one
    named = {e.step: set(e.losses) for e in events if isinstance(e, Progress)}
    assert list(named) == [3, 4, 6, 8, 9, 11]  # no mean over two phases
    assert named[9] == named[11] == {"distil"} and "NCE" in named[8]
    phases = [(e.step, e.steps, e.phase_steps, e.member, e.distils) for e in events if isinstance(e, Planned)]
    assert phases == [(1, 11, 4, 1, False), (4, 11, 4, 2, False), (8, 11, 3, 2, True)]


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
    first, last = (member.generator for member in training.members)
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
    for member, shift in zip(training.members, (5.0, 0.0), strict=True):
        member.generator.rgb_bias.data.fill_(shift)
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
    assert (stopped.model.after == ()) == (steps < 4)  # later there is a member that is at its end
    assert ended.step == 11 and ended.model.after
