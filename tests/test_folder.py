"""Plans: mirrored trees, collisions refused, existing outputs skipped, bad files survived."""

import os
from pathlib import Path

import pytest
from conftest import make_model, scene
from PIL import Image

from sincut import folder
from sincut.config import Config
from sincut.errors import ImageError, RunError
from sincut.events import Event, PictureDone, PictureFailed
from sincut.translate import Translator

Naming = folder.Naming


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "in"
    for name in ("a.jpg", "b c.png", "deep/er/d.tif", "deep/é.gif", ".hidden.png", ".git/e.png", "notes.txt"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("not a picture")
        else:
            Image.fromarray(scene(20, 24, 0)).save(path)
    return root


def targets(plan: folder.Plan, output: Path) -> list[str]:
    return [job.target.relative_to(output).as_posix() for job in plan.jobs]


def test_tree_is_mirrored_and_other_files_left_out(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert targets(folder.plan([tree], Naming(out)), out) == ["a.jpg", "b c.png", "deep/é.gif.png", "deep/er/d.tif"]


def test_output_inside_the_input_is_not_read_again(tree: Path) -> None:
    out = tree / "styled"
    (out / "deep").mkdir(parents=True)
    Image.fromarray(scene(9, 9, 0)).save(out / "old.png")
    assert "old.png" not in targets(folder.plan([tree], Naming(out)), out)


def test_output_around_the_input_changes_nothing(tree: Path) -> None:
    plan = folder.plan([tree / "deep"], Naming(tree.parent / "elsewhere" / ".." / "out"))
    assert len(plan.jobs) == 2
    plan = folder.plan([tree / "deep"], Naming(tree))
    assert [job.source.name for job in plan.jobs] == ["é.gif", "d.tif"]
    with pytest.raises(RunError, match="overwritten"):
        folder.plan([tree], Naming(tree))


def test_folders_without_pictures_and_unwritable_formats_are_refused(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="empty: holds no pictures"):
        folder.plan([tmp_path / "empty"], Naming(tmp_path / "out"))
    with pytest.raises(ImageError, match=r"out\.gif: cannot write"):
        folder.plan([tree / "a.jpg"], Naming(tmp_path / "out.gif"))


def test_one_file_goes_to_the_name_given(tree: Path, tmp_path: Path) -> None:
    plan = folder.plan([tree / "a.jpg"], Naming(tmp_path / "x.png"))
    assert [job.target for job in plan.jobs] == [tmp_path / "x.png"]
    plan = folder.plan([tree / "a.jpg"], Naming(tmp_path / "new"))
    assert [job.target for job in plan.jobs] == [tmp_path / "new" / "a.jpg"]


def test_collisions_are_refused_before_work(tree: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(scene(20, 24, 0)).save(other / "a.jpg")
    with pytest.raises(RunError, match=r"a\.jpg and .*a\.jpg would both"):
        folder.plan([tree, other], Naming(tmp_path / "out"))
    with pytest.raises(RunError, match="overwritten by its translation"):
        folder.plan([other / "a.jpg"], Naming(other), overwrite=True)
    with pytest.raises(RunError, match="need a folder"):
        folder.plan([tree], Naming(tmp_path / "x.png"))
    with pytest.raises(ImageError, match="no such file or folder"):
        folder.plan([tmp_path / "nothing"], Naming(tmp_path / "out"))


def test_a_link_loop_ends(tree: Path, tmp_path: Path) -> None:
    os.symlink(tree, tree / "deep" / "loop")
    assert len(folder.plan([tree], Naming(tmp_path / "out")).jobs) == 4


def test_existing_outputs_are_skipped_and_bad_files_survived(tree: Path, tmp_path: Path, tiny: Config) -> None:
    out = tmp_path / "out"
    (tree / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (tree / "empty.jpg").touch()
    translator = Translator(make_model(tiny))
    events: list[Event] = []
    done, failed = folder.run(folder.plan([tree], Naming(out)), translator, on_event=events.append)
    assert len(done) == 4 and {job.source.name for job, _ in failed} == {"bad.png", "empty.jpg"}
    assert sum(isinstance(event, PictureDone) for event in events) == 4
    assert sum(isinstance(event, PictureFailed) for event in events) == 2
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()) == [
        "a.jpg", "b c.png", "deep/er/d.tif", "deep/é.gif.png"]  # fmt: skip
    again = folder.plan([tree], Naming(out))
    assert {job.source.name for job in again.jobs} == {"bad.png", "empty.jpg"} and len(again.skipped) == 4
    assert len(folder.plan([tree], Naming(out), overwrite=True).jobs) == 6


def test_stop_is_asked_between_pictures(tree: Path, tmp_path: Path, tiny: Config) -> None:
    answers = iter([False, True])
    done, failed = folder.run(
        folder.plan([tree], Naming(tmp_path / "out")), Translator(make_model(tiny)), stop=lambda: next(answers)
    )
    assert len(done) == 1 and not failed
