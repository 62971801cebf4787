"""CycleGAN: its step against the method written twice, in plain PyTorch; what it keeps, saves and applies."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from helpers import (
    PLAIN,
    assert_clear_error,
    check_that_resumed_equals_uninterrupted,
    gradient_of,
    in_process,
    shrunk,
    tensors_of,
)
from PIL import Image
from torch import Tensor
from torch.nn.functional import softplus

import sincut
from sincut.config.resolve import resolve
from sincut.config.sections import Config, overlay
from sincut.devices import Compute
from sincut.errors import ConfigError
from sincut.events import Checkpoint
from sincut.method.crops import random_crops, tiles
from sincut.method.cyclegan import Backwards, Cycle, CycleGan
from sincut.method.term import Progress, Seen, noise_like
from sincut.method.terms import Same
from sincut.method.training import Training
from sincut.model.model import Model
from sincut.nets.generator import Generator

Pictures = tuple[Tensor, Tensor]


def over(preset: str) -> Config:
    """The method laid over another preset, at a size that takes milliseconds."""
    return shrunk(f"{preset}+cyclegan")


def cycle_gan(training: Training) -> CycleGan:
    assert isinstance(training.cut, CycleGan)
    return training.cut


def plain_step(training: Training) -> dict[str, float]:
    """One step written from the paper, in float32, without the code of the step. Gradients stay in the weights."""
    config, losses, random, cut = training.config, training.config.losses, training.random, cycle_gan(training)
    g, f = cut.generator, cut.back
    source, target = (side.pictures[0] for side in (training.sides.source, training.sides.target))
    stack = random_crops(source.stack, config.crops, random, source.outlines)
    x, guide = stack[:, :3], stack[:, 3:]
    y = random_crops(target.stack, config.crops, random, target.outlines)

    def noise(generator: Generator, count: int) -> Tensor:
        return noise_like(torch.cat([x] * count), random, generator)

    both = 2 if losses.same else 1
    n_g, n_f = noise(g, both), noise(f, both)
    fake_y, fake_x = g(x, n_g[: len(x)]), f(y, n_f[: len(x)])
    same_y, same_x = (g(y, n_g[len(x) :]), f(x, n_f[len(x) :])) if losses.same else (y, x)
    networks = {critic.suffix: critic.network for critic in cut.critics}
    seen = {"": (y, fake_y), "_back": (x, fake_x)}
    values, total = {}, torch.zeros(())
    for suffix, (real, fake) in seen.items():
        network, shown = networks[suffix], tiles(real, config.crops.tile).detach().requires_grad_()
        taken, refused = network(shown), network(tiles(fake, config.crops.tile).detach())
        values[f"D{suffix}"] = (softplus(refused).mean() + softplus(-taken).mean()) / 2
        (slope,) = torch.autograd.grad(taken.sum(), shown, create_graph=True)
        penalty = slope.square().sum((1, 2, 3)).mean() / 2
        total = total + values[f"D{suffix}"] + losses.r1 * losses.r1_every * penalty
    cut.descend.optimisers["d"].zero_grad()
    total.backward()
    cut.descend.optimisers["d"].step()
    for network in networks.values():
        network.requires_grad_(False)
    total = torch.zeros(())
    for suffix, (_, fake) in seen.items():
        values[f"G{suffix}"] = softplus(-networks[suffix](tiles(fake, config.crops.tile))).mean()
        total = total + values[f"G{suffix}"]
    values["cycle"], values["cycle_back"] = (
        (again - given).abs().mean() for again, given in ((f(fake_y, noise(f, 1)), x), (g(fake_x, noise(g, 1)), y))
    )
    values["same"], values["same_back"] = (same_y - y).abs().mean(), (same_x - x).abs().mean()
    total = total + losses.cycle * (values["cycle"] + values["cycle_back"])
    total = total + losses.same * (values["same"] + values["same_back"])
    if losses.guide:
        coarse = [torch.nn.functional.avg_pool2d(picture, 8) for picture in (fake_y, guide)]
        values["guide"] = (coarse[0] - coarse[1]).square().mean()
        total = total + losses.guide * values["guide"]
    cut.descend.optimisers["g"].zero_grad()
    total.backward()
    return {name: value.item() for name, value in values.items() if losses.same or not name.startswith("same")}


@pytest.mark.parametrize("preset", ["paper", "standard", "release"])
@pytest.mark.parametrize("same", [5.0, 0.0])
def test_step_agrees_with_the_paper_written_twice(preset: str, same: float, pictures: Pictures) -> None:
    config = overlay(over(preset), {"losses": {"same": same}})
    fast, slow = (Training(*pictures, config, PLAIN) for _ in range(2))
    got = {name: value.item() for name, value in fast.step(0.002).items()}
    optimiser = slow.cut.descend.optimisers["d"]
    optimiser.param_groups[0]["lr"] = 0.002
    assert got == pytest.approx(plain_step(slow), rel=1e-4)
    networks = fast.cut.networks(), slow.cut.networks()
    for name in ("generator", "generator_back", *(name for name in networks[0] if name.startswith("discriminator"))):
        for a, b in zip(*(network[name].parameters() for network in networks), strict=True):
            if a.requires_grad or b.grad is not None:
                torch.testing.assert_close(gradient_of(a), gradient_of(b), rtol=1e-3, atol=1e-5, msg=name)


def test_half_precision_is_near(pictures: Pictures) -> None:
    config = over("paper")
    half, full = (Training(*pictures, config, Compute(PLAIN.device, dtype, "test")) for dtype in HALF_AND_FULL)
    losses = [{name: value.item() for name, value in training.step(0.0).items()} for training in (half, full)]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


HALF_AND_FULL = (torch.bfloat16, torch.float32)


class Shift(torch.nn.Module):
    """A generator that adds a number to every pixel."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by, self.materials = by, None

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        assert noise.shape == (len(x), 1, *x.shape[2:])
        return x + self.by


def test_cycle_and_identity_of_two_shifts_by_hand() -> None:
    g, f = (cast(Generator, Shift(by)) for by in (0.5, -0.2))
    x, y, none = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4), torch.zeros(2, 1, 4, 4)
    back = Seen(y, x, y, y, f(y, none), f(x, none), [], {})
    seen = Seen(x, y, x, x, g(x, none), g(y, none), [], {}, ways={"back": back})
    parts = Cycle(10.0, g, f, torch.Generator()).parts(seen, Progress())
    assert [(part.name, part.weight) for part in parts] == [("cycle", 10.0), ("cycle_back", 10.0)]
    assert [part.value.item() for part in parts] == pytest.approx([0.3, 0.3])  # 0 + 0.5 - 0.2 and 1 - 0.2 + 0.5
    (same,) = Backwards(Same(5.0)).parts(seen, Progress())
    assert (same.name, same.weight) == ("same_back", 5.0) and same.value.item() == pytest.approx(0.2)


def test_both_directions_have_the_same_networks(pictures: Pictures) -> None:
    for preset in ("paper", "standard"):
        counts = Training(*pictures, over(preset), PLAIN).parameter_counts()
        assert "projector" not in counts
        plain = Training(*pictures, shrunk(preset), PLAIN).parameter_counts()
        for name in plain.keys() - {"projector"}:
            assert counts[name] == counts[f"{name}_back"] == plain[name]
        assert len(counts) == 2 * (len(plain) - 1)


def test_published_weights() -> None:
    losses = resolve("cyclegan").losses
    assert (losses.cycle, losses.same, losses.nce) == (10.0, 5.0, 0.0)
    with pytest.raises(ConfigError, match=r"losses\.cycle needs a second generator"):
        resolve("cyclegan", ["method.algorithm=sincut"])


def test_the_source_is_normalised_for_the_critic_that_judges_its_look() -> None:
    flat = torch.full((1, 3, 72, 90), 0.8)  # two even halves: no texture, so that detail is amplified
    flat[..., 45:] = -0.4
    config = overlay(over("standard"), {"colour": {"map": False}})
    training = Training(flat, 0.5 * flat, config, PLAIN)
    there, back = training.cut.critics
    assert (there.suffix, back.suffix) == ("", "_back") and there.network.detail == back.network.detail > 0
    source = training.sides.source.pictures[0].image
    torch.testing.assert_close(back.network.mean.flatten(), source.mean((0, 2, 3)))
    torch.testing.assert_close(there.network.deviation, 0.5 * back.network.deviation)


def test_members_and_distillation_go_on_bit_for_bit(ensemble: Config, pictures: Pictures) -> None:
    config = overlay(ensemble, {"method": {"algorithm": "cyclegan"}, "losses": {"nce": 0.0, "cycle": 10.0}})
    for steps in (3, 9):  # in the first member, and in the distillation
        state = tensors_of(check_that_resumed_equals_uninterrupted(config, pictures, steps))
    assert {name.split(".")[0] for name in state if "back" in name} == {"generator_back", "discriminator_back"}


def test_the_model_is_the_generator_towards_the_target_and_applies(
    tiny: Config, painting: Path, photo: Path, tmp_path: Path, pictures: Pictures
) -> None:
    changes: dict[str, Any] = {"method": {"algorithm": "cyclegan"}, "losses": {"nce": 0.0, "cycle": 10.0}}
    config = overlay(tiny, {**changes, "optimisation": {"ema": 0.0}, "synthesis": {"exemplar": True}})
    last: list[Checkpoint] = []
    hear = lambda event: last.append(event) if isinstance(event, Checkpoint) else None  # noqa: E731
    run = tmp_path / "run"
    sincut.train(painting, photo, output=run, config=config, on_event=hear)
    model = Model.load(run)
    assert model.exemplar_size == (70, 80) and model.config.method.algorithm == "cyclegan"
    for name, value in model.generator.state_dict().items():
        assert torch.equal(value, last[-1].state[f"generator.{name}"])
    out = tmp_path / "out.png"
    assert in_process("apply", run, painting, "-o", out).returncode == 0
    assert Image.open(out).size == (90, 72)
    assert_clear_error(in_process("similarity", run, painting, "--point", "1,1", "--json"), 1, "no projection heads")
