"""The commands that look at results."""

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import assert_clear_error, in_process
from PIL import Image

import sincut.runs.curve
from sincut.errors import Interrupted
from sincut.files import sha256


def test_features_draws_a_picture_and_tells_of_it_in_json(painting: Path, model_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "pca.png"
    told = in_process("features", model_file, painting, "-o", out, "--device", "cpu", "--json")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout) == {"output": str(out), "layer": 3, "map": {"width": 23, "height": 18}}
    with Image.open(out) as image:
        assert image.size == (90, 72)
    plain = in_process("features", model_file, painting, "-o", out, "--layer", 0, "--device", "cpu")
    assert plain.returncode == 0 and plain.stdout == ""
    finest = in_process("features", model_file, painting, "-o", out, "--layer", 0, "--json", "--device", "cpu")
    assert json.loads(finest.stdout)["map"] == {"width": 90, "height": 72}
    assert_clear_error(in_process("features", model_file, painting, "-o", model_file), 1, "would be replaced")


def test_signals_stop_a_curve_when_its_training_has_saved(
    painting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def curve(*arguments: object, stop: Callable[[], bool], minutes: object, seeds: object, **options: object) -> None:
        assert (minutes, seeds) == ((0.5, 2.0), (0, 7))
        asked.append(stop())
        signal.raise_signal(signal.SIGTERM)
        asked.append(stop())
        raise Interrupted("stopped; the same command goes on")

    monkeypatch.setattr(sincut.runs.curve, "curve", curve)
    command = ["curve", painting, photo, "-o", tmp_path / "curve", "--minutes", "0.5,2", "--seeds", "0,7"]
    assert_clear_error(in_process(*command), 130, "the same command goes on")
    assert asked == [False, True]


@pytest.mark.parametrize("flags", [("--minutes", "soon"), ("--minutes", "0"), ("--minutes", "5,-1"), ("--seeds", "-1")])
def test_curve_refuses_times_and_seeds_that_make_no_sense(flags: tuple[str, str], tmp_path: Path) -> None:
    result = in_process("curve", "a.png", "b.png", "-o", tmp_path / "curve", *flags)
    assert result.returncode == 2 and flags[0] in result.stderr
    assert not (tmp_path / "curve").exists()


def test_features_show_nothing_that_is_hidden(painting: Path, model_file: Path, tmp_path: Path) -> None:
    colours = np.asarray(Image.open(painting).convert("RGB"))
    alpha = np.full(colours.shape[:2], 255, np.uint8)
    alpha[:, : colours.shape[1] // 3] = 40  # faint, but hidden as in a training
    hiding, out, drawn = tmp_path / "hiding.png", tmp_path / "out.png", set()
    for shade in (0, 255):
        Image.fromarray(np.dstack([np.where(alpha[..., None] < 99, np.uint8(shade), colours), alpha])).save(hiding)
        told = in_process("features", model_file, hiding, "-o", out, "--device", "cpu")
        assert told.returncode == 0, told.stderr
        drawn.add(out.read_bytes())
    assert len(drawn) == 1
    Image.fromarray(np.dstack([colours, 0 * alpha])).save(hiding)
    told = in_process("features", model_file, hiding, "-o", out, "--device", "cpu")
    assert_clear_error(told, 1, "hiding.png", "transparent everywhere")


def test_a_picture_tells_what_made_it(painting: Path, model_file: Path, tmp_path: Path) -> None:
    out, dial = tmp_path / "out.jpg", ("--strength", "0.5")
    assert in_process("apply", model_file, painting, "-o", out, "--device", "cpu", *dial).returncode == 0
    told = in_process("inspect", out).stdout
    parts = [re.split(r" {2,}", f"{line}  ") for line in told.splitlines()]
    rows = {part[0]: part[1].strip() for part in parts}
    assert rows["model"] == model_file.stem and rows["strength"] == "0.5"
    assert "as sincut wrote it" in rows["changed since"]
    made = json.loads(in_process("inspect", out, "--json").stdout)["made"]
    assert made["model_sha256"] == sha256(model_file) and made["source_sha256"] == sha256(painting)
    assert made["options"]["strength"] == 0.5 and made["unchanged"]
    with out.open("ab") as file:
        file.write(b"\0")
    assert not json.loads(in_process("inspect", out, "--json").stdout)["made"]["unchanged"]
    assert "not as sincut wrote" in in_process("inspect", out).stdout


def test_a_picture_that_says_nothing_is_said_to(painting: Path, tmp_path: Path) -> None:
    told = in_process("inspect", painting)
    assert told.returncode == 0 and "says nothing of sincut" in told.stdout
    assert json.loads(in_process("inspect", painting, "--json").stdout)["made"] is None
    (tmp_path / "notes.txt").write_text("no model and no picture")
    assert_clear_error(in_process("inspect", tmp_path / "notes.txt"), 1, "notes.txt", "no model")
    assert_clear_error(in_process("inspect", tmp_path / "nothing.png"), 1, "no such file")
