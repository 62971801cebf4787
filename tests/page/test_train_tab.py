"""The tab of trainings: it shows both directions, and names them by the words of the command."""

import re

import click
import pytest

from sincut.cli.train import train

pytest.importorskip("gradio")


def test_directions_are_those_of_the_command_and_shown_side_by_side() -> None:
    from sincut.page.train_tab import DIRECTIONS, _directions

    (option,) = (parameter for parameter in train.params if parameter.name == "to")
    assert isinstance(option.type, click.Choice)
    assert [value for _, value in DIRECTIONS] == list(option.type.choices) == ["photo", "painting"]
    assert all(label.startswith(f"to {value}: ") for label, value in DIRECTIONS)
    html = _directions()
    assert re.search('<img src="data:image/jpeg;base64,[A-Za-z0-9+/=]{1000,}" alt="A painting beside', html)
