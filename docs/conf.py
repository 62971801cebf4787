"""Settings of the site that Sphinx makes of this folder: `python -m sphinx -W docs build/docs`, without a network."""

import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs"), str(ROOT / "tests")]

import made  # noqa: E402

import sincut  # noqa: E402

project = "sincut"
author = "The sincut authors"
release = version = sincut.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"sincut {version}"
html_copy_source = False
html_css_files = ["wide.css"]
html_static_path = ["static"]
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
myst_heading_anchors = 4
default_role = "code"  # docstrings write `name`, as Markdown does
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_display_short_literal_types = True
maximum_signature_line_length = 88
highlight_language = "none"  # of blocks that name none: diagrams


def read(app: Sphinx, page: str, source: list[str]) -> None:
    """Put in the place of a page's text what is made from the code, or stands in a file of the root."""
    source[0] = made.page(page, source[0])


def rewrite(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Turn the lines of a docstring into reStructuredText, in their place."""
    lines[:] = made.docstring(lines)


def mend(app: Sphinx, page: str, template: str, context: dict[str, object], doctree: object) -> None:
    """Make a page usable by keyboard and screen reader where the generator's HTML is not."""
    for part in ("body", "furo_navigation_tree"):
        if isinstance(context.get(part), str):
            context[part] = made.accessible(str(context[part]))


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("html-page-context", mend, priority=900)  # after the theme
    app.connect("source-read", read)
    app.connect("autodoc-process-docstring", rewrite)
