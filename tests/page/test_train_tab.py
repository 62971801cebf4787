"""The tab of trainings: both directions are choices with pictures, named by the words of the command."""

import re
from pathlib import Path

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


def test_no_minutes_are_those_of_the_preset(tmp_path: Path, painting: Path, photo: Path) -> None:
    from sincut.page.desk import Desk
    from sincut.page.jobs import Trainings
    from sincut.page.train_tab import _minutes_of, _order

    desk = Desk(tmp_path, tmp_path, Trainings(tmp_path, "cpu"), "cpu")
    for minutes, wanted in ((0, None), (None, None), (2.5, 2.5)):
        order = _order(desk, str(painting), str(photo), "", "", "photo", "quick", minutes, "", 0, "", False)
        assert order.minutes == wanted
    assert _minutes_of("quick") == 3 and _minutes_of("paper") == 0
