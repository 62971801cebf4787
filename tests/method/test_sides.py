"""Both pictures prepared: filters, noise and detail follow from what was measured."""

from pathlib import Path

import pytest
import torch
from helpers import CPU, PLAIN, average_of

from sincut.config.sections import Config, overlay
from sincut.errors import ImageError
from sincut.method.loop import train
from sincut.method.training import Training
from sincut.model.model import Model
from sincut.nets.filters import ChromaGrain, chroma_grain


def grain_of(training: Training) -> float:
    *_, grain = training.sides.before
    assert isinstance(grain, ChromaGrain)
    return grain.kept


def test_grain_of_colour_is_taken_below_the_photo_s(tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    painting, photo = pictures
    tiny = overlay(tiny, {"colour": {"smooth": 0.0}, "networks": {"smooth": 0.0}})  # strokes are another matter
    speckle = 0.2 * torch.randn(painting.shape, generator=torch.Generator().manual_seed(0))
    grainy = Training(painting + speckle, photo, tiny, PLAIN)
    _, colour, _ = grainy.sides.before
    mapped, grain = colour(painting + speckle), grain_of(grainy)
    assert grain == pytest.approx(chroma_grain(photo) / chroma_grain(mapped)) and grain < 0.5
    left_over = chroma_grain(grainy.sides.source.pictures[0].image) / chroma_grain(photo)
    assert 0.2 < left_over < 0.6  # below the photo's, as the setting says, and not nothing
    model = grainy.model()
    assert model.before == grainy.sides.before  # the same filters in training and translation
    grainier = Training(painting, photo + speckle[..., :70, :80], tiny, PLAIN)
    assert grain_of(grainier) == 1  # a photo with more of it asks for nothing
    left = Training(painting + speckle, photo, overlay(tiny, {"colour": {"grain": False}}), PLAIN)
    assert grain_of(left) == 1 and torch.equal(left.sides.source.pictures[0].image, mapped)


def test_noise_is_there_where_the_photo_has_texture_that_the_painting_lacks(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor], tmp_path: Path
) -> None:
    painting, photo = pictures
    speckle = 0.4 * torch.randn(photo.shape, generator=torch.Generator().manual_seed(0))
    training = Training(painting, photo + speckle, tiny, PLAIN)
    assert len(training.cut.generator.noise) == 1 and training.model().config == tiny
    image = painting[..., :40, :48]

    def differs(model: Model) -> bool:
        one, other = (torch.randn(1, 1, 40, 48, generator=torch.Generator().manual_seed(seed)) for seed in range(2))
        model.generator.up.noise_gain.data.zero_()
        return not torch.equal(model.translate(image, one), model.translate(image, other))

    assert not differs(training.model())
    for _ in range(3):
        training.step(0.01)
    assert differs(training.model())
    training.model().save(tmp_path / "noisy.safetensors")
    assert differs(Model.load(tmp_path / "noisy.safetensors"))
    off = overlay(tiny, {"networks": {"noise": "last"}})
    for pair, config in (((painting, photo), tiny), ((painting, photo + speckle), off)):
        plain = Training(*pair, config, PLAIN)
        assert not plain.cut.generator.noise and plain.model().config == config
        for _ in range(3):
            plain.step(0.01)
        assert bool(average_of(plain).up.noise_gain) == (config is off)  # elsewhere there is none at all
        plain.model().save(tmp_path / "plain.safetensors")
        assert not Model.load(tmp_path / "plain.safetensors").generator.noise
        plain.step(0.01)
        assert not differs(plain.model())


def test_detail_is_brought_out_where_a_picture_is_as_good_as_empty(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]
) -> None:
    painting, photo = pictures
    night = photo.clone()
    night[:, :, : night.shape[2] * 2 // 3] = -0.9  # a sky without anything
    for first, second, wanted in ((painting, photo, 0.0), (painting, night, 3.0), (night, painting, 3.0)):
        critics = Training(first, second, tiny, PLAIN).cut.critics
        assert [critic.network.detail for critic in critics] == [wanted] * 2
    never = Training(painting, night, overlay(tiny, {"networks": {"detail": 0.0}}), PLAIN)
    assert [critic.network.detail for critic in never.cut.critics] == [0, 0]


def test_small_pictures_are_refused_before_training(tiny: Config) -> None:
    with pytest.raises(ImageError, match="target: 20x20"):
        train(torch.zeros(1, 3, 90, 90), torch.zeros(1, 3, 20, 20), tiny, device=CPU)
