"""A training run's state: the phase that goes on, the members that are trained, and the translator so far.

Phases are trainings (`step.Cut`) and at last, where there were several, their distillation (`ensemble.Distillation`).
How long each lasts is the plan's matter (`plan.py`). Nothing here reads or writes a file.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sincut.config.sections import Config
from sincut.devices import Compute
from sincut.method.crops import check_size
from sincut.method.ensemble import Distillation, Member, nearest_last
from sincut.method.sides import prepare
from sincut.method.step import Cut
from sincut.method.term import Progress
from sincut.model.model import Model
from sincut.model.provenance import Provenance
from sincut.nets.balance import Balance, balance
from sincut.nets.filters import Filter
from sincut.nets.generator import Generator
from sincut.nets.heads import Projector
from sincut.nets.local import in_bands

BALANCE = "balance."  # begins the names of a balance's tensors


class Training:
    """Networks, optimisers, random state and step count: all that a step changes."""

    def __init__(
        self, source: Tensor, target: Tensor, config: Config, compute: Compute, method: type[Cut] = Cut
    ) -> None:
        """From two pictures (1, 3, H, W) in [-1, 1]. Raises `ImageError` where one is too small for the crops.

        `method` makes the networks of each member and has their step: `Cut`, or a class derived from it.
        """
        for name, picture in (("source", source), ("target", target)):
            check_size(name, picture.shape[2], picture.shape[3], config.crops)
        self.config, self.compute, self.method = config, compute, method
        self.sides = prepare(source, target, config, compute.device)
        self.random = torch.Generator().manual_seed(config.schedule.seed)
        self.steps_done = 0
        self.members: list[Member] = []  # trained before the one that goes on
        self.after: tuple[Filter, ...] = ()  # filters after G, of the phase that goes on; none until it is closed
        self.cut = method(self.sides, config, compute, self.random, config.schedule.seed)
        self.distillation: Distillation | None = None  # the last phase, once it has begun

    def step(self, rate: float, progress: Progress | None = None, count: int | None = None) -> dict[str, Tensor]:
        """One step of the phase that goes on, see `Cut.step`. Returns the detached losses by name."""
        if self.distillation is not None:
            losses = self.distillation.step(rate, count)
        else:
            losses = self.cut.step(rate, progress or Progress(self.steps_done), count)
        self.steps_done += 1
        return losses

    def next_member(self) -> None:
        """Keep what has been learned, and begin another training, from other initial weights."""
        self.members.append(self._member())
        self.after = ()
        seed = int(torch.randint(2**62, (), generator=self.random))
        self.cut = self.method(self.sides, self.config, self.compute, self.random, seed)

    def begin_to_distil(self) -> None:
        """Keep what has been learned, and begin to distil the members, from the one that is nearest to the median."""
        self.members.append(self._member())
        self.members = nearest_last(self.cut, self.members)
        self.distillation = Distillation(self.cut, self.members)
        self.close()

    def close(self) -> None:
        """After the last step of a phase: measure the balance, a filter after G, on the translated source."""
        if not self.config.colour.balance:
            return
        average = self.cut.averages.copies["generator"]
        assert isinstance(average, Generator)

        def translated(part: Tensor) -> Tensor:
            noise = torch.randn(1, 1, *part.shape[2:], generator=torch.Generator().manual_seed(0))
            out: Tensor = average(part, noise.to(part.device))
            return out.float()

        source, target = (side.pictures[0].image for side in (self.sides.source, self.sides.target))
        with torch.no_grad(), self.compute.autocast():
            out = in_bands(translated, source, average.halo)
        self.after = (balance(out, target),)

    def model(self, provenance: Provenance | None = None) -> Model:
        """The averaged translator so far; the last member while another is trained. It shares their weights."""
        shown = self._member() if self.distillation or not self.members else self.members[-1]
        origin = provenance or Provenance()
        return Model(shown.generator, self.config, origin, self.sides.before, shown.after, projector=shown.heads)

    def state(self) -> dict[str, Tensor]:
        """All that is needed to go on exactly, as tensors by name."""
        state = {f"{n}.{k}": v for n, net in self._networks().items() for k, v in net.state_dict().items()}
        state |= self.cut.descend.state() | _tensors("", self.after)
        for index, member in enumerate(self.members):
            state |= _tensors(f"member.{index}.", member.after)
        counts = {"steps_done": self.steps_done, "first_step": self.steps_done - self.cut.steps_done}
        counts |= {"members": len(self.members), "distils": int(self.distillation is not None)}
        state |= {name: torch.tensor(count) for name, count in counts.items()}
        return state | {"random": self.random.get_state()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state`. Raises KeyError, ValueError or RuntimeError where it does not fit.

        Earlier versions had no average of the heads, which then begins anew with the heads as they are, and no members,
        or members without a balance of their own.
        """
        heads = {f"average_heads.{k}": state[f"projector.{k}"] for k in self.cut.heads["projector"].state_dict()}
        nothing = dict.fromkeys(("first_step", "members", "distils"), torch.tensor(0))
        state = {**heads, **nothing, **state}
        self.members = self._load_members(state)
        if state["distils"]:
            self.distillation = Distillation(self.cut, self.members)
        for name, network in self.cut.networks().items():
            _load(network, f"{name}.", state)
        self.cut.descend.load_state(dict(state))
        self.random.set_state(state["random"])
        self.steps_done = int(state["steps_done"])
        self.cut.steps_done = self.steps_done - int(state["first_step"])
        self.after = _filters("", state) if self.distillation or not self.members else ()

    def is_finite(self) -> bool:
        """True if all weights of G, D, H and the averages are finite numbers."""
        weights = [p.detach() for network in self._networks().values() for p in network.parameters()]
        return bool(torch.stack([w.float().abs().max() for w in weights]).isfinite().all())

    def parameter_counts(self) -> dict[str, int]:
        """Numbers of weights of G, D and H by name."""
        trained = {name: net for name, net in self.cut.networks().items() if not name.startswith("average")}
        return {name: sum(p.numel() for p in net.parameters()) for name, net in trained.items()}

    def _member(self) -> Member:
        """What the phase that goes on has learned so far."""
        generator, heads = (self.cut.averages.copies[name] for name in ("generator", "projector"))
        assert isinstance(generator, Generator) and isinstance(heads, Projector)
        return Member(generator, heads, self.after)

    def _networks(self) -> dict[str, nn.Module]:
        networks = self.cut.networks()
        for index, member in enumerate(self.members):
            networks |= {f"member.{index}.generator": member.generator, f"member.{index}.heads": member.heads}
        return networks

    def _load_members(self, state: Mapping[str, Tensor]) -> list[Member]:
        members, count, like = list[Member](), int(state["members"]), self._member()
        if count and f"member.{count - 1}.generator.rgb_bias" not in state:  # before so many are allocated
            raise ValueError(f"{count} members are announced, and are not there")
        for index in range(count):
            generator, heads = copy.deepcopy(like.generator), copy.deepcopy(like.heads)
            _load(generator, f"member.{index}.generator.", state)
            _load(heads, f"member.{index}.heads.", state)
            own = _filters(f"member.{index}.", state)
            if not own and index == count - 1 and not state["distils"]:  # a checkpoint without balances of members
                own = _filters("", state)
            members.append(Member(generator, heads, own))
        return members


def _load(network: nn.Module, prefix: str, state: Mapping[str, Tensor]) -> None:
    network.load_state_dict({name: state[f"{prefix}{name}"] for name in network.state_dict()})
    if isinstance(network, Generator):
        network.set_base_smoothing(float(network.texture))


def _tensors(prefix: str, filters: tuple[Filter, ...]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value for filter_ in filters for name, value in filter_.tensors().items()}


def _filters(prefix: str, state: Mapping[str, Tensor]) -> tuple[Filter, ...]:
    """The filters after G whose tensors begin so; none where there are none."""
    tensors = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(f"{prefix}{BALANCE}")}
    return (Balance.of_tensors(tensors),) if tensors else ()
