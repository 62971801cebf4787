"""One place tells in which settings two configurations differ."""

from sincut.config.resolve import resolve
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
