"""JPEG files are compressed as their source was."""

from pathlib import Path

import pytest
from helpers import GENTLE, make_translator, scene
from PIL import Image, JpegImagePlugin

from sincut.errors import ConfigError
from sincut.pictures.writing import Saving
from sincut.translation.options import Options

TRANSLATOR = make_translator(GENTLE)
H, W = 40, 50
RGB = scene(H, W, 0)
NO_ROOM = Options(tile=64, max_memory=1)


def test_a_jpeg_keeps_its_quality_unless_told(tmp_path: Path) -> None:
    source = tmp_path / "a.jpg"
    for quality, subsampling in ((60, 2), (97, 0)):
        Image.fromarray(RGB).save(source, quality=quality, subsampling=subsampling)
        TRANSLATOR.apply_file(source, tmp_path / "b.jpg")
        TRANSLATOR.apply_file(source, tmp_path / "c.jpg", saving=Saving(quality=30))
        with Image.open(source) as a, Image.open(tmp_path / "b.jpg") as b, Image.open(tmp_path / "c.jpg") as c:
            assert a.quantization == b.quantization != c.quantization
            assert JpegImagePlugin.get_sampling(a) == JpegImagePlugin.get_sampling(b)
    with pytest.raises(ConfigError, match="1 to 100"):
        Saving(quality=0)


def test_a_streamed_jpeg_keeps_its_quality(tmp_path: Path) -> None:
    for quality, subsampling in ((35, 2), (80, 2), (88, 0), (97, 0)):
        Image.fromarray(RGB).save(tmp_path / "a.jpg", quality=quality, subsampling=subsampling)
        TRANSLATOR.apply_file(tmp_path / "a.jpg", tmp_path / "b.jpg", NO_ROOM)
        with Image.open(tmp_path / "a.jpg") as source, Image.open(tmp_path / "b.jpg") as image:
            assert image.quantization == source.quantization
            assert JpegImagePlugin.get_sampling(image) == JpegImagePlugin.get_sampling(source)
