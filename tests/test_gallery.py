"""The gallery of both directions: one command gives all its pictures, small enough, and a page that shows them."""

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ROOT, make_model
from PIL import Image

from sincut.config.sections import Config
from sincut.model.model import Model

GALLERY = ROOT / "examples" / "gallery.py"
PUBLISHED = (
    *("examples/translated.jpg", "examples/painted.jpg", "examples/stroke-scale.jpg", "examples/fidelity.jpg"),
    *("examples/by-height.jpg", "examples/fast.jpg", "examples/looks.jpg", "sincut/page/assets/directions.jpg"),
)


def run(*arguments: object) -> None:
    """The script as `python examples/gallery.py` runs it, in this process."""
    words = [str(GALLERY), *map(str, arguments)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", words)
        runpy.run_path(str(GALLERY), run_name="__main__")


@pytest.mark.slow
def test_two_models_make_a_gallery_and_what_readme_shows(tiny: Config, tmp_path: Path) -> None:
    models: list[object] = []
    for name in ("photo", "painting", "knife", "ink"):
        model = make_model(tiny)
        pixels = np.asarray(Image.open(ROOT / "examples" / f"{name}.jpg").resize((48, 33)))
        model.exemplar = torch.from_numpy(pixels.copy())
        path = tmp_path / f"to-{name}.safetensors"
        model.save(path)
        models += [f"--to-{name}", path]
    folder, root = tmp_path / "gallery", tmp_path / "root"
    folder.mkdir()
    for name in ("photo", "painting"):  # stands for the third view, which takes longer to render
        Image.open(ROOT / "examples" / f"{name}.jpg").resize((96, 66)).save(folder / f"third-{name}.jpg")
    run("-o", folder, *models, "--width", 96, "--publish", root)
    page = (folder / "index.html").read_text(encoding="utf-8")
    shown = re.findall('src="([^"]+)"', page)
    assert len(shown) == len(set(shown)) == 13 and page.count("--to painting") == 1
    written = {path.name for path in folder.glob("*.jpg")} - {"third-photo.jpg", "third-painting.jpg"}
    assert written == set(shown)
    published = {path.relative_to(root).as_posix() for path in root.rglob("*.jpg")}
    assert published == set(PUBLISHED)
    for path in (*folder.glob("to-*.jpg"), *root.rglob("*.jpg")):
        assert path.stat().st_size < 300_000, path
    assert Image.open(root / "examples" / "painted.jpg").size == (96, 66)


@pytest.mark.slow
def test_models_that_are_not_given_are_trained(tiny_flags: list[str], tmp_path: Path) -> None:
    train = runpy.run_path(str(GALLERY), run_name="gallery")["train"]
    train(tmp_path, ["photo", "knife"], [*tiny_flags, "--set", "output.previews=0", "--device", "cpu"])
    made = [Model.load(tmp_path / f"to-{look}").provenance for look in ("photo", "knife")]
    assert [each.roles[1] for each in made] == ["photo", "painting"]
    assert made[1].painting is not None and made[1].painting.name == "knife.jpg"
    with pytest.raises(SystemExit):
        train(tmp_path, ["photo"], ["--set", "crops.sise=3"])


def test_what_is_published_stands_in_readme_docs_or_page() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "sincut" / "page" / "ui.py"]
    text = "".join(path.read_text(encoding="utf-8") for path in pages)
    for path in PUBLISHED:
        assert Path(path).name in text and (ROOT / path).stat().st_size < 300_000, path
