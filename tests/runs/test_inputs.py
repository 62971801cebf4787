"""The two pictures of a training, in every form they may have."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import scene, stop_after
from PIL import Image

import sincut
from sincut.config.sections import Config, overlay
from sincut.errors import ImageError, Interrupted, SincutError
from sincut.events import Event, PictureRead, Warned
from sincut.model.file import MODEL_FILE, load_tensors
from sincut.model.provenance import PictureIdentity, Provenance
from sincut.runs.inputs import Inputs, differences, parse_inputs, source_of


def test_pictures_come_as_anything(tiny: Config, painting: Path, photo: Path) -> None:
    image = scene(20, 20, 0)
    arrays = [np.asarray(Image.open(path)) for path in (painting, photo)]
    tensors = [torch.from_numpy(array.copy()).permute(2, 0, 1) / 255 for array in arrays]
    results = [
        sincut.train(*pair, config=tiny).apply(image)
        for pair in ((painting, str(photo)), arrays, [Image.open(path) for path in (painting, photo)], tensors)
    ]
    assert all(np.array_equal(results[0], other) for other in results[1:])
    with pytest.raises(SincutError, match=r"painting.*give"):
        sincut.train(np.zeros((9, 9)), arrays[1], config=tiny)


def test_the_same_picture_twice_is_allowed_and_warned(tiny: Config, painting: Path) -> None:
    events: list[Event] = []
    sincut.train(painting, painting, config=tiny, on_event=events.append)
    assert any(isinstance(event, Warned) for event in events)


def test_inputs_come_back_from_the_checkpoint_that_holds_them(painting: Path) -> None:
    inputs = Inputs(source_of(painting, "painting"), source_of(scene(20, 30, 1), "photo"), reverse=True)
    identity, paths = parse_inputs(inputs.to_json())
    assert identity == inputs.identity() and identity.reverse
    assert identity.source == inputs.source.identity() == identity.photo
    assert paths == [painting.absolute()]  # the other is no file
    assert list(json.loads(inputs.to_json())) == ["painting", "photo", "direction", "paths"]


@pytest.mark.parametrize("paths", [None, 3, "/etc", {"a": "/etc"}, [3, None, ""]])
def test_paths_of_strangers_are_paths_or_left_out(paths: object) -> None:
    told = {"painting": {"sha256": "1"}, "photo": {"sha256": "2"}, "direction": "painting -> photo", "paths": paths}
    assert parse_inputs(json.dumps(told))[1] == []


@pytest.mark.parametrize("odd", [{"painting": None}, {"photo": "b.png"}, {"direction": 3}])
def test_inputs_that_are_not_told_are_refused(odd: dict[str, object]) -> None:
    told = {"painting": {"sha256": "1"}, "photo": {"sha256": "2"}, "direction": "painting -> photo"}
    with pytest.raises(ValueError, match="its inputs are not told"):
        parse_inputs(json.dumps({**told, **odd}))


def test_differences_are_of_bytes_and_direction_not_of_names() -> None:
    painting, photo = PictureIdentity("a.png", sha256="1" * 64), PictureIdentity("b.png", sha256="2" * 64)
    here = Provenance(painting, photo, "painting -> photo")
    renamed = replace(here, photo=PictureIdentity("c.png", 3, sha256="2" * 64), seed=1)
    assert differences(here, renamed) == []
    other = replace(here, photo=PictureIdentity("b.png", sha256="3" * 64), direction="photo -> painting")
    assert differences(here, other) == [
        "the photo is b.png (22222222), was b.png (33333333)",
        "the direction is painting -> photo, was photo -> painting",
    ]
    stranger = Provenance.parse({"painting": None, "photo": {}})  # who may write anything
    assert differences(here, stranger) == [
        "the painting is a.png (11111111), was not told",
        "the photo is b.png (22222222), was ? (?)",
        "the direction is painting -> photo, was not told",
    ]


def cut_out(path: Path, hidden: int) -> Path:
    """A picture whose outer part is transparent and hides this grey."""
    pixels, alpha = scene(90, 110, 1), np.zeros((90, 110), np.uint8)
    y, x = np.mgrid[:90, :110]
    alpha[(y - 45) ** 2 + (x - 50) ** 2 < 40**2] = 255
    Image.fromarray(np.dstack([np.where(alpha[..., None] > 0, pixels, np.uint8(hidden)), alpha])).save(path)
    return path


@pytest.mark.parametrize("to", ["photo", "painting"])
def test_what_is_hidden_is_not_learned(tiny: Config, photo: Path, tmp_path: Path, to: str) -> None:
    """Neither by G nor by the filters, nor is it in the exemplar, the previews, or the thumbnails."""
    config = overlay(tiny, {"synthesis": {"exemplar": True}, "losses": {"guide": 1.0}, "colour": {"map": True}})
    models, shown = [], []
    for hidden in (0, 255):
        run = tmp_path / f"{hidden}"
        sincut.train(cut_out(tmp_path / "a.png", hidden), photo, run, config=config, to=to)
        models.append(load_tensors(run / MODEL_FILE))
        shown.append([path.read_bytes() for path in sorted((run / "previews").iterdir())])
    (one, _), (other, _) = models
    assert set(one) == set(other) and all(one[key].equal(other[key]) for key in one)
    assert shown[0] == shown[1]
    kept = np.asarray(Image.open(run / "previews/painting.jpeg"))
    assert kept.shape == (79, 79, 3) and kept[0, 0].min() > 250  # the box of the disc, on white
    told = sincut.load(run).model.provenance
    assert told.painting is not None and (told.painting.width, told.painting.height) == (110, 90)
    assert "only its visible part is learned from" in told.painting.notes[-1]
    assert told.scales["painting"] == (40 / 79, 64 / 79)
    assert sincut.load(run).apply(scene(40, 40, 0)).shape == (40, 40, 3)


def test_a_picture_that_nobody_sees_is_refused(tiny: Config, photo: Path, tmp_path: Path) -> None:
    Image.new("RGBA", (90, 90)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a\.png: is transparent everywhere"):
        sincut.train(tmp_path / "a.png", photo, tmp_path / "run", config=tiny)
    with pytest.raises(ImageError, match="photo: is transparent everywhere"):
        sincut.train(photo, Image.new("RGBA", (90, 90)), config=tiny)
    assert not (tmp_path / "run").exists()


def test_notes_on_reading_are_told_and_recorded(tiny: Config, photo: Path, tmp_path: Path) -> None:
    frames = [Image.fromarray(scene(70, 80, seed)) for seed in (1, 2)]
    frames[0].save(tmp_path / "two.gif", save_all=True, append_images=frames[1:])
    frames[0].convert("CMYK").save(tmp_path / "print.jpg")
    events: list[Event] = []
    with contextlib.suppress(Interrupted):
        sincut.train(
            tmp_path / "two.gif", tmp_path / "print.jpg", tmp_path / "run", config=tiny, on_event=events.append,
            stop=stop_after(2),
        )  # fmt: skip
    read = {event.role: event for event in events if isinstance(event, PictureRead)}
    assert "only the first of its images was taken" in read["painting"].notes
    assert "CMYK became sRGB without a profile" in read["photo"].notes
    told = sincut.load(tmp_path / "run").model.provenance
    assert told.painting is not None and told.painting.notes == read["painting"].notes
    session = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[0])["session"]
    assert session["photo_notes"] == list(read["photo"].notes)
    assert "CMYK became sRGB" in (tmp_path / "run/report.html").read_text()


def test_a_picture_of_many_megapixels_is_learned_from_as_its_file_is_translated(
    tiny: Config, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Identity and scales are those of the file, though it was read at a smaller size."""
    monkeypatch.setattr("sincut.pictures.learned.LARGE", 100_000)
    monkeypatch.setattr("sincut.pictures.learned.MOST", 8_000)
    Image.fromarray(scene(320, 400, 1)).save(tmp_path / "a.jpg")
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        sincut.train(tmp_path / "a.jpg", photo, run, config=tiny, stop=stop_after(1))
    model = sincut.train(tmp_path / "a.jpg", photo, run, resume=True).model
    painting = model.provenance.painting
    assert painting is not None and (painting.width, painting.height) == (400, 320)
    assert painting.notes == ("scaled down from 400x320 to 100x80 while it was read",)
    assert model.provenance.scales["painting"] == (40 / 400, 64 / 400)
    assert Image.open(run / "previews/painting.jpeg").size == (100, 80)
