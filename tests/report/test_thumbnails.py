"""Pictures in pages: within their bounds, compressed once, and not lost to a disk that failed once."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import scene
from PIL import Image

from sincut.errors import DamagedError, ImageError
from sincut.pictures import reading, resampling
from sincut.pictures.picture import Picture
from sincut.report.thumbnails import FRAME, LARGE, Fit, Pictures, compressed, model_thumbnail


def test_a_picture_is_compressed_until_it_fits() -> None:
    noise = Picture(np.random.default_rng(0).integers(0, 256, (600, 800, 3), np.uint8))
    for fit in (Fit(0.3, 40_000), Fit(1.0, 2_000)):
        made = compressed(noise, fit)
        assert len(base64.b64decode(made["src"].split(",")[1])) <= fit.limit
        assert made["width"] * made["height"] <= fit.megapixels * 1.01e6 and made["width"] > made["height"]


def test_a_picture_that_could_not_be_read_once_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, pictures, tries = tmp_path / "000010.jpg", Pictures(), list[Path]()
    Image.fromarray(scene(40, 50, 0)).save(path)
    read = reading.load

    def load(path: Path) -> Picture:
        tries.append(path)
        if len(tries) == 1:
            raise ImageError(f"{path}: Input/output error")
        return read(path)

    monkeypatch.setattr(reading, "load", load)
    assert pictures.of(path, FRAME) is None
    first = pictures.of(path, FRAME)
    assert first is not None and first["width"] == 50
    assert pictures.of(path, FRAME) is first and len(tries) == 2


def test_a_damaged_picture_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, pictures, tries = tmp_path / "000010.jpg", Pictures(), list[Path]()
    path.write_bytes(b"no picture")

    def load(path: Path) -> Picture:
        tries.append(path)
        raise DamagedError(f"{path}: no picture")

    monkeypatch.setattr(reading, "load", load)
    assert pictures.of(path, FRAME) is None and pictures.of(path, FRAME) is None and len(tries) == 1
    assert pictures.of(tmp_path / "none.jpg", FRAME) is None


def test_what_is_no_longer_shown_is_forgotten(tmp_path: Path) -> None:
    pictures, paths = Pictures(), [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        Image.fromarray(scene(20, 30, 0)).save(path)
        pictures.of(path, FRAME), pictures.of(path, LARGE)
    pictures.forget(FRAME, {paths[0]})
    kept = [(path, fit) for path, _, fit, _ in pictures.known]
    assert kept == [(paths[0], FRAME), (paths[0], LARGE), (paths[1], LARGE), (paths[2], LARGE)]


@pytest.mark.parametrize("other", [None, 7, "", "AAAA", "<script>", ["/9j/"], "A" * 10**6])
def test_only_pictures_of_a_model_file_are_shown(other: Any) -> None:
    assert model_thumbnail(other) is None
    text = base64.b64encode(resampling.thumbnail(Picture(scene(20, 30, 1)))).decode()
    shown = model_thumbnail(text)
    assert shown is not None and (shown["width"], shown["height"], shown["thumbnail"]) == (30, 20, True)
