"""Parts in processes of their own: they answer, run out of time, are stopped, and never outlive who measures."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from helpers import CPU, ROOT

from sincut.bench.alone import OutOfTimeError, alone
from sincut.config.sections import Config
from sincut.errors import Interrupted, SincutError

# Parts for the processes, which import this module from here.
PARTS = """
import os, pathlib, tempfile, time
import torch
from sincut.bench.alone import alone
from sincut.config.sections import Config

def sleeps(config, device, folder):
    with tempfile.TemporaryDirectory(dir=folder) as made:
        pathlib.Path(folder, "begun").touch()
        time.sleep(600)

if __name__ == "__main__":
    import sys
    alone(sleeps, Config(), torch.device("cpu"), sys.argv[1])
"""


def fails(config: Config, device: torch.device, what: str) -> None:
    """A part that fails, and tells by what it was given and where."""
    crops, threads = config.crops.count, torch.get_num_threads()
    raise SincutError(f"{what} on {device} with {crops} crops on {threads} threads by {os.getpid()}")


def dies(config: Config, device: torch.device) -> None:
    """A part that the system kills."""
    os.kill(os.getpid(), signal.SIGTERM if os.name == "nt" else signal.SIGKILL)


def sleeps(config: Config, device: torch.device) -> None:
    """A part that does not end by itself."""
    time.sleep(600)


def test_a_part_that_fails_or_dies_is_told(tiny: Config) -> None:
    with pytest.raises(SincutError, match="a part on cpu with 2 crops on 2 threads by ") as told:
        alone(fails, tiny, CPU, "a part", threads=2)
    pid = int(str(told.value).split()[-1])
    assert pid != os.getpid() and not psutil.pid_exists(pid)
    with pytest.raises(SincutError, match="ended without a result"):
        alone(dies, tiny, CPU)


def test_a_part_that_takes_too_long_or_is_stopped_is_ended(tiny: Config) -> None:
    with pytest.raises(OutOfTimeError, match="not done within 0 s"):
        alone(sleeps, tiny, CPU, limit=0.01)
    with pytest.raises(Interrupted):
        alone(sleeps, tiny, CPU, stop=lambda: True)
    assert not [child for child in psutil.Process().children() if "multiprocessing.spawn" in " ".join(child.cmdline())]


@pytest.mark.skipif(os.name == "nt", reason="removes no made-up files of what is killed")
def test_a_part_ends_with_who_measures_and_clears_up(tmp_path: Path) -> None:
    program, made = tmp_path / "measures.py", tmp_path / "made"
    program.write_text(PARTS, encoding="utf-8")
    made.mkdir()
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    measures = psutil.Popen([sys.executable, program, made], env=env, stderr=subprocess.DEVNULL)
    until, below = time.monotonic() + 60, []
    while not (made / "begun").exists() and time.monotonic() < until:
        time.sleep(0.02)
    try:
        below = measures.children(recursive=True)
        measures.kill()
        measures.wait(30)
        _, alive = psutil.wait_procs(below, 30)
    finally:
        for process in (measures, *below):
            if process.is_running():
                process.kill()
    assert below and not alive and [path.name for path in made.iterdir()] == ["begun"]
