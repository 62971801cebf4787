"""STROTSS: each loss against loops over pairs, its pictures' sizes, and that nothing but the seed is random."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers import CPU, PLAIN, vgg_weights
from torch import Tensor, nn

from sincut.config.sections import Config, Rival
from sincut.nets.vgg import Vgg
from sincut.rivals import strotss
from sincut.rivals.model import RivalModel
from sincut.rivals.strotss import Strotss
from sincut.translation.engine import Engine
from sincut.translation.memory import Memory


@pytest.fixture
def few_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strotss, "PLACES", 100)


def features() -> strotss.Features:
    """Two layers of random weights, the second at half size."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first, second = nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 7, 3, padding=1)
    first.requires_grad_(False)
    second.requires_grad_(False)

    def of(image: Tensor) -> list[Tensor]:
        fine = first(image).relu()
        return [fine, second(F.max_pool2d(fine, 2)).relu()]

    return of


def rows(count: int, width: int, seed: int) -> Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a: Tensor, b: Tensor) -> float:
    dot = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    return 1 - dot / (math.sqrt(sum(float(x) ** 2 for x in a)) * math.sqrt(sum(float(y) ** 2 for y in b)))


def euclidean(a: Tensor, b: Tensor) -> float:
    return math.sqrt(sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True)))


def brute_remd(a: Tensor, b: Tensor, distance: Callable[[Tensor, Tensor], float]) -> float:
    there = [min(distance(x, y) for y in b) for x in a]
    back = [min(distance(x, y) for x in a) for y in b]
    return max(sum(there) / len(there), sum(back) / len(back))


def test_the_relaxed_distance_is_that_of_a_loop_over_all_pairs() -> None:
    a, b = rows(9, 6, 0), rows(7, 6, 1)
    assert float(strotss.remd(strotss.cosine_distances(a, b))) == pytest.approx(brute_remd(a, b, cosine), abs=1e-12)
    colours = a[:, :3], b[:, :3]
    assert float(strotss.palette(*colours)) == pytest.approx(brute_remd(*colours, euclidean), abs=1e-12)


def test_both_directions_of_the_relaxed_distance_count() -> None:
    few, many = rows(2, 4, 0), torch.cat([rows(2, 4, 0), rows(3, 4, 5)])
    there = strotss.cosine_distances(few, many)
    assert float(strotss.remd(there)) == float(strotss.remd(there.T)) > 0.05
    assert float(there.min(1).values.mean()) < 1e-12


def test_a_rotation_of_colours_into_a_decorrelated_space_leaves_the_palette_as_it_is() -> None:
    """Of the paper's space one axis is the mean colour; the published matrix, rounded to six digits, is this one."""
    third, mixed = 1 / math.sqrt(3), (3 - math.sqrt(3)) / 6
    matrix = torch.tensor(
        [[third, third, third], [-third, 1 - mixed, -mixed], [-third, -mixed, 1 - mixed]], dtype=torch.float64
    )
    a, b = rows(9, 3, 0), rows(7, 3, 1)
    assert float(strotss.palette(a @ matrix.T, b @ matrix.T)) == pytest.approx(float(strotss.palette(a, b)), abs=1e-12)


def test_moments_by_hand() -> None:
    a = torch.tensor([[1.0, 0.0], [3.0, 2.0]])  # mean (2, 1), covariance ((1, 1), (1, 1))
    b = torch.tensor([[0.0, 1.0], [0.0, 5.0], [3.0, 3.0]])  # mean (1, 3), covariance ((2, 0), (0, 8/3))
    means, covariances = (1 + 2) / 2, (1 + 1 + 1 + (8 / 3 - 1)) / 4
    assert float(strotss.moments(a, b)) == pytest.approx(means + covariances)
    assert float(strotss.moments(a, a)) == 0


def test_self_similarity_by_hand() -> None:
    """Three places: in one picture all are unlike, in the other the first two are alike."""
    a, b = torch.eye(3), torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    # Columns of distances over their sums: (0, 1/2, 1/2) and its turns; (0, 0, 1), (0, 0, 1), (1/2, 1/2, 0).
    assert float(strotss.self_similarity(a, b)) == pytest.approx((1 + 1 + 0) / 3)
    assert float(strotss.self_similarity(3 * b, b)) == pytest.approx(0, abs=1e-6)


def test_self_similarity_is_that_of_a_loop() -> None:
    a, b = rows(6, 4, 2), rows(6, 9, 3)
    total = 0.0
    for j in range(6):
        columns = [[cosine(picture[i], picture[j]) for i in range(6)] for picture in (a, b)]
        shares = [[value / sum(column) for value in column] for column in columns]
        total += sum(abs(x - y) for x, y in zip(*shares, strict=True))
    assert float(strotss.self_similarity(a, b)) == pytest.approx(total / 6, abs=1e-9)


def test_the_objective_weighs_its_four_losses_by_alpha() -> None:
    a, content, style = rows(5, 6, 0), rows(5, 6, 1), rows(8, 6, 2)
    four = (
        *(float(strotss.self_similarity(a, content)), float(strotss.moments(a, style))),
        *(brute_remd(a, style, cosine), brute_remd(a[:, :3], style[:, :3], euclidean)),
    )
    wanted = (4 * four[0] + four[1] + four[2] + four[3] / 4) / (2 + 4 + 1 / 4)
    assert float(strotss.objective(a, content, style, 4.0)) == pytest.approx(wanted, abs=1e-9)


def test_the_gradient_is_that_of_differences_and_finite_where_pictures_are_even() -> None:
    a, content, style = rows(5, 6, 0).requires_grad_(), rows(5, 6, 1), rows(8, 6, 2)
    assert torch.autograd.gradcheck(lambda x: strotss.objective(x, content, style, 2.0), a)
    even = torch.zeros(5, 6).requires_grad_()
    strotss.objective(even, torch.zeros(5, 6), torch.zeros(4, 6), 2.0).backward()
    assert even.grad is not None and bool(even.grad.isfinite().all())


def test_hypercolumns_are_those_of_enlarged_maps() -> None:
    image = torch.rand(1, 3, 12, 18) - 0.5
    maps = [image, *features()(image)]
    enlarged = torch.cat([F.interpolate(values, (12, 18), mode="bilinear") for values in maps], dim=1)
    places = torch.tensor([[0.0, 0.0], [11.0, 17.0], [5.0, 8.0], [0.0, 9.0]])
    wanted = torch.stack([enlarged[0, :, int(y), int(x)] for y, x in places])
    assert torch.allclose(strotss.hypercolumns(maps, places, (12, 18)), wanted, atol=1e-6)


@pytest.mark.parametrize("size", [(512, 384), (64, 64), (20, 31), (16, 4000)])
def test_places_are_in_the_picture_and_about_a_thousand(size: tuple[int, int]) -> None:
    random = torch.Generator().manual_seed(0)
    for places in (strotss.even_places(size, random), strotss.random_places(size, random)):
        assert bool((places >= 0).all() and (places < torch.tensor(size)).all())
        assert torch.equal(places, places.floor())
    even = strotss.even_places(size, random)
    assert len(even.unique(dim=0)) == len(even) <= 1.3 * strotss.PLACES
    assert len(even) >= 0.8 * min(strotss.PLACES, size[0] * size[1])


def test_the_pyramid_is_put_together_again() -> None:
    image = torch.rand(1, 3, 37, 50)
    levels = strotss.pyramid(image)
    assert [level.shape[2] for level in levels] == [37, 18, 9, 4, 2, 1]
    assert torch.allclose(strotss.collapsed(levels), image, atol=1e-6)


def test_sizes_double_from_about_64_px_to_the_pictures_own() -> None:
    assert strotss.sizes_of((512, 384)) == [(64, 48), (128, 96), (256, 192), (512, 384)]  # the paper's four
    assert strotss.sizes_of((700, 1000)) == [(44, 62), (88, 125), (175, 250), (350, 500), (700, 1000)]
    assert strotss.sizes_of((40, 20)) == [(40, 20)]
    assert strotss.sizes_of((16, 1000))[0] == (1, 62)


@pytest.mark.usefixtures("few_places")
def test_the_same_seed_gives_the_same_picture_of_the_contents_size() -> None:
    content, style = torch.rand(1, 3, 97, 3) * 2 - 1, torch.rand(1, 3, 30, 70) * 2 - 1
    told: list[tuple[int, int]] = []

    def made(seed: int) -> Tensor:
        random = torch.Generator().manual_seed(seed)
        return strotss.stylised(
            content, style, features(), random, steps=3, on_step=lambda done, of, loss: told.append((done, of))
        )

    first = made(0)
    assert first.shape == content.shape and float(first.abs().max()) <= 1
    assert told == [(step, 6) for step in range(1, 7)]
    torch.manual_seed(5)
    assert torch.equal(first, made(0))
    assert not torch.equal(first, made(1))


@pytest.mark.usefixtures("few_places")
def test_the_loss_falls_and_colours_become_the_styles() -> None:
    pattern = torch.linspace(-1, 1, 48).sin()[None, None, None] * torch.linspace(-1, 1, 40)[:, None]
    content = pattern.repeat(1, 3, 1, 1) * 0.6
    style = (
        torch.rand(1, 3, 40, 40, generator=torch.Generator().manual_seed(0))
        * torch.tensor([1.0, 0.2, 0.2])[:, None, None]
    )
    losses: list[float] = []
    out = strotss.stylised(
        content,
        style,
        features(),
        torch.Generator().manual_seed(0),
        16.0,
        60,
        lambda done, of, loss: losses.append(loss),
    )
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    assert torch.allclose(out.mean((0, 2, 3)), style.mean((0, 2, 3)), atol=0.1)


def features_again(image: Tensor) -> list[Tensor]:
    """The features of `vgg_weights` at the nine layers of the paper, by convolutions in float64, max pooling."""
    weights, place, seen, x = vgg_weights(), 0, [], image.double()
    for block, count in enumerate((2, 2, 4, 4, 4), 1):
        for number in range(1, count + 1):
            kernel, bias = (weights[f"features.{place}.{part}"].double() for part in ("weight", "bias"))
            x = F.conv2d(x, kernel, bias, padding=1).clamp(min=0)
            if number <= (2, 2, 3, 1, 1)[block - 1]:
                seen.append(x)
            place += 2
        x = F.max_pool2d(x, 2)
        place += 1
    return seen


def columns_again(image: Tensor, places: Tensor) -> Tensor:
    size = (image.shape[2], image.shape[3])
    maps = [F.interpolate(values, size, mode="bilinear") for values in (image.double(), *features_again(image))]
    return torch.stack([torch.cat(maps, dim=1)[0, :, int(y), int(x)] for y, x in places])


@pytest.mark.usefixtures("few_places")
def test_the_loss_with_vgg_is_that_of_its_layers_and_losses_written_again(
    vgg_file: Path, pictures: tuple[Tensor, Tensor]
) -> None:
    content, style = (picture[..., :48, :64] / 2 for picture in pictures)
    output = (0.7 * content + 0.1).requires_grad_()
    technique = Strotss.read(Rival(weights=str(vgg_file)))
    loss = strotss.Scale(content, style, technique.features, 4.0).loss(output, torch.Generator().manual_seed(3))
    loss.backward()
    random = torch.Generator().manual_seed(3)
    places, looks = strotss.even_places((48, 64), random), strotss.random_places((48, 64), random)
    other = output.detach().double().requires_grad_()
    a, c, s = columns_again(other, places), columns_again(content, places), columns_again(style, looks)
    ones = torch.ones(3, dtype=torch.float64)

    def cosines(x: Tensor, y: Tensor) -> Tensor:
        return 1 - (x @ y.T) / (x.square().sum(1).sqrt()[:, None] * y.square().sum(1).sqrt())

    def nearest(distances: Tensor) -> Tensor:
        return max(distances.min(0).values.mean(), distances.min(1).values.mean())

    own, kept = (cosines(x, x) / cosines(x, x).sum(0) for x in (a, c))
    spread = [torch.einsum("pi,pj->ij", x - x.mean(0), x - x.mean(0)) / len(x) for x in (a, s)]
    moments = (a.mean(0) - s.mean(0)).abs().mean() + (spread[0] - spread[1]).abs().mean()
    colours = ((a[:, None, :3] - s[None, :, :3]).square() @ ones).sqrt()
    wanted = 4 * (own - kept).abs().sum(0).mean() + moments + nearest(cosines(a, s)) + nearest(colours) / 4
    wanted = wanted / 6.25
    wanted.backward()
    assert float(loss.detach()) == pytest.approx(float(wanted.detach()), rel=1e-4)
    assert output.grad is not None and other.grad is not None
    assert float((output.grad.double() - other.grad).norm() / other.grad.norm()) < 1e-3


def test_hypercolumns_of_the_whole_network_have_2179_values() -> None:
    with torch.device("meta"):
        vgg = Vgg([64, 64, 128, 128, *[256] * 4, *[512] * 5])
        maps = vgg(torch.empty(1, 3, 32, 32), strotss.LAYERS)
    assert 3 + sum(values.shape[1] for values in maps) == 3 + 2 * 64 + 2 * 128 + 3 * 256 + 2 * 512 == 2179


@pytest.mark.usefixtures("few_places")
def test_the_technique_comes_back_from_its_tensors_and_tells_its_updates(
    vgg_file: Path, pictures: tuple[Tensor, Tensor]
) -> None:
    settings = Rival(weights=str(vgg_file), iterations=2)
    first = Strotss.read(settings)
    again = Strotss.of_tensors(first.state_dict(), settings)
    told: list[float] = []
    outputs = [t.restyled(*pictures, torch.Generator().manual_seed(1), told.append) for t in (first, again)]
    assert torch.equal(*outputs) and outputs[0].shape == pictures[0].shape
    assert told == [0.5, 1.0] * 2 and first.rounds((72, 90)) == 2 and first.rounds((512, 300)) == 8
    part = Strotss.read(Rival(weights=str(vgg_file))).sample()
    assert part is not None and part[1] * part[0].rounds((512, 512)) == 800 and first.sample() is None


def test_memory_that_does_not_depend_on_the_picture_is_expected_too() -> None:
    with torch.device("meta"):
        technique = Strotss(Vgg([64, 64, 128, 128, *[256] * 4, *[512] * 5]), Rival())
    assert technique.fixed_bytes == pytest.approx(0.4e9, rel=0.02)
    model = RivalModel(technique, torch.zeros(16, 16, 3, dtype=torch.uint8), Config())
    seen = (64, 64)
    memory, without = (Memory(model.limits, 1000, CPU, fixed) for fixed in (model.fixed_bytes, 0))
    assert memory.needs(seen, seen) - without.needs(seen, seen) == technique.fixed_bytes
    assert Engine(model, PLAIN).memory == replace(memory, per_pixel=model.pixel_bytes)
