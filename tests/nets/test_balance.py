"""The strengths of fine, middle and coarse light and colour: measured, and given to another picture."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from kornia.color import rgb_to_grayscale

from sincut.nets import local
from sincut.nets.balance import (
    LEAST,
    LEVELS,
    MOST,
    MOST_AT_OUTLINES,
    OUTLINE,
    RARE,
    REACH,
    Balance,
    balance,
    no_wider,
    strengths,
)


def blurred(x: torch.Tensor, sigma: float) -> torch.Tensor:
    reach = round(3 * sigma)
    taps = torch.exp(-torch.arange(-reach, reach + 1.0).double().square() / (2 * sigma**2))
    taps = taps / taps.sum()
    x = F.pad(x, (reach, reach, reach, reach), mode="replicate")
    down = torch.cat([F.conv2d(channel[:, None], taps[None, None, :, None]) for channel in x.unbind(1)], dim=1)
    return torch.cat([F.conv2d(channel[:, None], taps[None, None, None, :]) for channel in down.unbind(1)], dim=1)


def uneven(seed: int, height: int = 150, width: int = 160) -> torch.Tensor:
    """Noise of all scales, in colours."""
    random = torch.Generator().manual_seed(seed)
    x = torch.zeros(1, 3, height, width, dtype=torch.float64)
    for step in (1, 6, 30):
        noise = torch.randn(1, 3, height // step + 1, width // step + 1, generator=random, dtype=torch.float64)
        x += 0.2 * F.interpolate(noise, (height, width), mode="bilinear")
    return x


PLAIN = {"coarse": torch.ones(2), "offset": torch.zeros(3), "levels": torch.tensor([-0.4, 0.4])}


def bands(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    small, large = blurred(x, 3), blurred(x, 12)
    return x - small, small - large, large


def strong(x: torch.Tensor) -> list[float]:
    """Luma, then colours less luma: fine and middle, everywhere."""
    lumas = [rgb_to_grayscale(band) for band in bands(x.double())[:2]]
    chromas = [band - luma for band, luma in zip(bands(x.double())[:2], lumas, strict=True)]
    return [float(band.abs().mean()) for band in (*lumas, *chromas)]


def outlines(coarse: torch.Tensor) -> torch.Tensor:
    """How much of each place is outline, by numpy's gradient of coarse luma, one row and column less at each side."""
    down, across = np.gradient(rgb_to_grayscale(coarse)[0, 0].numpy())
    rise = 12 * np.hypot(down, across)
    return torch.from_numpy((rise - OUTLINE[0]) / (OUTLINE[1] - OUTLINE[0])).clamp(0, 1)[1:-1, 1:-1]


def test_each_band_and_each_level_has_its_own_gain() -> None:
    x, offset, at = uneven(0), torch.tensor([0.1, 0.0, -0.2]), torch.linspace(-0.2, 0.1, LEVELS).double()
    gains = torch.linspace(0.5, 1.2, 4 * (LEVELS + 1)).view(2, 2, LEVELS + 1)
    x += torch.where(torch.arange(160) < 80, -0.3, 0.3)  # an outline
    coarse_gains, levels = torch.tensor([1.2, 0.9]), torch.tensor([-0.2, 0.1])
    own = Balance(coarse_gains, offset, levels, gains)
    early = Balance(coarse_gains, offset, levels, gains[:, :, :LEVELS])  # as models had before there were outlines
    *parts, coarse = bands(x)
    grey = rgb_to_grayscale(coarse)
    base = 1.2 * grey + 0.9 * (coarse - grey) + offset[:, None, None]
    light, outline = rgb_to_grayscale(base).numpy(), outlines(base)
    assert light.min() < -0.2 and light.max() > 0.1 and outline.min() == 0 and outline.max() == 1
    by_level, expected = base, base[:, :, 1:-1, 1:-1]
    for band, part in enumerate(parts):
        grey = rgb_to_grayscale(part)
        for kind, what in enumerate((grey, part - grey)):
            gain = torch.from_numpy(np.interp(light, at, gains[kind, band, :LEVELS]))
            by_level = by_level + gain * what
            both = torch.lerp(gain[:, :, 1:-1, 1:-1], gains[kind, band, LEVELS].double(), outline)
            expected = expected + both * what[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(early(x), by_level, rtol=0, atol=1e-6)
    torch.testing.assert_close(own(x)[:, :, 1:-1, 1:-1], expected, rtol=0, atol=1e-6)


def test_a_pixel_sees_its_reach() -> None:
    x = uneven(1)
    own = Balance(**PLAIN, gains=torch.linspace(0.5, 1.2, 4 * (LEVELS + 1)).view(2, 2, LEVELS + 1))
    inner = own(x[:, :, 10:, 5:])[:, :, REACH:, REACH:]
    torch.testing.assert_close(inner, own(x)[:, :, 10 + REACH :, 5 + REACH :])


def test_soft_outlines_get_the_strength_of_the_photo_s() -> None:
    """Two halves, dark and bright, that meet softly in the output and sharply in the photo."""
    grain = 0.02 * torch.randn(1, 3, 120, 240, generator=torch.Generator().manual_seed(0))
    photo = torch.where(torch.arange(240) < 120, -0.4, 0.4) + grain
    soft = (0.4 * torch.erf((torch.arange(240) - 119.5) / 12)).expand(1, 3, 120, -1) + grain
    found = balance(soft, photo)
    assert (found.gains[0, :, -1] > 1.3).all() and found.gains.max() <= MOST_AT_OUTLINES
    assert 0.9 < found.gains[0, 0, 0] <= 1  # grain far from it stays

    def rise(x: torch.Tensor) -> float:
        return float(x[..., 124:132].mean() - x[..., 108:116].mean())

    assert rise(soft) < 0.7 * rise(photo) and rise(found(soft)) > 1.15 * rise(soft)
    crisp = balance(photo, photo + 0)
    torch.testing.assert_close(crisp.gains, torch.ones_like(crisp.gains), rtol=0, atol=0.02)


def test_a_picture_gets_the_strengths_and_the_mean_of_another() -> None:
    photo = uneven(2)
    fine, middle, coarse = bands(photo)
    light = rgb_to_grayscale(coarse)
    out = torch.where(light < 0, 1.9, 1.2) * fine + 0.9 * middle + 0.9 * coarse + 0.3  # what is dark is roughest
    found = balance(out, photo)
    assert found.gains[0, 0, 0] < 0.7 and 0.75 < found.gains[0, 0, LEVELS - 1] < 0.95
    assert strong(found(out)) == pytest.approx(strong(photo), rel=0.06)
    assert strong(out)[0] > 1.4 * strong(photo)[0]
    torch.testing.assert_close(found(out).mean((2, 3)), photo.mean((2, 3)), rtol=0, atol=2e-3)
    same = balance(photo, photo)
    torch.testing.assert_close(same.gains, torch.ones(2, 2, LEVELS + 1), rtol=0, atol=1e-4)
    torch.testing.assert_close(same(photo), photo, rtol=0, atol=1e-3)


def test_gains_have_limits_and_grain_is_never_made_stronger() -> None:
    even, rough = 0.1 * uneven(3), uneven(3)
    up, down = balance(even, rough), balance(rough, even)
    assert up.gains[:, 0, :LEVELS].max() == 1 and up.gains[:, 1, :LEVELS].eq(MOST).all()
    assert up.gains[:, :, LEVELS].eq(MOST_AT_OUTLINES).all()
    assert down.gains.eq(LEAST).all() and torch.equal(up.coarse, torch.full((2,), MOST))
    flat = balance(torch.zeros(1, 3, 40, 40), torch.zeros(1, 3, 40, 40))
    assert all(t.isfinite().all() for t in vars(flat).values())
    assert flat(torch.zeros(1, 3, 40, 40)).abs().max() < 1e-6


def test_a_level_that_a_picture_lacks_gets_the_overall_gain() -> None:
    photo = uneven(4)
    dark = 0.05 * (photo - photo.amax()) + photo.amin()  # no part of it is as bright as the photo's brightest
    dark = dark + photo - bands(photo)[2]
    found = balance(dark, photo)
    plain = replace(found, gains=torch.ones_like(found.gains))
    own = strengths(plain(dark.float()), found.levels)
    assert own[1][LEVELS - 1] < RARE and own[1].sum() == pytest.approx(1)
    chroma = found.gains[1]  # its limits are far off
    torch.testing.assert_close(chroma[:, LEVELS - 1], torch.ones(2), rtol=0, atol=0.13)
    assert torch.equal(chroma[:, LEVELS - 1], chroma[:, LEVELS])  # it lacks outlines as well


def test_a_wider_photo_is_measured_at_the_painting_s_width() -> None:
    photo = uneven(5)
    large = photo.repeat_interleave(3, dim=2).repeat_interleave(3, dim=3)
    assert strong(large)[0] < 0.8 * strong(photo)[0]  # soft, pixel by pixel
    assert no_wider(large, photo).shape == photo.shape and no_wider(photo, large) is photo
    narrow, wide = (balance(1.25 * photo, other).gains[0, 0].mean() for other in (photo, large))
    assert wide > 0.85 * narrow


def test_large_pictures_are_measured_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    x, photo = uneven(6, 330, 31), uneven(7, 350, 40)
    whole = balance(x, photo)
    monkeypatch.setattr(local, "BAND", 1)
    for name, value in vars(balance(x, photo)).items():
        torch.testing.assert_close(value, vars(whole)[name], rtol=1e-4, atol=1e-5)


def test_a_balance_is_made_of_its_own_tensors_alone() -> None:
    tensors = Balance(**PLAIN, gains=torch.ones(2, 2, LEVELS + 1)).tensors()
    again = Balance.of_tensors({**tensors, "balance.of_a_later_version": torch.zeros(1), "texture": torch.zeros(1)})
    assert again.tensors().keys() == tensors.keys()
    assert all(value is tensors[name] for name, value in again.tensors().items())
    for name in tensors:
        with pytest.raises(KeyError):
            Balance.of_tensors({key: value for key, value in tensors.items() if key != name})
