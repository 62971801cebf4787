"""The accounts of a run: manifest, events, counts and the time that is left."""

from pathlib import Path

from helpers import RECIPE, lines_of

from sincut.batch.naming import Naming
from sincut.batch.plan import make_plan
from sincut.batch.tally import Pace, Result, Tally, held
from sincut.batch.work import Outcome
from sincut.events import BatchStarted, Event, PictureDone, PictureFailed, Warned
from sincut.files import PART
from sincut.pictures.opening import MAX_PIXELS


def test_only_failures_that_stay_are_written_down(tree: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    plan = make_plan([tree], Naming(tmp_path / "out"), recipe=RECIPE)
    known = ((1, 2), "ab", 480, 0.5)
    with held(plan):
        tally = Tally(plan, MAX_PIXELS, events.append)
        tally.end(plan.jobs[0], Outcome(*known))
        tally.end(plan.jobs[1], Outcome(*known, error="b: is damaged", damaged=True))
        tally.end(plan.jobs[2], Outcome(*known, error="c: the disk is full"))
        tally.fail(plan.jobs[3], "d: its worker died")
    assert [(entry["output"], entry["status"]) for entry in lines_of(tmp_path / "out")] == [
        ("a.jpg", "done"), ("b c.png", "failed")]  # fmt: skip
    assert tally.done == [plan.jobs[0]] and [job for job, _ in tally.failed] == list(plan.jobs[1:])
    assert [type(event) for event in events] == [BatchStarted, Warned, PictureDone, *[PictureFailed] * 3]


def test_unfinished_files_of_a_killed_run_are_removed(tree: Path, tmp_path: Path) -> None:
    plan = make_plan([tree], Naming(tmp_path / "out"), recipe=RECIPE)
    (tmp_path / "out" / "deep").mkdir(parents=True)
    left = [tmp_path / "out" / f".a.jpg.x{PART}", tmp_path / "out" / "deep" / f".b.x{PART}"]
    for part in left:
        part.touch()
    (tmp_path / "out" / "mine.txt").touch()
    with held(plan):
        assert not any(part.exists() for part in left) and (tmp_path / "out" / "mine.txt").exists()


def test_the_time_left_goes_by_pixels_and_ends_with_the_last_picture() -> None:
    pace = Pace(1000, 3)
    pace.began -= 10.0  # seconds ago
    assert pace.left(100) >= 90
    assert pace.left(900) > 0  # one more is to come, whatever the sizes that were declared
    assert pace.left(1) == 0


def test_results_add_up(tree: Path, tmp_path: Path) -> None:
    plan, result = make_plan([tree], Naming(tmp_path / "out")), Result()
    result.add(plan, list(plan.jobs[:1]), [(plan.jobs[1], "b: is damaged")])
    result.add(plan, list(plan.jobs), [])
    assert (result.jobs, result.left, len(result.done)) == (8, 2, 5)
    summary = result.summary()
    assert summary["done"][0] == {"source": str(tree / "a.jpg"), "target": str(tmp_path / "out" / "a.jpg")}
    assert summary["failed"] == [{"source": str(tree / "b c.png"), "error": "b: is damaged"}]
    assert summary["skipped"] == summary["failed_before"] == []
