"""Exemplars that are put into models that are there, and taken out: all else stays, and no file is half written."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import make_model, scene
from PIL import Image

from sincut.config.sections import Config
from sincut.errors import ImageError, ModelError, RunError
from sincut.events import Event, Warned
from sincut.files import locked, sha256
from sincut.model.carry import add_exemplar, remove_exemplar
from sincut.model.exemplar import exemplar_of
from sincut.model.file import CHECKPOINT_FILE, MODEL_FILE, load_tensors
from sincut.model.model import Model
from sincut.model.provenance import PictureIdentity, Provenance
from sincut.pictures import reading
from sincut.runs.inputs import source_of

FORMATS = Path(__file__).parent / "formats"


def learned_from(config: Config, path: Path, target: PictureIdentity) -> None:
    """A model file that says it has learned the look of this photo."""
    model = make_model(config)
    model.provenance = Provenance(photo=target, direction="painting -> photo", steps=1)
    model.save(path)


@pytest.mark.parametrize("number", range(1, 11))
def test_a_model_of_any_format_takes_one_and_is_otherwise_as_it_was(number: int, photo: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    shutil.copy(FORMATS / f"{number}.safetensors", path)
    before = Model.load(path)
    tensors = load_tensors(path)[0]
    assert add_exemplar(path, photo) == (70, 80)
    after = Model.load(path)
    wanted = exemplar_of(reading.load(photo).pixels, before.config.crops)
    assert after.exemplar is not None and torch.equal(after.exemplar, wanted)
    assert (after.config, after.provenance) == (before.config, before.provenance)
    image, noise = torch.rand(1, 3, 30, 36), torch.zeros(1, 1, 30, 36)
    assert torch.equal(after.translate(image, noise), before.translate(image, noise))
    remove_exemplar(path)
    left, metadata = load_tensors(path)
    assert metadata["version"] == "11" and Model.load(path).exemplar is None
    assert set(left) == set(tensors) and all(torch.equal(left[name], tensors[name]) for name in left)  # heads, too


def test_another_picture_is_warned_of_and_taken(tiny: Config, photo: Path, painting: Path, tmp_path: Path) -> None:
    path, said = tmp_path / "m.safetensors", list[Event]()
    of_file = source_of(photo, "photo").identity()
    of_pixels = source_of(np.asarray(Image.open(photo)), "photo").identity()
    assert of_file.sha256 == sha256(photo) != of_pixels.sha256
    for identity in (of_file, of_pixels, replace(of_file, sha256="")):
        learned_from(tiny, path, identity)
        add_exemplar(path, photo, on_event=said.append)
    assert not said
    learned_from(tiny, path, of_file)
    add_exemplar(path, painting, on_event=said.append)
    (warned,) = said
    assert isinstance(warned, Warned) and "is not the photo" in warned.message and "photo.png (80x70)" in warned.message
    assert Model.load(path).exemplar_size is not None


def test_another_file_is_written_where_one_is_named(tiny: Config, photo: Path, tmp_path: Path) -> None:
    path, other = tmp_path / "m.safetensors", tmp_path / "with.safetensors"
    make_model(tiny).save(path)
    before = path.read_bytes()
    add_exemplar(path, photo, other)
    assert path.read_bytes() == before and Model.load(other).exemplar is not None
    remove_exemplar(other, tmp_path / "without.safetensors")
    assert Model.load(other).exemplar is not None and Model.load(tmp_path / "without.safetensors").exemplar is None


def test_what_goes_wrong_leaves_the_model_as_it_is(
    tiny: Config, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, damaged, text = (tmp_path / name for name in ("m.safetensors", "d.safetensors", "t.png"))
    make_model(tiny).save(path)
    before = path.read_bytes()
    text.write_text("no picture")
    with pytest.raises(ImageError, match=r"t\.png"):
        add_exemplar(path, text)
    with pytest.raises(ModelError, match="cannot be written"):
        add_exemplar(path, photo, tmp_path / "no" / "folder.safetensors")
    damaged.write_bytes(before[:-50])
    with pytest.raises(ModelError, match=r"d\.safetensors"):
        add_exemplar(damaged, photo)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sincut.files.os.fsync", full)
    with pytest.raises(ModelError, match="No space left"):
        add_exemplar(path, photo)
    assert path.read_bytes() == before and len(list(tmp_path.glob("*.safetensors"))) == 2
    assert not list(tmp_path.glob(".*part"))


def test_a_run_that_is_trained_is_left_alone(tiny: Config, photo: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    make_model(tiny).save(run / MODEL_FILE)
    (run / CHECKPOINT_FILE).touch()
    with locked(run):
        for model in (run, run / MODEL_FILE):
            with pytest.raises(RunError, match="another sincut writes there"):
                add_exemplar(model, photo)
            with pytest.raises(RunError, match="another sincut writes there"):
                remove_exemplar(model)
        add_exemplar(run, photo, tmp_path / "copy.safetensors")
    add_exemplar(run, photo)
    assert Model.load(run).exemplar is not None


def test_a_large_deep_and_transparent_picture_is_scaled_and_shows_what_the_training_saw(
    tiny: Config, tmp_path: Path
) -> None:
    path, target = tmp_path / "m.safetensors", tmp_path / "t.png"
    make_model(tiny).save(path)
    pixels = scene(120, 160, 3)
    alpha = np.where(np.arange(160) < 80, 255, 0)[None].repeat(120, 0).astype(np.uint8)
    Image.fromarray(np.dstack([pixels, alpha])).save(target)
    assert add_exemplar(path, target) == (120, 80)  # the half that is seen
    exemplar = Model.load(path).exemplar
    assert exemplar is not None and torch.equal(exemplar, exemplar_of(pixels[:, :80], tiny.crops))
