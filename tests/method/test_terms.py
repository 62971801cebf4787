"""Loss terms besides PatchNCE."""

import pytest
import torch
from helpers import PLAIN, shrunk

from sincut.config.resolve import resolve
from sincut.config.sections import Losses, overlay
from sincut.method.plan import Plan
from sincut.method.term import Progress
from sincut.method.terms import Guide
from sincut.method.training import Training


def test_guidance_falls_to_what_stays() -> None:
    guide = Guide(Losses(guide=300.0, guide_until=0.6, guide_end=0.2))
    plan = Plan(overlay(resolve(), {"schedule": {"steps": 100}}), 0.0)
    shares = [guide.share(plan.progress(step)) for step in (0, 30, 60, 99)]
    assert shares == pytest.approx([1, 0.6, 0.2, 0.2])
    assert guide.share(Plan(resolve(), 0.0).progress(7)) == 1  # the number of steps is not known yet
    assert Guide(Losses(guide_until=0.0, guide_end=0.0)).share(plan.progress(2)) == 0


def test_without_guidance_a_step_does_not_look_at_the_guide(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    config = overlay(shrunk("standard"), {"losses": {"guide_until": 0.5, "guide_end": 0.0}})
    training = Training(*pictures, config, PLAIN)
    assert "guide" in training.step(0.002, Progress(0, 1, 4))
    assert "guide" not in training.step(0.002, Progress(1, 2, 4))
