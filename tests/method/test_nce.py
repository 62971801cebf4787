"""Positions and features of PatchNCE."""

import pytest
import torch
from helpers import PLAIN

from sincut.config.sections import Config, overlay
from sincut.method.nce import random_positions, rows_at
from sincut.method.training import Training


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
    features = torch.zeros(1, 2, 8, 12)
    generator = torch.Generator().manual_seed(0)
    for spread in (False, True):
        for count in (1, 4, 7, 16):
            places = random_positions(features, count, spread, generator)
            assert len(set(places.tolist())) == count and places.max() < 96
    quarters = {(p // 12 // 4, p % 12 // 6) for p in random_positions(features, 4, True, generator).tolist()}
    assert len(quarters) == 4


def test_rows_are_the_features_at_the_positions() -> None:
    features = torch.randn(2, 3, 4, 5)
    rows = rows_at(features, torch.tensor([7, 0]))
    torch.testing.assert_close(rows, torch.stack([features[n, :, i // 5, i % 5] for n in (0, 1) for i in (7, 0)]))
