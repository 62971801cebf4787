"""Notes on a model's origin, also of strangers' files."""

from typing import Any

import pytest

from sincut.model.provenance import ROLES, direction, is_reverse, part, progress, roles


@pytest.mark.parametrize("reverse", [False, True])
def test_a_direction_is_read_as_it_was_written(reverse: bool) -> None:
    notes = {"direction": direction(reverse)}
    assert is_reverse(notes) == reverse
    assert roles(notes) == (tuple(reversed(ROLES)) if reverse else ROLES)


def test_directions_are_the_words_of_earlier_files() -> None:
    assert (direction(False), direction(True)) == ("painting -> photo", "photo -> painting")


@pytest.mark.parametrize("odd", [None, 7, "text", [], ["photo"]])
def test_odd_parts_count_as_missing(odd: Any) -> None:
    assert part({"photo": odd}, "photo") == part({}, "photo") == {}
    assert roles({"direction": odd}) == roles({}) == ROLES
    assert progress({"steps": odd, "planned_steps": 8}) == (0 if odd != 7 else 7, 8)
    assert part({"photo": {"name": "a.png"}}, "photo") == {"name": "a.png"}
