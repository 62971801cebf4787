"""Damaged files, absurd sizes, and what is no picture."""

import io
import random
from pathlib import Path

import pytest
from helpers import scene
from PIL import Image

from sincut.errors import ImageError, SincutError
from sincut.pictures import reading

RGB = scene(24, 30, 0)


def test_bad_files_are_named_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("no picture at all, only words")
    whole = io.BytesIO()
    Image.fromarray(scene(200, 200, 1)).save(whole, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    for name, what in (("empty", "empty"), ("text", "not a picture"), ("cut", "damaged"), ("none", "no such file")):
        with pytest.raises(ImageError, match=rf"{name}\.jpg: .*{what}"):
            reading.load(tmp_path / f"{name}.jpg")
    with pytest.raises(ImageError, match="is a folder"):
        reading.load(tmp_path)


def test_damaged_files_never_raise_anything_else(tmp_path: Path) -> None:
    rng = random.Random(0)
    path = tmp_path / "x"
    for format_ in ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP"):
        whole = io.BytesIO()
        Image.fromarray(RGB).save(whole, format_)
        for _ in range(40):
            data = bytearray(whole.getvalue())
            for _ in range(rng.randint(1, 8)):
                data[rng.randrange(min(len(data), 400))] = rng.randrange(256)
            path.write_bytes(data[: rng.randint(len(data) // 2, len(data))])
            try:
                reading.load(path)
            except SincutError as error:
                assert str(path) in str(error)


def test_absurd_sizes_are_refused_before_decoding(tmp_path: Path) -> None:
    header = b"P6 100000 100000 255\n"
    (tmp_path / "huge.ppm").write_bytes(header + b"\0" * 100)
    with pytest.raises(ImageError, match="100000x100000"):
        reading.load(tmp_path / "huge.ppm")


def test_a_large_picture_passes_pillow_s_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.fromarray(RGB).save(tmp_path / "a.png")
    assert reading.load(tmp_path / "a.png").size == (24, 30)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_programs_and_vectors_are_no_pictures(tmp_path: Path) -> None:
    eps = io.BytesIO()
    Image.fromarray(RGB).save(eps, "EPS")
    (tmp_path / "a.jpg").write_bytes(eps.getvalue())
    (tmp_path / "b.png").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    (tmp_path / "c.png").write_text("1,2,3\n4,5,6\n")
    for name in ("a.jpg", "b.png", "c.png"):
        with pytest.raises(ImageError, match="not a picture in a known format"):
            reading.load(tmp_path / name)
