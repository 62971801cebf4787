"""The runs as a tab shows them: nothing is sent twice, and names and words of strangers stay text."""

from pathlib import Path

import numpy as np
import pytest
from helpers import make_model
from PIL import Image

from sincut.config.sections import Config

gr = pytest.importorskip("gradio")


def test_only_what_is_new_is_sent(tmp_path: Path, tiny: Config) -> None:
    from sincut.page.desk import Desk
    from sincut.page.jobs import Trainings
    from sincut.page.run_view import Shown, run_updates

    desk = Desk(tmp_path, tmp_path, Trainings(tmp_path / "runs", "cpu"), "cpu")
    first = Shown(*run_updates(desk, None, None))
    assert first.status == "<p>No runs yet. Choose two pictures, then start.</p>" and first.stop == gr.skip()
    assert run_updates(desk, None, first.seen) == [gr.skip()] * len(first)
    (tmp_path / "runs" / "sea").mkdir(parents=True)
    (tmp_path / "runs" / "sea" / "metrics.jsonl").write_text('{"step": 1, "losses": {"D": 0.5, "NCE": 2}}\n')
    make_model(tiny).save(tmp_path / "runs" / "sea" / "model.safetensors")
    second = Shown(*run_updates(desk, None, first.seen))
    assert second.runs["value"] == "sea" and second.runs["choices"] == [("sea – failed", "sea")]
    assert second.losses.to_dict("list") == {"step": [1, 1], "loss": ["D", "NCE"], "value": [0.5, 2]}
    assert second.figures is None and second.latest is None and second.previews == []
    assert not second.pictures["visible"] and not second.explained["visible"]
    assert not second.stop["interactive"] and not second.resume["interactive"]
    assert run_updates(desk, "sea", second.seen) == [gr.skip()] * len(second)
    with (tmp_path / "runs" / "sea" / "metrics.jsonl").open("a") as metrics:
        metrics.write('{"step": 2, "losses": {"D": 0.25}, "steps": 9}\n')
    third = Shown(*run_updates(desk, "sea", second.seen))
    assert third.losses["value"].to_list() == [0.5, 2, 0.25] and third.latest == third.previews == gr.skip()
    assert Shown(*run_updates(desk, "sea", None)).previews == []


def test_previews_say_which_are_drawn_and_a_cover_is(tmp_path: Path, tiny: Config) -> None:
    from sincut.page.desk import Desk
    from sincut.page.jobs import Trainings
    from sincut.page.run_view import Shown, run_updates

    desk, run = Desk(tmp_path, tmp_path, Trainings(tmp_path / "runs", "cpu"), "cpu"), tmp_path / "runs" / "sea"
    (run / "previews").mkdir(parents=True)
    make_model(tiny).save(run / "model.safetensors")
    for number, name in enumerate(("000001.jpg", "000001-fast.jpg", "000002.jpg")):
        Image.fromarray(np.full((20, 30, 3), 100 * number, np.uint8)).save(run / "previews" / name)
    shown = Shown(*run_updates(desk, "sea", None))
    assert [words for _, words in shown.previews] == ["step 1", "step 2; sketch"]
    assert shown.pictures["visible"]
    assert np.asarray(desk.cover("sea")).max() < 20  # of the drawn one, though it is earlier
    for name in ("000001-fast.jpg", "000001.jpg"):
        (run / "previews" / name).unlink()
    assert [words for _, words in Shown(*run_updates(desk, "sea", None)).previews] == ["step 2"]
    assert np.asarray(desk.cover("sea")).min() > 180


def test_the_status_is_told_in_words_of_which_none_is_html() -> None:
    from sincut.page.run_view import _in_full
    from sincut.page.status import DONE, RUNNING, STOPPED, Status

    told = _in_full("<b>&", Status(RUNNING, 3, 10, 400.0, ("first", "<script>", "x", "y"), 100.0))
    assert "<strong>&lt;b&gt;&amp;</strong>: running, step 3 of 10, about 7 min left</p>" in told
    assert 'value="0.200" max="1"' in told and 'data-title="20% – sincut"' in told and told.count("warning") == 3
    assert "&lt;script&gt;" in told and "<script>" not in told and "first" not in told
    told = _in_full("a", Status(RUNNING, doing="measuring"))
    assert ": running, measuring</p>" in told and "<progress" in told and "value=" not in told
    assert ": stopped, step 3 of 10 (Resume goes on exactly there)</p>" in _in_full("a", Status(STOPPED, 3, 10))
    assert ": finished, step 9 of 9</p>" in _in_full("a", Status(DONE, 9, 9))


def test_a_warning_on_figures_says_what_can_be_seen_and_what_helps() -> None:
    from sincut.page.run_view import SEEN, _in_plain_words
    from sincut.report.measures import complaints

    said = complaints({"colour": 9.0, "texture": 9.0, "structure": 0.0, "tone": -1.0})
    assert len(said) == len(SEEN) == 4
    for complaint, words in zip(said, SEEN.values(), strict=True):
        told = _in_plain_words(f"step 8: {complaint}; another --seed may do better")
        assert told == f"{words} (step 8). Try again with another seed."
    assert _in_plain_words("the disk is full; another --seed") == "the disk is full; another --seed"
