"""A picture as a training learns from it: of the size that crops can show, and without what is hidden."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import scene
from PIL import Image

from sincut.config.networks import Crops
from sincut.config.resolve import resolve
from sincut.errors import ImageError
from sincut.pictures import learned, reading
from sincut.pictures.picture import Picture

CROPS = resolve("quick").crops
PLAIN = Crops()


@pytest.mark.parametrize("size", [(832, 1216), (2000, 4000), (4000, 2000), (60, 100_000)])
def test_up_to_eight_megapixels_a_picture_keeps_its_size(size: tuple[int, int]) -> None:
    for crops in (CROPS, PLAIN):
        assert learned.size_learned(size, crops) == size


@pytest.mark.parametrize("size", [(3000, 4000), (4000, 3000), (10_000, 10_000), (20_000, 20_000), (8_000, 50_000)])
def test_a_larger_one_is_as_large_as_crops_can_show(size: tuple[int, int]) -> None:
    for crops in (CROPS, PLAIN):
        h, w = learned.size_learned(size, crops)
        assert 1024 <= w <= 2048 and h * w <= 1.01 * learned.MOST
        assert min(h, w) >= crops.size and abs(h / w / (size[0] / size[1]) - 1) < 0.01


def test_strips_stay_as_wide_as_the_widest_crops_and_as_high_as_one() -> None:
    assert learned.size_learned((100_000, 5_000), CROPS) == (20_480, 1024)
    assert learned.size_learned((400, 100_000), CROPS) == (128, 32_000)


def test_where_crops_are_taken_at_the_file_s_own_scale_it_keeps_its_size() -> None:
    assert learned.size_learned((10_000, 10_000), resolve("release").crops) == (10_000, 10_000)


def test_a_file_and_its_pixels_are_learned_from_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "LARGE", 100)
    monkeypatch.setattr(learned, "MOST", 80 * 100)
    crops = Crops(size=16, tile=16, low=40, high=64)
    Image.fromarray(scene(320, 400, 0)).save(tmp_path / "a.png")
    pixels = reading.load(tmp_path / "a.png")
    file, array = learned.load(tmp_path / "a.png", crops), learned.of(pixels, crops)
    for got in (file, array):
        assert got.picture.size == (80, 100) and got.size == (320, 400) and got.scale == 0.25
        assert len(got.picture.notes) == 1 and "scaled down" in got.picture.notes[0]
    assert np.abs(file.picture.pixels.astype(int) - array.picture.pixels).mean() < 3


def test_nothing_hidden_is_left_in_a_picture_that_is_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "LARGE", 100)
    monkeypatch.setattr(learned, "MOST", 80 * 100)
    alpha = np.zeros((320, 400), np.uint8)
    alpha[:, 100:300] = 255
    pictures = [
        Picture(np.where(alpha[..., None] > 0, scene(320, 400, 0), np.uint8(value)), alpha) for value in (0, 255)
    ]
    one, other = (learned.of(picture, Crops(size=16, tile=16, low=40, high=64)) for picture in pictures)
    assert np.array_equal(one.picture.pixels, other.picture.pixels)
    assert one.picture.size == (80, 50) and one.scale == 0.25


def test_a_picture_that_cannot_be_seen_is_refused_by_its_name(tmp_path: Path) -> None:
    Image.new("RGBA", (200, 200)).save(tmp_path / "nothing.png")
    with pytest.raises(ImageError, match=r"nothing\.png: is transparent everywhere"):
        learned.load(tmp_path / "nothing.png", CROPS)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted as Linux does")
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_a_large_file_takes_no_more_memory_than_its_small_picture(name: str, tmp_path: Path) -> None:
    if name != "a.jpg":
        pytest.importorskip("pyvips")
    options: dict[str, dict[str, Any]] = {
        "a.png": {"compress_level": 1},
        "a.tif": {"compression": "tiff_lzw"},
        "a.jpg": {},
    }
    Image.new("RGB", (10_000, 6_000), (200, 100, 50)).save(
        tmp_path / name, **options[name]
    )  # 240 MB as Pillow holds it
    code = f"""
import resource, sys
from pathlib import Path
from sincut.config.resolve import resolve
from sincut.pictures import learned, libvips
crops = resolve("quick").crops
if sys.argv[1] != "a.jpg":
    libvips.library()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert learned.load(Path({str(tmp_path)!r}, sys.argv[1]), crops).picture.size == (1229, 2048)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 120_000  # kB
