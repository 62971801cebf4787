"""SinCUT: contrastive unpaired translation between two single pictures, a source x and a target y.

After *Contrastive Learning for Unpaired Image-to-Image Translation* (Park, Efros, Zhang, Zhu; ECCV 2020,
https://arxiv.org/abs/2007.15651), section "Single image translation" and the appendix. `Cut.step` is the method: one
update of the discriminator D, then of the generator G and the projection heads H.

Crops are (N, 3, crop, crop), tiles (T, 3, tile, tile), all in [-1, 1]. What the lines below leave open, the settings
choose: losses by `registry.py`, where crops are drawn by `crops.py`, what the pictures go through before by `sides.py`.
The presets `paper` and `release` choose the published method; whatever is ours is marked so here and there.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from sincut.config.sections import Config
from sincut.devices import Compute
from sincut.method import registry
from sincut.method.average import Averages
from sincut.method.critic import Critic
from sincut.method.crops import made_small, tiles
from sincut.method.descent import Descent
from sincut.method.nce import PatchNce
from sincut.method.sides import Sides
from sincut.method.term import Ingredients, Progress, Seen, Term
from sincut.nets.discriminator import Discriminator
from sincut.nets.generator import Generator

TAKEN = {"adam", "average", "balance", "generator", "member", "scaler"}  # what begins other names in a checkpoint


class Cut:
    """G, D and H of one training with its optimisers, and the step that trains them."""

    def __init__(self, sides: Sides, config: Config, compute: Compute, random: torch.Generator, seed: int) -> None:
        self.sides, self.config, self.compute, self.random = sides, config, compute, random
        with torch.random.fork_rng(devices=[]):  # weights are drawn on the CPU; the caller's random state stays
            torch.default_generator.manual_seed(seed)
            self.generator = Generator(sides.networks)
            self.generator.smooth_below(sides.base_variance)
            ingredients = Ingredients(config, self.generator, random)
            self.critics = [self._critic(partial(tiles, size=config.crops.tile))]
            self.terms: list[Term] = [PatchNce(ingredients), *registry.more_terms(ingredients)]
            if config.looks_at_large_forms:  # ours: whole crops, made as small as a tile
                view = partial(made_small, size=config.crops.tile)
                self.critics.append(self._critic(view, config.losses.large, "_large"))
            self.terms += registry.own_terms(ingredients)
        self.heads = self._heads()
        critics: list[nn.Module] = [critic.network for critic in self.critics]
        for network in (self.generator, *self.heads.values(), *critics):
            network.to(device=compute.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averages = Averages({"generator": self.generator, **self.heads}, config.optimisation.ema)
        groups: dict[str, list[nn.Module]] = {"g": [self.generator], "d": critics, "h": [*self.heads.values()]}
        self.descend = Descent(groups, config.optimisation, compute)
        self.steps_done = 0

    def step(self, rate: float, progress: Progress, count: int | None = None) -> dict[str, Tensor]:
        """One update of D, then of G and H, from `count` random crops of each picture (`crops.count` by default).

        `rate` is the learning rate, `progress` the place of the step in the run. Returns the detached losses by name.
        """
        crops = replace(self.config.crops, count=count or self.config.crops.count)
        x, aligned = self.sides.source.crops(crops, self.random)
        y, _ = self.sides.target.crops(crops, self.random)
        with self.descend.autocast():
            seen = self.translate(x, y, aligned)
            views = [(critic, critic.view(y), critic.view(seen.fake)) for critic in self.critics]
            # The target's tiles are real, the translation's are not.
            d = [p for critic, real, fake in views for p in critic.tell_apart(real, fake.detach(), progress.step)]
        self.descend("d", d, rate)
        with self.descend.autocast(), frozen(critic.network for critic in self.critics):
            # Fool D, keep each patch recognisable (PatchNCE), leave the target alone, and what else the settings ask.
            g = [p for critic, _, fake in views for p in critic.convince(fake)]
            g += [p for term in self.terms for p in term.parts(seen, progress)]
        self.descend("gh", g, rate)
        self.descend.scaler.update()
        for term in self.terms:
            term.after(seen)
        self.averages.update(self.steps_done)
        self.steps_done += 1
        return {part.name: part.value.detach() for part in (*d, *g) if part.shown}

    def translate(self, x: Tensor, y: Tensor, aligned: dict[str, Tensor]) -> Seen:
        """Translate crops of x, and where a loss asks for it those of y, which should stay what they are."""
        both = any(term.needs_same for term in self.terms)
        given = torch.cat([x, y]) if both else x
        features = self.generator.encode(given)
        out = self.generator.decode(given, features[-1], noise_like(given, self.random))
        return Seen(x, y, given, out, out[: len(x)], out[len(x) :], features, aligned)

    def networks(self) -> dict[str, nn.Module]:
        """All networks by their names in a checkpoint."""
        averages = {f"average_{name}": network for name, network in self.averages.copies.items()}
        return {
            "generator": self.generator,
            "average": averages.pop("average_generator"),
            **{f"discriminator{critic.suffix}": critic.network for critic in self.critics},
            **self.heads,
            **{_average_name(name): network for name, network in averages.items()},
        }

    def _heads(self) -> dict[str, nn.Module]:
        """Networks of the terms by name. Raises ValueError for a name that a checkpoint has for something else."""
        taken = TAKEN | {f"discriminator{critic.suffix}" for critic in self.critics}
        heads: dict[str, nn.Module] = {}
        for term in self.terms:
            for name, network in term.networks().items():
                if name in taken or name.startswith("average_") or "." in name:
                    raise ValueError(f"a network of the loss term {type(term).__name__} cannot be named {name!r}")
                heads[name] = network
                taken.add(name)
        return heads

    def _critic(self, view: partial[Tensor], weight: float = 1.0, suffix: str = "") -> Critic:
        config = self.config
        network = Discriminator(config.networks, config.crops.tile)
        if self.sides.expected is not None:  # ours: detail brought out where a picture has little
            network.expect(self.sides.expected, config.networks.detail)
        return Critic(network, view, config.losses, weight, suffix)


def noise_like(images: Tensor, random: torch.Generator) -> Tensor:
    """Standard normal (N, 1, H, W) for (N, 3, H, W), drawn on the CPU so that every device sees the same."""
    n, _, h, w = images.shape
    return torch.randn(n, 1, h, w, generator=random).to(images.device)


@contextmanager
def frozen(networks: Iterable[nn.Module]) -> Iterator[None]:
    """A context in which these networks' weights get no gradient."""
    kept = list(networks)
    for network in kept:
        network.requires_grad_(False)
    try:
        yield
    finally:
        for network in kept:
            network.requires_grad_(True)


def _average_name(name: str) -> str:
    """A checkpoint's name for the average of a term's network; the heads have had theirs since format 1."""
    return "average_heads" if name == "average_projector" else name
