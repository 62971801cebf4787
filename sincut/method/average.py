"""Exponential moving averages (EMA) of the weights of G and H, which are what is saved and applied (ours)."""

import copy

from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Averages:
    """Averaged copies of networks, by name; with a `decay` of 0 they have the current weights, as published."""

    def __init__(self, networks: dict[str, nn.Module], decay: float) -> None:
        self.networks, self.decay = networks, decay
        self.copies = {name: copy.deepcopy(network).requires_grad_(False) for name, network in networks.items()}

    def update(self, done: int) -> None:
        """Average the current weights in, after `done` earlier updates.

        The decay is min(decay, (1 + done) / (10 + done)), so that the initial weights are soon forgotten, as in
        TensorFlow (https://www.tensorflow.org/api_docs/python/tf/train/ExponentialMovingAverage, `num_updates`).
        """
        decay = min(self.decay, (1 + done) / (10 + done))
        averages: list[Tensor] = [p for network in self.copies.values() for p in network.parameters()]
        current: list[Tensor] = [p for network in self.networks.values() for p in network.parameters()]
        get_ema_multi_avg_fn(decay)(averages, current, done)  # type: ignore[no-untyped-call]
