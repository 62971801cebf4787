"""The main memory that a training takes, told before it begins; measured on Linux, on a CPU."""

from collections.abc import Mapping
from math import prod
from pathlib import Path

from PIL import Image
from torch import Tensor

from sincut.config.sections import Config
from sincut.nets.local import BAND, SMALL_BAND
from sincut.pictures import learned, reduced
from sincut.pictures.reduced import Size
from sincut.runs.inputs import AnyImage

HELD_BYTES = 60  # per pixel of both pictures: as numbers for the networks, filtered, with the guide, and as pixels
BLURRED_BYTES = 240  # per pixel of a band that a filter works on
STEP_MAPS = 10  # of a step: all that is alive, as a multiple of what one pass of G through the crops takes
PREVIEW_BYTES = 1000 * 10**6  # of a preview that is drawn and measured


def bytes_to_learn(images: Mapping[str, AnyImage], config: Config) -> int:
    """Bytes of main memory, roughly, that a training of these two pictures takes at most beside what is held already.

    Of files only the headers are read. Raises `ImageError` for one that cannot be.
    """
    held, most, largest, band = 0, 0, 0, BAND
    for image in images.values():
        size, taken, scaled = _to_read(image, config)
        most, largest = max(most, held + taken), max(largest, prod(size))
        held += HELD_BYTES * prod(size)
        band = SMALL_BAND if scaled else band
    maps = 4 * (4 * config.networks.stem + 2 * config.networks.inner)  # bytes per pixel that G looks at
    step = STEP_MAPS * maps * config.crops.count * config.crops.size**2
    at_once = max(BLURRED_BYTES, maps if config.colour.balance else 0) * min(largest, band)
    return max(most, held + max(at_once, step, PREVIEW_BYTES))


def _to_read(image: AnyImage, config: Config) -> tuple[Size, int, bool]:
    """The size at which a picture is learned from, the bytes that it takes to get there, and True if that is scaled."""

    def wanted(size: Size) -> Size:
        return learned.size_learned(size, config.crops)

    if isinstance(image, Path | str):
        return reduced.bytes_to_load(Path(image), wanted)
    if isinstance(image, Image.Image):
        size = image.height, image.width
    else:
        h, w = image.shape[-2:] if isinstance(image, Tensor) else image.shape[:2]
        size = h, w
    return wanted(size), 0, wanted(size) != size
