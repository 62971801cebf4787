"""The tab of trainings: both directions are choices with pictures, named by the words of the command."""

import re

import click
import pytest
from PIL import Image

from sincut.cli.train import train

pytest.importorskip("gradio")


def test_directions_are_those_of_the_command_and_shown_side_by_side() -> None:
    from sincut.page.train_tab import DIRECTIONS

    (option,) = (parameter for parameter in train.params if parameter.name == "to")
    assert isinstance(option.type, click.Choice)
    assert [value for _, value in DIRECTIONS] == list(option.type.choices) == ["photo", "painting"]
    assert all(label.startswith(f"to {value}: ") for label, value in DIRECTIONS)


def test_the_choices_of_direction_show_halves_of_one_picture() -> None:
    from sincut.page.ui import ASSETS, CARDS_SIZE, _style

    assert re.search(r":root \{--cards: url\(data:image/jpeg;base64,[A-Za-z0-9+/=]{1000,}\);", _style())
    with Image.open(ASSETS / "directions.jpg") as image:
        assert image.size == CARDS_SIZE[::-1] and image.width % 2 == 0
