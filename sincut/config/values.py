"""Single settings: how they are declared, checked, documented, and read from and written to TOML and `--set`.

A setting is a dataclass field whose metadata hold its sentence (`doc`) and its range (`low` and `high`) or `choices`.
"""

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

from sincut.errors import ConfigError


def number(default: float, low: float, high: float, doc: str) -> Any:
    """Declaration of a numeric setting in low..high, with the sentence that documents it."""
    return field(default=default, metadata={"low": low, "high": high, "doc": doc})


def choice(default: str, choices: tuple[str, ...], doc: str) -> Any:
    """Declaration of a setting that is one of `choices`, with the sentence that documents it."""
    return field(default=default, metadata={"choices": choices, "doc": doc})


def switch(default: bool, doc: str) -> Any:
    """Declaration of a setting that is true or false, with the sentence that documents it."""
    return field(default=default, metadata={"doc": doc})


def check(key: str, value: Any, metadata: Mapping[str, Any]) -> None:
    """Raise `ConfigError`, which names the range, if a value is outside its setting's range or choices."""
    if "choices" in metadata and value not in metadata["choices"]:
        raise ConfigError(f"{key}={value}{nearest(str(value), metadata['choices'])} must be {_range(metadata)}")
    if "low" in metadata and not metadata["low"] <= value <= metadata["high"]:  # a NaN fails this too
        raise ConfigError(f"{key}={value} is out of range: it must be {_range(metadata)}")


def coerce(key: str, value: Any, default: Any) -> Any:
    """A value of TOML or of a flag, converted to the type of the setting's default. Raises `ConfigError`."""
    kind = type(default)
    if kind is float and type(value) in (int, float):
        return float(value)
    if kind is tuple and type(value) is int:
        return (value,)
    if kind is tuple and isinstance(value, list | tuple) and all(type(item) is int for item in value):
        return tuple(value)
    if kind is dict and isinstance(value, Mapping) and all(type(item) in (int, float) for item in value.values()):
        return {str(name): float(item) for name, item in value.items()}
    if type(value) is kind and kind not in (tuple, dict):
        return value
    wanted = {int: "a whole number", float: "a number", bool: "true or false", tuple: "a list of whole numbers"}
    wanted[dict] = "names with numbers, as in losses.own.NAME=0.5"
    raise ConfigError(f"{key}={value} must be {wanted.get(kind, 'a text')}")


def parse(text: str) -> Any:
    """The value of a flag: TOML if it parses as such, otherwise a text; `0,2,4` is a list, `.5` a number."""
    if not text:
        return text
    text = text.lower() if text in ("True", "False") else text
    for candidate in (text, f"[{text}]"):
        try:
            return tomllib.loads(f"value = {candidate}")["value"]
        except tomllib.TOMLDecodeError:
            continue
    try:
        return float(text)
    except ValueError:
        return text


def documentation(metadata: Mapping[str, Any]) -> str:
    """The sentence of a setting, followed by its range or choices in brackets."""
    values = _range(metadata)
    return f"{metadata['doc']} ({values})" if values else str(metadata["doc"])


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean X?)` with the known name that is most like `name`; empty if none is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""


def plain(value: Any) -> Any:
    """A setting's value in the types of JSON and TOML: tuples become lists."""
    return list(value) if isinstance(value, tuple) else value


def toml(value: Any) -> str:
    """The TOML literal of a setting's plain value."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(toml(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(name)} = {toml(item)}' for name, item in value.items())}}}"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)


def _range(metadata: Mapping[str, Any]) -> str:
    if "choices" in metadata:
        return " or ".join(metadata["choices"])
    return f"{metadata['low']:g} to {metadata['high']:g}" if "low" in metadata else ""
