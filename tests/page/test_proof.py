"""Proofs: as the picture itself where that is small, kept, and mixed as the translator mixes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import brushes, make_model, scene, with_exemplar
from PIL import Image

from sincut.config.sections import Config
from sincut.errors import ImageError
from sincut.page import proof, uploads
from sincut.page.proof import Proofs, reduced
from sincut.synthesis.synthesis import Dials
from sincut.translation.blend import Blend
from sincut.translation.options import Options
from sincut.translation.translator import Translator, load


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    Image.fromarray(scene(40, 60, 1)).save(path)
    return path


def test_a_proof_of_a_small_picture_is_its_translation(tmp_path: Path, model_file: Path, picture: Path) -> None:
    translator, proofs = load(model_file), Proofs()
    made = proofs.make(("some",), picture, Options(), translator)
    assert made.size == (40, 60)
    Image.fromarray(np.repeat(np.repeat(np.eye(4, 6, dtype=np.uint8) * 255, 10, 0), 10, 1)).save(tmp_path / "mask.png")
    for blend in (Blend(), Blend(0.5), Blend(0.7, "colour"), Blend(1, "texture")):
        for mask in (None, tmp_path / "mask.png"):
            out = np.asarray(translator.apply(picture, Options(blend=blend, mask=mask))).astype(int)
            off = np.abs(made.mixed(blend, mask).pixels - out)  # it is mixed from 8 bits
            assert off.max() <= 4 and off.mean() < 0.5, (blend, mask)
    assert not np.array_equal(made.mixed(Blend()).pixels, made.mixed(Blend(0.5)).pixels)


def test_proofs_are_kept_as_long_as_nothing_that_shows_has_changed(model_file: Path, picture: Path) -> None:
    translator, proofs = load(model_file), Proofs()
    made = proofs.make(("some",), picture, Options(), translator)
    assert proofs.there(("some",), picture, Options(blend=Blend(0.5))) is made
    for other in (("another",), picture, Options()), (("some",), picture, Options(fast=True)):
        assert proofs.there(*other) is None
    for number in range(proof.KEPT):
        proofs.make((f"model {number}",), picture, Options(), translator)
    assert len(proofs.made) == proof.KEPT and proofs.there(("some",), picture, Options()) is None
    proofs.make(("some",), picture, Options(), translator)
    Image.fromarray(scene(30, 60, 2)).save(picture)
    assert proofs.there(("some",), picture, Options()) is None


def test_a_large_picture_is_reduced_and_its_strokes_with_it(
    tiny: Config, picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reduced(Options(dials=Dials(1.0, 0.2)), 2, True).dials == Dials(0.5, 0.2)
    assert reduced(Options(dials=Dials(0.5)), 4, True).dials.stroke_scale == 0.25
    assert reduced(Options(), 2, False) == Options() and reduced(Options(fast=True), 2, True) == Options(fast=True)
    assert (
        reduced(Options(scale=0.25), 2, True).scale == 0.5 and reduced(Options(scale="auto"), 2, True).scale == "auto"
    )
    monkeypatch.setattr(proof, "MEGAPIXELS", 600 / 1e6)  # half of each side
    with brushes():
        translator = Translator(with_exemplar(make_model(tiny)), precision="float32")
        made = Proofs().make((), picture, Options(), translator)
        assert made.size == (40, 60) and made.source.size == (20, 30)
        want = translator.apply_picture(made.source, Options(dials=Dials(0.5)))
    assert np.array_equal(made.output.pixels, want.pixels)
    monkeypatch.setattr(uploads, "TOO_LARGE_TO_SHOW", 100)
    with pytest.raises(ImageError, match="too many to be shown"):
        Proofs().make((), picture, replace(Options(), fast=True), translator)
