"""Every kind of image comes back as what it was, and the model that was given stays as it was."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import make_model, scene
from PIL import Image

from sincut.config.resolve import resolve
from sincut.config.sections import Config, overlay
from sincut.errors import ConfigError, ImageError
from sincut.model.model import with_generator
from sincut.nets.heads import Projector
from sincut.translation.blend import Blend
from sincut.translation.options import Options
from sincut.translation.translator import Translator, load

NETWORKS = {"networks": {"stem": 4, "inner": 6, "blocks": 2}, "losses": {"layers": [0, 2, 3]}}
TRANSLATOR = Translator(make_model(overlay(resolve(), NETWORKS)), precision="float32")


def test_every_kind_of_image_comes_back_as_what_it_was(tmp_path: Path) -> None:
    pixels = scene(33, 41, 0)
    out = TRANSLATOR.apply(pixels)
    assert out.dtype == np.uint8 and out.shape == pixels.shape and not np.array_equal(out, pixels)
    image = TRANSLATOR.apply(Image.fromarray(pixels))
    assert isinstance(image, Image.Image) and np.array_equal(np.asarray(image), out)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for path in (tmp_path / "a.png", str(tmp_path / "a.png")):
        assert np.array_equal(np.asarray(TRANSLATOR.apply(path)), out)
    floats = TRANSLATOR.apply(pixels / 255.0)
    assert floats.dtype == np.float64 and np.abs(floats * 255 - out).max() <= 0.51
    tensor = torch.from_numpy(pixels).permute(2, 0, 1) / 255
    assert (TRANSLATOR.apply(tensor).permute(1, 2, 0).numpy() * 255 - out).__abs__().max() <= 0.51
    batch = TRANSLATOR.apply(torch.stack([tensor, tensor]))
    assert batch.shape == (2, 3, 33, 41)
    rgba = np.dstack([pixels, pixels[..., 0]])
    assert np.array_equal(TRANSLATOR.apply(rgba)[..., 3], pixels[..., 0])
    assert TRANSLATOR.apply(pixels[..., 0]).shape == pixels.shape
    for floats_ in (tensor, pixels / 255.0):
        for options in (Options(blend=Blend(0.5)), Options(scale=0.5), Options(mask=tmp_path / "a.png")):
            with pytest.raises(ConfigError, match="pictures of integers"):
                TRANSLATOR.apply(floats_, options)


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4, 2), np.uint8), np.zeros((4, 4, 3), np.int32), np.zeros((0, 4, 3), np.uint8),
              torch.zeros(4, 4, 3), torch.zeros(3, 4, 4, dtype=torch.uint8)]
)  # fmt: skip
def test_other_shapes_are_refused(wrong: Any) -> None:
    with pytest.raises(ImageError, match="give"):
        TRANSLATOR.apply(wrong)


def test_load_gives_a_translator(model_file: Path) -> None:
    assert load(model_file).apply(scene(20, 20, 0)).shape == (20, 20, 3)


def test_a_model_elsewhere_is_copied_and_stays_as_it_is(tiny: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sincut.translation.translator.find_device", torch.device)
    model = make_model(tiny)
    with torch.random.fork_rng(devices=[]):
        model.projector = Projector(tiny.networks, tiny.losses.layers)
    networks = model.generator, model.projector
    before = [(name, value.clone()) for network in networks for name, value in network.state_dict().items()]
    # A device that is everywhere, and computes nothing.
    there = with_generator(Translator(model, "meta", precision="float32").model)
    assert there.projector is not None and there.config == model.config
    assert all(value.is_meta for value in (*there.generator.parameters(), *there.projector.parameters()))
    after = [(name, value) for network in networks for name, value in network.state_dict().items()]
    assert [name for name, _ in after] == [name for name, _ in before]
    for (_, value), (_, old) in zip(after, before, strict=True):
        assert not value.is_meta and torch.equal(value, old)


def test_a_model_that_is_there_is_not_copied(tiny: Config) -> None:
    model = make_model(tiny)
    before = {name: value.clone() for name, value in model.generator.state_dict().items()}
    assert Translator(model).model is model
    for name, value in model.generator.state_dict().items():
        assert torch.equal(value, before[name])
