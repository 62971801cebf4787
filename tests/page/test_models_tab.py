"""What a model says of itself on the page."""

from pathlib import Path

import pytest
from helpers import TINY, make_model, save_telling

from sincut.config.resolve import resolve
from sincut.config.sections import overlay

pytest.importorskip("gradio")


def test_names_and_directions_of_strangers_are_no_markdown(tmp_path: Path) -> None:
    from sincut.page.desk import Desk
    from sincut.page.jobs import Trainings
    from sincut.page.models_tab import about_words, chosen_words

    name = "![a](x) <b> www.evil.example"
    (tmp_path / name).mkdir()
    model = make_model(overlay(resolve(), TINY))
    odd = {"direction": "photo ![x](http://evil.example/p.png)", "steps": float("inf"), "seconds": float("nan")}
    save_telling(model, tmp_path / name / "model.safetensors", **odd)
    desk = Desk(tmp_path, tmp_path, Trainings(tmp_path, "cpu"), "cpu")
    words = chosen_words(desk, name)
    assert words.endswith("which takes photos (photo → painting).") and not set(words) & set("![]<")
    assert "evil." not in words and "not known" in about_words(desk, name)


def test_what_is_told_of_a_model_is_text_and_holds_its_own_settings_alone(tmp_path: Path) -> None:
    from sincut.page.desk import Desk
    from sincut.page.jobs import Trainings
    from sincut.page.models_tab import about_words

    for name, config in (("plain", resolve()), ("<b>", overlay(resolve(), TINY))):
        (tmp_path / name).mkdir()
        model = make_model(config)
        figures = {"<u>": 0.5, "text": "<s>"}
        picture = {"name": "<i>", "width": 3, "height": 4}
        save_telling(model, tmp_path / name / "model.safetensors", painting=picture, figures=figures)
    (tmp_path / "<p>.safetensors").write_text("no model")
    desk = Desk(tmp_path, tmp_path, Trainings(tmp_path, "cpu"), "cpu")
    told = about_words(desk, "<b>")
    assert not [tag for tag in ("<b>", "<i>", "<u>", "<s>") if tag in told]
    assert "<td>&lt;i&gt;, 3×4</td>" in told and "<tr><td>&lt;u&gt;</td><td>0.5</td></tr>" in told
    assert "<tr><td>crops.size</td><td>32</td></tr>" in told and "networks.noise" not in told
    assert "<p>All as the preset standard has them.</p>" in about_words(desk, "plain")
    damaged = about_words(desk, "<p>.safetensors")
    assert damaged.count("<p>") == 1 and "&lt;p&gt;.safetensors: is damaged or no model file" in damaged
