"""Two pictures in one place: the handle is a slider for keys too, and nothing there hands out a file."""

import re
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("gradio")


def test_names_are_text_and_both_pictures_are_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sincut.page.before_after import before_after

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    for number in (1, 2):
        Image.new("RGB", (4, 3), (number, 0, 0)).save(tmp_path / f"{number}.png")
    html = before_after(tmp_path / "1.png", tmp_path / "2.png", "<b> with x")
    sources = re.findall(r'<img class="(\w+)" src="gradio_api/file=([^"]+)"', html)
    assert [name for name, _ in sources] == ["after", "before"]
    for (_, path), number in zip(sources, (2, 1), strict=True):
        assert Path(path).is_relative_to(tmp_path / "cache")
        assert Path(path).read_bytes() == (tmp_path / f"{number}.png").read_bytes()
    assert "&lt;b&gt; with x" in html and 'type="range"' in html and "<a" not in html and "<button" not in html
