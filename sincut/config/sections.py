"""Settings: frozen, sectioned, self-validating; presets are TOML files that hold only what differs from the defaults.

`defaults < preset < flags`: `resolve("quick", ["crops.count=4"])` starts from the dataclasses below, lays the preset
over them and the flags over that. An unknown key or a value out of range is a `ConfigError` that names the key, the
range and the nearest known key. Defaults live here and nowhere else; they are the preset `standard`.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, cast

from sincut.errors import ConfigError

DEFAULT_PRESET = "standard"


def _number(default: float, low: float, high: float, doc: str) -> Any:
    """A numeric setting in low..high, with the sentence that documents it."""
    return field(default=default, metadata={"low": low, "high": high, "doc": doc})


def _choice(default: str, choices: tuple[str, ...], doc: str) -> Any:
    return field(default=default, metadata={"choices": choices, "doc": doc})


def _switch(default: bool, doc: str) -> Any:
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True)
class Crops:
    """What the networks see of the two pictures in one step."""

    scale: str = _choice("width", ("width", "factor", "axes"), "what low..high mean; see the two settings below")
    low: float = _number(384.0, 0.01, 65536, "width: px after scaling, aspect kept; factor, axes: of the file's size")
    high: float = _number(1024.0, 0.01, 65536, "factor keeps the aspect, axes draws one factor for each axis")
    own_scales: bool = _switch(True, "each crop has a scale of its own; off: one scale for all crops of a step")
    places: int = _number(
        2, 1, 64, "places drawn for each crop with a scale of its own; the one with the strongest outlines is taken"
    )
    count: int = _number(4, 1, 1024, "crops of each picture per step; see schedule.least_steps")
    size: int = _number(128, 16, 1024, "side of a crop, px; even")
    tile: int = _number(64, 16, 1024, "side of the tiles the discriminator sees, px; crops.size is a multiple of it")
    flip: float = _number(0.5, 0, 1, "chance that a crop is mirrored left-right")

    def check(self) -> None:
        if self.low > self.high:
            raise ConfigError(f"crops.low={self.low:g} is above crops.high={self.high:g}; swap them")
        if self.scale != "width" and self.high > 8:
            raise ConfigError(f"crops.high={self.high:g} is no factor; use 8 or less, or --set crops.scale=width")
        if self.scale == "width" and self.low < 16:
            raise ConfigError(f"crops.low={self.low:g} is no width; use 16 px or more, or --set crops.scale=factor")
        if self.size % 2 or self.size % self.tile:
            raise ConfigError(f"crops.size={self.size} must be even and a multiple of crops.tile={self.tile}")
        if self.tile & (self.tile - 1):
            raise ConfigError(f"crops.tile={self.tile} must be a power of two: 16, 32, 64, 128, ...")


@dataclass(frozen=True)
class Networks:
    """The shape of G, D and H; no width depends on the crop's size."""

    stem: int = _number(16, 1, 1024, "channels of G at full resolution (c1)")
    inner: int = _number(48, 1, 2048, "channels of G at half resolution (c2)")
    blocks: int = _number(6, 2, 32, "residual blocks of G; the first half belongs to the encoder")
    noise: bool = _switch(
        True,
        "noise in the decoder's blocks, of which G makes strokes or grain, where the photo's even parts have more than "
        "twice the texture of the painting's, and none elsewhere; off: in the last block alone, as published",
    )
    residual: float = _number(1.0, 0, 1, "0: the network gives the picture; r > 0: the input + r times its output")
    smooth: float = _number(
        3.0,
        0,
        100,
        "that input is smoothed below so many times the local variance of the painting's even parts, where these have "
        "more than twice the photo's texture",
    )
    discriminator: float = _number(0.5, 0.05, 8, "width of D as a multiple of 32/64/128/256/384 at 64/32/16/8/4 px")
    detail: float = _number(
        3.0,
        0,
        100,
        "where the painting's or the photo's even parts have hardly any texture, D sees tiles less the photo's mean "
        "colour, over its deviation, and what is finer than 9 px so many times as strong; 0: nowhere",
    )
    features: int = _number(256, 4, 4096, "projected features per patch (F)")


@dataclass(frozen=True)
class Colour:
    """What is done in closed form before the network, and after it."""

    smooth: float = _number(
        3.0,
        0,
        100,
        "smooth below so many times the texture that the painting's even parts have beyond twice the photo's",
    )
    map: bool = _switch(True, "then map the painting's colours by optimal transport between colour Gaussians")
    grain: bool = _switch(
        True, "then take fine colour that lightness does not show, such as a canvas's, where it is beyond the photo's"
    )
    balance: bool = _switch(
        True, "at the end give the output the photo's strength of light and colour: fine, middle, coarse, at outlines"
    )


@dataclass(frozen=True)
class Losses:
    """Weights and parts of the losses."""

    nce: float = _number(1.7, 0, 1000, "weight of PatchNCE")
    identity: bool = _switch(False, "PatchNCE on the photo too: 1/2 (NCE(x, fake) + NCE(y, same)); off: NCE(x, fake)")
    same: float = _number(0.0, 0, 1000, "weight of |G(photo) - photo|")
    large: float = _number(
        1.0, 0, 1000, "weight of a second discriminator, which sees crops made as small as a tile; 0: there is none"
    )
    guide: float = _number(300.0, 0, 10_000, "weight of the coarse guide in the first step; it falls linearly")
    guide_until: float = _number(0.5, 0, 1, "share of the steps over which that weight falls")
    guide_end: float = _number(0.15, 0, 1, "fraction of the weight that stays to the end")
    layers: tuple[int, ...] = field(
        default=(0, 2, 4), metadata={"doc": "layers of PatchNCE: 0 RGB, 1 stem, 2 half resolution, 3.. residual blocks"}
    )
    patches: int = _number(4, 1, 65536, "positions per crop and layer (P)")
    spread: bool = _switch(True, "one position in each cell of a grid; off: positions anywhere, as published")
    false_negatives: float = _number(0.9, 0, 1, "other keys more alike than this cosine are no negatives; 1: all are")
    temperature: float = _number(0.07, 0.001, 10, "tau of PatchNCE")
    r1: float = _number(1.0, 0, 1000, "weight of the gradient penalty at real tiles")
    r1_every: int = _number(4, 1, 1024, "steps between gradient penalties; the weight is multiplied by it")


@dataclass(frozen=True)
class Optimisation:
    """Adam, its schedule, and the average that is saved."""

    learning_rate: float = _number(0.006, 1e-7, 1, "of G, D and H, constant until `decay`")
    full_rate_steps: int = _number(
        1000,
        0,
        100_000_000,
        "in a run of more steps the rate is that times sqrt(full_rate_steps / steps); 0: it never is",
    )
    beta1: float = _number(0.0, 0, 0.999, "Adam's first moment")
    beta2: float = _number(0.99, 0, 0.99999, "Adam's second moment")
    decay: float = _number(0.5, 0, 1, "share of the steps after which the learning rate falls linearly to 0")
    ema: float = _number(0.999, 0, 0.999999, "per-step decay of the average of G that is saved; 0: no average")


@dataclass(frozen=True)
class Schedule:
    """How long to train; `steps` wins over `minutes`, one of the two is above 0."""

    steps: int = _number(0, 0, 100_000_000, "0: as many as fit into `minutes`")
    minutes: float = _number(15.0, 0, 100_000, "from the command's start to its end, everything included")
    least_steps: int = _number(
        600,
        0,
        100_000_000,
        "where `minutes` would give fewer steps, these have fewer crops, down to 2; 0: they never do",
    )
    enough_steps: int = _number(
        600,
        0,
        100_000_000,
        "with so many steps a training ends; left `minutes` are for others, see `ensemble`; 0: it uses them all",
    )
    seed: int = _number(0, 0, 2**63 - 1, "of every random choice")

    def check(self) -> None:
        if not self.steps and not self.minutes:
            raise ConfigError("schedule.steps and schedule.minutes are both 0; set one of them")


@dataclass(frozen=True)
class Ensemble:
    """Several trainings in one run, of which the last G learns the median, but for fine detail."""

    members: int = _number(
        3,
        1,
        100,
        "trainings of `schedule.enough_steps` each, as many as fit into `minutes`; with `schedule.steps` it is one",
    )
    steps: int = _number(300, 1, 100_000_000, "steps in which G then learns the median of what they give")


@dataclass(frozen=True)
class Output:
    """What a run writes along the way; none of it changes what is learned."""

    previews: int = _number(8, 0, 10_000, "previews of the whole painting over the run")
    preview_megapixels: float = _number(1.5, 0.01, 1000, "a larger painting is scaled down to this for previews")
    log_every: int = _number(20, 1, 100_000, "steps between lines of metrics.jsonl")
    checkpoint_seconds: float = _number(60.0, 0, 86_400, "between checkpoints; 0: after every step")


@dataclass(frozen=True)
class Config:
    """All settings of a training run, resolved and valid."""

    crops: Crops = field(default_factory=Crops)
    networks: Networks = field(default_factory=Networks)
    colour: Colour = field(default_factory=Colour)
    losses: Losses = field(default_factory=Losses)
    optimisation: Optimisation = field(default_factory=Optimisation)
    schedule: Schedule = field(default_factory=Schedule)
    ensemble: Ensemble = field(default_factory=Ensemble)
    output: Output = field(default_factory=Output)

    def __post_init__(self) -> None:
        for section in fields(self):
            settings = getattr(self, section.name)
            for setting in fields(settings):
                _check_value(f"{section.name}.{setting.name}", getattr(settings, setting.name), setting.metadata)
        self.crops.check()
        self.schedule.check()
        last = 2 + self.networks.blocks // 2
        layers = self.losses.layers
        if not layers or len(set(layers)) < len(layers) or not all(0 <= layer <= last for layer in layers):
            raise ConfigError(f"losses.layers={list(layers)} must be distinct layers of G's encoder, 0 to {last}")

    @property
    def looks_at_large_forms(self) -> bool:
        """Whether there is a second discriminator; were a tile a whole crop, it would see what the first one does."""
        return self.losses.large > 0 and self.crops.tile < self.crops.size

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Plain sections, keys and values, as in a TOML preset."""
        return {name: _plain(section) for name, section in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Config":
        """The inverse of `to_dict`; missing sections and keys take their defaults. Raises `ConfigError`."""
        return overlay(cls(), values)

    def differences(self, other: "Config") -> list[str]:
        """Keys whose values differ, as `section.key: mine, theirs`; `output` does not count, it changes nothing."""
        changes = self.changes(other).items()
        return [f"{key}: {here} here, {there} there" for key, (here, there) in changes if not key.startswith("output.")]

    def changes(self, other: "Config") -> dict[str, tuple[Any, Any]]:
        """Settings whose values differ, by `section.key`: the value here and the one there, as in a TOML preset."""
        theirs = other.to_dict()
        return {
            f"{section}.{key}": (value, theirs[section][key])
            for section, settings in self.to_dict().items()
            for key, value in settings.items()
            if value != theirs[section][key]
        }

    def to_toml(self, about: str = "") -> str:
        """This configuration as a complete preset file, each setting with its meaning."""
        lines = [f"about = {_toml(about)}"] if about else []
        for section in fields(self):
            settings = getattr(self, section.name)
            lines += ["", f"[{section.name}]"]
            for setting in fields(settings):
                value = _toml(_plain_value(getattr(settings, setting.name)))
                lines.append(f"{setting.name} = {value}  # {_doc(setting.metadata)}")
        return "\n".join(lines).lstrip() + "\n"


@dataclass(frozen=True)
class Preset:
    """A named set of differences from the defaults, with its reason."""

    name: str
    about: str
    config: Config


def resolve(preset: str = DEFAULT_PRESET, flags: Iterable[str] = ()) -> Config:
    """The configuration of a preset (a shipped name or a .toml file) with `section.key=value` flags laid over it."""
    return override(load_preset(preset).config, flags)


def override(config: Config, flags: Iterable[str]) -> Config:
    """`config` with `section.key=value` flags laid over it. Raises `ConfigError`."""
    values: dict[str, dict[str, Any]] = {}
    for flag in flags:
        key, equals, text = flag.partition("=")
        section, dot, name = key.strip().partition(".")
        if not equals or not dot:
            raise ConfigError(f"--set {flag}: write section.key=value, as in --set crops.size=64")
        values.setdefault(section, {})[name] = _parse(text.strip())
    return overlay(config, values)


def schedule_flags(
    minutes: float | str | None = None, steps: int | str | None = None, seed: int | str | None = None
) -> list[str]:
    """Flags of `override` for a training's length and seed; what is None stays as the preset has it.

    `minutes` also clears the number of steps, which would count before them if the preset fixes one. Raises
    `ConfigError` for a length that is not above 0: as settings, 0 steps mean "by minutes".
    """
    for name, value, remedy in (
        ("minutes", minutes, ""),
        ("steps", steps, "; to train by time, give minutes (--minutes) instead"),
    ):
        number = _parse(str(value)) if value is not None else 1
        if isinstance(number, int | float) and not number > 0:
            raise ConfigError(f"{name} {value}: must be above 0{remedy}")
    flags = [f"schedule.minutes={minutes}", "schedule.steps=0"] if minutes is not None else []
    flags += [f"schedule.{key}={value}" for key, value in (("steps", steps), ("seed", seed)) if value is not None]
    return flags


def load_preset(name: str) -> Preset:
    """A preset by its shipped name, or from a .toml file. Raises `ConfigError`."""
    path = Path(name)
    if path.suffix != ".toml":
        shipped = {file.stem: file for file in _preset_files()}
        if name not in shipped:
            raise ConfigError(
                f"no preset {name!r}{_nearest(name, shipped)}; shipped are {', '.join(shipped)}; or give a .toml file"
            )
        path = shipped[name]
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, RecursionError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"{path}: cannot be read as a TOML preset ({error}); see `sincut presets standard`"
        ) from error
    about = str(values.pop("about", ""))
    try:
        return Preset(path.stem, about, overlay(Config(), values))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def presets() -> list[Preset]:
    """All shipped presets."""
    return [load_preset(path.stem) for path in _preset_files()]


def overlay(config: Config, values: Mapping[str, Any]) -> Config:
    """`config` with sections of values laid over it. Raises `ConfigError` for unknown keys and wrong values."""
    sections = {section.name: getattr(config, section.name) for section in fields(config)}
    known = [f"{name}.{setting.name}" for name, section in sections.items() for setting in fields(section)]
    for name, settings in values.items():
        if name not in sections:
            key = f"{name}.{next(iter(settings), '')}" if isinstance(settings, Mapping) else name
            raise ConfigError(f"no setting {key.rstrip('.')!r}{_nearest(key, known)}; see `sincut presets standard`")
        if not isinstance(settings, Mapping):
            raise ConfigError(f"{name} is a section; write {name}.key=value")
        section, changes = sections[name], {}
        for key, value in settings.items():
            if f"{name}.{key}" not in known:
                near = _nearest(f"{name}.{key}", known)
                raise ConfigError(f"no setting '{name}.{key}'{near}; see `sincut presets standard`")
            changes[key] = _coerce(f"{name}.{key}", value, getattr(section, key))
        sections[name] = replace(section, **changes)
    return Config(**sections)


def _preset_files() -> list[Path]:
    """Shipped inside the package by a wheel, beside it in a checkout."""
    package = Path(__file__).parents[1]
    folder = next((f for f in (package / "_presets", package.parent / "presets") if f.is_dir()), package)
    return sorted(folder.glob("*.toml"))


def _check_value(key: str, value: Any, metadata: Mapping[str, Any]) -> None:
    if "choices" in metadata and value not in metadata["choices"]:
        raise ConfigError(f"{key}={value}{_nearest(str(value), metadata['choices'])} must be {_range(metadata)}")
    if "low" in metadata and not metadata["low"] <= value <= metadata["high"]:  # a NaN fails this too
        raise ConfigError(f"{key}={value} is out of range: it must be {_range(metadata)}")


def _coerce(key: str, value: Any, default: Any) -> Any:
    """A TOML or flag value as the type of the setting's default."""
    kind = type(default)
    if kind is float and type(value) in (int, float):
        return float(value)
    if kind is tuple and type(value) is int:
        return (value,)
    if kind is tuple and isinstance(value, list | tuple) and all(type(item) is int for item in value):
        return tuple(value)
    if type(value) is kind and kind is not tuple:
        return value
    wanted = {int: "a whole number", float: "a number", bool: "true or false", tuple: "a list of whole numbers"}
    raise ConfigError(f"{key}={value} must be {wanted.get(kind, 'a text')}")


def _parse(text: str) -> Any:
    """The value of a flag: TOML where it parses, a bare text otherwise; `0,2,4` is a list, `.5` a number."""
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


def _range(metadata: Mapping[str, Any]) -> str:
    if "choices" in metadata:
        return " or ".join(metadata["choices"])
    return f"{metadata['low']:g} to {metadata['high']:g}" if "low" in metadata else ""


def _doc(metadata: Mapping[str, Any]) -> str:
    values = _range(metadata)
    return f"{metadata['doc']} ({values})" if values else str(metadata["doc"])


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""


def _plain_value(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _plain(section: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _plain_value(value) for key, value in section.items()}


def _toml(value: Any) -> str:
    """A TOML literal of the few types settings have."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, str):
        import json

        return json.dumps(value, ensure_ascii=False)
    return repr(cast(float, value))
