"""The code that README and the docstrings show is run: on small pictures, with presets made small."""

import doctest
import importlib
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from helpers import ROOT, TINY, make_model, scene
from PIL import Image

import sincut
from sincut.config.sections import Config, overlay

BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
PYTHON = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
WITH_EXAMPLES = sorted(path for path in (ROOT / "sincut").rglob("*.py") if ">>> " in path.read_text(encoding="utf-8"))
FILES = ("painting.jpg", "photo.jpg", "another.jpg", "scan.tif")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the files that examples name; every preset is as small as `tiny`."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(FILES):
        Image.fromarray(scene(72, 90, seed)).save(name)
    resolve = sincut.resolve

    def small(preset: str = "standard", flags: Iterable[str] = ()) -> Config:
        return overlay(resolve(preset, flags), TINY)

    monkeypatch.setattr(sincut, "resolve", small)
    monkeypatch.setattr("sincut.runs.run.resolve", small)
    return tmp_path


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_the_readmes_python_runs(number: int, desk: Path) -> None:
    code = PYTHON[number]
    if "notebook" in code:
        pytest.importorskip("IPython")
    exec(compile(code, f"README.md, Python block {number}", "exec"), {})
    assert (desk / "runs" / "first" / "model.safetensors").is_file()
    for written in re.findall(r'(?:save\(|Path\()"(\w+\.\w+)"', code):
        assert Image.open(desk / written).size == (90, 72), written


def test_the_python_of_docs_runs(desk: Path, tiny: Config) -> None:
    (desk / "runs" / "first").mkdir(parents=True)
    model = make_model(tiny)
    model.exemplar = torch.from_numpy(scene(66, 96, 0))
    model.save(desk / "runs" / "first" / "model.safetensors")
    for path in (ROOT / "docs").glob("*.md"):
        for code in BLOCK.findall(path.read_text(encoding="utf-8")):
            exec(compile(code, path.name, "exec"), {})
    assert {path.name for path in desk.glob("*.png")} == {"out.png", "fast.png"}


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_of_docstrings_run(path: Path, desk: Path, tiny: Config) -> None:
    if path.stem == "notebook":
        pytest.importorskip("IPython")
    parts = path.relative_to(ROOT).with_suffix("").parts
    module = importlib.import_module(".".join(part for part in parts if part != "__init__"))
    if "sincut.train(" not in path.read_text(encoding="utf-8"):  # the example begins where a run is there
        (desk / "runs" / "first").mkdir(parents=True)
        make_model(tiny).save(desk / "runs" / "first" / "model.safetensors")
    failed, tried = doctest.testmod(module, extraglobs={"sincut": sincut}, optionflags=doctest.ELLIPSIS)
    assert tried and not failed


def test_readme_and_docstrings_have_examples() -> None:
    assert len(PYTHON) >= 2 and {path.parent.name for path in WITH_EXAMPLES} >= {"sincut", "translation"}
