"""Patches as short vectors, and the nearest of them, against plain second ways to find them."""

import pytest
import torch
import torch.nn.functional as F

from sincut.synthesis import patches


@pytest.mark.parametrize("size", [(9, 13), (40, 50), (170, 230)])
def test_components_are_those_of_patches_at_even_distances(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patches, "SAMPLE", 5000)
    picture = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    filters = patches.principal_components(picture)
    every = F.unfold(picture.double(), patches.PATCH)[0].T
    chosen = every[:: max(1, len(every) // 5000)]
    spread = (chosen - chosen.mean(0)) @ filters.flatten(1).T.double()
    assert filters.shape == (patches.COMPONENTS, 3, patches.PATCH, patches.PATCH)
    torch.testing.assert_close(filters.flatten(1) @ filters.flatten(1).T, torch.eye(20), rtol=0, atol=1e-5)
    variances = spread.var(0)
    assert bool((variances[:-1] >= variances[1:] - 1e-6).all())
    most = torch.linalg.eigvalsh(torch.cov(chosen.T)).flip(0)[: patches.COMPONENTS]
    torch.testing.assert_close(variances, most, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("count", [1, 7, 1024, 1300])
@pytest.mark.parametrize("keys", [1, 64, 4096, 4500])
def test_the_nearest_is_found_in_blocks_of_any_size(count: int, keys: int) -> None:
    generator = torch.Generator().manual_seed(count * keys)
    asked, known = torch.randn(count, 6, generator=generator), torch.randn(keys, 6, generator=generator)
    weights = torch.rand(keys, generator=generator) + 0.5
    between = torch.cdist(asked.double(), known.double()).square()
    for weight in (None, weights):
        weighed = between if weight is None else between * weight
        found = patches.Search(known, weight)(asked)
        torch.testing.assert_close(weighed.gather(1, found[:, None])[:, 0], weighed.amin(1), rtol=1e-4, atol=1e-5)
    least = patches.least_distances(known, asked)
    torch.testing.assert_close(least.double(), between.amin(0), rtol=1e-4, atol=1e-4)


def test_a_search_for_nothing_finds_nothing() -> None:
    assert patches.Search(torch.ones(10, 5))(torch.ones(0, 5)).shape == (0,)


def test_distances_of_components_are_nearly_those_of_patches() -> None:
    noise = torch.rand(1, 3, 12, 15, generator=torch.Generator().manual_seed(0))
    picture = F.interpolate(noise, scale_factor=6, mode="bicubic") * 2 - 1
    components = patches.components_of(picture, patches.principal_components(picture))
    every = F.unfold(picture, patches.PATCH)[0].T
    assert components.shape == (len(every), patches.COMPONENTS)
    index = torch.randperm(len(every), generator=torch.Generator().manual_seed(1))
    true = (every - every[index]).square().sum(1)
    ratio = patches.distances(components, components, index) / true.clamp(min=1e-3)
    assert float(ratio.quantile(0.05)) > 0.97
