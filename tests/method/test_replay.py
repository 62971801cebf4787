"""A step that is recorded and replayed does what the step itself does, to the bit."""

from collections.abc import Callable

import pytest
import torch
from helpers import PLAIN, shrunk
from torch import Tensor

from sincut.config.sections import overlay
from sincut.method.replay import EAGER_STEPS, Losses, Replayed
from sincut.method.term import Draws, Progress
from sincut.method.training import Training

STEPS, LATER = 9, 6


class Noted:
    """Stands in for CUDA graphs: notes the work and its draws, and does it again with what was copied there."""

    def __init__(self, draws: Draws) -> None:
        self.draws, self.recorded, self.replayed = draws, 0, 0

    def __call__(self, work: Callable[[], Losses]) -> tuple[Losses, Callable[[], None]]:
        losses, given = Losses(), list(self.draws.given or ())
        self.recorded += 1

        def replay() -> None:
            self.replayed += 1
            with self.draws.giving(given):
                losses.update(work())

        return losses, replay


def trained(settings: dict[str, dict[str, object]]) -> Training:
    config = overlay(shrunk("standard"), {"losses": {"r1_every": 2}, **settings})
    random = torch.Generator().manual_seed(0)
    source, target = (torch.rand(1, 3, 80, 90, generator=random) * 2 - 1 for _ in range(2))
    return Training(source, target, config, PLAIN)


def run(training: Training) -> list[dict[str, Tensor]]:
    """Steps of two crops, then of three, with falling rates and a falling weight of the guide."""
    return [
        training.step(0.004 / (step + 1), Progress(step, step, STEPS + LATER), 2 if step < STEPS else 3)
        for step in range(STEPS + LATER)
    ]


@pytest.mark.parametrize("settings", [{}, {"losses": {"identity": True, "same": 1.0, "spread": False, "r1_every": 2}}])
def test_replayed_steps_are_steps(settings: dict[str, dict[str, object]]) -> None:
    plain, replayed = trained(settings), trained(settings)
    cut = replayed.cut
    record = Noted(cut.draws)
    cut.replayed = Replayed(cut.update, cut.draws, lambda: record)
    assert run(plain) == run(replayed)
    kinds = 2  # with R1 and without
    assert record.recorded == 2 * kinds and record.replayed == STEPS + LATER - 2 * kinds * (EAGER_STEPS + 1)
    assert len(cut.replayed.recordings) == kinds  # those of two crops are forgotten
    for name, value in plain.state().items():
        assert torch.equal(value, replayed.state()[name]), name


def test_where_nothing_can_be_recorded_steps_stay_as_they_were(caplog: pytest.LogCaptureFixture) -> None:
    plain, other = trained({}), trained({})
    asked = 0

    def refuse(work: Callable[[], Losses]) -> tuple[Losses, Callable[[], None]]:
        nonlocal asked
        asked += 1
        raise RuntimeError("operation not permitted when stream is capturing")

    other.cut.replayed = Replayed(other.cut.update, other.cut.draws, lambda: refuse)
    assert run(plain) == run(other)
    assert asked == 1 and "operation not permitted" in caplog.text
    for name, value in plain.state().items():
        assert torch.equal(value, other.state()[name]), name


def test_only_steps_that_do_the_same_work_are_replayed() -> None:
    def repeats(**losses: object) -> bool:
        return all(term.repeats for term in trained({"losses": losses}).cut.terms)

    assert repeats() and repeats(same=1.0) and repeats(identity=True)
    for other in (
        {"flip_equivariance": True},
        {"most_negatives": 15},
        {"guide_end": 0.0},
        {"negatives": "external"},
        {"distance": 1.0},
    ):
        assert not repeats(**other), other
    assert trained({}).cut.replayed is None  # on a CPU
