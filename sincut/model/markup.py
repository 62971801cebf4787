"""HTML from templates; every value is escaped, since names, settings and provenance may be a stranger's.

Templates are files of the package, named by their path in it, as in `model/assets/card.html`. What they insert is
escaped by Jinja, apart from `Markup`: the output of another template, or a style or script that sincut ships.
"""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from sincut.errors import counted

__all__ = ["Markup", "escape", "render", "short"]

LONGEST_TEXT = 600  # characters; longer ones come from no file system and no setting


def render(template: str, **values: Any) -> Markup:
    """The HTML of a template with these values, each of which the template must know by its name."""
    return Markup(_environment.get_template(template).render(values))


def short(value: Any, longest: int = LONGEST_TEXT) -> str:
    """The value as a text of at most `longest` characters that UTF-8 can hold; also a filter in templates."""
    text: str = _encodable(str(value))
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _encodable(value: Any) -> Any:
    """A text without lone surrogates, which names have that are no UTF-8; any other value as it is."""
    return value.encode("utf-8", "replace").decode() if type(value) is str else value


_environment = Environment(
    loader=PackageLoader("sincut", ""),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_encodable,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
)
_environment.filters["short"] = short
_environment.globals["counted"] = counted
_environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}  # of the filter `tojson`
