"""The presets of a study: as they are named, or over a base, all of one length, and none twice."""

from pathlib import Path

import pytest

from sincut.config.resolve import presets, resolve
from sincut.errors import ConfigError
from sincut.runs.lineup import ABLATIONS, Lineup


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text('about = "mine"\nextends = "standard"\n[losses]\nguide = 0.0\n')
    return path


def test_presets_that_are_named_stand_as_they_are(mine: Path) -> None:
    lineup = Lineup.of(["standard", str(mine), "paper"], steps=20)
    assert [entry.name for entry in lineup.entries] == ["standard", "mine", "paper"]
    assert lineup.length == "20 steps" and {config.schedule.steps for config in lineup.configs} == {20}
    assert lineup.entries[0].changes == {} and lineup.entries[1].changes == {"losses.guide": (0.0, 300.0)}
    assert lineup.entries[1].about == "mine"
    assert {config.output.previews for config in lineup.configs} == {0}


def test_all_trainings_have_the_minutes_of_the_first_unless_told() -> None:
    assert Lineup.of(["quick", "paper"]).length == "3 minutes"
    assert all(config.schedule.steps == 0 for config in Lineup.of(["quick", "paper"]).configs)
    assert Lineup.of(["paper", "quick"], minutes=7).length == "7 minutes"
    assert Lineup.of(["paper", "quick"], flags=["schedule.minutes=2"]).length == "2 minutes"
    assert Lineup.of(["quick", "paper"], flags=["schedule.steps=5", "output.previews=3"]).length == "5 steps"
    with pytest.raises(ConfigError, match="give --minutes or --steps"):
        Lineup.of(["paper", "quick"])
    with pytest.raises(ConfigError, match="must be above 0"):
        Lineup.of(["quick"], minutes=0)


def test_what_comes_to_the_same_settings_is_left_out_and_told(mine: Path) -> None:
    lineup = Lineup.of(["standard", str(mine)], steps=5, flags=["losses.guide=0"])
    assert [entry.name for entry in lineup.entries] == ["standard"]
    assert lineup.notes == ("mine is left out: its settings are those of standard",)


def test_names_are_those_of_folders_and_each_is_of_one_preset(mine: Path, tmp_path: Path) -> None:
    over = Lineup.of([str(mine)], "quick", steps=1)
    assert [entry.name for entry in over.entries] == ["quick", "quick+mine"]
    assert over.entries[1].about == "mine: mine" and set(over.entries[1].changes) == {"losses.guide"}
    (tmp_path / "other").mkdir()
    again = tmp_path / "other" / "Mine.toml"
    again.write_text('extends = "standard"\n')
    with pytest.raises(ConfigError, match="Mine is the name of two presets"):
        Lineup.of([str(mine), str(again)])
    with pytest.raises(ConfigError, match="no preset 'standart'"):
        Lineup.of(["standart"])


def test_without_names_it_is_the_paper_s_ablation_of_the_default_preset() -> None:
    shipped = {preset.name for preset in presets()} & set(ABLATIONS)
    lineup = Lineup.of(minutes=1)
    names = [entry.name for entry in lineup.entries]
    assert names[0] == "standard" and set(names[1:]) <= {f"standard+{name}" for name in shipped}
    assert len(names) + len(lineup.notes) == 1 + len(shipped)
    assert {"standard+fastcut", "standard+identity", "standard+last-layer", "standard+cyclegan"} <= set(names)
    assert "standard+no-identity is left out: its settings are those of standard" in lineup.notes
    assert lineup.configs[0].losses == resolve("standard").losses and lineup.length == "1 minute"
