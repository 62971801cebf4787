"""The example of a loss term of one's own, registered from outside the package."""

import runpy
from pathlib import Path

import pytest
from helpers import ROOT

import sincut
from sincut.config.sections import Config, overlay
from sincut.errors import ConfigError
from sincut.events import Event, Progress
from sincut.method import registry


def test_a_loss_term_of_one_s_own_is_trained_with(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "TERMS", {})
    config = overlay(tiny, {"losses": {"own": {"light": 20.0}}, "schedule": {"steps": 30}})
    with pytest.raises(ConfigError, match=r"losses\.own\.light: no such loss term"):
        sincut.train(painting, photo, tmp_path / "refused", config=config)
    assert not (tmp_path / "refused").exists()
    runpy.run_path(str(ROOT / "examples" / "own_loss.py"))
    changes = []
    for weight in (1000.0, 1e-6):
        events: list[Event] = []
        own = overlay(config, {"losses": {"own": {"light": weight}}})
        sincut.train(painting, photo, tmp_path / f"{weight}", config=own, on_event=events.append)
        losses = [event.losses for event in events if isinstance(event, Progress)]
        assert all("light" in values and "NCE" in values for values in losses)
        changes.append(losses[-1]["light"])
    assert changes[0] < 0.7 * changes[1]  # a large weight keeps light and dark where they are
    assert sincut.load(tmp_path / "1000.0").model.config.losses.own == {"light": 1000.0}


def test_an_own_term_s_weight_can_be_given_as_a_flag() -> None:
    config = sincut.resolve("quick", ["losses.own.light=2", "losses.own.mine=.5", "crops.count=3"])
    assert config.losses.own == {"light": 2.0, "mine": 0.5} and config.crops.count == 3
    with pytest.raises(ConfigError, match="must be names with numbers"):
        sincut.resolve("quick", ["losses.own.light=much"])
    with pytest.raises(ConfigError, match=r"crops\.count"):
        sincut.resolve("quick", ["crops.count.more=2"])
