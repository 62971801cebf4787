"""Cards: small pieces of HTML that show a model in notebooks and pages.

Model files come from strangers, so templates escape every text.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sincut.config.resolve import closest
from sincut.config.sections import Config
from sincut.errors import listed
from sincut.model.markup import Markup, render
from sincut.model.provenance import THUMBNAILS, Provenance
from sincut.pictures.resampling import from_thumbnail

SHOWN = ("direction", "seed", "steps", "seconds")


def model_card(config: Config, provenance: Provenance, exemplars: Sequence[tuple[int, int]] = ()) -> str:
    """A model's card, as HTML: thumbnails, inputs, figures, and its settings as differences from a preset.

    `exemplars` are the sizes (H, W) in px of what the model carries of its targets.
    """
    pictures = {part: thumbnail_uri(provenance.thumbnails.get(part, "")) for part in THUMBNAILS}
    told = provenance.to_dict()
    rows = [(role, picture.title if picture else "") for role, picture in provenance.pictures.items()]
    rows += [(key, told[key]) for key in SHOWN if key in told]
    rows += [("exemplar", carried_words(exemplars, provenance))]
    figures = ", ".join(f"{name} {value}" for name, value in provenance.figures.items())
    rows += [("figures", figures)] if figures else []
    preset = closest(config)
    own = ", ".join(f"{key}={value}" for key, (value, _) in config.changes(preset.config).items())
    rows += [("preset", preset.name), ("settings", own or "those of the preset")]
    return str(card("sincut translator", side_by_side(pictures), table(rows)))


def carried_words(exemplars: Sequence[tuple[int, int]], provenance: Provenance) -> str:
    """The sentence that says which pixels of its targets a model's file holds, of these sizes (H, W)."""
    if not exemplars:
        return "none: its file holds no pixels of its target but a thumbnail"
    sizes = listed([f"{width}x{height}" for height, width in exemplars])
    name, targets = (provenance.target.title if provenance.target else ""), "target"
    if len(exemplars) > 1:
        targets = f"targets, {len(exemplars)} of them"
    return f"its file holds {sizes} pixels of its {targets}{name and f', {name}'}"


def card(title: str, *parts: Markup, progress: float | None = None) -> Markup:
    """A framed card: title, a progress bar if `progress` (in 0..1) is given, and parts one below the other."""
    return render("model/assets/card.html", title=title, parts=parts, progress=progress)


def side_by_side(pictures: Mapping[str, str]) -> Markup:
    """A row of titled pictures, given as data URIs by title; those with an empty URI are left out."""
    return render("model/assets/pictures.html", pictures=pictures)


def slider(left: tuple[str, str], right: tuple[str, str]) -> Markup:
    """Two pictures of one size, one over the other, each a title and a data URI: a handle says which share shows which.

    Where scripts are off, as in notebooks that are not trusted, each shows its half.
    """
    titles = {"left": left[0], "right": right[0]}
    return render("model/assets/slider.html", **titles, left_uri=left[1], right_uri=right[1])


def table(rows: Iterable[tuple[str, Any]]) -> Markup:
    """A table of two columns of text."""
    return render("model/assets/table.html", rows=rows)


def data_uri(data: bytes, kind: str = "jpeg") -> str:
    """A picture file's bytes as a data URI, the source of an HTML image; `kind` is its MIME subtype."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def thumbnail_uri(text: str) -> str:
    """A model file's thumbnail, a JPEG in base64, as a data URI; empty for any other text that stands in its place."""
    return data_uri(base64.b64decode(text)) if from_thumbnail(text) is not None else ""
