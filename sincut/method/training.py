"""SinCUT: contrastive unpaired translation between two single pictures, the painting x and the photo y.

After *Contrastive Learning for Unpaired Image-to-Image Translation* (Park, Efros, Zhang, Zhu; ECCV 2020,
https://arxiv.org/abs/2007.15651), section "Single image translation" and the appendix. `Training.step` is the method;
`train` repeats it on time, and says how it goes through events. Nothing here reads or writes a file.

Pictures are (1, 3, H, W), crops (N, 3, crop, crop), tiles (T, 3, tile, tile), all in [-1, 1]. P patches, F features.

Ours, not the paper's, and switched off by the presets `paper` and `release`: brush strokes smoothed, colours mapped and
their grain taken in front of G, and G's output on top of its input; noise in the decoder's blocks; a coarse guide,
strongest in the beginning; crops with scales of their own, drawn where outlines are, patches spread over the crops,
negatives left out that look like the positive; no pass over the photo; a second discriminator for large forms, and
detail brought out for both where a picture has little; R1 at every few steps only (as in StyleGAN2); crops per step
and the learning rate by the run's length; the average of G that is saved, and its output given the photo's strength of
light and colour; several trainings, the members of an ensemble, of which the last G learns what they have in common.
"""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn

from sincut.config.sections import Config, Crops
from sincut.devices import Compute, find_compute, out_of_memory
from sincut.errors import Interrupted, ModelError, TrainingError
from sincut.events import Checkpoint, Listener, Planned, Preview, Progress, Started, Trained, Warned, ignore
from sincut.method.crops import Outlines, check_size, made_small, random_crops, tiles, without_excess
from sincut.method.guide import ALIKE, coarse_guide, comparable_texture
from sincut.method.losses import (
    adversarial,
    coarse_squared,
    discrimination,
    mean_absolute,
    mean_squared,
    patch_nce,
    r1_penalty,
)
from sincut.method.plan import Plan
from sincut.model.model import Model
from sincut.nets.balance import Balance, balance, no_wider
from sincut.nets.colour import ColourMap, colour_transport
from sincut.nets.layers import blurred, calm_variance, chroma_grain, in_bands, smoothed, without_chroma_grain
from sincut.nets.networks import Discriminator, Generator, Projector

LOOKS = {"": tiles, "_large": made_small}  # what each discriminator sees of crops
FAINT = 0.04  # of a picture's deviation: with less in its even parts, strokes or their absence escape D for long
FINE = 2.0  # px, of a Gaussian: detail below that is not made to agree between the members of an ensemble
CLOSING_SECONDS = 0.5  # to leave the process, in a budget of minutes


class Member(NamedTuple):
    """What is kept of a training that is over: the averages of G and H."""

    generator: Generator
    heads: Projector


class Training:
    """Networks, optimisers, random state and step count: all that a step changes."""

    def __init__(self, painting: Tensor, photo: Tensor, config: Config, compute: Compute) -> None:
        for name, picture in (("painting", painting), ("photo", photo)):
            check_size(name, picture.shape[2], picture.shape[3], config.crops)
        self.config, self.compute = config, compute
        textures = calm_variance(painting), calm_variance(photo)
        excess = max(0.0, textures[0] - ALIKE * textures[1])  # of strokes, beyond any photo's texture
        self.texture = config.colour.smooth * excess
        smooth = smoothed(painting, self.texture) if self.texture else painting
        self.colour = colour_transport(smooth, photo) if config.colour.map else ColourMap.identity()
        mapped = self.colour(smooth)
        own = chroma_grain(mapped) if config.colour.grain else 0.0
        self.grain = min(1.0, chroma_grain(no_wider(photo, painting)) / own) if own else 1.0
        if self.grain < 1:
            mapped = without_chroma_grain(mapped, self.grain)
        if config.losses.guide:
            guide = coarse_guide(painting, photo, comparable_texture(*textures))
            mapped = torch.cat([mapped, guide], dim=1)  # (1, 6, H, W): both are cropped as one
        self.painting = without_excess(mapped, config.crops).to(compute.device)
        self.photo = without_excess(photo, config.crops).to(compute.device)
        chosen = config.crops.places > 1
        self.outlines = [Outlines.of(picture) if chosen else None for picture in (self.painting, self.photo)]
        # Noise where the painting has not texture enough to make the photo's of.
        self.noisy = textures[1] > ALIKE * textures[0]
        smooths = config.networks.smooth and excess
        self.smooth = config.networks.smooth * calm_variance(mapped[:, :3]) if smooths else 0.0
        self.expected = photo if config.networks.detail and any(map(_faint, (painting, photo), textures)) else None
        self.random = torch.Generator().manual_seed(config.schedule.seed)
        self.steps_done = 0
        self.members: list[Member] = []  # that are trained
        self.distils = False  # the members into one G, and does nothing else any more
        self.balance: Balance | None = None  # until it is closed
        self._begin(config.schedule.seed)

    def _begin(self, seed: int) -> None:
        """Networks with first weights, and their optimisers."""
        config, compute = self.config, self.compute
        with torch.random.fork_rng(devices=[]):  # weights are drawn on the CPU; the caller's random state stays
            torch.default_generator.manual_seed(seed)
            self.generator = Generator(config.networks, self.noisy)
            self.generator.smooth_below(self.smooth)
            self.discriminator = Discriminator(config.networks, config.crops.tile)
            self.projector = Projector(config.networks, config.losses.layers)
            self.critics = {"": self.discriminator}
            if config.looks_at_large_forms:
                self.critics["_large"] = Discriminator(config.networks, config.crops.tile)
        if self.expected is not None:
            for critic in self.critics.values():
                critic.expect(self.expected, config.networks.detail)
        for network in (self.generator, self.projector, *self.critics.values()):
            network.to(device=compute.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        self.average_heads = copy.deepcopy(self.projector).requires_grad_(False)
        self.optimisers = [self._adam(self.generator), self._adam(*self.critics.values()), self._adam(self.projector)]
        self.scaler = compute.scaler()
        self.first_step = self.steps_done

    def step(self, learning_rate: float, guidance: float = 1.0, count: int | None = None) -> dict[str, Tensor]:
        """One update of D, then of G and H, from random crops of the two pictures. Returns the detached losses.

        `guidance`, 1 in the beginning and less later on, scales the weight of the coarse guide. `count` crops of each
        picture are taken, `crops.count` by default.
        """
        losses, crops = self.config.losses, self.config.crops
        crops = replace(crops, count=count or crops.count)
        optimise_g, optimise_d, optimise_h = self.optimisers
        for optimiser in self.optimisers:
            optimiser.param_groups[0]["lr"] = learning_rate

        x = self._crops(self.painting, crops, self.outlines[0])  # (N, 3, crop, crop), with a guide (N, 6, crop, crop)
        x, guide = x.tensor_split([3], dim=1)
        y = self._crops(self.photo, crops, self.outlines[1])
        with self.compute.autocast():
            # Translate x into fake; the photo should stay what it is: same = G(y).
            both = torch.cat([x, y]) if losses.identity or losses.same else x
            features = self.generator.encode(both)
            out = self.generator.decode(both, features[-1], self._noise(both))
            fake, same = out[: len(x)], out[len(x) :]

            # Discriminators: the photo is real, the translation is not. D sees tiles, a second one crops made as small.
            report: dict[str, Tensor] = {}
            seen: dict[str, Tensor] = {}
            loss_d = torch.zeros(())
            for name, critic in self.critics.items():
                look = LOOKS[name]
                real, seen[name] = look(y, crops.tile), look(fake, crops.tile)
                report[f"D{name}"], penalty = self._discriminate(critic, real, seen[name].detach())
                loss_d = loss_d + report[f"D{name}"] + losses.r1 * losses.r1_every * penalty
        self._descend(loss_d, optimise_d)

        with self.compute.autocast():
            # Generator and heads: fool both, keep each patch recognisable, leave the photo alone.
            for name, critic in self.critics.items():
                critic.requires_grad_(False)
                report[f"G{name}"] = adversarial(critic(seen[name]))
                critic.requires_grad_(True)
            report["NCE"] = self._nce(features, out if losses.identity else fake)
            loss_g = report["G"] + losses.large * report.get("G_large", 0.0) + losses.nce * report["NCE"]
            if losses.same:
                report["same"] = mean_absolute(same, y)
                loss_g = loss_g + losses.same * report["same"]
            if losses.guide and guidance:
                report["guide"] = coarse_squared(fake, guide)
                loss_g = loss_g + losses.guide * guidance * report["guide"]
        self._descend(loss_g, optimise_g, optimise_h)
        self.scaler.update()

        self._update_average()
        self.steps_done += 1
        return {name: value.detach() for name, value in report.items()}

    def distil(self, learning_rate: float, count: int | None = None) -> dict[str, Tensor]:
        """One update of G's decoder towards what the members have in common in random crops of the painting.

        What an adversary carves into rock and water is another thing in each training, and what is the same in most
        has less of it; one that went wrong has no say. See Hinton, Vinyals, Dean 2015, "Distilling the Knowledge in a
        Neural Network", https://arxiv.org/abs/1503.02531. The encoder stays, and with it what its features tell of
        likeness. Fine detail stays too: strokes or grain made of noise lie elsewhere in each, and their median is dull.
        """
        optimiser = self.optimisers[0]
        optimiser.param_groups[0]["lr"] = learning_rate
        x, noise, translations = self._translations(count)
        with self.compute.autocast():
            loss = mean_squared(self.generator(x, noise), _consensus(translations))
        self._descend(loss, optimiser)
        self.scaler.update()
        self._update_average()
        self.steps_done += 1
        return {"distil": loss.detach()}

    def next_member(self) -> None:
        """Keep what has been learned, and begin another training, from other first weights."""
        self.members.append(Member(self.average, self.average_heads))
        self._begin(int(torch.randint(2**62, (), generator=self.random)))

    def begin_to_distil(self) -> None:
        """Keep what has been learned, and begin to `distil` the members, from the one that is nearest to the median.

        That becomes the last of them.
        """
        self.members.append(Member(self.average, self.average_heads))
        translations = self._translations()[2]
        nearest = (translations - _median(translations)).square().flatten(1).mean(1).argmin()
        self.members.append(self.members.pop(int(nearest)))
        self.average, self.average_heads = copy.deepcopy(self.members[-1])
        self.close()
        self._prepare_to_distil()

    def _prepare_to_distil(self) -> None:
        self.distils, self.first_step = True, self.steps_done
        self.generator.load_state_dict(self.average.state_dict())
        self.projector.load_state_dict(self.average_heads.state_dict())
        for part in (self.generator.stem, self.generator.down, self.generator.encoder):
            part.requires_grad_(False)
        self.optimisers[0] = self._adam(self.generator)
        self.scaler = self.compute.scaler()

    def close(self) -> None:
        """After the last step: find what gives the translated painting the photo's strength of light and colour."""
        if not self.config.colour.balance:
            return

        def translated(part: Tensor) -> Tensor:
            noise = torch.randn(1, 1, *part.shape[2:], generator=torch.Generator().manual_seed(0))
            out: Tensor = self.average(part, noise.to(part.device))
            return out.float()

        with torch.no_grad(), self.compute.autocast():
            out = in_bands(translated, self.painting[:, :3], self.average.halo)
        self.balance = balance(out, self.photo)

    def model(self, provenance: dict[str, Any] | None = None) -> Model:
        """The averaged translator so far; the last member while another is trained. It shares their weights."""
        shown = Member(self.average, self.average_heads) if self.distils or not self.members else self.members[-1]
        closed = self.texture, self.grain, self.balance
        return Model(shown.generator, self.colour, self.config, provenance or {}, *closed, shown.heads)

    def state(self) -> dict[str, Tensor]:
        """All that is needed to go on exactly, as tensors by name."""
        found = {f"{n}.{k}": v for n, net in self._networks().items() for k, v in net.state_dict().items()}
        for name, optimiser in zip("gdh", self.optimisers, strict=True):
            for index, moments in optimiser.state_dict()["state"].items():
                found |= {f"adam.{name}.{index}.{k}": v for k, v in moments.items()}
        scaler = {f"scaler.{k}": torch.tensor(v) for k, v in self.scaler.state_dict().items()}
        closed = {f"balance.{k}": v for k, v in vars(self.balance).items()} if self.balance else {}
        counts = self.steps_done, self.first_step, len(self.members), self.distils
        names = "steps_done", "first_step", "members", "distils"
        counted = {name: torch.tensor(int(count)) for name, count in zip(names, counts, strict=True)}
        return found | scaler | closed | counted | {"random": self.random.get_state()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state`. Raises KeyError, ValueError or RuntimeError where it does not fit.

        Earlier versions kept no average of the heads; it then begins anew with the heads as they are. Nor had they
        members.
        """
        heads = {f"average_heads.{k}": state[f"projector.{k}"] for k in self.projector.state_dict()}
        nothing = dict.fromkeys(("first_step", "members", "distils"), torch.tensor(0))
        state = heads | nothing | state
        member = Member(self.average, self.average_heads)
        self.members = [copy.deepcopy(member) for _ in range(int(state["members"]))]
        if state["distils"]:
            self._prepare_to_distil()
        for name, net in self._networks().items():
            net.load_state_dict({k: state[f"{name}.{k}"] for k in net.state_dict()})
        for generator in (self.generator, self.average, *(member.generator for member in self.members)):
            generator.smooth_below(float(generator.texture))
        for name, optimiser in zip("gdh", self.optimisers, strict=True):
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
        self.random.set_state(state["random"])
        self.steps_done, self.first_step = int(state["steps_done"]), int(state["first_step"])
        closed = {k.removeprefix("balance."): v for k, v in state.items() if k.startswith("balance.")}
        self.balance = Balance(**closed) if closed else None

    def _crops(self, image: Tensor, crops: Crops, outlines: Outlines | None) -> Tensor:
        return random_crops(image, crops, self.random, outlines).contiguous(memory_format=torch.channels_last)

    def _translations(self, count: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Crops (N, 3, crop, crop) of the painting, noise, and what each member gives, (K, N, 3, crop, crop)."""
        crops = replace(self.config.crops, count=count or self.config.crops.count)
        x, _ = self._crops(self.painting, crops, self.outlines[0]).tensor_split([3], dim=1)
        noise = self._noise(x)
        with torch.no_grad(), self.compute.autocast():
            return x, noise, torch.stack([member.generator(x, noise) for member in self.members])

    def _noise(self, images: Tensor) -> Tensor:
        """Standard normal (N, 1, H, W), drawn on the CPU so that every device sees the same."""
        n, _, h, w = images.shape
        return torch.randn(n, 1, h, w, generator=self.random).to(images.device)

    def _discriminate(self, critic: Discriminator, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """How badly a discriminator tells real from fake tiles, both (T, 3, tile, tile); and, at some steps, R1."""
        if self.steps_done % self.config.losses.r1_every:
            accepted, rejected = critic(torch.cat([real, fake])).chunk(2)
            return discrimination(accepted, rejected), torch.zeros(())
        accepted, penalty = r1_penalty(critic, real)  # "lazy": seldom, but as strong on average
        return discrimination(accepted, critic(fake)), penalty

    def _nce(self, features: list[Tensor], out: Tensor) -> Tensor:
        """PatchNCE between inputs and outputs, mean over layers and over the two pictures.

        `features` are G's encoder features of the inputs (N of x, then N of y), which translating has computed
        already; only those of `out` are new, and no deeper than the last layer used.
        """
        losses = self.config.losses
        queries = self.generator.encode(out, last=max(losses.layers))
        places = [_positions(queries[layer], losses.patches, losses.spread, self.random) for layer in losses.layers]
        query = self.projector([_at(queries[i], p) for i, p in zip(losses.layers, places, strict=True)])
        with torch.no_grad():
            key = self.projector([_at(features[i][: len(out)], p) for i, p in zip(losses.layers, places, strict=True)])
        pictures = 2 if losses.identity else 1  # the negatives of a patch are of its own picture
        values = [
            patch_nce(q_part, k_part, losses.temperature, losses.false_negatives)
            for q, k in zip(query, key, strict=True)
            for q_part, k_part in zip(q.chunk(pictures), k.chunk(pictures), strict=True)
        ]
        return torch.stack(values).mean()

    def _descend(self, loss: Tensor, *optimisers: torch.optim.Optimizer) -> None:
        """One step of the optimisers down the gradient of the loss."""
        for optimiser in optimisers:
            optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        for optimiser in optimisers:
            self.scaler.step(optimiser)

    def _update_average(self) -> None:
        """An exponential moving average of G's weights, faster in the first steps so that it forgets the start.

        And of H's, which belong to it: nothing of the training looks at those.
        """
        done = self.steps_done - self.first_step
        decay = min(self.config.optimisation.ema, (1 + done) / (10 + done))
        averages: list[Tensor] = [*self.average.parameters(), *self.average_heads.parameters()]
        current = [*self.generator.parameters(), *self.projector.parameters()]
        torch._foreach_lerp_(averages, [w.detach() for w in current], 1 - decay)

    def is_finite(self) -> bool:
        """Whether all weights of G, D, H and the averages are finite numbers."""
        weights = [p.detach() for network in self._networks().values() for p in network.parameters()]
        return bool(torch.stack([w.float().abs().max() for w in weights]).isfinite().all())

    def parameter_counts(self) -> dict[str, int]:
        """Of G, D and H by name."""
        trained = {name: net for name, net in self._networks().items() if not name.startswith(("average", "member"))}
        return {name: sum(p.numel() for p in net.parameters()) for name, net in trained.items()}

    def _networks(self) -> dict[str, nn.Module]:
        return {
            "generator": self.generator,
            "average": self.average,
            **{f"discriminator{name}": critic for name, critic in self.critics.items()},
            "projector": self.projector,
            "average_heads": self.average_heads,
            **{f"member.{i}.generator": member.generator for i, member in enumerate(self.members)},
            **{f"member.{i}.heads": member.heads for i, member in enumerate(self.members)},
        }

    def _adam(self, *networks: nn.Module) -> torch.optim.Adam:
        o, weights = self.config.optimisation, [p for network in networks for p in network.parameters()]
        return torch.optim.Adam(weights, lr=o.learning_rate, betas=(o.beta1, o.beta2), fused=True)


def train(
    painting: Tensor,
    photo: Tensor,
    config: Config,
    *,
    device: torch.device,
    precision: str = "auto",
    on_event: Listener = ignore,
    stop: Callable[[], bool] = lambda: False,
    started: float | None = None,
    state: dict[str, Tensor] | None = None,
    provenance: dict[str, Any] | None = None,
) -> Model:
    """Learn to translate `painting` into the look of `photo`; both (1, 3, H, W) in [-1, 1]. Returns the model.

    Where the settings allow it and the minutes have room, this is learned several times, and the last G is taught what
    all have in common.
    `started` (of `time.monotonic()`, now by default) is when `schedule.minutes` began to run. `stop` is asked after
    every step; when it says yes, a last `Checkpoint` event is sent and `Interrupted` raised. `state`, of such an event,
    goes on from there: the same steps follow as if nothing had happened, bit for bit on the same machine. Raises
    `ImageError` where a picture is too small and `TrainingError` when a loss is no longer finite.
    """
    started = time.monotonic() if started is None else started
    compute = find_compute(device, precision)
    training = Training(painting, photo, config, compute)
    plan = Plan(config, started)
    if state is not None:
        try:
            training.load_state(state)
            plan.load_state(state)
        except (KeyError, ValueError, RuntimeError, IndexError) as error:
            what = str(error).splitlines()[0]
            raise ModelError(f"the checkpoint does not fit its own settings ({what}); train anew") from None
    threads, counts = torch.get_num_threads(), training.parameter_counts()
    on_event(Started(training.steps_done, str(device), compute.precision, compute.reason, threads, counts))
    loop = _Loop(training, plan, on_event, provenance or {})
    if plan.done(training.steps_done):
        on_event(Warned(f"all {plan.steps} steps are done already; there is nothing to go on with"))
        training.close()
        return training.model(loop.provenance())
    try:
        while not plan.done(training.steps_done):
            loop.advance()
            if stop() and not plan.done(training.steps_done):
                loop.checkpoint()
                raise Interrupted(f"stopped after step {training.steps_done}")
        loop.finish()
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        fewer = f"--set crops.count={config.crops.count // 2 or 1} or --set networks.inner={config.networks.inner // 2}"
        raise TrainingError(f"the memory of {device} is not enough for these settings; use {fewer}") from None
    return training.model(loop.provenance())


class _Loop:
    """Steps with everything around them: metrics, previews and checkpoints at the cadence of the settings."""

    def __init__(self, training: Training, plan: Plan, on_event: Listener, provenance: dict[str, Any]) -> None:
        self.training, self.plan, self.on_event = training, plan, on_event
        self.output = training.config.output
        self.given = provenance
        self.sums: dict[str, Tensor] = {}
        self.summed = 0
        self.losses: dict[str, float] = {}
        self.logged = self.saved = time.monotonic()
        self.logged_step = training.steps_done
        self.preview_seconds = self.save_seconds = 0.0
        if plan.steps:
            self._announce()

    def advance(self) -> None:
        training, plan, done = self.training, self.plan, self.training.steps_done
        began = time.monotonic()
        rate = plan.learning_rate(done)
        if plan.distils:
            losses = training.distil(rate, plan.crops)
        else:
            losses = training.step(rate, plan.guidance(done), plan.crops)
        step = training.steps_done
        for name, value in losses.items():
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.summed += 1
        if not plan.steps:
            self._finite_losses()  # waits for the device, so that the step's time is true
        known = plan.steps > 0
        closing = 3.0 * self.preview_seconds + self.save_seconds + CLOSING_SECONDS  # a preview, the balance, the rest
        if plan.update(step, time.monotonic() - began, closing):
            self._announce()
            if not known and self.output.previews:
                self.preview()  # an early one, which also tells how long previews take
        over = 0 < plan.end <= step
        if step % self.output.log_every == 0 or over:
            self.progress()
        if over:
            training.close()
        if plan.steps and self._preview_due(step, over):
            self.preview()
        if over:
            self._next_phase(closing)
        if time.monotonic() - self.saved >= self.output.checkpoint_seconds and not plan.done(step):
            self.checkpoint()

    def finish(self) -> None:
        """The last checkpoint with the finished model."""
        self.checkpoint()
        self.on_event(Trained(self.training.steps_done, self.plan.elapsed(), self.losses))

    def progress(self) -> None:
        self._finite_losses()
        step, now = self.training.steps_done, time.monotonic()
        each = (now - self.logged) / max(1, step - self.logged_step)
        self.logged, self.logged_step = now, step
        left = max(0, self.plan.steps - step) * each
        rate = self.plan.learning_rate(step - 1)
        self.on_event(Progress(step, self.plan.steps, self.losses, rate, each, self.plan.elapsed(), left))
        self.sums, self.summed = {}, 0

    def preview(self) -> None:
        began = time.monotonic()
        self.on_event(Preview(self.training.steps_done, self.plan.steps, self.training.model(self.provenance())))
        self.preview_seconds = time.monotonic() - began

    def checkpoint(self) -> None:
        """All that is needed to go on, and the model; refuses to replace a good one by one that is not finite."""
        self._finite_losses()
        if not self.training.is_finite():
            self._refuse("a weight")
        began = time.monotonic()
        state = self.training.state() | self.plan.state()
        self.on_event(Checkpoint(self.training.steps_done, state, self.training.model(self.provenance())))
        self.saved = time.monotonic()
        self.save_seconds = self.saved - began

    def provenance(self) -> dict[str, Any]:
        """What the model file tells of its origin: what the caller gave, and how far the training is."""
        plan = self.plan
        done = self.training.steps_done
        progress = {"steps": done, "planned_steps": plan.steps, "crops": plan.crops, "members": plan.member}
        return {**self.given, **progress, "seconds": round(plan.elapsed(), 1), "losses": self.losses}

    def _finite_losses(self) -> None:
        """Bring the summed losses to Python; raise `TrainingError` where one is not finite."""
        if not self.summed:
            return
        means = (torch.stack([v.float().cpu() for v in self.sums.values()]) / self.summed).tolist()
        self.losses = {name: round(value, 6) for name, value in zip(self.sums, means, strict=True)}
        bad = [name for name, value in self.losses.items() if not math.isfinite(value)]
        if bad:
            self._refuse(f"the loss {', '.join(bad)}")

    def _refuse(self, what: str) -> NoReturn:
        rate = self.training.config.optimisation.learning_rate
        raise TrainingError(
            f"step {self.training.steps_done}: {what} is no longer a finite number; the last saved model is kept; "
            f"train into a new folder (-o) with --set optimisation.learning_rate={rate / 2:g} or another --seed"
        )

    def _announce(self) -> None:
        plan = self.plan
        pace, phase = plan.step_seconds(), (plan.end - plan.start, plan.member, plan.members, plan.distils)
        self.on_event(Planned(self.training.steps_done, plan.steps, pace, plan.crops, plan.ends_early, *phase))

    def _next_phase(self, closing: float) -> None:
        """Another training, or the distillation of all; nothing where the run is at its end."""
        if not self.plan.next_phase(self.training.steps_done, closing):
            return
        if self.plan.distils:
            self.training.begin_to_distil()
        else:
            self.training.next_member()
        self._announce()

    def _preview_due(self, step: int, over: bool) -> bool:
        """Evenly over the run, and at the end of each phase; while another member is trained there is nothing new."""
        count, steps = self.output.previews, self.plan.steps
        if over or (self.plan.member > 1 and not self.plan.distils):
            return over and count > 0
        return step * count // steps > (step - 1) * count // steps


def _faint(picture: Tensor, texture: float) -> bool:
    """Whether the even parts of (1, 3, H, W), of this `calm_variance`, are as good as empty: a clear or night sky."""
    return texture < FAINT**2 * float(picture.var((0, 2, 3)).mean())


def _positions(features: Tensor, count: int, spread: bool, generator: torch.Generator) -> Tensor:
    """Up to `count` distinct random positions in the maps of (N, C, H, W), the same for all N.

    With `spread`, one in each of `count` cells of a grid (drawn among the cells where `count` is no square number).
    """
    h, w = features.shape[2:]
    if not spread:
        return torch.randperm(h * w, generator=generator)[:count].to(features.device)
    cells = min(math.ceil(math.sqrt(count)), h, w)
    chosen = torch.randperm(cells**2, generator=generator)[:count]
    inside = torch.rand(2, len(chosen), generator=generator)
    rows = ((chosen // cells + inside[0]) * (h / cells)).long().clamp(max=h - 1)  # a draw of almost 1 rounds up
    columns = ((chosen % cells + inside[1]) * (w / cells)).long().clamp(max=w - 1)
    return (rows * w + columns).to(features.device)


def _at(features: Tensor, positions: Tensor) -> Tensor:
    """(N, C, H, W) at (P,) positions -> rows (N*P, C)."""
    return features.flatten(2)[:, :, positions].mT.flatten(0, 1)


def _consensus(translations: Tensor) -> Tensor:
    """The median of (K, N, 3, H, W), with the fine detail of the last: (N, 3, H, W)."""
    own = translations[-1].float()
    return own + blurred(_median(translations).float() - own, FINE)


def _median(values: Tensor) -> Tensor:
    """Over the first axis; of an even number, the mean of the two in the middle."""
    ordered, last = values.sort(dim=0).values, len(values) - 1
    return (ordered[last // 2] + ordered[-(-last // 2)]) / 2
