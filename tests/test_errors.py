"""Words of messages."""

import os
from pathlib import Path

import pytest

from sincut.errors import counted, within


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 pictures"), (1, "1 picture"), (2, "2 pictures"), ("1", "1 picture"), ("1.5", "1.5 pictures")],
)
def test_one_of_a_kind_has_the_singular(count: int | str, words: str) -> None:
    assert counted(count, "picture") == words


def test_other_plurals_are_given() -> None:
    assert [counted(count, "picture is", "pictures are") for count in (1, 2)] == ["1 picture is", "2 pictures are"]


def test_what_lies_below_a_folder_is_named_by_its_path_there() -> None:
    folder = Path("tmp", "long")
    message = f"{folder / 'a' / 'b.png'}: is damaged; {folder}: is a folder"
    assert within(message, folder) == f"a{os.sep}b.png: is damaged; {folder}: is a folder"
