"""The main job from end to end, the real commands in processes of their own, and what all commands have in common."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from helpers import ROOT, assert_clear_error, in_process, sincut
from PIL import Image

from sincut.cli import main
from sincut.cli.helping import every_command


def test_main_job_end_to_end(painting: Path, photo: Path, tmp_path: Path, tiny_flags: list[str]) -> None:
    run, out = tmp_path / "runs" / "first", tmp_path / "out.png"
    trained = sincut("train", painting, photo, "-o", run, *tiny_flags, "--device", "cpu", "--json")
    assert trained.returncode == 0, trained.stderr
    result = json.loads(trained.stdout)
    assert result["run"] == str(run) and result["steps"] == 4
    kinds = [json.loads(line)["event"] for line in trained.stderr.splitlines()]
    assert kinds[:2] == ["Directed", "Reading"] and kinds.index("PictureRead") < kinds.index("Started")
    assert "Progress" in kinds and kinds[-1] == "Trained"

    applied = sincut("apply", run, painting, "-o", out)
    assert applied.returncode == 0, applied.stderr
    with Image.open(out) as image, Image.open(painting) as source:
        assert image.size == source.size
    assert in_process("apply", run, painting, "-o", out, "--overwrite").returncode == 0
    first = out.read_bytes()
    assert in_process("apply", run, painting, "-o", out, "--overwrite", "--tile", "32").returncode == 0
    with Image.open(out) as image:
        tiled = np.asarray(image).astype(int)
    assert in_process("apply", run, painting, "-o", out, "--overwrite").returncode == 0
    assert out.read_bytes() == first
    with Image.open(out) as image:  # bfloat16 where the processor has it; float32 is tested to 1e-5
        assert np.abs(np.asarray(image) - tiled).max() <= 8

    inspected = json.loads(in_process("inspect", run, "--json").stdout)
    assert inspected["steps"] == 4 and inspected["config"]["crops"]["size"] == 32
    assert "painting.png" in in_process("inspect", run).stdout

    measured = in_process("evaluate", painting, photo, out, "--truth", painting, "--json")
    figures = json.loads(measured.stdout)
    assert figures["ssim_painting"] == pytest.approx(1) and figures["colour"] > 0


def test_help_is_instant_and_complete() -> None:
    """No heavy import, and the clock of `--minutes` starts before even click is loaded."""
    code = (
        "import sys, sincut.cli; loaded = list(sys.modules); "
        "heavy = {'torch', 'kornia', 'PIL', 'rich', 'numpy'} & set(loaded); "
        "sys.exit(str(heavy) if heavy else loaded.index('sincut.cli.started') > loaded.index('click'))"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert started.returncode == 0, started.stderr
    listed = sincut("--help").stdout
    for name in main.commands:
        assert name in listed
        text = in_process(name, "--help").stdout
        assert f"Usage: sincut {name} " in text and len(text.splitlines()) > 6


def test_every_command_that_computes_has_json() -> None:
    for name, command in every_command(main):
        flags = {flag for option in command.params if isinstance(option, click.Option) for flag in option.opts}
        assert "--json" in flags or name == "ui" or isinstance(command, click.Group), name


@pytest.mark.skipif(sys.platform == "win32", reason="a shell with head")
def test_a_reader_that_has_had_enough_is_no_error(model_file: Path) -> None:
    command = f"{sys.executable} -m sincut inspect {model_file} | head -c 1"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    result = subprocess.run(command, shell=True, capture_output=True, text=True, env=env, timeout=120)
    assert len(result.stdout) == 1 and not result.stderr


def test_a_folder_that_cannot_be_made_is_named(
    painting: Path, photo: Path, model_file: Path, tiny_flags: list[str]
) -> None:
    inside_a_file = painting / "run"
    assert_clear_error(in_process("train", painting, photo, "-o", inside_a_file, *tiny_flags), 1, "painting.png", "-o")
    assert_clear_error(in_process("apply", model_file, photo, "-o", inside_a_file / "x.png"), 1, "painting.png", "-o")


@pytest.mark.parametrize(
    "error", [MemoryError(), ImportError("libtorch_cpu.so: failed to map segment from shared object")]
)
def test_too_little_memory_for_the_program_itself_is_one_line(
    error: Exception, model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("sincut.translation.loading.load_kind", fails)
    assert_clear_error(in_process("inspect", model_file), 1, "not enough memory")
    monkeypatch.setattr("sincut.translation.loading.load_kind", lambda *_: __import__("sincut.none"))
    with pytest.raises(ImportError, match=r"sincut\.none"):
        in_process("inspect", model_file)
