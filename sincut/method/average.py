"""The exponential moving average of G's and H's weights: what is saved and applied (ours; the paper has none)."""

import copy

from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Averages:
    """Averaged copies of networks, by name."""

    def __init__(self, networks: dict[str, nn.Module], decay: float) -> None:
        self.networks, self.decay = networks, decay
        self.copies = {name: copy.deepcopy(network).requires_grad_(False) for name, network in networks.items()}

    def update(self, done: int) -> None:
        """Take in the weights after `done` earlier updates; faster in the first ones, to forget the start."""
        decay = min(self.decay, (1 + done) / (10 + done))
        averages: list[Tensor] = [p for network in self.copies.values() for p in network.parameters()]
        current: list[Tensor] = [p for network in self.networks.values() for p in network.parameters()]
        get_ema_multi_avg_fn(decay)(averages, current, done)  # type: ignore[no-untyped-call]
