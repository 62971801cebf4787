"""Trainings as processes of their own: started here and resumed by the command, and the other way round."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import IO

import pytest
from click.testing import CliRunner
from helpers import make_model, save_telling, stop_after

from sincut.cli import main
from sincut.config.resolve import resolve
from sincut.config.sections import Config
from sincut.errors import ConfigError, ImageError, Interrupted, RunError
from sincut.files import is_locked, locked
from sincut.model.model import Model
from sincut.page.jobs import Order, Trainings
from sincut.page.status import DONE, RUNNING, STOPPED
from sincut.report import history
from sincut.runs import run


def waited(condition: Callable[[], bool], seconds: float = 120) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return False


def settings(flags: list[str], *more: str) -> list[str]:
    return [*[flag for flag in flags if flag != "--set"], *more]


def stopped_run(painting: Path, photo: Path, folder: Path, config: Config, reverse: bool = False) -> None:
    """A run that was stopped after its first step."""
    with pytest.raises(Interrupted):
        run.train(painting, photo, folder, config=config, reverse=reverse, stop=stop_after(1))


@pytest.mark.slow
def test_started_here_and_stopped_goes_on_by_the_command(
    painting: Path, photo: Path, tmp_path: Path, tiny_flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings = Trainings(tmp_path / "runs", "cpu")
    flags = settings(tiny_flags, "schedule.steps=100000", "output.log_every=1")
    name = trainings.start(Order(painting, photo, settings=flags, name="one", seed=3))
    assert name == "one" and trainings.status(name).phase == RUNNING
    assert waited(lambda: trainings.status(name).step > 0)
    with pytest.raises(RunError, match="being trained already"):
        trainings.resume(name)
    trainings.stop(name)
    trainings.stop(name)  # a second time changes nothing
    assert waited(lambda: trainings.status(name).phase == STOPPED), trainings.status(name)
    assert trainings.processes[name].wait() == 130
    before = trainings.status(name)
    assert 0 < before.step < before.steps == 100_000 and before.is_resumable
    inputs = [trainings.picture(name, role) for role in ("painting", "photo")]
    monkeypatch.setattr("sincut.cli.train.stoppable", lambda: nullcontext(stop_after(1)))
    command = ["train", *map(str, inputs), "-o", str(tmp_path / "runs" / name), "--resume", "--device", "cpu"]
    resumed = CliRunner().invoke(main, command)
    assert resumed.exit_code == 130, resumed.output
    assert trainings.about(name)[1].steps == before.step + 1 and trainings.about(name)[1].seed == 3
    lines = [history.parsed(line) for line in history.lines(tmp_path / "runs" / name)]
    steps = [line["step"] for line in lines if "losses" in line]
    assert steps == list(range(1, before.step + 2))


@pytest.mark.slow
def test_begun_by_the_command_is_resumed_here(painting: Path, photo: Path, tmp_path: Path, tiny: Config) -> None:
    stopped_run(painting, photo, tmp_path / "runs" / "two", tiny, reverse=True)
    trainings = Trainings(tmp_path / "runs", "cpu")
    assert trainings.names() == ["two"] and trainings.status("two").is_resumable
    trainings.resume("two")
    assert waited(lambda: trainings.status("two").phase == DONE), trainings.status("two")
    assert Model.load(tmp_path / "runs" / "two").provenance.steps == 4


def test_pictures_of_a_run_are_known_by_their_bytes(painting: Path, photo: Path, tmp_path: Path, tiny: Config) -> None:
    stopped_run(painting, photo, tmp_path / "runs" / "moved", tiny)
    trainings = Trainings(tmp_path / "runs")
    begun: list[list[str]] = []
    trainings._begin = lambda folder, arguments: begun.append(arguments) or "moved"  # type: ignore[method-assign,func-returns-value]
    trainings.resume("moved")
    assert begun[0] == [str(painting), str(photo), "--resume"]
    trainings.train_longer("moved", 2.5)
    assert begun.pop() == [str(painting), str(photo), "--more", "2.5"]
    for minutes in (0, -1, None):
        with pytest.raises(ConfigError, match="minutes"):
            trainings.train_longer("moved", minutes)
    elsewhere = painting.rename(tmp_path / "elsewhere.png")
    with pytest.raises(RunError, match=r"painting\.png is not where it was"):
        trainings.resume("moved", [photo])
    trainings.resume("moved", [photo, elsewhere])
    assert begun[1] == [str(elsewhere), str(photo), "--resume"]


def test_an_order_says_what_will_look_like_what(painting: Path, photo: Path, tmp_path: Path) -> None:
    there, back = Order(painting, photo), Order(painting, photo, "painting")
    assert there.flags()[:2] == ["--to", "photo"] and back.flags()[:2] == ["--to", "painting"]
    assert "--no-exemplar" in Order(painting, photo, exemplar=False).flags() and "--no-exemplar" not in there.flags()
    assert there.by_part == (painting, photo) and back.by_part == (photo, painting)


@pytest.mark.slow
def test_close_saves_what_is_running(painting: Path, photo: Path, tmp_path: Path, tiny_flags: list[str]) -> None:
    trainings = Trainings(tmp_path / "runs", "cpu")
    flags = settings(tiny_flags, "schedule.steps=100000", "output.log_every=1")
    name = trainings.start(Order(painting, photo, settings=flags, name="one"))
    assert waited(lambda: trainings.status(name).step > 0)
    assert trainings.close() == [name]
    assert trainings.processes[name].poll() == 130 and not is_locked(tmp_path / "runs" / name)
    status = trainings.status(name)
    assert status.phase == STOPPED and trainings.about(name)[1].steps == status.step > 0


class FakeProcess:
    """A training as `Trainings` sees it, which ends when it is interrupted."""

    def __init__(self, *_: object, on_poll: Callable[[], None] = lambda: None, **__: object) -> None:
        self.on_poll, self.signals = on_poll, list[int]()

    def poll(self) -> int | None:
        self.on_poll()
        return 130 if self.signals else None

    def send_signal(self, number: int) -> None:
        self.signals.append(number)

    def wait(self, timeout: float) -> int:
        assert self.signals and timeout > 0
        return 130


def test_a_training_that_is_begun_while_all_are_closed_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings, refused = Trainings(tmp_path, "cpu"), list[str]()
    for name in ("one", "two", "late"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "checkpoint.safetensors").touch()

    def begin() -> None:
        try:
            trainings._begin(tmp_path / "late", [])
        except RunError as error:
            refused.append(str(error))

    visitor = threading.Thread(target=begin)

    def come() -> None:
        if not visitor.ident:
            visitor.start()
            visitor.join(0.3)  # it is through now, or waits for the lock

    monkeypatch.setattr(subprocess, "Popen", FakeProcess)
    fakes = {"one": FakeProcess(on_poll=come), "two": FakeProcess()}
    trainings.processes.update(fakes)  # type: ignore[arg-type]
    assert trainings.close() == ["one", "two"]
    visitor.join()
    assert all(len(fake.signals) == 1 for fake in fakes.values())
    assert set(trainings.processes) == {"one", "two"} and "late: sincut ui is closing" in refused[0]


def test_a_training_that_runs_keeps_its_log_where_another_is_refused(tmp_path: Path) -> None:
    trainings = Trainings(tmp_path, "cpu")
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "training.log").write_text("so far")
    trainings.processes["one"] = FakeProcess()  # type: ignore[assignment]
    with pytest.raises(RunError, match="being trained already"):
        trainings._begin(tmp_path / "one", [])
    assert (tmp_path / "one" / "training.log").read_text() == "so far"


def test_orders_are_refused_before_anything_is_written(painting: Path, photo: Path, tmp_path: Path) -> None:
    trainings = Trainings(tmp_path / "runs")
    for name in ("../out", "a/b", ".hidden", "-o", "a" * 201, "end.", "new\nline"):
        with pytest.raises(RunError, match="no name for a model"):
            trainings.start(Order(painting, photo, name=name))
    with pytest.raises(ConfigError, match="no setting"):
        trainings.start(Order(painting, photo, settings=["crops.sise=3"]))
    with pytest.raises(ConfigError, match="preset"):
        trainings.start(Order(painting, photo, preset="none"))
    with pytest.raises(ImageError, match="no such file"):
        trainings.start(Order(tmp_path / "none.png", photo))
    with pytest.raises(ImageError, match="smaller than one"):
        trainings.start(
            Order(painting, photo, settings=["crops.size=128", "crops.scale=factor", "crops.low=1", "crops.high=1"])
        )
    assert not (tmp_path / "runs").exists()


def test_only_runs_in_the_folder_are_found(tmp_path: Path, tiny: Config) -> None:
    for name in ("runs/a", "runs/deep/b", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
        make_model(tiny).save(tmp_path / name / "model.safetensors")
    make_model(tiny).save(tmp_path / "runs" / "friend.safetensors")
    trainings = Trainings(tmp_path / "runs")
    assert set(trainings.names()) == {"a", "deep/b"}
    assert set(trainings.models()) == {"a", "deep/b", "friend.safetensors"}
    for name in ("../elsewhere", "/etc", "", ".", "a/../a"):
        with pytest.raises(RunError, match="no such run"):
            trainings.path(name)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no shared locks")
def test_two_tabs_that_look_at_once_do_not_take_each_other_for_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    trainings, folder, flock = Trainings(tmp_path, "cpu"), tmp_path / "free", fcntl.flock
    folder.mkdir()
    (folder / "checkpoint.safetensors").touch()
    with locked(folder):
        pass  # now there is a lock file, which nobody holds
    phases: list[str] = []

    def while_another_looks(file: IO[bytes], operation: int) -> None:
        flock(file, operation)
        if not phases:
            phases.append("begun")
            phases.append(trainings.status("free").phase)

    monkeypatch.setattr(fcntl, "flock", while_another_looks)
    phases.append(trainings.status("free").phase)
    assert phases == ["begun", STOPPED, STOPPED]


def test_a_folder_that_another_process_holds_is_running(tmp_path: Path, tiny: Config) -> None:
    folder = tmp_path / "runs" / "held"
    folder.mkdir(parents=True)
    make_model(tiny).save(folder / "model.safetensors")
    trainings = Trainings(tmp_path / "runs")
    assert not is_locked(folder) and not (folder / ".lock").exists()
    with locked(folder):
        assert is_locked(folder) and trainings.status("held").phase == RUNNING
        with pytest.raises(RunError, match="started elsewhere"):
            trainings.stop("held")
        with pytest.raises(RunError, match="being trained already"):
            trainings.resume("held")
    assert not is_locked(folder)


def test_paths_are_of_runs_and_models_alone(tmp_path: Path, tiny: Config) -> None:
    runs = tmp_path / "runs"
    for name in ("one", "group/two", "a/b/three", "empty"):
        (runs / name).mkdir(parents=True)
    for path in (runs / "one", runs / "group/two", runs / "a/b/three", tmp_path):
        (path / "training.log").touch()
    make_model(tiny).save(runs / "given.safetensors")
    trainings = Trainings(runs, "cpu")
    for name in (*trainings.names(), *trainings.models()):
        assert trainings.path(name) == runs / name
    wrong = ("", ".", "..", "empty", "a/b/three", "one/", "./one", "one/../one", "group/../..", str(runs / "one"))
    for name in (*wrong, "none.safetensors", "x" * 5000, "a\0b"):
        with pytest.raises(RunError, match="no such run"):
            trainings.path(name)


def test_closing_tells_what_can_be_resumed(tmp_path: Path) -> None:
    trainings = Trainings(tmp_path / "runs", "cpu")
    for name, file in (("saved", "checkpoint.safetensors"), ("nothing", "training.log")):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / file).touch()
        trainings.processes[name] = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert trainings.close() == ["saved"]


def test_the_same_training_is_not_started_twice_and_again_takes_the_next_seed(
    painting: Path, photo: Path, tmp_path: Path, tiny: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "runs" / "one"
    stopped_run(painting, photo, folder, tiny, reverse=True)
    trainings, started = Trainings(tmp_path / "runs"), list[list[str]]()

    class Started(FakeProcess):
        def __init__(self, command: list[str], **options: object) -> None:
            super().__init__()
            started.append(command)

    monkeypatch.setattr(subprocess, "Popen", Started)
    assert trainings.again("one") == "photo-to-painting"
    words = started[0][4:]
    assert words[words.index("--to") + 1] == "painting" and words[words.index("--seed") + 1] == "1"
    flags = [word for flag, word in pairwise(words) if flag == "--set"]
    preset = words[words.index("--preset") + 1]
    again = resolve(preset, [*flags, "schedule.seed=0"])
    assert again == tiny
    with pytest.raises(RunError, match="photo-to-painting: is just this training"):
        trainings.again("one")
    order = Order(painting, photo, "painting", preset, seed=1, settings=flags)
    with pytest.raises(RunError, match="photo-to-painting: is just this training"):
        trainings.start(replace(order, name="another name"))
    assert trainings.start(replace(order, seed=2)) == "photo-to-painting-2"
    trainings.processes["photo-to-painting"].send_signal(15)
    assert trainings.again("one") == "photo-to-painting-3"


def test_models_have_done_a_step_and_reports_are_of_runs(tmp_path: Path, tiny: Config) -> None:
    runs = tmp_path / "runs"
    for name, steps, planned in (("ready", 3, 4), ("begun", 0, 4), ("older", 0, 0)):
        (runs / name).mkdir(parents=True)
        save_telling(make_model(tiny), runs / name / "model.safetensors", steps=steps, planned_steps=planned)
    (runs / "broken").mkdir()
    (runs / "broken" / "model.safetensors").write_text("no model")
    trainings = Trainings(runs)
    assert set(trainings.models()) == {"ready", "older", "broken"} and "begun" in trainings.names()
    assert trainings.report("ready") is None
    (runs / "ready" / "report.html").touch()
    assert trainings.report("ready") == runs / "ready" / "report.html"
    with pytest.raises(RunError):
        trainings.report("../ready")
