"""The real commands in processes of their own: main job, interruption, JSON, and errors as a user meets them."""

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import ROOT, assert_clear_error, killed_after, scene, sincut
from PIL import Image

from sincut.cli import main
from sincut.model.model import Model, load_tensors


def train_flags(flags: list[str]) -> list[str]:
    return [*flags, "--device", "cpu"]


def test_main_job_end_to_end(painting: Path, photo: Path, tmp_path: Path, tiny_flags: list[str]) -> None:
    run = tmp_path / "runs" / "first"
    trained = sincut("train", painting, photo, "-o", run, *train_flags(tiny_flags), "--json")
    assert trained.returncode == 0, trained.stderr
    result = json.loads(trained.stdout)
    assert result["run"] == str(run) and result["steps"] == 4
    kinds = [json.loads(line)["event"] for line in trained.stderr.splitlines()]
    assert kinds[0] == "Started" and "Progress" in kinds and kinds[-1] == "Trained"

    applied = sincut("apply", run, painting, "-o", tmp_path / "out.png")
    assert applied.returncode == 0, applied.stderr
    with Image.open(tmp_path / "out.png") as image, Image.open(painting) as source:
        assert image.size == source.size
    first = (tmp_path / "out.png").read_bytes()
    assert sincut("apply", run, painting, "-o", tmp_path / "out.png", "--overwrite", "--tile", "32").returncode == 0
    with Image.open(tmp_path / "out.png") as image:
        tiled = np.asarray(image).astype(int)
    sincut("apply", run, painting, "-o", tmp_path / "out.png", "--overwrite")
    assert (tmp_path / "out.png").read_bytes() == first
    with Image.open(tmp_path / "out.png") as image:
        assert (
            np.abs(np.asarray(image) - tiled).max() <= 8
        )  # bfloat16 where the processor has it; float32 is tested to 1e-5

    inspected = json.loads(sincut("inspect", run, "--json").stdout)
    assert inspected["steps"] == 4 and inspected["config"]["crops"]["size"] == 32
    assert "painting.png" in sincut("inspect", run).stdout

    measured = sincut("evaluate", painting, photo, tmp_path / "out.png", "--truth", painting, "--json")
    figures = json.loads(measured.stdout)
    assert figures["ssim_painting"] == pytest.approx(1) and figures["colour"] > 0


def test_folder_with_a_bad_file_goes_on_and_exits_1(model_file: Path, tmp_path: Path) -> None:
    inside = tmp_path / "in" / "sub"
    inside.mkdir(parents=True)
    for name in ("a.jpg", "b.png"):
        Image.fromarray(scene(30, 40, 0)).save(inside / name)
    (inside / "bad.jpg").write_bytes(b"\xff\xd8\xff broken")
    result = sincut("apply", model_file, tmp_path / "in", "-o", tmp_path / "styled", "--json")
    assert result.returncode == 1 and "bad.jpg" in result.stderr.splitlines()[-1] and "Traceback" not in result.stderr
    told = json.loads(result.stdout)
    assert len(told["done"]) == 2 and len(told["failed"]) == 1
    assert sorted(path.name for path in (tmp_path / "styled" / "sub").iterdir()) == ["a.jpg", "b.png"]
    both = inside / "a.jpg", inside / "b.png"
    again = json.loads(sincut("apply", model_file, *both, "-o", tmp_path / "styled" / "sub", "--json").stdout)
    assert len(again["skipped"]) == 2 and not again["done"]


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
    assert sincut("apply", run, painting, "-o", tmp_path / "out.png").returncode == 0
    done = json.loads(sincut("inspect", run, "--json").stdout)["steps"]
    assert done >= 1
    refused = sincut("train", painting, photo, "-o", run, "--resume", "--steps", done + 2, *tiny_flags)
    assert_clear_error(refused, 1, "schedule.steps", "cannot be resumed")


@pytest.mark.slow
def test_a_training_killed_at_twenty_moments_ends_as_one_left_alone(
    painting: Path, photo: Path, tmp_path: Path, tiny_flags: list[str]
) -> None:
    flags = [*tiny_flags, "--set", "schedule.steps=800", "--device", "cpu"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert sincut("train", painting, photo, "-o", whole, *flags).returncode == 0
    command = [sys.executable, "-m", "sincut", "train", str(painting), str(photo), "-o", str(parts), "--json", *flags]
    command += ["--set", "output.checkpoint_seconds=0"]
    rng, killed, reached = random.Random(0), 0, [0]
    for _ in range(20):
        resume = ["--resume"] if (parts / "checkpoint.safetensors").exists() else []
        killed += killed_after([*command, *resume], b"Started", rng.uniform(0, 0.4))
        if (parts / "model.safetensors").exists():  # at any moment whole, and never older than before
            reached.append(Model.load(parts).provenance["steps"])
    assert killed == 20 and reached == sorted(reached) and 1 <= reached[-1] < 800
    assert sincut("apply", parts, painting, "-o", tmp_path / "out.png").returncode == 0
    resumed = sincut("train", painting, photo, "-o", parts, "--resume", "--json", *flags)
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)["steps"] == 800
    for name in ("checkpoint.safetensors", "model.safetensors"):
        (want, _), (got, _) = (load_tensors(run / name) for run in (whole, parts))
        assert set(want) == set(got)
        assert all(want[key].equal(got[key]) for key in want if key != "plan")  # the plan holds the seconds
    steps = [json.loads(line)["step"] for line in (parts / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)  # none twice that was done again
    assert not list(parts.rglob("*.sincut-part"))


def test_help_is_instant_and_complete() -> None:
    heavy = ("torch", "kornia", "PIL", "rich", "numpy", "jinja2")
    code = f"import sys, sincut.cli; sys.exit(any(m in sys.modules for m in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}).returncode == 0
    listed = sincut("--help")
    assert listed.returncode == 0
    for command in ("train", "apply", "evaluate", "inspect", "presets", "bench"):
        assert command in listed.stdout
        text = sincut(command, "--help").stdout
        assert "Usage:" in text and len(text.splitlines()) > 6


@pytest.mark.skipif(sys.platform == "win32", reason="a shell with head")
def test_a_reader_that_has_had_enough_is_no_error(model_file: Path) -> None:
    command = f"{sys.executable} -m sincut inspect {model_file} | head -c 1"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    result = subprocess.run(command, shell=True, capture_output=True, text=True, env=env, timeout=120)
    assert len(result.stdout) == 1 and not result.stderr


def test_presets_are_listed_and_printed(tmp_path: Path) -> None:
    listed = sincut("presets")
    assert all(name in listed.stdout for name in ("standard", "quick", "paper", "release"))
    printed = sincut("presets", "release")
    (tmp_path / "mine.toml").write_text(printed.stdout, encoding="utf-8")
    again = sincut("presets", tmp_path / "mine.toml")
    assert again.stdout == printed.stdout
    assert json.loads(sincut("presets", "quick", "--json").stdout)["schedule"]["minutes"] == 3


def test_bad_input_gets_one_clear_line(
    painting: Path, photo: Path, model_file: Path, tmp_path: Path, tiny_flags: list[str]
) -> None:
    empty, words, cut, small = (tmp_path / name for name in ("empty.jpg", "words.png", "cut.png", "small.png"))
    empty.touch()
    words.write_text("only words")
    cut.write_bytes(painting.read_bytes()[:700])
    Image.fromarray(scene(12, 14, 0)).save(small)
    out = ["-o", tmp_path / "run"]
    assert_clear_error(sincut("train", "none.jpg", photo, *out), 1, "none.jpg", "no such file")
    assert_clear_error(sincut("train", painting, empty, *out), 1, "empty.jpg", "copy it again")
    assert_clear_error(sincut("train", words, photo, *out), 1, "words.png", "not a picture")
    assert_clear_error(sincut("train", cut, photo, *out), 1, "cut.png", "damaged")
    assert_clear_error(sincut("train", painting, small, *out, *tiny_flags), 1, "small.png", "14x12", "smaller than one")
    assert_clear_error(sincut("train", painting, photo, *out, "--preset", "standart"), 2, "standart", "standard")
    assert_clear_error(sincut("train", painting, photo, *out, "--set", "crops.sise=3"), 2, "crops.size")
    assert_clear_error(sincut("train", painting, photo, *out, "--device", "cuda:77"), 1, "cuda:77", "cpu")
    assert_clear_error(sincut("train", painting, photo, *out, "--device", "abacus"), 1, "abacus")
    assert_clear_error(sincut("apply", words, painting, "-o", tmp_path / "o.png"), 1, "words.png")
    assert_clear_error(sincut("apply", tmp_path / "no", painting, "-o", tmp_path / "o.png"), 1, "no model there")
    assert_clear_error(sincut("apply", model_file, tmp_path / "no.png", "-o", tmp_path / "o.png"), 1, "no.png")
    assert_clear_error(sincut("apply", model_file, words, "-o", tmp_path / "o.png"), 1, "words.png", "not a picture")
    assert sincut("train", painting).returncode == 2
    assert sincut("train", painting, photo, "--steps", 3, "--minutes", 3).returncode == 2
    assert sincut("apply", model_file, painting, "-o", tmp_path / "o.png", "--tile", "-3").returncode == 2
    assert not (tmp_path / "o.png").exists()


def test_a_folder_that_cannot_be_made_is_named(
    painting: Path, photo: Path, model_file: Path, tiny_flags: list[str]
) -> None:
    inside_a_file = painting / "run"
    assert_clear_error(sincut("train", painting, photo, "-o", inside_a_file, *tiny_flags), 1, "painting.png", "-o")
    assert_clear_error(sincut("apply", model_file, photo, "-o", inside_a_file / "x.png"), 1, "painting.png", "-o")


def test_a_log_file_gets_plain_lines(painting: Path, photo: Path, tmp_path: Path, tiny_flags: list[str]) -> None:
    result = sincut("train", painting, photo, "-o", tmp_path / "a run", *train_flags(tiny_flags))
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert "Training on cpu" in lines[0] and "processor" in lines[0]
    assert any(line.startswith("step 4/4") and "left" in line for line in lines)
    assert "model.safetensors" in lines[-2]
    assert lines[-1].endswith(f"apply '{tmp_path / 'a run'}' {painting} -o out.png")


def test_apply_takes_all_its_options(tmp_path: Path, painting: Path, model_file: Path) -> None:
    mask = tmp_path / "mask.png"
    Image.fromarray((np.arange(72 * 90).reshape(72, 90) % 256).astype(np.uint8)).save(mask)
    out = tmp_path / "{model}-{stem}.jpg"
    flags = ["--strength", "0.7", "--keep-colour", "--mask", mask, "--scale", "0.8", "--quality", "80", "--strip"]
    limits = ["--max-memory", "2GB", "--max-pixels", "100000", "--tile", "64", "--greys", "keep"]
    result = sincut("apply", model_file, painting, "-o", out, *flags, *limits)
    assert result.returncode == 0, result.stderr
    with Image.open(tmp_path / "some-painting.jpg") as image:
        assert image.size == (90, 72)


def test_apply_works_in_a_pipe(tmp_path: Path, painting: Path, model_file: Path) -> None:
    command = [sys.executable, "-m", "sincut", "apply", str(model_file), "-", "-o", "-", "--format", "webp"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, input=painting.read_bytes(), capture_output=True, env=env, timeout=300)
    assert result.returncode == 0, result.stderr
    with Image.open(io.BytesIO(result.stdout)) as image:
        assert image.format == "WEBP" and image.size == (90, 72)
    broken = subprocess.run(command, input=b"no picture", capture_output=True, env=env, timeout=300)
    assert broken.returncode == 1 and not broken.stdout and b"sincut: -: is not a picture" in broken.stderr
    for option in (["--include", "*.jpg"], ["--retry-failed"], ["--json"], ["--overwrite"]):
        result = CliRunner().invoke(main, ["apply", str(model_file), "-", "-o", "-", *option])
        assert result.exit_code == 2 and "is for one picture" in result.output, option


@pytest.mark.parametrize(
    "flags", [["-o", "out", "--in-place"], [], ["-o", "-"], ["-o", "{unknown}.png"], ["-o", "out", "--strength", "2"],
              ["-o", "out", "--max-memory", "much"], ["-o", "out", "--scale", "0"], ["-o", "out", "--quality", "0"]]
)  # fmt: skip
def test_apply_refuses_wrong_usage(painting: Path, model_file: Path, flags: list[str]) -> None:
    result = sincut("apply", model_file, painting, *flags)
    assert result.returncode == 2 and "Traceback" not in result.stderr
