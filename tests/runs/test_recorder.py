"""What a training leaves in its run folder, whatever ends it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import RESNET, logged_steps, scene, stop_after

import sincut
from sincut import files
from sincut.cli.progress import Reporter
from sincut.config.sections import Config, overlay
from sincut.errors import Interrupted, ModelError, SincutError
from sincut.events import Checkpoint, Evaluated, Event, Preview, Saved, Warned
from sincut.model.file import CHECKPOINT_FILE, MODEL_FILE, load_tensors
from sincut.model.provenance import PictureIdentity, Provenance
from sincut.pictures import resampling
from sincut.pictures.reading import load
from sincut.pictures.writing import save
from sincut.report import history


def told(run: Path) -> Provenance:
    """The provenance in the model file of a run."""
    return sincut.load(run).model.provenance


def test_a_run_that_goes_wrong_is_warned_of_once(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sincut.report.measures.LEAST_TONE", 2.0)  # nothing is good enough
    events: list[Event] = []
    config = overlay(tiny, {"output": {"previews": 4}})
    sincut.train(painting, photo, tmp_path / "run", config=config, on_event=events.append)
    told = [event.message for event in events if isinstance(event, Warned) and "tone" in event.message]
    assert len(told) == 1 and told[0].startswith("step 2:")  # half of the steps; and once only


def test_a_preview_that_must_be_whole_and_has_no_memory_is_left_out(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sincut.translation.memory.available_memory", lambda device: 10**5)
    events: list[Event] = []
    sincut.train(painting, photo, tmp_path / "run", config=overlay(tiny, RESNET), on_event=events.append)
    warned = [event.message for event in events if isinstance(event, Warned)]
    assert [text for text in warned if "no memory for previews" in text and "whole only" in text] == warned[:1]
    assert (tmp_path / "run" / MODEL_FILE).exists() and not list((tmp_path / "run" / history.PREVIEWS).glob("0*"))


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
    assert lines[-1]["figures"]["structure"] == told(run).figures["structure"]
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
    origin = loaded.model.provenance
    assert origin.painting == PictureIdentity("painting.png", 90, 72, files.sha256(painting))
    assert origin.photo == PictureIdentity("photo.png", 80, 70, files.sha256(photo))
    assert origin.direction == "painting -> photo" and origin.steps == 4
    assert set(origin.thumbnails) == {"source", "target", "output"}
    assert origin.training_scale == {"source": (40 / 90, 64 / 90), "target": (40 / 80, 64 / 80)}


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
    origin = told(run)
    assert (origin.members, origin.steps, origin.planned_steps) == (2, 11, 11)
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
    assert sincut.load(run).model.provenance.steps >= 1
    assert not [path for path in run.rglob("*") if path.name.startswith(".") and path.name != ".lock"]


def test_a_resumed_run_keeps_figures_and_thumbnail(tiny: Config, painting: Path, photo: Path, tmp_path: Path) -> None:
    """The model that is saved before the next preview tells of the last one."""
    run, config = tmp_path / "run", overlay(tiny, {"schedule": {"steps": 12}})
    with pytest.raises(Interrupted):
        sincut.train(painting, photo, run, config=config, stop=stop_after(6))
    before = told(run)
    with pytest.raises(Interrupted):
        sincut.train(painting, photo, run, resume=True, stop=stop_after(1))
    after = told(run)
    assert (before.steps, after.steps) == (6, 7)
    assert "structure" in before.figures and after.figures == before.figures
    assert set(after.thumbnails) == {"source", "target", "output"}


def test_models_of_events_stay_as_the_training_has_sent_them(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path
) -> None:
    """A listener may keep one; the recorder's figures stand in the file and in the model that is returned."""
    sent: list[Provenance] = []

    def hear(event: Event) -> None:
        if isinstance(event, Preview | Checkpoint):
            sent.append(event.model.provenance)

    trained = sincut.train(painting, photo, tmp_path / "run", config=tiny, on_event=hear)
    assert len(sent) == 3 and not any(origin.figures or "output" in origin.thumbnails for origin in sent)
    written = told(tmp_path / "run")
    assert written.figures and replace(trained.model.provenance, seconds=written.seconds) == written


def test_a_model_that_is_rewritten_at_the_end_tells_all(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path
) -> None:
    """As after a power cut between the last checkpoint and the model that belongs to it."""
    run = tmp_path / "run"
    with pytest.raises(Interrupted):
        sincut.train(painting, photo, run, config=tiny, stop=stop_after(3))
    early = (run / MODEL_FILE).read_bytes()
    sincut.train(painting, photo, run, resume=True)
    whole = told(run)
    for left in (early, early[:5000], None):
        (run / MODEL_FILE).unlink()
        if left is not None:
            (run / MODEL_FILE).write_bytes(left)
        returned = sincut.train(painting, photo, run, resume=True).model.provenance
        again = told(run)
        assert again.losses == whole.losses and {"D", "G", "NCE"} <= set(again.losses)
        assert again.figures == whole.figures == returned.figures
        assert set(again.thumbnails) == {"source", "target", "output"}
        assert '"kind":"finished"' in (run / "report.html").read_text()


def test_the_last_preview_shows_what_the_model_makes(
    tiny: Config, ensemble: Config, painting: Path, photo: Path, tmp_path: Path
) -> None:
    for config, last in ((tiny, "000004.jpg"), (ensemble, "000011.jpg")):
        run = tmp_path / last
        trained = sincut.train(painting, photo, run, config=config)
        save(trained.apply_picture(load(painting)), tmp_path / "want.jpg")
        assert max(run.glob("previews/*.jpg")).name == last
        assert (run / "previews" / last).read_bytes() == (tmp_path / "want.jpg").read_bytes()


@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
def test_previews_have_the_precision_of_the_training(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    """Where "auto" means bfloat16 and where it means float32."""
    for native in (False, True):
        monkeypatch.setattr("sincut.devices.cpu_has_bfloat16", lambda native=native: native)
        run = tmp_path / f"{native}"
        trained = sincut.train(painting, photo, run, config=tiny, precision=precision)
        save(trained.apply_picture(load(painting)), tmp_path / "want.jpg")
        assert (run / "previews/000004.jpg").read_bytes() == (tmp_path / "want.jpg").read_bytes()


def full_disk(monkeypatch: pytest.MonkeyPatch, run: Path, *names: str) -> None:
    """No room for these files of a run any more, but for others."""
    whole = files.write_whole

    def write(path: Path, data: bytes, kind: type[SincutError]) -> None:
        if path.parent == run and path.name in names:
            raise kind(f"{path}: cannot be written (No space left on device); free some space")
        whole(path, data, kind)

    monkeypatch.setattr("sincut.model.file.write_whole", write)


def test_a_model_is_written_where_its_checkpoint_finds_no_room(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, events = tmp_path / "run", list[Event]()
    full_disk(monkeypatch, run, CHECKPOINT_FILE)
    with pytest.raises(ModelError, match=r"checkpoint.*No space left on device.*model of step 4 is saved"):
        sincut.train(painting, photo, run, config=tiny, on_event=events.append)
    assert told(run).steps == 4 and told(run).figures
    saved = [event.kind for event in events if isinstance(event, Saved) and event.kind != "preview"]
    assert saved == ["model", "report"]  # which is true: there is a model to apply
    assert '"kind":"finished"' in (run / "report.html").read_text()


def test_no_report_is_told_of_a_run_that_could_save_nothing(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, events = tmp_path / "run", list[Event]()
    full_disk(monkeypatch, run, CHECKPOINT_FILE, MODEL_FILE)
    with pytest.raises(ModelError, match=r"model.*No space left on device"):
        sincut.train(painting, photo, run, config=tiny, on_event=events.append)
    assert {event.kind for event in events if isinstance(event, Saved)} == {"preview"}
    assert any(isinstance(event, Preview) for event in events)


def test_a_run_that_lost_its_last_checkpoint_goes_on_from_the_one_before(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, whole = tmp_path / "run", tmp_path / "whole"
    sincut.train(painting, photo, whole, config=tiny)
    with pytest.raises(Interrupted):
        sincut.train(painting, photo, run, config=tiny, stop=stop_after(1))
    with monkeypatch.context() as patch, pytest.raises(ModelError, match="model of step 4"):
        full_disk(patch, run, CHECKPOINT_FILE)
        sincut.train(painting, photo, run, resume=True)
    assert told(run).steps == 4
    sincut.train(painting, photo, run, resume=True)
    (want, _), (got, _) = (load_tensors(folder / MODEL_FILE) for folder in (whole, run))
    assert set(want) == set(got) and all(want[key].equal(got[key]) for key in want)
    assert told(run).figures == told(whole).figures


@pytest.fixture
def carrying(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> Config:
    """`tiny` with an exemplar, previews after each of four steps, and no time to draw those in between."""
    monkeypatch.setattr("sincut.method.loop.DRAWN_SHARE", 0.0)
    return overlay(tiny, {"synthesis": {"exemplar": True}, "output": {"previews": 4}})


def preview_shown(run: Path) -> str:
    """The name of the preview that is the most like the thumbnail in a run's model."""
    image = resampling.from_thumbnail(told(run).thumbnails["output"])
    assert image is not None
    seen = np.asarray(image).astype(float)
    shown = {path.name: load(path).pixels.astype(float) for path in (run / "previews").glob("*.jpg")}
    return min(shown, key=lambda name: float(np.abs(shown[name] - seen).mean()))


def test_previews_are_drawn_and_figures_are_those_of_g_alone(
    carrying: Config, tiny: Config, painting: Path, photo: Path, tmp_path: Path
) -> None:
    run, plain = tmp_path / "run", tmp_path / "plain"
    trained = sincut.train(painting, photo, run, config=carrying)
    sincut.train(painting, photo, plain, config=overlay(tiny, {"output": {"previews": 4}}))
    names = sorted(path.name for path in (run / "previews").glob("*.jpg"))
    assert names == ["000001.jpg", "000002.jpg", "000003.jpg", "000004-fast.jpg", "000004.jpg"]
    save(trained.apply_picture(load(painting)), tmp_path / "want.jpg")
    assert (run / "previews/000004.jpg").read_bytes() == (tmp_path / "want.jpg").read_bytes()
    for mine, theirs in (("000004-fast", "000004"), ("000002", "000002")):
        assert (run / f"previews/{mine}.jpg").read_bytes() == (plain / f"previews/{theirs}.jpg").read_bytes()
    assert told(run).figures == told(plain).figures and told(run).losses == told(plain).losses
    assert preview_shown(run) == "000004.jpg"
    assert history.History.read(run).figures == history.History.read(plain).figures


def test_a_model_shows_the_last_preview_that_is_drawn(
    carrying: Config, painting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, config = tmp_path / "run", overlay(carrying, {"schedule": {"steps": 8}, "output": {"previews": 8}})
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr("sincut.method.loop.DRAWN_SHARE", 1e9)
        sincut.train(painting, photo, run, config=config, stop=stop_after(3))
    assert preview_shown(run) == "000003.jpg"
    with pytest.raises(Interrupted):
        sincut.train(painting, photo, run, resume=True, stop=stop_after(2))
    drawn = [path.name for path in history.previews(run).values() if history.is_drawn(path)]
    assert drawn == ["000002.jpg", "000003.jpg"] and preview_shown(run) == "000003.jpg"
    for name in drawn:
        history.fast_preview(run / "previews" / name).unlink()
    with pytest.raises(Interrupted):
        sincut.train(painting, photo, run, resume=True, stop=lambda: True)
    assert sincut.load(run).model.exemplars and preview_shown(run) in ("000005.jpg", "000006.jpg")


def test_a_run_that_goes_on_may_drop_its_exemplar_and_take_it_up(
    carrying: Config, painting: Path, photo: Path, tmp_path: Path
) -> None:
    run, config = tmp_path / "run", overlay(carrying, {"output": {"previews": 0}})
    for steps, carries in ((1, True), (1, False), (1, True)):
        own = overlay(config, {"synthesis": {"exemplar": carries}})
        with pytest.raises(Interrupted):
            sincut.train(painting, photo, run, config=own, resume=run.exists(), stop=stop_after(steps))
        model = sincut.load(run).model
        assert bool(model.exemplars) == carries == model.config.synthesis.exemplar
