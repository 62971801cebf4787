"""Settings of the networks, and of the crops that they see: the sections `crops` and `networks`, see `sections.py`."""

from dataclasses import dataclass

from sincut.config.values import choice, number, switch
from sincut.errors import ConfigError


@dataclass(frozen=True)
class Crops:
    """The parts of the two pictures that the networks see in one step."""

    scale: str = choice(
        "width",
        ("width", "factor", "axes", "square"),
        "unit of low and high; width: px of the scaled picture's width; factor: a multiple of the file's size; axes: "
        "the same, drawn for each axis on its own; square: px of both sides, whatever the aspect was",
    )
    low: float = number(384.0, 0.01, 65536, "smallest scale at which crops are taken, in the unit of `scale`")
    high: float = number(1024.0, 0.01, 65536, "largest scale at which crops are taken, in the unit of `scale`")
    excess: float = number(
        0.0,
        0,
        1000,
        "scale=width or square: a picture larger than this multiple of `high` is scaled down to it before training; "
        "0: never",
    )
    own_scales: bool = switch(
        False, "true: each crop is taken at a scale of its own; false: all crops of a step at the same scale"
    )
    places: int = number(
        1, 1, 64, "with own_scales: places drawn for each crop, of which the one with the strongest outlines is taken"
    )
    count: int = number(16, 1, 1024, "crops of each picture per step; fewer in short runs, see schedule.least_steps")
    size: int = number(128, 16, 1024, "side of a crop, px; even, and a multiple of `tile`")
    tile: int = number(64, 16, 1024, "side of the tiles that the discriminator sees, px; a power of two")
    flip: float = number(0.5, 0, 1, "probability that a crop is mirrored left-right")

    @property
    def in_pixels(self) -> bool:
        """True if low and high are px of a scaled picture; False if they are multiples of the file's size."""
        return self.scale in ("width", "square")

    def check(self) -> None:
        """Raise `ConfigError` if settings contradict each other."""
        if self.low > self.high:
            raise ConfigError(f"crops.low={self.low:g} is above crops.high={self.high:g}; swap them")
        if not self.in_pixels and self.high > 8:
            raise ConfigError(f"crops.high={self.high:g} is no factor; use 8 or less, or --set crops.scale=width")
        if self.in_pixels and self.low < 16:
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

    architecture: str = choice(
        "stylegan2",
        ("stylegan2", "pyramid", "resnet"),
        "layers of G; stylegan2: as published for single pictures; pyramid: the same, with the residual blocks at a "
        "quarter instead of half the resolution; resnet: as published for sets of pictures, with "
        "instance normalisation, so that pictures are translated whole and not in tiles",
    )
    critic: str = choice(
        "stylegan2",
        ("stylegan2", "patchgan"),
        "layers of D; stylegan2: one verdict on a tile, as published for single pictures; patchgan: one on each of its "
        "overlapping patches of 70 px, as published for sets",
    )
    stem: int = number(
        40, 1, 1024, "channels of G at full resolution; architecture=resnet has twice as many at half resolution"
    )
    inner: int = number(
        80,
        1,
        2048,
        "channels of G's residual blocks, at half resolution; with architecture=pyramid or resnet at a quarter",
    )
    middle: int = number(48, 1, 2048, "architecture=pyramid: channels of G at half resolution")
    blocks: int = number(
        6, 2, 32, "residual blocks of G; the first half, and of an odd number one more of a resnet, is the encoder's"
    )
    noise: str = choice(
        "last",
        ("last", "auto", "all", "none"),
        "noise inputs of G's decoder, of which it makes strokes or grain; last: in its upsampling block alone, as "
        "published; all: in its residual blocks too; none: nowhere, the only choice with architecture=resnet; auto: "
        "all if the target's even parts have more than twice the texture of the source's, otherwise none",
    )
    residual: float = number(0.0, 0, 1, "0: the network gives the picture; r > 0: the input + r times its output")
    smooth: float = number(
        0.0,
        0,
        100,
        "with `residual`: strength of the edge-preserving filter on the input that the output is added to, as a "
        "multiple of the source's texture; only if that is more than twice the target's, or with `materials`; 0: never",
    )
    discriminator: float = number(
        1.0,
        0.05,
        8,
        "width of D as a multiple of 32/64/128/256/384 at 64/32/16/8/4 px; with critic=patchgan of 64/128/256/512",
    )
    detail: float = number(
        0.0,
        0,
        100,
        "if the even parts of either picture have hardly any texture, D sees tiles standardised by the target's "
        "colours, with detail finer than 9 px multiplied by this; 0: never",
    )
    materials: int = number(
        0,
        0,
        32,
        "materials of the target, such as sky and rock, whose own fine detail G mixes into its output; 0: none, the "
        "only choice with architecture=resnet",
    )
    features: int = number(256, 4, 4096, "projected features per patch")
    encoders: str = choice(
        "shared",
        ("shared", "separate"),
        "encoder by which PatchNCE sees the output; shared: G's own; separate: one that only PatchNCE trains",
    )

    @property
    def encoder_blocks(self) -> int:
        """The number of residual blocks of G's encoder: half of them; of an odd number, one more of a resnet."""
        return (self.blocks + (self.architecture == "resnet")) // 2

    @property
    def deepest_layer(self) -> int:
        """The number of the last layer of G's encoder, from 0 (RGB)."""
        return (2 if self.architecture == "stylegan2" else 3) + self.encoder_blocks

    def check(self, crops: Crops) -> None:
        """Raise `ConfigError` if settings contradict each other or those of the crops."""
        if self.architecture == "resnet" and self.noise != "none":
            raise ConfigError(
                f"networks.noise={self.noise}: a resnet has no noise inputs; use --set networks.noise=none"
            )
        if self.architecture == "resnet" and self.materials:
            raise ConfigError(
                f"networks.materials={self.materials}: a resnet does not mix them; use --set networks.materials=0"
            )
        if self.critic == "patchgan" and crops.tile < 32:
            raise ConfigError(f"crops.tile={crops.tile} is too small for networks.critic=patchgan; use 32 or more")
