"""HTML documents that load nothing: their pictures, scripts and style are inside, and no other may run."""

import base64
import hashlib
import html
import json
import string
from importlib import resources
from typing import Any

PAGES = {".html", ".htm"}
LONGEST_TEXT = 600  # characters; longer ones come from no file system and no setting


def document(title: str, style: str, body: str, scripts: tuple[str, ...] = ()) -> str:
    """An HTML document that may load nothing, and run and use only these scripts and this style."""
    allowed = " ".join(_hash(script) for script in scripts) or "'none'"
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {allowed}; base-uri 'none'"
    return string.Template(asset("page.html")).substitute(
        policy=f"{policy}; form-action 'none'", title=html.escape(short(title)), style=style, body=body
    )


def as_block(data: Any) -> str:
    """JSON that nothing inside can end: it may stand in a script element."""
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def asset(name: str) -> str:
    """A file that is shipped in the package for its pages."""
    return resources.files("sincut.report").joinpath("assets", name).read_text(encoding="utf-8")


def short(text: str, longest: int = LONGEST_TEXT) -> str:
    """Text of bounded length, without lone surrogates (names that are not UTF-8 have some)."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
