"""The step against the plain method, written twice."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from helpers import CPU, PLAIN, SMALL_BANK, VARIANTS, gradient_of, shrunk, style

from sincut.config.resolve import presets
from sincut.config.sections import Config, overlay
from sincut.devices import Compute
from sincut.method.bank import Bank
from sincut.method.crops import random_crops, tiles
from sincut.method.losses import adversarial, discrimination, mean_absolute, r1_penalty
from sincut.method.nce import random_choices, random_positions, rows_at
from sincut.method.term import Progress, Seen, noise_like
from sincut.method.training import Training
from sincut.nets.heads import Projector

SINCUT = [preset.name for preset in presets() if preset.config.method.algorithm == "sincut"]

RESNET_OVER_STANDARD = {"architecture": "resnet", "noise": "none", "materials": 0}
UNGUIDED = {"losses": {"guide": 0.0}}  # making the guide takes longer than all else
IN_HALF = [
    *(name for name in SINCUT if name not in (*VARIANTS, "identity")),
    "internal-and-external",
    "separate-encoders",
]


def plain_step(training: Training) -> tuple[dict[str, float], list[torch.Tensor]]:
    """One step written from the method's text, slow, in float32: nothing shared, nothing reused, keys encoded anew.

    Returns the losses and the gradients of D, which the step of G overwrites; G's and H's stay in their weights.
    """

    config, losses, random, cut = training.config, training.config.losses, training.random, training.cut
    generator, critics = cut.generator, {critic.suffix: critic.network for critic in cut.critics}
    source, target = (side.pictures[0] for side in (training.sides.source, training.sides.target))
    x = random_crops(source.stack, config.crops, random, source.outlines)
    x, guide = x[:, :3], x[:, 3:]
    y = random_crops(target.stack, config.crops, random, target.outlines)
    both = bool((losses.nce and losses.identity) or losses.same)
    noise = noise_like(torch.cat([x, y]) if both else x, random, generator)
    fake = generator(x, noise[: len(x)])
    same = generator(y, noise[len(x) :]) if both else torch.empty(0)
    views = {"": (y, fake)}
    if losses.geometry:  # GcGAN: the turned pictures are domains of their own
        turned_x, turned_y, turned_noise = (turned(each, losses.turn) for each in (x, y, noise[: len(x)]))
        turned_fake = generator(turned_x, turned_noise)
        views["_turned"] = turned_y, turned_fake
    assert set(views) == set(critics)
    values, loss = {}, torch.zeros(())
    for name, (shown, made) in views.items():
        real_tiles, critic = tiles(shown, config.crops.tile).detach().requires_grad_(), critics[name]
        real, rejected = critic(real_tiles), critic(tiles(made, config.crops.tile).detach())
        if losses.gan == "lsgan":
            values[f"D{name}"] = (rejected**2).mean() / 2 + ((1 - real) ** 2).mean() / 2
        else:
            values[f"D{name}"] = discrimination(real, rejected)
        (gradient,) = torch.autograd.grad(real.flatten(1).mean(1).sum(), real_tiles, create_graph=True)
        penalty = 0.5 * gradient.square().sum((1, 2, 3)).mean()
        loss = loss + values[f"D{name}"] + losses.r1 * losses.r1_every * penalty
    optimiser = cut.descend.optimisers["d"]
    optimiser.zero_grad()
    loss.backward()
    d_gradients = [gradient_of(parameter).clone() for critic in critics.values() for parameter in critic.parameters()]
    optimiser.step()
    total = torch.zeros(())
    for name, (_, made) in views.items():
        verdict = critics[name](tiles(made, config.crops.tile))
        values[f"G{name}"] = ((1 - verdict) ** 2).mean() if losses.gan == "lsgan" else adversarial(verdict)
        total = total + values[f"G{name}"]
    if losses.nce:
        values["NCE"] = plain_nce(training, ((x, fake), (y, same)) if losses.identity else ((x, fake),))
        total = total + losses.nce * values["NCE"]
    if losses.same:
        values["same"] = mean_absolute(same, y)
        total = total + losses.same * values["same"]
    if losses.guide:
        coarse = [picture.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).mean((3, 5)) for picture in (fake, guide)]
        values["guide"] = (coarse[0] - coarse[1]).square().mean()
        total = total + losses.guide * values["guide"]
    if losses.geometry:
        back = turned(turned(turned(turned_fake, losses.turn), losses.turn), losses.turn)
        values["geometry"] = mean_absolute(turned_fake, turned(fake, losses.turn)) + mean_absolute(fake, back)
        total = total + losses.geometry * values["geometry"]
    for name in ("distance", "self_distance"):
        if getattr(losses, name):
            values[name] = plain_distance(training, name, x, fake)
            total = total + getattr(losses, name) * values[name]
    for optimiser in (cut.descend.optimisers[group] for group in "gh" if group in cut.descend.optimisers):
        optimiser.zero_grad()
    total.backward()
    return {name: value.item() for name, value in values.items()}, d_gradients


def plain_nce(training: Training, pairs: tuple[tuple[torch.Tensor, torch.Tensor], ...]) -> torch.Tensor:
    """NCE of pairs of crops and their translations, the mean over these and the layers; each key is encoded anew."""
    losses, random, cut = training.config.losses, training.random, training.cut
    own, heads = cut.generator.encode, heads_of(training)
    key_encoder, key_heads = cut.kept.get("momentum_encoder"), cut.kept.get("momentum_projector", heads)
    query_encoder = cut.term_networks.get("query_encoder")
    assert isinstance(key_heads, Projector)
    mirrored = losses.flip_equivariance and bool(torch.rand((), generator=random) >= 0.5)
    maps = own(pairs[0][0])
    places = [random_positions(maps[layer].shape[2:], losses.patches, losses.spread, random) for layer in losses.layers]
    terms = []
    for index, (layer, place) in enumerate(zip(losses.layers, places, strict=True)):
        for picture, (given, output) in enumerate(pairs):
            # FastCUT: the picture as it was before it was mirrored for G, and the output mirrored back.
            seen = output.detach() if losses.nce_updates == "encoder" else output
            k = (key_encoder or own)(given.flip(3) if mirrored else given)[layer]
            q = (query_encoder or own)(seen)[layer]
            q = q.flip(3) if mirrored else q
            k, q = key_heads.heads[index](rows_at(k, place)), heads.heads[index](rows_at(q, place))
            k, q = (rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-12) for rows in (k, q))
            terms.append(plain_contrast(training, q, k.detach(), index * len(pairs) + picture))
    return torch.stack(terms).mean()


def turned(crops: torch.Tensor, turn: str) -> torch.Tensor:
    """(N, C, s, s) by 90 degrees clockwise, or upside down; three times is the inverse of once."""
    return crops.transpose(2, 3).flip(3) if turn == "rotation" else crops.flip(2)


def plain_distance(training: Training, name: str, x: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    """How far standardised distances of G(x) are from those of x; means and deviations are measured anew, by loops."""

    def distances(crops: torch.Tensor) -> list[torch.Tensor]:
        if name == "self_distance":
            middle = crops.shape[3] // 2
            return [(crop[:, :, :middle] - crop[:, :, middle:]).abs().mean() for crop in crops]
        return [(crops[i] - crops[j]).abs().mean() for j in range(len(crops)) for i in range(j)]

    standardised = []
    for side, crops in ((training.sides.source, x), (training.sides.target, fake)):
        (picture,), random, known = side.pictures, torch.Generator().manual_seed(0), list[float]()
        for _ in range(32):
            drawn = random_crops(picture.stack, training.config.crops, random, picture.outlines)[:, :3]
            known += [distance.item() for distance in distances(drawn)]
        mean = sum(known) / len(known)
        deviation = (sum((value - mean) ** 2 for value in known) / len(known)) ** 0.5
        standardised.append([(distance - mean) / deviation for distance in distances(crops)])
    before, after = standardised
    return torch.stack([(a - b).abs() for a, b in zip(before, after, strict=True)]).mean()


def plain_contrast(training: Training, q: torch.Tensor, k: torch.Tensor, slot: int) -> torch.Tensor:
    """-log of the positive's share among it and the negatives, the mean over the queries: all products, then a mask."""
    losses, rows = training.config.losses, len(q)
    internal, bank = losses.negatives != "external", training.cut.kept.get("bank")
    stored = bank.keys[slot, : bank.queued[slot]].to(k) if isinstance(bank, Bank) else k[:0]
    pool = torch.cat([k, stored]) if internal else stored
    allowed = torch.ones(rows, len(pool), dtype=torch.bool)
    if internal:
        allowed[:, :rows] = ~torch.eye(rows, dtype=torch.bool)
    if losses.most_negatives:
        available = int(allowed[0].sum())
        drawn = random_choices(rows, min(losses.most_negatives, available), available, training.random)
        for row, chosen in zip(allowed, drawn, strict=True):
            candidates = row.nonzero().flatten()
            row[:] = False
            row[candidates[chosen]] = True
    if losses.false_negatives < 1:
        allowed &= k @ pool.T <= losses.false_negatives
    positive = (q * k).sum(1) / losses.temperature
    others = ((q @ pool.T / losses.temperature).exp() * allowed).sum(1)
    return ((positive.exp() + others).log() - positive).mean()


def in_double(training: Training) -> Training:
    """The training with networks and pictures in float64."""
    source, target = (
        replace(side, pictures=tuple(replace(each, stack=each.stack.double()) for each in side.pictures))
        for side in training.sides[:2]
    )
    training.sides = training.cut.sides = training.sides._replace(source=source, target=target)
    for network in training.cut.networks().values():
        if not isinstance(network, Bank):  # heads give float32
            network.double()
    return training


def heads_of(training: Training) -> Projector:
    projector = training.cut.term_networks["projector"]
    assert isinstance(projector, Projector)
    return projector


def critics_of(training: Training) -> list[torch.nn.Parameter]:
    return [parameter for critic in training.cut.critics for parameter in critic.network.parameters()]


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        *((name, UNGUIDED if name == "identity" else {}) for name in SINCUT),
        *((f"standard+{name}", UNGUIDED) for name in ("fastcut", *VARIANTS)),
        ("standard+identity+last-layer", UNGUIDED),
        ("fastcut+external", {"schedule": {"seed": 1}}),
        ("fastcut+internal-and-external", {"schedule": {"seed": 2}}),
        ("standard+identity+internal-and-external+fifteen-negatives", {"losses": {"most_negatives": 3, "guide": 0.0}}),
        ("external+fifteen-negatives+separate-encoders", {}),
        ("cut+external+separate-encoders", {}),
        ("standard", {"losses": {"identity": True, "same": 1.0, "guide": 0.0}}),
        ("standard", {"losses": {"nce": 0.0}}),
        ("standard", {"losses": {"distance": 1.0, "self_distance": 0.5, "geometry": 3.0, "turn": "flip"}}),
        ("paper", {"losses": {"geometry": 20.0}}),  # beside G(y)
        ("cut", {"crops": {"count": 1}}),
        ("cut", {"losses": {"gan": "non-saturating", "r1": 2.0}, "networks": {"architecture": "stylegan2"}}),
        ("standard", {"networks": {"architecture": "pyramid", "middle": 6, "noise": "all"}}),
        ("standard", {"losses": {"gan": "lsgan"}, "networks": RESNET_OVER_STANDARD}),
        ("fastcut", {"schedule": {"seed": 1}}),
        ("fastcut", {"schedule": {"seed": 2}}),
        ("standard", {"losses": {"flip_equivariance": True, "identity": True}}),
        ("standard", {"losses": {"identity": True, "same": 1.0, "patches": 16, "spread": False, "r1_every": 1}}),
    ],
)
def test_step_agrees_with_the_plain_method(
    preset: str, changes: dict[str, dict[str, Any]], pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    config = overlay(overlay(shrunk(preset), SMALL_BANK), changes)
    fast, slow = (Training(*pictures, config, PLAIN) for _ in range(2))
    if config.networks.architecture == "resnet" or config.networks.critic == "patchgan":
        fast, slow = in_double(fast), in_double(slow)  # biases before a normalisation: their gradients are 0
    rate = config.optimisation.learning_rate
    if config.losses.negatives != "internal":  # before, the bank is empty
        for training in (fast, fast, slow, slow):
            training.step(rate)
    got = {name: value.item() for name, value in fast.step(rate, Progress()).items()}
    want, d_gradients = plain_step(slow)
    assert got == pytest.approx(want, rel=1e-4)
    for a, b in zip(critics_of(fast), d_gradients, strict=True):
        torch.testing.assert_close(a.grad, b, rtol=1e-3, atol=1e-5)
    generators = fast.cut.generator.named_parameters(), slow.cut.generator.parameters()
    for (name, a), b in zip(*generators, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-5, msg=partial("{}: {}".format, name))
    heads = ([p for net in t.cut.term_networks.values() for p in net.parameters()] for t in (fast, slow))
    for a, b in zip(*heads, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("preset", "dtype"),
    [*((name, torch.bfloat16) for name in IN_HALF), ("standard", torch.float16)],
)
def test_half_precision_step_is_near_the_plain_method(
    preset: str, dtype: torch.dtype, pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """Losses within 5 %, the gradients of each network in the same direction (cosine above 0.98) and length (10 %).

    In the median of five seeds: in so small networks one patch may have next to no features, or lie just at
    `losses.false_negatives`, and then rounding decides; a gradient beyond float16 is no number (the scaler leaves such
    a step out).
    """
    losses, cosines, lengths = [], [], []
    for seed in range(5):
        config = overlay(shrunk(preset), {"schedule": {"seed": seed}})
        fast, slow = Training(*pictures, config, Compute(CPU, dtype, "test")), Training(*pictures, config, PLAIN)
        got = {name: value.item() for name, value in fast.step(0.0).items()}  # D stays, so that G sees the same one
        slow.cut.descend.optimisers["d"].param_groups[0]["lr"] = 0.0
        want, d_gradients = plain_step(slow)
        assert got.keys() == want.keys()
        losses.append([got[name] / want[name] for name in want])
        trained = [p for p in slow.cut.generator.parameters() if p.requires_grad]
        pairs: list[tuple[Iterable[torch.Tensor], list[torch.Tensor]]] = [
            (critics_of(fast), d_gradients),
            (fast.cut.generator.parameters(), [gradient_of(p) for p in trained]),
        ]
        if "projector" in slow.cut.term_networks:
            pairs.append((heads_of(fast).parameters(), [gradient_of(p) for p in heads_of(slow).parameters()]))
        flat = [
            [torch.cat([g.flatten() for g in gradients]) for gradients in (own, plain)]
            for weights, plain in pairs
            for own in [[gradient_of(p) for p in weights if p.requires_grad]]
        ]
        cosines.append([torch.cosine_similarity(a, b, dim=0).item() for a, b in flat])
        lengths.append([(a.norm() / b.norm()).item() for a, b in flat])
    assert np.median(losses, axis=0) == pytest.approx(1, rel=0.05)
    assert (np.median(np.nan_to_num(cosines), axis=0) > 0.98).all()  # no number is as bad as none alike
    assert np.median(np.nan_to_num(lengths), axis=0) == pytest.approx(1, rel=0.1)


def test_switching_identity_off_leaves_the_photo_out(tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    config = overlay(tiny, {"losses": {"identity": False, "same": 0.0}})
    training = Training(*pictures, config, PLAIN)
    seen: list[int] = []
    style(training.cut.generator).stem.register_forward_hook(lambda module, args, out: seen.append(len(args[0])))
    losses = training.step(0.002)
    assert seen == [2, 2]  # the crops of the painting, then their translations; nothing of the photo
    assert "same" not in losses and losses["NCE"].isfinite()


def test_the_gradient_penalty_comes_every_few_steps(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    training = Training(*pictures, overlay(tiny, {"losses": {"r1_every": 3}}), PLAIN)

    def counted(discriminator: torch.nn.Module, tiles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        calls.append(training.steps_done)
        return r1_penalty(discriminator, tiles)

    monkeypatch.setattr("sincut.method.critic.r1_penalty", counted)
    for _ in range(7):
        training.step(0.002)
    assert calls == [0, 3, 6]


def test_keys_get_no_gradient_and_d_is_frozen_for_g(tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    training = Training(*pictures, tiny, PLAIN)
    training.step(0.002)
    weights = critics_of(training)
    before = [gradient_of(p).clone() for p in weights]
    given, query = torch.randn(2, 3, 32, 32), torch.randn(2, 3, 32, 32, requires_grad=True)
    inputs = [f.detach().requires_grad_() for f in training.cut.generator.encode(given)]
    training.cut.generator.zero_grad()
    seen = Seen(given, given, given, query, query, query, inputs, {})
    (nce,) = training.cut.terms[0].parts(seen, Progress())
    nce.value.backward()
    assert all(f.grad is None for f in inputs)
    assert query.grad is not None
    assert all(torch.equal(a, gradient_of(p)) for a, p in zip(before, weights, strict=True))
    assert all(p.requires_grad for p in weights)


def test_training_lowers_the_contrastive_loss(tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    hard = {"nce": 50.0, "patches": 32, "spread": False, "false_negatives": 1.0}
    config = overlay(tiny, {"losses": hard, "networks": {"residual": 0.0}, "colour": {"map": False}})
    training = Training(*pictures, config, PLAIN)
    values = [training.step(0.01)["NCE"].item() for _ in range(60)]
    assert np.mean(values[-15:]) < 0.8 * np.mean(values[:15])


def test_initial_weights_depend_on_the_seed_alone(tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = Training(*pictures, tiny, PLAIN)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    second = Training(*pictures, tiny, PLAIN)
    third = Training(*pictures, overlay(tiny, {"schedule": {"seed": 1}}), PLAIN)
    weights = [style(t.cut.generator).stem.weight for t in (first, second, third)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_a_step_takes_as_many_crops_as_it_is_told(tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    told = Training(*pictures, tiny, PLAIN).step(0.002, count=3)
    own = Training(*pictures, overlay(tiny, {"crops": {"count": 3}}), PLAIN).step(0.002)
    assert told == own != Training(*pictures, tiny, PLAIN).step(0.002)
