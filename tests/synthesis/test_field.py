"""Nearest-neighbour fields: what they show, and how neighbours are continued."""

import torch

from sincut.synthesis.field import MARGIN, Source, doubled, spread, vote
from sincut.synthesis.level import Level
from sincut.synthesis.patches import distances

EXEMPLAR = torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(0)) * 2 - 1


def identity(source: Source, h: int, w: int) -> torch.Tensor:
    """The field of an exemplar drawn from itself."""
    return ((torch.arange(h) + MARGIN)[:, None] * source.width + torch.arange(w) + MARGIN).int()


def test_the_field_that_changes_nothing_shows_the_exemplar() -> None:
    source = Level(EXEMPLAR).source
    for radius in (0, 1, 2):
        torch.testing.assert_close(vote(source, identity(source, 40, 50), radius), EXEMPLAR)


def test_a_doubled_field_shows_the_same_places_of_the_finer_exemplar() -> None:
    coarse, fine = Level(EXEMPLAR[:, :, ::2, ::2]).source, Level(EXEMPLAR).source
    assert torch.equal(doubled(identity(coarse, 20, 25), coarse, fine), identity(fine, 40, 50))


def test_patches_are_continued_where_neighbours_fit_better() -> None:
    level = Level(EXEMPLAR)
    source, right = level.source, identity(level.source, 40, 50)
    field = right.clone()
    field[10:20, 10:20] = right[30, 40]  # wrong places in the middle
    asked = source.keys[right.reshape(-1)].view(40, 50, -1)

    def queries(top: int, bottom: int) -> torch.Tensor:
        return asked[top:bottom].reshape(-1, asked.shape[2])

    distance = distances(queries(0, 40), source.keys, field.reshape(-1)).view(40, 50)
    for _ in range(6):
        field, distance = spread(source, queries, (field, distance), 1, 0.0, None)
    inside = slice(3, -3)  # patches that show the exemplar's border may not be drawn from
    assert torch.equal(field[inside, inside], right[inside, inside])
    assert float(distance[inside, inside].max()) < 1e-6


def test_several_exemplars_are_one_source_with_margins_between() -> None:
    other = EXEMPLAR[:, :, :24, :32].flip(1).contiguous()
    coarse, fine = (
        Level(EXEMPLAR[:, :, ::step, ::step], *([other[:, :, ::step, ::step]] * both)).source
        for step, both in ((2, 1), (1, 1))
    )
    assert fine.width == 50 + 2 * MARGIN and fine.tops == (MARGIN, MARGIN + 40 + MARGIN) and fine.area == 2000 + 768
    assert len(fine.colours) == fine.width * (40 + 24 + 3 * MARGIN)
    for number, picture in enumerate((EXEMPLAR, other)):
        h, w = picture.shape[2:]
        down = {source: source.tops[number] - MARGIN for source in (coarse, fine)}
        own = identity(fine, h, w) + down[fine] * fine.width
        torch.testing.assert_close(vote(fine, own, 2), picture)  # nothing of the other one, nor of the margin
        half = identity(coarse, h // 2, w // 2) + down[coarse] * coarse.width
        assert torch.equal(doubled(half, coarse, fine), own)
    alone = Level(EXEMPLAR[:, :, ::2, ::2]).source  # a level without the smaller one
    assert torch.equal(doubled(identity(alone, 20, 25), alone, fine), identity(fine, 40, 50))
