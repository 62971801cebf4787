"""A model as a small piece of HTML, for notebooks. Model files come from strangers: every text is escaped."""

import base64
import binascii
import html
from collections.abc import Mapping
from typing import Any

from sincut.config.sections import Config

PICTURES = ("source", "target", "output")
SHOWN = ("direction", "seed", "steps", "seconds")
LONGEST = 200  # characters of a text
LARGEST = 200_000  # characters of a thumbnail
STYLE = "border:1px solid #8888;border-radius:6px;padding:0.6em;display:inline-block;max-width:46em"


def model_card(config: Config, provenance: Mapping[str, Any]) -> str:
    """Thumbnails, inputs, figures, and the settings that are not the defaults."""
    thumbnails = _mapping(provenance.get("thumbnails"))
    pictures = {role: data_uri(thumbnails[role]) for role in PICTURES if role in thumbnails}
    rows = [(role, _mapping(provenance.get(role)).get("name", "")) for role in ("painting", "photo")]
    rows += [(key, provenance[key]) for key in SHOWN if key in provenance]
    figures = _mapping(provenance.get("figures"))
    rows += [("figures", ", ".join(f"{name} {value}" for name, value in figures.items()))] if figures else []
    rows += [("settings", ", ".join(unusual(config)) or "the defaults")]
    return f'<div style="{STYLE}"><b>sincut translator</b>{side_by_side(pictures)}{table(rows)}</div>'


def unusual(config: Config) -> list[str]:
    """Settings that differ from the defaults, as section.key=value."""
    usual = Config().to_dict()
    return [
        f"{section}.{key}={value}"
        for section, settings in config.to_dict().items()
        for key, value in settings.items()
        if value != usual[section][key]
    ]


def side_by_side(pictures: Mapping[str, str]) -> str:
    """Titled pictures, given as data URIs, in a row; empty ones are left out."""
    cells = [
        f'<figure style="margin:0.4em"><img alt="{_text(title)}" src="{uri}" style="max-width:100%">'
        f"<figcaption>{_text(title)}</figcaption></figure>"
        for title, uri in pictures.items()
        if uri
    ]
    return f'<div style="display:flex;flex-wrap:wrap">{"".join(cells)}</div>'


def table(rows: list[tuple[str, Any]]) -> str:
    """Two columns of text."""
    lines = [
        f'<tr><th style="text-align:left">{_text(key)}</th><td style="text-align:left">{_text(value)}</td></tr>'
        for key, value in rows
    ]
    return f"<table>{''.join(lines)}</table>"


def data_uri(data: Any, kind: str = "jpeg") -> str:
    """Bytes, or their base64 text, as a picture for HTML; nothing for what is no base64 or too long."""
    if isinstance(data, bytes):
        data = base64.b64encode(data).decode()
    elif not isinstance(data, str) or len(data) > LARGEST:
        return ""
    try:
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return ""
    return f"data:image/{kind};base64,{data}"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return html.escape(str(value)[:LONGEST])
