"""The live view of a training; a picture before and after; the example notebook."""

import base64
import io
import json
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, brushes, make_model, scene, with_exemplar
from PIL import Image

from sincut import notebook
from sincut.config.sections import Config
from sincut.errors import ImageError, RunError
from sincut.events import Directed, Evaluated, Planned, Progress, Saved, Started, Warned
from sincut.pictures import writing
from sincut.pictures.picture import Picture
from sincut.translation.options import Options
from sincut.translation.translator import Translator

ORIENTATION = 0x112  # the tag of EXIF
NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every update of the one output of a notebook that is not there."""
    pages: list[str] = []

    class Handle:
        def update(self, page: str) -> None:
            pages.append(page)

    fake = types.ModuleType("IPython.display")
    fake.HTML = str  # type: ignore[attr-defined]
    fake.display = lambda page, display_id: Handle()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    monkeypatch.setattr(notebook, "SECONDS", 0.0)
    return pages


def pictures_of(shown: str) -> list[Image.Image]:
    """The PNGs inside a piece of HTML."""
    encoded = re.findall(r"data:image/png;base64,([^\"]+)", shown)
    return [Image.open(io.BytesIO(base64.b64decode(text))) for text in encoded]


def test_the_live_view_keeps_one_output(pages: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preview = tmp_path / "000002.jpg"
    writing.save(Picture(scene(20, 30, 1)), preview)
    live = notebook.Live()
    for event in (
        Directed("a.jpg", "b.jpg", "painting"),
        Started(0, "cpu", "float32", "", 1, {}), Planned(0, 4, 0.1, 2), Progress(2, 4, {"G": 1.5}, 0.1, 0.2, 1.0, 7.0),
        Saved(preview, "preview"), Evaluated(2, {"tone": 0.25}), Warned("<b>odd</b> {{ 7 * 6 }}"),
    ):  # fmt: skip
        live(event)
    last = pages[-1]
    for text in (
        "a.jpg will look like b.jpg (photo -&gt; painting)",
        "2 of 4",
        'value="0.500"',
        "G 1.500",
        "tone 0.250",
        "&lt;b&gt;odd&lt;/b&gt; {{ 7 * 6 }}",
        "data:image/jpeg",
    ):
        assert text in last
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(RunError, match=r"sincut\[notebook\]"):
        notebook.Live()


def test_the_live_view_goes_on_without_a_preview_that_is_gone(pages: list[str], tmp_path: Path) -> None:
    live = notebook.Live()
    live(Saved(tmp_path / "000002.jpg", "preview"))
    live(Evaluated(2, {"tone": 0.25}))
    assert "tone 0.250" in pages[-1] and "<img" not in pages[-1]


def test_a_result_shows_before_and_after(tiny: Config, tmp_path: Path) -> None:
    source = Image.fromarray(scene(20, 30, 1)).convert("RGBA")
    result = notebook.translate(Translator(make_model(tiny)), source)
    shown = result._repr_html_()
    assert shown.count("data:image/png") == 2 and shown.index("before") < shown.index("after")
    assert '<input type="range"' in shown and "--split" in shown  # the slider
    result.save(tmp_path / "out.png")
    assert Image.open(tmp_path / "out.png").size == (30, 20)


def test_a_result_is_drawn_as_the_options_say(tiny: Config) -> None:
    translator, source = Translator(with_exemplar(make_model(tiny))), Image.fromarray(scene(20, 30, 1))
    with brushes():
        drawn, fast = notebook.translate(translator, source), notebook.translate(translator, source, Options(fast=True))
    assert drawn.output.tobytes() != fast.output.tobytes() == translator.apply(source, Options(fast=True)).tobytes()


def test_what_is_shown_before_is_upright_and_of_eight_bits(tiny: Config) -> None:
    deep = Image.fromarray((np.arange(600).reshape(20, 30) * 100).astype(np.uint16))  # from black to nearly white
    turned = Image.fromarray(scene(20, 30, 1))
    turned.getexif()[ORIENTATION] = 6
    for source, size in ((deep, (30, 20)), (turned, (20, 30))):
        before, after = pictures_of(notebook.translate(Translator(make_model(tiny)), source)._repr_html_())
        assert before.size == after.size == size
        assert np.asarray(before.convert("L")).mean() < 180


def test_a_path_is_refused_as_the_options_say(tiny: Config, painting: Path) -> None:
    with pytest.raises(ImageError, match="pixels"):
        notebook.translate(Translator(make_model(tiny)), painting, Options(max_pixels=1000))


def test_the_example_notebook_is_stored_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(not cell.get("outputs") for cell in cells)


@pytest.mark.slow
def test_the_example_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    for name, value in {"STEPS": "2", "RUN": tmp_path / "run", "OUTPUT": tmp_path / "styled.png"}.items():
        monkeypatch.setenv(f"QUICKSTART_{name}", str(value))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("painting.jpg", "photo.jpg"):  # a third as wide, which is quicker
        Image.open(ROOT / "examples" / name).reduce(3).save(tmp_path / name)
    book = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(book, timeout=200, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in shown if output.output_type in ("error", "stream")]  # nothing is printed or warned
    pages = [output.data.get("text/html", "") for output in shown if "data" in output]
    assert "2 of 2" in pages[0] and "sincut translator" in pages[1] and "after" in pages[2]
    assert Image.open(tmp_path / "styled.png").size == Image.open(tmp_path / "painting.jpg").size
