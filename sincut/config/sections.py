"""All settings of a training: frozen dataclasses in sections, which validate themselves.

The defaults are the plain method: SinCUT as the paper's appendix describes it (Park et al. 2020,
https://arxiv.org/abs/2007.15651, "Additional Single Image Translation Results"), and where the paper is silent the
settings of its published code. What is ours is off by default, and switched on by presets (`presets/standard.toml`).

Each setting has a sentence for users, which `sincut presets standard`, reports and pages show. In these the source is
the picture that G translates, the target the one whose look it learns; texture is fine variation of even parts.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from sincut.config.networks import Crops, Networks
from sincut.config.values import check, choice, coerce, documentation, nearest, number, plain, switch, toml
from sincut.errors import ConfigError

# These begin the names of settings that change nothing that is learned: the same weights may lie elsewhere.
NOT_LEARNED = ("synthesis.", "output.", "rival.weights")


@dataclass(frozen=True)
class Colour:
    """Closed-form filters: three before G, applied in this order, and one after it."""

    smooth: float = number(
        0.0,
        0,
        100,
        "strength of the edge-preserving filter that takes strokes from the source, as a multiple of the texture that "
        "its even parts have beyond twice the target's; 0: none",
    )
    map: bool = switch(False, "map the source's colours to the target's (optimal transport between colour Gaussians)")
    grain: bool = switch(
        False,
        "reduce the source's colour grain (fine colour that lightness does not show, such as a canvas's) if it has "
        "more than the target: multiplied by the ratio of their energies, which leaves less than the target has",
    )
    balance: bool = switch(
        False,
        "at the end, measure gains that give the output's light and colour the target's strength: fine, middle and "
        "coarse, and at outlines",
    )


@dataclass(frozen=True)
class Losses:
    """Weights and parts of the losses; x is the source, y the target."""

    gan: str = choice(
        "non-saturating",
        ("non-saturating", "lsgan"),
        "adversarial loss; non-saturating: cross-entropy of D's logits; lsgan: their squared distances to 0 and 1",
    )
    nce: float = number(4.0, 0, 1000, "weight of PatchNCE")
    identity: bool = switch(
        True, "true: PatchNCE of both pictures, 1/2 (NCE(x, G(x)) + NCE(y, G(y))); false: of the source, NCE(x, G(x))"
    )
    same: float = number(1.0, 0, 1000, "weight of the identity loss |G(y) - y| of the target; 0: none")
    cycle: float = number(
        0.0,
        0,
        1000,
        "weight of CycleGAN's consistency |F(G(x)) - x| + |G(F(y)) - y|, where the second generator F translates back; "
        "0: none; only with method.algorithm=cyclegan, where `same` is also the weight of |F(x) - x|",
    )
    distance: float = number(
        0.0, 0, 1000, "weight of keeping the distances between the crops of a step, standardised; 0: none"
    )
    self_distance: float = number(
        0.0, 0, 1000, "weight of keeping the distance between a crop's left and right half, standardised; 0: none"
    )
    geometry: float = number(
        0.0,
        0,
        1000,
        "weight of GcGAN's consistency: a turned crop has a turned translation, and a discriminator of its own judges "
        "that; 0: none",
    )
    turn: str = choice(
        "rotation", ("rotation", "flip"), "with geometry: by 90 degrees clockwise, or mirrored top-bottom"
    )
    guide: float = number(
        0.0, 0, 10_000, "first weight of the coarse guide, the target's blurred colours laid out as the source; 0: none"
    )
    guide_until: float = number(0.5, 0, 1, "share of the steps over which the guide's weight falls to `guide_end`")
    guide_end: float = number(0.15, 0, 1, "share of the guide's weight that stays to the end")
    layers: tuple[int, ...] = field(
        default=(0, 1, 2, 3, 5),
        metadata={
            "doc": "layers of G's encoder that PatchNCE compares: 0 RGB, 1 full resolution, 2 half resolution, 3.. "
            "after each residual block; with architecture=pyramid 3 is a quarter of the resolution, 4.. after each "
            "residual block; with architecture=resnet 0 RGB, 1 full resolution, 2 and 3 the two convolutions before a "
            "step down, 4.. after each residual block"
        },
    )
    patches: int = number(256, 1, 65536, "patches that PatchNCE compares per crop and layer")
    spread: bool = switch(
        False, "true: one patch in each cell of a grid over the crop; false: patches anywhere, as published"
    )
    flip_equivariance: bool = switch(
        False,
        "FastCUT's: with probability 1/2, keys are features of the mirrored input, and those of the output mirrored",
    )
    false_negatives: float = number(
        1.0, 0, 1, "keys that are more similar (cosine) to a query's own key than this are no negatives; 1: all are"
    )
    negatives: str = choice(
        "internal",
        ("internal", "external", "both"),
        "keys that are negatives; internal: the other keys of the step; external: a bank of keys of earlier steps, "
        "by a momentum encoder, which gives the positives too; both: these and the step's own",
    )
    bank: int = number(16_384, 1, 1_000_000, "most keys in the bank of external negatives, per layer and picture")
    bank_step: int = number(256, 1, 1_000_000, "keys of each step that go into the bank, per layer and picture")
    momentum: float = number(
        0.999, 0, 0.999999, "decay per step of the momentum encoder's weights, an average of those of G's encoder and H"
    )
    most_negatives: int = number(0, 0, 65536, "most negatives of a query, random ones of all that it has; 0: all")
    nce_updates: str = choice(
        "all",
        ("all", "encoder"),
        "parts of G that PatchNCE trains; all: encoder and decoder; encoder: its gradient does not reach the decoder",
    )
    temperature: float = number(0.07, 0.001, 10, "temperature tau of PatchNCE")
    r1: float = number(1.0, 0, 1000, "weight of the gradient penalty R1 on the target's tiles; 0: none")
    r1_every: int = number(1, 1, 1024, "steps from one R1 penalty to the next; its weight is multiplied by this")
    own: dict[str, float] = field(
        default_factory=dict, metadata={"doc": "weights of registered loss terms of your own, by name"}
    )

    def check(self) -> None:
        """Raise `ConfigError` if settings contradict each other."""
        if self.bank_step > self.bank:
            raise ConfigError(f"losses.bank_step={self.bank_step} is above losses.bank={self.bank}; lower it")


@dataclass(frozen=True)
class Optimisation:
    """Adam, the learning rate over the steps, and the average that is saved."""

    learning_rate: float = number(0.002, 1e-7, 1, "learning rate of G, D and H; it is constant until `decay`")
    full_rate_steps: int = number(
        0,
        0,
        100_000_000,
        "in a training of more steps the learning rate is multiplied by sqrt(full_rate_steps / steps); 0: never",
    )
    beta1: float = number(0.0, 0, 0.999, "Adam's decay of the first moment")
    beta2: float = number(0.99, 0, 0.99999, "Adam's decay of the second moment")
    decay: float = number(0.5, 0, 1, "share of the steps after which the learning rate falls linearly to 0")
    ema: float = number(
        0.0, 0, 0.999999, "decay per step of the moving average of G's weights that is saved; 0: the last weights"
    )


@dataclass(frozen=True)
class Schedule:
    """The length of a run; `minutes` counts only if `steps` is 0."""

    steps: int = number(100_000, 0, 100_000_000, "number of steps; 0: as many as fit into `minutes`")
    minutes: float = number(0.0, 0, 100_000, "time from the command's start to its end, everything included")
    least_steps: int = number(
        0,
        0,
        100_000_000,
        "if `minutes` would give fewer steps than this, steps have fewer crops, at least 2; 0: never",
    )
    enough_steps: int = number(
        0,
        0,
        100_000_000,
        "most steps of one training; minutes that are left go to further ones, see `ensemble`; 0: any number",
    )
    seed: int = number(0, 0, 2**63 - 1, "seed of every random choice")

    def check(self) -> None:
        """Raise `ConfigError` if neither a number of steps nor minutes are set."""
        if not self.steps and not self.minutes:
            raise ConfigError("schedule.steps and schedule.minutes are both 0; set one of them")


@dataclass(frozen=True)
class Ensemble:
    """Several trainings in one run, and at the end one G that learns the median of them, except in fine detail."""

    members: int = number(
        1,
        1,
        100,
        "most trainings, of `schedule.enough_steps` each: as many as fit into `minutes`; with `schedule.steps` one",
    )
    steps: int = number(300, 1, 100_000_000, "steps in which G then learns the median of their translations")


@dataclass(frozen=True)
class Method:
    """The algorithm that learns the translation."""

    algorithm: str = field(
        default="sincut",
        metadata={
            "doc": "sincut, cyclegan, gatys, strotss, wct2, or the name of an algorithm that is registered in Python"
        },
    )


@dataclass(frozen=True)
class Rival:
    """The other algorithms, those of `rivals/`: what they make of a picture, each time one is translated."""

    weights: str = field(
        default="",
        metadata={"doc": "file of the weights of the network that they use; empty: where torchvision keeps VGG-19"},
    )
    iterations: int = number(
        0, 0, 1_000_000, "iterations for a picture, strotss: at each size; 0: as published, gatys 500, strotss 200"
    )
    content: float = number(1.0, 0, 1e9, "gatys: weight of the content loss")
    style: float = number(1000.0, 0, 1e9, "gatys: weight of the style loss")
    alpha: float = number(
        16.0, 1e-6, 1e9, "strotss: weight of the content loss at the first size, halved at each further one"
    )
    size: int = number(
        0,
        0,
        65536,
        "gatys, wct2: longest side in px at which the target is compared; 0: that of the picture, as published",
    )
    start: str = choice(
        "content", ("content", "noise"), "gatys: what the optimisation begins with, the picture or noise"
    )
    pooling: str = choice("average", ("average", "max"), "gatys: pooling of VGG-19; average, as its paper has it")


@dataclass(frozen=True)
class Synthesis:
    """What is drawn after G, from the target's own patches; none of it changes what is learned."""

    exemplar: bool = switch(
        False,
        "true: the model carries the target's pixels, at most 2 megapixels and 1.25 times `crops.high` px wide, and "
        "translations are drawn from them; false: translations are what G gives",
    )


@dataclass(frozen=True)
class Output:
    """Files that a run writes along the way; none of it changes what is learned."""

    previews: int = number(8, 0, 10_000, "number of previews of the whole source over the run; 0: none")
    preview_megapixels: float = number(
        1.5, 0.01, 1000, "size of a preview; a source that is learned from at fewer keeps these"
    )
    log_every: int = number(20, 1, 100_000, "steps from one line of metrics.jsonl to the next")
    checkpoint_seconds: float = number(60.0, 0, 86_400, "least seconds between checkpoints; 0: after every step")


@dataclass(frozen=True)
class Config:
    """All settings of a run. Raises `ConfigError` for values out of range and for contradictions."""

    method: Method = field(default_factory=Method)
    crops: Crops = field(default_factory=Crops)
    networks: Networks = field(default_factory=Networks)
    colour: Colour = field(default_factory=Colour)
    losses: Losses = field(default_factory=Losses)
    optimisation: Optimisation = field(default_factory=Optimisation)
    schedule: Schedule = field(default_factory=Schedule)
    ensemble: Ensemble = field(default_factory=Ensemble)
    rival: Rival = field(default_factory=Rival)
    synthesis: Synthesis = field(default_factory=Synthesis)
    output: Output = field(default_factory=Output)

    def __post_init__(self) -> None:
        for section in fields(self):
            settings = getattr(self, section.name)
            for setting in fields(settings):
                check(f"{section.name}.{setting.name}", getattr(settings, setting.name), setting.metadata)
        self.crops.check()
        self.losses.check()
        self.networks.check(self.crops)
        self.schedule.check()
        if self.losses.cycle and self.method.algorithm == "sincut":
            raise ConfigError("losses.cycle needs a second generator: add --set method.algorithm=cyclegan")
        if self.losses.distance and self.crops.count < 2:
            raise ConfigError("losses.distance compares crops of a step: use crops.count=2 or more")
        last = self.networks.deepest_layer
        layers = self.losses.layers
        if not layers or len(set(layers)) < len(layers) or not all(0 <= layer <= last for layer in layers):
            raise ConfigError(f"losses.layers={list(layers)} must be distinct layers of G's encoder, 0 to {last}")

    @property
    def judged(self) -> int:
        """The number of translations of a step that discriminators of their own judge."""
        return 1 + self.has_way_back + bool(self.losses.geometry)

    @property
    def translated(self) -> int:
        """The number of crops that generators translate in a step, for each crop of the source."""
        losses = self.losses
        both = bool(losses.same or (losses.nce and losses.identity))
        back = self.has_way_back * (1 + bool(losses.same) + 2 * bool(losses.cycle))
        return 1 + both + back + bool(losses.geometry)

    @property
    def has_way_back(self) -> bool:
        """True if there is a second generator, which translates the target's crops back."""
        return self.method.algorithm == "cyclegan"

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Values by section and key, as in a TOML preset."""
        return {name: {key: plain(value) for key, value in section.items()} for name, section in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Config":
        """The inverse of `to_dict`; missing sections and keys take their defaults. Raises `ConfigError`."""
        return overlay(cls(), values)

    def differences(self, other: "Config") -> list[str]:
        """Differing settings as texts `section.key: X here, Y there`, but for `NOT_LEARNED`."""
        learned = {key: both for key, both in self.changes(other).items() if not key.startswith(NOT_LEARNED)}
        return [f"{key}: {here} here, {there} there" for key, (here, there) in learned.items()]

    def changes(self, other: "Config") -> dict[str, tuple[Any, Any]]:
        """Differing settings by `section.key`: the value here and the other's, as in a TOML preset."""
        theirs = other.to_dict()
        return {
            f"{section}.{key}": (value, theirs[section][key])
            for section, settings in self.to_dict().items()
            for key, value in settings.items()
            if value != theirs[section][key]
        }

    def to_toml(self, about: str = "") -> str:
        """A complete preset file with all settings, each with its sentence; `about` is the preset's own."""
        lines = [f"about = {toml(about)}"] if about else []
        for section in fields(self):
            settings = getattr(self, section.name)
            lines += ["", f"[{section.name}]"]
            for setting in fields(settings):
                value = toml(plain(getattr(settings, setting.name)))
                lines.append(f"{setting.name} = {value}  # {documentation(setting.metadata)}")
        return "\n".join(lines).lstrip() + "\n"


def overlay(config: Config, values: Mapping[str, Any]) -> Config:
    """`config` with other values, given by section and key. Raises `ConfigError` for unknown keys and wrong values."""
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
