"""What a training leaves in its run folder, whatever ends it."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import logged_steps, scene, stop_after

import sincut
from sincut.cli.progress import Reporter
from sincut.config.sections import Config, overlay
from sincut.errors import SincutError
from sincut.events import Evaluated, Event, Saved, Warned
from sincut.model.model import MODEL_FILE, load_tensors


def loaded_figures(run: Path) -> dict[str, float]:
    figures: dict[str, float] = sincut.load(run).model.provenance["figures"]
    return figures


def test_a_run_that_goes_wrong_is_warned_of_once(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sincut.report.measures.LEAST_TONE", 2.0)  # nothing is good enough
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


@pytest.mark.parametrize("steps", [2, 4])
def test_a_run_stopped_between_its_two_files_goes_on(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    whole, run = tmp_path / "whole", tmp_path / "run"
    sincut.train(painting, photo, whole, config=tiny)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("sincut.model.model.Model.save", stopped)  # of the first checkpoint, which may be the last one
        sincut.train(painting, photo, run, config=tiny, stop=stop_after(steps))
    assert not (run / MODEL_FILE).exists()
    sincut.train(painting, photo, run, resume=True)
    (want, _), (got, _) = (load_tensors(folder / MODEL_FILE) for folder in (whole, run))
    assert set(want) == set(got) and all(want[key].equal(got[key]) for key in want)


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
