"""Settings, presets, flags, and the errors that name what is wrong."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT

from sincut.config.resolve import load_preset, presets, resolve, schedule_flags
from sincut.config.sections import Config, overlay
from sincut.errors import ConfigError


def test_shipped_presets_load_and_say_why() -> None:
    found = {preset.name: preset for preset in presets()}
    assert {"standard", "quick", "paper", "release"} <= set(found)
    assert all(len(preset.about) > 20 for preset in found.values())


def test_numbers_may_be_written_without_a_zero() -> None:
    config = resolve(flags=["optimisation.learning_rate=.002", "losses.nce=5."])
    assert (config.optimisation.learning_rate, config.losses.nce) == (0.002, 5.0)


def test_presets_hold_only_differences() -> None:
    for path in (ROOT / "presets").glob("*.toml"):
        values = tomllib.loads(path.read_text())
        base = values.pop("extends", None)
        below = (resolve(base) if base else Config()).to_dict()
        others = below if base else resolve().to_dict()  # what lies over the defaults may be composed with standard too
        del values["about"]
        values.pop("why", None)
        for section, settings in values.items():
            for key, value in settings.items():
                both = below[section][key], others[section][key]
                assert both != (value, value), f"{path.name}: {section}.{key} is the same without it"


def test_standard_says_why_for_each_of_its_settings() -> None:
    standard = load_preset("standard")
    assert set(standard.config.changes(Config())) == set(standard.why) and resolve() == standard.config
    assert all(len(reason) > 10 for reason in standard.why.values())
    assert load_preset("quick").why.items() >= {"colour.map": standard.why["colour.map"]}.items()


def test_presets_extend_one_another(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('extends = "quick"\n[losses]\nnce = 2.5\n')
    (tmp_path / "yours.toml").write_text('extends = "mine.toml"\n[crops]\ncount = 3\n')
    mine, yours = (load_preset(str(tmp_path / name)).config for name in ("mine.toml", "yours.toml"))
    assert mine.differences(resolve("quick")) == ["losses.nce: 2.5 here, 1.7 there"]
    assert (yours.losses.nce, yours.crops.count, yours.colour.map) == (2.5, 3, True)
    (tmp_path / "circle.toml").write_text('extends = "circle.toml"\n')
    with pytest.raises(ConfigError, match="end the circle"):
        load_preset(str(tmp_path / "circle.toml"))
    (tmp_path / "lost.toml").write_text('extends = "standrad"\n')
    with pytest.raises(ConfigError, match="did you mean standard"):
        load_preset(str(tmp_path / "lost.toml"))


def test_a_composed_preset_lays_what_its_second_file_says_over_its_first(tmp_path: Path) -> None:
    (tmp_path / "my+own.toml").write_text("[losses]\nnce = 2.5\n")  # not composed
    mine = load_preset(str(tmp_path / "my+own.toml"))
    assert mine.config == overlay(Config(), {"losses": {"nce": 2.5}}) and mine.name == "my+own"
    standard, quick = load_preset("standard"), load_preset("quick")
    composed = load_preset("standard+quick")
    assert (composed.name, composed.config, composed.why) == ("standard+quick", quick.config, quick.why)
    assert composed.about == f"{standard.about} quick: {quick.about}"
    for names in ("paper+identity", "fastcut + identity"):  # what a file extends is no part of it
        below = load_preset(names.partition("+")[0].strip()).config
        assert load_preset(names).config == overlay(below, {"losses": {"identity": True, "same": 1.0}})
    assert resolve("standard+identity", ["crops.count=3"]) == resolve("identity", ["crops.count=3"])
    three = load_preset("quick+identity+last-layer")
    assert three.name == "quick+identity+last-layer"
    assert three.config.changes(quick.config).keys() == {"losses.identity", "losses.same", "losses.layers"}
    assert resolve("paper+no-identity+last-layer") == resolve("last-layer-no-identity")


def test_reasons_of_a_composed_preset_are_those_of_its_settings(tmp_path: Path) -> None:
    (tmp_path / "bare.toml").write_text("[losses]\nnce = 2.5\npatches = 4\n[crops]\nplaces = 3\n")
    (tmp_path / "told.toml").write_text('[losses]\nnce = 3.5\n[why]\n"losses.nce" = "more content"\n')
    standard, bare, told = (
        load_preset(f"standard{more}") for more in ("", *(f"+{tmp_path / f'{name}.toml'}" for name in ("bare", "told")))
    )
    assert bare.why.items() <= standard.why.items()
    assert standard.why.keys() - bare.why.keys() == {"losses.nce", "crops.places"}  # 4 patches are still standard's
    assert told.why == {**standard.why, "losses.nce": "more content"} and told.name == "standard+told"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("standard+identiti", ["'identiti'", "did you mean identity"]),
        ("standrad+identity", ["'standrad'", "did you mean standard"]),
        ("standard+", ["'standard+'", "standard+external"]),
        ("+identity", ["'+identity'", "standard+external"]),
        ("standard++identity", ["a name is missing"]),
        ("release+none.toml", ["none.toml"]),
    ],
)
def test_an_error_of_a_composed_preset_names_its_part(name: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        load_preset(name)
    assert all(word in str(error.value) for word in words), error.value


def test_settings_that_contradict_those_below_are_told_of_their_file(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text("[networks]\narchitecture = 'stylegan2'\nblocks = 2\n")
    with pytest.raises(ConfigError, match=r"small\.toml: losses\.layers=\[0, 2, 4\] must be .* 0 to 3"):
        load_preset(f"standard+{tmp_path / 'small.toml'}")


def test_standard_and_paper_keep_the_promised_crops() -> None:
    for name in ("standard", "paper"):
        crops = resolve(name).crops
        assert (crops.size, crops.tile) == (128, 64)


def test_published_presets_are_faithful() -> None:
    """Every value, as the paper's appendix and the published code's options for single images have it."""
    paper: dict[str, dict[str, object]] = {
        "method": {"algorithm": "sincut"},
        "crops": {
            **{"scale": "width", "low": 384.0, "high": 1024.0, "count": 16, "size": 128, "tile": 64, "flip": 0.5},
            **{"excess": 0.0, "own_scales": False, "places": 1},
        },
        "networks": {
            **{"architecture": "stylegan2", "critic": "stylegan2"},
            **{
                "stem": 40,
                "middle": 48,
                "inner": 80,
                "blocks": 6,
                "discriminator": 1.0,
                "features": 256,
                "materials": 0,
            },
            **{"noise": "last", "residual": 0.0, "smooth": 0.0, "detail": 0.0, "encoders": "shared"},
        },
        "colour": {"smooth": 0.0, "map": False, "grain": False, "balance": False},
        "losses": {
            "gan": "non-saturating",
            **{"nce": 4.0, "identity": True, "same": 1.0, "layers": [0, 1, 2, 3, 5], "patches": 256},
            **{"temperature": 0.07, "r1": 1.0, "r1_every": 1, "flip_equivariance": False, "own": {}},
            **{"guide": 0.0, "guide_until": 0.5, "guide_end": 0.15},
            **{"spread": False, "false_negatives": 1.0, "cycle": 0.0},
            **{"distance": 0.0, "self_distance": 0.0, "geometry": 0.0, "turn": "rotation"},
            **{"spread": False, "false_negatives": 1.0, "cycle": 0.0, "negatives": "internal", "most_negatives": 0},
            **{"bank": 16_384, "bank_step": 256, "momentum": 0.999, "nce_updates": "all"},
        },
        "optimisation": {
            **{"learning_rate": 0.002, "beta1": 0.0, "beta2": 0.99, "decay": 0.5},
            **{"full_rate_steps": 0, "ema": 0.0},
        },
        "schedule": {"steps": 100_000, "minutes": 0.0, "least_steps": 0, "enough_steps": 0, "seed": 0},
        "ensemble": {"members": 1, "steps": 300},
        "rival": {
            **{"weights": "", "iterations": 0, "content": 1.0, "style": 1000.0, "alpha": 16.0, "size": 0},
            **{"start": "content", "pooling": "average"},
        },
        "synthesis": {"exemplar": False},
    }
    release = {
        **paper,
        "crops": {**paper["crops"], "scale": "axes", "low": 0.3333, "high": 1.0, "size": 64},
        "networks": {**paper["networks"], "stem": 80, "inner": 160},
        "losses": {**paper["losses"], "layers": [0, 2, 4], "patches": 1},
    }
    fastcut_losses = {"nce": 10.0, "identity": False, "same": 0.0, "flip_equivariance": True}
    fastcut = {**paper, "losses": {**paper["losses"], **fastcut_losses}}
    cut = {  # section 4.1 and the published code's defaults
        **paper,
        "crops": {
            **{**paper["crops"], "scale": "square", "low": 286.0, "high": 286.0},
            **{"count": 1, "size": 256, "tile": 256},
        },
        "networks": {
            **{**paper["networks"], "architecture": "resnet", "critic": "patchgan", "noise": "none"},
            **{"stem": 64, "inner": 256, "blocks": 9},
        },
        "losses": {
            **{**paper["losses"], "gan": "lsgan", "nce": 1.0, "same": 0.0, "r1": 0.0},
            "layers": [0, 2, 3, 4, 8],
        },
        "optimisation": {**paper["optimisation"], "learning_rate": 0.0002, "beta1": 0.5, "beta2": 0.999},
    }
    cycle_losses = {"nce": 0.0, "identity": False, "cycle": 10.0, "same": 5.0}
    cyclegan = {**paper, "method": {"algorithm": "cyclegan"}, "losses": {**paper["losses"], **cycle_losses}}
    published = {"paper": paper, "release": release, "fastcut": fastcut, "cyclegan": cyclegan, "cut": cut}
    alone = {"nce": 0.0, "identity": False, "same": 0.0}
    for name, weight in (("distance", {"distance": 1.0}), ("self-distance", {"self_distance": 1.0}),
                         ("gcgan", {"geometry": 20.0})):  # fmt: skip
        published[name] = {**paper, "losses": {**paper["losses"], **alone, **weight}}
    for name, wanted in published.items():
        values = resolve(name).to_dict()
        del values["output"]  # changes nothing that is learned
        assert values == wanted
        shipped = tomllib.loads((ROOT / "presets" / f"{name}.toml").read_text())
        most = 20 if name == "cut" else 15
        assert sum(len(section) for section in shipped.values() if isinstance(section, dict)) <= most


@pytest.mark.parametrize("base", ["paper", "standard"])
@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("no-identity", {"losses": {"identity": False, "same": 0.0}}),
        ("last-layer", {"losses": {"layers": [5]}}),
        ("last-layer-no-identity", {"losses": {"layers": [5], "identity": False, "same": 0.0}}),
        ("fifteen-negatives", {"losses": {"most_negatives": 15}}),
        ("external", {"losses": {"negatives": "external"}}),
        ("internal-and-external", {"losses": {"negatives": "both"}}),
        ("separate-encoders", {"networks": {"encoders": "separate"}}),
        ("nce-not-to-decoder", {"losses": {"nce_updates": "encoder", "same": 0.0, "guide": 0.0}}),
    ],
)
def test_variants_change_what_they_name_and_nothing_else(name: str, wanted: dict[str, Any], base: str) -> None:
    composed = load_preset(f"{base}+{name}")
    assert composed.config == overlay(resolve(base), wanted)
    assert resolve(f"paper+{name}") == resolve(name)
    assert set(load_preset(name).why) == {f"{section}.{key}" for section in wanted for key in wanted[section]}


@pytest.mark.parametrize("name", ["standard", "quick", "paper", "release", "fastcut", "cut", "quick+identity"])
def test_printed_preset_is_itself_a_preset(name: str, tmp_path: Path) -> None:
    preset = load_preset(name)
    path = tmp_path / "again.toml"
    path.write_text(preset.to_toml(), encoding="utf-8")
    again = load_preset(str(path))
    assert (again.config, again.about, again.why) == (preset.config, preset.about, preset.why)


def test_config_survives_a_dictionary() -> None:
    config = resolve("release", ["losses.layers=0,3", "schedule.seed=7"])
    assert Config.from_dict(config.to_dict()) == config


def test_flags_win_over_preset_and_defaults() -> None:
    config = resolve("quick", ["crops.count=3", "losses.layers=0,1", "losses.identity=true", "crops.scale=factor",
                               "crops.low=0.5", "crops.high=1"])  # fmt: skip
    assert (config.crops.count, config.losses.layers, config.losses.identity) == (3, (0, 1), True)
    assert config.crops.scale == "factor"


def test_an_empty_flag_is_an_empty_text() -> None:
    assert resolve("gatys", ["rival.weights=vgg.pth", "rival.weights="]).rival.weights == ""


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
        ("losses.layers=0,9", ["losses.layers", "0 to 6"]),
        ("losses.negatives=extern", ["losses.negatives=extern", "external"]),
        ("networks.encoders=two", ["networks.encoders", "separate"]),
        ("losses.bank=8", ["losses.bank_step=256", "losses.bank=8"]),
        ("losses.layers=0,0", ["losses.layers", "distinct"]),
        ("crops.scale=widht", ["crops.scale=widht", "width"]),
        ("networks.architecture=resnets", ["networks.architecture=resnets", "did you mean resnet?"]),
        ("networks.architecture=resnet", ["networks.noise=auto", "--set networks.noise=none"]),
        ("losses.gan=wgan", ["losses.gan=wgan", "non-saturating or lsgan"]),
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


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("networks.noise=last", ["networks.noise=last", "--set networks.noise=none"]),
        ("crops.tile=16", ["crops.tile=16", "32 or more"]),
        ("losses.layers=0,9", ["losses.layers", "0 to 8"]),
        ("networks.blocks=6", ["losses.layers", "0 to 6"]),
        ("crops.high=8.5", ["crops.low", "crops.high"]),
    ],
)
def test_settings_that_do_not_fit_the_networks_for_sets_are_named(flag: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as error:
        resolve("cut", [flag])
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


def test_differences_name_keys_and_ignore_what_changes_nothing_that_is_learned() -> None:
    base = resolve()
    other = overlay(base, {"crops": {"count": 9}, "output": {"previews": 3}, "synthesis": {"exemplar": False}})
    assert base.differences(other) == ["crops.count: 16 here, 9 there"]


def test_minutes_count_even_where_the_preset_fixes_a_number_of_steps() -> None:
    assert resolve("paper").schedule.steps > 0
    by_minutes = resolve("paper", schedule_flags(minutes=5.0, seed=3)).schedule
    assert (by_minutes.minutes, by_minutes.steps, by_minutes.seed) == (5.0, 0, 3)
    assert resolve("paper", schedule_flags(steps=7)).schedule == resolve("paper", ["schedule.steps=7"]).schedule
    assert schedule_flags() == []


def test_the_preset_file_that_docs_show_is_one(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "presets.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "mine.toml").write_text(shown)
    (tmp_path / "other.toml").write_text('extends = "mine.toml"\n[losses]\nguide = 0.0\n')
    mine, other, quick = (load_preset(str(name)) for name in (tmp_path / "mine.toml", tmp_path / "other.toml", "quick"))
    assert set(mine.config.changes(quick.config)) == {"crops.count"} and "16 cores" in mine.why["crops.count"]
    assert set(other.config.changes(mine.config)) == {"losses.guide"}
