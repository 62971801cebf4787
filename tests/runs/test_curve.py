"""The curve of time against quality: one training per time and seed, gone on with where it was stopped."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import in_process, scene, until_stopped

from sincut.config.sections import Config
from sincut.errors import Interrupted
from sincut.files import is_locked
from sincut.model.model import Model
from sincut.pictures.picture import Picture
from sincut.pictures.reading import load
from sincut.pictures.writing import save
from sincut.runs import curve


@pytest.mark.slow
def test_curve_trains_for_each_time_and_goes_on_where_it_was_stopped(tmp_path: Path, tiny_flags: list[str]) -> None:
    painting, photo, folder = tmp_path / "painting.png", tmp_path / "photo.png", tmp_path / "curve"
    for seed, path in enumerate((painting, photo)):
        save(Picture(scene(96, 110, seed)), path)
    command = ["curve", str(painting), str(photo), "-o", str(folder), "--minutes", "0.05", "--device", "cpu"]
    command += [*tiny_flags, "--set", "crops.count=3", "--set", "schedule.least_steps=0"]
    result = in_process(*command, "--seeds", "0")
    assert result.returncode == 0, result.stderr
    assert "sharpness" in result.stdout
    first = folder / "0.05-minutes-seed-0"
    assert load(first / "translated.png").size == (96, 110)
    assert Model.load(first).config.schedule.least_steps == 0

    model = (first / "model.safetensors").stat().st_mtime_ns
    result = in_process(*command, "--seeds", "0,1", "--truth", str(photo), "--json")
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    assert [(row["minutes"], row["seed"]) for row in rows] == [(0.05, 0), (0.05, 1)]
    assert all(row["members"] > 0 and row["steps"] > 0 for row in rows)
    assert all(row["crops"] == 3 and "colour" in row and "psnr_output" in row for row in rows)
    assert json.loads((folder / "curve.json").read_text()) == rows
    assert (first / "model.safetensors").stat().st_mtime_ns == model  # finished: not done again
    assert (folder / "0.05-minutes-seed-1" / "translated.png").exists()


def test_a_curve_that_is_stopped_stops_its_training(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also before the first, and between two."""
    monkeypatch.setattr(curve, "command", lambda *_: until_stopped(tmp_path))
    with pytest.raises(Interrupted, match="the same command goes on"):
        curve.curve(painting, photo, tmp_path / "curve", tiny, stop=lambda: (tmp_path / "begun").exists())
    assert (tmp_path / "saved").exists()

    monkeypatch.setattr(curve, "command", lambda *_: pytest.fail("is begun all the same"))
    with pytest.raises(Interrupted):
        curve.curve(painting, photo, tmp_path / "curve", tiny, stop=lambda: True)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="its signals are others")
def test_a_curve_that_is_terminated_has_saved_its_training(
    painting: Path, photo: Path, tmp_path: Path, tiny_flags: list[str]
) -> None:
    """The signal reaches the curve alone, as that of a service manager does; its training is not left to itself."""
    words = [sys.executable, "-m", "sincut", "curve", painting, photo, "-o", tmp_path / "curve", "--minutes", "5"]
    words += ["--device", "cpu", *tiny_flags]
    run = tmp_path / "curve" / "5-minutes-seed-0"
    with subprocess.Popen(list(map(str, words)), stdout=subprocess.DEVNULL, start_new_session=True) as process:
        while process.poll() is None and not (run / "metrics.jsonl").exists():
            time.sleep(0.1)
        process.terminate()
    assert process.returncode == 130
    assert not is_locked(run) and Model.load(run).provenance.steps >= 2
    assert (run / "checkpoint.safetensors").exists()


def test_curve_refuses_wrong_usage(tmp_path: Path) -> None:
    name = str(tmp_path / "a.png")
    assert in_process("curve", name, name, "-o", name, "--minutes", "soon").returncode == 2
    assert in_process("curve", name, name, "-o", name, "--reverse", "--truth", name).returncode == 2
    assert in_process("curve", name, name, "-o", name, "--to", "painting", "--truth", name).returncode == 2
    save(Picture(scene(96, 110, 0)), Path(name))
    save(Picture(scene(48, 55, 0)), tmp_path / "small.png")
    result = in_process("curve", name, name, "-o", str(tmp_path / "curve"), "--truth", str(tmp_path / "small.png"))
    assert result.returncode == 1 and "the truth has 55x48 pixels" in result.stderr
    assert not (tmp_path / "curve").exists()
