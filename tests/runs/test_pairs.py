"""Tables of pairs: what a row says, bad rows, and that each is trained once, resumed or left alone."""

import json
import sys
from pathlib import Path

import pytest
from helpers import assert_clear_error, scene, sincut
from PIL import Image

from sincut.config.sections import Config, resolve
from sincut.errors import ConfigError, Interrupted, RunError
from sincut.model.model import Model
from sincut.runs import pairs, run
from sincut.runs.pairs import Outcome, Pair


@pytest.fixture
def table(painting: Path, photo: Path, tmp_path: Path) -> Path:
    """Three rows; the one in the middle is bad."""
    Image.fromarray(scene(68, 84, 3)).save(tmp_path / "another.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    path = tmp_path / "pairs.csv"
    path.write_text(
        "painting,photo,name,seed,schedule.steps\n"
        "painting.png, photo.png,,,\n"
        "painting.png,broken.png,,,\n"
        'another.png,photo.png,"the other, one",7,3\n',
        encoding="utf-8-sig",
    )
    return path


def load(text: str, tmp_path: Path, *flags: str) -> list[Pair | Outcome]:
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8")
    return pairs.load(path, tmp_path / "runs", flags=flags)


def test_rows_say_what_is_special(painting: Path, photo: Path, tmp_path: Path) -> None:
    text = "photo,painting,minutes,steps,seed,reverse,preset,crops.count,name\n"
    text += "photo.png,painting.png,2,,3,yes,quick,4,\nphoto.png,painting.png,,50,,,,,second\n"
    one, two = load(text, tmp_path, "schedule.seed=9", "schedule.steps=11")
    assert isinstance(one, Pair) and isinstance(two, Pair)
    assert (one.name, one.reverse, one.folder) == ("painting-to-photo", True, tmp_path / "runs/painting-to-photo")
    schedule = one.config.schedule
    assert (schedule.minutes, schedule.steps, schedule.seed, one.config.crops.count) == (2, 0, 3, 4)
    assert (two.name, two.reverse, two.config.schedule.steps, two.config.schedule.seed) == ("second", False, 50, 9)
    assert two.config.crops.count == Config().crops.count
    assert (one.painting, one.photo) == (painting, photo)


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ("painting.png,none.png,x,", "no such file"),
        ("painting.png,,x,", "names no photo"),
        ("painting.png,photo.png,../x,", "no name for a folder"),
        ("painting.png,photo.png,.,", "no name for a folder"),
        ("painting.png,photo.png,x,much", "seed"),
        ("painting.png,photo.png,good,", "line 2"),
        ("painting.png,photo.png,Good,", "line 2"),
        ("painting.png,photo.png,x,1,2,3", "more or fewer cells"),
        ("painting.png", "more or fewer cells"),
    ],
)
def test_a_bad_row_fails_alone(painting: Path, photo: Path, tmp_path: Path, row: str, word: str) -> None:
    good = "painting.png,photo.png,good,"
    found = load(f"painting,photo,name,seed\n{good}\n{row}\n", tmp_path)
    assert isinstance(found[0], Pair)
    assert isinstance(found[1], Outcome) and found[1].state == "failed"
    assert "t.csv, line 3: " in found[1].error and word in found[1].error


def test_a_table_that_is_none_is_refused(painting: Path, photo: Path, tmp_path: Path) -> None:
    for text, word in (("painting,foto\n", "photo"), ("painting,photo,sed\nx,y,1\n", "sed")):
        with pytest.raises(ConfigError, match=f"t.csv: .*{word}"):
            load(text, tmp_path)
    for text, word in (("painting,photo\n", "no rows"), ('painting,photo\n"x', "CSV")):
        with pytest.raises(RunError, match=word):
            load(text, tmp_path)
    with pytest.raises(RunError, match=r"none\.csv"):
        pairs.load(tmp_path / "none.csv", tmp_path)
    assert_clear = sincut("train", painting, photo, "--pairs", tmp_path / "t.csv")
    assert assert_clear.returncode == 2


def test_a_preset_of_a_row_overwrites_no_file(painting: Path, photo: Path, tmp_path: Path) -> None:
    found = load("painting,photo,name\npainting.png,photo.png,x\npainting.png,photo.png,x.toml\n", tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/x.toml").write_text("mine")
    words = [pairs.command(pair, "cpu") for pair in found if isinstance(pair, Pair)]
    presets = {line[line.index("--preset") + 1] for line in words}
    assert len(presets) == 2 and all(resolve(preset, []) == Config() for preset in presets)
    assert (tmp_path / "runs/x.toml").read_text() == "mine"


def test_a_training_that_cannot_listen_yet_is_stopped_all_the_same(
    painting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = load("painting,photo\npainting.png,photo.png\n", tmp_path)
    monkeypatch.setattr(pairs, "command", lambda *_: [sys.executable, "-c", "import time; time.sleep(60)"])
    asked = iter([False])
    assert [row.state for row in pairs.train(rows, "cpu", stop=lambda: next(asked, True))] == ["stopped"]
    died = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    monkeypatch.setattr(pairs, "command", lambda *_: [sys.executable, "-c", died])
    assert [row.state for row in pairs.train(rows, "cpu")] == ["failed"]


def test_a_listener_that_fails_ends_all_trainings(
    painting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As stderr piped into `head`: the training says more than a pipe holds, is stopped, and no other is begun."""
    rows = load("painting,photo,name\npainting.png,photo.png,one\npainting.png,photo.png,two\n", tmp_path)
    says = "import sys, time; print('line\\n' * 100_000, file=sys.stderr, flush=True); time.sleep(60)"
    monkeypatch.setattr(pairs, "command", lambda *_: [sys.executable, "-c", says])
    asked, heard = list[bool](), list[str]()

    def fail(name: str, line: str) -> None:
        heard.append(name)
        raise BrokenPipeError(32, "Broken pipe")

    def stop() -> bool:
        asked.append(True)
        return len(asked) > 10_000  # as many as there were in a moment

    with pytest.raises(BrokenPipeError):
        pairs.train(rows, "cpu", on_line=fail, stop=stop)
    assert heard == ["one"] and len(asked) < 100


@pytest.mark.slow
def test_pairs_are_trained_once_resumed_and_told(table: Path, tmp_path: Path, tiny_flags: list[str]) -> None:
    """One was interrupted: the command goes on with it, trains the others, and names the bad row."""
    runs, typed = tmp_path / "runs", [*tiny_flags[1::2], "schedule.steps=8"]
    first = pairs.load(table, runs, flags=typed)[0]
    assert isinstance(first, Pair)
    asked = iter([False, False, True])
    with pytest.raises(Interrupted):
        run.train(first.painting, first.photo, first.folder, config=first.config, stop=lambda: next(asked))
    assert 1 <= Model.load(first.folder).provenance["steps"] < 8

    result = sincut("train", "--pairs", table, "-o", runs, *tiny_flags, "--steps", 8, "--device", "cpu", "--json")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert result.stderr.splitlines()[-1] == "sincut: 1 of 3 pairs failed, see above: painting-to-broken"
    rows = json.loads(result.stdout)["pairs"]
    assert [(row["state"], row["steps"]) for row in rows] == [("trained", 8), ("failed", 0), ("trained", 3)]
    assert "broken.png: is not a picture" in rows[1]["error"]
    assert Model.load(runs / "the other, one").provenance["seed"] == 7
    lines = [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")]
    assert {line["pair"] for line in lines if line["event"] == "Trained"} == {"painting-to-photo", "the other, one"}
    assert next(line["step"] for line in lines if line["event"] == "Started") >= 1  # not from the beginning

    again = pairs.train(pairs.load(table, runs, flags=typed), "cpu")
    assert [outcome.state for outcome in again] == ["skipped", "failed", "skipped"]
    other = pairs.train(pairs.load(table, runs, flags=[*typed, "schedule.seed=5"])[:1], "cpu")
    assert other[0].state == "failed" and "holds another run" in other[0].error


def test_engines_of_one_training_are_refused(painting: Path, photo: Path) -> None:
    for words in ((painting, photo, "--engine", "ray"), (painting,), ("--pairs", "x.csv", "--reverse")):
        assert sincut("train", *words).returncode == 2
    assert_clear_error(sincut("train", "--pairs", "none.csv"), 1, "none.csv", "cannot be read")
