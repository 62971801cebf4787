"""The code that README, docs and the docstrings show is run: on small pictures, with presets made small."""

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
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PYTHON = [(page.name, code) for page in PAGES for code in BLOCK.findall(page.read_text(encoding="utf-8"))]
RUN = Path("runs", "first")  # that examples make or begin with
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


@pytest.mark.parametrize("number", range(len(PYTHON)), ids=[f"{name}-{n}" for n, (name, _) in enumerate(PYTHON)])
def test_the_python_of_readme_and_docs_runs(number: int, desk: Path, tiny: Config) -> None:
    name, code = PYTHON[number]
    if "notebook" in code:
        pytest.importorskip("IPython")
    if "sincut.train(" not in code:  # it begins where a run is there
        (desk / RUN).mkdir(parents=True)
        model = make_model(tiny)
        model.exemplar = torch.from_numpy(scene(66, 96, 0))
        model.save(desk / RUN / "model.safetensors")
    exec(compile(code, f"{name}, Python block {number}", "exec"), {})
    assert (desk / RUN / "model.safetensors").is_file()
    written = re.findall(r'(?:save\(|, Path\()"(\w+\.\w+)"', code)
    for file in written:
        assert Image.open(desk / file).size == (90, 72), file
    assert "save(" not in code or written


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
