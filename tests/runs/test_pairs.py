"""Many trainings: each is done once, resumed or left alone, and a bad one stops no other."""

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from helpers import TINY, assert_clear_error, in_process, make_model, save_telling, scene, sincut
from PIL import Image

from sincut.batch.ray_ import Pool
from sincut.config.resolve import resolve
from sincut.config.sections import overlay
from sincut.errors import Interrupted
from sincut.model.file import MODEL_FILE
from sincut.model.model import Model
from sincut.runs import pairs, run
from sincut.runs.table import Pair, load


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


def test_a_preset_of_a_row_overwrites_no_file(painting: Path, photo: Path, tmp_path: Path) -> None:
    both = [Pair(name, painting, photo, tmp_path / "runs" / name, resolve()) for name in ("x", "x.toml")]
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/x.toml").write_text("mine")
    words = [pairs.command(pair, "cpu") for pair in both]
    presets = {line[line.index("--preset") + 1] for line in words}
    assert len(presets) == 2 and all(resolve(preset, []) == resolve() for preset in presets)
    assert (tmp_path / "runs/x.toml").read_text() == "mine"


def test_a_training_that_cannot_listen_yet_is_stopped_all_the_same(
    painting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Pair("one", painting, photo, tmp_path / "one", resolve())]
    monkeypatch.setattr(pairs, "command", lambda *_: [sys.executable, "-c", "import time; time.sleep(60)"])
    asked = iter([False])
    assert [row.state for row in pairs.train(rows, "cpu", stop=lambda: next(asked, True))] == ["stopped"]
    died = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    monkeypatch.setattr(pairs, "command", lambda *_: [sys.executable, "-c", died])
    (row,) = pairs.train(rows, "cpu")
    assert row.state == "failed" and row.error.startswith("one: was killed by signal 9")


def test_a_listener_that_fails_ends_all_trainings(
    painting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As stderr piped into `head`: the training says more than a pipe holds, is stopped, and no other is begun."""
    rows = [Pair(name, painting, photo, tmp_path / name, resolve()) for name in ("one", "two")]
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


class Cluster:
    """Stands for the module `ray`: nothing ends by itself, and what is cancelled says that it was stopped."""

    class exceptions:  # noqa: N801
        class TaskCancelledError(Exception): ...

        class RayError(Exception): ...

    def __init__(self) -> None:
        self.begun, self.cancelled, self.asked = list[str](), list[str](), 0

    def remote(self, **needs: float) -> Callable[[object], SimpleNamespace]:
        return lambda function: SimpleNamespace(remote=self._begin)

    def _begin(self, pair: Pair, device: str, threads: int) -> str:
        assert pair.folder.is_absolute()
        self.begun.append(pair.name)
        return pair.name

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 4}

    def wait(self, references: list[str], num_returns: int, timeout: float) -> tuple[list[str], list[str]]:
        assert references
        self.asked += 1
        return [], references

    def cancel(self, reference: str) -> None:
        self.cancelled.append(reference)

    def get(self, reference: str) -> None:
        raise self.exceptions.TaskCancelledError if reference in self.cancelled else self.exceptions.RayError("died")


def test_a_stop_on_a_cluster_reaches_all_in_work_and_begins_no_other(
    painting: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = Cluster()
    monkeypatch.setattr(pairs, "joined", lambda pool: contextlib.nullcontext(ray))
    rows = [Pair(name, painting, photo, tmp_path / name, resolve()) for name in "abc"]
    outcomes = pairs.train(rows, pool=Pool(cpus=2.0), stop=lambda: ray.asked > 2)
    assert [outcome.state for outcome in outcomes] == ["stopped"] * 3
    assert ray.begun == ray.cancelled == ["a", "b"]


@pytest.mark.parametrize(("planned", "done"), [(1, True), (2, False), ("1", False), (None, False), ([1], False)])
def test_a_run_is_finished_once_the_planned_steps_that_it_tells_are_done(
    painting: Path, photo: Path, tmp_path: Path, planned: object, done: bool
) -> None:
    pair = Pair("run", painting, photo, tmp_path / "run", overlay(resolve(), TINY))
    pair.folder.mkdir()
    told = {**pair.identity().to_dict(), "steps": 1, "planned_steps": planned}
    save_telling(make_model(pair.config), pair.folder / MODEL_FILE, **told)
    assert pairs.finished(pair) == done


@pytest.mark.slow
def test_pairs_are_trained_once_resumed_and_told(table: Path, tmp_path: Path, tiny_flags: list[str]) -> None:
    """One was interrupted: the command goes on with it, trains the others, and names the bad row."""
    runs, typed = tmp_path / "runs", [*tiny_flags[1::2], "schedule.steps=8"]
    first = load(table, runs, flags=typed)[0]
    assert isinstance(first, Pair)
    asked = iter([False, False, True])
    with pytest.raises(Interrupted):
        run.train(first.painting, first.photo, first.folder, config=first.config, stop=lambda: next(asked))
    assert 1 <= Model.load(first.folder).provenance.steps < 8

    result = sincut("train", "--pairs", table, "-o", runs, *tiny_flags, "--steps", 8, "--device", "cpu", "--json")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert result.stderr.splitlines()[-1] == "sincut: 1 of 3 pairs failed, see above: painting-to-broken"
    rows = json.loads(result.stdout)["pairs"]
    assert [(row["state"], row["steps"]) for row in rows] == [("trained", 8), ("failed", 0), ("trained", 3)]
    assert "broken.png: is not a picture" in rows[1]["error"]
    assert Model.load(runs / "the other, one").provenance.seed == 7
    lines = [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")]
    assert {line["pair"] for line in lines if line["event"] == "Trained"} == {"painting-to-photo", "the other, one"}
    assert next(line["step"] for line in lines if line["event"] == "Started") >= 1  # not from the beginning

    again = pairs.train(load(table, runs, flags=typed), "cpu")
    assert [outcome.state for outcome in again] == ["skipped", "failed", "skipped"]
    other = pairs.train(load(table, runs, flags=[*typed, "schedule.seed=5"])[:1], "cpu")
    assert other[0].state == "failed" and "holds another run" in other[0].error


def test_engines_of_one_training_are_refused(painting: Path, photo: Path) -> None:
    for words in ((painting, photo, "--engine", "ray"), (painting,), ("--pairs", "x.csv", "--reverse")):
        assert in_process("train", *words).returncode == 2
    assert_clear_error(in_process("train", "--pairs", "none.csv"), 1, "none.csv", "cannot be read")
