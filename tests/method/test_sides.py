"""Both pictures prepared: filters, noise and detail follow from what was measured."""

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import CPU, PLAIN, average_of, style

from sincut.config.networks import Crops
from sincut.config.sections import Config, overlay
from sincut.errors import ImageError
from sincut.method.crops import Outlines, random_crops, shares
from sincut.method.loop import train
from sincut.method.sides import Prepared, Side
from sincut.method.training import Training
from sincut.model.model import Model
from sincut.nets.colour import ColourMap
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
    assert len(style(training.cut.generator).noise) == 1 and training.model().config == tiny
    image = painting[..., :40, :48]

    def differs(model: Model) -> bool:
        one, other = (torch.randn(1, 1, 40, 48, generator=torch.Generator().manual_seed(seed)) for seed in range(2))
        style(model.generator).up.noise_gain.data.zero_()
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
        (critic,) = Training(first, second, tiny, PLAIN).cut.critics
        assert critic.network.detail == wanted
    never = Training(painting, night, overlay(tiny, {"networks": {"detail": 0.0}}), PLAIN)
    assert [critic.network.detail for critic in never.cut.critics] == [0]


def test_small_pictures_are_refused_before_training(tiny: Config) -> None:
    with pytest.raises(ImageError, match="target: 20x20"):
        train(torch.zeros(1, 3, 90, 90), torch.zeros(1, 3, 20, 20), tiny, device=CPU)


@pytest.mark.parametrize("own_scales", [False, True])
def test_a_side_of_two_pictures_draws_both(own_scales: bool) -> None:
    settings = Crops(size=32, tile=16, count=3, low=40.0, high=64.0, own_scales=own_scales)
    shades = torch.full((1, 3, 60, 80), -0.5), torch.full((1, 3, 90, 50), 0.5)
    side = Side(tuple(Prepared(picture) for picture in shades))
    random = torch.Generator().manual_seed(0)
    drawn = [side.crops(settings, random) for _ in range(100)]
    assert all(crops.shape == (3, 3, 32, 32) and not aligned for crops, aligned in drawn)
    for crops, _ in drawn:  # a step sees one of them
        torch.testing.assert_close(crops, crops[:1, :1, :1, :1].expand_as(crops))
    lighter = sum(bool(crops.mean() > 0) for crops, _ in drawn)
    assert 60 < lighter < 80  # seen at 52 px of width, it has 94 rows and the other 39


@pytest.mark.parametrize(
    ("settings", "areas"),
    [
        ({"low": 40.0, "high": 64.0}, (39 * 52, 94 * 52, 32 * 128)),  # a crop must fit, so a panorama is wider
        ({"low": 0.5, "high": 1.0, "scale": "factor"}, (45 * 60, 68 * 38, 32 * 128)),
    ],
)
def test_pictures_are_drawn_by_the_area_that_crops_see(settings: dict[str, Any], areas: tuple[float, ...]) -> None:
    config = Crops(size=32, tile=16, count=1, **settings)
    sizes = [(60, 80), (90, 50), (20, 80)]
    wanted = [area / sum(areas) for area in areas]
    assert shares(sizes, config) == pytest.approx(wanted)
    side = Side(tuple(Prepared(torch.full((1, 3, *size), float(n))) for n, size in enumerate(sizes)))
    random = torch.Generator().manual_seed(0)
    drawn = torch.tensor([float(side.crops(config, random)[0].mean()) for _ in range(1000)])
    for number, share in enumerate(wanted):
        assert abs(float((drawn.round() == number).double().mean()) - share) < 0.05
    assert side.pool(config).shares == pytest.approx(wanted)


def test_one_diagnosis_and_one_colour_map_for_a_set(
    tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two halves of a picture are measured as the picture is."""
    monkeypatch.setattr("sincut.method.guide.PLACES_OF_SET", 100)
    painting, photo = (picture[..., :70, :80] for picture in pictures)
    halves = [part.contiguous() for part in photo.split(40, dim=3)]
    config = overlay(tiny, {"losses": {"guide": 100.0}, "colour": {"smooth": 0.0, "grain": False}})
    whole, parts = (Training(painting, given, config, PLAIN) for given in (photo, halves))
    (_, one, _), (_, other, _) = whole.sides.before, parts.sides.before
    assert isinstance(one, ColourMap) and isinstance(other, ColourMap)
    torch.testing.assert_close(one.matrix, other.matrix, rtol=1e-3, atol=1e-3)
    assert len(parts.sides.target.pictures) == 2 and parts.sides.target.pool(config.crops).shares == (0.5, 0.5)
    back = Training(halves, painting, config, PLAIN)
    assert [picture.names for picture in back.sides.source.pictures] == [("guide",)] * 2
    assert all(map(torch.isfinite, [value for _ in range(2) for value in back.step(0.002).values()]))
    back.close()
    assert back.after and len(back.model().after) == 1


def test_a_side_of_one_picture_draws_only_its_crops() -> None:
    settings = Crops(size=32, tile=16, count=3, low=40.0, high=64.0)
    picture = torch.rand(1, 3, 60, 80, generator=torch.Generator().manual_seed(0)) * 2 - 1
    one, other = (torch.Generator().manual_seed(1) for _ in range(2))
    crops, _ = Side((Prepared(picture),)).crops(settings, one)
    assert torch.equal(crops, random_crops(picture, settings, other))
    assert torch.equal(one.get_state(), other.get_state())


@pytest.mark.parametrize("settings", [{"own_scales": False}, {"own_scales": True, "places": 4}])
def test_aligned_pictures_are_cut_at_the_same_places_and_mirrored_alike(settings: dict[str, Any]) -> None:
    crops = Crops(size=32, tile=16, count=4, low=40.0, high=64.0, **settings)
    random = torch.Generator().manual_seed(0)
    x = torch.rand(1, 3, 60, 80, generator=random) * 2 - 1
    stack = torch.cat([x, -x, x.flip(1)], dim=1)
    outlines = Outlines.of(stack) if crops.places > 1 else None
    side = Side((Prepared(stack, ("negative", "turned"), outlines),))
    for _ in range(10):  # of four crops each, half of them mirrored
        cut, aligned = side.crops(crops, random)
        assert list(aligned) == ["negative", "turned"]
        torch.testing.assert_close(aligned["negative"], -cut)
        torch.testing.assert_close(aligned["turned"], cut.flip(1))
    alone = Side((Prepared(x, outlines=outlines),))
    for state in range(3):  # what is aligned has no say in where crops are drawn
        one, other = (torch.Generator().manual_seed(state) for _ in range(2))
        torch.testing.assert_close(side.crops(crops, one)[0], alone.crops(crops, other)[0])


def test_the_guide_lies_on_the_source(tiny: Config, pictures: tuple[torch.Tensor, torch.Tensor]) -> None:
    guided = overlay(tiny, {"losses": {"guide": 100.0}, "crops": {"excess": 1.2}})
    for config, names in ((guided, ("guide",)), (tiny, ())):
        source, target = Training(*pictures, config, PLAIN).sides[:2]
        (picture,), (other,) = source.pictures, target.pictures
        assert picture.names == names and other.names == ()
        assert picture.stack.shape == (1, 3 * (1 + len(names)), *picture.image.shape[2:])
        assert other.image.shape[1] == other.stack.shape[1] == 3
