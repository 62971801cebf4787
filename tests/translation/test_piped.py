"""One picture from bytes to bytes."""

import io
from pathlib import Path

import pytest
from helpers import make_model
from PIL import Image

from sincut.config.sections import Config
from sincut.errors import ImageError
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
