"""`sincut train` and others with sets: folders, patterns, several files, and what an expanded pattern is told."""

import json
from pathlib import Path

import pytest
from helpers import assert_clear_error, in_process, scene
from PIL import Image

from sincut.model.model import Model
from sincut.model.provenance import PictureIdentity
from sincut.report.history import words_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "sea views"
    path.mkdir()
    for seed in range(2):
        Image.fromarray(scene(60, 70, seed)).save(path / f"{seed}.png")
    (path / "broken.png").write_bytes(b"no picture")
    return path


def learned(run: Path) -> tuple[PictureIdentity, PictureIdentity]:
    told = Model.load(run).provenance
    assert told.painting is not None and told.photo is not None
    return told.painting, told.photo


def test_sets_are_named_by_folders_patterns_and_options(
    folder: Path, photo: Path, tmp_path: Path, tiny_flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = [*tiny_flags, "--set", "output.previews=0", "--steps", "1", "--device", "cpu"]
    done = in_process("train", "sea views/", photo, *flags)
    assert done.returncode == 0 and "sea views (3 pictures) will look like photo.png" in done.stderr
    assert "broken.png" in done.stderr and "this picture is left out" in done.stderr
    assert "apply: " in done.stderr and "'sea views/0.png' -o out.png" in done.stderr
    painting, _ = learned(Path("runs/sea views-to-photo"))
    assert painting.title == "sea views (2 pictures)"
    assert in_process("train", photo, "sea views/?.png", "-o", "pattern", *flags).returncode == 0
    assert learned(Path("pattern"))[1].title == "sea views/?.png (2 pictures)"
    files = sorted(map(str, folder.glob("?.png")))
    assert in_process("train", *files, "--photo", photo, "-o", "files", *flags).returncode == 0
    assert learned(Path("files"))[0].title == "0.png and more (2 pictures)"
    words = ["train", "--painting", photo, "--photo", files[0], "--photo", files[1], "-o", "options", *flags]
    assert in_process(*words).returncode == 0 and len(learned(Path("options"))[1].pictures) == 2
    told = json.loads(in_process("inspect", "options", "--json").stdout)
    assert [each["name"] for each in told["photo"]["pictures"]] == ["0.png", "1.png"]
    assert "pictures" not in told["painting"]
    lines = in_process("inspect", "options").stdout
    rows = [line.split() for line in lines.splitlines()]
    assert ["name", "0.png", "and", "more"] in rows and ["name", "0.png"] in rows and ["name", "1.png"] in rows


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("a.png", "b.png", "c.png"), "3 pictures are given, and not which are paintings"),
        (("a.png",), "give PAINTING and PHOTO"),
        (("--painting", "a.png"), "give PAINTING and PHOTO"),
        ((), "give PAINTING and PHOTO"),
        (("a.png", "--painting", "b.png", "--photo", "c.png"), "name both sides; leave out the other pictures"),
    ],
)
def test_pictures_of_which_the_side_is_not_said_are_a_usage_error(words: tuple[str, ...], line: str) -> None:
    refused = in_process("train", *words)
    assert refused.returncode == 2 and line in refused.stderr


def test_what_holds_no_picture_is_one_line(folder: Path, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert_clear_error(in_process("train", tmp_path / "empty", photo), 1, "there are no pictures in this folder")
    assert_clear_error(in_process("train", folder / "*.jpg", photo), 1, "no picture has such a name")


def test_figures_are_of_the_look_of_all_photos(folder: Path, painting: Path, photo: Path) -> None:
    (folder / "broken.png").unlink()
    told = in_process("evaluate", painting, folder, photo, "--json")
    alone = in_process("evaluate", painting, folder / "0.png", photo, "--json")
    figures, others = json.loads(told.stdout), json.loads(alone.stdout)
    assert figures["structure"] == others["structure"] and figures["colour"] != others["colour"]


def test_the_exemplars_of_a_set_are_put_into_a_model(folder: Path, model_file: Path) -> None:
    (folder / "broken.png").unlink()
    assert in_process("exemplar", model_file, folder).returncode == 0
    assert Model.load(model_file).exemplar_sizes == ((60, 70), (60, 70))
    carried = json.loads(in_process("inspect", model_file, "--json").stdout)
    assert carried["exemplars"] == [{"width": 70, "height": 60}] * 2 and carried["exemplar"] == carried["exemplars"][0]
    assert in_process("exemplar", model_file, folder / "0.png", folder / "1.png").returncode == 0
    assert in_process("exemplar", model_file, "--remove").returncode == 0
    assert Model.load(model_file).exemplars == ()


def test_words_name_the_sides_again() -> None:
    assert words_of({"painting": "a", "photo": "b"}) == ["a", "b"]
    words = ["--painting", "a", "--photo", "b", "--photo", "c"]
    assert words_of({"painting": "a", "photo": ["b", "c"]}) == words
