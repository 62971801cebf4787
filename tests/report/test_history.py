"""The history of a run, as its metrics tell it."""

from pathlib import Path

import pytest

from sincut.errors import RunError
from sincut.report import history
from sincut.report.history import History


def test_a_session_stands_at_the_step_of_its_line() -> None:
    told = History()
    told.add({"step": 5, "session": {"step": "seven", "painting": "a.png"}})
    assert told.sessions == [{"step": 5, "painting": "a.png"}]


def test_steps_that_will_be_done_again_leave_no_lines_and_no_previews(tmp_path: Path) -> None:
    (tmp_path / "previews").mkdir()
    for step in (10, 20, 30):
        history.append(tmp_path, {"step": step, "losses": {"D": 1.0}})
        (tmp_path / "previews" / f"{step:06d}.jpg").touch()
    for name in ("painting.jpeg", "notes.jpg"):
        (tmp_path / "previews" / name).touch()
    history.forget_after(tmp_path, 20)
    assert list(History.read(tmp_path).losses) == [10, 20] and list(history.previews(tmp_path)) == [10, 20]
    assert {"painting.jpeg", "notes.jpg"} < {path.name for path in (tmp_path / "previews").iterdir()}


def test_metrics_that_cannot_be_read_are_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(RunError, match=r"metrics\.jsonl: cannot be read"):
        History.read(tmp_path)


def test_a_run_folder_is_found_from_its_model(tmp_path: Path) -> None:
    assert history.run_folder(tmp_path) == history.run_folder(tmp_path / "model.safetensors") == tmp_path


def test_a_drawn_preview_has_one_of_g_alone_beside_it(tmp_path: Path) -> None:
    (tmp_path / "previews").mkdir()
    for name in ("000010.jpg", "000010-fast.jpg", "000020.jpg", "000030.jpg", "000030-fast.jpg"):
        (tmp_path / "previews" / name).touch()
    shown = history.previews(tmp_path)
    assert [history.is_drawn(path) for path in shown.values()] == [True, False, True]
    assert history.fast_preview(shown[30]).name == "000030-fast.jpg"
    history.forget_after(tmp_path, 20)
    assert sorted(path.name for path in (tmp_path / "previews").iterdir()) == [
        "000010-fast.jpg", "000010.jpg", "000020.jpg"]  # fmt: skip


def test_the_pace_of_each_line_and_the_most_memory_are_known(tmp_path: Path) -> None:
    for step, seconds, memory in ((2, 0.5, 100), (4, 0.25, 300), (6, 0.125, 200)):
        history.append(tmp_path, {"step": step, "losses": {"D": 1.0}, "step_seconds": seconds, "memory": memory})
    history.append(tmp_path, {"step": 7, "losses": {"D": 1.0}, "memory": "much"})
    told = History.read(tmp_path)
    assert told.paces == {2: 0.5, 4: 0.25, 6: 0.125} and told.memory == 300
