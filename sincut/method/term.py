"""Loss terms of G and H: their base class, the tensors of a step that they read, and the parts that they return.

A term is a summand of L_G with a name and a weight, such as PatchNCE (`nce.PatchNce`), the identity loss (`terms.Same`)
and the distance to the coarse guide (`terms.Guide`); the adversarial loss is the critics' (`critic.py`). A term of your
own is registered by name (`registry.register_term`) and switched on by `losses.own.NAME=WEIGHT`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sincut.config.sections import Config
from sincut.nets.generator import Generator
from sincut.nets.noise import noise_device

NOTHING: Mapping[str, Any] = MappingProxyType({})
FAR = 2**20  # px: positions below this are drawn for the detail of materials
TAKEN = frozenset(("adam", "average", "balance", "generator", "member", "scaler"))  # begin other names in a checkpoint


class Progress(NamedTuple):
    """Position of a step in the run and in its phase (the training of one ensemble member), counted from 0."""

    step: int = 0  # steps of the run before this one
    done: int = 0  # steps of the phase before this one
    length: int = 0  # steps of the phase; 0: not known yet


class Seen(NamedTuple):
    """The tensors of one step: N crops of side s of both pictures, and G's outputs. Terms must not change them.

    If a term needs G(y), both pictures' crops go through G together, x first; `fake` and `same` are views of `outputs`.
    """

    x: Tensor  # (N, 3, s, s) crops of the source behind the filters before G, about [-1, 1]
    y: Tensor  # (N, 3, s, s) crops of the target in [-1, 1]
    inputs: Tensor  # (N, 3, s, s): x; or (2N, 3, s, s): x, then y, if a term needs G(y)
    outputs: Tensor  # G(inputs), of their shape
    fake: Tensor  # (N, 3, s, s): G(x)
    same: Tensor  # (N, 3, s, s): G(y); (0, 3, s, s) if no term needs it
    features: list[Tensor]  # of `inputs`, all layers of G's encoder from 0 (RGB): PatchNCE's keys, computed already
    aligned: Mapping[str, Tensor]  # by name, (N, 3, s, s): other pictures cropped exactly as x, such as "guide"
    noise: Tensor = torch.empty(0)  # (N, 1, s, s) or (2N, 1, s, s): what G was given beside `inputs`
    ways: Mapping[str, "Seen"] = NOTHING  # the step's other translations by name, each with its own x, y, fake and same


Make = Callable[[Progress], Tensor]  # draws, on the CPU, for the step at this position


class Draws:
    """Draws what changes from step to step, such as random positions, and brings it to the device.

    What a step draws so can be drawn again for another step that does the same work, see `replay.py`.
    """

    def __init__(self) -> None:
        self.progress = Progress()  # of the current step
        self.watched: list[tuple[Make, Tensor]] | None = None
        self.given: Iterator[Tensor] | None = None

    def __call__(self, make: Make, device: torch.device) -> Tensor:
        """What `make` draws on the CPU, of the same shape in each step, on the device."""
        if self.given is not None:
            return next(self.given)
        drawn = make(self.progress).to(device)
        if self.watched is not None:
            self.watched.append((make, drawn))
        return drawn

    def number(self, make: Callable[[Progress], float], device: torch.device) -> "float | Tensor":
        """A number that depends on the position in the run; a scalar on the device where draws are watched or given."""
        if self.given is None and self.watched is None:
            return make(self.progress)
        return self(lambda progress: torch.tensor(make(progress)), device)

    @contextmanager
    def watching(self) -> Iterator[list[tuple[Make, Tensor]]]:
        """A block whose draws are listed, each with what it drew."""
        self.watched = []
        try:
            yield self.watched
        finally:
            self.watched = None

    @contextmanager
    def giving(self, drawn: Iterable[Tensor]) -> Iterator[None]:
        """A block in which nothing is drawn, and these values are given instead, in order."""
        self.given = iter(drawn)
        try:
            yield
        finally:
            self.given = None


DRAWN_ANEW = Draws()  # of no step that is replayed


Way = Callable[[Seen], Seen]  # another translation, made of what the step has made before D is updated


class Part(NamedTuple):
    """One summand of a loss, `weight * value`."""

    name: str  # in metrics and reports
    weight: float | Tensor
    value: Tensor  # a scalar, unweighted
    shown: bool = True  # False: left out of metrics and reports


class Ingredients(NamedTuple):
    """Arguments from which a term is made. Its networks draw their weights from torch's default generator."""

    config: Config
    generator: Generator  # G
    random: torch.Generator  # on the CPU, for every random choice after the initial weights


class Term:
    """Base class of loss terms of G and H; only `parts` has to be overridden."""

    needs_same = False  # True if it reads `Seen.same`, G(y)
    repeats = False  # True if all steps do the same work on a device, and what changes is drawn by `draws`
    draws = DRAWN_ANEW

    def parts(self, seen: Seen, progress: Progress) -> list[Part]:
        """The term's summands of L_G in this step; an empty list if it has no weight now."""
        raise NotImplementedError

    def after(self, seen: Seen) -> None:
        """Called after each update of G and H: for queues of keys, momentum encoders and the like."""

    def networks(self) -> dict[str, nn.Module]:
        """The term's own networks by name; they are trained and averaged as H, and saved in checkpoints."""
        return {}

    def kept(self) -> dict[str, nn.Module]:
        """What it changes itself in `after`, by name: queues of keys (buffers), momentum encoders and the like.

        These modules are moved to the device, and their `state_dict` is saved in checkpoints and loaded again, so that
        an interrupted training goes on bit for bit. They are neither trained nor averaged.
        """
        return {}

    def ways(self) -> dict[str, Way]:
        """Other translations that the term needs, by name; D's of their own tell each `fake` from its `y`."""
        return {}


def translated(
    generator: Generator,
    x: Tensor,
    y: Tensor,
    both: bool,
    noise_for: Callable[[Tensor], Tensor],
    aligned: Mapping[str, Tensor] = NOTHING,
) -> Seen:
    """fake = G(x) and, with `both`, same = G(y), in one forward pass of N or 2N crops (N, 3, s, s).

    `noise_for` gives the noise for these inputs, (N, 1, s, s) or (2N, 1, s, s).
    """
    inputs = torch.cat([x, y]) if both else x
    features, noise = generator.encode(inputs), noise_for(inputs)
    outputs = generator.decode(features, noise)
    return Seen(x, y, inputs, outputs, outputs[: len(x)], outputs[len(x) :], features, aligned, noise)


def noise_like(images: Tensor, random: torch.Generator, generator: Generator, draws: Draws = DRAWN_ANEW) -> Tensor:
    """Standard normal (N, 1, H, W) for (N, 3, H, W), drawn on the CPU so that it is the same for every device.

    For a generator with K materials, (N, 1 + 3 K, H, W): with their detail at random places. `draws` brings what is
    drawn to the device of the images.
    """
    n, _, h, w = images.shape
    device = noise_device(images.device)
    noise = draws(lambda _: torch.randn(n, 1, h, w, generator=random), device)
    if generator.materials is not None:
        top, left = draws(lambda _: torch.randint(FAR, (2, n, 1), generator=random), device)
        detail = generator.materials.at(top + torch.arange(h, device=device), left + torch.arange(w, device=device))
        noise = torch.cat([noise, detail], dim=1)
    return noise.to(images.device)


def total(parts: list[Part]) -> Tensor:
    """The weighted sum of parts, a scalar; 0 for none."""
    loss = torch.zeros(())
    for part in parts:
        loss = loss + part.weight * part.value
    return loss


def networks_of(terms: Iterable[Term], taken: Set[str]) -> dict[str, nn.Module]:
    """The terms' networks by name. Raises ValueError for a name that means something else in a checkpoint.

    Such are `taken` names, `TAKEN` ones, and those of averages.
    """
    return _named([(term, term.networks()) for term in terms], taken)


def kept_of(terms: Iterable[Term], taken: Set[str]) -> dict[str, nn.Module]:
    """What the terms keep, by name, see `Term.kept`. Raises ValueError as `networks_of`."""
    return _named([(term, term.kept()) for term in terms], taken)


def _named(modules: list[tuple[Term, dict[str, nn.Module]]], taken: Set[str]) -> dict[str, nn.Module]:
    by_name: dict[str, nn.Module] = {}
    for term, own in modules:
        for name, network in own.items():
            if name in TAKEN | taken | by_name.keys() or name.startswith("average_") or "." in name:
                raise ValueError(f"a network of the loss term {type(term).__name__} cannot be named {name!r}")
            by_name[name] = network
    return by_name
