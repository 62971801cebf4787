"""The last choices of a visitor, kept by the browser (its local storage) and restored when the page is opened again."""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from sincut.page.desk import HIDDEN

SECRET = "sincut"  # Gradio encrypts what it keeps; with a secret of its own each start of the server would forget


def browser_state(key: str, default: Any) -> Any:
    """A value that the browser keeps under this key, `default` until there is one. What comes back may be anything.

    To be made outside of all tabs: what is in one is not there before the tab is chosen.
    """
    return gr.BrowserState(default, storage_key=f"sincut-{key}", secret=SECRET)


def remember(page: Any, kept: Any, fields: Sequence[Any]) -> None:
    """Keep the values of these fields whenever the visitor changes one, and restore them when the page is loaded.

    `kept` is the `browser_state` that holds them.
    """

    def restore(values: Any) -> list[Any]:
        return restored(fields, values)

    def keep(*values: Any) -> list[Any]:
        return list(values)

    page.load(restore, kept, list(fields), **HIDDEN)
    gr.on([field.input for field in fields], keep, list(fields), kept, **HIDDEN)


def restored(fields: Sequence[Any], values: Any) -> list[Any]:
    """A value for each field; `gr.skip()` where what was kept is none that it can have, as pages change."""
    if not isinstance(values, list) or len(values) != len(fields):
        return [gr.skip()] * len(fields)
    return [value if _fits(field, value) else gr.skip() for field, value in zip(fields, values, strict=True)]


def _fits(field: Any, value: Any) -> bool:
    """True if the field can have this value."""
    choices = getattr(field, "choices", None)
    if choices is not None:
        known = value in [choice for _, choice in choices]
        return known or (getattr(field, "allow_custom_value", False) and isinstance(value, str))
    if isinstance(field, gr.Checkbox):
        return isinstance(value, bool)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value is None and isinstance(field, gr.Number)
    lowest, highest = field.minimum, field.maximum
    return (lowest is None or value >= lowest) and (highest is None or value <= highest)
