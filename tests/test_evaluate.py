"""Figures have the values they must have for pictures that are known."""

import numpy as np
import pytest
from conftest import scene

from sincut.errors import ImageError
from sincut.evaluate import complaints, measure
from sincut.images import Picture

PAINTING, PHOTO = Picture(scene(96, 110, 1)), Picture(scene(90, 120, 2))


def test_the_untouched_painting_is_at_one() -> None:
    figures = measure(PAINTING, PHOTO, PAINTING)
    assert figures["colour"] == figures["texture"] == 1
    assert figures["structure"] == pytest.approx(1, abs=1e-3)


def test_the_photo_itself_is_at_zero() -> None:
    figures = measure(PAINTING, PHOTO, PHOTO)
    assert figures["colour"] < 0.1 and figures["texture"] < 0.25
    assert figures["sharpness"] == 1
    assert figures["structure"] < 0.9


def test_psnr_of_a_known_error() -> None:
    truth = Picture(np.full((64, 64, 3), 100, np.uint8))
    shifted = Picture(np.full((64, 64, 3), 151, np.uint8))
    figures = measure(shifted, PHOTO, truth, truth)
    assert figures["psnr_painting"] == pytest.approx(20 * np.log10(255 / 51), abs=0.01)
    assert figures["ssim_output"] == pytest.approx(1, abs=1e-3) and figures["ssim_painting"] < 1


def test_equal_and_flat_pictures_have_finite_figures() -> None:
    flat = Picture(np.full((80, 90, 3), 99, np.uint8))
    for first, second in ((PAINTING, PAINTING), (PAINTING, flat), (flat, flat)):
        assert np.isfinite(list(measure(first, second, first, first).values())).all()


def test_small_pictures_are_refused() -> None:
    with pytest.raises(ImageError, match="smaller than 56 px"):
        measure(Picture(scene(40, 90, 0)), PHOTO, PAINTING)


def test_truth_of_another_size_is_refused() -> None:
    with pytest.raises(ImageError, match="110x96"):
        measure(PAINTING, PHOTO, PAINTING, PHOTO)


def test_nothing_is_complained_about_in_a_usable_translation() -> None:
    mixed = Picture((PAINTING.pixels * 0.5 + np.array(PHOTO.pixels.mean((0, 1))) * 0.5).astype(np.uint8))
    figures = measure(PAINTING, PHOTO, mixed)
    assert figures["tone"] > 0.95
    assert complaints({**figures, "texture": 0.5}) == []


def test_a_negative_and_a_blank_picture_are_complained_about() -> None:
    negative = measure(PAINTING, PHOTO, Picture(255 - PAINTING.pixels))
    assert negative["tone"] == pytest.approx(-1, abs=0.01)
    assert any(text.startswith("tone") for text in complaints(negative))
    noise = np.random.default_rng(0).integers(0, 256, PAINTING.pixels.shape, np.uint8)
    lost = [text.split()[0] for text in complaints(measure(PAINTING, PHOTO, Picture(noise)))]
    assert "texture" in lost and "structure" in lost
