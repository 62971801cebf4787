"""Presets and flags: `defaults < preset < flags`.

A preset is a TOML file with the settings that differ from the defaults, or from the preset that it `extends`, and with
the reasons in its table `why`. `resolve("quick", ["crops.count=4"])` lays the flags over the preset, and the preset
over the dataclasses' defaults. An unknown key or a value out of range is a `ConfigError` that names the key, the range
and the nearest known key.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sincut.config.sections import Config, overlay
from sincut.config.values import nearest, parse, toml
from sincut.errors import ConfigError

DEFAULT_PRESET = "standard"
DEEPEST = 8  # longest chain of presets that extend one another


@dataclass(frozen=True)
class Preset:
    """A named configuration."""

    name: str
    about: str  # a sentence for `sincut presets`
    config: Config  # complete: the preset over what it extends, over the defaults
    why: Mapping[str, str] = field(default_factory=dict)  # reasons by `section.key`

    def to_toml(self) -> str:
        """A complete preset file: all settings with their sentences, and the reasons."""
        reasons = [f"{toml(key)} = {toml(reason)}" for key, reason in self.why.items()]
        return self.config.to_toml(self.about) + "\n".join(["", "[why]", *reasons, ""] if reasons else [])


def resolve(preset: str = DEFAULT_PRESET, flags: Iterable[str] = ()) -> Config:
    """The configuration of a preset (a shipped name or a .toml file) with `section.key=value` flags laid over it.

    Raises `ConfigError`.
    """
    return override(load_preset(preset).config, flags)


def override(config: Config, flags: Iterable[str]) -> Config:
    """`config` with `section.key=value` flags laid over it. Raises `ConfigError`."""
    values: dict[str, dict[str, Any]] = {}
    for flag in flags:
        key, equals, text = flag.partition("=")
        section, dot, name = key.strip().partition(".")
        if not equals or not dot:
            raise ConfigError(f"--set {flag}: write section.key=value, as in --set crops.size=64")
        name, dot, inner = name.partition(".")
        settings, value = values.setdefault(section, {}), parse(text.strip())
        if dot:  # a weight of one's own, as in losses.own.NAME=0.5
            before = settings.get(name, getattr(getattr(config, section, None), name, {}))
            value = {**before, inner: value} if isinstance(before, Mapping) else {inner: value}
        settings[name] = value
    return overlay(config, values)


def schedule_flags(
    minutes: float | str | None = None, steps: int | str | None = None, seed: int | str | None = None
) -> list[str]:
    """Flags for `override` that set a run's length and seed; None leaves the preset's value.

    `minutes` also sets the number of steps to 0, because steps take precedence. Raises `ConfigError` for a length that
    is not above 0, although as a setting 0 is allowed (it means that the other one counts).
    """
    for name, value, remedy in (
        ("minutes", minutes, ""),
        ("steps", steps, "; to train by time, give minutes (--minutes) instead"),
    ):
        number = parse(str(value)) if value is not None else 1
        if isinstance(number, int | float) and not number > 0:
            raise ConfigError(f"{name} {value}: must be above 0{remedy}")
    flags = [f"schedule.minutes={minutes}", "schedule.steps=0"] if minutes is not None else []
    flags += [f"schedule.{key}={value}" for key, value in (("steps", steps), ("seed", seed)) if value is not None]
    return flags


def load_preset(name: str) -> Preset:
    """A preset by its shipped name, or from a .toml file. Raises `ConfigError`."""
    return _load(name, DEEPEST)


def presets() -> list[Preset]:
    """All shipped presets, by name in alphabetical order."""
    return [load_preset(path.stem) for path in _shipped()]


def closest(config: Config) -> Preset:
    """The shipped preset that differs from a configuration in the fewest settings; among equals the default one.

    Reports describe a run's settings by it, since a run records all settings and not the preset they came from.
    """
    return min(presets(), key=lambda preset: (len(config.changes(preset.config)), preset.name != DEFAULT_PRESET))


def _load(name: str, deepest: int) -> Preset:
    path = Path(name)
    if path.suffix != ".toml":
        shipped = {file.stem: file for file in _shipped()}
        if name not in shipped:
            raise ConfigError(
                f"no preset {name!r}{nearest(name, shipped)}; shipped are {', '.join(shipped)}; or give a .toml file"
            )
        path = shipped[name]
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"{path}: cannot be read as a TOML preset ({error}); see `sincut presets standard`"
        ) from error
    about, base, why = str(values.pop("about", "")), values.pop("extends", None), values.pop("why", {})
    try:
        if base is not None and not deepest:
            raise ConfigError("extends a preset that extends it; end the circle")
        extended = _load(_beside(path, str(base)), deepest - 1) if base is not None else None
        config = overlay(extended.config if extended else Config(), values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    reasons = {str(key): str(reason) for key, reason in why.items()} if isinstance(why, Mapping) else {}
    return Preset(path.stem, about, config, {**(extended.why if extended else {}), **reasons})


def _beside(path: Path, base: str) -> str:
    """The name of the preset that a file extends: a shipped one, or a .toml file relative to the file's folder."""
    return str(path.parent / base) if base.endswith(".toml") else base


def _shipped() -> list[Path]:
    """Files of the shipped presets, sorted: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).parents[1]
    folder = next((f for f in (package / "_presets", package.parent / "presets") if f.is_dir()), package)
    return sorted(folder.glob("*.toml"))
