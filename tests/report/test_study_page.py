"""The page of a study shows each picture, at 100 % too, loads nothing, and takes names for text."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from helpers import scene

from sincut.pictures.picture import Picture
from sincut.pictures.writing import save
from sincut.report.study_page import DETAIL_SIZE, StudyPage, shown, telling_part, title
from sincut.report.study_table import Entry, Row, Table

UNTOUCHED = {"psnr_painting": 11.8, "ssim_painting": 0.3}
HOSTILE = "</td><script>alert(1)</script> 'x' 100%"


class Page(HTMLParser):
    """Links, sources of pictures and cells of tables of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links, self.sources, self.tags = list[str](), list[str](), set[str]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = dict(attrs)
        if tag == "a":
            self.links.append(unquote(values["href"] or ""))
        if tag == "img":
            self.sources.append(values["src"] or "")
        assert tag == "link" or not {"srcset", "data", "poster", "action"} & set(values)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Two presets with two seeds; the last training has failed."""
    (tmp_path / "pictures").mkdir()
    for number, name in enumerate(("source", "target", "a2", "a#3 ?", "b0")):
        save(Picture(scene(72, 90, number)), tmp_path / "pictures" / f"{name}.png")
    rows = [
        Row("a", 0, "trained", "a0", picture="pictures/a2.png", numbers={"colour": 0.25, **UNTOUCHED}),
        Row("a", 1, "trained", "a1", picture="pictures/a#3 ?.png", numbers={"colour": 0.75}),
        Row(HOSTILE, 0, "trained", "b0", picture="pictures/b0.png", numbers={"colour": 0.375, "memory_gb": 1.5}),
        Row(HOSTILE, 1, "failed", "b1", f"b1: {HOSTILE}"),
    ]  # fmt: skip
    (tmp_path / "b0").mkdir()
    (tmp_path / "b0" / "report.html").touch()
    entries = [Entry("a", "the first"), Entry(HOSTILE, HOSTILE, {"losses.own": ({HOSTILE: 1}, {})})]
    return Table("x.png", HOSTILE, "20 steps", entries, rows, {"source": HOSTILE})


def page_of(table: Table, folder: Path) -> str:
    inputs = {name: folder / "pictures" / f"{name}.png" for name in ("source", "target")}
    return StudyPage(folder, inputs, dict.fromkeys(inputs, (10, 20, 50, 80))).html(table)


def test_the_page_has_each_picture_and_links_to_its_file(table: Table, tmp_path: Path) -> None:
    text = page_of(table, tmp_path)
    page = Page(text)
    assert {link for link in page.links if link.startswith("pictures/")} == {
        f"pictures/{path.name}" for path in (tmp_path / "pictures").iterdir()
    }
    assert all((tmp_path / link).is_file() for link in page.links) and "b0/report.html" in page.links
    assert len(page.sources) == 4 + 4 + 1  # source, target and two presets; the same at 100 %; the second seed
    assert len(set(page.sources)) == len(page.sources)
    assert 'width="60" height="40"' in text


def test_the_page_loads_nothing_and_takes_names_for_text(table: Table, tmp_path: Path) -> None:
    text = page_of(table, tmp_path)
    page = Page(text)
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert "script" not in page.tags and "<script>" not in text and "http" not in text.replace("http-equiv", "")
    assert "default-src &#39;none&#39;" in text or "default-src 'none'" in text
    assert text.count("&lt;script&gt;") > 5


def test_the_page_says_what_the_table_holds(table: Table, tmp_path: Path) -> None:
    text = page_of(table, tmp_path)
    assert '0.500 <span class="spread">± 0.354</span>' in text and "<strong>0.375</strong>" in text
    assert "PSNR of 11.80 dB and an SSIM of 0.300" in text and ">1 of 2<" in text and ">–<" in text
    assert ">1.50<" in text and "<code>losses.own</code>" in text


def test_a_preset_without_any_picture_is_left_out_of_the_grid(table: Table, tmp_path: Path) -> None:
    for name in ("b0", "a2", "a#3 ?"):
        (tmp_path / "pictures" / f"{name}.png").unlink()
    assert len(Page(page_of(table, tmp_path)).sources) == 4


def test_a_part_at_100_percent_is_where_the_outlines_are() -> None:
    pixels = np.full((700, 900, 3), 128, np.uint8)
    pixels[500:640:20, 600:850] = 0
    top, left, bottom, right = telling_part(Picture(pixels))
    assert (bottom - top, right - left) == DETAIL_SIZE
    assert top <= 500 and bottom > 620 and left <= 620 and right >= 830
    for size in ((60, 900), (5, 7), (1, 1), (700, 2)):
        top, left, bottom, right = telling_part(Picture(np.zeros((*size, 3), np.uint8)))
        assert 0 <= top < bottom <= size[0] and 0 <= left < right <= size[1]


def test_numbers_and_titles_are_for_people() -> None:
    assert [shown("steps", 1200), shown("parameters_G", 266_500), shown("psnr_output", 18.123)] == [
        "1,200",
        "0.27",
        "18.12",
    ]
    assert [title(name) for name in ("parameters_generator", "parameters_forth", "colour")] == [
        "G, M",
        "forth, M",
        "colour",
    ]
