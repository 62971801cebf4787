"""A worker of a cluster, here without one."""

from pathlib import Path

import pytest
from helpers import brushes, make_model, scene, with_exemplar
from PIL import Image

from sincut.batch.worker import Worker
from sincut.config.sections import Config
from sincut.pictures.writing import AS_IT_CAME
from sincut.synthesis.synthesis import Dials
from sincut.translation.options import PLAIN, Options
from sincut.translation.translator import Translator


def test_a_worker_makes_the_same_file(tree: Path, tmp_path: Path, model_file: Path, tiny: Config) -> None:
    worker = Worker(model_file.read_bytes(), None, PLAIN, 1, 0)
    outcome = worker.translate(str(tree / "b c.png"), str(tmp_path / "out" / "b.png"), AS_IT_CAME)
    Translator(make_model(tiny)).apply_file(tree / "b c.png", tmp_path / "here.png")
    assert not outcome.error and outcome.pixels == 20 * 24 and outcome.written is not None
    assert (tmp_path / "out" / "b.png").read_bytes() == (tmp_path / "here.png").read_bytes()
    (tree / "a.jpg").write_bytes(b"no picture")
    outcome = worker.translate(str(tree / "a.jpg"), str(tmp_path / "a.jpg"), AS_IT_CAME)
    assert outcome.damaged and outcome.error.startswith(f"{tree / 'a.jpg'}: is not a picture")
    worker.leave()


def test_a_worker_draws_the_same_file(tree: Path, tmp_path: Path, model_file: Path, tiny: Config) -> None:
    model = with_exemplar(make_model(tiny))
    model.save(model_file)
    with brushes():
        for options in (PLAIN, Options(fast=True), Options(dials=Dials(fidelity=0.9))):
            worker = Worker(model_file.read_bytes(), None, options, 1, 0)
            assert not worker.translate(str(tree / "b c.png"), str(tmp_path / "out.png"), AS_IT_CAME).error
            Translator(model).apply_file(tree / "b c.png", tmp_path / "here.png", options)
            assert (tmp_path / "out.png").read_bytes() == (tmp_path / "here.png").read_bytes()
            worker.leave()


@pytest.mark.parametrize("max_memory", [None, 1])
def test_a_mask_has_its_own_name_in_messages(
    max_memory: int | None, tree: Path, tmp_path: Path, model_file: Path
) -> None:
    mask = tmp_path / "my mask.png"
    Image.fromarray(scene(20, 60, 3)).save(mask)
    worker = Worker(model_file.read_bytes(), (str(mask), mask.read_bytes()), Options(max_memory=max_memory), 1, 0)
    outcome = worker.translate(str(tree / "b c.png"), str(tmp_path / "b.png"), AS_IT_CAME)
    assert f"{mask}: the mask is 60x20" in outcome.error and not outcome.damaged
    assert not (tmp_path / "b.png").exists()
    worker.leave()
