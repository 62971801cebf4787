"""By-example noise: the fine detail of the target's materials, spread without end, for G to mix into its output (ours).

A material is a colour of the target with the detail it has there: sky, rock, grass, or the strokes by which each is
painted. Detail is what a blur of `FINE` px takes away. Pixels are clustered by their colour and the strength of their
detail, so that a lit rock is none of the haze of its colour. Of each cluster some patches of detail are kept, from
places whose surroundings belong to it. As in hexagonal tiling (Heitz and Neyret 2018, "High-Performance By-Example
Noise using a Histogram-Preserving Blending Operator"; Mikkelsen 2022, "Practical Real-Time Hex-Tiling", JCGT 11-3),
each vertex of a triangular grid over the plane gets one of the patches, and a pixel blends those of the three vertices
around it, with weights that keep the variance. A hash of the vertex alone says which patch it gets, so that a tile has
the detail of the whole picture.

Detail is in the units of pictures in [-1, 1]. There are K materials.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sincut.nets.local import blurred
from sincut.nets.noise import uniform_at
from sincut.nets.pooled import Pool

FINE = 4.0  # px: sigma of the blur that detail is finer than
SIDE = 40  # px of a side of the triangles
ROW = SIDE * math.sqrt(3) / 2  # px between rows of vertices
PATCH = 2 * SIDE  # px of a side of the patches, which reach from a vertex to its neighbours
PATCHES = 16  # kept of each material
SHARPNESS = 2.0  # power of the barycentric weights, by which patches keep more of their middle to themselves
GRID = 8  # px between the places that patches are chosen from
PURE = 0.85  # least purity of the places that patches are chosen from, as a share of the purest one's
CHOICE = 48  # of these, at least so many: the purest
FAINTEST = 1e-6  # variance of detail below which places count as equally strong
ROUNDS, BEGINNINGS = 20, 4  # of k-means
AROUND = 8.0  # px: sigma of the blur of squared detail that tells its strength at a pixel
STRENGTH = 0.3  # distance of colours in [-1, 1] for which detail that is e times as strong counts
SAMPLE = 4000  # pixels, at most about, that k-means sees
SEED = 7  # of the hash


class Materials(nn.Module):
    """The colour and the patches of detail of K materials; all 0 until `take` has seen the target."""

    patches: Tensor  # (PATCHES, PATCH, PATCH, 3 K), float16
    colours: Tensor  # (K, 3)

    def __init__(self, count: int) -> None:
        super().__init__()
        self.register_buffer("patches", torch.zeros(PATCHES, PATCH, PATCH, 3 * count, dtype=torch.float16))
        self.register_buffer("colours", torch.zeros(count, 3))

    @property
    def channels(self) -> int:
        """Channels of `at`: 3, RGB, of each material."""
        return 3 * len(self.colours)

    def take(self, target: Pool) -> None:
        """Choose the colours and the patches from the pictures of a target."""
        pictures = [_at_least(picture.float().cpu(), PATCH + GRID) for picture in target.pictures]
        coarse = [blurred(picture, FINE) for picture in pictures]
        squared = [(picture - blur).square().mean(1) for picture, blur in zip(pictures, coarse, strict=True)]
        variances = [blurred(each[None], AROUND).clamp(min=FAINTEST) for each in squared]
        looks = [torch.cat([c, STRENGTH * v.log() / 2], dim=1) for c, v in zip(coarse, variances, strict=True)]
        means = _means(looks, variances, len(self.colours))
        self.colours.copy_(means[:, :3])
        places, purities, strengths, peaks = [], [], [], []
        for number, look in enumerate(looks):
            nearest = torch.cdist(look[0].flatten(1).T, means).argmin(1).view(look.shape[2:])
            is_of = F.one_hot(nearest, len(means)).permute(2, 0, 1).float()
            purity = F.avg_pool2d(F.avg_pool2d(is_of, GRID), PATCH // GRID, 1)  # (K, rows, columns), `GRID` px apart
            rows, columns = (torch.arange(side) * GRID for side in purity.shape[1:])
            places += [(number, int(top), int(left)) for top in rows for left in columns]
            purities.append(purity.flatten(1))
            cells = F.avg_pool2d(squared[number], GRID)
            strengths.append(F.avg_pool2d(cells, PATCH // GRID, 1).flatten())
            peaks.append(F.max_pool2d(cells, PATCH // GRID, 1).flatten())
        strength, peak = torch.cat(strengths), torch.cat(peaks)
        for material, purity in enumerate(torch.cat(purities, dim=1)):
            for patch, index in enumerate(_spread(_usual(purity, strength, peak), places)):
                number, top, left = places[index]
                part = (0, slice(None), slice(top, top + PATCH), slice(left, left + PATCH))
                detail = (pictures[number][part] - coarse[number][part]).permute(1, 2, 0)
                self.patches[patch, :, :, 3 * material : 3 * material + 3] = detail

    def at(self, rows: Tensor, columns: Tensor) -> Tensor:
        """The detail (N, 3 K, H, W) of all materials at absolute positions (N, H), (N, W), which may be negative.

        It is on the device of the positions.
        """
        patches = self.patches.to(rows.device).flatten(0, 2).float()
        rows, columns = rows[:, :, None], columns[:, None]
        down, across = rows / ROW, columns / SIDE  # in units of the grid, whose axes are at 60 degrees
        x, y = across - down / 2, down.expand(-1, -1, columns.shape[2])
        i, j = x.floor(), y.floor()
        a, b = x - i, y - j
        upper = (a + b > 1).to(a.dtype)  # the other of a cell's two triangles
        places, weights = [], []
        for right, below, weight in (
            (upper, upper, (1 - a - b).abs()),
            (1 - upper, 0 * upper, torch.lerp(a, 1 - b, upper)),
            (0 * upper, 1 - upper, torch.lerp(b, 1 - a, upper)),
        ):
            column, row = i + right, j + below
            patch = (uniform_at(row.long(), column.long(), SEED) * PATCHES).long().clamp(0, PATCHES - 1)
            top = rows - (row * ROW).round().long() + SIDE
            left = columns - ((column + row / 2) * SIDE).round().long() + SIDE
            places.append((patch * PATCH + top.clamp(0, PATCH - 1)) * PATCH + left.clamp(0, PATCH - 1))
            weights.append(weight)
        shares = F.normalize(torch.stack(weights, 3).pow(SHARPNESS), dim=3)  # keeps the variance of patches
        return _blended(patches, torch.stack(places, 3), shares.float()).permute(0, 3, 1, 2)


def _blended(patches: Tensor, places: Tensor, shares: Tensor) -> Tensor:
    """Sums (N, H, W, C) of rows of (P, C) at places (N, H, W, 3), weighted by shares of that shape."""
    if torch.compiler.is_compiling():  # as an ONNX file wants it
        return (shares[..., None] * patches[places]).sum(3)
    rows, weights = places.flatten(0, 2), shares.flatten(0, 2)
    sums: Tensor = F.embedding_bag(rows, patches, per_sample_weights=weights, mode="sum")
    return sums.view(*places.shape[:3], -1)


def _means(looks: list[Tensor], variances: list[Tensor], count: int) -> Tensor:
    """Means (count, C) of pictures (1, C, H, W) with detail of these variances (1, 1, H, W), by weighted k-means.

    A pixel weighs the square root of its detail's amplitude: of a calm sky all colours have the same detail, next to
    none. The best of a few beginnings by k-means++ is taken (Arthur and Vassilvitskii 2007).
    """
    pixels = torch.cat([look[0].flatten(1).T for look in looks])
    weights = torch.cat([variance.pow(0.25).flatten() for variance in variances])
    every, random = 1 + len(pixels) // SAMPLE, torch.Generator().manual_seed(0)
    pixels, weights = pixels[::every], weights[::every]
    tried = [_k_means(pixels, weights, count, random) for _ in range(BEGINNINGS)]
    return min(tried, key=lambda means: float(_apart(pixels, weights, means).sum()))


def _k_means(pixels: Tensor, weights: Tensor, count: int, random: torch.Generator) -> Tensor:
    """K-means (count, C) of pixels (P, C) with weights (P,), from places on that k-means++ draws."""
    means = pixels[torch.multinomial(weights, 1, generator=random)]
    for _ in range(count - 1):
        chances = _apart(pixels, weights, means) + FAINTEST * weights  # of an even picture all are as likely
        means = torch.cat([means, pixels[torch.multinomial(chances, 1, generator=random)]])
    for _ in range(ROUNDS):
        is_of = F.one_hot(torch.cdist(pixels, means).argmin(1), count) * weights[:, None]
        members = is_of.sum(0)[:, None]
        means = torch.where(members > 0, is_of.T @ pixels / members.clamp(min=FAINTEST), means)
    return means


def _apart(pixels: Tensor, weights: Tensor, means: Tensor) -> Tensor:
    """Weighted squares (P,) of the distances of pixels (P, C) to the nearest of K means (K, C)."""
    return torch.cdist(pixels, means).amin(1).square() * weights


def _usual(purity: Tensor, strength: Tensor, peak: Tensor) -> list[int]:
    """Numbers of the purest places, those first whose detail is even, and as strong as is usual among them; half.

    A few places have the material's colour and another one's detail, as surf in front of rocks: they would show as
    specks. Some have a single thing, such as a boat: it would be seen to come again and again. Purities, the variances
    of the detail, `strength`, and their `peak` in a small part, are (P,).
    """
    order = purity.argsort(descending=True, stable=True)
    pure = order[: max(CHOICE, int((purity >= PURE * purity.max()).sum()))]
    strengths = strength[pure].clamp(min=FAINTEST)
    unusual = (strengths / strengths.median()).log().abs() + (peak[pure].clamp(min=FAINTEST) / strengths).log()
    return [int(index) for index in pure[unusual.argsort(stable=True)[: -(-len(pure) // 2)]]]


def _spread(chosen_from: list[int], places: list[tuple[int, int, int]]) -> list[int]:
    """`PATCHES` numbers of places, early ones of a list first, as far from each other as is possible.

    A place is the number of a picture, the top and the left of a patch.
    """
    for apart in (PATCH // 2, PATCH // 4, GRID):
        chosen: list[int] = []
        for index in chosen_from:
            number, top, left = places[index]
            others = [places[other][1:] for other in chosen if places[other][0] == number]
            if all(max(abs(top - y), abs(left - x)) >= apart for y, x in others):
                chosen.append(index)
            if len(chosen) == PATCHES:
                return chosen
    return (chosen_from * PATCHES)[:PATCHES]


def _at_least(picture: Tensor, side: int) -> Tensor:
    """(1, 3, H, W), scaled up if one of its sides is shorter than this, in px."""
    factor = side / min(picture.shape[2:])
    size = [math.ceil(length * factor) for length in picture.shape[2:]]
    return picture if factor <= 1 else F.interpolate(picture, size, mode="bilinear")
