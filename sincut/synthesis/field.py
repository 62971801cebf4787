"""Nearest-neighbour fields: for each pixel of a picture the place in the exemplar that it is drawn from.

A field (h, w) is int32 and holds indices of rows of a `Source`, which is an exemplar with a margin around it, laid out
row by row. So a place dy rows and dx columns further on has an index greater by dy * width + dx, also where it lies in
the margin, whose patches are far from all others and are never chosen.

Several exemplars stand in one source, one below the other, with margins between: so a place of any of them is one
index, they are searched together, and each place of a drawing is taken from the one that fits best. No patch straddles
two of them, and what continues a neighbour's patch stays in its exemplar. Nothing else of the synthesis knows of them.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from sincut.synthesis.patches import distances

MARGIN = 5  # px around an exemplar: no candidate is further away than that
FAR = 1e3  # components of the patches there, in units of [-1, 1]
BAND = 1 << 17  # px that are worked on at once, so that what is needed for them stays in the processor's caches
AROUND = ((-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1))
BESIDE = ((-1, 0), (1, 0), (0, -1), (0, 1))

Queries = Callable[[int, int], Tensor]  # descriptors (h' * w, D) of the rows top..bottom


@dataclass(frozen=True)
class Source:
    """Exemplars (1, 3, H, W) with margins: `colours` (N, 4), the last being 1 inside, and descriptors `keys` (N, D)."""

    width: int  # of the widest exemplar with its margin
    tops: tuple[int, ...]  # the first row of each exemplar
    area: int  # px of all exemplars
    colours: Tensor
    keys: Tensor

    @classmethod
    def of(cls, exemplars: Sequence[Tensor], keys: Sequence[Tensor], edges: Sequence[int]) -> "Source":
        """The source of exemplars with the descriptors (H, W, D) of their pixels, of which `edges` px are left out."""
        sizes = [(exemplar.shape[2], exemplar.shape[3]) for exemplar in exemplars]
        tops = tuple(accumulate((h + MARGIN for h, _ in sizes[:-1]), initial=MARGIN))
        height, width = tops[-1] + sizes[-1][0] + MARGIN, max(w for _, w in sizes) + 2 * MARGIN
        colours = exemplars[0].new_zeros(height, width, 4)
        all_keys = keys[0].new_full((height, width, keys[0].shape[-1]), FAR)
        for exemplar, own, edge, top, (h, w) in zip(exemplars, keys, edges, tops, sizes, strict=True):
            colours[top : top + h, MARGIN : MARGIN + w, :3] = exemplar[0].permute(1, 2, 0)
            colours[top : top + h, MARGIN : MARGIN + w, 3] = 1
            inner = own[edge : h - edge, edge : w - edge]
            all_keys[top + edge : top + h - edge, MARGIN + edge : MARGIN + w - edge] = inner
        area = sum(h * w for h, w in sizes)
        return cls(width, tops, area, colours.view(-1, 4), all_keys.view(-1, all_keys.shape[-1]))

    def places(self) -> Tensor:
        """Indices (M,), int32, of all places that may be drawn from."""
        return (self.keys[:, 0] != FAR).nonzero()[:, 0].int()


class Shifted:
    """The candidates of coherence: for each pixel of a field, the places that continue its neighbours' patches."""

    def __init__(self, field: Tensor, reach: int, width: int) -> None:
        h, w = field.shape
        rows, columns = (torch.arange(-reach, n + reach, device=field.device) for n in (h, w))
        inside, across = rows.clamp(0, h - 1), columns.clamp(0, w - 1)
        beyond = (rows - inside)[:, None] * width + (columns - across)  # the outermost patches go on outside
        self.padded = field[inside][:, across] + beyond.int()
        self.reach, self.width, self.columns = reach, width, w

    def __call__(self, top: int, bottom: int, dy: int, dx: int) -> Tensor:
        """The places (bottom - top, w) at which pixels continue the patch of their neighbour at (dy, dx)."""
        rows = self.padded[self.reach + top + dy : self.reach + bottom + dy]
        return rows[:, self.reach + dx : self.reach + dx + self.columns] - (dy * self.width + dx)


def bands(field: Tensor) -> Iterator[tuple[int, int]]:
    """Top and bottom of bands of about `BAND` px."""
    h, w = field.shape
    step = max(1, BAND // w)
    return ((top, min(top + step, h)) for top in range(0, h, step))


def doubled(field: Tensor, coarse: Source, fine: Source) -> Tensor:
    """A field (h, w) of a level -> that of the next finer one (2h, 2w): the places of the finer exemplars below.

    The exemplars of the coarse source are the first ones of the fine source.
    """
    rows, columns = field // coarse.width, field % coarse.width - MARGIN
    shifts = [finer - 2 * top for finer, top in zip(fine.tops, coarse.tops, strict=False)]
    down: Tensor | int = shifts[0]
    if len(shifts) > 1:
        number = torch.bucketize(rows, rows.new_tensor(coarse.tops[1:]), right=True)
        down = rows.new_tensor(shifts)[number]
    first = (2 * rows + down) * fine.width + 2 * columns + MARGIN
    finer = first.repeat_interleave(2, 0).repeat_interleave(2, 1)
    finer[1::2] += fine.width
    finer[:, 1::2] += 1
    return finer


def vote(source: Source, field: Tensor, radius: int) -> Tensor:
    """The picture (1, 3, h, w) of a field: at each pixel the weighted mean of all patches that cover it.

    Weights fall off with the distance from a patch's centre (Kwatra et al. 2005, "Texture optimization").
    """
    h, w = field.shape
    shifted, out = Shifted(field, radius, source.width), source.colours.new_empty(h, w, 3)
    spread = 2 * (0.5 + radius / 2) ** 2
    for top, bottom in bands(field):
        total = source.colours.new_zeros((bottom - top) * w, 4)
        for dy in range(-radius, radius + 1):
            for dx in range(-radius, radius + 1):
                place = shifted(top, bottom, dy, dx).reshape(-1)
                total.add_(source.colours.index_select(0, place), alpha=math.exp(-(dy * dy + dx * dx) / spread))
        out[top:bottom] = (total[:, :3] / total[:, 3:]).view(bottom - top, w, 3)
    return out.permute(2, 0, 1)[None]


def spread(
    source: Source, queries: Queries, state: tuple[Tensor, Tensor], jump: int, coherence: float, use: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Field and squared distances, both (h, w), after each pixel was offered four candidates.

    These continue the patches of its neighbours `jump` px above, below, left and right (Ashikhmin 2001, "Synthesizing
    natural textures"; further neighbours: Tong et al. 2002, k-coherence). A candidate wins if its distance, plus
    `coherence` times the share of the eight neighbours that do not continue it, is less than the same for the present
    place; both times `use` (N,) at the place, a penalty for places used too often.
    """
    field, distance = state
    w, shifted = field.shape[1], Shifted(field, jump + 1, source.width)
    new, new_distance = torch.empty_like(field), torch.empty_like(distance)
    for top, bottom in bands(field):
        asked = queries(top, bottom)
        around = [shifted(top, bottom, dy, dx) for dy, dx in AROUND]

        def score(place: Tensor, d: Tensor, around: list[Tensor] = around) -> Tensor:
            agreeing = torch.zeros_like(d)
            for other in around:
                agreeing += other == place
            total = d + coherence * (1 - agreeing / len(AROUND))
            return total if use is None else total * use.index_select(0, place.reshape(-1)).view_as(total)

        best, d = field[top:bottom], distance[top:bottom]
        least = score(best, d)
        for dy, dx in BESIDE:
            place = shifted(top, bottom, dy * jump, dx * jump)
            here = distances(asked, source.keys, place.reshape(-1)).view(-1, w)
            total = score(place, here)
            better = total < least
            best, d = torch.where(better, place, best), torch.where(better, here, d)
            least = torch.minimum(total, least)
        new[top:bottom], new_distance[top:bottom] = best, d
    return new, new_distance
