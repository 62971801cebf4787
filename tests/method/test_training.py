"""The step, the plan, the colour map, and going on exactly where a run stopped."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import scene
from kornia.color import rgb_to_grayscale
from kornia.filters import gaussian_blur2d

from sincut.config.sections import Config, load_preset, overlay, presets
from sincut.devices import Compute, find_compute, use_fast_kernels
from sincut.errors import ImageError, Interrupted, TrainingError
from sincut.events import Checkpoint, Event, Planned, Preview, Progress, Started, Trained
from sincut.method.losses import adversarial, discrimination, mean_absolute, patch_nce, r1_penalty
from sincut.method.plan import Plan
from sincut.method.training import Training, _at, _consensus, _median, _positions, train
from sincut.model.model import Model
from sincut.nets.colour import colour_transport
from sincut.nets.layers import EqualConv2d, chroma_grain
from sincut.pictures.picture import to_tensor

CPU = torch.device("cpu")
PLAIN = Compute(CPU, torch.float32, "test")


@pytest.fixture
def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    return to_tensor(scene(72, 90, 1)), to_tensor(scene(70, 80, 2))


def tensors_of(events: list[Event]) -> dict[str, torch.Tensor]:
    return next(event.state for event in reversed(events) if isinstance(event, Checkpoint))


def snapshot(events: list[Event]):
    """A listener that keeps events, with the checkpoint's tensors copied: they go on changing."""

    def listen(event: Event) -> None:
        if isinstance(event, Checkpoint):
            event = replace(event, state={k: v.clone() for k, v in event.state.items()})
        events.append(event)

    return listen


def test_colour_transport_gives_the_photo_s_mean_and_covariance(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    painting, photo = pictures
    mapped = colour_transport(painting, photo)(painting)
    a, b = mapped[0].flatten(1), photo[0].flatten(1)
    torch.testing.assert_close(a.mean(1), b.mean(1), atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.cov(a), torch.cov(b), atol=3e-3, rtol=0.05)


def test_colour_transport_of_a_picture_to_itself_changes_nothing(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    mapped = colour_transport(pictures[0], pictures[0])(pictures[0])
    torch.testing.assert_close(mapped, pictures[0], atol=1e-5, rtol=0)


def test_grain_of_colour_is_taken_down_to_the_photo_s(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    painting, photo = pictures
    tiny = overlay(tiny, {"colour": {"smooth": 0.0}, "networks": {"smooth": 0.0}})  # strokes are another matter
    speckle = 0.2 * torch.randn(painting.shape, generator=torch.Generator().manual_seed(0))
    grainy = Training(painting + speckle, photo, tiny, PLAIN)
    mapped = grainy.colour(painting + speckle)
    assert grainy.grain == pytest.approx(chroma_grain(photo) / chroma_grain(mapped)) and grainy.grain < 0.5
    assert chroma_grain(grainy.painting[:, :3]) < 0.6 * grainy.grain * chroma_grain(mapped)
    image = torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(1)) * 2 - 1
    model, kept = grainy.model(), replace(grainy.model(), grain=1.0)
    assert model.grain == grainy.grain and chroma_grain(model._prepared(image)) < 0.5 * chroma_grain(
        kept._prepared(image)
    )
    grainier = Training(painting, photo + speckle[..., :70, :80], tiny, PLAIN)
    assert grainier.grain == 1  # a photo with more of it asks for nothing
    left = Training(painting + speckle, photo, overlay(tiny, {"colour": {"grain": False}}), PLAIN)
    assert left.grain == 1 and torch.equal(left.painting[:, :3], mapped)


def test_noise_is_there_where_the_photo_has_texture_that_the_painting_lacks(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor], tmp_path: Path
) -> None:
    painting, photo = pictures
    speckle = 0.4 * torch.randn(photo.shape, generator=torch.Generator().manual_seed(0))
    training = Training(painting, photo + speckle, tiny, PLAIN)
    assert len(training.generator.noise) == 1 and training.model().config == tiny
    image = painting[..., :40, :48]

    def differs(model: Model) -> bool:
        one, other = (torch.randn(1, 1, 40, 48, generator=torch.Generator().manual_seed(seed)) for seed in range(2))
        model.generator.up.noise_gain.data.zero_()
        return not torch.equal(model.translate(image, one), model.translate(image, other))

    assert not differs(training.model())
    for _ in range(3):
        training.step(0.01)
    assert differs(training.model())
    training.model().save(tmp_path / "noisy.safetensors")
    assert differs(Model.load(tmp_path / "noisy.safetensors"))
    off = overlay(tiny, {"networks": {"noise": False}})
    for pair, config in (((painting, photo), tiny), ((painting, photo + speckle), off)):
        plain = Training(*pair, config, PLAIN)
        assert not plain.generator.noise and plain.model().config == config
        for _ in range(3):
            plain.step(0.01)
        assert bool(plain.average.up.noise_gain) == (config is off)  # elsewhere there is none at all
        plain.model().save(tmp_path / "plain.safetensors")
        assert not Model.load(tmp_path / "plain.safetensors").generator.noise
        plain.step(0.01)
        assert not differs(plain.model())


def test_a_finished_translation_has_the_photo_s_strengths(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    painting, photo = pictures
    tiny = overlay(tiny, {"colour": {"smooth": 0.0}, "networks": {"smooth": 0.0}})  # the strokes stay
    rough = painting + 0.5 * torch.randn(painting.shape, generator=torch.Generator().manual_seed(0))
    ended: list[Event] = []
    model = train(rough, photo, tiny, device=CPU, on_event=snapshot(ended))
    assert model.balance is not None
    noise = torch.randn(1, 1, *rough.shape[2:], generator=torch.Generator().manual_seed(0))

    def fine(picture: torch.Tensor) -> torch.Tensor:
        luma = rgb_to_grayscale(picture)
        return (luma - gaussian_blur2d(luma, (19, 19), (3.0, 3.0), border_type="replicate")).abs().mean()

    own = model.translate(rough, noise), replace(model, balance=None).translate(rough, noise)
    now, before = (float(fine(picture) / fine(photo)) for picture in own)
    assert abs(now - 1) < 0.15 < 0.3 < before - 1
    assert next(e for e in ended if isinstance(e, Preview)).model.balance is None  # until it is closed
    again = train(rough, photo, tiny, device=CPU, state=tensors_of(ended))  # nothing is left to do
    assert again.balance is not None and torch.equal(again.balance.gains, model.balance.gains)
    left = train(rough, photo, overlay(tiny, {"colour": {"balance": False}}), device=CPU)
    assert left.balance is None


def test_colour_transport_keeps_greys_tame(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    grey = pictures[0].mean(1, keepdim=True).expand(1, 3, -1, -1)
    for first, second in ((grey, pictures[1]), (torch.zeros_like(grey), pictures[1]), (pictures[1], grey)):
        mapping = colour_transport(first, second)
        assert mapping.matrix.abs().max() < 20
        assert mapping(first).isfinite().all()


def plain_step(training: Training) -> tuple[dict[str, float], list[torch.Tensor]]:
    """One step written from the method's text, slow, in float32: nothing shared, nothing reused, keys encoded anew.

    Returns the losses and the gradients of D, which the step of G overwrites; G's and H's stay in their weights.
    """
    from sincut.method.crops import random_crops, tiles

    def half(crops: torch.Tensor) -> torch.Tensor:
        return crops.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean((3, 5))

    config, losses, random = training.config, training.config.losses, training.random
    x = random_crops(training.painting, config.crops, random, training.outlines[0])
    x, guide = x[:, :3], x[:, 3:]
    y = random_crops(training.photo, config.crops, random, training.outlines[1])
    both = bool(losses.identity or losses.same)
    noise = torch.randn(len(x) * (2 if both else 1), 1, *x.shape[2:], generator=random)
    fake = training.generator(x, noise[: len(x)])
    same = training.generator(y, noise[len(x) :]) if both else None
    views: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"": lambda crops: tiles(crops, config.crops.tile)}
    if losses.large and config.crops.tile < config.crops.size:
        views["_large"] = half
    assert set(views) == set(training.critics)
    found, loss = {}, torch.zeros(())
    for name, view in views.items():
        real_tiles, critic = view(y).detach().requires_grad_(), training.critics[name]
        real, rejected = critic(real_tiles), critic(view(fake).detach())
        found[f"D{name}"] = discrimination(real, rejected)
        (gradient,) = torch.autograd.grad(real.sum(), real_tiles, create_graph=True)
        penalty = 0.5 * gradient.square().sum((1, 2, 3)).mean()
        loss = loss + found[f"D{name}"] + losses.r1 * losses.r1_every * penalty
    optimiser = training.optimisers[1]
    optimiser.zero_grad()
    loss.backward()
    d_gradients = [parameter.grad.clone() for critic in training.critics.values() for parameter in critic.parameters()]
    optimiser.step()
    for name, view in views.items():
        found[f"G{name}"] = adversarial(training.critics[name](view(fake)))
    places = [_positions(training.generator.encode(x)[i], losses.patches, losses.spread, random) for i in losses.layers]
    terms = []
    for source, output in ((x, fake), (y, same)) if losses.identity else ((x, fake),):
        keys, queries = training.generator.encode(source), training.generator.encode(output)
        for head, (layer, place) in enumerate(zip(losses.layers, places, strict=True)):
            k, q = (training.projector.heads[head](_at(f[layer], place)) for f in (keys, queries))
            k, q = (rows / rows.norm(dim=1, keepdim=True).clamp(min=1e-12) for rows in (k, q))
            terms.append(patch_nce(q, k.detach(), losses.temperature, losses.false_negatives))
    found["NCE"] = torch.stack(terms).mean()
    total = found["G"] + losses.large * found.get("G_large", 0.0) + losses.nce * found["NCE"]
    if losses.same:
        found["same"] = mean_absolute(same, y)
        total = total + losses.same * found["same"]
    if losses.guide:
        coarse = [picture.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).mean((3, 5)) for picture in (fake, guide)]
        found["guide"] = (coarse[0] - coarse[1]).square().mean()
        total = total + losses.guide * found["guide"]
    for index in (0, 2):
        training.optimisers[index].zero_grad()
    total.backward()
    return {name: value.item() for name, value in found.items()}, d_gradients


def shrunk(preset: str) -> Config:
    """The method of a preset at a size that takes milliseconds."""
    config = load_preset(preset).config
    tile = 16 if config.crops.tile < config.crops.size else 32
    widths = {"low": 40.0, "high": 64.0} if config.crops.scale == "width" else {"low": 0.8, "high": 1.0}
    layers = tuple(min(layer, 3) for layer in config.losses.layers if layer < 4)
    return overlay(
        config,
        {
            "crops": {"size": 32, "tile": tile, "count": 2, **widths},
            "networks": {"stem": 4, "inner": 8, "blocks": 2, "discriminator": 0.05, "features": 8},
            "losses": {"layers": layers},
        },
    )


@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        *((preset.name, {}) for preset in presets()),
        ("standard", {"losses": {"identity": True, "same": 1.0, "guide": 0.0, "large": 0.0}}),
        ("standard", {"losses": {"large": 2.5}}),
        ("standard", {"losses": {"identity": True, "same": 1.0, "patches": 16, "spread": False, "r1_every": 1}}),
    ],
)
def test_step_agrees_with_the_plain_method(
    preset: str, changes: dict[str, dict[str, float]], pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    config = overlay(shrunk(preset), changes)
    fast, slow = (Training(*pictures, config, PLAIN) for _ in range(2))
    got = {name: value.item() for name, value in fast.step(config.optimisation.learning_rate).items()}
    want, d_gradients = plain_step(slow)
    assert got == pytest.approx(want, rel=1e-4)
    critics = [parameter for critic in fast.critics.values() for parameter in critic.parameters()]
    for a, b in zip(critics, d_gradients, strict=True):
        torch.testing.assert_close(a.grad, b, rtol=1e-3, atol=1e-5)
    for (name, a), b in zip(fast.generator.named_parameters(), slow.generator.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}")
    for a, b in zip(fast.projector.parameters(), slow.projector.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("preset", "dtype"),
    [*((preset.name, torch.bfloat16) for preset in presets()), ("standard", torch.float16)],
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
        slow.optimisers[1].param_groups[0]["lr"] = 0.0
        want, d_gradients = plain_step(slow)
        assert got.keys() == want.keys()
        losses.append([got[name] / want[name] for name in want])
        pairs = [
            (torch.nn.ModuleList(fast.critics.values()), d_gradients),
            (fast.generator, [p.grad for p in slow.generator.parameters() if p.requires_grad]),
            (fast.projector, [p.grad for p in slow.projector.parameters()]),
        ]
        flat = [
            [torch.cat([g.flatten() for g in gradients]) for gradients in (own, plain)]
            for network, plain in pairs
            for own in [[p.grad for p in network.parameters() if p.requires_grad]]
        ]
        cosines.append([torch.cosine_similarity(a, b, dim=0).item() for a, b in flat])
        lengths.append([(a.norm() / b.norm()).item() for a, b in flat])
    cosines, lengths = np.nan_to_num(cosines), np.nan_to_num(lengths)  # no number is as bad as none alike
    assert np.median(losses, axis=0) == pytest.approx(1, rel=0.05)
    assert (np.median(cosines, axis=0) > 0.98).all()
    assert np.median(lengths, axis=0) == pytest.approx(1, rel=0.1)


def test_switching_identity_off_leaves_the_photo_out(tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    config = overlay(tiny, {"losses": {"identity": False, "same": 0.0}})
    training = Training(*pictures, config, PLAIN)
    seen: list[int] = []
    training.generator.stem.register_forward_hook(lambda module, args, out: seen.append(len(args[0])))
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

    monkeypatch.setattr("sincut.method.training.r1_penalty", counted)
    for _ in range(7):
        training.step(0.002)
    assert calls == [0, 0, 3, 3, 6, 6]  # of both discriminators


def test_detail_is_brought_out_where_a_picture_is_as_good_as_empty(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    painting, photo = pictures
    night = photo.clone()
    night[:, :, : night.shape[2] * 2 // 3] = -0.9  # a sky without anything
    for first, second, wanted in ((painting, photo, 0.0), (painting, night, 3.0), (night, painting, 3.0)):
        critics = Training(first, second, tiny, PLAIN).critics.values()
        assert [critic.detail for critic in critics] == [wanted] * 2
    never = Training(painting, night, overlay(tiny, {"networks": {"detail": 0.0}}), PLAIN)
    assert never.discriminator.detail == 0


def test_keys_get_no_gradient_and_d_is_frozen_for_g(tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    training = Training(*pictures, tiny, PLAIN)
    training.step(0.002)
    weights = [parameter for critic in training.critics.values() for parameter in critic.parameters()]
    before = [p.grad.clone() for p in weights]
    features = training.generator.encode(torch.randn(2, 3, 32, 32))
    query = torch.randn(2, 3, 32, 32, requires_grad=True)
    training.generator.zero_grad()
    inputs = [f.detach().requires_grad_() for f in features]
    training._nce(inputs, query).backward()
    assert all(f.grad is None for f in inputs)
    assert query.grad is not None
    assert all(torch.equal(a, p.grad) for a, p in zip(before, weights, strict=True))
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
    weights = [t.generator.stem.weight for t in (first, second, third)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def check_that_resumed_equals_uninterrupted(
    config: Config, pictures: tuple[torch.Tensor, torch.Tensor], steps: int, precision: str = "float32"
) -> list[Event]:
    """All events of a run that was stopped after so many steps and went on; its last state is that of a whole run."""
    whole: list[Event] = []
    train(*pictures, config, device=CPU, precision=precision, on_event=snapshot(whole))
    parts: list[Event] = []
    count = iter(range(1, 100))
    with pytest.raises(Interrupted):
        stop = lambda: next(count) == steps  # noqa: E731
        train(*pictures, config, device=CPU, precision=precision, on_event=snapshot(parts), stop=stop)
    state = tensors_of(parts)
    assert int(state["steps_done"]) == steps
    train(*pictures, config, device=CPU, precision=precision, on_event=snapshot(parts), state=state)
    want, got = tensors_of(whole), tensors_of(parts)
    assert int(want["steps_done"]) > steps and set(want) == set(got)
    for name in want:
        if name != "plan":  # holds the seconds
            assert torch.equal(want[name], got[name]), name
    return parts


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_resumed_equals_uninterrupted_bit_for_bit(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor], precision: str
) -> None:
    config = overlay(tiny, {"schedule": {"steps": 12}, "losses": {"r1_every": 3}})
    check_that_resumed_equals_uninterrupted(config, pictures, 5, precision)


@pytest.mark.parametrize("steps", [2, 4, 7, 8, 10])
def test_an_ensemble_resumes_bit_for_bit_in_each_of_its_phases(
    ensemble: Config, pictures: tuple[torch.Tensor, torch.Tensor], steps: int
) -> None:
    events = check_that_resumed_equals_uninterrupted(ensemble, pictures, steps)
    stopped, ended = [event for event in events if isinstance(event, Checkpoint)]
    assert (stopped.model.balance is None) == (steps < 4)  # later there is a member that is at its end
    assert ended.step == 11 and ended.model.balance is not None


def test_checkpoints_without_an_average_of_the_heads_go_on_alike(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    events: list[Event] = []
    count = iter(range(1, 100))
    with pytest.raises(Interrupted):
        train(*pictures, tiny, device=CPU, on_event=snapshot(events), stop=lambda: next(count) == 2)
    state = tensors_of(events)
    old = {name: value for name, value in state.items() if not name.startswith("average_heads.")}
    assert len(old) < len(state)
    ends = []
    for begun in (state, old):
        train(*pictures, tiny, device=CPU, on_event=snapshot(events), state={k: v.clone() for k, v in begun.items()})
        ends.append(tensors_of(events))
    for name, value in ends[0].items():
        if name != "plan" and not name.startswith("average_heads."):
            assert torch.equal(value, ends[1][name]), name


def test_events_come_in_order_and_at_their_cadence(tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    events: list[Event] = []
    train(*pictures, tiny, device=CPU, on_event=events.append)
    kinds = [type(event) for event in events]
    assert kinds[:2] == [Started, Planned] and kinds[-2:] == [Checkpoint, Trained]
    assert [e.step for e in events if isinstance(e, Progress)] == [2, 4]
    assert [e.step for e in events if isinstance(e, Preview)] == [2, 4]
    assert all(np.isfinite(list(e.losses.values())).all() for e in events if isinstance(e, Progress))


def test_a_loss_that_is_not_finite_stops_and_saves_nothing(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = 0
    forward = EqualConv2d.forward

    def poisoned(self: EqualConv2d, x: torch.Tensor, padded: bool = True) -> torch.Tensor:
        return forward(self, x, padded) * (float("nan") if done >= 2 else 1)

    monkeypatch.setattr(EqualConv2d, "forward", poisoned)
    events: list[Event] = []
    finite: list[bool] = []

    def listen(event: Event) -> None:
        nonlocal done
        events.append(event)
        if isinstance(event, Checkpoint):  # now: the tensors go on changing
            finite.append(all(value.isfinite().all() for value in event.model.generator.parameters()))
        done = event.step if isinstance(event, Progress) else done

    config = overlay(tiny, {"schedule": {"steps": 6}, "output": {"checkpoint_seconds": 0.0}})
    with pytest.raises(TrainingError, match=r"learning_rate=0\.001"):
        train(*pictures, config, device=CPU, on_event=listen)
    saved = [event for event in events if isinstance(event, Checkpoint)]
    assert saved and saved[-1].step == 2
    assert all(finite)


def test_average_is_the_formula(tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    training = Training(*pictures, tiny, PLAIN)
    average = training.average.stem.weight.clone()
    for step in range(3):
        training.step(0.002)
        decay = min(tiny.optimisation.ema, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * training.generator.stem.weight
    torch.testing.assert_close(training.average.stem.weight, average.detach())


def test_fewer_positions_than_patches_keep_pictures_apart(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []

    def counted(query: torch.Tensor, *rest: object) -> torch.Tensor:
        rows.append(len(query))
        return query.sum()

    monkeypatch.setattr("sincut.method.training.patch_nce", counted)
    Training(*pictures, overlay(tiny, {"losses": {"patches": 5000, "spread": False}}), PLAIN).step(0.002)
    assert rows == [2 * 32 * 32] * 2 + [2 * 16 * 16] * 4


def test_positions_are_distinct_and_spread() -> None:
    features = torch.zeros(1, 2, 8, 12)
    generator = torch.Generator().manual_seed(0)
    for spread in (False, True):
        for count in (1, 4, 7, 16):
            places = _positions(features, count, spread, generator)
            assert len(set(places.tolist())) == count and places.max() < 96
    quarters = {(p // 12 // 4, p % 12 // 6) for p in _positions(features, 4, True, generator).tolist()}
    assert len(quarters) == 4


def test_rows_are_the_features_at_the_positions() -> None:
    features = torch.randn(2, 3, 4, 5)
    rows = _at(features, torch.tensor([7, 0]))
    torch.testing.assert_close(rows, torch.stack([features[n, :, i // 5, i % 5] for n in (0, 1) for i in (7, 0)]))


class Clock:
    """Time that stands still until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("sincut.method.plan.time.monotonic", lambda: self.now)


def drive(plan: Plan, clock: Clock, pace, closing: float = 5.0) -> int:
    """Run a plan with steps of `pace(step)` seconds to its end."""
    step = 0
    while not plan.done(step):
        seconds = pace(step)
        clock.now += seconds
        step += 1
        plan.update(step, seconds, closing)
        if step == plan.end:
            plan.next_phase(step, closing)
    return step


@pytest.mark.parametrize(
    "pace",
    [lambda step: 1.0, lambda step: 0.5 if step < 100 else 0.8, lambda step: 1.0 if step < 600 else 1.25],
    ids=["steady", "slows early", "slows late"],
)
def test_minutes_end_on_time_at_any_pace(monkeypatch: pytest.MonkeyPatch, pace) -> None:
    clock = Clock(monkeypatch)
    plan = Plan(overlay(Config(), {"schedule": {"minutes": 15.0, "enough_steps": 0}}), started=clock.now - 20)
    steps = drive(plan, clock, pace)
    assert plan.elapsed() + 5 == pytest.approx(900, rel=0.03)
    assert plan.learning_rate(steps) == 0


def test_minutes_that_are_too_few_end_after_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    plan = Plan(overlay(Config(), {"schedule": {"minutes": 1.0}}), started=clock.now)
    assert drive(plan, clock, lambda step: 12.0) <= 6


def test_a_weight_that_is_not_finite_is_never_saved(tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    events: list[Event] = []

    def poison(event: Event) -> None:
        events.append(event)
        if isinstance(event, Progress) and event.step == 4:  # after the last loss was looked at
            event_training.average.rgb.weight.data.fill_(torch.nan)

    created = Training.__init__

    def remember(self: Training, *arguments: object) -> None:
        nonlocal event_training
        created(self, *arguments)
        event_training = self

    event_training: Training
    with pytest.MonkeyPatch.context() as patch, pytest.raises(TrainingError, match="a weight"):
        patch.setattr(Training, "__init__", remember)
        train(*pictures, tiny, device=CPU, on_event=poison)
    assert not any(isinstance(event, Checkpoint) for event in events)


def test_minutes_resume_with_the_number_that_was_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    config = overlay(Config(), {"schedule": {"minutes": 10.0}})
    plan = Plan(config, clock.now)
    for step in range(1, 400):
        clock.now += 1
        plan.update(step, 1.0, 0)
    saved = plan.state()
    clock.now += 50_000
    later = Plan(config, clock.now)
    later.load_state(saved)
    assert later.steps == plan.steps and later.elapsed() == pytest.approx(399)
    assert later.learning_rate(450) == plan.learning_rate(450)


@pytest.mark.parametrize(("minutes", "crops"), [(60, 8), (20, 8), (5, 3), (2, 2)])
def test_crops_follow_the_minutes_so_that_steps_are_enough(
    monkeypatch: pytest.MonkeyPatch, minutes: float, crops: int
) -> None:
    clock = Clock(monkeypatch)
    schedule = {"minutes": minutes, "least_steps": 700, "enough_steps": 0}
    config = overlay(Config(), {"crops": {"count": 8}, "schedule": schedule})
    plan = Plan(config, clock.now)
    steps = drive(plan, clock, lambda step: 0.1 + 0.1 * plan.crops)
    assert plan.crops == crops and (steps >= 700 or crops == 2)
    assert plan.elapsed() + 5 == pytest.approx(60 * minutes, rel=0.03)
    later = Plan(config, clock.now)
    later.load_state(plan.state())
    assert later.crops == crops


@pytest.mark.parametrize(("enough", "minutes"), [(1000, 60), (0, 60), (1000, 5)])
def test_a_run_ends_with_enough_steps(monkeypatch: pytest.MonkeyPatch, enough: int, minutes: float) -> None:
    clock = Clock(monkeypatch)
    schedule = {"minutes": minutes, "enough_steps": enough}
    config = overlay(Config(), {"schedule": schedule, "ensemble": {"members": 1}})
    plan = Plan(config, clock.now)
    steps = drive(plan, clock, lambda step: 0.1 * plan.crops)
    assert plan.ends_early == (steps == enough) == (enough > 0 and minutes == 60)
    assert plan.learning_rate(steps) == 0
    if not plan.ends_early:
        assert plan.elapsed() + 5 == pytest.approx(60 * minutes, rel=0.03)
    given = Plan(overlay(config, {"schedule": {"steps": 5000}}), clock.now)
    assert drive(given, clock, lambda step: 0.1) == 5000 and not given.ends_early


@pytest.mark.parametrize(("minutes", "members"), [(4, 1), (7, 1), (9, 2), (15, 3), (60, 3)])
def test_an_ensemble_has_as_many_members_as_the_minutes_have_room_for(
    monkeypatch: pytest.MonkeyPatch, minutes: float, members: int
) -> None:
    clock = Clock(monkeypatch)
    config = overlay(Config(), {"schedule": {"minutes": minutes}, "ensemble": {"members": 3, "steps": 300}})
    plan = Plan(config, clock.now - 20)
    planned: set[int] = set()
    rates: dict[int, float] = {}

    def pace(step: int) -> float:
        planned.add(plan.steps)
        rates[step] = plan.learning_rate(step)
        return 0.15 if plan.distils else 0.33

    steps = drive(plan, clock, pace)
    assert plan.members == plan.member == members and plan.distils == (members > 1)
    assert steps == (600 if members == 1 else 600 * members + 300)
    assert planned == {0, steps} and plan.ends_early == (members == 3)
    assert plan.elapsed() + 5 <= 60 * minutes
    assert [plan.guidance(plan.start), plan.learning_rate(steps)] == [1, 0]
    for first in range(600, 600 * members, 600):  # each training has the rates of the first one
        assert [rates[first + i] for i in range(600)] == [rates[i] for i in range(600)]
    assert members == 1 or rates[600 * members] == rates[0] / 2


def test_a_member_that_slows_down_leaves_time_for_the_distillation(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    plan = Plan(overlay(Config(), {"schedule": {"minutes": 15.0}}), clock.now)
    steps = drive(plan, clock, lambda step: (0.15 if plan.distils else 0.33) * (1 if step < 800 else 4))
    assert plan.elapsed() + 5 == pytest.approx(900, rel=0.05)
    assert plan.distils and plan.members == 2 and 900 < plan.start < 1200 and 100 < steps - plan.start <= 300


@pytest.mark.parametrize("interrupted", [300, 650, 1500, 1801])
def test_the_phases_of_a_plan_go_on_where_they_stopped(monkeypatch: pytest.MonkeyPatch, interrupted: int) -> None:
    clock = Clock(monkeypatch)
    config = overlay(Config(), {"schedule": {"minutes": 15.0}})
    whole, first, second = (Plan(config, clock.now) for _ in range(3))
    steps = drive(whole, clock, lambda step: 0.3)
    first.started = clock.now
    for step in range(1, interrupted + 1):
        clock.now += 0.3
        first.update(step, 0.3, 5.0)
        if step == first.end:
            first.next_phase(step, 5.0)
    state = first.state()
    clock.now += 50_000
    second.started = clock.now
    second.load_state(state)
    phase = ("start", "end", "steps", "member", "members", "distils", "crops", "checked", "since", "began")
    assert all(getattr(first, name) == getattr(second, name) for name in phase)
    assert second.learning_rate(interrupted) == first.learning_rate(interrupted)
    assert second.steps == steps


def test_while_another_member_is_trained_the_last_one_is_shown(
    ensemble: Config, pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    config = overlay(ensemble, {"output": {"log_every": 3, "previews": 11, "checkpoint_seconds": 0.0}})
    events: list[Event] = []
    weights: dict[int, torch.Tensor] = {}

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, Checkpoint):
            assert event.model.projector is not None
            parts = event.model.generator, event.model.projector
            weights[event.step] = torch.cat([p.flatten() for part in parts for p in part.parameters()]).clone()

    model = train(*pictures, config, device=CPU, on_event=listen)
    assert all(torch.equal(weights[4], weights[step]) for step in (5, 6, 7))
    assert not torch.equal(weights[3], weights[4]) and not torch.equal(weights[9], weights[8])
    assert model.provenance["members"] == 2
    assert [e.step for e in events if isinstance(e, Preview)][1:] == [1, 2, 3, 4, 8, 9, 10, 11]  # after an early one
    named = {e.step: set(e.losses) for e in events if isinstance(e, Progress)}
    assert list(named) == [3, 4, 6, 8, 9, 11]  # no mean over two phases
    assert named[9] == named[11] == {"distil"} and "NCE" in named[8]
    phases = [(e.step, e.steps, e.phase_steps, e.member, e.distils) for e in events if isinstance(e, Planned)]
    assert phases == [(1, 11, 4, 1, False), (4, 11, 4, 2, False), (8, 11, 3, 2, True)]


def test_distillation_brings_the_decoder_to_what_members_that_differ_have_in_common(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    training = Training(*pictures, overlay(tiny, {"optimisation": {"ema": 0.0}}), PLAIN)
    for _ in range(2):
        for _ in range(20):
            training.step(0.01)
        if not training.members:
            training.next_member()
    training.begin_to_distil()
    first, last = (member.generator for member in training.members)
    assert torch.equal(last.rgb.weight, training.average.rgb.weight)  # it begins as one of them
    x, noise = training.painting[:, :3], torch.randn(1, 1, *training.painting.shape[2:])

    def distance() -> float:
        with torch.no_grad():
            wanted = _consensus(torch.stack([first(x, noise), last(x, noise)]))
            return float((training.average(x, noise) - wanted).square().mean())

    before = distance()
    with torch.no_grad():
        apart = float((first(x, noise) - last(x, noise)).square().mean())
    assert apart > 1e-4 and apart / 40 < before < apart / 4  # but for fine detail, half the way lies before it
    heads = [p.clone() for p in training.average_heads.parameters()]
    losses = [float(training.distil(0.003)["distil"]) for _ in range(100)]
    assert distance() < 0.5 * before and np.mean(losses[-20:]) < np.mean(losses[:20])
    assert all(map(torch.equal, heads, training.average_heads.parameters()))
    for mine, theirs in zip(training.average.encode(x), last.encode(x), strict=True):
        assert torch.equal(mine, theirs)  # what similarity is taken from


def test_members_agree_on_forms_and_the_grain_of_one_stays() -> None:
    grain = 0.1 * torch.randn(3, 2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    translations = grain + torch.tensor([0.0, 0.2, 0.9]).view(3, 1, 1, 1, 1)
    found = _consensus(translations)
    assert float(found.mean()) == pytest.approx(0.2, abs=0.01)
    assert float(found.std()) == pytest.approx(0.1, rel=0.05)
    assert float(_median(grain).std()) < 0.07  # what their median would leave of it
    assert float((found - 0.2 - grain[-1]).std()) < 0.03


def test_a_member_that_went_wrong_has_no_say(tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    training = Training(*pictures, tiny, PLAIN)
    for _ in range(2):
        training.next_member()
    for member, shift in zip(training.members, (5.0, 0.0), strict=True):
        member.generator.rgb_bias.data.fill_(shift)
    training.average.rgb_bias.data.fill_(0.1)
    training.begin_to_distil()
    assert float(training.average.rgb_bias[0]) in (0.0, pytest.approx(0.1))
    begun = training.model().balance
    training.close()
    assert begun is not None and training.balance is not None and torch.equal(begun.gains, training.balance.gains)
    x, noise, translations = training._translations()
    wanted = _median(translations)
    assert wanted.max() < 3 and translations[0].min() > 3
    torch.testing.assert_close(_median(translations[1:]), translations[1:].mean(0))
    torch.testing.assert_close(wanted, translations.median(0).values)
    assert x.shape == wanted.shape and noise.shape[2:] == x.shape[2:]


def test_a_training_that_has_enough_steps_before_its_pace_is_known_is_closed(
    ensemble: Config, pictures: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sincut.method.plan.CALIBRATION", (6, 0.0))
    single = overlay(ensemble, {"ensemble": {"members": 1}})
    for config, steps in ((single, 6), (ensemble, 6 + 4 + 3)):
        model = train(*pictures, config, device=CPU)
        assert model.balance is not None and model.provenance["steps"] == model.provenance["planned_steps"] == steps


def test_steps_keep_their_crops_where_they_are_given_or_few_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Plan(overlay(Config(), {"crops": {"count": 8}, "schedule": {"steps": 5}}), 0.0)
    assert not given.update(3, 100.0, 0.0) and given.crops == 8
    clock = Clock(monkeypatch)
    slow, fast = (
        Plan(overlay(Config(), {"crops": {"count": 8}, "schedule": {"least_steps": 0, "enough_steps": 0}}), clock.now)
        for _ in range(2)
    )
    assert [slow.update(step, 2.0, 0.0) for step in range(1, 8)].count(True) == 1 and slow.crops == 8
    assert [fast.update(step, 0.01, 0.0) for step in range(1, 800)].count(True) == 1 and fast.crops == 8
    earlier = {"plan": slow.state()["plan"][:5]}  # as it was saved before there was a number of crops
    slow.load_state(earlier)
    assert slow.crops == 8


def test_a_step_takes_as_many_crops_as_it_is_told(tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    told = Training(*pictures, tiny, PLAIN).step(0.002, count=3)
    own = Training(*pictures, overlay(tiny, {"crops": {"count": 3}}), PLAIN).step(0.002)
    assert told == own != Training(*pictures, tiny, PLAIN).step(0.002)


def test_a_run_of_minutes_tells_how_many_crops_its_steps_have(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sincut.method.plan.CALIBRATION", (1, 0.0))
    planned: list[Planned] = []
    schedule = {"steps": 0, "minutes": 0.02, "least_steps": 1_000_000}
    config = overlay(tiny, {"crops": {"count": 4}, "schedule": schedule})
    model = train(
        *pictures, config, device=CPU, on_event=lambda e: planned.append(e) if isinstance(e, Planned) else None
    )
    assert planned[0].crops == model.provenance["crops"] == 2


def test_too_little_memory_is_told_with_what_takes_less(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sincut.method.plan.CALIBRATION", (1, 0.0))
    step = Training.step

    def costly(self: Training, learning_rate: float, guidance: float, count: int) -> dict[str, torch.Tensor]:
        if self.steps_done == 4:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return step(self, learning_rate, guidance, count)

    monkeypatch.setattr(Training, "step", costly)
    schedule = {"steps": 0, "minutes": 1.0, "least_steps": 0}
    with pytest.raises(TrainingError, match="memory of cpu is not enough") as caught:
        train(*pictures, overlay(tiny, {"crops": {"count": 4}, "schedule": schedule}), device=CPU)
    assert "--set crops.count=2 or " in str(caught.value)


def test_learning_rate_is_constant_then_falls_to_zero() -> None:
    plan = Plan(overlay(Config(), {"schedule": {"steps": 100}, "optimisation": {"learning_rate": 0.002}}), 0)
    assert [plan.learning_rate(step) for step in (0, 50, 75, 100)] == [0.002, 0.002, 0.001, 0]


@pytest.mark.parametrize(("steps", "rate"), [(300, 0.004), (2_000, 0.002), (50_000, 0.0004)])
def test_longer_runs_have_a_lower_learning_rate(steps: int, rate: float) -> None:
    settings = {"learning_rate": 0.004, "full_rate_steps": 500}
    plan = Plan(overlay(Config(), {"schedule": {"steps": steps}, "optimisation": settings}), 0.0)
    assert plan.learning_rate(0) == plan.learning_rate(steps // 2) == pytest.approx(rate)
    assert plan.learning_rate(steps * 3 // 4) == pytest.approx(rate / 2)
    always = overlay(Config(), {"schedule": {"steps": steps}, "optimisation": settings | {"full_rate_steps": 0}})
    assert Plan(always, 0.0).learning_rate(7) == 0.004


def test_guidance_falls_to_what_stays() -> None:
    losses = {"guide_until": 0.6, "guide_end": 0.2}
    plan = Plan(overlay(Config(), {"schedule": {"steps": 100}, "losses": losses}), 0.0)
    assert [plan.guidance(step) for step in (0, 30, 60, 99)] == pytest.approx([1, 0.6, 0.2, 0.2])
    assert Plan(Config(), 0.0).guidance(7) == 1  # the number of steps is not known yet
    at_once = overlay(Config(), {"schedule": {"steps": 100}, "losses": {"guide_until": 0.0, "guide_end": 0.0}})
    assert Plan(at_once, 0.0).guidance(2) == 0


def test_without_guidance_a_step_does_not_look_at_the_guide(pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    training = Training(*pictures, shrunk("standard"), PLAIN)
    assert "guide" in training.step(0.002, guidance=0.5)
    assert "guide" not in training.step(0.002, guidance=0.0)


def test_small_pictures_are_refused_before_training(tiny: Config) -> None:
    with pytest.raises(ImageError, match="photo: 20x20"):
        train(torch.zeros(1, 3, 90, 90), torch.zeros(1, 3, 20, 20), tiny, device=CPU)


def test_kernels_are_only_searched_on_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    use_fast_kernels(torch.device("cpu"))
    assert not torch.backends.cudnn.benchmark
    use_fast_kernels(torch.device("cuda"))
    assert torch.backends.cudnn.benchmark


def test_precision_says_why() -> None:
    compute = find_compute(CPU)
    assert compute.precision in ("float32", "bfloat16") and "processor" in compute.reason
    assert find_compute(CPU, "bfloat16").dtype == torch.bfloat16


def test_shared_example_pair_fits_the_standard_preset() -> None:
    from helpers import SHARED

    from sincut.config.sections import resolve
    from sincut.method.crops import check_size
    from sincut.pictures import reading

    data = Path(SHARED) / "data"
    if not data.is_dir():
        pytest.skip("no shared example pair beside the project")
    for name in ("monet.jpg", "etretat.jpg"):
        check_size(name, *reading.load(data / name).size, resolve().crops)
