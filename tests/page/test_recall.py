"""What the page tells of a picture that sincut has made, as text, and of no other."""

from pathlib import Path
from typing import Any

import pytest
from helpers import make_model

from sincut.config.sections import Config
from sincut.page.jobs import Trainings
from sincut.page.recall import Made, made_by_sincut
from sincut.pictures.imprint import Imprint
from sincut.translation.blend import Blend
from sincut.translation.options import Options
from sincut.translation.translator import load


@pytest.fixture
def trainings(tmp_path: Path, tiny: Config) -> Trainings:
    (tmp_path / "runs" / "sea").mkdir(parents=True)
    make_model(tiny).save(tmp_path / "runs" / "sea" / "model.safetensors")
    return Trainings(tmp_path / "runs", "cpu")


def test_a_picture_tells_its_model_also_after_that_was_renamed(
    tmp_path: Path, trainings: Trainings, painting: Path
) -> None:
    out = tmp_path / "out.png"
    load(tmp_path / "runs" / "sea").apply_file(painting, out, Options(blend=Blend(0.4, "colour"), scale=0.5))
    made = made_by_sincut([str(painting), str(tmp_path / "none.png"), str(out)], trainings)
    assert made is not None and (made.name, made.model, made.unchanged) == ("out.png", "sea", True)
    told = " ".join(made.words().split())
    assert "with the model <strong>sea</strong>, strength 0.4, keep colour, scale 0.5." in told and "Here" not in told
    (tmp_path / "runs" / "sea").rename(tmp_path / "runs" / "coast")
    out.write_bytes(out.read_bytes() + b"0")
    made = made_by_sincut([str(out)], trainings)
    assert made is not None and made.model == "coast"
    told = " ".join(made.words().split())
    assert "The file was changed since." in told and "Here that model is named coast." in told
    (tmp_path / "runs" / "coast" / "model.safetensors").unlink()
    made = made_by_sincut([str(out)], trainings)
    assert made is not None and not made.model and "That model is not here" in made.words()


def test_pictures_of_others_tell_nothing(tmp_path: Path, trainings: Trainings, painting: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    for files in ([], [str(painting)], [str(tmp_path / "text.png"), str(tmp_path)]):
        assert made_by_sincut(files, trainings) is None


def test_words_of_strangers_are_text() -> None:
    options: dict[str, Any] = {"fast": True, "mask": "0" * 64, "scale": "auto", "fidelity": 0.5, "other": "<u>"}
    made = Made("<b>.png", Imprint("<i>", "0" * 64, "<s>", options), True, "")
    told = " ".join(made.words().split())
    assert not [tag for tag in ("<b>", "<i>", "<s>", "<u>") if tag in told]
    assert "&lt;i&gt;</strong>, scale auto, fast, in the part that a mask chose." in told
