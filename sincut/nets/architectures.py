"""The networks that the settings choose: their classes by name, and the factories that make them."""

from sincut.config.networks import Networks
from sincut.nets.discriminator import Discriminator, StyleDiscriminator
from sincut.nets.generator import Generator
from sincut.nets.patchgan import PatchDiscriminator
from sincut.nets.resnet import ResnetGenerator
from sincut.nets.stylegan2 import PyramidGenerator, StyleGenerator

GENERATORS: dict[str, type[Generator]] = {
    "stylegan2": StyleGenerator,
    "pyramid": PyramidGenerator,
    "resnet": ResnetGenerator,
}


def architecture(networks: Networks) -> type[Generator]:
    """The class of the generator that the settings choose."""
    return GENERATORS[networks.architecture]


def make_generator(networks: Networks) -> Generator:
    """A new generator G, with the layers and initial weights that the settings choose.

    Raises ValueError for settings that two pictures are still to settle.
    """
    return architecture(networks)(networks)


def make_discriminator(networks: Networks, tile: int) -> Discriminator:
    """A new discriminator D of tiles with sides of `tile` px, as the settings choose."""
    return PatchDiscriminator(networks) if networks.critic == "patchgan" else StyleDiscriminator(networks, tile)
