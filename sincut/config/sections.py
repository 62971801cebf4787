"""All settings of a training: frozen, sectioned, self-validating dataclasses.

Their defaults are the plain method, SinCUT as the paper's appendix describes it (Park et al. 2020,
https://arxiv.org/abs/2007.15651, "Additional Single Image Translation Results"), and where the paper is silent the
settings of its published code. What is ours is off here, and switched on by presets (`presets/standard.toml`).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from sincut.config.values import check, choice, coerce, documentation, nearest, number, plain, switch, toml
from sincut.errors import ConfigError


@dataclass(frozen=True)
class Crops:
    """The parts of the two pictures that the networks see in one step."""

    scale: str = choice("width", ("width", "factor", "axes"), "what low..high mean; see the two settings below")
    low: float = number(384.0, 0.01, 65536, "width: px after scaling, aspect kept; factor, axes: of the file's size")
    high: float = number(1024.0, 0.01, 65536, "factor keeps the aspect, axes draws one factor for each axis")
    excess: float = number(
        0.0,
        0,
        1000,
        "scale=width: a picture wider than this multiple of `high` is scaled down to it once, before training; "
        "0: pictures stay as they are",
    )
    own_scales: bool = switch(False, "each crop has a scale of its own; off: one scale for all crops of a step")
    places: int = number(
        1, 1, 64, "places drawn for each crop with a scale of its own; the one with the strongest outlines is taken"
    )
    count: int = number(16, 1, 1024, "crops of each picture per step; see schedule.least_steps")
    size: int = number(128, 16, 1024, "side of a crop, px; even")
    tile: int = number(64, 16, 1024, "side of the tiles the discriminator sees, px; crops.size is a multiple of it")
    flip: float = number(0.5, 0, 1, "chance that a crop is mirrored left-right")

    def check(self) -> None:
        if self.low > self.high:
            raise ConfigError(f"crops.low={self.low:g} is above crops.high={self.high:g}; swap them")
        if self.scale != "width" and self.high > 8:
            raise ConfigError(f"crops.high={self.high:g} is no factor; use 8 or less, or --set crops.scale=width")
        if self.scale == "width" and self.low < 16:
            raise ConfigError(f"crops.low={self.low:g} is no width; use 16 px or more, or --set crops.scale=factor")
        if 0 < self.excess < 1:
            raise ConfigError(f"crops.excess={self.excess:g} is too small for crops; use 1 or more")
        if self.size % 2 or self.size % self.tile:
            raise ConfigError(f"crops.size={self.size} must be even and a multiple of crops.tile={self.tile}")
        if self.tile & (self.tile - 1):
            raise ConfigError(f"crops.tile={self.tile} must be a power of two: 16, 32, 64, 128, ...")


@dataclass(frozen=True)
class Networks:
    """The shape of G, D and H; no width depends on the crop's size."""

    stem: int = number(40, 1, 1024, "channels of G at full resolution (c1)")
    inner: int = number(80, 1, 2048, "channels of G at half resolution (c2)")
    blocks: int = number(6, 2, 32, "residual blocks of G; the first half belongs to the encoder")
    noise: str = choice(
        "last",
        ("last", "auto", "all", "none"),
        "noise inputs of the decoder, of which G makes strokes or grain; last: of its last block alone, as published; "
        "all: of every block; none; auto: all where the target's even parts have more than twice the texture of the "
        "source's, else none",
    )
    residual: float = number(0.0, 0, 1, "0: the network gives the picture; r > 0: the input + r times its output")
    smooth: float = number(
        0.0,
        0,
        100,
        "strength of the edge-preserving filter on the input that G's output is added to, as a multiple of the "
        "source's texture; only if that is more than twice the target's",
    )
    discriminator: float = number(1.0, 0.05, 8, "width of D as a multiple of 32/64/128/256/384 at 64/32/16/8/4 px")
    detail: float = number(
        0.0,
        0,
        100,
        "where the even parts of one picture have hardly any texture, D sees tiles less the target's mean colour, over "
        "its deviation, with detail finer than 9 px multiplied by this; 0: nowhere",
    )
    features: int = number(256, 4, 4096, "projected features per patch (F)")


@dataclass(frozen=True)
class Colour:
    """Closed-form filters before G, and one after it."""

    smooth: float = number(
        0.0,
        0,
        100,
        "first, the edge-preserving filter on the source; its strength as a multiple of the texture that the source's "
        "even parts have beyond twice the target's",
    )
    map: bool = switch(False, "then the source's colours are mapped by optimal transport between colour Gaussians")
    grain: bool = switch(
        False,
        "then colour grain (fine colour that lightness does not show, such as a canvas's) is reduced where the source "
        "has more than the target: multiplied by the ratio of their energies, which leaves less than the target has",
    )
    balance: bool = switch(
        False, "at the end the output gets the target's strength of light and colour: fine, middle, coarse, at outlines"
    )


@dataclass(frozen=True)
class Losses:
    """Weights and parts of the losses."""

    nce: float = number(4.0, 0, 1000, "weight of PatchNCE")
    identity: bool = switch(True, "PatchNCE on the target too: 1/2 (NCE(x, fake) + NCE(y, same)); off: NCE(x, fake)")
    same: float = number(1.0, 0, 1000, "weight of |G(target) - target|")
    large: float = number(
        0.0, 0, 1000, "weight of a second discriminator, which sees crops made as small as a tile; 0: there is none"
    )
    guide: float = number(0.0, 0, 10_000, "weight of the coarse guide in the first step; it falls linearly")
    guide_until: float = number(0.5, 0, 1, "share of the steps over which that weight falls")
    guide_end: float = number(0.15, 0, 1, "fraction of the weight that stays to the end")
    layers: tuple[int, ...] = field(
        default=(0, 1, 2, 3, 5),
        metadata={"doc": "layers of PatchNCE: 0 RGB, 1 stem, 2 half resolution, 3.. residual blocks"},
    )
    patches: int = number(256, 1, 65536, "positions per crop and layer (P)")
    spread: bool = switch(False, "one position in each cell of a grid; off: positions anywhere, as published")
    flip_equivariance: bool = switch(
        False,
        "FastCUT's: with a chance of 1/2, keys come from the mirrored input and features of the output are mirrored",
    )
    false_negatives: float = number(1.0, 0, 1, "other keys more alike than this cosine are no negatives; 1: all are")
    temperature: float = number(0.07, 0.001, 10, "tau of PatchNCE")
    r1: float = number(1.0, 0, 1000, "weight of the gradient penalty at real tiles")
    r1_every: int = number(1, 1, 1024, "steps between gradient penalties; the weight is multiplied by it")
    own: dict[str, float] = field(
        default_factory=dict, metadata={"doc": "weights of registered loss terms of your own, by name"}
    )


@dataclass(frozen=True)
class Optimisation:
    """Adam, its schedule, and the average that is saved."""

    learning_rate: float = number(0.002, 1e-7, 1, "of G, D and H, constant until `decay`")
    full_rate_steps: int = number(
        0,
        0,
        100_000_000,
        "in a run of more steps the rate is that times sqrt(full_rate_steps / steps); 0: it never is",
    )
    beta1: float = number(0.0, 0, 0.999, "Adam's first moment")
    beta2: float = number(0.99, 0, 0.99999, "Adam's second moment")
    decay: float = number(0.5, 0, 1, "share of the steps after which the learning rate falls linearly to 0")
    ema: float = number(0.0, 0, 0.999999, "per-step decay of the average of G that is saved; 0: no average")


@dataclass(frozen=True)
class Schedule:
    """The length of a training; `steps` wins over `minutes`, one of the two is above 0."""

    steps: int = number(100_000, 0, 100_000_000, "0: as many as fit into `minutes`")
    minutes: float = number(0.0, 0, 100_000, "from the command's start to its end, everything included")
    least_steps: int = number(
        0,
        0,
        100_000_000,
        "where `minutes` would give fewer steps, these have fewer crops, down to 2; 0: they never do",
    )
    enough_steps: int = number(
        0,
        0,
        100_000_000,
        "a training ends with this many; left `minutes` are for others, see `ensemble`; 0: it uses them all",
    )
    seed: int = number(0, 0, 2**63 - 1, "of every random choice")

    def check(self) -> None:
        if not self.steps and not self.minutes:
            raise ConfigError("schedule.steps and schedule.minutes are both 0; set one of them")


@dataclass(frozen=True)
class Ensemble:
    """Several trainings in one run, of which the last G learns the median, but for fine detail."""

    members: int = number(
        1,
        1,
        100,
        "trainings of `schedule.enough_steps` each, as many as fit into `minutes`; with `schedule.steps` it is one",
    )
    steps: int = number(300, 1, 100_000_000, "steps in which G then learns the median of the members' translations")


@dataclass(frozen=True)
class Method:
    """The algorithm that learns the translation."""

    algorithm: str = field(default="sincut", metadata={"doc": "sincut, or the name of one registered in Python"})


@dataclass(frozen=True)
class Output:
    """Files that a run writes along the way; none of it changes what is learned."""

    previews: int = number(8, 0, 10_000, "previews of the whole source over the run")
    preview_megapixels: float = number(1.5, 0.01, 1000, "a larger source is scaled down to this for previews")
    log_every: int = number(20, 1, 100_000, "steps between lines of metrics.jsonl")
    checkpoint_seconds: float = number(60.0, 0, 86_400, "between checkpoints; 0: after every step")


@dataclass(frozen=True)
class Config:
    """All settings of a training run, resolved and valid."""

    method: Method = field(default_factory=Method)
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
                check(f"{section.name}.{setting.name}", getattr(settings, setting.name), setting.metadata)
        self.crops.check()
        self.schedule.check()
        last = 2 + self.networks.blocks // 2
        layers = self.losses.layers
        if not layers or len(set(layers)) < len(layers) or not all(0 <= layer <= last for layer in layers):
            raise ConfigError(f"losses.layers={list(layers)} must be distinct layers of G's encoder, 0 to {last}")

    @property
    def has_large_critic(self) -> bool:
        """True if there is a second discriminator; were a tile a whole crop, it would see what the first one does."""
        return self.losses.large > 0 and self.crops.tile < self.crops.size

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Plain sections, keys and values, as in a TOML preset."""
        return {name: {key: plain(value) for key, value in section.items()} for name, section in asdict(self).items()}

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
        lines = [f"about = {toml(about)}"] if about else []
        for section in fields(self):
            settings = getattr(self, section.name)
            lines += ["", f"[{section.name}]"]
            for setting in fields(settings):
                value = toml(plain(getattr(settings, setting.name)))
                lines.append(f"{setting.name} = {value}  # {documentation(setting.metadata)}")
        return "\n".join(lines).lstrip() + "\n"


def overlay(config: Config, values: Mapping[str, Any]) -> Config:
    """`config` with sections of values laid over it. Raises `ConfigError` for unknown keys and wrong values."""
    sections = {section.name: getattr(config, section.name) for section in fields(config)}
    known = [f"{name}.{setting.name}" for name, section in sections.items() for setting in fields(section)]
    for name, settings in values.items():
        if name not in sections:
            key = f"{name}.{next(iter(settings), '')}" if isinstance(settings, Mapping) else name
            raise ConfigError(f"no setting {key.rstrip('.')!r}{nearest(key, known)}; see `sincut presets standard`")
        if not isinstance(settings, Mapping):
            raise ConfigError(f"{name} is a section; write {name}.key=value")
        section, changes = sections[name], {}
        for key, value in settings.items():
            if f"{name}.{key}" not in known:
                near = nearest(f"{name}.{key}", known)
                raise ConfigError(f"no setting '{name}.{key}'{near}; see `sincut presets standard`")
            changes[key] = coerce(f"{name}.{key}", value, getattr(section, key))
        sections[name] = replace(section, **changes)
    return Config(**sections)
