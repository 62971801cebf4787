"""Which pictures files and folders stand for."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import RECIPE, make_model, scene, targets
from PIL import Image

from sincut.batch.naming import Naming
from sincut.batch.pipe import run
from sincut.batch.plan import make_plan
from sincut.config.sections import Config
from sincut.errors import ImageError, RunError
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
