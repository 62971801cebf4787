"""Trainings of sets of pictures: what is read, told, kept, resumed and shown of them."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from helpers import TINY, scene, stop_after
from PIL import Image

import sincut
from sincut.config.resolve import resolve
from sincut.config.sections import Config, overlay
from sincut.errors import ConfigError, ImageError, Interrupted, RunError
from sincut.events import Directed, Event, PictureRead, Reading, Warned
from sincut.method.algorithms import ALGORITHMS, register_algorithm
from sincut.model.file import load_tensors
from sincut.model.model import Model, with_generator
from sincut.report import compare, run_page
from sincut.report.history import History
from sincut.runs.needs import bytes_to_learn
from sincut.runs.results import Judge
from sincut.runs.table import Pair


@pytest.fixture(autouse=True)
def few_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sincut.method.guide.PLACES_OF_SET", 100)


@pytest.fixture
def paintings(tmp_path: Path) -> Path:
    """A folder of three paintings, of a picture that is too small, one that is none, and a text."""
    return folder_of_paintings(tmp_path / "monets")


def folder_of_paintings(folder: Path) -> Path:
    folder.mkdir()
    for seed, size in enumerate([(60, 90), (72, 64), (80, 70)]):
        Image.fromarray(scene(*size, seed)).save(folder / f"{seed}.png")
    Image.fromarray(scene(20, 24, 0)).save(folder / "small.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture
def config(tiny: Config) -> Config:
    return with_all(tiny)


def with_all(config: Config) -> Config:
    own = {"losses": {"guide": 100.0}, "synthesis": {"exemplar": True}, "schedule": {"steps": 2}}
    return overlay(config, {**own, "output": {"previews": 0}})


class Trained(NamedTuple):
    """A run in which a photo learned the look of a folder of paintings, of which two are kept."""

    run: Path
    paintings: Path
    photo: Path
    model: Model
    events: list[Event]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    root, events = tmp_path_factory.mktemp("trained"), list[Event]()
    paintings, photo = folder_of_paintings(root / "monets"), root / "photo.png"
    Image.fromarray(scene(70, 80, 2)).save(photo)
    config = with_all(overlay(resolve(), TINY))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sincut.method.guide.PLACES_OF_SET", 100)
        patch.setattr("sincut.report.history.SHOWN_OF_SET", 2)
        sincut.train(paintings, photo, root / "run", config=config, to="painting", on_event=events.append)
    return Trained(root / "run", paintings, photo, Model.load(root / "run"), events)


def test_a_folder_is_learned_from_without_what_cannot_be_read(trained: Trained) -> None:
    model, events = trained.model, trained.events
    assert events[0] == Directed("photo.png", "monets (5 pictures)", "painting")
    reading = next(event for event in events if isinstance(event, Reading))
    assert reading.painting == "monets (5 pictures)" and reading.memory > 0
    assert [e.name for e in events if isinstance(e, PictureRead)] == ["0.png", "1.png", "2.png", "photo.png"]
    warned = [event.message for event in events if isinstance(event, Warned)]
    assert any("small.png: 24x20 is smaller than one 32px crop" in m and "is left out" in m for m in warned)
    assert any("broken.jpg" in m and "is left out" in m for m in warned) and any(".txt (1)" in m for m in warned)
    told = model.provenance.painting
    assert told is not None and told.title == "monets (3 pictures)"
    assert [(each.name, each.width, each.height) for each in told.pictures] == [
        ("0.png", 90, 60), ("1.png", 64, 72), ("2.png", 70, 80)
    ]  # fmt: skip
    assert model.exemplar_sizes == ((53, 80), (72, 64), (80, 70))
    assert model.provenance.training_scale["target"] == (40 / 90, 64 / 64)
    assert "monets (3 pictures)" in model._repr_html_()


def test_a_set_of_which_nothing_can_be_read_is_refused(tiny: Config, paintings: Path, photo: Path) -> None:
    for path in paintings.glob("?.png"):
        path.unlink()
    with pytest.raises(ImageError, match=r"monets: none of its 2 pictures can be learned from; .*broken\.jpg"):
        sincut.train(paintings, photo, config=tiny)
    with pytest.raises(ImageError, match=r"small\.png: 24x20 is smaller"):  # one alone fails as such
        sincut.train(paintings / "small.png", photo, config=tiny)


def test_a_set_of_one_picture_is_that_picture_bit_for_bit(
    tiny: Config, paintings: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = sincut.train(paintings / "0.png", photo, config=tiny).model
    for path in (paintings / "1.png", paintings / "2.png"):
        path.unlink()
    monkeypatch.setattr("sincut.pictures.learned.LARGE_IN_SET", 1000)  # it would be smaller among others
    for given in (paintings, [paintings / "0.png"], [str(paintings / "0.*")]):
        model = sincut.train(given, photo, config=tiny).model
        assert model.provenance.painting == alone.provenance.painting
        for name, value in with_generator(alone).generator.state_dict().items():
            assert torch.equal(value, with_generator(model).generator.state_dict()[name])


def test_pictures_in_memory_make_a_set_too(tiny: Config, photo: Path) -> None:
    model = sincut.train([scene(60, 70, 1), Image.fromarray(scene(50, 80, 2))], photo, config=tiny).model
    told = model.provenance.painting
    assert told is not None and [each.name for each in told.pictures] == ["painting 1", "painting 2"]


def test_interrupted_and_resumed_is_the_same_bit_for_bit(
    config: Config, paintings: Path, photo: Path, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    sincut.train(paintings, [photo, paintings / "2.png"], whole, config=config)
    sides: tuple[Any, Any] = (str(paintings / "*"), [photo, paintings / "2.png"])
    with pytest.raises(Interrupted):
        sincut.train(*sides, parts, config=config, stop=stop_after(1))
    sincut.train(*sides, parts, resume=True)
    want, got = (load_tensors(run / "checkpoint.safetensors")[0] for run in (whole, parts))
    assert want.keys() == got.keys()
    assert all(torch.equal(want[name], got[name]) for name in want if name != "plan")
    Image.fromarray(scene(64, 64, 9)).save(paintings / "3.png")
    with pytest.raises(RunError, match=r"the painting is .*, 4 pictures\), was .*, 3 pictures\) \(.*: 3\.png\)"):
        sincut.train(*sides, parts, resume=True)


def test_the_folder_keeps_a_few_pictures_and_the_report_shows_them(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sincut.report.history.SHOWN_OF_SET", 2)
    run, paintings, photo = trained[:3]
    names = sorted(path.name for path in (run / "previews").glob("*.jpeg"))
    assert names == ["painting-2.jpeg", "painting.jpeg", "photo.jpeg"]
    session = History.read(run).sessions[-1]
    assert session["painting"] == str(paintings) and len(session["painting_files"]) == 3
    assert session["photo"] == str(photo) and "photo_files" not in session
    page = run_page.page(run, painting=paintings / "0.png")
    data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
    (shown,) = data["sets"]
    assert (shown["role"], shown["count"]) == ("painting", 3)
    assert [picture["name"] for picture in shown["pictures"]] == ["0.png", "1.png"]
    assert data["pictures"]["target"]["name"] == "0.png" and "name" not in data["pictures"]["source"]
    assert [row["name"] for row in data["inputs"]] == ["monets", "0.png", "1.png", "2.png", "photo.png"]
    commands = {row["label"]: row["text"] for row in data["commands"]}
    assert f"train {paintings} {photo} " in commands["Go on with the training"]
    assert f"{photo} -o out.png" in commands["Translate a picture"]
    with pytest.raises(RunError, match=r"is not the painting of this run, which was 0\.png"):
        run_page.page(run, painting=paintings / "1.png")


def test_figures_and_comparisons_are_of_the_look_of_the_whole_set(trained: Trained) -> None:
    first, second, _ = sorted(trained.paintings.glob("?.png"))
    looks: list[Any] = [None, [first, second], first]
    kept, given, alone = (
        compare.compare([trained.run], trained.photo, look, fast=True).results[0].figures["colour"] for look in looks
    )
    assert kept == pytest.approx(given, abs=0.05) and alone != given


def test_memory_is_expected_of_all_pictures_of_a_set(tmp_path: Path) -> None:
    config = sincut.resolve("quick")
    for name in ("a", "b"):
        Image.new("RGB", (2000, 1500)).save(tmp_path / f"{name}.jpg")
    (tmp_path / "c.jpg").write_bytes(b"no picture")
    one, two, three = (tmp_path / f"{name}.jpg" for name in "abc")
    alone, few, several = (
        bytes_to_learn({"painting": side, "photo": one}, config)
        for side in (one, (one, two, three), (one, two, three, *[one] * 20))
    )
    assert few < alone  # filters and G work on larger parts of a picture that is not scaled down
    assert few < several < alone + 22 * 60 * 1_000_000  # each is scaled down to less than alone


def test_algorithms_that_take_one_picture_a_side_say_so(
    tiny: Config, paintings: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ALGORITHMS, "other", lambda *_, **__: None)
    other = overlay(tiny, {"method": {"algorithm": "other"}})
    with pytest.raises(ConfigError, match=r"algorithm=other: learns from one painting and one photo"):
        sincut.train(paintings, photo, config=other)
    monkeypatch.setattr("sincut.method.algorithms.OF_SETS", {"sincut"})
    register_algorithm("other", ALGORITHMS["other"], sets=True)
    sides: list[Any] = []

    def learn(*given: Any, **_: Any) -> Model:
        sides.extend(given[:2])
        raise Interrupted("enough")

    monkeypatch.setitem(ALGORITHMS, "other", learn)
    with pytest.raises(Interrupted):
        sincut.train(paintings, photo, config=other)
    assert len(sides[0]) == 3 and isinstance(sides[1], torch.Tensor)


def test_a_pair_of_a_table_may_be_a_set(tiny: Config, paintings: Path, photo: Path, tmp_path: Path) -> None:
    model = sincut.train(paintings, photo, config=tiny).model
    pair = Pair("x", paintings, photo, tmp_path / "x", tiny)
    told, known = pair.identity().painting, model.provenance.painting
    assert told is not None and known is not None and told.sha256 == known.sha256 and len(told.pictures) == 3
    assert np.array_equal([each.sha256 for each in told.each], [each.sha256 for each in known.each])


def test_a_judge_of_curves_and_studies_takes_the_first_source_and_the_targets_together(
    paintings: Path, photo: Path
) -> None:
    judge = Judge.load(photo, paintings)
    assert [picture.size for picture in judge.targets] == [(60, 90), (72, 64), (80, 70), (20, 24)]  # all that is read
    assert judge.target is judge.targets[0] and Judge.load(paintings, photo).source.size == (60, 90)
    (paintings / "only").mkdir()
    (paintings / "broken.jpg").rename(paintings / "only/broken.jpg")
    with pytest.raises(ImageError, match="broken"):
        Judge.load(photo, paintings / "only")
