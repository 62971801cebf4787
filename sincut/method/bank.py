"""External negatives of PatchNCE: a memory bank of keys of earlier steps, encoded by a momentum encoder.

A variant that Park et al. 2020 compare with negatives of the same step (https://arxiv.org/abs/2007.15651, section 4.2),
after MoCo (He et al. 2020, https://arxiv.org/abs/1911.05722, section 3.2). Keys, positives too, are encoded and
projected by slowly moving averages of G's encoder and of H, so that keys of different steps fit together; after each
step some of its keys take the place of the oldest in the bank. Until the bank is full, the keys that are there count:
in the first step there is none, and with `external` alone the loss is 0.

Each slot, a layer of one picture, has a queue of its own: patches of x are no negatives of patches of y.
"""

import copy

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from sincut.method.losses import patch_nce_against
from sincut.method.nce import FewKeys, FlipEquivariantKeys, KeyFeatures, Keys, Negatives, OtherKeys, PatchNce, Stored
from sincut.method.term import Ingredients, Seen
from sincut.nets.encoder import Encoder


class Bank(nn.Module):
    """Queues of keys, one for each slot, of the same length; a buffer, so that a checkpoint holds them as they are."""

    keys: Tensor

    def __init__(self, slots: int, most: int, features: int) -> None:
        """Empty queues of at most `most` keys (F,)."""
        super().__init__()
        self.register_buffer("keys", torch.zeros(slots, most, features))
        self.queued = [0] * slots  # keys that ever went into each queue

    def of(self, slot: int) -> Tensor:
        """The keys that are there, (M, F), in no order that matters."""
        return self.keys[slot, : self.queued[slot]]

    def push(self, slot: int, keys: Tensor) -> None:
        """Put keys (R, F) into a queue, where they take the place of the oldest ones."""
        most = self.keys.shape[1]
        places = (self.queued[slot] + torch.arange(len(keys))) % most
        self.keys[slot, places.to(keys.device)] = keys
        self.queued[slot] += len(keys)

    def get_extra_state(self) -> Tensor:
        """Numbers of keys that ever went into the queues, which `state_dict` holds as `_extra_state`."""
        return torch.tensor(self.queued)

    def set_extra_state(self, state: Tensor) -> None:
        """The inverse of `get_extra_state`, called by `load_state_dict`."""
        self.queued = state.tolist()


class MomentumKeys:
    """Keys are the features of G's input by the momentum encoder."""

    def __init__(self, encoder: Encoder, last: int) -> None:
        """Keys of layers 0..last."""
        self.encoder, self.last = encoder, last

    def __call__(self, inputs: Tensor, features: list[Tensor]) -> KeyFeatures:
        """The inputs encoded; those features that the translation has computed are G's own, and not used."""
        with torch.no_grad():
            return KeyFeatures(self.encoder.encode(inputs, self.last))


class BankKeys:
    """The keys of the bank are the negatives, and the other keys of the step are none."""

    def __init__(self, temperature: float, false_negatives: float, bank: Stored) -> None:
        self.temperature, self.false_negatives, self.bank = temperature, false_negatives, bank

    def __call__(self, query: Tensor, key: Tensor, slot: int) -> Tensor:
        """`losses.patch_nce_against` the bank; 0 as long as it is empty."""
        return patch_nce_against(query, key, self.bank(slot), self.temperature, self.false_negatives)


class BankNce(PatchNce):
    """PatchNCE with the negatives of a bank, or (`losses.negatives = "both"`) those of the step too."""

    def __init__(self, ingredients: Ingredients) -> None:
        super().__init__(ingredients)
        losses, features = self.losses, ingredients.config.networks.features
        self.encoder = Encoder.copy_of(self.generator)
        self.key_projector = copy.deepcopy(self.projector).requires_grad_(False)
        self.bank = Bank(len(losses.layers) * self.pictures, losses.bank, features)
        self.keys: Keys = MomentumKeys(self.encoder, self.last)
        if losses.flip_equivariance:
            self.keys = FlipEquivariantKeys(self.encoder, self.last, self.random, self.keys)
        self.negatives = self._negatives(losses.negatives == "both")
        self.fresh: list[Tensor] = []  # the keys (R, F) of this step, by slot

    def _negatives(self, internal: bool) -> Negatives:
        losses = self.losses
        if losses.most_negatives:
            return FewKeys(losses, self.random, internal, self.bank.of)
        return (OtherKeys if internal else BankKeys)(losses.temperature, losses.false_negatives, self.bank.of)

    def kept(self) -> dict[str, nn.Module]:
        """The bank, and the momentum encoder and heads."""
        return {"bank": self.bank, "momentum_encoder": self.encoder, "momentum_projector": self.key_projector}

    def contrast(self, query: Tensor, key: Tensor, slot: int) -> Tensor:
        """That of `PatchNce`; the keys are kept for `after`."""
        self.fresh.append(key)
        return super().contrast(query, key, slot)

    def after(self, seen: Seen) -> None:
        """Queue `losses.bank_step` random keys of the step, and let the momentum encoder and heads follow G and H."""
        for slot, keys in enumerate(self.fresh):
            chosen = torch.randperm(len(keys), generator=self.random)[: self.losses.bank_step]
            self.bank.push(slot, keys[chosen.to(keys.device)])
        self.fresh = []
        follow = get_ema_multi_avg_fn(self.losses.momentum)
        own = [p for part in (*self.generator.encoder_parts, self.projector) for p in part.parameters()]
        averages = [*self.encoder.parameters(), *self.key_projector.parameters()]
        follow(averages, own, self.bank.queued[0])  # type: ignore[no-untyped-call]
