"""Which pictures files and folders stand for."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import RECIPE, in_process, make_model, scene, targets
from PIL import Image

from sincut.batch.naming import Naming
from sincut.batch.pipe import run
from sincut.batch.plan import Memory, Plan, make_plan
from sincut.config.sections import Config
from sincut.errors import ImageError, RunError
from sincut.events import Event, Warned
from sincut.translation.translator import Translator


def test_tree_is_mirrored_and_other_files_left_out(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert targets(make_plan([tree], Naming(out)), out) == ["a.jpg", "b c.png", "deep/é.gif.png", "deep/er/d.tif"]


def test_results_among_the_sources_are_refused(tree: Path) -> None:
    for output in (tree / "styled", tree, tree / "{stem}.png", tree / "deep/{folder}/{name}"):
        with pytest.raises(RunError, match=r"lies in .*outside"):
            make_plan([tree], Naming(output))


def test_output_around_the_input_changes_nothing(tree: Path) -> None:
    plan = make_plan([tree / "deep"], Naming(tree.parent / "elsewhere" / ".." / "out"))
    assert len(plan.jobs) == 2
    plan = make_plan([tree / "deep"], Naming(tree))
    assert [job.source.name for job in plan.jobs] == ["é.gif", "d.tif"]


def test_folders_without_pictures_and_unwritable_formats_are_refused(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="empty: holds no pictures"):
        make_plan([tmp_path / "empty"], Naming(tmp_path / "out"))
    with pytest.raises(ImageError, match=r"out\.gif: cannot write"):
        make_plan([tree / "a.jpg"], Naming(tmp_path / "out.gif"))


def test_a_link_loop_ends(tree: Path, tmp_path: Path) -> None:
    os.symlink(tree, tree / "deep" / "loop")
    assert len(make_plan([tree], Naming(tmp_path / "out")).jobs) == 4


def test_globs_choose_what_is_taken_from_folders(tree: Path, tmp_path: Path) -> None:
    def names(**filters: Any) -> set[str]:
        return {job.source.name for job in make_plan([tree], Naming(tmp_path / "out"), **filters).jobs}

    assert names(include=["*.jpg", "*.png"]) == {"a.jpg", "b c.png"}
    assert names(include=["deep/*"], exclude=["*.gif"]) == {"d.tif"}
    assert names(exclude=["a.*"]) == {"b c.png", "d.tif", "é.gif"}
    with pytest.raises(ImageError, match="--include"):
        names(include=["*.nothing"])


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names are text there")
def test_names_that_are_no_text_are_names_too(tmp_path: Path, tiny: Config) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    path = source / os.fsdecode(b"\xff\xfe.png")
    Image.fromarray(scene(20, 24, 0)).save(path)
    (source / os.fsdecode(b"\xfe.png")).write_bytes(b"broken")
    done, failed = run(make_plan([source], Naming(out), recipe=RECIPE), Translator(make_model(tiny)))
    assert [job.source for job in done] == [path] and len(failed) == 1
    assert not make_plan([source], Naming(out), recipe=RECIPE).jobs


def make_pictures(folder: Path, *names: str) -> None:
    """Small pictures with these names below a folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene(20, 24, 0)).save(folder / name)


def taken(plan: Plan, source: Path) -> list[str]:
    """The pictures of a plan, below the input."""
    return [job.source.relative_to(source).as_posix() for job in plan.jobs]


def test_what_is_left_out_is_counted_and_named_once(tree: Path, tmp_path: Path, tiny: Config) -> None:
    for name in ("g.jxl", "h.CR2", "deep/i.cr2", "none", "Thumbs.db", "a.xmp", ".hidden.nef"):
        (tree / name).touch()
    plan, events = make_plan([tree], Naming(tmp_path / "out")), list[Event]()
    assert plan.left_out == {".cr2": 2, ".jxl": 1, "": 1, ".txt": 1}
    run(plan, Translator(make_model(tiny)), on_event=events.append)
    (told,) = [event.message for event in events if isinstance(event, Warned)]
    assert all(words in told for words in ("does not read", ".cr2 (2)", ".jxl (1)", "no suffix (1)", ".txt (1)"))
    only = make_plan([tree], Naming(tmp_path / "new"), include=["*.jpg"], exclude=["*.txt"])
    assert len(only.jobs) == 1 and not only.left_out and not only.warnings
    with pytest.raises(ImageError, match=r"holds no pictures that are asked for, only \.cr2 \(2\); check"):
        make_plan([tree], Naming(tmp_path / "new"), include=["*.CR2", "*.cr2"])


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of folders that cannot be listed, be it by root; those that were asked for are taken away."""
    names, scandir = set[str](), os.scandir

    def listed(path: Path) -> Any:
        if path.name in names:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr("sincut.batch.sources.os.scandir", listed)
    return names


def test_what_is_left_out_is_no_news_to_the_next_plan(tree: Path, tmp_path: Path, closed: set[str]) -> None:
    """As with several models, or with --watch, where files arrive one by one."""
    memory = Memory()
    make_pictures(tree, "closed/x.jpg")
    closed.add("closed")

    def plan(**arrived: Any) -> Plan:
        return make_plan([tree], Naming(tmp_path / "out"), memory=memory, **arrived)

    first, second = plan(), plan()
    assert len(first.warnings) == len(first.unread) == 1 and not second.warnings and not second.unread
    assert first.left_out == second.left_out == {".txt": 1}
    for name in ("more.txt", "a.cr2"):
        (tree / name).touch()
    arrived = plan(arrived={tree / "more.txt", tree / "a.cr2"})
    assert len(arrived.warnings) == 1 and arrived.warnings[0].endswith(" .cr2 (1)")


def test_trash_and_thumbnails_of_systems_are_left_out_like_hidden_folders(tree: Path, tmp_path: Path) -> None:
    folders = ["@eaDir", "deep/@eaDir/a.jpg", "#recycle", "$RECYCLE.BIN", "__MACOSX", ".Trash-1000", "lost+found"]
    folders += ["System Volume Information", "@Recycle/x", "$Recycle.Bin/S-1-5"]
    make_pictures(tree, *(f"{folder}/SYNOPHOTO_THUMB_M.jpg" for folder in folders), "recycle/kept.jpg")
    plan = make_plan([tree], Naming(tmp_path / "out"))
    assert taken(plan, tree) == ["a.jpg", "b c.png", "deep/é.gif", "deep/er/d.tif", "recycle/kept.jpg"]
    told = next(line for line in plan.warnings if "of the system" in line)
    assert "@eaDir" in told and "#recycle" in told and "System Volume Information" in told
    arrived = {tree / "@eaDir/SYNOPHOTO_THUMB_M.jpg", tree / "recycle/kept.jpg", tree / ".Trash-1000/x.jpg"}
    assert taken(make_plan([tree], Naming(tmp_path / "out"), arrived=arrived), tree) == ["recycle/kept.jpg"]
    assert len(make_plan([tree / "#recycle"], Naming(tmp_path / "out")).jobs) == 1  # by its own name


def test_one_unreadable_folder_costs_that_one(tree: Path, tmp_path: Path, model_file: Path, closed: set[str]) -> None:
    make_pictures(tree, "closed/x.jpg")
    closed.add("closed")
    result = in_process("apply", model_file, tree, "-o", tmp_path / "out", "--json")
    assert result.returncode == 1 and "Permission denied" in result.stderr
    told = json.loads(result.stdout)
    assert len(told["done"]) == 4 and [entry["source"] for entry in told["failed"]] == [str(tree / "closed")]
    assert "1 input or folder cannot be read, see above: " in result.stderr.splitlines()[-1]
    assert in_process("apply", model_file, tree, "-o", tmp_path / "out", "--exclude", "clos*").returncode == 0
    closed.add("in")
    with pytest.raises(ImageError, match="this folder cannot be read"):
        make_plan([tree], Naming(tmp_path / "out"))
    assert len(make_plan([tree, tree / "deep"], Naming(tmp_path / "out")).jobs) == 2


@pytest.mark.parametrize("pattern", ["closed", "closed*", "deep/closed", "deep/closed/*", "*/closed/*", "closed/"])
def test_excluded_folders_are_not_entered(tree: Path, tmp_path: Path, closed: set[str], pattern: str) -> None:
    make_pictures(tree, "deep/closed/x.jpg")
    closed.add("closed")
    assert make_plan([tree], Naming(tmp_path / "out")).unread
    plan = make_plan([tree], Naming(tmp_path / "out"), exclude=[pattern])
    assert len(plan.jobs) == 4 and not plan.unread


def test_results_may_go_where_nobody_looks(tree: Path) -> None:
    for name in ("styled", ".styled"):
        plan = make_plan([tree], Naming(tree / name), exclude=["styled"])
        assert len(plan.jobs) == 4
    with pytest.raises(RunError, match="outside"):
        make_plan([tree], Naming(tree / "styled"), exclude=["*.gif"])


def test_inputs_that_are_missing_or_empty_cost_only_themselves(tree: Path, tmp_path: Path, model_file: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link.jpg").symlink_to("nothing")
    plan = make_plan([tree, tmp_path / "empty"], Naming(tmp_path / "out"))
    assert len(plan.jobs) == 4 and not plan.unread and any("holds no pictures" in line for line in plan.warnings)
    paths = tmp_path / "link.jpg", tree / "a.jpg", tmp_path / "no.jpg"
    result = in_process("apply", model_file, *paths, "-o", tmp_path / "out", "--json")
    assert result.returncode == 1 and len(json.loads(result.stdout)["done"]) == 1
    last = result.stderr.splitlines()[-1]
    assert "2 inputs or folders cannot be read" in last and "link.jpg" in last and "no.jpg" in last
    with pytest.raises(RunError, match="several pictures need a folder"):
        make_plan(paths, Naming(tmp_path / "x.png"))


def test_each_real_file_is_taken_once(tree: Path, tmp_path: Path) -> None:
    make_pictures(tmp_path, "elsewhere/x.jpg")
    (tree / "0.jpg").symlink_to("a.jpg")
    (tree / "deep/z.tif").symlink_to("er/d.tif")
    (tree / "deep/out.jpg").symlink_to(tmp_path / "elsewhere/x.jpg")
    (tree / "deep/again.jpg").symlink_to(tmp_path / "elsewhere/x.jpg")
    (tree / "nowhere.jpg").symlink_to("nothing")
    (tree / "favourites").symlink_to(tmp_path / "elsewhere")
    plan = make_plan([tree, tree / "a.jpg", tree / "deep"], Naming(tmp_path / "out"))
    assert taken(plan, tree) == [
        "a.jpg", "b c.png", "nowhere.jpg", "deep/again.jpg", "deep/é.gif", "deep/er/d.tif"
    ]  # fmt: skip
    told = "\n".join(plan.warnings)
    for words in ("lead to pictures that are taken themselves (", "out of the folder are translated", "given twice"):
        assert words in told
    assert f"{tree / '0.jpg'} -> {tree.resolve() / 'a.jpg'}" in told
    assert "not followed" in told and f"favourites -> {tmp_path.resolve() / 'elsewhere'}" in told


def test_in_place_no_file_is_translated_twice_and_none_elsewhere(tree: Path, tmp_path: Path, tiny: Config) -> None:
    (tree / "deep/é.gif").unlink()
    make_pictures(tmp_path, "elsewhere/x.jpg")
    (tree / "z.jpg").symlink_to("a.jpg")
    (tree / "out.jpg").symlink_to(tmp_path / "elsewhere/x.jpg")
    os.link(tree / "a.jpg", tree / "hard.jpg")
    before, translator = (tmp_path / "elsewhere/x.jpg").read_bytes(), Translator(make_model(tiny))
    run(make_plan([tree / "a.jpg"], Naming(tmp_path / "once.jpg")), translator)
    plan = make_plan([tree], Naming(None), recipe=RECIPE)
    assert taken(plan, tree) == ["a.jpg", "b c.png", "hard.jpg", "deep/er/d.tif"]
    assert "--in-place" in plan.warnings[1] and "(2)" in plan.warnings[1]
    done, failed = run(plan, translator)
    assert len(done) == 4 and not failed and (tmp_path / "elsewhere/x.jpg").read_bytes() == before
    once = (tmp_path / "once.jpg").read_bytes()
    assert (tree / "a.jpg").read_bytes() == once == (tree / "hard.jpg").read_bytes() and (tree / "z.jpg").is_symlink()
    by_name = make_plan([tree / "z.jpg"], Naming(None), recipe=RECIPE)  # the link itself: known by what it leads to
    assert not by_name.jobs and [job.source for job in by_name.skipped] == [tree.resolve() / "a.jpg"]
    assert "what they lead to is replaced" in by_name.warnings[0]


def test_in_place_a_folder_knows_what_the_folders_around_it_know(tree: Path, tiny: Config) -> None:
    translator = Translator(make_model(tiny))
    run(make_plan([tree / "deep/er"], Naming(None), recipe=RECIPE), translator)
    plan = make_plan([tree], Naming(None), exclude=["*.gif"], recipe=RECIPE)
    assert taken(plan, tree) == ["a.jpg", "b c.png"]
    run(plan, translator)
    for path, file in ((tree, "a.jpg"), (tree / "deep/er", "d.tif")):
        assert not make_plan([path / file], Naming(None), recipe=RECIPE).jobs
    make_pictures(tree, "deep/er/d.tif")  # another picture
    assert len(make_plan([tree / "deep"], Naming(None), exclude=["*.gif"], recipe=RECIPE).jobs) == 1
    assert len(make_plan([tree], Naming(None), True, exclude=["*.gif"], recipe=RECIPE).jobs) == 3


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no named pipes")
def test_pipes_in_folders_are_left_out(tree: Path, tmp_path: Path) -> None:
    os.mkfifo(tree / "pipe.jpg")
    plan = make_plan([tree], Naming(tmp_path / "out"))
    assert len(plan.jobs) == 4 and any("are no files (1): " in line for line in plan.warnings)


def test_formats_that_are_not_written_are_named_in_place(tree: Path) -> None:
    with pytest.raises(ImageError, match=r"cannot write \.gif; .*--exclude '\*\.gif'"):
        make_plan([tree], Naming(None))
    assert len(make_plan([tree], Naming(None), exclude=["*.gif"]).jobs) == 3
