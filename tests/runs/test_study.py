"""A study: each training is done once, resumed or told, and the folder's page, CSV and JSON say what came of it."""

import csv
import html
import json
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from helpers import TINY, assert_clear_error, in_process, stop_after

from sincut.errors import Interrupted, RunError
from sincut.method import registry
from sincut.method.term import Ingredients, Part, Progress, Seen, Term
from sincut.model.model import Model
from sincut.pictures import reading
from sincut.report import measures
from sincut.runs import child, run
from sincut.runs.child import Ended
from sincut.runs.lineup import Lineup
from sincut.runs.study import Study

STEPS = 2


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Trainings in this process, as each of its own would take seconds to load torch; the names of their folders."""
    names = list[str]()

    def attend(
        words: Sequence[str], on_line: Callable[[str], None] | None = None, stop: Callable[[], bool] = lambda: False
    ) -> Ended:
        names.append(Path(words[words.index("-o") + 1]).name)
        done = in_process(*words[3:])
        lines = done.stderr.splitlines()
        for line in lines:
            assert on_line is not None
            on_line(line)
        return Ended(done.returncode, False, lines[-1])

    monkeypatch.setattr(child, "attend", attend)
    monkeypatch.setattr(measures, "DIRECTIONS", 8)  # quicker, and as good here
    return names


@pytest.fixture
def presets(tmp_path: Path) -> list[str]:
    """Two presets; the second is `plain` with another weight."""
    for name, text in (("plain", ""), ("other", "[losses]\nnce = 2.0\n")):
        (tmp_path / f"{name}.toml").write_text(f'about = "{name} one"\nextends = "standard"\n{text}')
    return [str(tmp_path / f"{name}.toml") for name in ("plain", "other")]


@pytest.fixture
def command(painting: Path, photo: Path, tmp_path: Path, tiny_flags: list[str], presets: list[str]) -> list[object]:
    words: list[object] = ["study", painting, photo, "-o", tmp_path / "out", "--presets", ",".join(presets)]
    return [*words, "--steps", STEPS, "--device", "cpu", *tiny_flags, "--set", "output.previews=0"]


def lineup(presets: list[str], steps: int = STEPS) -> Lineup:
    flags = [f"{section}.{key}={value}" for section, settings in TINY.items() for key, value in settings.items()]
    return Lineup.of(presets, flags=[*flags, "output.previews=0"], steps=steps)


def test_a_study_is_trained_measured_and_shown_once(
    command: list[object], begun: list[str], painting: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    result = in_process(*command, "--truth", painting, "--json")
    assert result.returncode == 0, result.stderr
    names = ["plain-seed-0", "plain-seed-1", "other-seed-0", "other-seed-1"]
    assert begun == names
    told = json.loads(result.stdout)
    assert told == json.loads((folder / "study.json").read_text())
    assert [preset["name"] for preset in told["presets"]] == ["plain", "other"]
    assert told["presets"][1]["changes"] == {"losses.nce": [2.0, 1.7]} and told["length"] == "2 steps"
    rows = list(csv.DictReader((folder / "study.csv").open()))
    for row, entry in zip(rows, told["rows"], strict=True):
        assert {name: float(row[name]) for name in told["columns"]} == entry["numbers"]
        assert entry["state"] == "trained" and entry["numbers"]["steps"] == STEPS
        assert {"step_seconds", "memory_gb", "colour", "psnr_output", "parameters_generator"} <= set(entry["numbers"])
        assert reading.load(folder / entry["picture"]).size == (72, 90)  # the source's own
    assert {json.loads(line)["training"] for line in result.stderr.splitlines()} == set(names)
    page = (folder / "study.html").read_text()
    assert all(f"pictures/{name}.png" in page for name in (*names, "source", "target"))
    for preset in told["presets"]:
        assert f"{preset['means']['texture']['mean']:.3f}" in page and preset["about"] in page

    models = {name: (folder / name / "model.safetensors").stat().st_mtime_ns for name in names}
    translated = {name: (folder / "pictures" / f"{name}.png").stat().st_mtime_ns for name in names}
    shutil.rmtree(folder / "other-seed-1")
    (folder / "pictures" / "plain-seed-1.png").unlink()
    result = in_process(*command, "--truth", painting)
    assert result.returncode == 0 and begun == [*names, "other-seed-1"], result.stderr
    assert "3 are finished; 1 to train" in result.stderr and "step 2/2, 0 s left, 0 s for all" in result.stderr
    assert "texture" in result.stdout and result.stdout.endswith(f"page: {folder / 'study.html'}\n")
    again = {name: (folder / "pictures" / f"{name}.png").stat().st_mtime_ns for name in names}
    assert [again[name] == translated[name] for name in names] == [True, False, True, False]
    assert all((folder / name / "model.safetensors").stat().st_mtime_ns == models[name] for name in names[:3])


def test_a_study_that_is_stopped_goes_on(
    presets: list[str], begun: list[str], painting: Path, photo: Path, tmp_path: Path
) -> None:
    """Stopped within the second training, between it and the third, and as the third is translated."""
    folder, ended, seeds = tmp_path / "out", list[str](), range(3)
    study = Study(painting, photo, folder, lineup(presets[:1]), seeds=seeds)
    second = study.pairs[1]
    with pytest.raises(Interrupted):
        run.train(second.painting, second.photo, second.folder, config=second.config, stop=stop_after(1))
    assert Model.load(second.folder).provenance.steps == 1
    table = study.run(on_row=lambda row: ended.append(row.state), stop=lambda: len(ended) > 1)
    assert [row.state for row in table.rows] == ended == ["trained", "trained", "stopped"]
    assert Model.load(second.folder).provenance.steps == STEPS
    rows = json.loads((folder / "study.json").read_text())["rows"]
    assert [bool(row["numbers"]) for row in rows] == [True, True, False]

    only = Study(painting, photo, folder, lineup(presets[:1]), seeds=seeds)
    assert only.finished == {"plain-seed-0", "plain-seed-1"}
    assert [row.state for row in only.run(train=False).rows] == ["trained", "trained", "stopped"]
    assert len(begun) == 2

    heard = list[str]()
    table = only.run(on_line=lambda name, line: heard.append(line), stop=lambda: '"Trained"' in "".join(heard))
    assert table.rows[2].state == "stopped" and not table.rows[2].picture  # as it was translated
    assert Model.load(folder / "plain-seed-2").provenance.steps == STEPS
    assert [row.state for row in only.run().rows] == ["trained"] * 3 and len(begun) == 3


def test_a_changed_setting_is_told_before_anything_is_trained(
    presets: list[str], begun: list[str], painting: Path, photo: Path, tmp_path: Path
) -> None:
    Study(painting, photo, tmp_path / "out", lineup(presets[:1]), seeds=[0]).run()
    with pytest.raises(RunError, match=r"plain-seed-0: holds another run \(schedule.steps: 3 here, 2 there\)"):
        Study(painting, photo, tmp_path / "out", lineup(presets, 3))
    with pytest.raises(RunError, match="holds another run"):
        Study(painting, photo, tmp_path / "out", lineup(presets), reverse=True)
    assert len(begun) == 1


class Endless(Term):
    """A loss that is infinite."""

    def __init__(self, weight: float, ingredients: Ingredients) -> None:
        self.weight = weight

    def parts(self, seen: Seen, progress: Progress) -> list[Part]:
        return [Part("endless", self.weight, seen.fake.mean() * math.inf)]


def test_a_training_that_fails_is_a_row_and_the_study_goes_on(
    command: list[object], begun: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two by losses that are not finite, one since its folder holds a damaged model."""
    monkeypatch.setitem(registry.TERMS, "endless", Endless)
    folder = tmp_path / "out"
    (tmp_path / "plain.toml").write_text('extends = "standard"\n[losses.own]\nendless = 1.0\n')
    (folder / "other-seed-0").mkdir(parents=True)
    (folder / "other-seed-0" / "model.safetensors").write_bytes(b"damaged")
    result = in_process(*command, "--fast")
    assert result.returncode == 1 and begun == ["plain-seed-0", "plain-seed-1", "other-seed-1"]
    last = "sincut: 3 of 4 trainings failed, see above: plain-seed-0, plain-seed-1, other-seed-0"
    assert result.stderr.splitlines()[-1] == last
    assert result.stderr.count("is no longer a finite number") == 2  # each is told once
    rows = json.loads((folder / "study.json").read_text())["rows"]
    assert [row["state"] for row in rows] == ["failed", "failed", "failed", "trained"]
    for row, words in zip(rows, ("endless is no longer a finite", "endless is no longer", "damaged"), strict=False):
        assert words in row["error"] and row["error"] in result.stderr and not row["numbers"]
        assert row["error"] in html.unescape((folder / "study.html").read_text())


def test_report_only_trains_nothing(command: list[object], begun: list[str], tmp_path: Path) -> None:
    result = in_process(*command, "--report-only")
    assert result.returncode == 0 and not begun
    assert (tmp_path / "out" / "study.html").exists()
    rows = json.loads((tmp_path / "out" / "study.json").read_text())["rows"]
    assert {row["state"] for row in rows} == {"stopped"}


def test_study_refuses_wrong_usage(painting: Path, photo: Path, tmp_path: Path) -> None:
    words = ("study", painting, photo, "-o", tmp_path / "out")
    for more in (("--steps", 1, "--minutes", 1), ("--to", "painting", "--truth", photo), ("--presets", "a,,b")):
        assert in_process(*words, *more).returncode == 2
    assert_clear_error(in_process(*words, "--presets", "standart"), 2, "standart", "did you mean standard")
    assert_clear_error(in_process(*words, "--truth", photo), 1, "the truth has 80x70 pixels")
    assert not (tmp_path / "out").exists()
