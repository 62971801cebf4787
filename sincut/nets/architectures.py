"""The networks that the settings choose: their classes by name, and the factories that make them."""

from sincut.config.sections import Networks
from sincut.nets.generator import Generator
from sincut.nets.stylegan2 import StyleGenerator


def architecture(networks: Networks) -> type[Generator]:
    """The class of the generator that the settings choose."""
    return StyleGenerator


def make_generator(networks: Networks) -> Generator:
    """A new generator G, with the layers and initial weights that the settings choose.

    Raises ValueError for settings that two pictures are still to settle.
    """
    return architecture(networks)(networks)
