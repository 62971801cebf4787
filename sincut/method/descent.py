"""Gradient descent for G, D and H: an Adam optimiser for each, and loss scaling for float16."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from sincut.config.sections import Optimisation
from sincut.devices import Compute
from sincut.method.term import Part, total


class Descent:
    """Adam (Kingma and Ba 2014, https://arxiv.org/abs/1412.6980) for each group of networks: "g", "d" and "h"."""

    def __init__(self, groups: dict[str, list[nn.Module]], settings: Optimisation, compute: Compute) -> None:
        self.settings, self.compute = settings, compute
        self.optimisers = {name: self._adam(networks) for name, networks in groups.items() if networks}
        self.scaler = compute.scaler()

    def restart(self, group: str, network: nn.Module) -> None:
        """Replace a group's optimiser by a new one, without moments, for this network alone."""
        self.optimisers[group] = self._adam([network])
        self.scaler = self.compute.scaler()

    def autocast(self) -> AbstractContextManager[None]:
        """A context in which networks compute in the run's precision."""
        return self.compute.autocast()

    def __call__(self, groups: str, parts: list[Part], rate: float | Tensor) -> None:
        """One Adam update of each group, down the gradient of the parts' weighted sum, at the learning rate `rate`.

        `groups` are their letters, such as "gh"; one without networks, as H in a method without heads, is left out. The
        rate is a scalar on the device where the update is recorded (`replay.py`).
        """
        chosen = [self.optimisers[name] for name in groups if name in self.optimisers]
        for optimiser in chosen:
            optimiser.param_groups[0].update(lr=rate, capturable=isinstance(rate, Tensor))
            optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(total(parts)).backward()  # type: ignore[no-untyped-call]
        for optimiser in chosen:
            self.scaler.step(optimiser)

    def state(self) -> dict[str, Tensor]:
        """Adam's moments and the scaler's state as tensors, by their names in a checkpoint."""
        state = {
            f"adam.{name}.{index}.{kind}": value
            for name, optimiser in self.optimisers.items()
            for index, moments in optimiser.state_dict()["state"].items()
            for kind, value in moments.items()
        }
        return state | {f"scaler.{name}": torch.tensor(value) for name, value in self.scaler.state_dict().items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state`; other names are ignored. Raises KeyError, IndexError or ValueError."""
        for name, optimiser in self.optimisers.items():
            moments: dict[int, dict[str, Tensor]] = {}
            prefix, parameters = f"adam.{name}.", optimiser.param_groups[0]["params"]
            for key in (k for k in state if k.startswith(prefix)):
                index, kind = key.removeprefix(prefix).split(".")
                value, parameter = state[key], parameters[int(index)]
                if value.shape == parameter.shape:  # in the memory format of its weights, as before it was saved
                    value = torch.empty_like(parameter, requires_grad=False).copy_(value)
                moments.setdefault(int(index), {})[kind] = value
            optimiser.load_state_dict({**optimiser.state_dict(), "state": moments})
        self.scaler.load_state_dict({k: state[f"scaler.{k}"].item() for k in self.scaler.state_dict()})

    def _adam(self, networks: list[nn.Module]) -> torch.optim.Adam:
        s, weights = self.settings, [p for network in networks for p in network.parameters()]
        return torch.optim.Adam(weights, lr=s.learning_rate, betas=(s.beta1, s.beta2), fused=True)
