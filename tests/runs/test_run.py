"""Run folders: what they hold, going on, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import scene

import sincut
from sincut.cli.console import Reporter
from sincut.config.sections import Config, overlay
from sincut.errors import Interrupted, ModelError, RunError, SincutError
from sincut.events import Evaluated, Event, Saved, Warned
from sincut.files import locked
from sincut.model.model import CHECKPOINT_FILE, MODEL_FILE, load_tensors, save_tensors
from sincut.runs.run import default_folder


def stop_after(steps: int):
    count = iter(range(1, 10_000))
    return lambda: next(count) >= steps


def test_library_trains_and_applies_without_files(tiny: Config) -> None:
    translator = sincut.train(scene(72, 90, 1), scene(70, 80, 2), config=tiny)
    assert translator.apply(scene(33, 20, 3)).shape == (33, 20, 3)
    assert translator.model.provenance["steps"] == 4


def logged_steps(run: Path) -> list[int]:
    """Of the lines that hold losses; every line must be whole."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["step"] for line in lines if "losses" in line]


def loaded_figures(run: Path) -> dict[str, float]:
    figures: dict[str, float] = sincut.load(run).model.provenance["figures"]
    return figures


def test_a_run_that_goes_wrong_is_warned_of_once(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sincut.report.evaluate.LEAST_TONE", 2.0)  # nothing is good enough
    events: list[Event] = []
    config = overlay(tiny, {"output": {"previews": 4}})
    sincut.train(painting, photo, tmp_path / "run", config=config, on_event=events.append)
    told = [event.message for event in events if isinstance(event, Warned) and "tone" in event.message]
    assert len(told) == 1 and told[0].startswith("step 2:")  # half of the steps; and once only


def test_a_run_folder_is_complete(tiny: Config, painting: Path, photo: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    run = tmp_path / "run"
    trained = sincut.train(painting, photo, run, config=tiny, on_event=events.append)
    assert {path.name for path in run.iterdir()} == {
        "model.safetensors", "checkpoint.safetensors", "metrics.jsonl", "previews", "report.html", ".lock"}  # fmt: skip
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "session" in line] == [0]
    lines = [line for line in lines if "session" not in line]
    assert [(line["step"], "losses" in line) for line in lines] == [(2, True), (2, False), (4, True), (4, False)]
    assert lines[-1]["figures"]["structure"] == loaded_figures(run)["structure"]
    assert [event.step for event in events if isinstance(event, Evaluated)] == [2, 4]
    names = ["000002.jpg", "000004.jpg", "painting.jpeg", "photo.jpeg"]
    assert sorted(path.name for path in (run / "previews").iterdir()) == names
    assert [event.path for event in events if isinstance(event, Saved) and event.kind == "report"] == [
        run / "report.html"
    ]
    assert any(isinstance(event, Saved) and event.kind == "model" for event in events)
    loaded = sincut.load(run)
    image = scene(30, 31, 4)
    assert np.array_equal(loaded.apply(image), trained.apply(image))
    told = loaded.model.provenance
    assert told["painting"]["name"] == "painting.png" and len(told["photo"]["sha256"]) == 64
    assert told["direction"] == "painting -> photo" and told["steps"] == 4
    assert set(told["thumbnails"]) == {"source", "target", "output"}
    assert told["training_scale"] == {"source": [40 / 90, 64 / 90], "target": [40 / 80, 64 / 80]}


def test_an_ensemble_s_folder_tells_of_its_trainings(
    ensemble: Config, painting: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    with Reporter() as reporter:
        trained = sincut.train(painting, photo, run, config=ensemble, on_event=reporter)
    said = [line for line in capsys.readouterr().err.splitlines() if " steps of " in line]
    assert [line.split(" (")[0] for line in said] == [
        "training 1 of 2: 4 steps of 2 crops",
        "training 2 of 2: 4 steps of 2 crops",
        "learning the median of the 2 trainings: 3 steps of 2 crops",
    ]
    assert [line.endswith("it ends before its minutes do") for line in said] == [True, False, False]
    told = sincut.load(run).model.provenance
    assert (told["members"], told["steps"], told["planned_steps"]) == (2, 11, 11)
    assert logged_steps(run) == [2, 4, 6, 8, 10, 11]
    names = [path.name for path in sorted((run / "previews").glob("*.jpg"))]
    assert names[-3:] == ["000004.jpg", "000008.jpg", "000011.jpg"]
    assert "distance to the median of the trainings" in (run / "report.html").read_text()
    image = scene(30, 31, 4)
    assert np.array_equal(sincut.load(run).apply(image), trained.apply(image))


def test_twelve_steps_equal_five_and_seven(tiny: Config, painting: Path, photo: Path, tmp_path: Path) -> None:
    config = overlay(tiny, {"schedule": {"steps": 12}})
    sincut.train(painting, photo, tmp_path / "whole", config=config)
    with pytest.raises(Interrupted):
        sincut.train(painting, photo, tmp_path / "parts", config=config, stop=stop_after(5))
    assert sincut.load(tmp_path / "parts").model.provenance["steps"] == 5
    sincut.train(painting, photo, tmp_path / "parts", resume=True)
    for name in (CHECKPOINT_FILE, "model.safetensors"):
        (whole, _), (parts, _) = (load_tensors(tmp_path / run / name) for run in ("whole", "parts"))
        assert set(whole) == set(parts)
        for key in whole:
            if key != "plan":  # holds the seconds
                assert whole[key].equal(parts[key]), key
    steps = logged_steps(tmp_path / "parts")
    assert steps == sorted(set(steps)) and steps[-1] == 12


def test_metrics_of_steps_done_again_are_dropped(tiny: Config, painting: Path, photo: Path, tmp_path: Path) -> None:
    config = overlay(tiny, {"schedule": {"steps": 6}})
    with pytest.raises(Interrupted):
        sincut.train(painting, photo, tmp_path / "run", config=config, stop=stop_after(3))
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4}\n{"step": 5, "los')  # as after a crash between two checkpoints
    sincut.train(painting, photo, tmp_path / "run", resume=True)
    assert logged_steps(tmp_path / "run") == [2, 4, 6]


def test_changed_inputs_and_settings_are_named(tiny: Config, painting: Path, photo: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        sincut.train(painting, photo, run, config=tiny, stop=stop_after(1))
    with pytest.raises(RunError, match=r"crops\.flip: 0\.25 here, 0\.5 there"):
        sincut.train(painting, photo, run, config=overlay(tiny, {"crops": {"flip": 0.25}}), resume=True)
    with pytest.raises(RunError, match=r"painting is photo\.png.*was painting\.png"):
        sincut.train(photo, photo, run, resume=True)
    with pytest.raises(RunError, match="direction is photo -> painting"):
        sincut.train(painting, photo, run, resume=True, reverse=True)
    sincut.train(painting, photo, run, config=overlay(tiny, {"output": {"previews": 1}}), resume=True)


def test_folders_in_use_taken_or_empty_are_refused(tiny: Config, painting: Path, photo: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    with locked(run), pytest.raises(RunError, match="another sincut"):
        sincut.train(painting, photo, run, config=tiny)
    with pytest.raises(RunError, match="no checkpoint"):
        sincut.train(painting, photo, run, config=tiny, resume=True)
    sincut.train(painting, photo, run, config=tiny)
    with pytest.raises(RunError, match="holds a run already"):
        sincut.train(painting, photo, run, config=tiny)


def test_reverse_learns_the_other_way(tiny: Config, painting: Path, photo: Path, tmp_path: Path) -> None:
    there = sincut.train(painting, photo, config=tiny, reverse=True)
    same = sincut.train(photo, painting, config=tiny)
    image = scene(20, 20, 0)
    assert np.array_equal(there.apply(image), same.apply(image))
    assert there.model.provenance["direction"] == "photo -> painting"


def test_pictures_come_as_anything(tiny: Config, painting: Path, photo: Path) -> None:
    import torch
    from PIL import Image

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


def test_a_finished_run_stays_as_it_is(tiny: Config, painting: Path, photo: Path, tmp_path: Path) -> None:
    sincut.train(painting, photo, tmp_path / "run", config=tiny)
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    events: list[Event] = []
    sincut.train(painting, photo, tmp_path / "run", resume=True, on_event=events.append)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before
    assert any(isinstance(event, Warned) and "done already" in event.message for event in events)


@pytest.mark.parametrize("steps", [2, 4])
def test_a_run_stopped_between_its_two_files_goes_on(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    whole, run = tmp_path / "whole", tmp_path / "run"
    sincut.train(painting, photo, whole, config=tiny)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("sincut.runs.run.Model.save", stopped)  # of the first checkpoint, which may be the last one
        sincut.train(painting, photo, run, config=tiny, stop=stop_after(steps))
    assert not (run / MODEL_FILE).exists()
    sincut.train(painting, photo, run, resume=True)
    (want, _), (got, _) = (load_tensors(folder / MODEL_FILE) for folder in (whole, run))
    assert set(want) == set(got) and all(want[key].equal(got[key]) for key in want)


@pytest.mark.parametrize("damage", ["model", "json", "missing", "truncated"])
def test_damaged_checkpoints_are_named(tiny: Config, painting: Path, photo: Path, tmp_path: Path, damage: str) -> None:
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        sincut.train(painting, photo, run, config=tiny, stop=stop_after(1))
    path = run / CHECKPOINT_FILE
    tensors, metadata = load_tensors(path)
    if damage == "model":
        path.write_bytes((run / "model.safetensors").read_bytes())
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        if damage == "json":
            metadata["inputs"] = "{}"
        else:
            del tensors["average.rgb.weight"]
        save_tensors(path, tensors, {key: metadata[key] for key in ("config", "inputs")})
    with pytest.raises(ModelError, match="checkpoint"):
        sincut.train(painting, photo, run, resume=True)


def test_small_pictures_leave_no_folder_behind(painting: Path, photo: Path, tmp_path: Path) -> None:
    with pytest.raises(SincutError, match=r"painting\.png: 90x72 is smaller than one 128px crop"):
        sincut.train(painting, photo, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_leftovers_of_a_run_without_checkpoint_are_cleared(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    (run / "previews").mkdir(parents=True)
    (run / "previews" / "000001.jpg").touch()
    (run / "metrics.jsonl").write_text('{"step": 1}\n')
    sincut.train(painting, photo, run, config=tiny)
    assert logged_steps(run) == [2, 4]
    assert not (run / "previews" / "000001.jpg").exists()


def test_parts_that_a_killed_training_left_are_removed(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path
) -> None:
    with pytest.raises(Interrupted):
        sincut.train(painting, photo, tmp_path / "run", config=tiny, stop=stop_after(2))
    for folder in (tmp_path / "run", tmp_path / "run" / "previews"):
        (folder / ".model.safetensors.x.sincut-part").write_bytes(b"half of it")
    sincut.train(painting, photo, tmp_path / "run", resume=True)
    assert not list((tmp_path / "run").rglob("*.sincut-part"))


def test_the_same_picture_twice_is_allowed_and_warned(tiny: Config, painting: Path) -> None:
    events: list[Event] = []
    sincut.train(painting, painting, config=tiny, on_event=events.append)
    assert any(isinstance(event, Warned) for event in events)


def test_a_full_disk_stops_with_a_clear_line_and_keeps_the_last_model(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    config = overlay(tiny, {"output": {"checkpoint_seconds": 0.0}})
    calls = 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 6:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("sincut.files.os.fsync", full)
    with pytest.raises(SincutError, match=r"No space left on device.*free some space"):
        sincut.train(painting, photo, run, config=config)
    assert sincut.load(run).model.provenance["steps"] >= 1
    assert not [path for path in run.rglob("*") if path.name.startswith(".") and path.name != ".lock"]


def test_default_folders_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = default_folder(Path("x/a.jpg"), Path("b.png"))
    assert first == Path("runs/a-to-b")
    first.mkdir(parents=True)
    assert default_folder(Path("x/a.jpg"), Path("b.png")) == Path("runs/a-to-b-2")


def test_a_checkpoint_of_the_first_version_goes_on(tiny: Config, painting: Path, photo: Path, tmp_path: Path) -> None:
    off = {"colour": {"smooth": 0.0, "grain": False, "balance": False}, "networks": {"smooth": 0.0, "detail": 0.0}}
    config = overlay(tiny, {**off, "losses": {"large": 0.0}})
    with pytest.raises(Interrupted):
        sincut.train(painting, photo, tmp_path / "run", config=config, stop=stop_after(2))
    path = tmp_path / "run" / CHECKPOINT_FILE
    state, metadata = load_tensors(path)
    values = config.to_dict()
    del values["colour"]["smooth"], values["colour"]["grain"], values["colour"]["balance"], values["networks"]["smooth"]
    del values["losses"]["large"], values["networks"]["detail"]
    old = {key: value for key, value in state.items() if not key.endswith(".texture")}
    assert len(old) == len(state) - 2
    save_tensors(path, old, {**metadata, "version": "1", "config": json.dumps(values)})
    model = sincut.train(painting, photo, tmp_path / "run", resume=True).model
    assert model.provenance["steps"] == tiny.schedule.steps and model.generator.texture == 0


def test_a_run_that_smooths_under_its_output_goes_on_so(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path
) -> None:
    config = overlay(tiny, {"networks": {"smooth": 3.0}})
    with pytest.raises(Interrupted):
        sincut.train(painting, photo, tmp_path / "run", config=config, stop=stop_after(2))
    path = tmp_path / "run" / CHECKPOINT_FILE
    state, metadata = load_tensors(path)
    for name in ("generator.texture", "average.texture"):  # as of a version that smoothed under every painting
        state[name] = torch.tensor(0.05)
    save_tensors(path, state, metadata)
    translator = sincut.train(painting, photo, tmp_path / "run", resume=True)
    assert translator.model.generator.smooth and sincut.load(tmp_path / "run").model.generator.smooth
    image = torch.rand(1, 3, 40, 50) * 2 - 1
    assert torch.equal(translator.translate(image), sincut.load(tmp_path / "run").translate(image))
