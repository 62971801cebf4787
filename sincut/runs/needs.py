"""The main memory that a training takes, told before it begins; measured on Linux, on a CPU."""

from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path

from PIL import Image
from torch import Tensor

from sincut.config.sections import Config
from sincut.errors import ImageError
from sincut.nets.architectures import architecture
from sincut.nets.local import BAND, SMALL_BAND
from sincut.pictures import learned, reduced
from sincut.pictures.reduced import Size
from sincut.runs.finding import AnyImage

HELD_BYTES = 60  # per pixel of both pictures: as numbers for the networks, filtered, with the guide, and as pixels
BLURRED_BYTES = 240  # per pixel of a band that a filter works on
STEP_MAPS = 10  # of a step: all that is alive, as a multiple of what one pass of G through the crops takes
BANK_COPIES = 2  # of the products of queries and keys: beside those that each layer of a picture keeps
G_MAPS = 0.75  # of G over a band: the same
PREVIEW_BYTES = 1000 * 10**6  # of a preview that is drawn and measured


def bytes_to_learn(images: Mapping[str, AnyImage | tuple[AnyImage, ...]], config: Config) -> int:
    """Bytes of main memory, roughly, that a training takes at most beside what is held already.

    `images` are its pictures by side, one or several. Of files only the headers are read. Raises `ImageError` for one
    that cannot be; but those of a set are left out.
    """
    held, most, largest, seen, band = 0, 0, 0, 0.0, BAND
    for size, taken, scaled in _all_to_read(images, config):
        most, largest = max(most, held + taken), max(largest, prod(size))
        seen = max(seen, prod(size) * min(1.0, _excess(size, config)) ** 2)
        held += HELD_BYTES * prod(size)
        band = SMALL_BAND if scaled else band
    chosen = architecture(config.networks)
    maps = chosen.pass_bytes_of(config.networks)  # per pixel that G looks at
    passes = max(1.0, config.translated / 2)  # measured with G(x) alone, and with G(y)
    bank, products = _bank_bytes(config)
    held += bank
    kept = STEP_MAPS * passes * chosen.kept_share * maps
    step = round(kept * config.crops.count * config.crops.size**2) + products
    at_once = seen if chosen.whole_only else min(seen, band)
    balance = round(G_MAPS * maps * at_once) if config.colour.balance else 0
    preview = PREVIEW_BYTES
    if chosen.whole_only and config.output.previews:
        preview += round(chosen.bytes_of(config.networks) * min(largest, 1e6 * config.output.preview_megapixels))
    return max(most, held + max(BLURRED_BYTES * min(largest, band), balance, step, preview))


def _bank_bytes(config: Config) -> tuple[int, int]:
    """Bytes of PatchNCE's memory bank, and of the products of all queries with its keys in a step; 0 without one."""
    losses, crops = config.losses, config.crops
    if losses.negatives == "internal" or not losses.nce:
        return 0, 0
    slots = len(losses.layers) * (1 + losses.identity)
    queries = 0 if losses.most_negatives else crops.count * min(losses.patches, crops.size**2)
    return 4 * slots * losses.bank * config.networks.features, 4 * queries * losses.bank * (slots + BANK_COPIES)


def _excess(size: Size, config: Config) -> float:
    """The scale at which crops are taken of a picture (H, W) that is in memory, see `crops.without_excess`."""
    crops = config.crops
    return learned.scale_for_width(size, crops, crops.excess) if crops.in_pixels and crops.excess else 1.0


def _all_to_read(
    images: Mapping[str, AnyImage | tuple[AnyImage, ...]], config: Config
) -> Iterator[tuple[Size, int, bool]]:
    """The results of `_to_read` for all pictures. Raises `ImageError`, but not for pictures of a set."""
    for side in images.values():
        each = side if isinstance(side, tuple) else (side,)
        for image in each:
            try:
                yield _to_read(image, config, len(each) > 1)
            except ImageError:
                if len(each) == 1:
                    raise


def _to_read(image: AnyImage, config: Config, in_set: bool) -> tuple[Size, int, bool]:
    """The size at which a picture is learned from, the bytes that it takes to get there, and True if that is scaled."""

    def wanted(size: Size) -> Size:
        return learned.size_learned(size, config.crops, in_set)

    if isinstance(image, Path | str):
        return reduced.bytes_to_load(Path(image), wanted)
    if isinstance(image, Image.Image):
        size = image.height, image.width
    else:
        h, w = image.shape[-2:] if isinstance(image, Tensor) else image.shape[:2]
        size = h, w
    return wanted(size), 0, wanted(size) != size
