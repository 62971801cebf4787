"""What a model says of itself on the page."""

from pathlib import Path

import pytest
from helpers import TINY, make_model

from sincut.config.sections import Config, overlay

pytest.importorskip("gradio")


def test_names_and_directions_of_strangers_are_no_markdown(tmp_path: Path) -> None:
    from sincut.page.desk import Desk
    from sincut.page.jobs import Trainings
    from sincut.page.models_tab import about_words, chosen_words

    name = "![a](x) <b> www.evil.example"
    (tmp_path / name).mkdir()
    model = make_model(overlay(Config(), TINY))
    model.provenance |= {"direction": "photo ![x](http://evil.example/p.png)", "steps": float("inf")}
    model.provenance["seconds"] = float("nan")
    model.save(tmp_path / name / "model.safetensors")
    desk = Desk(tmp_path, tmp_path, Trainings(tmp_path, "cpu"), "cpu")
    words = chosen_words(desk, name)
    assert words.endswith("which takes photos (photo → painting).") and not set(words) & set("![]<")
    assert "evil." not in words and "not known" in about_words(desk, name)
