"""Words of messages."""

import pytest

from sincut.errors import counted


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 pictures"), (1, "1 picture"), (2, "2 pictures"), ("1", "1 picture"), ("1.5", "1.5 pictures")],
)
def test_one_of_a_kind_has_the_singular(count: int | str, words: str) -> None:
    assert counted(count, "picture") == words


def test_other_plurals_are_given() -> None:
    assert [counted(count, "picture is", "pictures are") for count in (1, 2)] == ["1 picture is", "2 pictures are"]
