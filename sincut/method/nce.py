"""PatchNCE: a patch of the output must be recognised as the translation of the patch at its place of the input.

Park et al. 2020, section 3 (https://arxiv.org/abs/2007.15651). Features of G's encoder at several layers are compared
at the same random positions of input and output: the output's are the queries, the input's the keys. Two strategies
can be exchanged: which features the keys are (`Keys`), and which other keys are a query's negatives (`Negatives`).

N crops, P positions in each, features (N, C, H, W), projected rows (N*P, F) of unit length.
"""

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from sincut.method.losses import patch_nce
from sincut.method.term import Ingredients, Part, Progress, Seen, Term
from sincut.nets.generator import Generator
from sincut.nets.heads import Projector


class Keyed(NamedTuple):
    """Features of the keys by layer, and whether those of the queries are to be mirrored to lie as they do."""

    features: list[Tensor]
    mirrored: bool = False


class Keys(Protocol):
    """Where keys come from."""

    def __call__(self, given: Tensor, features: list[Tensor]) -> Keyed:
        """Keys for the input (N, 3, s, s) of G, whose features translating has computed already."""


class InputKeys:
    """Keys are the features of G's input, as published: no work, since translating has computed them."""

    def __call__(self, given: Tensor, features: list[Tensor]) -> Keyed:
        return Keyed(features)


class FlipEquivariantKeys:
    """FastCUT's flip-equivariance: with a chance of 1/2, G must do to a mirrored picture what it does to the picture.

    Keys are then features of the mirrored input, and features of the output are mirrored before they are compared
    (Park et al. 2020, https://github.com/taesungp/contrastive-unpaired-translation, option `--flip_equivariance`).
    """

    def __init__(self, generator: Generator, last: int, random: torch.Generator) -> None:
        self.generator, self.last, self.random = generator, last, random

    def __call__(self, given: Tensor, features: list[Tensor]) -> Keyed:
        if float(torch.rand((), generator=self.random)) < 0.5:
            return Keyed(features)
        with torch.no_grad():
            return Keyed(self.generator.encode(given.flip(3), self.last), mirrored=True)


class Negatives(Protocol):
    """Which keys a query must not be taken for."""

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        """The contrastive loss, a scalar, of queries (P, F) whose own keys are the rows of `key` (P, F)."""


class OtherKeys:
    """All other keys of the step are negatives, but for those that show the same thing as the query's own key."""

    def __init__(self, temperature: float, false_negatives: float) -> None:
        self.temperature, self.false_negatives = temperature, false_negatives

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        return patch_nce(query, key, self.temperature, self.false_negatives)


class PatchNce(Term):
    """The multi-layer PatchNCE loss, the mean over layers (and, with `losses.identity`, over both pictures)."""

    def __init__(self, ingredients: Ingredients) -> None:
        config, self.generator, self.random = ingredients
        self.losses = losses = config.losses
        self.needs_same = losses.identity
        self.last = max(losses.layers)
        self.projector = Projector(config.networks, losses.layers)
        self.keys: Keys = InputKeys()
        if losses.flip_equivariance:
            self.keys = FlipEquivariantKeys(self.generator, self.last, self.random)
        self.negatives: Negatives = OtherKeys(losses.temperature, losses.false_negatives)

    def networks(self) -> dict[str, nn.Module]:
        return {"projector": self.projector}

    def parts(self, seen: Seen, progress: Progress) -> list[Part]:
        losses = self.losses
        given, out = (seen.given, seen.out) if losses.identity else (seen.x, seen.fake)
        keys = self.keys(given, seen.features)
        queries = self.generator.encode(out, self.last)  # no deeper than the last layer used
        queries = [features.flip(3) if keys.mirrored else features for features in queries]
        places = [positions(queries[layer], losses.patches, losses.spread, self.random) for layer in losses.layers]
        chosen = list(zip(losses.layers, places, strict=True))
        query = self.projector([at(queries[layer], p) for layer, p in chosen])  # a (N*P, F) for each layer
        with torch.no_grad():
            key = self.projector([at(keys.features[layer][: len(out)], p) for layer, p in chosen])
        pictures = 2 if losses.identity else 1  # the negatives of a patch are of its own picture
        values = [
            self.negatives(q_part, k_part)
            for q, k in zip(query, key, strict=True)
            for q_part, k_part in zip(q.chunk(pictures), k.chunk(pictures), strict=True)
        ]
        return [Part("NCE", losses.nce, torch.stack(values).mean())]


def positions(features: Tensor, count: int, spread: bool, generator: torch.Generator) -> Tensor:
    """Up to `count` distinct random positions (P,) in the maps of (N, C, H, W), the same for all N.

    With `spread`, one in each of `count` cells of a grid (drawn among the cells where `count` is no square number).
    """
    h, w = features.shape[2:]
    if not spread:
        return torch.randperm(h * w, generator=generator)[:count].to(features.device)
    cells = min(math.ceil(math.sqrt(count)), h, w)
    chosen = torch.randperm(cells**2, generator=generator)[:count]
    inside = torch.rand(2, len(chosen), generator=generator)
    rows = ((chosen // cells + inside[0]) * (h / cells)).long().clamp(max=h - 1)  # a draw of almost 1 rounds up
    columns = ((chosen % cells + inside[1]) * (w / cells)).long().clamp(max=w - 1)
    return (rows * w + columns).to(features.device)


def at(features: Tensor, places: Tensor) -> Tensor:
    """(N, C, H, W) at (P,) positions -> rows (N*P, C)."""
    return features.flatten(2)[:, :, places].mT.flatten(0, 1)
