"""The state of a run: the current phase, the finished members, and the translator so far.

A phase is the training of one member (`step.Cut`) or, if there were several, at the end their distillation into one G
(`ensemble.Distillation`). The plan (`plan.py`) decides how long each lasts. Nothing here reads or writes a file.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sincut.config.sections import Config
from sincut.devices import Compute, release_memory
from sincut.method.crops import check_size
from sincut.method.ensemble import Distillation, Member, nearest_last
from sincut.method.methods import METHODS
from sincut.method.sides import Pictures, Side, pictures_of, pool_of, prepare
from sincut.method.step import Cut
from sincut.method.term import Progress, noise_like
from sincut.model.exemplar import exemplars_of
from sincut.model.file import BALANCE
from sincut.model.model import Model
from sincut.model.provenance import Provenance
from sincut.nets.balance import Balance, balance
from sincut.nets.filters import Filter
from sincut.nets.generator import Generator
from sincut.nets.heads import Projector
from sincut.nets.local import in_bands
from sincut.nets.pooled import Pool
from sincut.pictures.picture import to_pixels

BALANCED = 8_000_000  # px of a set, about, that are translated for the balance to be measured


class Training:
    """All that steps change: networks, optimisers, the random state, step counts, and finished members."""

    def __init__(
        self, source: Pictures, target: Pictures, config: Config, compute: Compute, method: type[Cut] | None = None
    ) -> None:
        """A training of `source` and `target`, each a picture (1, 3, H, W) in [-1, 1] or several.

        It has done no step yet. `method` makes the networks of each member and has their step: `Cut`, or a class
        derived from it; None: the one that `method.algorithm` names, else `Cut`. Raises `ImageError` if a picture is
        too small for the crops.
        """
        for name, given in (("source", source), ("target", target)):
            for picture in pictures_of(given):
                check_size(name, picture.shape[2], picture.shape[3], config.crops)
        self.config, self.compute = config, compute
        self.method = method or METHODS.get(config.method.algorithm, Cut)
        self.sides = prepare(source, target, config, compute.device)
        wanted = config.synthesis.exemplar
        self.exemplars = exemplars_of([*map(to_pixels, pictures_of(target))], config.crops) if wanted else ()
        self.random = torch.Generator().manual_seed(config.schedule.seed)
        self.steps_done = 0
        self.members: list[Member] = []  # finished ones
        self.after: tuple[Filter, ...] = ()  # filters after G, measured when the current phase is closed; none before
        self.cut = self.method(self.sides, config, compute, self.random, config.schedule.seed)
        self.distillation: Distillation | None = None  # the last phase, once it has begun

    def step(self, rate: float, progress: Progress | None = None, count: int | None = None) -> dict[str, Tensor]:
        """One step of the current phase, with the arguments of `Cut.step`. Returns the detached losses by name."""
        if self.distillation is not None:
            losses = self.distillation.step(rate, count)
        else:
            losses = self.cut.step(rate, progress or Progress(self.steps_done), count)
        self.steps_done += 1
        return losses

    def next_member(self) -> None:
        """Finish the current member, and begin the training of another one, from other initial weights.

        If members were distilled already, what they gave counts as one more of them.
        """
        self.members.append(self._member())
        self.after, self.distillation = (), None
        seed = int(torch.randint(2**62, (), generator=self.random))
        self.cut = self.method(self.sides, self.config, self.compute, self.random, seed)

    def begin_to_distil(self) -> None:
        """Finish the last member, and begin the distillation, with the G of the member nearest to the median."""
        self.members.append(self._member())
        self.members = nearest_last(self.cut, self.members)
        self.distillation = Distillation(self.cut, self.members)
        self.close()

    def close(self) -> None:
        """Measure the filters after G (the balance) on the translated source; called after a phase's last step."""
        if not self.config.colour.balance:
            return
        average = self.cut.averages.copies["generator"]
        assert isinstance(average, Generator)

        def translated(part: Tensor) -> Tensor:
            out: Tensor = average(part[:, :3], part[:, 3:])
            return out.float()

        random = torch.Generator().manual_seed(0)

        def output(source: Tensor) -> Tensor:
            noise = noise_like(source, random, average).to(source)
            both = torch.cat([source, noise], dim=1)  # noise is cut as the source
            return translated(both) if average.whole_only else in_bands(translated, both, average.halo)

        source, target = (self._balanced(side) for side in (self.sides.source, self.sides.target))
        with torch.no_grad(), self.compute.autocast():
            release_memory(torch.device("cpu"))  # of steps and previews, since this takes most
            out = source.map(output)
            release_memory(torch.device("cpu"))
        self.after = (balance(out, target),)

    def _balanced(self, side: Side) -> Pool:
        """The pictures of a side of which the balance is measured: all, or of a large set every second, third, ..."""
        pictures = [picture.image for picture in side.pictures]
        pixels = sum(picture.shape[2] * picture.shape[3] for picture in pictures[1:])  # one may have any size
        return pool_of(pictures[:: 1 + pixels // BALANCED], self.config.crops)

    def model(self, provenance: Provenance | None = None) -> Model:
        """The translator so far: the averaged G of the first member or of the distillation, else the last member.

        It shares the weights of the training, which go on changing.
        """
        shown = self._member() if self.distillation or not self.members else self.members[-1]
        origin, before = provenance or Provenance(), self.sides.before
        exemplar, *further = self.exemplars or (None,)
        networks = shown.generator, self.config, origin, before, shown.after, shown.projector
        return Model(*networks, exemplar, tuple(further))

    def state(self) -> dict[str, Tensor]:
        """Everything that is needed to go on exactly, as tensors by their names in a checkpoint."""
        state = {f"{n}.{k}": v for n, net in self._networks().items() for k, v in net.state_dict().items()}
        state |= self.cut.descend.state() | _tensors("", self.after)
        for index, member in enumerate(self.members):
            state |= _tensors(f"member.{index}.", member.after)
        counts = {"steps_done": self.steps_done, "first_step": self.steps_done - self.cut.steps_done}
        counts |= {"members": len(self.members), "distils": int(self.distillation is not None)}
        state |= {name: torch.tensor(count) for name, count in counts.items()}
        return state | {"random": self.random.get_state()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state`. Raises KeyError, IndexError, ValueError or RuntimeError if it does not fit.

        Checkpoints of earlier versions have no average of the heads, which then begins with the heads as they are, and
        no members, or members without a balance of their own.
        """
        projector = self.cut.term_networks.get("projector")
        names = projector.state_dict() if projector is not None else ()
        heads = {f"average_heads.{name}": state[f"projector.{name}"] for name in names}
        nothing = dict.fromkeys(("first_step", "members", "distils"), torch.tensor(0))
        state = {**heads, **nothing, **state}
        self.members = self._load_members(state)
        if state["distils"]:
            self.distillation = Distillation(self.cut, self.members)
        for name, network in self.cut.networks().items():
            _load(network, f"{name}.", state)
        self.cut.descend.load_state(dict(state))
        if self.cut.replayed is not None:
            self.cut.replayed.forget()
        self.random.set_state(state["random"])
        self.steps_done = int(state["steps_done"])
        self.cut.steps_done = self.steps_done - int(state["first_step"])
        self.after = _filters("", state) if self.distillation or not self.members else ()

    def is_finite(self) -> bool:
        """True if all weights of G, D, H and the averages are finite numbers."""
        weights = [p.detach() for network in self._networks().values() for p in network.parameters()]
        return bool(torch.stack([w.float().abs().max() for w in weights]).isfinite().all())

    def parameter_counts(self) -> dict[str, int]:
        """Numbers of weights of each trained network, by its name in a checkpoint."""
        networks = self.cut.networks().items()
        trained = {n: net for n, net in networks if not n.startswith("average") and n not in self.cut.kept}
        return {name: sum(p.numel() for p in net.parameters()) for name, net in trained.items()}

    def _member(self) -> Member:
        """The current phase as a member: the averages of its G and, if it has some, H, and the filters after G."""
        generator, projector = (self.cut.averages.copies.get(name) for name in ("generator", "projector"))
        assert isinstance(generator, Generator) and isinstance(projector, Projector | None)
        return Member(generator, projector, self.after)

    def _networks(self) -> dict[str, nn.Module]:
        networks = self.cut.networks()
        for index, member in enumerate(self.members):
            networks[f"member.{index}.generator"] = member.generator
            if member.projector is not None:
                networks[f"member.{index}.heads"] = member.projector
        return networks

    def _load_members(self, state: Mapping[str, Tensor]) -> list[Member]:
        members, count, like = list[Member](), int(state["members"]), self._member()
        last = f"member.{count - 1}.generator."
        if count and not all(f"{last}{name}" in state for name in like.generator.state_dict()):  # before allocating
            raise ValueError(f"{count} members are announced, and are not there")
        for index in range(count):
            generator, projector = copy.deepcopy(like.generator), copy.deepcopy(like.projector)
            _load(generator, f"member.{index}.generator.", state)
            if projector is not None:
                _load(projector, f"member.{index}.heads.", state)
            own = _filters(f"member.{index}.", state)
            if not own and index == count - 1 and not state["distils"]:  # a checkpoint without balances of members
                own = _filters("", state)
            members.append(Member(generator, projector, own))
        return members


def _load(network: nn.Module, prefix: str, state: Mapping[str, Tensor]) -> None:
    network.load_state_dict({name: state[f"{prefix}{name}"] for name in network.state_dict()})
    if isinstance(network, Generator):
        network.set_base_smoothing(float(network.texture))


def _tensors(prefix: str, filters: tuple[Filter, ...]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value for filter_ in filters for name, value in filter_.tensors().items()}


def _filters(prefix: str, state: Mapping[str, Tensor]) -> tuple[Filter, ...]:
    """The filters after G whose tensors' names begin with `prefix`; none if there are no such tensors."""
    tensors = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(f"{prefix}{BALANCE}")}
    return (Balance.of_tensors(tensors),) if tensors else ()
