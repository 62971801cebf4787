"""Other algorithms behind `sincut train`: from the command to pictures, and model files that are not what they say."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import assert_clear_error, in_process, lines_of, scene, vgg_weights
from PIL import Image

import sincut
from sincut.config.resolve import resolve
from sincut.config.sections import Config, overlay
from sincut.errors import ConfigError, ImageError, Interrupted, ModelError
from sincut.events import Checkpoint, Event, PictureStarted, Planned, Preview, Progress, Started, TileDone, Trained
from sincut.method.algorithms import check_sets
from sincut.model.file import load_tensors, save_tensors
from sincut.model.provenance import Provenance
from sincut.nets.vgg import URL
from sincut.rivals.gatys import Gatys
from sincut.rivals.model import RivalModel
from sincut.translation.options import Options
from sincut.translation.translator import Translator


@pytest.fixture
def few(tiny: Config, vgg_file: Path) -> Config:
    """Settings of gatys with few iterations."""
    rival = {"weights": str(vgg_file), "iterations": 6}
    settings = {"method": {"algorithm": "gatys"}, "rival": rival, "synthesis": {"exemplar": True}}
    return overlay(tiny, {**settings, "output": {"preview_megapixels": 0.01}})


@pytest.fixture
def run(few: Config, tmp_path: Path) -> Path:
    """A folder with a model of gatys."""
    (tmp_path / "run").mkdir()
    model = RivalModel(Gatys.read(few.rival), torch.from_numpy(scene(70, 80, 2)), few, Provenance(steps=1))
    model.save(tmp_path / "run" / "model.safetensors")
    return tmp_path / "run"


def test_from_train_to_pictures_by_commands(
    painting: Path, photo: Path, vgg_file: Path, tmp_path: Path, tiny_flags: list[str]
) -> None:
    run, out = tmp_path / "run", tmp_path / "out.png"
    words = ["--method", "gatys", "--weights", vgg_file, "--exemplar", "--set", "rival.iterations=6"]
    trained = in_process("train", painting, photo, "-o", run, "--json", *tiny_flags, *words)
    assert trained.returncode == 0, trained.stderr
    told = json.loads(trained.stdout)
    assert told["steps"] == told["planned_steps"] == 1 and list(told["weights"]) == [vgg_file.name]
    assert (run / "report.html").exists() and (run / "previews" / "000001.jpg").exists()
    assert str(vgg_file.parent) not in str(sincut.load(run).model.config.rival) + json.dumps(told["weights"])
    vgg_file.unlink()  # the model has what it needs of it
    applied = in_process("apply", run, painting, "-o", out, "--json")
    assert applied.returncode == 0, applied.stderr
    events = [json.loads(line) for line in applied.stderr.splitlines()]
    (begun,) = (e for e in events if e["event"] == "PictureStarted")
    assert (begun["tiles"], begun["unit"]) == (6, "iterations") and begun["seconds"] > 0
    done = [e["done"] for e in events if e["event"] == "TileDone"]
    assert done == sorted(done) and done[-1] == 6 and len(done) >= 6
    assert Image.open(out).size == Image.open(painting).size
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(2):
        Image.fromarray(scene(30, 40 + number, number)).save(folder / f"{number}.png")
    assert in_process("apply", run, folder, "-o", tmp_path / "outs").returncode == 0
    assert len(lines_of(tmp_path / "outs")) >= 2 and len(list((tmp_path / "outs").glob("*.png"))) == 2
    compared = in_process("compare", run, out, "--picture", painting, "-o", tmp_path / "c.png", "--json")
    assert compared.returncode == 0, compared.stderr
    shown = in_process("inspect", run, "--json")
    assert json.loads(shown.stdout)["exemplar"] == {"width": 80, "height": 70}
    again = in_process("train", painting, photo, "-o", run, "--resume")
    assert again.returncode == 1 and URL in again.stderr  # whoever goes on needs the weights


def test_missing_weights_are_told_before_anything_is_made(
    painting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    words = "train", painting, photo, "-o", tmp_path / "run", "--method", "gatys"
    assert_clear_error(in_process(*words), 1, URL, str(tmp_path / "home"), "--weights")
    assert_clear_error(in_process(*words, "--weights", "none.pth"), 1, "none.pth", URL)
    assert_clear_error(in_process(*words, "--no-exemplar"), 2, "--no-exemplar", "target's pixels")
    assert_clear_error(in_process(*words[:-1], "gatyss"), 2, "did you mean gatys?")
    assert not (tmp_path / "run").exists()


def test_a_training_tells_what_it_does(few: Config, painting: Path, photo: Path) -> None:
    events: list[Event] = []
    sincut.train(painting, photo, config=few, on_event=events.append)
    kinds = [type(event) for event in events[-7:]]
    assert kinds == [Started, Planned, Progress, Checkpoint, Preview, Checkpoint, Trained]
    (started,) = (event for event in events if isinstance(event, Started))
    assert started.precision == "float32" and started.parameters == {
        "gatys": sum(value.numel() for name, value in vgg_weights().items() if int(name.split(".")[1]) <= 28)
    }


def test_stopped_before_its_step_there_is_no_model(few: Config, painting: Path, photo: Path, tmp_path: Path) -> None:
    with pytest.raises(Interrupted, match="before the first step"):
        sincut.train(painting, photo, tmp_path / "run", config=few, stop=lambda: True)
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_several_pictures_of_a_side_are_refused(few: Config) -> None:
    with pytest.raises(ConfigError, match="gatys: learns from one painting and one photo"):
        check_sets(few)


def test_pictures_smaller_than_a_crop_will_do(few: Config) -> None:
    small = overlay(few, {"crops": {"size": 128, "tile": 64}, "output": {"previews": 0}})
    translator = sincut.train(scene(40, 50, 1), scene(30, 20, 2), config=small)
    assert translator.apply(scene(24, 33, 0)).shape == (24, 33, 3)
    with pytest.raises(ImageError, match=r"painting: 50x40 is smaller than one 128px crop"):
        sincut.train(scene(40, 50, 1), scene(30, 20, 2), config=overlay(small, {"method": {"algorithm": "sincut"}}))


def test_a_model_comes_back_from_its_file_and_gives_the_same(run: Path, few: Config, tmp_path: Path) -> None:
    translator = sincut.load(run)
    model = translator.model
    assert isinstance(model, RivalModel) and isinstance(model.technique, Gatys) and model.config == few
    model.save(tmp_path / "copy.safetensors")
    again = sincut.load(tmp_path / "copy.safetensors")
    picture = scene(33, 47, 5)
    out = translator.apply(picture)
    assert out.shape == picture.shape and np.array_equal(out, again.apply(picture))
    assert np.array_equal(out, translator.apply(picture)) and not np.array_equal(out, picture)
    other = overlay(few, {"schedule": {"seed": 1}, "rival": {"start": "noise"}})
    noise = RivalModel(Gatys(model.technique.vgg, other.rival), model.look, other)
    assert not np.array_equal(Translator(noise).apply(picture), out)


def test_pictures_are_whole_and_those_too_large_are_refused_with_a_remedy(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    translator = sincut.load(run)
    limits = translator.model.limits
    assert limits.whole_only and limits.most_pixels == Gatys.most_pixels and translator.model.rounds((9, 9)) == 6
    monkeypatch.setattr(Gatys, "most_pixels", 1000)
    with pytest.raises(ImageError, match=r"50x40 pixels are more than the 1000 .*--scale"):
        sincut.load(run).apply(scene(40, 50, 0))
    small = sincut.load(run).apply(scene(40, 50, 0), Options(scale=0.5))
    assert small.shape == (40, 50, 3)


def test_options_that_do_not_apply_are_refused_in_a_line(run: Path, painting: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.png"
    for words, said in (
        (("apply", run, painting, "-o", out, "--fidelity", "1"), "a model of another method draws from none"),
        (("similarity", run, painting, "--point", "3,3", "-o", out), "is a model of gatys, which has no encoder"),
        (("features", run, painting, "-o", out), "which has no G, and so no encoder"),
        (("export", run, "-o", tmp_path / "m.onnx"), "which has no G"),
        (("exemplar", run, "--remove"), "which has no G"),
    ):
        result = in_process(*words)
        assert result.returncode == 1 and said in result.stderr, result.stderr
    works = "--strength", "0.5", "--tile", "16", "--fast", "--scale", "0.5", "--keep-colour"
    assert in_process("apply", run, painting, "-o", out, *works).returncode == 0


def test_how_long_it_takes_is_known_from_a_sample(run: Path, tmp_path: Path) -> None:
    translator, events = sincut.load(run), list[Event]()
    Image.fromarray(scene(40, 50, 0)).save(tmp_path / "a.png")
    translator.apply_file(tmp_path / "a.png", tmp_path / "b.png", on_event=events.append)
    assert isinstance(events[0], PictureStarted) and events[0].tiles == 6 and events[0].seconds > 0
    assert all(isinstance(event, TileDone) and event.tiles == 6 for event in events[1:])


def test_damaged_model_files_are_refused(run: Path, tmp_path: Path) -> None:
    tensors, metadata = load_tensors(run / "model.safetensors")
    path, some = tmp_path / "m.safetensors", "network.vgg.convs.conv3_1.weight"
    config = json.loads(metadata["config"])
    unknown = {**config, "method": {"algorithm": "own"}}
    for broken, told, said in (
        ({k: v for k, v in tensors.items() if k != some}, metadata, "not a complete model"),
        ({k: v for k, v in tensors.items() if "conv5_1" not in k}, metadata, "does not end with conv5_1"),
        ({**tensors, some: torch.full_like(tensors[some], float("inf"))}, metadata, "not finite"),
        ({**tensors, some: torch.ones(2, 2)}, metadata, "no VGG-19"),
        ({k: v for k, v in tensors.items() if "exemplar" not in k}, metadata, "exemplar is not complete"),
        (tensors, {k: v for k, v in metadata.items() if k != "config"}, "'config'"),
        (tensors, {**metadata, "config": json.dumps(unknown)}, "settings this version does not know"),
    ):
        save_tensors(path, broken, told)
        with pytest.raises(ModelError, match=said):
            sincut.load(path)


def test_a_preview_is_smaller_where_the_minutes_are_few(
    few: Config, painting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = overlay(few, {"schedule": {"steps": 0, "minutes": 1.0}})
    scales: list[float | str] = []
    whole = Translator.apply_picture

    def apply(self: Translator, picture: object, options: Options = Options(), **more: object) -> object:  # noqa: B008
        scales.append(options.scale)
        return whole(self, picture, options, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Translator, "apply_picture", apply)
    for speed, expected in ((1e-9, 1.0), (0.1, 0.167)):
        monkeypatch.setattr(Translator, "probe", lambda self, speed=speed: speed)
        sincut.train(painting, photo, tmp_path / str(speed), config=config)
        assert scales[-1] == pytest.approx(expected, rel=0.05)


def test_the_defaults_are_those_of_the_paper() -> None:
    rival = resolve("paper").rival
    assert (rival.content, rival.style, rival.start, rival.pooling) == (1.0, 1000.0, "content", "average")
