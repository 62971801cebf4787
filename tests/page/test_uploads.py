"""Pictures from a browser: translated as the command does it, kept apart, packed, and confined to where they may be."""

import os
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import scene
from PIL import Image

from sincut.errors import ImageError, RunError
from sincut.page import uploads
from sincut.pictures.writing import Saving
from sincut.translation.blend import Blend
from sincut.translation.options import Options
from sincut.translation.translator import Translator, load

PLAIN = Options(), Saving()


@pytest.fixture
def translator(model_file: Path) -> Translator:
    return load(model_file)


def upload(place: Path, name: str, number: int, **options: Any) -> Path:
    """A file as the page keeps it: in a folder of its own."""
    path = place / f"upload{number}" / name
    path.parent.mkdir(parents=True)
    Image.fromarray(scene(30, 40, number)).save(path, **options)
    return path


def test_uploads_keep_names_formats_and_metadata(tmp_path: Path, model_file: Path, translator: Translator) -> None:
    place = tmp_path / "place"
    exif = Image.Exif()
    exif[0x013B] = "somebody"
    files = [upload(place, "a.jpg", 1, exif=exif, dpi=(300, 300)), upload(place, "a.jpg", 2), upload(place, "b.png", 3)]
    batch = uploads.translate_uploads(files, place, model_file, translator, *PLAIN)
    names = ["a-2-some.jpg", "a-some.jpg", "b-some.png"]
    assert [job.target.name for job in batch.done] == names and not batch.failed
    first = Path(next(job.target for job in batch.done if job.target.name == "a-some.jpg"))
    with Image.open(first) as image:
        assert image.format == "JPEG" and image.getexif()[0x013B] == "somebody" and image.info["dpi"] == (300, 300)
    translator.apply_file(files[0], tmp_path / "direct.jpg")
    assert first.read_bytes() == (tmp_path / "direct.jpg").read_bytes()
    assert batch.archive is not None
    with zipfile.ZipFile(batch.archive) as archive:
        assert archive.namelist() == names and archive.read("a-some.jpg") == first.read_bytes()


def test_results_are_named_by_picture_and_model_whatever_is_in_their_names(
    tmp_path: Path, model_file: Path, translator: Translator
) -> None:
    model = model_file.rename(model_file.with_name("{x} 1.5.safetensors"))
    files = [upload(tmp_path, name, number) for number, name in enumerate(("v1.2.png", "p.bmp", "p.gif", "q.gif"))]
    batch = uploads.translate_uploads(files, tmp_path, model, translator, *PLAIN)
    names = ["p-2-{x} 1.5.png", "p-{x} 1.5.bmp", "q-{x} 1.5.png", "v1.2-{x} 1.5.png"]
    assert [job.target.name for job in batch.done] == names, batch


def test_uploads_that_fail_are_told_and_the_others_go_on(
    tmp_path: Path, model_file: Path, translator: Translator
) -> None:
    place = tmp_path / "place"
    good, bad = upload(place, "good.png", 1), upload(place, "bad.png", 2)
    bad.write_bytes(b"no picture")
    batch = uploads.translate_uploads([bad, good], place, model_file, translator, *PLAIN)
    assert len(batch.done) == 1 and len(batch.failed) == 1 and batch.failed[0].startswith("bad.png: ")
    with pytest.raises(ImageError, match="no pictures"):
        uploads.translate_uploads([], place, model_file, translator, *PLAIN)


def test_uploads_take_options(tmp_path: Path, model_file: Path, translator: Translator) -> None:
    place = tmp_path / "place"
    options = Options(blend=Blend(strength=0.0))
    batch = uploads.translate_uploads(
        [upload(place, "a.png", 1)], place, model_file, translator, options, Saving(), "tif"
    )
    target = batch.done[0].target
    assert target.suffix == ".tif" and np.array_equal(np.asarray(Image.open(target)), scene(30, 40, 1))


def test_folders_go_on_where_they_were(tmp_path: Path, model_file: Path, translator: Translator) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    for number in (1, 2):
        upload(source, "x.png", number)
    stopped = uploads.translate_folder(source, output, model_file, translator, *PLAIN, stop=lambda: True)
    assert stopped.left == 2 and not stopped.shown
    batch = uploads.translate_folder(source, output, model_file, translator, *PLAIN)
    assert len(batch.done) == 2 and (output / "upload1" / "x.png").is_file() and batch.archive is None
    again = uploads.translate_folder(source, output, model_file, translator, *PLAIN)
    assert len(again.skipped) == 2 and again.shown == batch.done


def test_results_in_a_named_folder_are_packed_unless_they_are_too_many(
    tmp_path: Path, model_file: Path, translator: Translator, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, output = tmp_path / "in", tmp_path / "out"
    upload(source, "x.png", 1)
    batch = uploads.translate_folder(source, output, model_file, translator, *PLAIN)
    packed = uploads.packed(batch, output, tmp_path)
    assert packed.archive is not None and packed.archive.parent.name.startswith(uploads.PREFIX)
    with zipfile.ZipFile(packed.archive) as archive:
        assert archive.namelist() == ["upload1/x.png"] and archive.testzip() is None
    monkeypatch.setattr(uploads, "DOWNLOADED_BYTES", 10)
    assert uploads.packed(batch, output, tmp_path) == batch
    assert uploads.packed(uploads.Batch((), (), (), 0), output, tmp_path).archive is None


def test_a_picture_goes_into_a_folder_with_dots_and_what_is_left_out_is_told(
    tmp_path: Path, model_file: Path, translator: Translator
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    Image.fromarray(scene(30, 40, 1)).save(source / "my.photo.jpg")
    (source / "raw.nef").touch()
    output = tmp_path / "styled" / "my.photo"
    one = uploads.translate_folder(source / "my.photo.jpg", output, model_file, translator, *PLAIN)
    assert [job.target for job in one.done] == [output / "my.photo.jpg"] and not one.left_out
    batch = uploads.translate_folder(source, tmp_path / "all", model_file, translator, *PLAIN)
    assert len(batch.done) == 1 and not batch.failed and ".nef (1)" in batch.left_out[0]


def test_paths_of_visitors_stay_below_the_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "pictures").mkdir(parents=True)
    assert uploads.inside(root, " pictures/a.jpg ") == root / "pictures" / "a.jpg"
    assert uploads.inside(root, str(root / "pictures")) == root / "pictures"
    (root / "way_out").symlink_to(tmp_path)
    hostile = "..", "../x.jpg", "/etc/passwd", "pictures/../../x", "way_out/x.jpg", "a\0b", "~root/../../.."
    for text in hostile:
        with pytest.raises(RunError, match="does not lie in"):
            uploads.inside(root, text)


def test_names_from_browsers_become_plain_files(tmp_path: Path) -> None:
    files = [upload(tmp_path, name, number) for number, name in enumerate(("..hidden.png", "a:b.png", "ü ö.png"))]
    staged = uploads._staged(files, tmp_path / "staged")
    assert sorted(path.name for path in staged.iterdir()) == ["a_b.png", "hidden.png", "ü ö.png"]


def test_on_screen_is_small_and_opaque(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "clear.png"
    Image.fromarray(np.zeros((40, 60, 4), np.uint8)).save(path)
    with Image.open(uploads.on_screen(path, tmp_path)) as image:
        assert image.format == "JPEG" and image.size == (60, 40) and np.asarray(image).min() > 250
    monkeypatch.setattr(uploads, "TOO_LARGE_TO_SHOW", 100)
    with pytest.raises(ImageError, match="too many to be shown"):
        uploads.on_screen(path, tmp_path)


def test_old_results_are_removed(tmp_path: Path) -> None:
    old, new, other = (tmp_path / name for name in ("styled-old", "styled-new", "else"))
    for folder in (old, new, other):
        folder.mkdir()
    past = time.time() - 2 * uploads.KEPT_SECONDS
    os.utime(old, (past, past))
    os.utime(other, (past, past))
    uploads._forget_old(tmp_path)
    assert not old.exists() and new.exists() and other.exists()
