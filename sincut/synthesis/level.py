"""One level of the synthesis: exemplars at one scale, and the redrawing of a layout of that scale with them.

Distances are squared distances of descriptors, see `patches.py`. Fields and places are explained in `field.py`.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sincut.nets.local import sampled_quantiles
from sincut.synthesis.field import Queries, Source, bands, spread, vote
from sincut.synthesis.patches import (
    PATCH,
    RADIUS,
    Search,
    components_of,
    distances,
    least_distances,
    principal_components,
)
from sincut.synthesis.pyramid import OUTLINE_REACH, SMOOTH_REACH, outlines, smooth

SUBSET = 4096  # places of a larger exemplar that are searched, always the same
EXHAUSTIVE = 20_000  # places of an exemplar that is searched as a whole
SAMPLE = 500  # places whose distance to the nearest of all others is measured
CALM, BUSY = 0.6, 0.9  # quantiles of the exemplar's outlines: a place with weaker ones is calm, with stronger ones busy
CALMEST = 0.4  # the quantile below which the guide makes no difference any more
LEAST_TYPICAL = 1e-3  # squared distance, for an exemplar of one colour
LEAST_STEP = 1e-6  # between calm and busy, for an exemplar without outlines
COMPLETENESS = 0.15  # alpha of GPNN: distance that is added to that of the nearest query
GUIDE = 8.0  # squared distance of a calm place and a busy one, in units of `Level.typical`
HEIGHT = 32.0  # squared distance of the top and the bottom of a picture, in units of `Level.typical`
DILATE = 1  # px around outlines that count as busy
KEEP = 0.5  # share of the pull towards the layout in all rounds but the first
WELL = 0.3  # distance, in units of `Level.typical`, up to which a place is taken without a search
ELSEWHERE = 0.8  # factor by which a place must be nearer that continues nothing of what is around


def heights(rows: int, first: int = 0, last: int | None = None) -> Tensor:
    """Heights (last - first,) of rows first..last of a picture of so many `rows`: 0 is its top, 1 its bottom."""
    return (torch.arange(first, rows if last is None else last) + 0.5) / rows


@dataclass(frozen=True)
class Pull:
    """The strength of the pull towards the layout at one level, and how often patches are matched there."""

    low: tuple[float, float]  # share of the difference to the layout that is made up for below the finest octave
    fine: tuple[float, float]  # the same in the finest octave; each at calm places, and at busy ones
    lost: float  # distance from which a place follows the layout altogether, see `Level._lost`; infinite: none does
    coherence: float  # price of continuing none of the neighbours, in units of `Level.typical`
    rounds: int
    jumps: tuple[int, ...]  # px to the neighbours whose patches are continued, one after the other

    @property
    def reach(self) -> int:
        """Distance in px within which layout and field before influence a place of the field after."""
        matched = RADIUS + max(OUTLINE_REACH + DILATE, SMOOTH_REACH + RADIUS)
        return self.rounds * (matched + sum(jump + 1 for jump in self.jumps))


class Level:
    """Exemplars (1, 3, H, W) in [-1, 1] at one scale, prepared for being drawn from."""

    def __init__(self, *exemplars: Tensor) -> None:
        self.filters = principal_components(*exemplars)
        each = [components_of(F.pad(x, (RADIUS,) * 4, mode="replicate"), self.filters) for x in exemplars]
        strengths = torch.cat([outlines(x).flatten() for x in exemplars])
        self.calmest, self.calm, self.busy = sampled_quantiles(strengths, (CALMEST, CALM, BUSY)).tolist()
        keys = torch.cat(each)
        sample = keys[:: max(1, len(keys) // 4096)]
        some, rest = sample[:: max(1, len(sample) // SAMPLE // 2) * 2], sample[1::2]
        self.typical = float(distances(some, rest, Search(rest)(some)).median()) if len(rest) else 0.0
        self.weight, self.of_height = ((unit * self.typical) ** 0.5 for unit in (GUIDE, HEIGHT))
        guided = [
            torch.cat([own, self._placed(self.guide(x), heights(x.shape[2]).to(x.device))], 1).view(*x.shape[2:], -1)
            for own, x in zip(each, exemplars, strict=True)
        ]
        # Patches that show an exemplar's border would make frames.
        edges = [RADIUS if min(x.shape[2:]) >= 16 * RADIUS else 0 for x in exemplars]
        self.source = Source.of(exemplars, guided, edges)
        self.places = self.source.places()  # those that are searched
        self.searched_whole = len(self.places) <= EXHAUSTIVE
        if not self.searched_whole:
            chosen = torch.randperm(len(self.places), generator=torch.Generator().manual_seed(0))[:SUBSET]
            self.places = self.places[chosen.to(self.places.device)]
        self.searched = self.source.keys[self.places]

    def _placed(self, guide: Tensor, height: Tensor | None) -> Tensor:
        """Components (h*w, 1 or 2) of places: their guide (1, 1, h, w), and if they are known, rows' heights (h,)."""
        known = [self.weight * guide[0, 0]]
        if height is not None:
            known.append(self.of_height * height[:, None].expand_as(known[0]))
        return torch.stack(known, 2).flatten(0, 1)

    def contrast(self, picture: Tensor) -> Tensor:
        """(1, 3, h, w) -> (1, 1, h, w): 0 at calm places, 1 at busy ones, as the exemplar has them."""
        return self._between(outlines(picture), self.calm)

    def guide(self, picture: Tensor) -> Tensor:
        """`contrast` with finer differences among calm places, which is part of the patches."""
        return self._between(outlines(picture), self.calmest)

    def _between(self, strength: Tensor, calm: float) -> Tensor:
        share: Tensor = (strength - calm) / max(self.busy - calm, LEAST_STEP)
        return share.clamp_(0, 1)

    def first(self, layout: Tensor, height: Tensor | None = None) -> Tensor:
        """The field (h, w) of the coarsest layout (1, 3, h, w): nearest patches, with weights for completeness.

        With the `height` (h,) of its rows, see `heights`, patches from about the same height are nearer.
        """
        h, w = layout.shape[2:]
        asked, searched = self._queries(layout, self.guide(layout), height)(0, h), self._searched_by(height)
        return self.places[Search(searched, _completeness(searched, asked))(asked)].view(h, w)

    def refined(self, layout: Tensor, field: Tensor, pull: Pull, counted: bool, height: Tensor | None = None) -> Tensor:
        """A field (h, w) after rounds of voting, pulling towards the layout (1, 3, h, w), and matching.

        If `counted`, how often each place is used plays a part. So layout and field must then be the whole level.
        `height` is as for `first`.
        """
        contrast, guide, searched = self.contrast(layout), self.guide(layout), self._searched_by(height)
        near = F.max_pool2d(contrast, 2 * DILATE + 1, 1, DILATE)
        low, fine = (calm + (busy - calm) * near for calm, busy in (pull.low, pull.fine))
        for number in range(pull.rounds):
            image = vote(self.source, field, RADIUS)
            missing = layout - image
            coarse, kept = smooth(missing), KEEP if number else 1.0
            share = kept * low
            if math.isfinite(pull.lost):
                share = torch.maximum(share, self._lost(coarse, pull.lost))
            image += share * coarse + kept * fine * (missing - coarse)
            asked = self._queries(image, guide, height)
            use = self._overuse(field) if counted else None
            weights = None
            if use is not None and self.searched_whole:
                weights = use[self.places] * _completeness(searched, asked(0, len(field)))
            elif use is not None and not number:
                weights = use[self.places]
            search = None if number and weights is None else Search(searched, weights)
            state = self._searched(search, asked, field, use)
            for jump in pull.jumps:
                state = spread(self.source, asked, state, jump, pull.coherence * self.typical, use)
            field = state[0]
        return field

    def _lost(self, missing: Tensor, bound: float) -> Tensor:
        """Shares (1, 1, h, w), 0 to 1, of what counts as lost where so much of the layout is `missing` (1, 3, h, w).

        A part of the layout of which there is no patch, as an arch in a cliff, is drawn over by what is around it. The
        share is 0 where a patch that differed all over by what is missing would be nearer than `bound`, in units of
        `typical`, and 1 where it would be twice as far.
        """
        distance = PATCH**2 * missing.square().sum(1, keepdim=True)
        return (distance / (bound * max(self.typical, LEAST_TYPICAL)) - 1).clamp_(0, 1)

    def _queries(self, picture: Tensor, guide: Tensor, height: Tensor | None) -> Queries:
        padded = F.pad(picture, (RADIUS,) * 4, mode="replicate")

        def rows(top: int, bottom: int) -> Tensor:
            components = components_of(padded[:, :, top : bottom + 2 * RADIUS], self.filters)
            known = None if height is None else height[top:bottom]
            return torch.cat([components, self._placed(guide[:, :, top:bottom], known)], 1)

        return rows

    def _searched_by(self, height: Tensor | None) -> Tensor:
        """The descriptors (M, D) of the places searched, without the last component, height, where it is not known."""
        return self.searched if height is not None else self.searched[:, :-1]

    def _overuse(self, field: Tensor) -> Tensor:
        """Penalties (N,) of places: 1 for those used as often as the mean or less, 2 for twice as often, and so on.

        Uses are counted in the 5x5 px around. For uniformity, as in Kaspar et al. 2015, "Self tuning texture
        optimization", and StyLit (Fišer et al. 2016).
        """
        width = self.source.width
        counts = torch.bincount(field.flatten(), minlength=len(self.source.keys)).float().view(1, 1, -1, width)
        around = F.avg_pool2d(counts, 5, 1, 2).flatten()
        return (around * (self.source.area / field.numel())).clamp_(min=1)

    def _searched(
        self, search: Search | None, asked: Queries, field: Tensor, use: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Field and distances (h, w), with what a search gives where that is nearer by the factor `ELSEWHERE`."""
        new, distance = torch.empty_like(field), torch.empty(field.shape, device=field.device)
        for top, bottom in bands(field):
            queries, place = asked(top, bottom), field[top:bottom].reshape(-1)
            d = distances(queries, self.source.keys, place)
            if search is not None:
                price = d if use is None else d * use[place]
                asking = (price > WELL * self.typical).nonzero()[:, 0]  # others fit well already
                queries, price = queries[asking], price[asking]
                other = self.places[search(queries)]
                there = distances(queries, self.source.keys, other)
                better = (there if use is None else there * use[other]) < ELSEWHERE * price
                place, d = (
                    place.index_put((asking[better],), other[better]),
                    d.index_put((asking[better],), there[better]),
                )
            new[top:bottom], distance[top:bottom] = place.view(bottom - top, -1), d.view(bottom - top, -1)
        return new, distance


def _completeness(searched: Tensor, asked: Tensor) -> Tensor:
    """Weights (M,) of distances to the places searched (M, D): 1 / (`COMPLETENESS` + that to the nearest query).

    So places that all queries (N, D) are far from are favoured. Without them the flattest patches, which are near to
    everything, win everywhere (Granot et al. 2022, "Drop the GAN").
    """
    return 1 / (COMPLETENESS + least_distances(searched, asked))
