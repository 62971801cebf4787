"""Crops of a picture at random scales and places, and what a discriminator sees of them; with kornia.

As published, each step scales the whole picture at random and takes all crops from that one scaled picture, at distinct
places of a grid with a random offset. Ours (`crops.own_scales`): each crop has a scale and a place of its own; a place
is drawn again if it shares much with that of an earlier crop, and of `crops.places` candidates the one with the
strongest outlines is taken, since even sky and water are soon learned. Either way no two crops of a step show the same
place, because PatchNCE takes the patches of each as negatives of the others'.

Pictures are (1, C, H, W): the picture in [-1, 1] in the first three channels, then those aligned to it. Crops are
(N, C, crop, crop). Random numbers come from a generator on the CPU; pictures may be on any device.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from kornia.contrib import extract_tensor_patches
from kornia.enhance import integral_image
from kornia.filters import box_blur, spatial_gradient
from kornia.geometry.transform import hflip, resize
from torch import Tensor

from sincut.config.networks import Crops
from sincut.errors import ImageError
from sincut.pictures.learned import scale_for_width

Box = tuple[int, int, int, int]  # top, left, bottom, right, in px of the picture; the last two are exclusive

OVERLAP = 0.25  # largest share of the smaller part's area that two crops of a step have in common
ATTEMPTS = 20  # draws of a place before the one with the least overlap is taken
OUTLINES_WIDTH = 200  # least width, in px, to which the picture is reduced to find outlines; finer detail is texture
OUTLINES_BLUR = 5  # window in px of the reduced picture


@dataclass(frozen=True, eq=False)
class Outlines:
    """Strength of a picture's outlines (squared gradient of blurred lightness) as an integral image.

    An integral image gives the mean over any box by four look-ups.
    """

    sums: Tensor  # (1 + H / scale, 1 + W / scale) on the CPU: each the sum over all above and to the left
    scale: int  # px of the picture per pixel of `sums`

    @classmethod
    def of(cls, image: Tensor) -> "Outlines":
        """The outlines of (1, C, H, W), whose first three channels are the picture in [-1, 1]."""
        scale = max(1, image.shape[3] // OUTLINES_WIDTH)
        grey = image[:, :3].float().cpu().mean(1, keepdim=True)
        small = box_blur(F.avg_pool2d(grey, scale, ceil_mode=True), OUTLINES_BLUR, border_type="replicate")
        steepness = spatial_gradient(small, mode="diff").square().sum(2)  # (1, 1, H / scale, W / scale)
        return cls(F.pad(integral_image(steepness.double())[0, 0], (1, 0, 1, 0)), scale)

    def strength(self, part: Box) -> float:
        """Mean strength of the outlines within a box."""
        top, left, bottom, right = (round(side / self.scale) for side in part)
        inside = self.sums[bottom, right] - self.sums[top, right] - self.sums[bottom, left] + self.sums[top, left]
        return float(inside) / max(1, (bottom - top) * (right - left))


def random_crops(image: Tensor, config: Crops, random: torch.Generator, outlines: Outlines | None = None) -> Tensor:
    """(1, C, H, W) -> N random crops (N, C, crop, crop): random scale, distinct places, random mirroring.

    With `config.own_scales` the picture's `outlines`, if given, choose among `config.places` candidates for each crop.
    Raises `ImageError` if the scaled picture is too small for N distinct places; `check_size` finds that out before a
    training starts.
    """
    if config.own_scales:
        crops = _crops_of_own_scales(image, config, random, outlines)
    else:
        crops = _crops(image, config, random)
    mirrored = torch.rand(len(crops), generator=random) < config.flip
    return torch.where(mirrored.to(crops.device)[:, None, None, None], hflip(crops), crops)


def _crops(image: Tensor, config: Crops, random: torch.Generator) -> Tensor:
    """Crops of one scaled picture, as published."""
    h, w = scaled_size(image.shape[2], image.shape[3], config, torch.rand(2, generator=random).tolist())
    # Antialiased: kornia blurs before it takes every n-th pixel, else fine canvas would turn into coarse stripes.
    scaled = resize(image, (h, w), interpolation="bilinear", antialias=True)
    places = distinct_places(h, w, config, random)
    return torch.cat([scaled[:, :, y : y + config.size, x : x + config.size] for y, x in places])


def _crops_of_own_scales(image: Tensor, config: Crops, random: torch.Generator, outlines: Outlines | None) -> Tensor:
    """Crops with a scale each (ours); only the part of the picture that a crop shows is scaled."""
    h, w = image.shape[2:]
    size = (config.size, config.size)
    parts = distinct_parts(h, w, config, random, outlines)
    shown = (image[:, :, top:bottom, left:right] for top, left, bottom, right in parts)
    return torch.cat([resize(part, size, interpolation="bilinear", antialias=True) for part in shown])


def distinct_parts(
    h: int, w: int, config: Crops, random: torch.Generator, outlines: Outlines | None = None
) -> list[Box]:
    """`config.count` boxes of an (H, W) picture, each the size of a crop at a random scale, at a random place.

    With `outlines` each is the one of `config.places` candidates that has the strongest. A box is drawn again if it
    shares more than `OVERLAP` of the smaller one's area with an earlier box; after `ATTEMPTS` draws, for pictures with
    too little room, the one that shares least is taken.
    """
    parts: list[Box] = []
    while len(parts) < config.count:
        best, least = None, math.inf
        for _ in range(ATTEMPTS):
            draws = torch.rand(config.places if outlines else 1, 4, generator=random).tolist()
            drawn = [_part(h, w, config, draw) for draw in draws]
            part = max(drawn, key=outlines.strength) if outlines else drawn[0]
            shared = max((_shared(part, other) for other in parts), default=0.0)
            if shared < least:
                best, least = part, shared
            if least <= OVERLAP:
                break
        assert best is not None
        parts.append(best)
    return parts


def _part(h: int, w: int, config: Crops, draw: list[float]) -> Box:
    """The box of an (H, W) picture that a crop shows; `draw` are four numbers in 0..1: two scales, row, column."""
    scaled_h, scaled_w = scaled_size(h, w, config, draw[:2])
    part_h, part_w = (max(1, round(config.size * a / b)) for a, b in ((h, scaled_h), (w, scaled_w)))
    top, left = round(draw[2] * (h - part_h)), round(draw[3] * (w - part_w))
    return top, left, top + part_h, left + part_w


def _shared(a: Box, b: Box) -> float:
    """Area of the intersection of two boxes, as a share of the smaller one's area."""
    height, width = (max(0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    return height * width / min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))


def without_excess(image: Tensor, config: Crops) -> Tensor:
    """The picture (1, C, H, W), scaled down to `crops.excess` times the largest training width if it is wider (ours).

    That makes steps quicker. It happens only where `crops.high` is the largest width, or side, in px, and
    never below `crops.excess` times the size of a crop. With an `excess` of 0 the picture stays as it is.
    """
    h, w = image.shape[2:]
    factor = scale_for_width((h, w), config, config.excess)
    if not config.in_pixels or not config.excess or factor >= 1:
        return image
    return resize(image, (round(h * factor), round(w * factor)), interpolation="bilinear", antialias=True)


def tiles(crops: Tensor, size: int) -> Tensor:
    """(N, 3, crop, crop) -> (T, 3, size, size): each crop cut into (crop / size)^2 tiles; differentiable."""
    if crops.shape[-1] == size:
        return crops
    return extract_tensor_patches(crops, window_size=size, stride=size).flatten(0, 1)  # (N, T/N, 3, s, s) -> (T, ...)


def scaled_size(h: int, w: int, config: Crops, draw: list[float]) -> tuple[int, int]:
    """Height and width in px of an (H, W) picture at a random scale; `draw` are two numbers in 0..1.

    The scale follows the law `config.scale`, but no side becomes shorter than a crop.
    """
    low, high = config.low, config.high
    first, second = (low + (high - low) * u for u in draw)
    factors = {
        **{"width": (first / w, first / w), "factor": (first, first)},
        **{"axes": (first, second), "square": (first / h, first / w)},
    }[config.scale]
    if config.scale not in ("axes", "square"):  # a long panorama keeps its aspect: scale both sides until a crop fits
        factors = (max(factors[0], config.size / min(h, w)),) * 2
    return max(config.size, round(h * factors[0])), max(config.size, round(w * factors[1]))


def shares(sizes: Sequence[tuple[int, int]], config: Crops) -> list[float]:
    """The chance of each picture of a set, of these sizes (H, W), to be the one that a step takes its crops from.

    It is in proportion to the area that crops see, that of the picture at the middle training scale. So each part of a
    picture is seen as often as one of any other, and a long panorama oftener than a square.
    """
    areas = [math.prod(scaled_size(h, w, config, [0.5, 0.5])) for h, w in sizes]
    return [area / sum(areas) for area in areas]


def distinct_places(h: int, w: int, config: Crops, random: torch.Generator) -> list[tuple[int, int]]:
    """`config.count` different corners (top, left) of crops, in px, on a grid with a random offset in (H, W).

    The grid's step is the side of a crop; if that gives too few places it is as short as needed, and crops overlap.
    Raises `ImageError` if no step gives enough.
    """
    step = grid_step(h, w, config)
    room = ((h - config.size) % step, (w - config.size) % step)  # what the grid leaves free at the far ends
    top, left = (int(torch.randint(r + 1, (), generator=random)) for r in room)
    rows, columns = (h - config.size) // step + 1, (w - config.size) // step + 1
    chosen = torch.randperm(rows * columns, generator=random)[: config.count].tolist()
    return [(top + i // columns * step, left + i % columns * step) for i in chosen]


def grid_step(h: int, w: int, config: Crops) -> int:
    """The largest step in px, up to a crop's side, of a grid with at least `config.count` places in (H, W).

    Raises `ImageError` if there is none.
    """
    for step in range(config.size, 0, -1):
        if ((h - config.size) // step + 1) * ((w - config.size) // step + 1) >= config.count:
            return step
    raise ImageError(
        f"a {w}x{h} picture has no {config.count} different places for {config.size}px crops; "
        f"use a larger picture, or fewer crops: --set crops.count={max(1, config.count // 2)}"
    )


def check_size(name: str, h: int, w: int, config: Crops) -> None:
    """Raise `ImageError`, with the remedy, if an (H, W) picture is too small for the crops of one step.

    `name` is the picture's in the message.
    """
    if min(h, w) < config.size:
        fits = 2 ** (min(h, w).bit_length() - 1)
        remedy = f" or --set crops.size={fits} --set crops.tile={min(fits, config.tile)}" if fits >= 16 else ""
        raise ImageError(f"{name}: {w}x{h} is smaller than one {config.size}px crop; use a larger picture{remedy}")
    if config.own_scales:
        return
    try:
        grid_step(*scaled_size(h, w, config, [0.0, 0.0]), config)
    except ImageError as error:
        raise ImageError(f"{name}: at the smallest training scale {error}") from None
