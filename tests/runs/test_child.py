"""Trainings as processes: they are listened to, asked to stop once, and stopped cleanly whatever goes wrong here."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from helpers import ROOT, until_stopped

from sincut.model.model import Model
from sincut.runs import child
from sincut.runs.child import Ended, attend

FILLS = """
import sys
for number in range(5000):
    print(f"a line that fills the pipe, {number}", file=sys.stderr)
"""


@pytest.fixture
def saves(tmp_path: Path) -> list[str]:
    return until_stopped(tmp_path)


def once_begun(folder: Path) -> Callable[[], bool]:
    """A `stop` that is true from when the training can listen to it."""
    return lambda: (folder / "begun").exists()


def test_each_line_is_handed_on_and_the_last_one_kept() -> None:
    lines: list[str] = []
    ended = attend([sys.executable, "-c", FILLS], lines.append)
    assert ended == Ended(0, False, "a line that fills the pipe, 4999") and len(lines) == 5000
    assert not ended.stopped


def test_a_training_is_asked_to_stop_once_and_saves(saves: list[str], tmp_path: Path) -> None:
    ended = attend(saves, lambda line: None, once_begun(tmp_path))
    assert ended.stopped and ended.code == child.SAVED
    assert (tmp_path / "saved").read_text() == "1"


def test_without_a_listener_stderr_is_our_own(capfd: pytest.CaptureFixture[str]) -> None:
    program = "import sys; print('dropped'); print('told', file=sys.stderr); sys.exit(sys.stdin.read() != '')"
    assert attend([sys.executable, "-c", program]) == Ended(0, False)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "told\n")


def test_a_listener_that_fails_stops_the_training_cleanly(saves: list[str], tmp_path: Path) -> None:
    """The pipe is read to its end, nobody turns in circles, and the caller gets the exception."""
    asked: list[float] = []
    lines: list[str] = []

    def stop() -> bool:
        asked.append(time.monotonic())
        return False

    def on_line(line: str) -> None:
        lines.append(line)
        raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        attend(saves, on_line, stop)
    assert (tmp_path / "saved").read_text() == "1" and lines == ["begun"]
    assert len(asked) < 100


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_whatever_ends_the_waiting_stops_the_training(
    saves: list[str], tmp_path: Path, error: type[BaseException]
) -> None:
    def stop() -> bool:
        if (tmp_path / "begun").exists():
            raise error("of the caller")
        return False

    with pytest.raises(error, match="of the caller"):
        attend(saves, lambda line: None, stop)
    assert (tmp_path / "saved").exists()


@pytest.mark.skipif(os.name == "nt", reason="has no SIGTERM that can be ignored")
def test_one_that_does_not_end_when_asked_to_is_killed_after_its_grace(tmp_path: Path) -> None:
    deaf = "import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    deaf += " pathlib.Path(sys.argv[1], 'begun').touch(); time.sleep(60)"
    ended = attend([sys.executable, "-c", deaf, str(tmp_path)], stop=once_begun(tmp_path), grace=0.1)
    assert ended == Ended(-signal.SIGKILL, True)


def test_one_that_is_killed_before_it_can_listen_was_stopped() -> None:
    sleeps = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert attend(sleeps, stop=lambda: True) == Ended(-signal.SIGTERM, True)
    assert Ended(-signal.SIGTERM, True).stopped and not Ended(-signal.SIGKILL, False).stopped
    dies = [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]
    assert attend(dies) == Ended(-signal.SIGKILL, False)


@pytest.mark.skipif(os.name == "nt", reason="has no sessions")
def test_a_training_apart_has_a_session_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    program = [sys.executable, "-c", "import os, sys; print(os.getsid(0) == os.getpid(), file=sys.stderr)"]
    for apart in (True, False):
        child.start(program, apart=apart).wait()
        assert capfd.readouterr().err == f"{apart}\n"


ATTENDS = """
import sys
from sincut.runs.child import attend, command
attend(command(*sys.argv[1:]), lambda line: print(line, flush=True))
"""


@pytest.mark.skipif(os.name == "nt", reason="has no SIGKILL")
def test_a_training_whose_parent_is_killed_saves_and_ends(
    painting: Path, photo: Path, tmp_path: Path, tiny_flags: list[str]
) -> None:
    run = tmp_path / "run"
    words = [str(painting), str(photo), "-o", str(run), "--json", "--device", "cpu", *tiny_flags]
    words += ["--steps", "1000000", "--set", "output.log_every=1", "--set", "output.previews=0"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "-c", ATTENDS, *words], stdout=subprocess.PIPE, env=env) as parent:
        assert parent.stdout is not None
        next(line for line in parent.stdout if b'"Progress"' in line)
        (training,) = psutil.Process(parent.pid).children()
        parent.kill()
    try:
        training.wait(60)  # raises where it goes on
    finally:
        if training.is_running():
            training.kill()
    assert Model.load(run).provenance.steps > 0  # its words had no reader any more, and it has saved


@pytest.mark.skipif(os.name == "nt", reason="has no zombies")
def test_a_parent_that_has_ended_is_noticed_before_anybody_waits_for_it() -> None:
    follows = """
import sys, time
from sincut.runs.child import follow
print("followed", flush=True)
follow(int(sys.argv[1]))
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        until = time.monotonic() + 20
        while psutil.Process(ended.pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < until
            time.sleep(0.01)
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", follows, str(ended.pid)], env=env, timeout=20)
    assert done.returncode == -signal.SIGTERM
