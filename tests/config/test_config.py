"""Settings, presets, flags, and the errors that name what is wrong."""

import tomllib
from pathlib import Path

import pytest
from helpers import ROOT

from sincut.config.sections import Config, load_preset, overlay, presets, resolve, schedule_flags
from sincut.errors import ConfigError


def test_shipped_presets_load_and_say_why() -> None:
    found = {preset.name: preset for preset in presets()}
    assert {"standard", "quick", "paper", "release"} <= set(found)
    assert all(len(preset.about) > 20 for preset in found.values())


def test_numbers_may_be_written_without_a_zero() -> None:
    config = resolve(flags=["optimisation.learning_rate=.002", "losses.nce=5."])
    assert (config.optimisation.learning_rate, config.losses.nce) == (0.002, 5.0)


def test_presets_hold_only_differences() -> None:
    defaults = Config().to_dict()
    for path in (ROOT / "presets").glob("*.toml"):
        values = tomllib.loads(path.read_text())
        values.pop("about")
        for section, settings in values.items():
            for key, value in settings.items():
                assert defaults[section][key] != value, f"{path.name}: {section}.{key} is the default"


def test_standard_is_the_defaults() -> None:
    assert resolve() == resolve("standard") == Config()


def test_standard_and_paper_keep_the_promised_crops() -> None:
    for name in ("standard", "paper"):
        crops = resolve(name).crops
        assert (crops.size, crops.tile) == (128, 64)


def test_published_presets_are_faithful() -> None:
    release, paper = resolve("release"), resolve("paper")
    assert (release.crops.count, release.crops.size, release.crops.scale) == (16, 64, "axes")
    assert (release.losses.nce, release.losses.same, release.losses.r1, release.losses.r1_every) == (4, 1, 1, 1)
    assert (release.optimisation.learning_rate, release.schedule.steps) == (0.002, 100_000)
    assert (paper.crops.scale, paper.crops.low, paper.crops.high, paper.crops.count) == ("width", 384, 1024, 16)
    assert paper.losses.patches == 256
    for config in (release, paper):
        assert (
            not config.colour.map
            and not config.colour.smooth
            and not config.colour.grain
            and not config.colour.balance
            and not config.networks.smooth
            and not config.networks.residual
            and not config.networks.noise
            and not config.losses.spread
        )
        assert config.losses.identity and config.losses.same == 1 and config.networks.discriminator == 1
        assert config.losses.false_negatives == 1 and not config.crops.own_scales
        assert config.crops.places == config.ensemble.members == 1


@pytest.mark.parametrize("name", ["standard", "quick", "paper", "release"])
def test_printed_preset_is_itself_a_preset(name: str, tmp_path: Path) -> None:
    preset = load_preset(name)
    path = tmp_path / "again.toml"
    path.write_text(preset.config.to_toml(preset.about), encoding="utf-8")
    again = load_preset(str(path))
    assert (again.config, again.about) == (preset.config, preset.about)


def test_config_survives_a_dictionary() -> None:
    config = resolve("release", ["losses.layers=0,3", "schedule.seed=7"])
    assert Config.from_dict(config.to_dict()) == config


def test_flags_win_over_preset_and_defaults() -> None:
    config = resolve("quick", ["crops.count=3", "losses.layers=0,1", "losses.identity=true", "crops.scale=factor",
                               "crops.low=0.5", "crops.high=1"])  # fmt: skip
    assert (config.crops.count, config.losses.layers, config.losses.identity) == (3, (0, 1), True)
    assert config.crops.scale == "factor"


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("crops.sise=64", ["crops.sise", "crops.size"]),
        ("crop.size=64", ["crop.size", "crops.size"]),
        ("nonsense.key=1", ["nonsense.key"]),
        ("crops.count=0", ["crops.count=0", "1 to 1024"]),
        ("crops.count=two", ["crops.count=two", "whole number"]),
        ("crops.count=2.5", ["crops.count=2.5", "whole number"]),
        ("losses.nce=nan", ["losses.nce", "0 to 1000"]),
        ("losses.nce=-1", ["losses.nce=-1", "0 to 1000"]),
        ("losses.identity=1", ["losses.identity", "true or false"]),
        ("losses.layers=0,9", ["losses.layers", "0 to 5"]),
        ("losses.layers=0,0", ["losses.layers", "distinct"]),
        ("crops.scale=widht", ["crops.scale=widht", "width"]),
        ("crops.size=100", ["crops.size=100", "crops.tile"]),
        ("crops.low=2000", ["crops.low", "crops.high"]),
        ("crops.size", ["section.key=value"]),
        ("schedule.minutes=0", ["schedule.steps", "schedule.minutes"]),
    ],
)
def test_wrong_settings_name_key_range_and_neighbour(flag: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        resolve("standard", [flag])
    for word in words:
        assert word in str(error.value)


def test_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="standard"):
        load_preset("standart")


def test_broken_preset_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    for text in ("crops = [", "[crops]\nsise = 3\n", "crops = 3\n"):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"mine\.toml"):
            load_preset(str(path))
    with pytest.raises(ConfigError, match=r"none\.toml"):
        load_preset(str(tmp_path / "none.toml"))


def test_differences_name_keys_and_ignore_output() -> None:
    base = Config()
    other = overlay(base, {"crops": {"count": 9}, "output": {"previews": 3}})
    assert base.differences(other) == ["crops.count: 4 here, 9 there"]


def test_minutes_count_even_where_the_preset_fixes_a_number_of_steps() -> None:
    assert resolve("paper").schedule.steps > 0
    by_minutes = resolve("paper", schedule_flags(minutes=5.0, seed=3)).schedule
    assert (by_minutes.minutes, by_minutes.steps, by_minutes.seed) == (5.0, 0, 3)
    assert resolve("paper", schedule_flags(steps=7)).schedule == resolve("paper", ["schedule.steps=7"]).schedule
    assert schedule_flags() == []
