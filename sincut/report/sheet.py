"""A contact sheet as one picture: cells in rows, each with its picture, its title and its figures."""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image, ImageDraw, ImageFont

from sincut.pictures.picture import Picture, eight_bit

MARGIN, GAP, PAD = 48, 36, 14  # px: around the sheet, between cells, below a picture
WIDE, NARROW = 640, 480  # px, width of a cell: of up to three in a row, of more
MOST_COLUMNS = 5
PAPER, INK, SOFT, GOOD = "#faf9f6", "#1d2021", "#5b6063", "#0b6e63"  # as in assets/page.css
LARGE, SMALL = 24, 18  # px, size of letters: titles, figures
TITLE, LINE = 38, 27  # px, height of a line of these
# Fonts of common systems, tried in this order where Pillow's own lacks letters of a title.
FONTS = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "segoeui.ttf", "Arial.ttf", "NotoSansCJK-Regular.ttc"),
    *("Arial Unicode.ttf", "PingFang.ttc", "msyh.ttc", "YuGothR.ttc", "malgun.ttf", "wqy-microhei.ttc", "unifont.ttf"),
)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Cell:
    """A titled picture with its figures by name; `best` names those that no other cell's are better than."""

    title: str
    picture: Picture
    figures: dict[str, float] = field(default_factory=dict)
    best: frozenset[str] = frozenset()


def draw(cells: Sequence[Cell], notes: Sequence[str] = ()) -> Image.Image:
    """The sheet in RGB, at most `MOST_COLUMNS` cells wide, with notes below them.

    Pictures are scaled into boxes of one size, which has the proportions of the last cell's picture.
    """
    columns = len(cells) if len(cells) <= MOST_COLUMNS else min(MOST_COLUMNS, math.ceil(math.sqrt(1.4 * len(cells))))
    rows = -(-len(cells) // columns)
    width = WIDE if columns <= 3 else NARROW
    h, w = cells[-1].picture.size
    box = width, max(80, min(round(width * h / w), 2 * width))
    height = box[1] + PAD + TITLE + LINE * max(len(cell.figures) for cell in cells)
    end = MARGIN + rows * (height + GAP)
    sheet = Image.new(
        "RGB", (2 * MARGIN + columns * (width + GAP) - GAP, end + LINE * len(notes) + MARGIN - GAP), PAPER
    )
    for index, cell in enumerate(cells):
        row, column = divmod(index, columns)
        sheet.paste(_drawn(cell, box, height), (MARGIN + column * (width + GAP), MARGIN + row * (height + GAP)))
    pen = ImageDraw.Draw(sheet)
    for index, note in enumerate(notes):
        pen.text((MARGIN, end + LINE * index - GAP // 2), note, SOFT, _font(note, SMALL))
    return sheet


def _drawn(cell: Cell, box: tuple[int, int], height: int) -> Image.Image:
    """One cell, as wide as the box of its picture and `height` px high."""
    width = box[0]
    out = Image.new("RGB", (width, height), PAPER)
    image = Image.fromarray(eight_bit(cell.picture.pixels))
    factor = min(width / image.width, box[1] / image.height)
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    image = image.resize(size, Image.Resampling.LANCZOS)
    out.paste(image, ((width - image.width) // 2, (box[1] - image.height) // 2))
    pen, y = ImageDraw.Draw(out), box[1] + PAD
    font = _font(cell.title, LARGE)
    pen.text((0, y), _fitted(cell.title, font, width), INK, font)
    small = _font("", SMALL)
    for index, (name, value) in enumerate(cell.figures.items()):
        best = name in cell.best
        for text, x, anchor in ((name, 0, "la"), (f"best  {value:.3f}" if best else f"{value:.3f}", width, "ra")):
            pen.text((x, y + TITLE + LINE * index), text, GOOD if best else SOFT, small, anchor)
    return out


def _fitted(text: str, font: Font, width: int) -> str:
    """The text on one line of at most `width` px; one that is too long loses its middle."""
    text = " ".join(text.split())
    left, right = text[: len(text) // 2], text[len(text) // 2 :]
    while font.getlength(text) > width and right:
        left, right = left[:-1], right[1:]
        text = f"{left}…{right}"
    return text


def _font(text: str, size: int) -> Font:
    """Pillow's own font if it has all letters of the text, else the one of the system's that lacks fewest."""
    chosen: Font = ImageFont.load_default(size)
    for name in FONTS:
        if not _lacking(chosen, text):
            break
        with contextlib.suppress(OSError):
            chosen = min(chosen, ImageFont.truetype(name, size), key=lambda font: _lacking(font, text))
    return chosen


def _lacking(font: Font, text: str) -> int:
    """Number of the text's characters for which the font has no glyph."""
    masks = [font.getmask(character) for character in ("\uffff", *text) if not character.isspace()]
    unknown, *others = [(mask.size, bytes(mask)) for mask in masks]  # type: ignore[call-overload]
    return others.count(unknown)
