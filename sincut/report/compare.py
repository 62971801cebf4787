"""Several results on one picture, side by side: a contact sheet for choosing presets and seeds.

What is compared are run folders and model files, applied to one picture, and pictures that are translated already. A
picture file or an HTML page shows source, photo and results with their names and the figures of `measures.measure`.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw, ImageFont

from sincut.errors import ImageError, RunError
from sincut.files import write_whole
from sincut.model.model import MODEL_FILE, Model
from sincut.pictures import formats, reading, writing
from sincut.pictures.picture import Picture, eight_bit
from sincut.pictures.writing import Saving
from sincut.report import measures
from sincut.report.history import INPUTS, PREVIEWS, previews
from sincut.report.html import PAGES, document
from sincut.report.measures import FIGURES
from sincut.report.thumbnails import Fit, compressed
from sincut.translation.translator import Translator

CELL = Fit(0.6, 220_000)  # of a picture in a page
MARGIN, GAP, PAD = 48, 36, 14  # px, of a contact sheet
WIDE, NARROW = 640, 480  # px, of its pictures: of up to three in a row, of more
MOST_COLUMNS = 5
PAPER, INK, SOFT, LINE, GOOD = "#faf9f6", "#1d2021", "#5b6063", "#e2dfd8", "#0b6e63"
LARGE, SMALL = 24, 18  # px, of letters
NAME_LINES = 2
# Where Pillow's own font lacks a name's letters: fonts of common systems, in this order.
FONTS = (
    *("DejaVuSans.ttf", "NotoSans-Regular.ttf", "segoeui.ttf", "Arial.ttf", "NotoSansCJK-Regular.ttc"),
    *("Arial Unicode.ttf", "PingFang.ttc", "msyh.ttc", "YuGothR.ttc", "malgun.ttf", "wqy-microhei.ttc", "unifont.ttf"),
)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Result:
    """One of the things compared."""

    name: str
    path: Path
    picture: Picture
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """Results on one picture; source and photo where they are known."""

    source: Picture | None
    photo: Picture | None
    results: list[Result]

    def best(self) -> dict[str, float]:
        """Of each figure the best value, where results differ."""
        found = {}
        for name in self.figures():
            values = [result.figures[name] for result in self.results if name in result.figures]
            better = FIGURES.get(name, ("", 0))[1]
            if len(set(values)) > 1:
                found[name] = max(values, key=lambda value: better * value if better else -abs(value - 1))
        return found

    def figures(self) -> list[str]:
        """Names of all figures, in the order in which they are known."""
        return list(dict.fromkeys(name for result in self.results for name in result.figures))


def compare(
    outputs: Sequence[Path],
    picture: Path | None = None,
    photo: Path | None = None,
    device: torch.device | str = "cpu",
    on_result: Callable[[Result], None] = lambda result: None,
) -> Comparison:
    """Translate `picture` with every model among `outputs`, take the pictures among them as they are, and measure.

    Without `picture`, models are applied to the copy of their source that a run folder holds; where there is none,
    their last previews are shown. `photo` is what the translation should look like; by default the run folder's copy.
    Raises `ImageError`, `ModelError`, or `RunError` for runs of different pictures where none is given.
    """
    models = {path: Model.load(path) for path in outputs if is_model(path)}
    source = reading.load(picture) if picture else _kept(models, 0)
    look = reading.load(photo) if photo else _kept(models, 1)
    results = []
    for path, name in zip(outputs, names(outputs), strict=True):
        known: dict[str, float] = {}
        if path not in models:
            out = reading.load(path)
        elif source is not None:
            out = Translator(models[path], device).apply_picture(source)
        else:
            out, known = _last_preview(path, models[path])
        figures = known if source is None or look is None else _measured(source, look, out)
        results.append(Result(name, path, out, figures))
        on_result(results[-1])
    return Comparison(source, look, results)


def write(comparison: Comparison, path: Path) -> None:
    """A page where the name ends in .html, else a contact sheet, in the format of the suffix. Raises `ImageError`."""
    if any(path.exists() and result.path.exists() and path.samefile(result.path) for result in comparison.results):
        raise ImageError(f"{path}: is one of the pictures compared; choose another name with -o")
    if path.suffix.lower() in PAGES:
        write_whole(path, page(comparison).encode(), ImageError)
    else:
        writing.save(reading.from_pil(sheet(comparison)), path, Saving(quality=93))


def check_output(path: Path) -> None:
    """Raise `ImageError` where a file of this name cannot be written, before anything is computed."""
    if path.suffix.lower() not in PAGES:
        formats.writable_format(path)


def is_model(path: Path) -> bool:
    """Whether this names a run folder or a model file, not a picture."""
    return path.is_dir() or path.suffix.lower() == Path(MODEL_FILE).suffix


def names(paths: Sequence[Path]) -> list[str]:
    """What to call each: a run's folder, a file's name; with the folders above where that is not enough."""
    plain = [path.resolve().parent if path.name == MODEL_FILE else path.resolve() for path in paths]
    found = [path.name for path in plain]
    for depth in (2, 3, 4):
        twice = {name for name in found if found.count(name) > 1}
        found = ["/".join(p.parts[-depth:]) if n in twice else n for p, n in zip(plain, found, strict=True)]
    return found


def sheet(comparison: Comparison) -> Image.Image:
    """The contact sheet: RGB, at most `MOST_COLUMNS` pictures wide."""
    cells = _cells(comparison)
    columns = len(cells) if len(cells) <= MOST_COLUMNS else min(MOST_COLUMNS, math.ceil(math.sqrt(1.4 * len(cells))))
    width = WIDE if columns <= 3 else NARROW
    h, w = comparison.results[0].picture.size
    height = max(80, min(round(width * h / w), 2 * width))
    best, shown = comparison.best(), comparison.figures()
    text = round(NAME_LINES * 1.3 * LARGE + len(shown) * 1.5 * SMALL + SMALL)
    rows = -(-len(cells) // columns)
    size = (
        2 * MARGIN + columns * width + (columns - 1) * GAP,
        2 * MARGIN
        + rows * (height + PAD + text)
        + (rows - 1) * GAP // 2
        + len(shown) * round(1.5 * SMALL)
        + GAP * bool(shown),
    )
    out = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(out)
    for index, (title, picture, figures) in enumerate(cells):
        x = MARGIN + index % columns * (width + GAP)
        y = MARGIN + index // columns * (height + PAD + text + GAP // 2)
        image = _fitted(picture, width, height)
        out.paste(image, (x + (width - image.width) // 2, y + (height - image.height) // 2))
        _caption(draw, (x, y + height + PAD), width, title, figures, best)
    y = size[1] - MARGIN - len(shown) * round(1.5 * SMALL)
    for index, name in enumerate(shown):
        about = f"{name}: {FIGURES.get(name, ('', 0))[0]}"
        draw.text((MARGIN, y + index * round(1.5 * SMALL)), about, SOFT, _font(about, SMALL))
    return out


def page(comparison: Comparison) -> str:
    """The same as one HTML document without scripts, its pictures inside, that loads nothing."""
    best = comparison.best()
    cells = [
        {
            **compressed(picture, CELL),
            "title": title,
            "figures": {name: f"{value:.4g}" for name, value in figures.items()},
            "best": {name: best.get(name) == value for name, value in figures.items()},
        }
        for title, picture, figures in _cells(comparison)
    ]
    about = {name: FIGURES[name][0] for name in comparison.figures() if name in FIGURES}
    title = f"{len(comparison.results)} results compared"
    return document("compare.html", title, ("page.css", "compare.css"), cells=cells, about=about)


def _cells(comparison: Comparison) -> list[tuple[str, Picture, dict[str, float]]]:
    """Title, picture and figures of each place on the sheet."""
    found: list[tuple[str, Picture, dict[str, float]]] = []
    if comparison.source is not None:
        found.append(("the picture itself", comparison.source, {}))
    if comparison.photo is not None:
        found.append(("the look that is learned", comparison.photo, {}))
    return found + [(f"{i}. {r.name}", r.picture, r.figures) for i, r in enumerate(comparison.results, 1)]


def _kept(models: dict[Path, Model], part: int) -> Picture | None:
    """The copy that one of the runs holds of what all translate (`part` 0) or of the look that all learned (1).

    None where no run has one, or for looks that differ. Raises `RunError` for sources that differ.
    """
    found, told = None, set()
    for path, model in models.items():
        reverse = str(model.provenance.get("direction", "")).startswith("photo")
        role = ("photo", "painting")[part] if reverse else ("painting", "photo")[part]
        entry = model.provenance.get(role)
        told.add(str(entry.get("sha256")) if isinstance(entry, dict) else "")
        file = (path if path.is_dir() else path.parent) / PREVIEWS / INPUTS[role]
        if found is None and file.is_file():
            found = reading.load(file)
    if len(told) > 1 and part == 0:
        raise RunError("these models learned from different pictures; say with --picture what they shall translate")
    return found if len(told) == 1 else None


def _last_preview(path: Path, model: Model) -> tuple[Picture, dict[str, float]]:
    """Of a run folder, with the figures that the training took of it."""
    found = previews(path if path.is_dir() else path.parent)
    if not found:
        raise RunError(f"{path}: there is no copy of the painting and no preview beside it; give --picture")
    figures = model.provenance.get("figures")
    known = figures.items() if isinstance(figures, dict) else ()
    return reading.load(found[max(found)]), {str(k): v for k, v in known if isinstance(v, float | int)}


def _measured(source: Picture, look: Picture, out: Picture) -> dict[str, float]:
    smallest = min(*source.size, *look.size, *out.size)
    return measures.measure(source, look, out) if smallest >= measures.SMALLEST else {}


def _fitted(picture: Picture, width: int, height: int) -> Image.Image:
    image = Image.fromarray(eight_bit(picture.pixels))
    factor = min(width / image.width, height / image.height)
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    return image.resize(size, Image.Resampling.LANCZOS)


def _caption(
    draw: ImageDraw.ImageDraw,
    at: tuple[int, int],
    width: int,
    title: str,
    figures: dict[str, float],
    best: dict[str, float],
) -> None:
    """Name and figures below a picture; the best of all are marked by colour and a dot."""
    x, y = at
    font = _font(title, LARGE)
    for line in _wrapped(_drawable(title, font), font, width):
        draw.text((x, y), line, INK, font)
        y += round(1.3 * LARGE)
    y += SMALL // 3
    for name, value in figures.items():
        good = best.get(name) == value
        text, number = f"{value:.3f}", _font("0", SMALL)
        draw.line((x, y - 3, x + width - 1, y - 3), LINE)
        draw.text((x, y), name, GOOD if good else SOFT, _font(name, SMALL))
        draw.text((x + width - number.getlength(text), y), text, GOOD if good else INK, number)
        if good:
            left, middle = x + width - number.getlength(text) - 14, y + SMALL * 0.62
            draw.ellipse((left - 4, middle - 4, left + 4, middle + 4), GOOD)
        y += round(1.5 * SMALL)


def _wrapped(text: str, font: Font, width: int) -> list[str]:
    """At most `NAME_LINES` lines that fit; what is too long loses its middle."""
    lines: list[str] = []
    rest = text
    while rest:
        fits = next((n for n in range(len(rest), 1, -1) if font.getlength(rest[:n]) <= width), 1)
        if fits < len(rest) and len(lines) == NAME_LINES - 1:
            tail = rest
            while len(tail) > 1 and font.getlength(f"…{tail}") > width:
                tail = tail[1:]
            return [*lines, f"…{tail}"]
        cut = rest[:fits].rfind(" ") + 1 if fits < len(rest) else 0
        cut = cut if cut > fits // 2 else fits
        lines.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    return lines


def _font(text: str, size: int) -> Font:
    """Pillow's own font where it has all letters of the text, else the one of the system's that lacks fewest."""
    found: Font = ImageFont.load_default(size)
    fewest = _missing(found, text)
    for name in FONTS if fewest else ():
        try:
            font = ImageFont.truetype(name, size)
        except OSError:
            continue
        missing = _missing(font, text)
        if missing < fewest:
            found, fewest = font, missing
    return found


def _missing(font: Font, text: str) -> int:
    none = _glyph(font, "\uffff")
    return sum(not char.isspace() and _glyph(font, char) == none for char in set(text))


def _glyph(font: Font, char: str) -> tuple[Any, bytes]:
    mask = font.getmask(char)
    return mask.size, bytes(mask)  # type: ignore[call-overload]


def _drawable(text: str, font: Font) -> str:
    """The text with what the font lacks written as U+5C71."""
    missing = _glyph(font, "\uffff")
    return "".join(
        c if c.isspace() or _glyph(font, c) != missing else f"U+{ord(c):04X} " for c in " ".join(text.split())
    )
