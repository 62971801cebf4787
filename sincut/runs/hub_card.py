"""The model card of a model, as model hubs read it: Markdown that begins with metadata in YAML.

The form is that of https://huggingface.co/docs/hub/model-cards. A card tells what the model file tells, of which every
text may be a stranger's: it stands there as text, on one line, and never as markup. The licence is left to whoever
publishes, since it depends on the picture that the model carries.
"""

import json
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

from sincut.config.resolve import closest
from sincut.config.sections import Config
from sincut.config.values import toml
from sincut.model.card import carried_words
from sincut.model.file import MODEL_FILE
from sincut.model.markup import short
from sincut.model.model import describe, exemplar_sizes
from sincut.model.provenance import Provenance
from sincut.report.measures import meaning
from sincut.runs.shelf import SUFFIX

HEAD = """---
library_name: sincut
pipeline_tag: image-to-image
tags:
- image-to-image
- style-transfer
- sincut
# license: yours to choose, as in cc-by-4.0; see "Licence" below
---"""
MARKUP = re.compile(r"([\\`*_\[\]<>#|~&$@]|:(?=//)|(?<=www)\.)")  # and what hubs turn into links


def hub_card(path: Path) -> str:
    """The card of a run folder's model or a model file. Raises `ModelError`."""
    config, known = describe(path)
    name, file = (path.absolute().name, MODEL_FILE) if path.is_dir() else (path.name.removesuffix(SUFFIX), path.name)
    source, target = known.roles
    count = len(known.target.pictures) if known.target else 0
    sizes = exemplar_sizes(path)
    carried = carried_words(sizes, known)
    parts = [
        HEAD,
        f"# {_text(name)}",
        f"A translator of sincut: it gives {source}s the look of {f'{count} {target}s' if count else f'one {target}'}.",
        "## How to use it",
        f"```sh\nsincut apply {_word(file)} {source}.jpg -o out.jpg\n```",
        f"```python\nimport sincut\n\ntranslator = sincut.load({json.dumps(short(file), ensure_ascii=False)})\n"
        f'translator.apply("{source}.jpg").save("out.png")\n```',
        "## What it learned from",
        _table(("", "file", "size", "SHA-256"), _pictures(known)),
        f"{_text(carried[0].upper() + carried[1:])}.",
        "## How it was trained",
        _table(("", ""), _training(config, known)),
        "## Figures",
        _figures(known),
        "## Licence",
        "Yours to choose, and to write into the first lines of this file."
        + (f" With the model goes the picture that it carries, a {target}, under its own licence." if sizes else ""),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _pictures(known: Provenance) -> Iterable[tuple[str, str, str, str]]:
    """Rows on the source and the target, in this order, as far as they are told."""
    for part, role in zip(("from", "look of"), known.roles, strict=True):
        if picture := known.pictures[role]:
            size = f"{picture.width}x{picture.height}" if picture.width and not picture.pictures else ""
            yield f"{part}: {role}", picture.title, size, picture.sha256


def _training(config: Config, known: Provenance) -> Iterable[tuple[str, str]]:
    """Rows on direction, preset, length, seed, settings of its own and versions, as far as they are told."""
    preset = closest(config)
    own = {key: value for key, (value, _) in config.changes(preset.config).items()}
    yield "direction", known.direction
    yield "preset", f"{preset.name} ({preset.about})"
    yield "steps", f"{known.steps} of {known.planned_steps or '?'}"
    if known.seconds is not None:
        yield "time", f"{known.seconds / 60:.1f} minutes"
    if known.seed is not None:
        yield "seed", str(known.seed)
    yield from ((key, toml(value)) for key, value in own.items())
    yield from known.versions.items()


def _figures(known: Provenance) -> str:
    """A table of the figures of the last preview with their meaning; a sentence where there are none."""
    if not known.figures:
        return "Its file tells none."
    rows = [(name, f"{value:.4g}", meaning(name, *known.roles)) for name, value in known.figures.items()]
    table = _table(("figure", "value", "meaning"), rows)
    return f"Of the last preview, a translation of what it learned from, measured from the pictures alone:\n\n{table}"


def _table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table of texts in Markdown; empty without rows."""
    lines = ["| " + " | ".join(map(_text, row)) + " |" for row in rows]
    return "\n".join(["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles), *lines]) if lines else ""


def _text(text: str) -> str:
    """Markdown that shows just this text, on one line."""
    return MARKUP.sub(r"\\\1", " ".join(short(text).split()))


def _word(text: str) -> str:
    """A text as one word of a shell's command, on one line."""
    return shlex.quote(" ".join(short(text).split()))
