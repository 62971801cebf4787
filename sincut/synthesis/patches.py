"""Patches as short vectors, and the nearest of them.

A patch is the square of `PATCH` px around a pixel. Its descriptor holds its principal components, of which few tell
nearly all (as in Hertzmann et al. 2001, "Image Analogies"), so that squared distances of descriptors are about those of
patches. `level.py` adds a component that says how calm or busy a place is, and a last one, its height in the picture,
which queries may leave out. Descriptors are rows (N, D).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

PATCH = 5  # px, odd
RADIUS = PATCH // 2  # px
COMPONENTS = 20  # principal components of a patch
SAMPLE = 20_000  # patches from which these are found
QUERIES, KEYS = 1024, 4096  # of a block of distances that stays in the processor's caches
BEYOND = 1e30  # squared distance of rows that only fill the last group
GROUP = 64  # keys of which first the least distance alone is found


def principal_components(*pictures: Tensor) -> Tensor:
    """Filters (COMPONENTS, 3, PATCH, PATCH) that give the principal components of the patches of pictures (1, 3, H, W).

    Of several they are those of the patches of all.
    """
    counts = [(x.shape[2] - PATCH + 1) * (x.shape[3] - PATCH + 1) for x in pictures]
    step = max(1, sum(counts) // SAMPLE)
    chosen = torch.cat([_patches(x, torch.arange(0, n, step)) for x, n in zip(pictures, counts, strict=True)])
    centred = chosen - chosen.mean(0)
    vectors = torch.linalg.eigh(centred.T @ centred / len(centred)).eigenvectors[:, -COMPONENTS:]
    signs = vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()  # of a vector eigh leaves it open
    filters: Tensor = (vectors * signs).flip(1).T.reshape(-1, 3, PATCH, PATCH).float()
    return filters.to(pictures[0].device)


def _patches(x: Tensor, index: Tensor) -> Tensor:
    """The patches (N, 3 * PATCH^2) of a picture (1, 3, H, W) of these numbers (N,), row by row, in float64."""
    across, offsets = x.shape[3] - PATCH + 1, torch.arange(PATCH)
    index = index[:, None, None]
    chosen = x[0].cpu()[:, index // across + offsets[:, None], index % across + offsets]  # (3, N, PATCH, PATCH)
    return chosen.transpose(0, 1).flatten(1).double()


def components_of(x: Tensor, filters: Tensor) -> Tensor:
    """The principal components (h*w, D) of all whole patches of a picture (1, 3, h + 2 RADIUS, w + 2 RADIUS)."""
    out = F.conv2d(x.contiguous(memory_format=torch.channels_last), filters)
    return out.permute(0, 2, 3, 1).reshape(-1, len(filters))


def distances(queries: Tensor, keys: Tensor, index: Tensor) -> Tensor:
    """Squared distances (N,) of queries (N, D) to the keys (M, D or more) of an index (N,), by D components."""
    difference = keys[:, : queries.shape[1]].index_select(0, index).sub_(queries)
    return torch.einsum("nd,nd->n", difference, difference)


class Search:
    """Exact nearest neighbours among keys (M, D) by weighted squared distance, weights (M,) being positive."""

    def __init__(self, keys: Tensor, weights: Tensor | None = None) -> None:
        self.count, weight = len(keys), torch.ones_like(keys[:, 0]) if weights is None else weights
        squares = keys.square().sum(1)
        table = torch.cat([-2 * keys * weight[:, None], weight[:, None], (squares * weight)[:, None]], 1)
        rest = -len(table) % GROUP
        table = torch.cat([table, torch.zeros_like(table[:1]).expand(rest, -1)])
        table[self.count :, -1] = BEYOND
        self.groups, self.table = table.view(-1, GROUP, table.shape[1]), table.T.contiguous()

    def __call__(self, queries: Tensor) -> Tensor:
        """The index (N,), int64, of the nearest key of each query (N, D)."""
        most = min(QUERIES, len(queries))
        space, near = queries.new_empty(most, KEYS), queries.new_empty(most, *self.groups.shape[1:])
        nearest = torch.empty(len(queries), dtype=torch.long, device=queries.device)
        for first in range(0, len(queries), QUERIES):
            nearest[first : first + QUERIES] = self._of_block(queries[first : first + QUERIES], space, near)
        return nearest

    def _of_block(self, queries: Tensor, space: Tensor, near: Tensor) -> Tensor:
        ones = torch.ones_like(queries[:, :1])
        asked = torch.cat([queries, queries.square().sum(1, keepdim=True), ones], 1)
        parts = [_product(asked, keys, space).view(len(asked), -1, GROUP).amin(2) for keys in self.table.split(KEYS, 1)]
        group = torch.cat(parts, 1).argmin(1)
        chosen = torch.index_select(self.groups, 0, group, out=near[: len(asked)])
        inside = torch.bmm(chosen, asked[:, :, None])[:, :, 0].argmin(1)
        return (group * GROUP + inside).clamp_(max=self.count - 1)


def least_distances(keys: Tensor, queries: Tensor) -> Tensor:
    """For each key (M, D) the least squared distance (M,) to any query (N, D)."""
    asked = torch.cat([queries, queries.square().sum(1, keepdim=True), torch.ones_like(queries[:, :1])], 1).T
    table = torch.cat([-2 * keys, torch.ones_like(keys[:, :1]), keys.square().sum(1, keepdim=True)], 1)
    asked = asked.contiguous()
    space = keys.new_empty(min(QUERIES, len(table)), KEYS)
    least = [
        torch.stack([_product(block, part, space).amin(1) for part in asked.split(KEYS, 1)]).amin(0)
        for block in table.split(QUERIES)
    ]
    return torch.cat(least).clamp_(min=0)


def _product(left: Tensor, right: Tensor, space: Tensor) -> Tensor:
    """The product of two matrices, in a part of `space`.

    Blocks of this size that are allocated anew each time leave holes, by which the memory of a program grows.
    """
    return torch.mm(left, right, out=space[: len(left), : right.shape[1]])
