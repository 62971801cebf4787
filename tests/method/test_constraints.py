"""One-sided constraints: hand-computed values, what was measured of the pictures, networks, and going on."""

from collections.abc import Sequence
from typing import cast

import pytest
import torch
from helpers import PLAIN, check_that_resumed_equals_uninterrupted, shrunk, tensors_of
from torch import Tensor, nn

from sincut.config.resolve import resolve
from sincut.config.sections import Config, overlay
from sincut.errors import ConfigError
from sincut.method import constraints
from sincut.method.constraints import Distance, Geometry, clockwise, spread, upside_down
from sincut.method.losses import half_distances, pair_distances
from sincut.method.sides import Prepared, Side, prepare
from sincut.method.term import Progress, Seen
from sincut.method.training import Training
from sincut.nets.generator import Generator

Pictures = tuple[Tensor, Tensor]


def seen_with(x: Tensor, fake: Tensor) -> Seen:
    return Seen(x, x, x, fake, fake, fake[:0], [], {}, torch.zeros(len(x), 1, *x.shape[2:]))


def grey(*levels: float) -> Tensor:
    """Even crops (N, 3, 4, 4)."""
    return torch.tensor(levels)[:, None, None, None].expand(-1, 3, 4, 4)


def test_distances_by_hand() -> None:
    assert pair_distances(grey(0.0, 0.5, -0.25)).tolist() == pytest.approx([0.5, 0.25, 0.75])
    halves = grey(0.0, 0.5).clone()
    halves[1, :, :, 2:] = -0.5
    assert half_distances(halves).tolist() == pytest.approx([0.0, 1.0])
    assert not len(pair_distances(grey(1.0)))


@pytest.mark.parametrize("name", ["distance", "self_distance"])
def test_kept_distances_by_hand(name: str, tiny: Config, pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    sides = prepare(*pictures, tiny, PLAIN.device)
    spreads = {id(sides.source): (0.2, 0.1), id(sides.target): (0.3, 0.2)}
    monkeypatch.setattr(constraints, "spread", lambda side, measure, crops: spreads[id(side)])
    term = Distance(name, 3.0, pair_distances if name == "distance" else half_distances, sides, tiny.crops)
    x, fake = (grey(0.0, level) for level in (0.4, 0.8))
    if name == "self_distance":
        x, fake = (torch.cat([crops[:1, :, :, :2], crops[1:, :, :, :2]], 3) for crops in (x, fake))
    (part,) = term.parts(seen_with(x, fake), Progress())
    # (0.4 - 0.2) / 0.1 = 2 in the source, (0.8 - 0.3) / 0.2 = 2.5 in the target
    assert (part.name, part.weight) == (name, 3.0) and part.value.item() == pytest.approx(0.5)


def test_distances_are_measured_in_the_crops_of_each_picture_and_need_no_random_numbers(
    tiny: Config, pictures: Pictures
) -> None:
    halves = torch.zeros(1, 3, 40, 40)
    halves[..., 20:] = 1.0
    config = overlay(tiny, {"crops": {"size": 32, "low": 40.0, "high": 40.0, "own_scales": False, "flip": 0.0}})
    side = Side((Prepared(halves),))
    mean, deviation = spread(side, half_distances, config.crops)
    assert mean == pytest.approx(0.75) and deviation == 1e-4  # crops begin at 0 and 8 px: 4 of 16 px are alike
    assert spread(side, half_distances, config.crops) == (mean, deviation)
    assert spread(Side((Prepared(halves[..., 20:].repeat(1, 1, 1, 2)),)), pair_distances, config.crops) == (0.0, 1e-4)
    random = [Training(*pictures, overlay(tiny, {"losses": losses}), PLAIN).random.get_state() for losses in ({}, ON)]
    assert torch.equal(*random)


ON = {"distance": 1.0, "self_distance": 1.0}


def test_turns_by_hand() -> None:
    picture = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, None]
    assert clockwise(picture)[0, 0].tolist() == [[3.0, 1.0], [4.0, 2.0]]
    assert upside_down(picture)[0, 0].tolist() == [[3.0, 4.0], [1.0, 2.0]]


class Ramp(nn.Module):
    """A generator that adds 0 and 1, one to the upper half and one to the lower, whatever it is given."""

    def encode(self, x: Tensor) -> list[Tensor]:
        return [x]

    def decode(self, features: Sequence[Tensor], noise: Tensor) -> Tensor:
        x = features[0]
        down = torch.arange(x.shape[2]) * 2 // x.shape[2]
        return x + noise + down[:, None]


@pytest.mark.parametrize("turn", [clockwise, upside_down])
def test_geometry_by_hand(turn: constraints.Turn) -> None:
    generator = cast(Generator, Ramp())
    x = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    term = Geometry(20.0, turn, generator)
    seen = seen_with(x, generator.decode([x], torch.zeros(())))
    way = term.translate_turned(seen)
    assert torch.equal(way.x, turn(x)) and torch.equal(way.y, turn(seen.y))
    (part,) = term.parts(seen._replace(ways={"turned": way}), Progress())
    # rows of 0 and 1 against columns of 1 and 0 differ in every second pixel, against rows of 1 and 0 in every one
    assert (part.name, part.weight) == ("geometry", 20.0)
    assert part.value.item() == pytest.approx(2 * (0.5 if turn is clockwise else 1.0))


def test_noise_is_turned_with_the_picture() -> None:
    class Even(Ramp):
        def decode(self, features: Sequence[Tensor], noise: Tensor) -> Tensor:
            return features[0] + noise

    generator, random = cast(Generator, Even()), torch.Generator().manual_seed(0)
    x, noise = torch.randn(2, 3, 4, 4, generator=random), torch.randn(4, 1, 4, 4, generator=random)  # of x and y
    seen = seen_with(x, generator.decode([x], noise[:2]))._replace(noise=noise)
    term = Geometry(20.0, clockwise, generator)
    (part,) = term.parts(seen._replace(ways={"turned": term.translate_turned(seen)}), Progress())
    assert part.value.item() == 0


@pytest.mark.parametrize("preset", ["distance", "self-distance", "gcgan"])
def test_constraints_have_no_heads_and_only_the_turned_domain_a_second_discriminator(
    preset: str, pictures: Pictures
) -> None:
    counts = Training(*pictures, shrunk(preset), PLAIN).parameter_counts()
    plain = Training(*pictures, shrunk("paper"), PLAIN).parameter_counts()
    more = {"discriminator_turned": plain["discriminator"]} if preset == "gcgan" else {}
    assert counts == {"generator": plain["generator"], "discriminator": plain["discriminator"], **more}


@pytest.mark.parametrize("preset", ["distance", "self-distance", "gcgan"])
def test_constraints_go_on_bit_for_bit(preset: str, pictures: Pictures) -> None:
    config = overlay(shrunk(preset), {"schedule": {"steps": 4}, "output": {"previews": 0}})
    state = tensors_of(check_that_resumed_equals_uninterrupted(config, pictures, 2))
    assert any("discriminator_turned" in name for name in state) == (preset == "gcgan")


def test_pairs_of_crops_need_two() -> None:
    with pytest.raises(ConfigError, match=r"losses\.distance.*crops\.count=2"):
        resolve("distance", ["crops.count=1"])
