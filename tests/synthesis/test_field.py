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
    assert torch.equal(doubled(identity(coarse, 20, 25), coarse.width, fine.width), identity(fine, 40, 50))


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
