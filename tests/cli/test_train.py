"""`sincut train` as a user meets it: interrupted, resumed, in a log file, and what it refuses."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import pytest
from forked import killed_after
from helpers import ROOT, assert_clear_error, in_process, scene, sincut
from PIL import Image

from sincut.config.sections import Config, overlay
from sincut.model.file import load_tensors
from sincut.model.model import Model
from sincut.runs import pairs
from sincut.runs.run import train as learn
from sincut.runs.table import TRAINED, Outcome, Pair


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.skipif(os.name == "nt", reason="Windows has no POSIX signals")
def test_interrupted_saves_and_resumes(
    painting: Path, photo: Path, tmp_path: Path, tiny_flags: list[str], number: signal.Signals
) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "sincut", "train", str(painting), str(photo), "-o", str(run), *tiny_flags]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([*command, "--set", "schedule.steps=100000", "--set", "output.log_every=1"],
                               stderr=subprocess.PIPE, text=True, env=env)  # fmt: skip
    waited = time.monotonic()
    while not (run / "metrics.jsonl").exists() and time.monotonic() - waited < 60:
        time.sleep(0.1)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "--resume" in errors.splitlines()[-1] and "Traceback" not in errors
    assert in_process("apply", run, painting, "-o", tmp_path / "out.png").returncode == 0
    done = json.loads(in_process("inspect", run, "--json").stdout)["steps"]
    assert done >= 1
    refused = in_process("train", painting, photo, "-o", run, "--resume", "--steps", done + 2, *tiny_flags)
    assert_clear_error(refused, 1, "schedule.steps", "cannot be resumed")


def test_stopped_before_its_first_step_there_is_no_model(
    painting: Path, photo: Path, tmp_path: Path, tiny_flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the same command begins again."""
    run = tmp_path / "run"
    command = ["train", painting, photo, "-o", run, "--device", "cpu", *tiny_flags, "--set", "schedule.steps=1"]
    with monkeypatch.context() as patch:
        patch.setattr("sincut.cli.train.stoppable", lambda: nullcontext(lambda: True))
        stopped = in_process(*command)
    assert_clear_error(stopped, 130, "before the first step", "there is no model", "begin again: ")
    assert "--resume" not in stopped.stderr and not {path.name for path in run.glob("*.*")} & {
        "model.safetensors",
        "checkpoint.safetensors",
        "report.html",
    }
    assert in_process(*command).returncode == 0 and Model.load(run).provenance.steps == 1


@pytest.mark.slow
def test_a_training_killed_at_twenty_moments_ends_as_one_left_alone(
    painting: Path, photo: Path, tmp_path: Path, tiny_flags: list[str]
) -> None:
    """Up to two steps after it has begun or gone on, at any moment of a step and of what is saved after it."""
    flags = [*tiny_flags, "--set", "schedule.steps=120", "--device", "cpu"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert in_process("train", painting, photo, "-o", whole, *flags).returncode == 0
    command: list[object] = ["train", painting, photo, "-o", parts, "--json", *flags]
    command += ["--set", "output.checkpoint_seconds=0"]
    rng, killed, reached = random.Random(0), 0, [0]
    for _ in range(20):
        resume = ["--resume"] if (parts / "checkpoint.safetensors").exists() else []
        further = rng.randrange(3)
        said = (b"Checkpoint", further) if further else (b"Started", 1)
        killed += killed_after([*command, *resume], *said, rng.uniform(0, 0.03), tmp_path)
        if (parts / "model.safetensors").exists():  # at any moment whole, and never older than before
            reached.append(Model.load(parts).provenance.steps)
    assert killed == 20 and reached == sorted(reached) and 1 <= reached[-1] < 120
    assert sincut("apply", parts, painting, "-o", tmp_path / "out.png").returncode == 0
    resumed = sincut("train", painting, photo, "-o", parts, "--resume", "--json", *flags)
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["steps"] == 120
    for name in ("checkpoint.safetensors", "model.safetensors"):
        (want, _), (got, _) = (load_tensors(run / name) for run in (whole, parts))
        assert set(want) == set(got)
        assert all(want[key].equal(got[key]) for key in want if key != "plan")  # the plan holds the seconds
    steps = [json.loads(line)["step"] for line in (parts / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)  # none twice that was done again
    assert not list(parts.rglob("*.sincut-part"))


def test_a_log_file_gets_plain_lines(painting: Path, photo: Path, tmp_path: Path, tiny_flags: list[str]) -> None:
    result = in_process("train", painting, photo, "-o", tmp_path / "a run", *tiny_flags, "--device", "cpu")
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[1].startswith("Reading painting.png and photo.png") and lines[1].endswith("GB of memory")
    assert "Training on cpu" in lines[2] and "processor" in lines[2]
    assert any(line.startswith("step 4/4") and "left" in line for line in lines)
    assert "model.safetensors" in lines[-2]
    assert lines[-1].endswith(f"apply '{tmp_path / 'a run'}' {painting} -o out.png")


def test_the_first_line_says_what_will_look_like_what(
    painting: Path, photo: Path, tmp_path: Path, tiny_flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    there = in_process("train", painting, photo, *tiny_flags).stderr.splitlines()
    words = "painting.png will look like photo.png (painting -> photo); for the other way round: --to painting"
    assert there[0] == words and there[-1].endswith(f"apply {Path('runs/painting-to-photo')} {painting} -o out.png")
    back = in_process("train", painting, photo, "--to", "painting", *tiny_flags).stderr.splitlines()
    words = "photo.png will look like painting.png (photo -> painting); for the other way round: --to photo"
    assert back[0] == words and back[-1].endswith(f"apply {Path('runs/photo-to-painting')} {photo} -o out.png")
    as_json = in_process("train", painting, photo, "-o", "x", "--reverse", "--json", *tiny_flags)
    first = json.loads(as_json.stderr.splitlines()[0])
    assert first == {"event": "Directed", "source": "photo.png", "target": "painting.png", "to": "painting",
                     "resumed": False}  # fmt: skip
    assert json.loads(as_json.stdout)["direction"] == "photo -> painting"


def test_a_resumed_training_remembers_its_direction(
    painting: Path, photo: Path, tmp_path: Path, tiny_flags: list[str]
) -> None:
    run = tmp_path / "run"
    in_process("train", painting, photo, "-o", run, "--to", "painting", *tiny_flags)
    resumed = in_process("train", painting, photo, "-o", run, "--resume")
    lines = resumed.stderr.splitlines()
    assert resumed.returncode == 0 and lines[0] == "photo.png will look like painting.png (photo -> painting)"
    assert lines[-1].endswith(f"{photo} -o out.png")
    other = in_process("train", painting, photo, "-o", run, "--resume", "--to", "photo")
    assert_clear_error(other, 1, "direction is painting -> photo, was photo -> painting")


def test_bad_pictures_get_one_clear_line(painting: Path, photo: Path, tmp_path: Path, tiny_flags: list[str]) -> None:
    empty, words, cut, small = (tmp_path / name for name in ("empty.jpg", "words.png", "cut.png", "small.png"))
    empty.touch()
    words.write_text("only words")
    cut.write_bytes(painting.read_bytes()[:700])
    Image.fromarray(scene(12, 14, 0)).save(small)
    out = ["-o", tmp_path / "run"]
    assert_clear_error(in_process("train", "none.jpg", photo, *out), 1, "none.jpg", "no such file")
    assert_clear_error(in_process("train", painting, empty, *out), 1, "empty.jpg", "copy it again")
    assert_clear_error(in_process("train", words, photo, *out), 1, "words.png", "not a picture")
    assert_clear_error(in_process("train", cut, photo, *out), 1, "cut.png", "damaged")
    tiny = in_process("train", painting, small, *out, *tiny_flags)
    assert_clear_error(tiny, 1, "small.png", "14x12", "smaller than one")


def test_bad_settings_get_one_clear_line(painting: Path, photo: Path, tmp_path: Path) -> None:
    command = ["train", painting, photo, "-o", tmp_path / "run"]
    assert_clear_error(in_process(*command, "--preset", "standart"), 2, "standart", "standard")
    assert_clear_error(in_process(*command, "--set", "crops.sise=3"), 2, "crops.size")
    assert_clear_error(in_process(*command, "--device", "cuda:77"), 1, "cuda:77", "cpu")
    assert_clear_error(in_process(*command, "--device", "abacus"), 1, "abacus")


@pytest.mark.parametrize("resume", [(), ("--resume",)])
@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--steps", 0), ("steps 0", "must be above 0", "--minutes")),
        (("--steps", -5), ("steps -5", "must be above 0", "--minutes")),
        (("--minutes", 0), ("minutes 0", "must be above 0")),
        (("--minutes", -1), ("minutes -1", "must be above 0")),
        (("--minutes", "nan"), ("minutes nan", "must be above 0")),
    ],
)
def test_a_training_has_a_length(
    painting: Path, photo: Path, tmp_path: Path, flags: Sequence[object], words: Sequence[str], resume: Sequence[str]
) -> None:
    result = in_process("train", painting, photo, "-o", tmp_path / "run", *flags, *resume)
    assert_clear_error(result, 2, *words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (("a.png",), "give PAINTING and PHOTO"),
        (("a.png", "b.png", "--steps", 3, "--minutes", 3), "not both"),
        (("a.png", "b.png", "--engine", "ray"), "--engine is for --pairs"),
        (("a.png", "b.png", "--resume"), "--resume needs the run folder"),
        (("a.png", "b.png", "--more", "5"), "--more needs the run folder"),
        (("run", "--more", "5", "--steps", "3"), "leave out --minutes and --steps"),
        (("run", "--more", "0"), "not in the range"),
        (("--pairs", "x.csv", "--more", "5"), "leave out --resume and --more"),
        (("a.png", "b.png", "--pairs", "x.csv"), "--pairs names the pictures"),
        (("--pairs", "x.csv", "--reverse"), "--pairs names the pictures"),
        (("--pairs", "x.csv", "--to", "photo"), "--pairs names the pictures"),
        (("a.png", "b.png", "--to", "photo", "--reverse"), "disagree"),
        (("a.png", "b.png", "--to", "drawing"), "'photo', 'painting'"),
        (("--pairs", "x.csv", "--resume"), "leave out --resume"),
        (("--pairs", "x.csv", "--tensorboard"), "without --pairs"),
    ],
)
def test_usage_that_makes_no_sense_is_refused(flags: Sequence[object], word: str) -> None:
    result = in_process("train", *flags)
    assert result.returncode == 2 and word in result.stderr and result.stdout == ""


def test_the_result_of_pairs_is_one_json_object(
    painting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "pairs.csv"
    table.write_text("painting,photo\npainting.png,photo.png\npainting.png,none.png\n", encoding="utf-8")
    progress = json.dumps({"event": "Progress", "step": 3, "steps": 8, "seconds_left": 61.0})
    directed = json.dumps({"event": "Directed", "source": "a.png", "target": "b.png", "to": "painting"})

    def train_apart(pair: Pair, device: str, on_line: pairs.Say, stop: object) -> Outcome:
        on_line(pair.name, directed)
        on_line(pair.name, progress)
        on_line(pair.name, "a line for people")
        on_line(pair.name, "[1]")
        return Outcome(pair.name, TRAINED, str(pair.folder), 8, 2.5)

    monkeypatch.setattr(pairs, "_train_apart", train_apart)
    result = in_process("train", "--pairs", table, "-o", tmp_path / "runs", "--json")
    assert result.returncode == 1
    rows = json.loads(result.stdout)["pairs"]
    assert [(row["name"], row["state"], row["steps"]) for row in rows] == [
        ("painting-to-photo", "trained", 8),
        ("line 3", "failed", 0),
    ]
    told = [{"pair": "painting-to-photo", **json.loads(line)} for line in (directed, progress)]
    assert [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")] == told
    assert result.stderr.splitlines()[-1] == "sincut: 1 of 2 pairs failed, see above: line 3"

    shown = in_process("train", "--pairs", table, "-o", tmp_path / "runs")
    assert "painting-to-photo: a.png will look like b.png (photo -> painting)" in shown.stderr
    assert "painting-to-photo: step 3/8, 1:01 min left" in shown.stderr
    assert "painting-to-photo: a line for people" in shown.stderr and "painting-to-photo: [1]" in shown.stderr
    assert "painting-to-photo" in shown.stdout and "line 3" in shown.stdout


def test_a_run_folder_alone_says_what_goes_on(ensemble: Config, painting: Path, photo: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    learn(painting, photo, run, config=overlay(ensemble, {"output": {"previews": 0}}))
    longer = in_process("train", run, "--more", "2", "--device", "cpu", "--json")
    assert longer.returncode == 0, longer.stderr
    told = json.loads(longer.stdout)
    assert told["more"] == 2 and told["steps"] == told["planned_steps"] > 11 and told["run"] == str(run)
    again = in_process("train", run / "model.safetensors", "--resume", "--device", "cpu")
    assert again.returncode == 0 and "done already" in again.stderr
    painting.unlink()
    assert_clear_error(in_process("train", run, "--more", "2"), 1, "painting.png is not where it was")


def test_what_learns_nothing_has_no_use_for_more_minutes(
    tmp_path: Path, painting: Path, photo: Path, vgg_file: Path, tiny_flags: list[str]
) -> None:
    run, flags = tmp_path / "run", [*tiny_flags, "--set", "output.previews=0", "--exemplar", "--device", "cpu"]
    gatys = ["--method", "gatys", "--weights", vgg_file]
    trained = in_process("train", painting, photo, "-o", run, *gatys, *flags)
    assert trained.returncode == 0, trained.stderr
    assert_clear_error(in_process("train", run, "--more", "2", "--device", "cpu"), 2, "gatys: it has no steps")
    assert not (run / "model-before.safetensors").exists()
