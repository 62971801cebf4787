"""Figures have the values they must have for pictures that are known."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import scene

from sincut.errors import ImageError
from sincut.pictures.picture import Picture, to_tensor
from sincut.report import measures
from sincut.report.measures import FIGURES, complaints, meaning, measure, single_image_fid

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


def test_a_truth_is_refused_before_anything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "_distance", lambda *_: pytest.fail("measured"))
    with pytest.raises(ImageError, match="110x96"):
        measure(PAINTING, PHOTO, PAINTING, PHOTO)


def test_better_figures_have_more_merit() -> None:
    assert FIGURES["colour"].merit(0.1) > FIGURES["colour"].merit(0.2)
    assert FIGURES["tone"].merit(0.2) > FIGURES["tone"].merit(0.1)
    assert FIGURES["sharpness"].merit(1.1) > FIGURES["sharpness"].merit(0.8)
    assert {"colour", "texture", "structure", "tone", "sharpness"} <= set(FIGURES)


def test_nothing_is_complained_about_in_a_usable_translation() -> None:
    mixed = Picture((PAINTING.pixels * 0.5 + np.array(PHOTO.pixels.mean((0, 1))) * 0.5).astype(np.uint8))
    figures = measure(PAINTING, PHOTO, mixed)
    assert figures["tone"] > 0.95
    assert complaints({**figures, "texture": 0.5}) == [] == complaints({})


def test_a_negative_and_a_blank_picture_are_complained_about() -> None:
    negative = measure(PAINTING, PHOTO, Picture(255 - PAINTING.pixels))
    assert negative["tone"] == pytest.approx(-1, abs=0.01)
    assert any(text.startswith("tone") for text in complaints(negative))
    noise = np.random.default_rng(0).integers(0, 256, PAINTING.pixels.shape, np.uint8)
    lost = [text.split()[0] for text in complaints(measure(PAINTING, PHOTO, Picture(noise)))]
    assert "texture" in lost and "structure" in lost


def test_figures_are_told_in_the_words_of_the_direction() -> None:
    assert meaning("colour", "photo", "painting") == (
        "Distance to the painting’s colours; 1: as the untouched photo, 0: none"
    )
    assert meaning("psnr_painting").startswith("PSNR of the untouched picture")
    assert meaning("of no such name") == ""
    assert complaints({"texture": 1.5, "tone": -1.0}, "photo", "painting") == [
        "texture 1.50: further from the painting's than the untouched photo's",
        "tone -1.00: light and dark no longer follow the photo's",
    ]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place of its own for what torch has downloaded, empty at first."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    measures._inception.cache_clear()
    yield tmp_path / "hub" / "checkpoints"
    measures._inception.cache_clear()


def test_sifid_says_which_weights_are_missing(hub: Path) -> None:
    assert "sifid" not in measure(PAINTING, PHOTO, PAINTING)
    with pytest.raises(ImageError, match=str(hub / "inception_v3")):
        single_image_fid(PHOTO, PAINTING)


def test_sifid_is_a_distance_of_inception_s_features(hub: Path) -> None:
    from torchvision.models import Inception_V3_Weights, inception_v3

    assert Path(str(Inception_V3_Weights.IMAGENET1K_V1.url)).name == measures.INCEPTION_FILE
    torch.manual_seed(0)
    network = inception_v3(weights=None, init_weights=False, aux_logits=False)  # a stand-in for the trained weights
    hub.mkdir(parents=True)
    torch.save(network.state_dict(), hub / measures.INCEPTION_FILE)
    assert single_image_fid(PHOTO, PHOTO) == pytest.approx(0, abs=1e-6)
    assert 0 < single_image_fid(PAINTING, Picture(PAINTING.pixels // 8 * 8)) < single_image_fid(PAINTING, PHOTO)
    flat = Picture(np.full((80, 90, 3), 99, np.uint8))  # features of no variance: the distance of the means is left
    assert single_image_fid(flat, flat) == pytest.approx(0, abs=1e-6)
    features, others = (measures._inception_statistics([p]) for p in (PAINTING, PHOTO))
    by_eigenvalues = sum(
        float(v)
        for v in (
            (features[0] - others[0]).square().sum(),
            features[1].trace() + others[1].trace(),
            -2 * torch.linalg.eigvals(features[1] @ others[1]).real.clamp(min=0).sqrt().sum(),
        )
    )
    assert single_image_fid(PHOTO, PAINTING) == pytest.approx(by_eigenvalues, rel=1e-4)
    seen: list[torch.Tensor] = []  # the features of the paper: what the whole network's second pooling is given
    network.transform_input = False
    network.eval().maxpool2.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.no_grad():
        network(to_tensor(PAINTING.pixels))
    assert seen[0].shape[1] == 192
    assert torch.allclose(features[0], seen[0][0].flatten(1).double().mean(1), atol=1e-5)
    assert measure(PAINTING, PHOTO, PAINTING)["sifid"] == pytest.approx(by_eigenvalues, abs=1e-4)


def test_figures_are_of_what_can_be_seen() -> None:
    """Whatever lies below transparent places changes no figure, in none of the pictures and at no size."""
    alpha = np.zeros((96, 110), np.uint8)
    alpha[5:90, 4:100] = 255
    larger = alpha.repeat(2, 0).repeat(2, 1)

    def hiding(shade: int, size: tuple[int, int], seed: int, seen: np.ndarray) -> Picture:
        return Picture(np.where(seen[..., None] > 0, scene(*size, seed), np.uint8(shade)), seen)

    for size, seen in (((96, 110), alpha), ((192, 220), larger)):
        one, other = (
            measure(
                hiding(shade, size, 1, seen),
                hiding(shade, (96, 110), 2, alpha),
                hiding(255 - shade, (96, 110), 3, alpha),
                hiding(shade, (96, 110), 1, alpha),
            )
            for shade in (0, 255)
        )
        assert one == other
    part = slice(5, 90), slice(4, 100)
    cut = measure(*(Picture(scene(96, 110, seed)[part].copy()) for seed in (1, 2, 3)))
    assert measure(*(hiding(9, (96, 110), seed, alpha) for seed in (1, 2, 3))) == cut
    nowhere, anywhere = Picture(PAINTING.pixels, np.zeros((96, 110), np.uint8)), Picture(PAINTING.pixels)
    with pytest.raises(ImageError, match="the photo is transparent everywhere"):
        measure(anywhere, nowhere, anywhere)
    with pytest.raises(ImageError, match="nothing can be seen in painting and output"):
        measure(hiding(9, (96, 110), 1, alpha), PHOTO, hiding(9, (96, 110), 1, 255 - alpha))


def test_meanings_name_what_is_translated_and_the_look() -> None:
    assert measures.meaning("colour", "photo", "painting").startswith("Distance to the painting’s colours; 1: as the")
    assert measures.meaning("colour", "photo", "painting").endswith("untouched photo, 0: none")
    assert measures.meaning("tone") == measures.FIGURES["tone"].meaning and measures.meaning("other") == ""
