"""One place tells in which settings two configurations differ, and which preset explains one best."""

import pytest

from sincut.config.resolve import closest, presets, resolve
from sincut.config.sections import overlay


def test_changes_are_the_values_that_differ_as_in_a_preset() -> None:
    base = overlay(resolve(), {"crops": {"count": 4}, "losses": {"layers": [0, 2]}, "output": {"previews": 8}})
    other = overlay(base, {"crops": {"count": 9}, "losses": {"layers": [0]}, "output": {"previews": 3}})
    assert base.changes(other) == {
        "crops.count": (4, 9),
        "losses.layers": ([0, 2], [0]),
        "output.previews": (8, 3),
    }
    assert base.changes(base) == {}
    assert base.differences(other) == ["crops.count: 4 here, 9 there", "losses.layers: [0, 2] here, [0] there"]


@pytest.mark.parametrize("name", [preset.name for preset in presets()])
def test_a_preset_is_closest_to_itself_and_to_what_differs_little(name: str) -> None:
    assert closest(resolve(name)).name == name
    own = resolve(name, ["schedule.seed=7"])
    assert closest(own).name == name
    assert own.changes(closest(own).config) == {"schedule.seed": (7, resolve(name).schedule.seed)}


def test_among_presets_equally_close_the_default_one_counts() -> None:
    quick, standard = resolve("quick"), resolve()
    between = overlay(standard, {"schedule": {"minutes": quick.schedule.minutes}})
    assert len(between.changes(quick)) == len(between.changes(standard)) == 1
    assert closest(between).name == "standard"
