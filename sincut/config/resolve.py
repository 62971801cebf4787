"""Presets and flags: `defaults < preset < flags`.

A preset is a TOML file with the settings that differ from the defaults, or from the preset that it `extends`, and with
the reasons in its table `why`. `resolve("quick", ["crops.count=4"])` lays the flags over the preset, and the preset
over the dataclasses' defaults. Presets are composed by `+`: `standard+external` lays the settings that the file of
`external` itself names over `standard`. An unknown key or a value out of range is a `ConfigError` that names the key,
the range and the nearest known key.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

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
    config: Config  # complete: the preset over what it extends or is composed with, over the defaults
    why: Mapping[str, str] = field(default_factory=dict)  # reasons by `section.key`

    def to_toml(self) -> str:
        """A complete preset file: all settings with their sentences, and the reasons."""
        reasons = [f"{toml(key)} = {toml(reason)}" for key, reason in self.why.items()]
        return self.config.to_toml(self.about) + "\n".join(["", "[why]", *reasons, ""] if reasons else [])


def resolve(preset: str = DEFAULT_PRESET, flags: Iterable[str] = ()) -> Config:
    """The configuration of a preset, as `load_preset` names it, with `section.key=value` flags laid over it.

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
    """A preset by its shipped name, from a .toml file, or composed as `A+B`: what B's file says, laid over A.

    Raises `ConfigError`, which names the part that is wrong.
    """
    if Path(name).suffix == ".toml" and Path(name).exists():  # a file's name may hold a plus
        return _load(name, DEEPEST)
    first, *others = name.split("+")
    if not all(part.strip() for part in (first, *others)):
        raise ConfigError(f"preset {name!r}: a name is missing beside a +; write it as standard+external")
    preset = _load(first.strip(), DEEPEST)
    for part in others:
        preset = _composed(preset, part.strip())
    return preset


def presets() -> list[Preset]:
    """All shipped presets, by name in alphabetical order."""
    return [load_preset(path.stem) for path in _shipped()]


def closest(config: Config) -> Preset:
    """The shipped preset that differs from a configuration in the fewest settings; among equals the default one.

    Reports describe a run's settings by it, since a run records all settings and not the preset they came from.
    """
    return min(presets(), key=lambda preset: (len(config.changes(preset.config)), preset.name != DEFAULT_PRESET))


class _File(NamedTuple):
    """What a preset's file says."""

    path: Path
    about: str
    extends: str | None  # as written
    values: dict[str, Any]  # the settings that it names, by section and key
    why: dict[str, str]


def _load(name: str, deepest: int) -> Preset:
    """One preset, over what it extends, at most `deepest` more files."""
    file = _read(name)
    if file.extends is None:
        return _laid(Preset(file.path.stem, "", Config()), file)
    if not deepest:
        raise ConfigError(f"{file.path}: extends a preset that extends it; end the circle")
    try:
        base = _load(_beside(file.path, file.extends), deepest - 1)
    except ConfigError as error:
        raise ConfigError(f"{file.path}: {error}") from None
    return replace(_laid(base, file), name=file.path.stem)


def _composed(base: Preset, name: str) -> Preset:
    """`base+name`: the settings that the file of a preset itself names, laid over another preset."""
    file = _read(name)
    over = _laid(base, file)
    return replace(over, name=f"{base.name}+{file.path.stem}", about=f"{base.about} {file.path.stem}: {file.about}")


def _laid(base: Preset, file: _File) -> Preset:
    """A file over a preset, with its sentence; reasons of settings that it changes without one of its own are gone."""
    try:
        config = overlay(base.config, file.values)
    except ConfigError as error:
        raise ConfigError(f"{file.path}: {error}") from None
    kept = {key: reason for key, reason in base.why.items() if key not in config.changes(base.config)}
    return Preset(base.name, file.about, config, {**kept, **file.why})


def _read(name: str) -> _File:
    """The file of a shipped preset, by its name, or a .toml file. Raises `ConfigError`."""
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
    reasons = {str(key): str(reason) for key, reason in why.items()} if isinstance(why, Mapping) else {}
    return _File(path, about, str(base) if base is not None else None, values, reasons)


def _beside(path: Path, base: str) -> str:
    """The name of the preset that a file extends: a shipped one, or a .toml file relative to the file's folder."""
    return str(path.parent / base) if base.endswith(".toml") else base


def _shipped() -> list[Path]:
    """Files of the shipped presets, sorted: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).parents[1]
    folder = next((f for f in (package / "_presets", package.parent / "presets") if f.is_dir()), package)
    return sorted(folder.glob("*.toml"))
