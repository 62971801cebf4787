"""PatchNCE: each patch of the output must be recognised as the translation of the input's patch at the same position.

Park et al. 2020, section 3 (https://arxiv.org/abs/2007.15651). Features of G's encoder are taken at several layers, at
the same random positions of output and input, and projected by the heads H. The output's are queries, the input's keys;
a query's own key is its positive, the other keys of the step are its negatives. In the paper's ordinary setting
negatives come from the same image alone; here every crop is of that image, so those of all N crops serve.

Two strategies can be exchanged: which features are the keys (`Keys`), and which of them are negatives (`Negatives`).

N crops, P positions in each; features (N, C, H, W) become rows (N*P, C), and projected rows (N*P, F) of unit length.
"""

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from sincut.method.losses import patch_nce
from sincut.method.term import Ingredients, Part, Progress, Seen, Term
from sincut.nets.generator import Generator
from sincut.nets.heads import Projector


class KeyFeatures(NamedTuple):
    """Encoder features that are keys, (N, C, H, W) of each layer from 0; `mirrored` if those of queries must be too."""

    features: list[Tensor]
    mirrored: bool = False  # True: queries are mirrored left-right before positions are taken


class Keys(Protocol):
    """Strategy that provides the keys of PatchNCE."""

    def __call__(self, inputs: Tensor, features: list[Tensor]) -> KeyFeatures:
        """Keys for G's inputs (N, 3, s, s), whose encoder features the translation has computed already."""


class InputKeys:
    """Keys are the encoder features of G's input, as published. The translation has computed them, so they are free."""

    def __call__(self, inputs: Tensor, features: list[Tensor]) -> KeyFeatures:
        """The features as they are."""
        return KeyFeatures(features)


class FlipEquivariantKeys:
    """FastCUT's flip-equivariance: with probability 1/2, E(flip(x)) are the keys and flip(E(G(x))) the queries.

    So the encoder E must commute with mirroring. The published code mirrors G's input and not the keys
    (https://github.com/taesungp/contrastive-unpaired-translation, option `--flip_equivariance`), which is the same in
    distribution as long as crops are mirrored with probability 1/2 (`crops.flip`).
    """

    def __init__(self, generator: Generator, last: int, random: torch.Generator) -> None:
        """Keys of layers 0..last; `random` decides about mirroring."""
        self.generator, self.last, self.random = generator, last, random

    def __call__(self, inputs: Tensor, features: list[Tensor]) -> KeyFeatures:
        """Features of the inputs as they are, or of the mirrored inputs, which are encoded for it."""
        if float(torch.rand((), generator=self.random)) < 0.5:
            return KeyFeatures(features)
        with torch.no_grad():
            return KeyFeatures(self.generator.encode(inputs.flip(3), self.last), mirrored=True)


class Negatives(Protocol):
    """Strategy that chooses a query's negatives among the keys, and gives the contrastive loss."""

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        """The loss, a scalar, of queries (R, F); the positive of row i is row i of the keys (R, F)."""


class OtherKeys:
    """All other keys are negatives, as published, except those that look like the positive (ours, see `patch_nce`)."""

    def __init__(self, temperature: float, false_negatives: float) -> None:
        self.temperature, self.false_negatives = temperature, false_negatives

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        """`losses.patch_nce` of (R, F) and (R, F)."""
        return patch_nce(query, key, self.temperature, self.false_negatives)


class PatchNce(Term):
    """NCE(x, G(x)), or with `losses.identity` 1/2 (NCE(x, G(x)) + NCE(y, G(y))); each the mean over the layers."""

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
        """The projection heads H."""
        return {"projector": self.projector}

    def parts(self, seen: Seen, progress: Progress) -> list[Part]:
        """The loss `NCE` at new random positions. No gradient flows through keys, neither into G nor into H."""
        losses = self.losses
        inputs, outputs = (seen.inputs, seen.outputs) if losses.identity else (seen.x, seen.fake)
        keys = self.keys(inputs, seen.features)
        queries = self.generator.encode(outputs, self.last)  # no deeper than the last layer used
        queries = [features.flip(3) if keys.mirrored else features for features in queries]
        count, spread = losses.patches, losses.spread
        drawn = [(layer, random_positions(queries[layer], count, spread, self.random)) for layer in losses.layers]
        query = self.projector([rows_at(queries[layer], at) for layer, at in drawn])  # (N*P, F) for each layer
        with torch.no_grad():  # where another term needed G(y), there are features of 2N crops: take those of `inputs`
            key = self.projector([rows_at(keys.features[layer][: len(inputs)], at) for layer, at in drawn])
        pictures = 2 if losses.identity else 1  # patches of x are no negatives of patches of y
        values = [
            self.negatives(query_rows, key_rows)
            for q, k in zip(query, key, strict=True)
            for query_rows, key_rows in zip(q.chunk(pictures), k.chunk(pictures), strict=True)
        ]
        return [Part("NCE", losses.nce, torch.stack(values).mean())]


def random_positions(features: Tensor, count: int, spread: bool, random: torch.Generator) -> Tensor:
    """Up to `count` distinct random positions (P,), the same for all N of (N, C, H, W), as indices into H*W.

    With `spread` (ours) the map is divided into ceil(sqrt(count)) x ceil(sqrt(count)) cells, and each position is drawn
    in a cell of its own; in smaller maps there are fewer cells and positions. `random` is a generator on the CPU.
    """
    h, w = features.shape[2:]
    if not spread:
        return torch.randperm(h * w, generator=random)[:count].to(features.device)
    cells = min(math.ceil(math.sqrt(count)), h, w)  # along each side
    chosen = torch.randperm(cells**2, generator=random)[:count]
    inside = torch.rand(2, len(chosen), generator=random)  # row and column within a cell, in 0..1
    rows = ((chosen // cells + inside[0]) * (h / cells)).long().clamp(max=h - 1)  # a draw of almost 1 rounds up
    columns = ((chosen % cells + inside[1]) * (w / cells)).long().clamp(max=w - 1)
    return (rows * w + columns).to(features.device)


def rows_at(features: Tensor, positions: Tensor) -> Tensor:
    """Features (N, C, H, W) at positions (P,) -> rows (N*P, C), crop by crop."""
    return features.flatten(2)[:, :, positions].mT.flatten(0, 1)
