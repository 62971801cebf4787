"""Files whole or not at all, errors blamed on the right file, folders held by one process and looked at by many."""

import fcntl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from helpers import ROOT

from sincut import files
from sincut.errors import ImageError, RunError
from sincut.files import PART, is_locked, locked, remove_parts, write_whole, writing, written_whole


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_at_once_and_a_link_stays_one(tmp_path: Path) -> None:
    path, link = tmp_path / "a.txt", tmp_path / "link.txt"
    write_whole(path, b"old", ImageError)
    path.chmod(0o640)
    link.symlink_to("a.txt")
    with written_whole(link, ImageError) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old" and temporary.parent == tmp_path
    assert link.is_symlink() and path.read_bytes() == b"new" and path.stat().st_mode & 0o777 == 0o640
    assert names(tmp_path) == ["a.txt", "link.txt"]


def test_an_error_that_is_not_of_writing_is_not_blamed_on_the_target(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError, match="stderr"), written_whole(tmp_path / "a.txt", ImageError) as temporary:
        temporary.write_bytes(b"half")
        raise BrokenPipeError("stderr is closed")
    with pytest.raises(FileNotFoundError, match=r"mask\.png"), written_whole(tmp_path / "a.txt", ImageError):
        (tmp_path / "mask.png").read_bytes()
    assert names(tmp_path) == []


def test_errors_of_writing_name_the_target_and_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "folder.txt").mkdir()
    for target in (tmp_path / "nowhere" / "a.txt", tmp_path / "folder.txt", tmp_path / ("m" * 300 + ".txt")):
        with pytest.raises(ImageError, match=r"cannot be written .*choose another place with -o") as caught:
            write_whole(target, b"new", ImageError)
        assert str(target) in str(caught.value)
    path = tmp_path / "a.txt"
    full = pytest.raises(RunError, match=r"a\.txt: cannot be written \(No space left")
    with full, written_whole(path, RunError), writing(path, RunError):
        raise OSError(28, "No space left on device")
    assert names(tmp_path) == ["folder.txt"]


def test_a_part_of_a_long_name_fits_where_names_end_at_143_bytes(tmp_path: Path) -> None:
    with written_whole(tmp_path / ("🎨" * 30 + ".png"), ImageError) as temporary:
        assert len(temporary.name.encode()) <= 143 and temporary.name.endswith(PART)
    (tmp_path / f".left{PART}").touch()
    remove_parts(tmp_path)
    assert names(tmp_path) == ["🎨" * 30 + ".png"]


def test_what_cannot_be_removed_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in an output folder that has been closed to writing since: pictures that go there fail, the others go on."""

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / f".left{PART}").touch()
    monkeypatch.setattr(Path, "unlink", refuse)
    remove_parts(tmp_path)
    assert names(tmp_path) == [f".left{PART}"]


@contextmanager
def a_look_that_takes(seconds: float, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another thread is in the middle of looking at the folder, and stays there for so long."""
    with locked(folder):
        pass
    real, looking = fcntl.flock, threading.Event()

    def slow(file: int, flags: int) -> None:
        real(file, flags)
        if threading.current_thread() is looker and not looking.is_set():
            looking.set()
            time.sleep(seconds)

    looker = threading.Thread(target=is_locked, args=(folder,))
    monkeypatch.setattr("fcntl.flock", slow)
    looker.start()
    looking.wait()
    try:
        yield
    finally:
        looker.join()


def test_those_who_look_at_a_folder_do_not_see_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with a_look_that_takes(0.2, tmp_path, monkeypatch):
        assert not is_locked(tmp_path)


def test_who_looks_at_a_folder_never_keeps_it_from_being_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with a_look_that_takes(0.5, tmp_path, monkeypatch), locked(tmp_path):
        assert is_locked(tmp_path)


def test_a_folder_is_held_while_many_threads_look_without_a_pause(tmp_path: Path) -> None:
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            is_locked(tmp_path)

    lookers = [threading.Thread(target=look) for _ in range(4)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(50):
            with locked(tmp_path):
                assert is_locked(tmp_path)
    finally:
        ended.set()
        for looker in lookers:
            looker.join()


def test_a_folder_is_held_by_one_process_until_it_ends(tmp_path: Path) -> None:
    code = "import sys, time, pathlib; from sincut.files import locked\n"
    code += "with locked(pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, cwd=ROOT) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        assert is_locked(tmp_path)
        with pytest.raises(RunError, match="another sincut writes there"), locked(tmp_path):
            pass
        holder.kill()
        holder.wait()
    assert not is_locked(tmp_path)
    with locked(tmp_path):
        assert is_locked(tmp_path)


def test_versions_that_lock_with_flock_alone_are_seen_and_see_us(tmp_path: Path) -> None:
    with (tmp_path / files.LOCK_FILE).open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert is_locked(tmp_path)
        with pytest.raises(RunError), locked(tmp_path):
            pass
        fcntl.flock(file, fcntl.LOCK_UN)
        with locked(tmp_path), pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_file_system_without_locks_leaves_the_folder_unguarded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(file: object, *flags: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", none)
    with locked(tmp_path), locked(tmp_path):
        assert not is_locked(tmp_path)


def test_a_folder_that_cannot_be_written_cannot_be_held(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"cannot be written .*another folder"), locked(tmp_path / "nowhere"):
        pass
    assert not is_locked(tmp_path / "nowhere")
