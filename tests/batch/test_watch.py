"""What arrives in folders, told when it is complete."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import ROOT, lines_of, scene
from PIL import Image

from sincut.batch.watch import SETTLED_SECONDS, _as_given, _Settling, arrivals
from sincut.errors import RunError


@pytest.mark.slow
def test_watching_translates_what_arrives_when_it_is_complete(tmp_path: Path, model_file: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    (source / "deep").mkdir(parents=True)
    Image.fromarray(scene(20, 24, 0)).save(source / "first.png")
    whole = (source / "first.png").read_bytes()
    command = [sys.executable, "-m", "sincut", "apply", str(model_file), str(source), "-o", str(out), "--watch"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=env) as process:

        def wait_for(path: Path) -> None:
            ends = time.monotonic() + 120
            while not path.exists():
                assert process.poll() is None and time.monotonic() < ends
                time.sleep(0.1)

        wait_for(out / "first.png")
        time.sleep(1)
        with (source / "deep/slow.png").open("wb") as file:  # in three parts: never read before it is complete
            for part in (whole[:100], whole[100:300], whole[300:]):
                file.write(part)
                file.flush()
                time.sleep(1)
        (source / "notes.txt").write_text("no picture")
        wait_for(out / "deep/slow.png")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in said and "failed" not in said
    assert "2 pictures are written" in said
    assert [entry["status"] for entry in lines_of(out)] == ["done", "done"]


def test_watching_needs_its_extra_and_a_folder(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match="no folder"):
        next(arrivals([tree / "a.jpg"], lambda: False))
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    with pytest.raises(RunError, match=r"sincut\[watch\]"):
        next(arrivals([tree], lambda: False))


def test_paths_told_by_the_system_are_given_the_folders_own_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On macOS /tmp is a link to /private/tmp, and the system tells of real paths."""
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    folders = [Path("other"), Path("link")]
    for told in (tmp_path / "real" / "deep" / "a.png", tmp_path / "link" / "deep" / "a.png"):
        assert _as_given(told, folders) == Path("link/deep/a.png")
    assert _as_given(tmp_path / "real" / "b.png", [tmp_path / "link"]) == tmp_path / "link" / "b.png"
    (tmp_path / "real" / "c.png").symlink_to(tmp_path / "other" / "x.png")  # a link among the files stays one
    assert _as_given(tmp_path / "real" / "c.png", folders) == Path("link/c.png")


def test_files_are_complete_when_they_have_stayed_as_they_are(tmp_path: Path) -> None:
    settling, file = _Settling(), tmp_path / "a.png"
    file.write_bytes(b"some")
    settling.add(file, 0.0)
    settling.add(tmp_path / "gone.png", 0.0)
    assert not settling.complete(SETTLED_SECONDS / 2)
    file.write_bytes(b"some more")
    assert not settling.complete(SETTLED_SECONDS)
    assert not settling.complete(SETTLED_SECONDS * 1.5)
    assert settling.complete(SETTLED_SECONDS * 2) == {file}
    assert not settling.complete(SETTLED_SECONDS * 3)
