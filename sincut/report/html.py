"""HTML documents that load nothing: their pictures, scripts and style are inside, and no other may run."""

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from sincut.model.markup import Markup, render

PAGES = {".html", ".htm"}


def document(template: str, title: str, styles: Sequence[str], scripts: Sequence[str] = (), **values: Any) -> str:
    """An HTML document from a template of this room's assets, with its `title`, and `values` for the rest of it.

    `styles` and `scripts` are names of assets, put into the document. Its content security policy allows these by their
    hashes, and pictures that are inside it; everything else is refused by the browser.
    """
    style, code = Markup().join(map(asset, styles)), [asset(name) for name in scripts]
    allowed = " ".join(map(_hash, code)) or "'none'"
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {allowed}; base-uri 'none'"
    policy = Markup(f"{policy}; form-action 'none'")  # of hashes and our own words
    return str(render(f"report/assets/{template}", title=title, style=style, scripts=code, policy=policy, **values))


def asset(name: str) -> Markup:
    """A text that sincut ships for its pages, and trusts."""
    return Markup(resources.files("sincut.report").joinpath("assets", name).read_text(encoding="utf-8"))


def _hash(text: str) -> str:
    """The text's SHA-256 as content security policies write it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
