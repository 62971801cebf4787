"""JPEG files are compressed as their source was."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from helpers import GENTLE, make_translator, scene
from PIL import Image, JpegImagePlugin

from sincut.errors import ConfigError, DamagedError
from sincut.pictures import reading
from sincut.pictures.jpeg import quality_of
from sincut.pictures.writing import Saving
from sincut.translation.options import Options

TRANSLATOR = make_translator(GENTLE)
H, W = 40, 50
RGB = scene(H, W, 0)
NO_ROOM = Options(tile=64, max_memory=1)


def tables(image: Image.Image) -> dict[int, list[int]]:
    """The quantisation tables of a JPEG file."""
    assert isinstance(image, JpegImagePlugin.JpegImageFile)
    return image.quantization


def tables_of_components(image: Image.Image) -> list[list[int]]:
    """The quantisation table of each component of a JPEG file."""
    assert isinstance(image, JpegImagePlugin.JpegImageFile)
    return [image.quantization[component[3]] for component in image.layer]


def test_a_jpeg_keeps_its_quality_unless_told(tmp_path: Path) -> None:
    source = tmp_path / "a.jpg"
    for quality, subsampling in ((60, 2), (97, 0)):
        Image.fromarray(RGB).save(source, quality=quality, subsampling=subsampling)
        TRANSLATOR.apply_file(source, tmp_path / "b.jpg")
        TRANSLATOR.apply_file(source, tmp_path / "c.jpg", saving=Saving(quality=30))
        with Image.open(source) as a, Image.open(tmp_path / "b.jpg") as b, Image.open(tmp_path / "c.jpg") as c:
            assert tables(a) == tables(b) != tables(c)
            assert JpegImagePlugin.get_sampling(a) == JpegImagePlugin.get_sampling(b)
    with pytest.raises(ConfigError, match="1 to 100"):
        Saving(quality=0)


def test_a_streamed_jpeg_keeps_its_quality(tmp_path: Path) -> None:
    for quality, subsampling in ((35, 2), (80, 2), (88, 0), (97, 0)):
        Image.fromarray(RGB).save(tmp_path / "a.jpg", quality=quality, subsampling=subsampling)
        TRANSLATOR.apply_file(tmp_path / "a.jpg", tmp_path / "b.jpg", NO_ROOM)
        with Image.open(tmp_path / "a.jpg") as source, Image.open(tmp_path / "b.jpg") as image:
            assert tables(image) == tables(source)
            assert JpegImagePlugin.get_sampling(image) == JpegImagePlugin.get_sampling(source)


def renumbered(jpeg: bytes, numbers: dict[int, int]) -> bytes:
    """A baseline JPEG file whose quantisation tables have other numbers (ITU-T T.81, B.2.2 and B.2.4.1)."""
    data, at = bytearray(jpeg), 2
    while data[at + 1] != 0xDA:  # up to the pixels
        marker, (length,) = data[at + 1], struct.unpack_from(">H", data, at + 2)
        if marker == 0xDB:
            for table in range(at + 4, at + 2 + length, 65):
                data[table] = numbers[data[table]]
        if marker == 0xC0:
            for component in range(3):
                place = at + 10 + 3 * component + 2
                data[place] = numbers[data[place]]
        at += 2 + length
    return bytes(data)


@pytest.mark.parametrize("numbers", [{0: 1, 1: 2}, {0: 3, 1: 1}, {0: 1, 1: 0}])
@pytest.mark.parametrize("memory", [None, 1])
def test_tables_may_have_any_numbers(tmp_path: Path, numbers: dict[int, int], memory: int | None) -> None:
    plain, source, target = tmp_path / "plain.jpg", tmp_path / "a.jpg", tmp_path / "b.jpg"
    Image.fromarray(RGB).save(plain, quality=60, subsampling=2)
    source.write_bytes(renumbered(plain.read_bytes(), numbers))
    with Image.open(plain) as image, Image.open(source) as other:
        plain_tables = tables(image)
        assert tables(other) == {numbers[number]: table for number, table in plain_tables.items()}
        assert np.array_equal(np.asarray(image), np.asarray(other))
    TRANSLATOR.apply_file(source, target, Options(tile=64, max_memory=memory))
    with Image.open(target) as image:
        assert tables(image) == plain_tables
        assert JpegImagePlugin.get_sampling(image) == 2
    assert quality_of(reading.load(source).jpeg["qtables"]) == 60


def test_one_and_three_tables_are_kept(tmp_path: Path) -> None:
    given = [[number] * 64 for number in (3, 5, 9)]
    for count in (1, 2, 3):
        Image.fromarray(RGB).save(tmp_path / "a.jpg", qtables=given[:count])
        TRANSLATOR.apply_file(tmp_path / "a.jpg", tmp_path / "b.jpg")
        with Image.open(tmp_path / "a.jpg") as a, Image.open(tmp_path / "b.jpg") as b:
            assert tables_of_components(a) == tables_of_components(b)


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}, {"subsampling": 0}], ids=str
)
@pytest.mark.parametrize("noise", [False, True])
def test_a_file_that_breaks_off_behind_its_last_pixel_is_read(
    tmp_path: Path, options: dict[str, object], noise: bool
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (61, 83, 3)).astype(np.uint8) if noise else scene(61, 83, 0)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90, **options)
    data, source = file.getvalue(), tmp_path / "a.jpg"
    source.write_bytes(data)
    whole = reading.load(source)
    for missing in (1, 2):
        source.write_bytes(data[:-missing])
        picture = reading.load(source)
        assert np.array_equal(picture.pixels, whole.pixels)
        assert picture.notes == ("its file breaks off behind its last pixel",)
    for missing in (4, 20, len(data) // 3):
        source.write_bytes(data[:-missing])
        with pytest.raises(DamagedError, match="damaged"):
            reading.load(source)
