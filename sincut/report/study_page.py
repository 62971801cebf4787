"""The page of a study: `study.html`, which shows the pictures of all presets, the table of their figures, and settings.

Its pictures are thumbnails inside it, and parts at 100 %, of the same place in each. A click opens the whole picture,
which is a file beside the page. There are no scripts, and nothing is loaded.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from sincut.pictures import resampling
from sincut.pictures.picture import Picture, on_white
from sincut.report.history import REPORT_FILE
from sincut.report.html import document
from sincut.report.study_table import COLUMNS, PARAMETERS, UNTOUCHED, Entry, Table
from sincut.report.thumbnails import Fit, Pictures
from sincut.translation.tiles import Box

IN_GRID, OTHERS, DETAIL = Fit(0.2, 60_000), Fit(0.1, 20_000), Fit(0.1, 45_000)
DETAIL_SIZE = 240, 320  # height and width in px, of a part at 100 %
COARSE = 0.05  # megapixels, at which outlines are looked for
LEFT_OUT = ("seconds", "members", *UNTOUCHED)  # of the columns in the files
MEASURED = ("step_seconds", "memory_gb")  # and not counted
TITLES = {"step_seconds": "s/step", "memory_gb": "GB", "psnr_output": "PSNR", "ssim_output": "SSIM"}
NETWORKS = {"generator": "G", "discriminator": "D", "projector": "H"}


class StudyPage:
    """The page of one study, as often as it is written; each picture is compressed once.

    `folder` is that of the page. In it lie the files of source and target, of `inputs`, and those that rows name.
    """

    def __init__(self, folder: Path, inputs: Mapping[str, Path], boxes: Mapping[str, Box]) -> None:
        self.folder, self.inputs, self.boxes = folder, inputs, boxes
        self.pictures = Pictures()

    def html(self, table: Table) -> str:
        """The page as one document. Parts at 100 % are those in `boxes`, of translations that of the first of them."""
        pictures = {entry.name: [row.picture for row in table.of(entry.name)] for entry in table.entries}
        first = {name: next(filter(None, files), "") for name, files in pictures.items()}
        place = next(iter(self.boxes.values()))
        made = {name: self.folder / picture for name, picture in first.items() if picture}
        whole = [self._cell(path, name, IN_GRID) for name, path in {**self.inputs, **made}.items()]
        parts = [self._cell(self.inputs[name], name, DETAIL, box) for name, box in self.boxes.items()]
        parts += [self._cell(path, name, DETAIL, place) for name, path in made.items()]
        columns = [name for name in table.columns() if name not in LEFT_OUT]
        meanings = table.meanings()
        return document(
            "study.html",
            f"{table.source} → {table.target}",
            ("page.css", "compare.css", "study.css"),
            table=table,
            figures=[cell for cell in whole if cell],
            details=[cell for cell in parts if cell],
            columns=[{"title": title(name), "meaning": meanings[name]} for name in columns],
            lines=[_line(table, entry, columns) for entry in table.entries],
            presets=[self._preset(table, entry, first[entry.name]) for entry in table.entries],
            untouched=_untouched(table),
            failures=[row.error for row in table.rows if row.error],
        )

    def _cell(self, path: Path, name: str, fit: Fit, box: Box | None = None) -> dict[str, Any] | None:
        """A picture with its name, and a link to its file; None if it cannot be read."""
        shown = self.pictures.of(path, fit, box)
        return {**shown, "name": name, "href": _link(path.relative_to(self.folder))} if shown else None

    def _preset(self, table: Table, entry: Entry, shown: str) -> dict[str, Any]:
        """What a preset is, and its trainings; those whose picture is not `shown` yet have a thumbnail of it."""
        trainings = []
        for row in table.of(entry.name):
            page = Path(row.run, REPORT_FILE)
            path = self.folder / row.picture
            thumbnail = self._cell(path, f"seed {row.seed}", OTHERS) if row.picture not in ("", shown) else None
            link = {"href": _link(Path(row.picture)) if row.picture else "", "thumbnail": thumbnail}
            report = _link(page) if (self.folder / page).exists() else ""
            trainings.append({"seed": row.seed, "state": row.state, "error": row.error, "report": report, **link})
        changes = [(key, *map(json.dumps, values)) for key, values in entry.changes.items()]
        return {"name": entry.name, "about": entry.about, "changes": changes, "trainings": trainings}


def title(column: str) -> str:
    """The title of a column for people."""
    network = column.removeprefix(PARAMETERS)
    return TITLES.get(column, column) if network == column else f"{NETWORKS.get(network, network)}, M"


def shown(column: str, value: float) -> str:
    """A number of a column for people, without its unit."""
    if column.startswith(PARAMETERS):
        return f"{value / 1e6:.2f}"
    if column in COLUMNS and column not in MEASURED:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) >= 10 or column == "memory_gb" else f"{value:.3f}"


def telling_part(picture: Picture) -> Box:
    """The box of `DETAIL_SIZE` with the most outlines in it, or the whole picture if that is smaller."""
    (h, w), small = picture.size, resampling.shrink(on_white(picture), COARSE).pixels.mean(2)
    high, wide = min(DETAIL_SIZE[0], h), min(DETAIL_SIZE[1], w)
    rows, columns = max(1, round(small.shape[0] * high / h)), max(1, round(small.shape[1] * wide / w))
    down, across = np.gradient(small) if min(small.shape) > 1 else (small, small)
    sums = np.pad(np.hypot(down, across).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    inside = sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns] + sums[:-rows, :-columns]
    row, column = np.unravel_index(int(inside.argmax()), inside.shape)
    top = min(int(row * h / small.shape[0]), h - high)
    left = min(int(column * w / small.shape[1]), w - wide)
    return top, left, top + high, left + wide


def _line(table: Table, entry: Entry, columns: list[str]) -> dict[str, Any]:
    """A preset's line of the table: a text for each column, with its spread, and if it is the best."""
    means, best = table.means(entry.name), table.best()
    cells = []
    for name in columns:
        if name not in means:
            cells.append({"text": "–", "spread": "", "best": False})
            continue
        mean, spread = means[name]
        marked = name in best and mean == best[name]
        cells.append(
            {"text": shown(name, mean), "spread": f"± {shown(name, spread)}" if spread else "", "best": marked}
        )
    rows = table.of(entry.name)
    return {"name": entry.name, "cells": cells, "done": sum(bool(row.numbers) for row in rows), "all": len(rows)}


def _untouched(table: Table) -> str:
    """PSNR and SSIM of the source itself, in words; empty without a truth."""
    numbers = next((row.numbers for row in table.rows if UNTOUCHED[0] in row.numbers), None)
    if numbers is None:
        return ""
    psnr, ssim = (shown(name, numbers[name]) for name in UNTOUCHED)
    return f"The untouched source has a PSNR of {psnr} dB and an SSIM of {ssim} to the truth."


def _link(path: Path) -> str:
    """A relative path as a page's link; names may hold anything."""
    return quote(path.as_posix())
