"""The drawn contact sheet: any number of cells, any names, and the best figures marked."""

import pytest
from helpers import scene
from PIL import Image, ImageFont

from sincut.pictures.picture import Picture
from sincut.report import sheet
from sincut.report.sheet import GOOD, LARGE, MARGIN, WIDE, Cell, draw

NAMES = ["x" * 200, "山水画 Ἀκρόπολις", "<b>&", "short", "a b " * 40, "\u202egpj", "é", "two\nlines"]
FIGURES = {"colour": 0.5, "tone": 0.25}


def colours(image: Image.Image) -> set[object]:
    return {colour for _, colour in image.getcolors(2**24) or []}


@pytest.mark.parametrize("count", [1, 4, 8])
def test_a_sheet_has_room_for_any_number_and_any_name(count: int) -> None:
    cells = [Cell(name, Picture(scene(60, 80, 0)), FIGURES) for name in NAMES[:count]]
    drawn = draw([Cell("the picture itself", Picture(scene(60, 80, 0))), *cells], [f"note {i}" for i in range(3)])
    assert drawn.width >= WIDE and drawn.height > WIDE * 60 // 80
    for edge in ((drawn.width - MARGIN, 0, drawn.width, drawn.height), (0, drawn.height - MARGIN // 2, *drawn.size)):
        assert len(colours(drawn.crop(edge))) == 1  # nothing runs out of the sheet


def test_the_best_figures_are_marked() -> None:
    good = tuple(bytes.fromhex(GOOD.removeprefix("#")))
    picture = Picture(scene(60, 80, 0) // 255)  # black: none of the sheet's colours
    assert good not in colours(draw([Cell("a", picture, FIGURES)]))
    assert good in colours(draw([Cell("a", picture, FIGURES, frozenset({"tone"}))]))


def test_a_long_name_keeps_its_ends() -> None:
    font = ImageFont.load_default(LARGE)
    shown = sheet._fitted("12. a-very-long-folder/" * 9 + "seed-7", font, 400)
    assert shown.startswith("12. a") and shown.endswith("seed-7") and "…" in shown
    assert font.getlength(shown) <= 400 and sheet._fitted("short", font, 400) == "short"
