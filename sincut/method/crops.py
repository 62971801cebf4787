"""Random-scale crops of one picture and the discriminator's tiles, with kornia.

The published way scales the whole picture at random in each step and takes its crops at distinct places of that one
scaled picture: a grid with a random offset, sampled without repetition. With `own_scales` each crop is scaled on its
own, and places are drawn again while two show much of the same; of some `places` the one with the strongest outlines is
taken, since even sky and water are soon learned. Either way no two crops of a step show the same place: PatchNCE uses
each as a negative of the others. Pictures are (1, 3, H, W) in [-1, 1], crops (N, 3, crop, crop).
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from kornia.contrib import extract_tensor_patches
from kornia.enhance import integral_image
from kornia.filters import box_blur, spatial_gradient
from kornia.geometry.transform import hflip, resize
from torch import Tensor

from sincut.config.sections import Crops
from sincut.errors import ImageError

Box = tuple[int, int, int, int]  # top, left, bottom, right

OVERLAP = 0.25  # of the smaller part, at most, may two crops of a step share
ATTEMPTS = 20
OUTLINES_WIDTH = 200  # px, at least, of the picture in which outlines are looked for: finer than that is texture
OUTLINES_BLUR = 5  # px of that


@dataclass(frozen=True, eq=False)
class Outlines:
    """The strength of a picture's outlines as an integral image: the mean over any part takes four look-ups."""

    sums: Tensor  # (1 + H / scale, 1 + W / scale) on the CPU: of all that is above and to the left
    scale: int

    @classmethod
    def of(cls, image: Tensor) -> "Outlines":
        """Of (1, C, H, W), whose first three channels are the picture."""
        scale = max(1, image.shape[3] // OUTLINES_WIDTH)
        grey = image[:, :3].float().cpu().mean(1, keepdim=True)
        small = box_blur(F.avg_pool2d(grey, scale, ceil_mode=True), OUTLINES_BLUR, border_type="replicate")
        steepness = spatial_gradient(small, mode="diff").square().sum(2)  # (1, 1, H / scale, W / scale)
        return cls(F.pad(integral_image(steepness.double())[0, 0], (1, 0, 1, 0)), scale)

    def strength(self, part: Box) -> float:
        """The mean over a part."""
        top, left, bottom, right = (round(side / self.scale) for side in part)
        inside = self.sums[bottom, right] - self.sums[top, right] - self.sums[bottom, left] + self.sums[top, left]
        return float(inside) / max(1, (bottom - top) * (right - left))


def random_crops(image: Tensor, config: Crops, generator: torch.Generator, outlines: Outlines | None = None) -> Tensor:
    """(1, 3, H, W) -> (N, 3, crop, crop): random scale, distinct places, random mirroring.

    `generator` is a CPU generator; the picture may be on any device. Its `outlines`, where they are given, choose among
    `config.places` of crops with scales of their own. Raises `ImageError` where the scaled picture is too small for N
    distinct crops; `check_size` tells that before training starts.
    """
    if config.own_scales:
        crops = _crops_of_own_scales(image, config, generator, outlines)
    else:
        crops = _crops(image, config, generator)
    mirrored = torch.rand(len(crops), generator=generator) < config.flip
    return torch.where(mirrored.to(crops.device)[:, None, None, None], hflip(crops), crops)


def _crops(image: Tensor, config: Crops, generator: torch.Generator) -> Tensor:
    """Crops of one scaled picture (the published way)."""
    h, w = scaled_size(image.shape[2], image.shape[3], config, torch.rand(2, generator=generator).tolist())
    # Antialiased: kornia blurs before it takes every n-th pixel, else fine canvas would turn into coarse stripes.
    scaled = resize(image, (h, w), interpolation="bilinear", antialias=True)
    places = distinct_places(h, w, config, generator)
    return torch.cat([scaled[:, :, y : y + config.size, x : x + config.size] for y, x in places])


def _crops_of_own_scales(image: Tensor, config: Crops, generator: torch.Generator, outlines: Outlines | None) -> Tensor:
    """Crops that each have a scale of their own: only the part of the picture that a crop shows is scaled."""
    h, w = image.shape[2:]
    size = (config.size, config.size)
    parts = distinct_parts(h, w, config, generator, outlines)
    shown = (image[:, :, top:bottom, left:right] for top, left, bottom, right in parts)
    return torch.cat([resize(part, size, interpolation="bilinear", antialias=True) for part in shown])


def distinct_parts(
    h: int, w: int, config: Crops, generator: torch.Generator, outlines: Outlines | None = None
) -> list[Box]:
    """`config.count` parts (top, left, bottom, right) of a picture, each as large as a crop at a scale of its own.

    With `outlines` each is the one of `config.places` that has the strongest. A part is drawn again while it shares
    more than `OVERLAP` of the smaller one's area with an earlier one; after `ATTEMPTS` the one that shares least is
    taken, for pictures that have too little room.
    """
    parts: list[Box] = []
    while len(parts) < config.count:
        best, least = None, math.inf
        for _ in range(ATTEMPTS):
            draws = torch.rand(config.places if outlines else 1, 4, generator=generator).tolist()
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
    """The part of an (H, W) picture that a crop at a random scale and place shows, for four numbers from 0..1."""
    scaled_h, scaled_w = scaled_size(h, w, config, draw[:2])
    part_h, part_w = (max(1, round(config.size * a / b)) for a, b in ((h, scaled_h), (w, scaled_w)))
    top, left = round(draw[2] * (h - part_h)), round(draw[3] * (w - part_w))
    return top, left, top + part_h, left + part_w


def _shared(a: Box, b: Box) -> float:
    """The area that two boxes share, as a fraction of the smaller one's."""
    height, width = (max(0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    return height * width / min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))


def without_excess(image: Tensor, config: Crops) -> Tensor:
    """(1, 3, H, W), scaled down once if it is wider than `crops.excess` times the largest width: steps are quicker.

    Only the law `width` knows how large that is; twice the largest width keeps what its crops can show.
    """
    h, w = image.shape[2:]
    factor = max(config.excess * config.high / w, config.excess * config.size / min(h, w))
    if config.scale != "width" or not config.excess or factor >= 1:
        return image
    return resize(image, (round(h * factor), round(w * factor)), interpolation="bilinear", antialias=True)


def tiles(crops: Tensor, size: int) -> Tensor:
    """(N, 3, crop, crop) -> (T, 3, size, size): the crops cut into (crop / size)^2 tiles each; differentiable."""
    if crops.shape[-1] == size:
        return crops
    return extract_tensor_patches(crops, window_size=size, stride=size).flatten(0, 1)  # (N, T/N, 3, s, s) -> (T, ...)


def made_small(crops: Tensor, size: int) -> Tensor:
    """(N, 3, crop, crop) -> (N, 3, size, size): whole crops, each pixel the mean of (crop / size)^2; differentiable."""
    return F.avg_pool2d(crops, crops.shape[-1] // size)


def scaled_size(h: int, w: int, config: Crops, draw: list[float]) -> tuple[int, int]:
    """Height and width of the scaled picture for two numbers drawn from 0..1, never smaller than a crop."""
    low, high = config.low, config.high
    first, second = (low + (high - low) * u for u in draw)
    factors = {"width": (first / w, first / w), "factor": (first, first), "axes": (first, second)}[config.scale]
    if config.scale != "axes":  # a long panorama keeps its aspect: scale both sides until a crop fits
        factors = (max(factors[0], config.size / min(h, w)),) * 2
    return max(config.size, round(h * factors[0])), max(config.size, round(w * factors[1]))


def distinct_places(h: int, w: int, config: Crops, generator: torch.Generator) -> list[tuple[int, int]]:
    """`config.count` different (top, left) corners on a grid with a random offset.

    The grid's step is the crop's side; where that gives too few places it shrinks as far as needed, and crops overlap.
    """
    step = grid_step(h, w, config)
    room = ((h - config.size) % step, (w - config.size) % step)  # what the grid leaves free at the far ends
    top, left = (int(torch.randint(r + 1, (), generator=generator)) for r in room)
    rows, columns = (h - config.size) // step + 1, (w - config.size) // step + 1
    chosen = torch.randperm(rows * columns, generator=generator)[: config.count].tolist()
    return [(top + i // columns * step, left + i % columns * step) for i in chosen]


def grid_step(h: int, w: int, config: Crops) -> int:
    """The largest step, up to the crop's side, of a grid with at least `config.count` places."""
    for step in range(config.size, 0, -1):
        if ((h - config.size) // step + 1) * ((w - config.size) // step + 1) >= config.count:
            return step
    raise ImageError(
        f"a {w}x{h} picture has no {config.count} different places for {config.size}px crops; "
        f"use a larger picture, or fewer crops: --set crops.count={max(1, config.count // 2)}"
    )


def check_size(name: str, h: int, w: int, config: Crops) -> None:
    """Raise `ImageError`, with the remedy, where a picture is too small for crops at any scale of `config`."""
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
