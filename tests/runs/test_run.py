"""Trainings through `sincut.train`: with and without files, stopped and resumed, of earlier versions."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import logged_steps, scene, stop_after

import sincut
from sincut.config.sections import Config, overlay
from sincut.errors import ConfigError, Interrupted, RunError
from sincut.events import Directed, Event, Warned
from sincut.model.file import CHECKPOINT_FILE, MODEL_BEFORE, MODEL_FILE, load_tensors, save_tensors
from sincut.model.model import describe, with_generator


def test_library_trains_and_applies_without_files(tiny: Config) -> None:
    translator = sincut.train(scene(72, 90, 1), scene(70, 80, 2), config=tiny)
    assert translator.apply(scene(33, 20, 3)).shape == (33, 20, 3)
    assert translator.model.provenance.steps == 4


def test_resuming_without_a_folder_is_refused(tiny: Config) -> None:
    with pytest.raises(RunError, match="no run folder to go on in"):
        sincut.train(scene(72, 90, 1), scene(70, 80, 2), config=tiny, resume=True)


def test_twelve_steps_equal_five_and_seven(tiny: Config, painting: Path, photo: Path, tmp_path: Path) -> None:
    config = overlay(tiny, {"schedule": {"steps": 12}})
    sincut.train(painting, photo, tmp_path / "whole", config=config)
    with pytest.raises(Interrupted):
        sincut.train(painting, photo, tmp_path / "parts", config=config, stop=stop_after(5))
    assert sincut.load(tmp_path / "parts").model.provenance.steps == 5
    sincut.train(painting, photo, tmp_path / "parts", resume=True)
    for name in (CHECKPOINT_FILE, "model.safetensors"):
        (whole, _), (parts, _) = (load_tensors(tmp_path / run / name) for run in ("whole", "parts"))
        assert set(whole) == set(parts)
        for key in whole:
            if key != "plan":  # holds the seconds
                assert whole[key].equal(parts[key]), key
    steps = logged_steps(tmp_path / "parts")
    assert steps == sorted(set(steps)) and steps[-1] == 12


def test_stopped_before_its_first_step_nothing_is_learned(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path
) -> None:
    """With a folder, which is free for the same training then, and without one."""
    run = tmp_path / "run"
    for output in (run, None):
        with pytest.raises(Interrupted, match=r"before the first step.* no model"):
            sincut.train(painting, photo, output, config=tiny, stop=lambda: True)
    left = {path.name for path in run.iterdir()}
    assert not left & {MODEL_FILE, CHECKPOINT_FILE, "report.html", "metrics.jsonl"}
    assert sincut.train(painting, photo, run, config=tiny).model.provenance.steps == 4


def test_a_longer_training_that_is_stopped_at_once_goes_on_later(
    ensemble: Config, painting: Path, photo: Path, tmp_path: Path
) -> None:
    """No step is done, and the minutes that were asked for are kept."""
    settings = {"schedule": {"steps": 3, "enough_steps": 7}, "output": {"previews": 0}}
    config, run = overlay(ensemble, settings), tmp_path / "run"
    sincut.train(painting, photo, run, config=config)
    with pytest.raises(Interrupted, match="stopped after step 3"):
        sincut.train(painting, photo, run, more=60.0, stop=lambda: True)
    model = sincut.load(run).model
    assert (model.provenance.steps, model.provenance.is_finished) == (3, False)
    assert sincut.train(painting, photo, run, resume=True).model.provenance.steps > 3


def test_reverse_learns_the_other_way(tiny: Config, painting: Path, photo: Path, tmp_path: Path) -> None:
    there = sincut.train(painting, photo, config=tiny, reverse=True)
    assert np.array_equal(
        there.apply(scene(20, 20, 0)),
        sincut.train(painting, photo, config=tiny, to="painting").apply(scene(20, 20, 0)),
    )
    same = sincut.train(photo, painting, config=tiny)
    image = scene(20, 20, 0)
    assert np.array_equal(there.apply(image), same.apply(image))
    assert there.model.provenance.direction == "photo -> painting"


def test_a_direction_is_the_first_event_and_remembered(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path
) -> None:
    events: list[Event] = []
    with pytest.raises(Interrupted):
        sincut.train(painting, photo, tmp_path / "run", config=tiny, to="painting", stop=stop_after(1))
    sincut.train(painting, photo, tmp_path / "run", resume=True, on_event=events.append)
    assert events[0] == Directed("photo.png", "painting.png", "painting", resumed=True)
    with pytest.raises(RunError, match="direction is painting -> photo"):
        sincut.train(painting, photo, tmp_path / "run", resume=True, reverse=False)
    with pytest.raises(ConfigError, match="disagree"):
        sincut.train(painting, photo, config=tiny, to="painting", reverse=False)


def test_a_finished_run_stays_as_it_is(tiny: Config, painting: Path, photo: Path, tmp_path: Path) -> None:
    sincut.train(painting, photo, tmp_path / "run", config=tiny)
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    events: list[Event] = []
    sincut.train(painting, photo, tmp_path / "run", resume=True, on_event=events.append)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before
    assert any(isinstance(event, Warned) and "done already" in event.message for event in events)


def test_a_checkpoint_of_the_first_version_goes_on(tiny: Config, painting: Path, photo: Path, tmp_path: Path) -> None:
    off = {"colour": {"smooth": 0.0, "grain": False, "balance": False}, "networks": {"smooth": 0.0, "detail": 0.0}}
    config = overlay(tiny, off)
    with pytest.raises(Interrupted):
        sincut.train(painting, photo, tmp_path / "run", config=config, stop=stop_after(2))
    path = tmp_path / "run" / CHECKPOINT_FILE
    state, metadata = load_tensors(path)
    values = config.to_dict()
    del values["colour"]["smooth"], values["colour"]["grain"], values["colour"]["balance"], values["networks"]["smooth"]
    del values["networks"]["detail"]
    old = {key: value for key, value in state.items() if not key.endswith(".texture")}
    assert len(old) == len(state) - 2
    save_tensors(path, old, {**metadata, "version": "1", "config": json.dumps(values)})
    model = sincut.train(painting, photo, tmp_path / "run", resume=True).model
    assert model.provenance.steps == tiny.schedule.steps and with_generator(model).generator.texture == 0


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
    loaded = sincut.load(tmp_path / "run").model
    assert all(with_generator(model).generator.smooths_base for model in (translator.model, loaded))
    image = torch.rand(1, 3, 40, 50) * 2 - 1
    assert torch.equal(translator.translate(image), sincut.load(tmp_path / "run").translate(image))


def test_a_run_goes_on_for_more_minutes_and_keeps_the_model_before(
    ensemble: Config, painting: Path, photo: Path, tmp_path: Path
) -> None:
    run, config = tmp_path / "run", overlay(ensemble, {"output": {"previews": 0}})
    sincut.train(painting, photo, run, config=config, to="painting")
    first, lines = (run / MODEL_FILE).read_bytes(), logged_steps(run)
    with pytest.raises(Interrupted):
        sincut.train(painting, photo, run, more=60.0, stop=stop_after(3))
    assert (run / MODEL_BEFORE).read_bytes() == first and not describe(run)[1].is_finished
    sincut.train(painting, photo, run, resume=True)
    told = describe(run)[1]
    assert (told.steps, told.members, told.more, told.is_finished) == (11 + 4 + 4 + 3, 4, 60.0, True)
    assert (run / MODEL_BEFORE).read_bytes() == first != (run / MODEL_FILE).read_bytes()
    assert logged_steps(run)[: len(lines)] == lines and logged_steps(run)[-1] == told.steps
    sessions = [json.loads(line).get("session") for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [session["more"] for session in sessions if session] == [0.0, 60.0, 0.0]
    assert "Made longer" in (run / "report.html").read_text() and "--more 5" in (run / "report.html").read_text()


@pytest.mark.parametrize("more", [-1.0, math.nan, math.inf])
def test_more_minutes_are_a_number_above_0(
    more: float, tiny: Config, painting: Path, photo: Path, tmp_path: Path
) -> None:
    sincut.train(painting, photo, tmp_path / "run", config=tiny)
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "run").rglob("*"))
    with pytest.raises(ConfigError, match="above 0"):
        sincut.train(painting, photo, tmp_path / "run", more=more)
    assert sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "run").rglob("*")) == before


def test_more_minutes_need_a_run(painting: Path, photo: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no checkpoint"):
        sincut.train(painting, photo, tmp_path / "run", more=1.0)
    with pytest.raises(RunError, match="no run folder"):
        sincut.train(painting, photo, more=1.0)
