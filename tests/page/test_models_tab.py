"""What a model says of itself on the page, and what can be done with it there."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers import TINY, make_model, save_telling

from sincut.config.resolve import resolve
from sincut.config.sections import Config, overlay
from sincut.errors import RunError

gr = pytest.importorskip("gradio")


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
    assert "<td>&lt;i&gt;, 3×4</td>" in told and "<tr><td>&lt;u&gt;</td><td>0.5<br>" in told
    assert "<tr><td>crops.size</td><td>32</td></tr>" in told and "networks.noise" not in told
    assert "<p>All as the preset standard has them.</p>" in about_words(desk, "plain")
    damaged = about_words(desk, "<p>.safetensors")
    assert damaged.count("<p>") == 1 and "&lt;p&gt;.safetensors: is damaged or no model file" in damaged


@pytest.fixture
def desk(tmp_path: Path, tiny: Config, painting: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A desk with the runs `one` and `two`, each of one model and with the picture that it learned from."""
    from sincut.page.desk import Desk
    from sincut.page.jobs import Trainings

    monkeypatch.setattr(gr, "Info", lambda *args, **kwargs: None)
    model, place = make_model(tiny), tmp_path / "place"
    for name, steps in (("one", 4), ("two", 5)):
        folder = tmp_path / "runs" / name / "inputs" / "painting"
        folder.mkdir(parents=True)
        shutil.copy(painting, folder / "painting.png")
        save_telling(
            model,
            tmp_path / "runs" / name / "model.safetensors",
            steps=steps,
            planned_steps=steps,
            figures={"colour": 0.1, "structure": 0.9},
        )
    place.mkdir()
    return Desk(tmp_path, place, Trainings(tmp_path / "runs", "cpu"), "cpu")


class Going:
    """A training that goes on."""

    def poll(self) -> None:
        return None


def test_models_are_renamed_freed_deleted_and_added(desk: Any, tmp_path: Path) -> None:
    from sincut.page.models_tab import _added, _deleted, _freed, _renamed, model_updates

    (tmp_path / "runs" / "one" / "checkpoint.safetensors").write_bytes(b"0" * 2_000_000)
    assert _renamed(desk, "one", " sea ") == "sea" and set(desk.trainings.models()) == {"sea", "two"}
    for name in ("../out", "a/b", "", "two"):
        with pytest.raises(RunError, match=r"no name for a model|of that name already"):
            _renamed(desk, "sea", name)
    head, about, name, free, other = model_updates(desk, "sea")
    assert name == "sea" and other["choices"] == ["two"]
    assert free["interactive"] and free["value"] == "Free its checkpoint (2 MB)"
    assert "<h2>sea</h2>" in head and 'href="model/sea"' in head and 'href="card/sea"' in head
    assert "report/" not in head and "Shapes kept" in about and "photo’s colours" in about
    assert _freed(desk, "sea") == "sea" and not model_updates(desk, "sea")[3]["interactive"]
    file = desk.model_file("sea")
    assert file.name == "sea.safetensors"
    assert file.content == (tmp_path / "runs" / "sea" / "model.safetensors").read_bytes()
    assert desk.card("sea").name == "sea.md" and desk.card("sea").content.startswith(b"---\n")
    with pytest.raises(RunError, match="tick that it may go first"):
        _deleted(desk, "sea", False)
    assert _deleted(desk, "sea", True) == ("", False) and desk.trainings.models() == ["two"]
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["two"]
    (tmp_path / file.name).write_bytes(file.content)
    assert _added(desk, str(tmp_path / file.name)) == "sea.safetensors"
    assert set(desk.trainings.models()) == {"two", "sea.safetensors"}


def test_a_model_that_is_being_trained_from_here_is_left_alone(desk: Any) -> None:
    from sincut.page.models_tab import _deleted, _freed, _renamed

    desk.trainings.processes["one"] = Going()
    for act in (lambda: _renamed(desk, "one", "sea"), lambda: _deleted(desk, "one", True), lambda: _freed(desk, "one")):
        with pytest.raises(RunError, match="is being trained; stop it first"):
            act()
    assert set(desk.trainings.models()) == {"one", "two"}


def test_two_models_are_compared_on_a_picture_of_theirs_or_a_dropped_one(
    desk: Any, tmp_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sincut.page.models_tab import compared

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "place"))
    html = compared(desk, "one", "two", None)
    ((token, page),) = desk.sheets.items()
    assert f'href="sheet/{token}"' in html and html.count("<img") == 2 and "painting.png: one at the left" in html
    assert "Open the comparison<" in html  # no figures: the look of these models is not there
    assert page.read_text(encoding="utf-8").count("<img") == 3  # and the picture itself
    assert "photo.png: one at the left" in compared(desk, "one", "two", photo)
    with pytest.raises(RunError, match="choose two models"):
        compared(desk, "one", None, None)
    for name in ("one", "two"):
        shutil.rmtree(tmp_path / "runs" / name / "inputs")
    with pytest.raises(RunError, match="drop one in Apply"):
        compared(desk, "one", "two", None)


def test_the_picture_of_the_example_is_shipped(desk: Any) -> None:
    from sincut.page.example import SHIPPED, put_example

    example = put_example(desk.trainings, desk.place)
    assert desk.own_picture(example.model) == SHIPPED / "photo.jpg"
    assert desk.own_picture("one").name == "painting.png"
