"""A gallery of both directions from the pictures beside this script: a painting as a photo, and a photo in three looks.

    python examples/gallery.py -o gallery                                   # an hour of training, then minutes
    python examples/gallery.py -o gallery --preset quick --minutes 3        # a first look
    python examples/gallery.py -o gallery --to-photo RUN --to-painting RUN  # models that are there already
    python examples/gallery.py -o gallery --publish .                       # README's and the page's pictures, too

Each model translates the picture that it has learned from, and the same kind of picture of a third view of that coast,
which none has seen (rendered by `render.py --third` in a minute and a half). Two further models draw the photo in the
manners of `manners.py`. The folder gets overviews, parts at 100 %, the dials, the looks side by side, and `index.html`,
which shows all that. The same command goes on where it was stopped.
"""

import argparse
import csv
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import sincut
from sincut.report.measures import measure
from sincut.runs import child
from sincut.synthesis.synthesis import Dials

PLACE = Path(__file__).parent
SIZE = 1216, 832  # px, of all pictures at full size
LIMIT = 290_000  # bytes of a written picture
FAST = sincut.Options(fast=True)
DRAWN = sincut.Options()
LOOKS = ("painting", "knife", "ink")  # paintings of the examples whose looks the photo gets
STROKE_SCALES, FIDELITIES = (0.5, 1.0, 2.0, 4.0), (0.0, 0.25, 0.5, 1.0)
GAP, LETTERS, LINE = 8, 15, 24  # px: between pictures, size of letters, height of a line of them
PAPER, INK = "#faf9f6", "#1d2021"

Cell = tuple[str, Image.Image]  # a caption and its picture


@dataclass(frozen=True)
class View:
    """A picture to translate: its file, its true translation where that is known, and places in it to look at.

    `places` are the left and upper corners of parts, in px of a picture of `SIZE`.
    """

    title: str
    path: Path
    truth: Path | None
    places: dict[str, tuple[int, int]]

    def part(self, image: Image.Image, place: str, side: int) -> Image.Image:
        """The square part of a picture of this view at a place, `side` px wide, at 100 %."""
        left, top = (round(at * image.width / SIZE[0]) for at in self.places[place])
        left, top = min(left, image.width - side), min(top, image.height - side)
        return image.crop((left, top, left + side, top + side))


def views(third: Path) -> dict[str, tuple[View, View]]:
    """The two views of each direction by the look that they get, the learned one first; `third` is a folder."""
    coast = {"sky": (560, 20), "arch": (230, 330), "cliff": (740, 380), "surf": (880, 520), "corner": (0, 832)}
    bay = {"sky": (700, 20), "arch": (740, 330), "turf": (60, 480), "surf": (500, 440), "corner": (1216, 832)}
    gate = {"sky": (600, 40), "arch": (330, 330), "cliff": (760, 300), "sea": (500, 560), "corner": (0, 520)}
    photo, painting = third / "third-photo.jpg", third / "third-painting.jpg"
    return {
        "photo": (
            View("the painting that was learned from", PLACE / "painting.jpg", PLACE / "truth.jpg", coast),
            View("a painting that was not learned from", painting, photo, gate),
        ),
        "painting": (
            View("the photo that was learned from", PLACE / "photo.jpg", None, bay),
            View("a photo that was not learned from", photo, painting, gate),
        ),
    }


# ---------------------------------------------------------------------------------------------------------------------
# Pictures made of pictures.


def grid(rows: Sequence[Sequence[Cell]]) -> Image.Image:
    """Captioned pictures in rows; those of a row have one height."""
    heights = [LINE + row[0][1].height + GAP for row in rows]
    width = max(sum(image.width + GAP for _, image in row) for row in rows) + GAP
    out = Image.new("RGB", (width, sum(heights) + GAP), PAPER)
    pen, font, top = ImageDraw.Draw(out), ImageFont.load_default(LETTERS), GAP // 2
    for row, height in zip(rows, heights, strict=True):
        left = GAP
        for caption, image in row:
            pen.text((left, top + (LINE - LETTERS) // 2 - 2), caption, INK, font)
            out.paste(image, (left, top + LINE))
            left += image.width + GAP
        top += height
    return out


def small(image: Image.Image, width: int) -> Image.Image:
    """The picture `width` px wide, if it is wider."""
    if image.width <= width:
        return image
    return image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)


def save(image: Image.Image, path: Path, limit: int = LIMIT) -> Path:
    """Write a JPEG of at most `limit` bytes, with the best quality that allows; returns its path."""
    for quality in range(92, 28, -3):
        data = BytesIO()
        image.save(data, "JPEG", quality=quality, optimize=True)
        if data.tell() <= limit:
            break
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.getvalue())
    print(f"{path}  {data.tell() / 1000:.0f} kB, quality {quality}", flush=True)
    return path


# ---------------------------------------------------------------------------------------------------------------------
# One direction: a model, its two views, and what is shown of them.


@dataclass
class Direction:
    """A model that gives pictures the look of the painting or the photo, and what it has made of its views."""

    to: str  # painting or photo
    translator: sincut.Translator
    views: tuple[View, View]
    target: Image.Image
    width: int  # px of the pictures to translate
    done: dict[tuple[Path, sincut.Options], Image.Image] = field(default_factory=dict)

    def source(self, view: View) -> Image.Image:
        """The picture to translate."""
        return small(Image.open(view.path).convert("RGB"), self.width)

    def output(self, view: View, options: sincut.Options = DRAWN) -> Image.Image:
        """Its translation, which is made once."""
        key = view.path, options
        if key not in self.done:
            self.done[key] = self.translator.apply(self.source(view), options)
        return self.done[key]

    def overview(self, view: View) -> Image.Image:
        """Source, translation and target side by side, small."""
        looks = f"--to {self.to}: what sincut makes of it"
        cells = [(view.title, self.source(view)), (looks, self.output(view)), (f"the {self.to}", self.target)]
        return grid([[(caption, small(image, 400)) for caption, image in cells]])

    def details(self, view: View, side: int = 280) -> Image.Image:
        """Parts at 100 %: a row for each place, of the source, G's translation alone, the drawn one, and the truth."""
        columns = {"source": self.source(view), "--fast": self.output(view, FAST), "as it comes": self.output(view)}
        if view.truth is not None:
            columns["the truth"] = small(Image.open(view.truth).convert("RGB"), self.width)
        side = min(side, columns["source"].height)
        return grid(
            [
                [(f"{place}: {name}", view.part(image, place, side)) for name, image in columns.items()]
                for place in view.places
            ]
        )

    def row(self, place: str, looks: Mapping[str, sincut.Options], side: int) -> list[Cell]:
        """A part of the learned view at 100 %: the source, then its translation by each of the named options."""
        view = self.views[0]
        side = min(side, self.source(view).height)
        images = {"source": self.source(view), **{name: self.output(view, each) for name, each in looks.items()}}
        return [(name, view.part(image, place, side)) for name, image in images.items()]

    def dial(self, name: str, values: Iterable[float]) -> list[Cell]:
        """A part of the learned view at each value of a dial."""
        key = name.replace("-", "_")
        looks = {f"--{name} {value:g}": sincut.Options(dials=Dials(**{key: value})) for value in values}
        return self.row("arch", looks, 240)

    def fast(self, side: int = 296) -> list[Cell]:
        """A part of the learned view by G alone and drawn, and a part of the target."""
        cells = self.row("arch", {"--fast": FAST, "as it comes": DRAWN}, side)
        side = cells[0][1].height
        middle = (self.target.width - side) // 2, (self.target.height - side) // 2
        return [*cells, (f"of the {self.to}", self.target.crop((*middle, middle[0] + side, middle[1] + side)))]

    def by_height(self) -> list[Cell]:
        """A part of the learned view drawn as it comes, and by height."""
        return self.row("surf", {"as it comes": DRAWN, "--by-height": sincut.Options(dials=Dials(by_height=True))}, 296)

    def figures(self, view: View) -> str:
        """The figures of `sincut evaluate` in words, with PSNR and SSIM to the truth where it is known."""
        pictures = [self.source(view), self.target, self.output(view)]
        if view.truth is not None:
            pictures.append(small(Image.open(view.truth).convert("RGB"), self.width))
        figures = measure(*(sincut.Picture(np.asarray(picture)) for picture in pictures))
        words = [f"{name} {value:.2f}" for name, value in figures.items() if "_" not in name]
        if view.truth is not None:
            for whose, label in (("output", "to the truth"), ("painting", "of the untouched source")):
                words.append(f"PSNR {label} {figures[f'psnr_{whose}']:.1f} dB, SSIM {figures[f'ssim_{whose}']:.2f}")
        return ", ".join(words)


# ---------------------------------------------------------------------------------------------------------------------
# The gallery.


def train(folder: Path, missing: Sequence[str], flags: Sequence[str]) -> None:
    """Train a model for each of the `missing` looks, or go on with it: `sincut train --pairs` in its own process.

    A look is `photo` or one of `LOOKS`. Run folders are to-LOOK in `folder`. Ends this program where a training fails
    or is stopped.
    """
    table = folder / "pairs.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        rows = []
        for look in missing:
            painting, to = ("painting", "photo") if look == "photo" else (look, "painting")
            rows.append((PLACE / f"{painting}.jpg", PLACE / "photo.jpg", to, f"to-{look}"))
        csv.writer(file).writerows([("painting", "photo", "to", "name"), *rows])
    ended = subprocess.run(child.command("--pairs", table, "-o", folder, *flags), check=False)
    if ended.returncode:
        raise SystemExit(ended.returncode)


def render_third(folder: Path, width: int) -> None:
    """Render the view that no model has seen into a folder, unless it is there."""
    if not (folder / "third-painting.jpg").exists():
        command = [sys.executable, str(PLACE / "render.py"), "--third", "--out", str(folder), "--size", str(width)]
        subprocess.run(command, check=True)


def looks(view: View, drawn: dict[str, Image.Image], side: int = 300) -> Image.Image:
    """One photo, and what it is drawn as in several looks: the whole, small, and a part of it at 100 %."""
    cells = [
        ("the photo", small(Image.open(view.path).convert("RGB"), next(iter(drawn.values())).width)),
        *drawn.items(),
    ]
    side = min(side, cells[0][1].height)
    parts = [("at 100 %", view.part(image, "arch", side)) for _, image in cells]
    return grid([[(caption, small(image, side)) for caption, image in cells], parts])


def write(folder: Path, directions: Sequence[Direction], sheet: Image.Image) -> None:
    """Write all pictures of the gallery, and the page that shows them; `sheet` is that of the looks."""
    parts = []
    for each in directions:
        other = "photo" if each.to == "painting" else "painting"
        parts.append(f"<h2>{other} → {each.to}: <code>sincut train painting.jpg photo.jpg --to {each.to}</code></h2>")
        for kind, view in zip(("learned", "new"), each.views, strict=True):
            name = f"to-{each.to}-{kind}"
            overview = save(each.overview(view), folder / f"{name}.jpg")
            details = save(each.details(view), folder / f"{name}-details.jpg")
            parts.append(f"<h3>{escape(view.title)}</h3>{shown(overview)}<p>{escape(each.figures(view))}</p>")
            parts.append(f"<p>Parts at 100 %:</p>{shown(details)}")
    for name, image in dials(directions).items():
        parts.append(f"<h2><code>--{name}</code></h2>{shown(save(image, folder / f'{name}.jpg'))}")
    parts.append(f"<h2>One photo, several looks</h2>{shown(save(sheet, folder / 'looks.jpg'))}")
    style = f"body {{font-family: sans-serif; background: {PAPER}; color: {INK}; margin: 2rem}} img {{max-width: 100%}}"
    page = f"<!doctype html><meta charset=utf-8><title>sincut: both directions</title><style>{style}</style>"
    (folder / "index.html").write_text("\n".join([page, "<h1>Both directions</h1>", *parts]), encoding="utf-8")
    print(folder / "index.html")


def shown(path: Path) -> str:
    """The picture in the page that lies beside it."""
    return f'<img src="{escape(path.name)}" alt="{escape(path.stem)}">'


def dials(directions: Sequence[Direction]) -> dict[str, Image.Image]:
    """The pictures of the dials by name: a row for each direction, at 100 %."""
    return {
        "stroke-scale": grid([each.dial("stroke-scale", STROKE_SCALES) for each in directions]),
        "fidelity": grid([each.dial("fidelity", FIDELITIES) for each in directions]),
        "by-height": grid([each.by_height() for each in directions]),
        "fast": grid([each.fast() for each in directions]),
    }


def publish(root: Path, directions: Sequence[Direction], sheet: Image.Image) -> None:
    """Write the pictures that README, docs/dials.md and the page show, into a working tree of sincut."""
    save(sheet, root / "examples" / "looks.jpg")
    by_look = {each.to: each for each in directions}
    for to, name in (("photo", "translated"), ("painting", "painted")):
        save(by_look[to].output(by_look[to].views[0]), root / "examples" / f"{name}.jpg")
    for name, image in dials(directions).items():
        save(image, root / "examples" / f"{name}.jpg")
    cells = []
    for each in directions:
        view, other = each.views[0], "photo" if each.to == "painting" else "painting"
        cells += [(f"a {other}", each.source(view)), (f"to {each.to}", each.output(view))]
    sheet = grid([[(caption, small(image, 280)) for caption, image in cells]])
    save(sheet, root / "sincut" / "page" / "assets" / "directions.jpg", 90_000)


def main() -> None:
    parser = argparse.ArgumentParser(description="Both directions, learned from the examples, as a page of pictures.")
    parser.add_argument("-o", "--output", type=Path, default=Path("gallery"), metavar="FOLDER", help="where to write")
    parser.add_argument("--preset", default="standard", help="of the trainings")
    parser.add_argument("--minutes", type=float, help="of each training; as the preset says by default")
    parser.add_argument("--seed", type=int, default=0, help="of the trainings")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="a setting")
    parser.add_argument("--device", default="auto", help="as of sincut train")
    parser.add_argument("--to-photo", type=Path, metavar="MODEL", help="a model of painting -> photo, not trained then")
    parser.add_argument("--to-painting", type=Path, metavar="MODEL", help="a model of photo -> painting")
    parser.add_argument("--to-knife", type=Path, metavar="MODEL", help="a model of photo -> knife.jpg")
    parser.add_argument("--to-ink", type=Path, metavar="MODEL", help="a model of photo -> ink.jpg")
    parser.add_argument("--width", type=int, default=SIZE[0], help="px of the pictures to translate")
    parser.add_argument("--publish", type=Path, metavar="ROOT", help="also write README's, the docs' and the page's")
    options = parser.parse_args()
    folder = options.output
    folder.mkdir(parents=True, exist_ok=True)
    given = {look: getattr(options, f"to_{look}") for look in ("photo", *LOOKS)}
    flags = ["--preset", options.preset, "--seed", str(options.seed), "--device", options.device]
    flags += ["--minutes", str(options.minutes)] if options.minutes else []
    flags += [word for setting in options.settings for word in ("--set", setting)]
    missing = [to for to, model in given.items() if model is None]
    if missing:
        train(folder, missing, flags)
    render_third(folder, options.width)
    targets = {name: small(Image.open(PLACE / f"{name}.jpg").convert("RGB"), options.width) for name in given}
    models = {look: sincut.load(model or folder / f"to-{look}", options.device) for look, model in given.items()}
    directions = [Direction(to, models[to], pair, targets[to], options.width) for to, pair in views(folder).items()]
    back = directions[1]  # photo -> painting
    photo = back.views[0]
    drawn = {
        look: back.output(photo) if look == back.to else models[look].apply(back.source(photo), DRAWN) for look in LOOKS
    }
    sheet = looks(photo, drawn)
    write(folder, directions, sheet)
    if options.publish is not None:
        publish(options.publish, directions, sheet)


if __name__ == "__main__":
    main()
