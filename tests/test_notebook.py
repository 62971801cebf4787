"""Cards of models, also of strangers'; the live view of a training; the example notebook."""

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT, make_model, scene
from PIL import Image

from sincut import notebook
from sincut.config.sections import Config
from sincut.errors import RunError
from sincut.events import Evaluated, Planned, Progress, Saved, Started, Warned
from sincut.model import card
from sincut.pictures import resampling, writing
from sincut.pictures.picture import Picture
from sincut.translation.translator import Translator

NOTEBOOK = ROOT / "examples" / "quickstart.ipynb"


def test_a_card_shows_pictures_figures_and_unusual_settings(tiny: Config) -> None:
    model = make_model(tiny)
    picture = card.data_uri(resampling.thumbnail(Picture(scene(20, 30, 1)))).split(",")[1]
    model.provenance |= {"thumbnails": dict.fromkeys(card.PICTURES, picture), "figures": {"tone": 0.5}}
    shown = Translator(model)._repr_html_()
    assert shown.count("<img") == 3 and "tone 0.5" in shown
    assert "networks.stem=4" in shown and "losses.temperature" not in shown


def test_a_strangers_card_is_escaped(tiny: Config) -> None:
    bad = '"><script>alert(1)</script>{{ 7 * 6 }}\udc80'
    provenance: dict[str, Any] = {
        "painting": {"name": bad}, "photo": bad, "direction": bad, "figures": {bad: bad}, "steps": [bad],
        "thumbnails": {"source": bad, "target": 3, "output": "A" * 10**6},
    }  # fmt: skip
    shown = card.model_card(tiny, provenance)
    assert "<script" not in shown and "&lt;script" in shown and "<img" not in shown
    assert '"&gt;' not in shown and "{{ 7 * 6 }}" in shown and shown.encode()
    assert len(shown) < 5000
    assert card.model_card(tiny, {"thumbnails": None, "figures": 3, "painting": None})


def test_the_live_view_keeps_one_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    preview = tmp_path / "000002.jpg"
    writing.save(Picture(scene(20, 30, 1)), preview)
    live = notebook.Live()
    for event in (
        Started(0, "cpu", "float32", "", 1, {}), Planned(0, 4, 0.1, 2), Progress(2, 4, {"G": 1.5}, 0.1, 0.2, 1.0, 7.0),
        Saved(preview, "preview"), Evaluated(2, {"tone": 0.25}), Warned("<b>odd</b> {{ 7 * 6 }}"),
    ):  # fmt: skip
        live(event)
    last = pages[-1]
    for text in (
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


def test_a_result_shows_before_and_after(tiny: Config, tmp_path: Path) -> None:
    source = Image.fromarray(scene(20, 30, 1)).convert("RGBA")
    result = notebook.translate(Translator(make_model(tiny)), source)
    shown = result._repr_html_()
    assert shown.count("data:image/png") == 2 and shown.index("before") < shown.index("after")
    result.save(tmp_path / "out.png")
    assert Image.open(tmp_path / "out.png").size == (30, 20)


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
    book = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(book, timeout=200, resources={"metadata": {"path": str(ROOT / "examples")}}).execute()
    shown = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in shown if output.output_type == "error"]
    pages = [output.data.get("text/html", "") for output in shown if "data" in output]
    assert "2 of 2" in pages[0] and "sincut translator" in pages[1] and "after" in pages[2]
    assert Image.open(tmp_path / "styled.png").size == Image.open(ROOT / "examples" / "painting.jpg").size
