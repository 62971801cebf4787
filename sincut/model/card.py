"""Cards: small pieces of HTML that show a model in notebooks and pages.

Model files come from strangers, so templates escape every text.
"""

import base64
from collections.abc import Iterable, Mapping
from typing import Any

from sincut.config.resolve import closest
from sincut.config.sections import Config
from sincut.model.markup import Markup, render
from sincut.model.provenance import THUMBNAILS, Provenance
from sincut.pictures.resampling import from_thumbnail

SHOWN = ("direction", "seed", "steps", "seconds")


def model_card(config: Config, provenance: Provenance, exemplar: tuple[int, int] | None = None) -> str:
    """A model's card, as HTML: thumbnails, inputs, figures, and its settings as differences from a preset.

    `exemplar` is the size (H, W) in px of the target's pixels that the model carries, if it does.
    """
    pictures = {part: thumbnail_uri(provenance.thumbnails.get(part, "")) for part in THUMBNAILS}
    told = provenance.to_dict()
    rows = [(role, picture.name if picture else "") for role, picture in provenance.pictures.items()]
    rows += [(key, told[key]) for key in SHOWN if key in told]
    rows += [("exemplar", carried_words(exemplar, provenance))]
    figures = ", ".join(f"{name} {value}" for name, value in provenance.figures.items())
    rows += [("figures", figures)] if figures else []
    preset = closest(config)
    own = ", ".join(f"{key}={value}" for key, (value, _) in config.changes(preset.config).items())
    rows += [("preset", preset.name), ("settings", own or "those of the preset")]
    return str(card("sincut translator", side_by_side(pictures), table(rows)))


def carried_words(exemplar: tuple[int, int] | None, provenance: Provenance) -> str:
    """The sentence that says which pixels of its target a model's file holds; `exemplar` is their size (H, W)."""
    if exemplar is None:
        return "none: its file holds no pixels of its target but a thumbnail"
    height, width = exemplar
    name = provenance.target.name if provenance.target else ""
    return f"its file holds {width}x{height} pixels of its target{name and f', {name}'}"


def card(title: str, *parts: Markup, progress: float | None = None) -> Markup:
    """A framed card: title, a progress bar if `progress` (in 0..1) is given, and parts one below the other."""
    return render("model/assets/card.html", title=title, parts=parts, progress=progress)


def side_by_side(pictures: Mapping[str, str]) -> Markup:
    """A row of titled pictures, given as data URIs by title; those with an empty URI are left out."""
    return render("model/assets/pictures.html", pictures=pictures)


def table(rows: Iterable[tuple[str, Any]]) -> Markup:
    """A table of two columns of text."""
    return render("model/assets/table.html", rows=rows)


def data_uri(data: bytes, kind: str = "jpeg") -> str:
    """A picture file's bytes as a data URI, the source of an HTML image; `kind` is its MIME subtype."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def thumbnail_uri(text: str) -> str:
    """A model file's thumbnail, a JPEG in base64, as a data URI; empty for any other text that stands in its place."""
    return data_uri(base64.b64decode(text)) if from_thumbnail(text) is not None else ""
