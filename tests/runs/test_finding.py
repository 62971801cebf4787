"""The pictures of a side: a file, a folder by the rules of apply, a pattern, or a list."""

from pathlib import Path

import numpy as np
import pytest
from helpers import scene
from PIL import Image

from sincut.errors import ImageError
from sincut.runs.finding import find


def below(root: Path, paths: tuple[Path, ...]) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def test_a_file_stands_for_itself_whatever_its_name(tmp_path: Path) -> None:
    odd = tmp_path / "a[1]*.jpg"
    odd.touch()
    for path in (odd, tmp_path / "none.jpg"):
        found = find(path, "painting")
        assert found.images == (path,) and found.name == found.title == path.name and found.stem == path.stem
        assert found.words == (str(path),) and not found.told
    array = scene(20, 30, 1)
    assert find(array, "photo").images == (array,) and find(array, "photo").name == "photo"


def test_a_folder_holds_the_pictures_that_apply_takes_from_one(tree: Path) -> None:
    found = find(tree, "painting")
    assert below(tree, found.paths) == ["a.jpg", "b c.png", "deep/er/d.tif", "deep/é.gif"] or below(
        tree, found.paths
    ) == ["a.jpg", "b c.png", "deep/é.gif", "deep/er/d.tif"]
    assert (found.name, found.stem, found.title) == ("in", "in", "in (4 pictures)")
    assert any(".txt (1)" in line for line in found.told)
    (tree / "@eaDir").mkdir()
    (tree / "@eaDir/thumb.jpg").touch()
    assert len(find(f"{tree}/", "painting").images) == 4


def test_a_folder_of_one_picture_is_that_picture_and_an_empty_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    found = find(tmp_path, "photo")
    assert found.images == (tmp_path / "a.png",) and found.title == "a.png" and found.stem == "a"
    (tmp_path / "a.png").rename(tmp_path / "a.txt")
    with pytest.raises(ImageError, match=r"there are no pictures in this folder \(.*\.txt \(1\)"):
        find(tmp_path, "photo")


def test_a_pattern_stands_for_what_matches_it(tree: Path) -> None:
    found = find(tree / "*", "painting")
    assert below(tree, found.paths) == ["a.jpg", "b c.png"] and any(".txt (1)" in line for line in found.told)
    assert (found.name, found.stem, found.title) == ("in/*", "in", "in/* (2 pictures)")
    assert len(find(str(tree / "**/*.[gt]if"), "painting").images) == 2
    assert find(tree / "a*.jpg", "painting").title == "a.jpg"
    with pytest.raises(ImageError, match=r"\*\.webp: no picture has such a name; check the pattern"):
        find(tree / "*.webp", "painting")
    with pytest.raises(ImageError, match=r"only \.txt \(1\)"):
        find(tree / "n*", "painting")


def test_a_list_holds_any_of_these(tree: Path) -> None:
    array, image = scene(20, 30, 1), Image.new("RGB", (30, 20))
    found = find([tree / "a.jpg", array, image, tree / "deep"], "painting")
    assert len(found.images) == 5 and found.images[1] is array and found.images[2] is image
    assert found.name == "a.jpg and more" and found.stem == "a-and-more" and found.title.endswith("(5 pictures)")
    assert found.words == (str(tree / "a.jpg"), "painting 2", "painting 3", str(tree / "deep"))
    alone = find((array,), "photo")
    assert alone.title == "photo" and isinstance(alone.images[0], np.ndarray)
    with pytest.raises(ImageError, match="photo: an empty list of pictures"):
        find([], "photo")
