"""One picture from bytes to bytes."""

import io
from pathlib import Path

import pytest
from helpers import brushes, make_model, with_exemplar
from PIL import Image

from sincut.config.sections import Config
from sincut.errors import ConfigError, ImageError
from sincut.synthesis.synthesis import Dials
from sincut.translation.options import Options
from sincut.translation.piped import apply_bytes
from sincut.translation.translator import Translator


def test_a_pipe_keeps_its_format(tree: Path, tiny: Config) -> None:
    translator = Translator(make_model(tiny))
    for name, format_, want in (("a.jpg", None, "JPEG"), ("b c.png", "webp", "WEBP"), ("deep/é.gif", None, "PNG")):
        data, notes = apply_bytes((tree / name).read_bytes(), translator, format_=format_)
        with Image.open(io.BytesIO(data)) as image:
            assert image.format == want and image.size == (24, 20)
        assert bool(notes) == name.endswith("gif")
    with pytest.raises(ImageError, match="-: is not a picture"):
        apply_bytes(b"no picture", translator)


def test_a_pipe_is_drawn_as_a_file(tree: Path, tmp_path: Path, tiny: Config) -> None:
    translator = Translator(with_exemplar(make_model(tiny)))
    with brushes():
        for options in (Options(), Options(fast=True), Options(dials=Dials(fidelity=0.9))):
            translator.apply_file(tree / "b c.png", tmp_path / "out.png", options)
            data, _ = apply_bytes((tree / "b c.png").read_bytes(), translator, options)
            assert data == (tmp_path / "out.png").read_bytes()
    with pytest.raises(ConfigError, match="sincut exemplar"):
        apply_bytes((tree / "a.jpg").read_bytes(), Translator(make_model(tiny)), options)
