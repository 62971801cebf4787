"""Crops: sizes, scale laws, distinct places, antialiasing, refusal of small pictures."""

from dataclasses import replace

import pytest
import torch
from helpers import gradient_of

from sincut.config.networks import Crops
from sincut.errors import ImageError
from sincut.method.crops import (
    OVERLAP,
    Outlines,
    check_size,
    distinct_parts,
    distinct_places,
    random_crops,
    scaled_size,
    tiles,
    without_excess,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_excess_is_scaled_away_once() -> None:
    config = Crops(size=32, tile=16, low=40, high=64, excess=2.0)
    assert without_excess(torch.zeros(1, 3, 300, 600), config).shape == (1, 3, 64, 128)
    assert without_excess(torch.zeros(1, 3, 40, 4000), config).shape == (1, 3, 40, 4000)
    small = torch.zeros(1, 3, 100, 128)
    assert without_excess(small, config) is small
    by_factor = Crops(scale="factor", low=0.5, high=1.0, excess=2.0)
    assert without_excess(torch.zeros(1, 3, 300, 6000), by_factor).shape == (1, 3, 300, 6000)
    plain = Crops(size=32, tile=16, low=40, high=64)  # the published methods crop pictures as they are
    assert without_excess(torch.zeros(1, 3, 300, 600), plain).shape == (1, 3, 300, 600)


@pytest.mark.parametrize("own_scales", [False, True])
def test_crops_have_their_shape_and_repeat_with_the_seed(own_scales: bool) -> None:
    config = Crops(size=32, tile=16, count=5, low=70, high=120, own_scales=own_scales)
    image = torch.rand(1, 3, 90, 130) * 2 - 1
    first, second = (random_crops(image, config, generator()) for _ in range(2))
    assert first.shape == (5, 3, 32, 32)
    assert torch.equal(first, second)
    assert not torch.equal(first, random_crops(image, config, generator(1)))
    assert first.min() >= -1.001 and first.max() <= 1.001


def test_width_law_draws_widths_and_keeps_the_aspect() -> None:
    config = Crops()
    for u in (0.0, 0.3, 1.0):
        h, w = scaled_size(1000, 2000, config, [u, 0.9])
        assert w == round(384 + 640 * u)
        assert abs(h / w - 0.5) < 0.01


def test_axes_law_scales_each_axis_by_its_own_factor() -> None:
    config = Crops(scale="axes", low=0.5, high=1.0, size=64)
    assert scaled_size(400, 800, config, [0.0, 1.0]) == (200, 800)


def test_square_law_scales_both_sides_to_as_many_pixels() -> None:
    config = Crops(scale="square", low=286, high=286, size=256, tile=256, count=1)
    assert scaled_size(400, 800, config, [0.7, 0.0]) == (286, 286)
    wide = Crops(scale="square", low=80, high=100, size=32, tile=32)
    assert scaled_size(400, 800, wide, [0.5, 0.0]) == (90, 90)
    assert without_excess(torch.zeros(1, 3, 300, 600), replace(wide, excess=2.0)).shape == (1, 3, 200, 400)


def test_factor_law_scales_both_axes_alike() -> None:
    assert scaled_size(400, 800, Crops(scale="factor", low=0.5, high=1.0), [1.0, 0.0]) == (400, 800)


def test_panorama_is_scaled_until_a_crop_fits() -> None:
    h, w = scaled_size(500, 4000, Crops(), [0.0, 0.0])
    assert h == 128 and abs(w / h - 8) < 0.1


@pytest.mark.parametrize("size", [(128, 130), (300, 200), (500, 1024), (131, 900)])
def test_places_are_distinct_and_inside(size: tuple[int, int]) -> None:
    h, w = size
    config = Crops(count=3)
    for seed in range(20):
        places = distinct_places(h, w, config, generator(seed))
        assert len(set(places)) == 3
        assert all(0 <= y <= h - 128 and 0 <= x <= w - 128 for y, x in places)


def test_places_do_not_overlap_where_there_is_room() -> None:
    config = Crops(count=6)
    for seed in range(20):
        places = distinct_places(300, 500, config, generator(seed))
        pairs = [(a, b) for i, a in enumerate(places) for b in places[:i]]
        assert all(abs(a[0] - b[0]) >= 128 or abs(a[1] - b[1]) >= 128 for a, b in pairs)


def test_parts_of_own_scales_share_little() -> None:
    config = Crops(count=4)
    for seed in range(30):
        parts = distinct_parts(966, 1200, config, generator(seed))
        assert len(set(parts)) == 4
        assert all(0 <= t < b <= 966 and 0 <= left < right <= 1200 for t, left, b, right in parts)
        for i, a in enumerate(parts):
            for b in parts[:i]:
                height, width = (max(0, min(a[k + 2], b[k + 2]) - max(a[k], b[k])) for k in (0, 1))
                smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
                assert height * width <= OVERLAP * smaller


def test_outlines_are_summed_over_any_part() -> None:
    image = torch.zeros(1, 6, 403, 601)
    image[:, :3, :, 300:] = 1.0  # one upright edge; what is not the picture has none
    image[:, 3:, 200:] = 1.0
    outlines = Outlines.of(image)
    assert outlines.scale == 3
    across, left, right = ((0, 240, 403, 360), (0, 0, 403, 240), (0, 360, 403, 601))
    assert outlines.strength(left) == pytest.approx(0, abs=1e-12) == outlines.strength(right)
    whole, half = outlines.strength((0, 0, 403, 601)), outlines.strength((0, 0, 201, 601))
    assert outlines.strength(across) == pytest.approx(whole * 201 / 40, rel=0.02) and whole == pytest.approx(half)
    assert outlines.strength((5, 5, 5, 5)) == 0  # less than a pixel of the small picture


def test_of_several_places_the_one_with_the_strongest_outlines_is_taken() -> None:
    image = torch.zeros(1, 3, 400, 600)
    image[:, :, :, 480:] = 1.0
    outlines = Outlines.of(image)

    def hits(places: int, outlines: Outlines | None) -> int:
        config = Crops(size=32, tile=16, low=200, high=200, count=1, places=places)
        found = (distinct_parts(400, 600, config, generator(seed), outlines)[0] for seed in range(300))
        return sum(left < 480 < right for _, left, _, right in found)

    assert hits(4, outlines) > 2 * hits(1, outlines) > 0
    assert hits(1, outlines) == hits(1, None)
    config = Crops(size=32, tile=16, low=200, high=200, count=4, places=4, own_scales=True)
    assert not torch.equal(*(random_crops(image, config, generator(), o) for o in (outlines, None)))


def test_parts_are_found_even_without_room() -> None:
    parts = distinct_parts(130, 128, Crops(count=5, low=128, high=130), generator())
    assert len(parts) == 5 and all(
        0 <= top < bottom <= 130 and 0 <= left < right <= 128 for top, left, bottom, right in parts
    )
    assert all(bottom - top == right - left >= 126 for top, left, bottom, right in parts)


def test_every_pixel_of_the_range_is_reached() -> None:
    config = Crops(count=1)
    tops = {distinct_places(140, 128, config, generator(seed))[0][0] for seed in range(200)}
    assert tops == set(range(13))


def test_scaling_is_antialiased() -> None:
    stripes = (torch.arange(512) % 2 * 2.0 - 1).expand(1, 3, 512, 512)
    config = Crops(low=128, high=128, count=1, own_scales=False)
    assert random_crops(stripes, config, generator()).abs().max() < 0.2
    own = Crops(low=128, high=128, count=1, own_scales=True)
    assert random_crops(stripes, own, generator()).abs().max() < 0.2


def test_flip_mirrors_left_and_right() -> None:
    ramp = torch.linspace(-1, 1, 128).expand(1, 3, 128, 128)
    always, never = (Crops(low=128, high=128, count=1, flip=p, own_scales=False) for p in (1.0, 0.0))
    a, b = random_crops(ramp, always, generator()), random_crops(ramp, never, generator())
    torch.testing.assert_close(a, b.flip(3))
    assert b[0, 0, 0, 0] < b[0, 0, 0, -1]


def test_tiles_cut_crops_without_loss() -> None:
    crops = torch.randn(2, 3, 128, 128, requires_grad=True)
    cut = tiles(crops, 64)
    assert cut.shape == (8, 3, 64, 64)
    torch.testing.assert_close(cut[3], crops[0, :, 64:, 64:])
    torch.testing.assert_close(cut[4], crops[1, :, :64, :64])
    cut.sum().backward()
    assert torch.equal(gradient_of(crops), torch.ones_like(crops))
    assert tiles(crops, 128) is crops


def test_small_pictures_are_refused_with_the_remedy() -> None:
    with pytest.raises(ImageError, match=r"me\.jpg: 200x100 is smaller than one 128px crop.*crops\.size=64"):
        check_size("me.jpg", 100, 200, Crops())
    with pytest.raises(ImageError, match=r"me\.jpg.*crops\.count"):
        check_size("me.jpg", 128, 128, Crops(low=128, high=128, count=4, own_scales=False))
    check_size("me.jpg", 128, 128, Crops(low=384, high=1024))
