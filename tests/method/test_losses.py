"""Losses against closed forms, an independent loop, gradcheck and finite differences."""

import math
from collections.abc import Callable

import pytest
import torch
from torch.autograd import gradcheck

from sincut.config.networks import Networks
from sincut.method.losses import (
    adversarial,
    coarse_squared,
    discrimination,
    half_distances,
    least_squares,
    least_squares_discrimination,
    mean_absolute,
    mean_squared,
    pair_distances,
    patch_nce,
    patch_nce_against,
    r1_penalty,
)
from sincut.nets.discriminator import StyleDiscriminator


def unit_rows(count: int, features: int, seed: int) -> torch.Tensor:
    rows = torch.randn(count, features, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(rows, dim=1)


def loop_nce(query: torch.Tensor, key: torch.Tensor, temperature: float, limit: float = 2.0) -> float:
    """PatchNCE one query at a time, in plain Python."""
    total = 0.0
    for i in range(len(query)):
        scores = []
        for j in range(len(key)):
            if i == j or sum(a * b for a, b in zip(key[i].tolist(), key[j].tolist(), strict=True)) <= limit:
                scores.append((j, sum(a * b for a, b in zip(query[i].tolist(), key[j].tolist(), strict=True))))
        weights = [math.exp(score / temperature) for _, score in scores]
        own = next(math.exp(score / temperature) for j, score in scores if j == i)
        total -= math.log(own / sum(weights))
    return total / len(query)


def test_adversarial_losses_have_their_closed_forms() -> None:
    zeros = torch.zeros(5, 1)
    assert adversarial(zeros).item() == pytest.approx(math.log(2))
    assert discrimination(zeros, zeros).item() == pytest.approx(math.log(2))
    assert adversarial(torch.tensor([[3.0]])).item() == pytest.approx(math.log1p(math.exp(-3)))
    real, fake = torch.tensor([[2.0]]), torch.tensor([[-1.0]])
    want = 0.5 * math.log1p(math.exp(-1)) + 0.5 * math.log1p(math.exp(-2))
    assert discrimination(real, fake).item() == pytest.approx(want)


def test_least_squares_are_distances_to_0_and_1() -> None:
    real, fake = torch.tensor([[[[1.0, 0.5]]]]), torch.tensor([[[[0.0, 2.0]]]])  # two patches of a tile
    assert least_squares(fake).item() == 1.0  # ((0 - 1)^2 + (2 - 1)^2) / 2
    assert least_squares_discrimination(real, fake).item() == 1.0625  # (0^2 + 2^2) / 4 + (0^2 + 0.5^2) / 4


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_patch_nce_agrees_with_a_loop(temperature: float) -> None:
    query, key = unit_rows(7, 5, 0), unit_rows(7, 5, 1)
    assert patch_nce(query, key, temperature).item() == pytest.approx(loop_nce(query, key, temperature), rel=1e-12)


def test_patch_nce_of_equal_keys_is_the_logarithm_of_their_number() -> None:
    key = unit_rows(1, 4, 0).expand(9, 4)
    assert patch_nce(key, key, 0.07).item() == pytest.approx(math.log(9), rel=1e-5)


def test_patch_nce_leaves_false_negatives_out() -> None:
    key = unit_rows(6, 3, 3)
    key[4] = key[1]
    query = unit_rows(6, 3, 4)
    got = patch_nce(query, key, 0.2, false_negatives=0.5).item()
    assert got == pytest.approx(loop_nce(query, key, 0.2, limit=0.5), rel=1e-12)
    assert got < patch_nce(query, key, 0.2).item()


def test_patch_nce_of_more_keys_has_its_value_by_hand() -> None:
    """Three keys and a bank of two, along the axes, at a temperature of 1: all products are 0 or 1."""
    e = torch.eye(4, dtype=torch.float64)
    query, key, bank = e[[0, 1, 2]], e[[0, 1, 3]], e[[0, 2]]
    # The scores of its own key, of the two other keys, and of the bank, by query:
    # 1 | 0 0 | 1 0        1 | 0 0 | 0 0        0 | 0 0 | 0 1
    own = [1, 1, 0]
    step = [2, 2, 2]  # e^0 + e^0
    stored = [math.e + 1, 2, 1 + math.e]
    both = [math.log(math.exp(a) + b + c) - a for a, b, c in zip(own, step, stored, strict=True)]
    external = [math.log(math.exp(a) + c) - a for a, c in zip(own, stored, strict=True)]
    assert patch_nce(query, key, 1.0, more=bank).item() == pytest.approx(sum(both) / 3, rel=1e-12)
    assert patch_nce_against(query, key, bank, 1.0).item() == pytest.approx(sum(external) / 3, rel=1e-12)
    # Each query's own two negatives of three keys and the bank: the keys' next one, and the bank's second.
    chosen = torch.stack([key[[1, 2, 0]], bank[[1, 1, 1]]], dim=1)
    few = [math.log(math.exp(a) + 1 + math.exp(c)) - a for a, c in zip(own, (0, 0, 1), strict=True)]
    assert patch_nce_against(query, key, chosen, 1.0).item() == pytest.approx(sum(few) / 3, rel=1e-12)
    # The first key is in the bank: with false negatives left out it is none of its own query.
    without = math.log(math.e + 1) - 1
    got = patch_nce_against(query, key, bank, 1.0, 0.9).item()
    assert got == pytest.approx((without + external[1] + external[2]) / 3, rel=1e-12)


def test_patch_nce_of_no_negatives_is_nothing() -> None:
    query, key = unit_rows(5, 4, 0).requires_grad_(), unit_rows(5, 4, 1)
    loss = patch_nce_against(query, key, key[:0], 0.07)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0 and query.grad is not None and not query.grad.any()
    assert patch_nce(query, key, 0.07, more=key[:0]).item() == patch_nce(query, key, 0.07).item()


@pytest.mark.parametrize("limit", [1.0, 0.3])
def test_both_forms_of_patch_nce_agree(limit: float) -> None:
    query, key, bank = unit_rows(7, 4, 0), unit_rows(7, 4, 1), unit_rows(5, 4, 2)
    others = torch.stack([torch.cat([key[:i], key[i + 1 :], bank]) for i in range(7)])
    want = patch_nce(query, key, 0.2, limit, bank).item()
    assert patch_nce_against(query, key, others, 0.2, limit).item() == pytest.approx(want, rel=1e-12)


def test_mean_absolute_is_a_mean_over_everything() -> None:
    assert mean_absolute(torch.full((2, 3, 4, 4), 0.5), torch.zeros(2, 3, 4, 4)).item() == pytest.approx(0.5)


def test_coarse_squared_sees_cells_alone() -> None:
    target = torch.zeros(1, 3, 16, 24)
    stripes = torch.tensor([1.0, -1.0]).repeat(12).expand(1, 3, 16, 24)
    assert coarse_squared(stripes, target).item() == 0
    assert coarse_squared(target + 0.5, target).item() == pytest.approx(0.25)
    lit = target.clone()
    lit[:, :, :8, 8:16] = 0.6  # one cell of six
    assert coarse_squared(lit, target).item() == pytest.approx(0.36 / 6)


def test_gradients_are_right_in_float64() -> None:
    random = torch.Generator().manual_seed(0)
    logits, other = (torch.randn(5, 1, dtype=torch.float64, generator=random, requires_grad=True) for _ in range(2))
    image, same = (torch.randn(1, 3, 8, 8, dtype=torch.float64, generator=random, requires_grad=True) for _ in range(2))
    query, key = (unit_rows(6, 3, seed).requires_grad_() for seed in (3, 4))
    alike = key.detach() @ key.detach().T
    assert ((alike > 0.5).sum() > len(key)) and not ((alike - 0.5).abs() < 1e-3).any()  # no key lies at the limit
    assert gradcheck(adversarial, logits)
    assert gradcheck(discrimination, (logits, other))
    assert gradcheck(least_squares, logits)
    assert gradcheck(least_squares_discrimination, (logits, other))
    assert gradcheck(lambda q, k: patch_nce(q, k, 0.3), (query, key))
    assert gradcheck(lambda q, k: patch_nce(q, k, 0.3, false_negatives=0.5), (query, key))
    assert gradcheck(lambda q, k: patch_nce(q, k, 0.3, 0.5, unit_rows(4, 3, 9)), (query, key))
    assert gradcheck(lambda q, k: patch_nce_against(q, k, unit_rows(4, 3, 9), 0.3, 0.5), (query, key))
    assert gradcheck(lambda q, k: patch_nce_against(q, k, unit_rows(12, 3, 9).view(6, 2, 3), 0.3), (query, key))
    for distance in (mean_absolute, mean_squared, coarse_squared):
        assert gradcheck(distance, (image, same))
    for within in (pair_distances, half_distances):
        assert gradcheck(within, torch.cat([image, same]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_losses_of_half_precision_are_those_of_the_same_numbers(dtype: torch.dtype) -> None:
    random = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=random).to(dtype)

    several = draw(3, 3, 8, 8)
    losses: list[tuple[Callable[..., torch.Tensor], list[torch.Tensor]]] = [
        (pair_distances, [several]),
        (half_distances, [several]),
        (adversarial, [draw(5, 1)]),
        (discrimination, [draw(5, 1), draw(5, 1)]),
        (lambda q, k: patch_nce(q, k, 0.3, 0.5), [draw(6, 3), draw(6, 3)]),
        (lambda q, k, n: patch_nce_against(q, k, n, 0.3, 0.5), [draw(6, 3), draw(6, 3), draw(4, 3)]),
        *(
            (distance, [draw(1, 3, 8, 8), draw(1, 3, 8, 8)])
            for distance in (mean_absolute, mean_squared, coarse_squared)
        ),
    ]
    for loss, values in losses:
        got = loss(*values)
        assert got.dtype == torch.float32 and torch.equal(got, loss(*(value.float() for value in values)))


def test_r1_agrees_with_finite_differences() -> None:
    weight = torch.randn(12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def critic(tiles: torch.Tensor) -> torch.Tensor:
        return torch.tanh(tiles.flatten(1) @ weight)[:, None] + tiles.square().sum((1, 2, 3))[:, None] / 3

    tiles = torch.randn(3, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    step, numeric = 1e-5, torch.zeros(3, dtype=torch.float64)
    for place in range(12):
        shift = torch.zeros(1, 12, dtype=torch.float64)
        shift[0, place] = step
        shift = shift.view(1, 3, 2, 2)
        slope = (critic(tiles.detach() + shift) - critic(tiles.detach() - shift))[:, 0] / (2 * step)
        numeric += slope.square()
    logits, got = r1_penalty(critic, tiles)
    torch.testing.assert_close(logits, critic(tiles))
    assert got.dtype == torch.float64 and got.item() == pytest.approx(0.5 * numeric.mean().item(), rel=1e-7)


def test_r1_is_differentiated_as_by_a_second_backward_pass() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        critic = StyleDiscriminator(Networks(discriminator=0.1), 16).double()
        tiles = torch.randn(3, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(critic(tiles).sum(), tiles, create_graph=True)
    want = torch.autograd.grad(
        0.5 * gradient.square().sum((1, 2, 3)).mean(), list(critic.parameters()), allow_unused=True
    )
    _, penalty = r1_penalty(critic, tiles)
    got = torch.autograd.grad(penalty, list(critic.parameters()), allow_unused=True)
    assert sum(b is not None and bool(b.any()) for b in want) == sum(p.ndim > 1 for p in critic.parameters())
    for a, b in zip(got, want, strict=True):
        a, b = (torch.zeros(()) if g is None or not g.any() else g for g in (a, b))  # a bias moves no slope
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
