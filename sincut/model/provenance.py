"""A model file's notes on its origin: a JSON object. It may be a stranger's, so that any part may be missing or odd.

`painting` and `photo` hold the `name`, `width` and `height` in px and `sha256` of the two pictures, `direction` the
text that the function of that name gives. The inputs of a checkpoint have the same parts.
"""

from collections.abc import Mapping
from typing import Any

ROLES = ("painting", "photo")
MOST_STEPS = 10**15  # beyond it JavaScript and people lose count


def direction(reverse: bool) -> str:
    """The direction of a training in words, as model file and checkpoint hold it."""
    source, target = reversed(ROLES) if reverse else ROLES
    return f"{source} -> {target}"


def is_reverse(provenance: Mapping[str, Any]) -> bool:
    """True if the direction is from photo to painting."""
    return str(provenance.get("direction", "")).startswith("photo")


def roles(provenance: Mapping[str, Any]) -> tuple[str, str]:
    """The role of the picture that is translated, and of the one whose look is learned."""
    source, target = reversed(ROLES) if is_reverse(provenance) else ROLES
    return source, target


def progress(provenance: Mapping[str, Any]) -> tuple[int, int]:
    """Steps done and steps planned; 0 for a number that is missing or odd."""
    done, planned = (provenance.get(key) for key in ("steps", "planned_steps"))
    return _count(done), _count(planned)


def part(provenance: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The object under a key; an empty one if there is none, or something else in its place."""
    value = provenance.get(key)
    return value if isinstance(value, Mapping) else {}


def _count(value: Any) -> int:
    return value if type(value) is int and 0 <= value < MOST_STEPS else 0
