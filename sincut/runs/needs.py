"""The main memory that a training takes, told before it begins; measured on Linux, on a CPU."""

from collections.abc import Mapping
from math import prod
from pathlib import Path

from PIL import Image
from torch import Tensor

from sincut.config.sections import Config
from sincut.nets.local import BAND
from sincut.pictures import learned, reduced
from sincut.pictures.reduced import Size
from sincut.runs.inputs import AnyImage

HELD_BYTES = 60  # per pixel of both pictures: as numbers for the networks, filtered, with the guide, and as pixels
BLURRED_BYTES = 240  # per pixel of a band that a filter works on
STEP_MAPS = 10  # of a step: all that is alive, as a multiple of what one pass of G through the crops takes
PREVIEW_BYTES = 700 * 10**6  # of a preview that is drawn


def bytes_to_learn(images: Mapping[str, AnyImage], config: Config) -> int:
    """Bytes of main memory, roughly, that a training of these two pictures takes at most beside what is held already.

    Of files only the headers are read. Raises `ImageError` for one that cannot be.
    """
    held, most, largest = 0, 0, 0
    for image in images.values():
        size, taken = _to_read(image, config)
        most, largest = max(most, held + taken), max(largest, prod(size))
        held += HELD_BYTES * prod(size)
    networks, crops = config.networks, config.crops
    maps = 4 * (4 * networks.stem + 2 * networks.inner)  # bytes per pixel
    step = STEP_MAPS * maps * crops.count * crops.size**2
    return max(most, held + max(BLURRED_BYTES * min(largest, BAND), step, PREVIEW_BYTES))


def _to_read(image: AnyImage, config: Config) -> tuple[Size, int]:
    """The size at which a picture is learned from, and the bytes that it takes to get there."""

    def wanted(size: Size) -> Size:
        return learned.size_learned(size, config.crops)

    if isinstance(image, Path | str):
        return reduced.bytes_to_load(Path(image), wanted)
    if isinstance(image, Image.Image):
        return wanted((image.height, image.width)), 0
    h, w = image.shape[-2:] if isinstance(image, Tensor) else image.shape[:2]
    return wanted((h, w)), 0
