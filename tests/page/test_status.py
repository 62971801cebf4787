"""Where a run stands, also in damaged folders and with numbers of strangers."""

import json
import math
from pathlib import Path

import pytest
from helpers import make_model, save_telling

from sincut.config.sections import Config
from sincut.errors import ModelError, RunError
from sincut.page import status as status_
from sincut.page.jobs import Trainings
from sincut.page.status import FAILED


def test_status_of_damaged_folders(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "odd"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"no model")
    (folder / "metrics.jsonl").write_text('{"step": 3, "steps": 9, "losses": {"D": 1.0}}\n[]\n{"step": "x"}\n{"st')
    (folder / "training.log").write_text(
        '{"event": "Warned", "message": "odd"}\n{"event"\nsincut: it failed; mend it\n'
    )
    trainings = Trainings(tmp_path / "runs")
    status = trainings.status("odd")
    assert status.phase == FAILED and status.said == ("odd", "it failed; mend it")
    assert trainings.history("odd").losses == {3: {"D": 1.0}}
    with pytest.raises(ModelError):
        trainings.about("odd")
    with pytest.raises(RunError, match="no checkpoint"):
        trainings.resume("odd")


def test_numbers_of_strangers_disturb_nobody(tmp_path: Path, tiny: Config) -> None:
    runs = tmp_path / "runs"
    for name, steps in (("inf", math.inf), ("nan", math.nan), ("text", "many"), ("none", None), ("huge", 10**400)):
        (runs / name).mkdir(parents=True)
        model = make_model(tiny)
        save_telling(model, runs / name / "model.safetensors", steps=steps, planned_steps=steps, seconds=steps)
        lines = [{"step": 3, "losses": {}, "steps": steps, "seconds_left": steps}, {"step": steps, "losses": {}}]
        (runs / name / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        planned = {"event": "Planned", "steps": steps}
        (runs / name / "training.log").write_text(json.dumps(planned) + '\n{"event": "Planned"}\n')
    statuses = Trainings(runs, "cpu").statuses()
    assert len(statuses) == 5 and {status.phase for status in statuses.values()} == {FAILED}
    assert {(status.step, status.steps) for status in statuses.values()} == {(0, 0)}
    assert status_._progress(runs / "nan") == (3, 0, 0.0)


def test_what_a_training_is_doing_is_told_by_its_events(tmp_path: Path) -> None:
    log, told = tmp_path / "training.log", list[tuple[str, int, int, float | None]]()
    planned = {"event": "Planned", "step": 0, "steps": 40}
    for event in (
        {"event": "Reading", "painting": "a", "photo": "b", "memory": 1},
        {"event": "Started", "step": 0},
        planned,
        {"event": "Preview", "step": 6, "steps": 40},
        {"event": "Progress", "step": 10, "steps": 40, "seconds": 5.0, "seconds_left": 15.0},
        {**planned, "doing": "training 2 of 3"},
        {"event": "Advanced", "step": 12, "steps": 40, "seconds": 6.0, "seconds_left": 14.0, "doing": "all in one"},
        {"event": "Trained", "steps": 40, "seconds": 20.0},
    ):
        with log.open("a") as file:
            file.write(json.dumps(event) + "\n")
        status = status_.last_words(tmp_path, status_.RUNNING)
        told.append((status.doing, status.step, status.steps, status.share))
    assert told == [
        ("reading the pictures", 0, 0, None),
        ("measuring how fast this machine is", 0, 0, None),
        ("training", 0, 40, None),
        ("training", 6, 40, 0.15),
        ("training", 10, 40, 0.25),
        ("training 2 of 3", 10, 40, 0.25),
        ("all in one", 12, 40, 0.3),
        ("making the last picture", 12, 40, 0.3),
    ]
