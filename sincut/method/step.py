"""SinCUT: contrastive unpaired translation between two single pictures, a source x and a target y.

After *Contrastive Learning for Unpaired Image-to-Image Translation* (Park, Efros, Zhang, Zhu; ECCV 2020,
https://arxiv.org/abs/2007.15651), its section on high-resolution single image translation and the appendix to it. The
generator G translates, fake = G(x); the discriminator D tells the translation from the target; the projection heads H
compare patches. `Cut.step` is one update of D, then of G and H together, down the gradients of

    L_D = 1/2 E[softplus(D(fake))] + 1/2 E[softplus(-D(y))] + R1                           critic.py
    L_G = E[softplus(-D(fake))]                                                            critic.py
          + nce * 1/2 (NCE(x, fake) + NCE(y, same))    with same = G(y)                    nce.py
          + same * |same - y|_1                                                            terms.py

where `nce` and `same` are settings of `losses`. With `losses.gan=lsgan` the adversarial loss is that of least squares.
x and y are crops (N, 3, crop, crop) in [-1, 1], D sees them in tiles (T, 3, tile, tile). Crops are drawn in `crops.py`,
from pictures that were prepared in `sides.py`. The presets `paper` and `release` choose the published method; what is
marked "ours" is off there.
"""

from collections.abc import Iterable, Iterator, Mapping
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
from sincut.method.crops import without_excess
from sincut.method.descent import Descent
from sincut.method.replay import Batch, Replayed
from sincut.method.sides import Side, Sides
from sincut.method.term import (
    Draws,
    Ingredients,
    Progress,
    Seen,
    Term,
    Way,
    kept_of,
    networks_of,
    noise_like,
    translated,
)
from sincut.nets.architectures import make_discriminator, make_generator
from sincut.nets.generator import Generator
from sincut.nets.pooled import Pool


class Cut:
    """The networks G, D and H of one training, their optimisers, and the step that trains them."""

    def __init__(self, sides: Sides, config: Config, compute: Compute, random: torch.Generator, seed: int) -> None:
        """Initial weights follow from `seed`, all later random choices from `random`, a generator on the CPU."""
        self.sides, self.config, self.compute, self.random = sides, config, compute, random
        with torch.random.fork_rng(devices=[]):  # weights are drawn on the CPU; the caller's random state stays
            torch.default_generator.manual_seed(seed)
            self.make()
        taken = {*self.generators, *(f"discriminator{critic.suffix}" for critic in self.critics)}
        self.term_networks = networks_of(self.terms, taken)
        self.kept = kept_of(self.terms, {*taken, *self.term_networks})  # not trained: queues, momentum encoders
        discriminators: list[nn.Module] = [critic.network for critic in self.critics]
        heads = [*self.term_networks.values()]  # H, and what other terms train
        for network in (*self.generators.values(), *heads, *discriminators, *self.kept.values()):
            network.to(device=compute.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averages = Averages({"generator": self.generator, **self.term_networks}, config.optimisation.ema)
        groups: dict[str, list[nn.Module]] = {"g": [*self.generators.values()], "d": discriminators, "h": heads}
        self.descend = Descent(groups, config.optimisation, compute)
        self.steps_done = 0
        self.draws = Draws()
        for term in self.terms:
            term.draws = self.draws
        self.replayed = Replayed(self.update, self.draws) if self.repeats else None

    @property
    def repeats(self) -> bool:
        """True if a step can be recorded: on CUDA, without loss scaling, whose factor the CPU decides about."""
        scales = self.descend.scaler.is_enabled()
        return (
            self.compute.device.type == "cuda" and not scales and not self.ways and all(t.repeats for t in self.terms)
        )

    def make(self) -> None:
        """Make G, the critics and the terms. Each network draws its weights when it is made, so the order counts."""
        config, like = self.config, self.sides.normalised_by
        self.generator = self.translator(self.sides.target)
        self.generator.set_base_smoothing(self.sides.base_variance)
        self.generators: dict[str, Generator] = {"generator": self.generator}  # all, by their names in a checkpoint
        self.critics = [self._critic(like)]
        ingredients = Ingredients(config, self.generator, self.random)
        self.terms: list[Term] = registry.shipped_terms(ingredients, self.sides)
        self.terms += registry.own_terms(ingredients)
        self.ways: dict[str, Way] = {}  # other translations of a step, which have critics of their own
        for term in self.terms:
            for name, way in term.ways().items():
                self.add_way(name, way, like)

    def translator(self, target: Side) -> Generator:
        """A new G; the materials that it mixes, if it does, are those of the target, at the largest scale of crops."""
        generator = make_generator(self.sides.networks)
        if generator.materials is not None:
            crops = replace(self.config.crops, excess=1.0)
            generator.materials.take(target.pool(crops).map(partial(without_excess, config=crops)))
        return generator

    def add_way(self, name: str, way: Way, like: Pool | None) -> None:
        """Let each step make another translation, told from the pictures that it imitates by a critic of its own.

        `like` holds these, for `Discriminator.normalise_by`; None: off.
        """
        self.ways[name] = way
        self.critics.append(self._critic(like, name))

    def _critic(self, like: Pool | None, way: str = "") -> Critic:
        config = self.config
        network = make_discriminator(config.networks, config.crops.tile)
        if like is not None:  # ours: fine detail amplified where a picture has little of it
            network.normalise_by(like, config.networks.detail)
        return Critic(network, config.losses, config.crops.tile, way)

    def step(self, rate: float, progress: Progress, count: int | None = None) -> dict[str, Tensor]:
        """One update of D, then of G and H, from `count` random crops of each picture (`crops.count` by default).

        `rate` is the learning rate, `progress` the position of the step in the run. Returns the unweighted losses by
        name, detached scalars.
        """
        crops = replace(self.config.crops, count=count or self.config.crops.count)
        x, aligned = self.sides.source.crops(crops, self.random)  # (N, 3, crop, crop)
        y, _ = self.sides.target.crops(crops, self.random)
        batch, self.draws.progress = Batch(x, y, aligned), progress
        if self.replayed is None:
            losses = self.update(batch, rate, progress)
        else:  # on a GPU
            kind = tuple(critic.penalises(progress.step) for critic in self.critics)
            losses = self.replayed(batch, rate, progress, kind)
        self.averages.update(self.steps_done)  # ours
        self.steps_done += 1
        return losses

    def update(self, crops: Batch, rate: float | Tensor, progress: Progress) -> dict[str, Tensor]:
        """One update of D, then of G and H, from these crops. Returns what `step` does."""
        x, y, aligned = crops
        with self.descend.autocast():
            seen = self.translate(x, y, aligned)  # fake = G(x), same = G(y)
            views = [(critic, *critic.views(seen)) for critic in self.critics]  # real and fake, (T, 3, tile, tile) each
            # D: the target's tiles are real, the translation's are not; plus R1.
            d = [
                part
                for critic, real, fake in views
                for part in critic.discriminator_loss(real, fake.detach(), progress.step)
            ]
        self.descend("d", d, rate)
        with self.descend.autocast(), frozen(critic.network for critic in self.critics):
            # G and H: be taken for real by the updated D; keep each patch recognisable (PatchNCE); leave the target as
            # it is; and what else the settings switch on.
            g = [part for critic, _, fake in views for part in critic.generator_loss(fake)]
            g += [part for term in self.terms for part in term.parts(seen, progress)]
        self.descend("gh", g, rate)
        self.descend.scaler.update()
        for term in self.terms:
            term.after(seen)
        return {part.name: part.value.detach() for part in (*d, *g) if part.shown}

    def translate(self, x: Tensor, y: Tensor, aligned: Mapping[str, Tensor]) -> Seen:
        """fake = G(x), if a term needs it same = G(y), and what other ways there are, of crops (N, 3, crop, crop)."""
        both = any(term.needs_same for term in self.terms)
        noise_for = partial(noise_like, random=self.random, generator=self.generator, draws=self.draws)
        seen = translated(self.generator, x, y, both, noise_for, aligned)
        return seen._replace(ways={name: way(seen) for name, way in self.ways.items()})

    def networks(self) -> dict[str, nn.Module]:
        """All networks, the averages of those that have one, and what terms keep, by their names in a checkpoint."""
        averages = {f"average_{name}": network for name, network in self.averages.copies.items()}
        return {
            **self.generators,
            "average": averages.pop("average_generator"),
            **{f"discriminator{critic.suffix}": critic.network for critic in self.critics},
            **self.term_networks,
            **{_average_name(name): network for name, network in averages.items()},
            **self.kept,
        }


@contextmanager
def frozen(networks: Iterable[nn.Module]) -> Iterator[None]:
    """A context in which gradients flow through these networks, but not into their weights."""
    kept = list(networks)
    for network in kept:
        network.requires_grad_(False)
    try:
        yield
    finally:
        for network in kept:
            network.requires_grad_(True)


def _average_name(name: str) -> str:
    """The name in a checkpoint of the average of a term's network; that of the projector is from format 1."""
    return "average_heads" if name == "average_projector" else name
