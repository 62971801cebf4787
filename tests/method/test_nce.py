"""Positions and features of PatchNCE, and its strategies of keys and negatives."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from helpers import PLAIN
from torch import Tensor

from sincut.config.resolve import resolve
from sincut.config.sections import Config, overlay
from sincut.method.losses import patch_nce, patch_nce_against
from sincut.method.nce import (
    FewKeys,
    FlipEquivariantKeys,
    InputKeys,
    KeyFeatures,
    OtherKeys,
    PatchNce,
    random_choices,
    random_positions,
    rows_at,
)
from sincut.method.term import Ingredients, Progress, Seen
from sincut.method.training import Training
from sincut.nets.architectures import make_generator
from sincut.nets.blocks import EqualConv2d
from sincut.nets.stylegan2 import StyleGenerator


def test_fewer_positions_than_patches_keep_pictures_apart(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []

    def counted(query: torch.Tensor, *rest: object) -> torch.Tensor:
        rows.append(len(query))
        return query.sum()

    monkeypatch.setattr("sincut.method.nce.patch_nce", counted)
    Training(*pictures, overlay(tiny, {"losses": {"patches": 5000, "spread": False}}), PLAIN).step(0.002)
    assert rows == [2 * 32 * 32] * 2 + [2 * 16 * 16] * 4


def test_positions_are_distinct_and_spread() -> None:
    size, generator = (8, 12), torch.Generator().manual_seed(0)
    for spread in (False, True):
        for count in (1, 4, 7, 16):
            places = random_positions(size, count, spread, generator)
            assert len(set(places.tolist())) == count and places.max() < 96
    quarters = {(p // 12 // 4, p % 12 // 6) for p in random_positions(size, 4, True, generator).tolist()}
    assert len(quarters) == 4


def test_rows_are_the_features_at_the_positions() -> None:
    features = torch.randn(2, 3, 4, 5)
    rows = rows_at(features, torch.tensor([7, 0]))
    torch.testing.assert_close(rows, torch.stack([features[n, :, i // 5, i % 5] for n in (0, 1) for i in (7, 0)]))


@pytest.fixture
def tiny(tiny: Config) -> Config:
    """One layer a resolution: layer 2 and all after it are at half."""
    return overlay(tiny, {"networks": {"architecture": "stylegan2"}})


def symmetric(config: Config) -> StyleGenerator:
    """A generator whose features of a mirrored picture are the mirrored features: each of its filters is symmetric."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = StyleGenerator(replace(config.networks, noise="last"))
        for layer in generator.modules():
            if isinstance(layer, EqualConv2d):
                layer.weight.data = (layer.weight.data + layer.weight.data.flip(3)) / 2
    return generator


def flipped(config: Config) -> Config:
    return overlay(config, {"losses": {"flip_equivariance": True}})


def term_of(config: Config, generator: StyleGenerator, seed: int) -> PatchNce:
    """PatchNCE with heads that do not depend on the seed, which is that of its random choices."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return PatchNce(Ingredients(config, generator, torch.Generator().manual_seed(seed)))


def seen_by(generator: StyleGenerator, needs_grad: bool = False) -> Seen:
    """Random crops of both pictures (2, 3, 32, 32), and random ones that stand for their translations."""
    random = torch.Generator().manual_seed(1)
    given, out = (torch.randn(4, 3, 32, 32, generator=random).requires_grad_(needs_grad) for _ in range(2))
    return Seen(given[:2], given[2:], given, out, out[:2], out[2:], generator.encode(given), {})


MIRRORS, LEAVES = (
    next(s for s in range(99) if (float(torch.rand((), generator=torch.Generator().manual_seed(s))) >= 0.5) == mirrors)
    for mirrors in (True, False)
)  # seeds whose first draw does that


@pytest.mark.parametrize("identity", [False, True])
def test_flip_equivariant_keys_are_input_keys_at_mirrored_positions(
    tiny: Config, identity: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = overlay(tiny, {"losses": {"identity": identity, "patches": 16, "false_negatives": 1.0}})
    generator = symmetric(config)
    seen = seen_by(generator)
    torch.testing.assert_close(generator.encode(seen.x.flip(3))[3], generator.encode(seen.x)[3].flip(3))
    (mirrored,) = term_of(flipped(config), generator, MIRRORS).parts(seen, Progress())
    random = torch.Generator().manual_seed(MIRRORS)
    torch.rand((), generator=random)  # what the keys have drawn

    def at_mirrored(size: tuple[int, int], count: int, spread: bool, _: torch.Generator) -> Tensor:
        width = size[1]
        places = random_positions(size, count, spread, random)
        return places - places % width + (width - 1 - places % width)

    monkeypatch.setattr("sincut.method.nce.random_positions", at_mirrored)
    (plain,) = term_of(config, generator, 0).parts(seen, Progress())
    assert mirrored.value.item() == pytest.approx(plain.value.item(), rel=1e-4)
    random.manual_seed(MIRRORS)  # other positions give another loss
    assert abs(term_of(config, generator, 0).parts(seen, Progress())[0].value.item() / plain.value.item() - 1) > 0.01


def test_flip_equivariant_keys_that_are_not_mirrored_are_input_keys(tiny: Config) -> None:
    generator = symmetric(tiny)
    seen = seen_by(generator)
    keys = FlipEquivariantKeys(generator, 3, torch.Generator().manual_seed(LEAVES))
    features, mirrored = keys(seen.inputs, seen.features)
    assert not mirrored and all(a is b for a, b in zip(features, seen.features, strict=True))


def test_keys_are_mirrored_half_of_the_time() -> None:
    class Cheap(StyleGenerator):
        def encode(self, x: Tensor, last: int | None = None) -> list[Tensor]:
            return [x]

    random, given = torch.Generator().manual_seed(0), torch.arange(3.0).view(1, 1, 1, 3)
    keys = FlipEquivariantKeys(Cheap.__new__(Cheap), 0, random)
    drawn = [keys(given, [given]) for _ in range(1000)]
    assert all(torch.equal(features[0], given.flip(3) if mirrored else given) for features, mirrored in drawn)
    assert 450 < sum(mirrored for _, mirrored in drawn) < 550


@pytest.mark.parametrize("seed", [MIRRORS, LEAVES])
@pytest.mark.parametrize("flip", [False, True])
def test_keys_of_no_kind_get_a_gradient(tiny: Config, flip: bool, seed: int) -> None:
    config = flipped(tiny) if flip else tiny
    generator = symmetric(config)
    term, seen = term_of(config, generator, seed), seen_by(generator, needs_grad=True)
    heads: list[tuple[bool, ...]] = []
    term.projector.register_forward_hook(lambda _, __, rows: heads.append(tuple(row.requires_grad for row in rows)))
    (part,) = term.parts(seen, Progress())
    part.value.backward()  # type: ignore[no-untyped-call]
    assert seen.inputs.grad is None and seen.outputs.grad is not None and seen.outputs.grad.any()
    assert heads == [(True,) * len(config.losses.layers), (False,) * len(config.losses.layers)]  # queries, keys


def test_without_flip_equivariance_nothing_but_positions_is_drawn(tiny: Config) -> None:
    generator = symmetric(tiny)
    seen, layers = seen_by(generator), tiny.losses.layers
    drawn = torch.Generator().manual_seed(7)
    for layer in layers:
        random_positions(
            seen.features[layer].shape[2:],
            tiny.losses.patches,
            tiny.losses.spread,
            drawn,
        )
    plain, flip = (term_of(config, generator, 7) for config in (tiny, flipped(tiny)))
    for term, equal in ((plain, True), (flip, False)):
        term.parts(seen, Progress())
        assert torch.equal(term.random.get_state(), drawn.get_state()) == equal
    assert isinstance(plain.keys, InputKeys) and isinstance(flip.keys, FlipEquivariantKeys)


def test_negatives_are_asked_for_each_layer_and_picture_alone(tiny: Config) -> None:
    asked: list[tuple[tuple[int, ...], bool]] = []

    def first_row(query: Tensor, key: Tensor, slot: int) -> Tensor:
        assert slot == len(asked)
        asked.append((tuple(query.shape), key.requires_grad))
        return query[0, 0] * 0 + len(asked)

    for identity, count in ((True, 6), (False, 3)):
        config = overlay(tiny, {"losses": {"identity": identity, "patches": 9}})
        generator = symmetric(config)
        term = term_of(config, generator, 0)
        term.negatives = first_row
        asked.clear()
        (part,) = term.parts(seen_by(generator), Progress())
        assert asked == [((2 * 9, 8), False)] * count
        assert part.value.item() == pytest.approx((count + 1) / 2)  # the mean over layers and pictures


def test_keys_of_ones_own_are_compared_with_the_queries(tiny: Config) -> None:
    generator = symmetric(tiny)
    term, seen = term_of(overlay(tiny, {"losses": {"false_negatives": 1.0}}), generator, 0), seen_by(generator)
    term.keys = lambda given, features: KeyFeatures(generator.encode(seen.outputs))
    (same,) = term.parts(seen, Progress())
    term.keys = InputKeys()
    (other,) = term.parts(seen, Progress())
    assert same.value < 0.5 * other.value  # each output patch is most like itself


def test_other_keys_are_negatives_unless_they_show_the_same() -> None:
    random = torch.Generator().manual_seed(0)
    query, key = (F.normalize(torch.randn(6, 4, generator=random), dim=1) for _ in range(2))
    for limit in (1.0, 0.3):
        assert torch.equal(OtherKeys(0.2, limit)(query, key), patch_nce(query, key, 0.2, limit))
    assert OtherKeys(0.2, 0.3)(query, key) < OtherKeys(0.2, 1.0)(query, key)


def test_every_set_of_choices_is_as_likely_as_any_other() -> None:
    random = torch.Generator().manual_seed(0)
    chosen = random_choices(6000, 2, 4, random)
    sets = chosen.sort(dim=1).values
    assert (sets[:, 0] < sets[:, 1]).all() and int(sets.min()) == 0 and int(sets.max()) == 3
    counts = torch.bincount(sets[:, 0] * 4 + sets[:, 1])
    assert (counts[counts > 0] - 1000).abs().max() < 120 and int((counts > 0).sum()) == 6  # of six sets; 4 sigma
    before = random.get_state()
    assert torch.equal(random_choices(3, 9, 2, random), torch.tensor([[0, 1]] * 3))
    assert torch.equal(random.get_state(), before)


def test_few_keys_are_random_others_and_all_where_there_are_no_more(tiny: Config) -> None:
    losses = replace(tiny.losses, most_negatives=2, temperature=0.2, false_negatives=1.0)
    query, key = (F.normalize(torch.randn(5, 4, generator=torch.Generator().manual_seed(s)), dim=1) for s in (0, 1))
    stored = F.normalize(torch.randn(3, 4, generator=torch.Generator().manual_seed(2)), dim=1)
    pools = {(True, False): key, (True, True): torch.cat([key, stored]), (False, True): stored}
    for (internal, banked), pool in pools.items():
        bank = (lambda slot: stored[slot:]) if banked else None
        few = FewKeys(losses, torch.Generator().manual_seed(3), internal, bank)
        drawn = random_choices(5, 2, len(pool) - internal, torch.Generator().manual_seed(3))
        others = [[row for row in range(len(pool)) if not internal or row != i] for i in range(5)]
        negatives = torch.stack([pool[[others[i][j] for j in drawn[i]]] for i in range(5)])
        assert torch.equal(few(query, key, 0), patch_nce_against(query, key, negatives, 0.2))
    every = FewKeys(replace(losses, most_negatives=15), torch.Generator())
    torch.testing.assert_close(every(query, key), patch_nce(query, key, 0.2))


@pytest.mark.parametrize("updates", ["all", "encoder"])
def test_the_gradient_may_stop_before_the_decoder(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor], updates: str
) -> None:
    config = overlay(tiny, {"losses": {"nce_updates": updates}})
    training = Training(*pictures, config, PLAIN)
    cut, (x, _) = training.cut, training.sides.source.crops(config.crops, training.random)
    seen = cut.translate(x, x, {})
    term = cut.terms[0]
    assert isinstance(term, PatchNce)
    (part,) = term.parts(seen, Progress())
    part.value.backward()  # type: ignore[no-untyped-call]
    generator = cut.generator
    encoder = [p for layer in generator.encoder_parts for p in layer.parameters()]
    decoder = [p for p in generator.parameters() if all(p is not own for own in encoder)]
    assert all(p.grad is not None and p.grad.any() for p in (*encoder, *term.projector.parameters()))
    reached = [p.grad is not None and bool(p.grad.any()) for p in decoder if p.requires_grad]
    assert any(reached) == (updates == "all")


def test_the_queries_may_have_an_encoder_of_their_own() -> None:
    """Its weights, by hand at the published widths; G and H have what they always have."""
    config = overlay(resolve("separate-encoders"), {"networks": {"features": 8}})
    generator = make_generator(config.networks)
    term = PatchNce(Ingredients(config, generator, torch.Generator()))
    block = 2 * (80 * 80 * 9 + 80)
    down = 40 * 40 * 9 + 40 + 40 * 80 * 9 + 80 + 40 * 80
    counts = {name: sum(p.numel() for p in net.parameters()) for name, net in term.networks().items()}
    heads = sum(channels * 8 + 8 + 8 * 8 + 8 for channels in (3, 40, 80, 80, 80))
    assert counts == {"projector": heads, "query_encoder": 3 * 40 + 40 + down + 3 * block}
    own = PatchNce(Ingredients(resolve(), generator, torch.Generator()))
    assert own.networks().keys() == {"projector"} and own.query_encoder is None
    x = torch.randn(1, 3, 8, 8)
    assert term.query_encoder is not None
    shapes = [[f.shape for f in encode(x, 5)] for encode in (term.query_encoder, generator.encode)]
    assert shapes[0] == shapes[1] and not torch.equal(term.query_encoder(x, 1)[1], generator.encode(x, 1)[1])
