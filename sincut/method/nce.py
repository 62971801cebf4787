"""PatchNCE: each patch of the output must be recognised as the translation of the input's patch at the same position.

Park et al. 2020, section 3 (https://arxiv.org/abs/2007.15651). Features of G's encoder are taken at several layers, at
the same random positions of output and input, and projected by the heads H. The output's are queries, the input's keys;
a query's own key is its positive, the other keys of the step are its negatives. In the paper's ordinary setting
negatives come from the same image alone; here every crop is of that image, so those of all N crops serve.

Three strategies can be exchanged: how the output is encoded (`Queries`), which features are the keys (`Keys`), and
which of them are negatives (`Negatives`). Those of the memory bank are in `bank.py`.

N crops, P positions in each; features (N, C, H, W) become rows (N*P, C), and projected rows (N*P, F) of unit length.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from sincut.config.sections import Losses
from sincut.method.losses import patch_nce, patch_nce_against
from sincut.method.term import Ingredients, Part, Progress, Seen, Term
from sincut.nets.encoder import Encoder
from sincut.nets.generator import Generator
from sincut.nets.heads import Projector

Encode = Callable[[Tensor, int], list[Tensor]]  # features of layers 0..last of (N, 3, H, W), see `Generator.encode`
Stored = Callable[[int], Tensor]  # keys (M, F) of earlier steps, of one slot (a layer of one picture)


class Queries(Protocol):
    """Strategy that provides the features of PatchNCE's queries."""

    def __call__(self, outputs: Tensor, last: int) -> list[Tensor]:
        """Features of layers 0..last of G's outputs (N, 3, s, s)."""


class OutputQueries:
    """Queries are the features of G's output, as published, by G's own encoder or by another one."""

    def __init__(self, encode: Encode) -> None:
        self.encode = encode

    def __call__(self, outputs: Tensor, last: int) -> list[Tensor]:
        """The features; their gradient reaches the encoder and, through the output, all of G."""
        return self.encode(outputs, last)


class DetachedQueries:
    """The same features, whose gradient stops at the output: the encoder learns from PatchNCE, G's decoder does not."""

    def __init__(self, encode: Encode) -> None:
        self.encode = encode

    def __call__(self, outputs: Tensor, last: int) -> list[Tensor]:
        """The features of the outputs, taken as constant pictures."""
        return self.encode(outputs.detach(), last)


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

    def __init__(
        self, encoder: Generator | Encoder, last: int, random: torch.Generator, plain: Keys | None = None
    ) -> None:
        """Keys of layers 0..last by `encoder`; `random` decides about mirroring, and `plain` has those not mirrored."""
        self.encoder, self.last, self.random, self.plain = encoder, last, random, plain or InputKeys()

    def __call__(self, inputs: Tensor, features: list[Tensor]) -> KeyFeatures:
        """Features of the inputs as they are, or of the mirrored inputs, which are encoded for it."""
        if float(torch.rand((), generator=self.random)) < 0.5:
            return self.plain(inputs, features)
        with torch.no_grad():
            return KeyFeatures(self.encoder.encode(inputs.flip(3), self.last), mirrored=True)


class Negatives(Protocol):
    """Strategy that chooses a query's negatives among the keys, and gives the contrastive loss."""

    def __call__(self, query: Tensor, key: Tensor, slot: int) -> Tensor:
        """The loss, a scalar, of queries (R, F); the positive of row i is row i of the keys (R, F).

        `slot` numbers the layers of the pictures: layer by layer, and in each the source before the target.
        """


class OtherKeys:
    """All other keys are negatives, as published, except those that look like the positive (ours, see `patch_nce`).

    With `bank`, so are the keys of earlier steps that it has.
    """

    def __init__(self, temperature: float, false_negatives: float, bank: Stored | None = None) -> None:
        self.temperature, self.false_negatives, self.bank = temperature, false_negatives, bank

    def __call__(self, query: Tensor, key: Tensor, slot: int = 0) -> Tensor:
        """`losses.patch_nce` of (R, F) and (R, F)."""
        more = self.bank(slot) if self.bank else None
        return patch_nce(query, key, self.temperature, self.false_negatives, more)


class FewKeys:
    """At most `losses.most_negatives` negatives for each query, random ones of those that it would have.

    Those are the other keys of the step if `internal`, and the keys of earlier steps that `bank` has.
    """

    def __init__(self, losses: Losses, random: torch.Generator, internal: bool = True, bank: Stored | None = None):
        self.losses, self.random, self.internal, self.bank = losses, random, internal, bank

    def __call__(self, query: Tensor, key: Tensor, slot: int = 0) -> Tensor:
        """`losses.patch_nce_against` keys that are drawn for each row of (R, F); all where there are no more."""
        losses, rows = self.losses, torch.arange(len(query), device=query.device)[:, None]
        pool = torch.cat([*[key] * self.internal, *([self.bank(slot)] if self.bank else [])])
        available = len(pool) - self.internal
        chosen = random_choices(len(query), min(losses.most_negatives, available), available, self.random).to(rows)
        if self.internal:
            chosen = chosen + (chosen >= rows)  # its own key is no negative
        return patch_nce_against(query, key, pool[chosen], losses.temperature, losses.false_negatives)


class PatchNce(Term):
    """NCE(x, G(x)), or with `losses.identity` 1/2 (NCE(x, G(x)) + NCE(y, G(y))); each the mean over the layers."""

    def __init__(self, ingredients: Ingredients) -> None:
        config, self.generator, self.random = ingredients
        self.losses = losses = config.losses
        self.needs_same = losses.identity
        self.last = max(losses.layers)
        self.pictures = 2 if losses.identity else 1  # patches of x are no negatives of patches of y
        self.projector = self.key_projector = Projector(config.networks, losses.layers)
        separate = config.networks.encoders == "separate"
        self.query_encoder = Encoder.like(self.generator) if separate else None
        encode = (self.query_encoder or self.generator).encode
        self.queries: Queries = (OutputQueries if losses.nce_updates == "all" else DetachedQueries)(encode)
        self.keys: Keys = InputKeys()
        if losses.flip_equivariance:
            self.keys = FlipEquivariantKeys(self.generator, self.last, self.random)
        self.negatives: Negatives = OtherKeys(losses.temperature, losses.false_negatives)
        if losses.most_negatives:
            self.negatives = FewKeys(losses, self.random)
        self.repeats = type(self) is PatchNce and not (losses.flip_equivariance or losses.most_negatives)

    def networks(self) -> dict[str, nn.Module]:
        """The projection heads H, and the encoder of the queries, if it is not G's."""
        own = {"query_encoder": self.query_encoder} if self.query_encoder is not None else {}
        return {"projector": self.projector, **own}

    def parts(self, seen: Seen, progress: Progress) -> list[Part]:
        """The loss `NCE` at new random positions. No gradient flows through keys, neither into G nor into H."""
        losses = self.losses
        inputs, outputs = (seen.inputs, seen.outputs) if losses.identity else (seen.x, seen.fake)
        keys = self.keys(inputs, seen.features)
        queries = self.queries(outputs, self.last)  # no deeper than the last layer used
        queries = [features.flip(3) if keys.mirrored else features for features in queries]
        drawn = [(layer, self._positions(queries[layer])) for layer in losses.layers]
        query = self.projector([rows_at(queries[layer], at) for layer, at in drawn])  # (N*P, F) for each layer
        with torch.no_grad():  # where another term needed G(y), there are features of 2N crops: take those of `inputs`
            key = self.key_projector([rows_at(keys.features[layer][: len(inputs)], at) for layer, at in drawn])
        slots = zip(self._slots(query), self._slots(key), strict=True)
        values = [self.contrast(query_rows, key_rows, slot) for slot, (query_rows, key_rows) in enumerate(slots)]
        return [Part("NCE", losses.nce, torch.stack(values).mean())]

    def _positions(self, features: Tensor) -> Tensor:
        """Random positions (P,) in features (N, C, H, W), on their device."""
        size, losses = features.shape[2:], self.losses
        return self.draws(lambda _: random_positions(size, losses.patches, losses.spread, self.random), features.device)

    def contrast(self, query: Tensor, key: Tensor, slot: int) -> Tensor:
        """The loss of one slot, a layer of one picture: a scalar, of queries and keys (R, F)."""
        return self.negatives(query, key, slot)

    def _slots(self, layers: list[Tensor]) -> list[Tensor]:
        """Rows of each layer, those of x and, with `losses.identity`, those of y apart."""
        return [rows for layer in layers for rows in layer.chunk(self.pictures)]


def random_positions(size: Sequence[int], count: int, spread: bool, random: torch.Generator) -> Tensor:
    """Up to `count` distinct random positions (P,) in maps of `size` (H, W), as indices into H*W.

    With `spread` (ours) the map is divided into ceil(sqrt(count)) x ceil(sqrt(count)) cells, and each position is drawn
    in a cell of its own; in smaller maps there are fewer cells and positions. `random` is a generator on the CPU.
    """
    h, w = size
    if not spread:
        return torch.randperm(h * w, generator=random)[:count]
    cells = min(math.ceil(math.sqrt(count)), h, w)  # along each side
    chosen = torch.randperm(cells**2, generator=random)[:count]
    inside = torch.rand(2, len(chosen), generator=random)  # row and column within a cell, in 0..1
    rows = ((chosen // cells + inside[0]) * (h / cells)).long().clamp(max=h - 1)  # a draw of almost 1 rounds up
    columns = ((chosen % cells + inside[1]) * (w / cells)).long().clamp(max=w - 1)
    return rows * w + columns


def rows_at(features: Tensor, positions: Tensor) -> Tensor:
    """Features (N, C, H, W) at positions (P,) -> rows (N*P, C), crop by crop."""
    return features.flatten(2)[:, :, positions].mT.flatten(0, 1)


def random_choices(rows: int, count: int, of: int, random: torch.Generator) -> Tensor:
    """For each row `count` distinct numbers of 0..of-1, each set as likely as any other: (rows, count).

    By R. Floyd's algorithm (Bentley and Floyd 1987, "A sample of brilliance", Communications of the ACM 30:9), for all
    rows at once. Nothing is drawn where all numbers are chosen. `random` is a generator on the CPU.
    """
    if count >= of:
        return torch.arange(of).expand(rows, of)
    chosen = torch.empty(rows, 0, dtype=torch.long)
    for last in range(of - count, of):
        drawn = torch.randint(last + 1, (rows, 1), generator=random)
        taken = (chosen == drawn).any(1, keepdim=True)
        chosen = torch.cat([chosen, torch.where(taken, last, drawn)], dim=1)
    return chosen
