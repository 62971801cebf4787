"""The two pictures of a training, in every form they may have."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import scene

import sincut
from sincut.config.sections import Config
from sincut.errors import SincutError
from sincut.events import Event, Warned
from sincut.model.provenance import PictureIdentity, Provenance
from sincut.runs.inputs import Inputs, differences, parse_inputs, source_of


def test_pictures_come_as_anything(tiny: Config, painting: Path, photo: Path) -> None:
    from PIL import Image

    image = scene(20, 20, 0)
    arrays = [np.asarray(Image.open(path)) for path in (painting, photo)]
    tensors = [torch.from_numpy(array.copy()).permute(2, 0, 1) / 255 for array in arrays]
    results = [
        sincut.train(*pair, config=tiny).apply(image)
        for pair in ((painting, str(photo)), arrays, [Image.open(path) for path in (painting, photo)], tensors)
    ]
    assert all(np.array_equal(results[0], other) for other in results[1:])
    with pytest.raises(SincutError, match=r"painting.*give"):
        sincut.train(np.zeros((9, 9)), arrays[1], config=tiny)


def test_the_same_picture_twice_is_allowed_and_warned(tiny: Config, painting: Path) -> None:
    events: list[Event] = []
    sincut.train(painting, painting, config=tiny, on_event=events.append)
    assert any(isinstance(event, Warned) for event in events)


def test_inputs_come_back_from_the_checkpoint_that_holds_them(painting: Path) -> None:
    inputs = Inputs(source_of(painting, "painting"), source_of(scene(20, 30, 1), "photo"), reverse=True)
    identity, paths = parse_inputs(inputs.to_json())
    assert identity == inputs.identity() and identity.reverse
    assert identity.source == inputs.source.identity() == identity.photo
    assert paths == [painting.absolute()]  # the other is no file
    assert list(json.loads(inputs.to_json())) == ["painting", "photo", "direction", "paths"]


@pytest.mark.parametrize("paths", [None, 3, "/etc", {"a": "/etc"}, [3, None, ""]])
def test_paths_of_strangers_are_paths_or_left_out(paths: object) -> None:
    told = {"painting": {"sha256": "1"}, "photo": {"sha256": "2"}, "direction": "painting -> photo", "paths": paths}
    assert parse_inputs(json.dumps(told))[1] == []


@pytest.mark.parametrize("odd", [{"painting": None}, {"photo": "b.png"}, {"direction": 3}])
def test_inputs_that_are_not_told_are_refused(odd: dict[str, object]) -> None:
    told = {"painting": {"sha256": "1"}, "photo": {"sha256": "2"}, "direction": "painting -> photo"}
    with pytest.raises(ValueError, match="its inputs are not told"):
        parse_inputs(json.dumps({**told, **odd}))


def test_differences_are_of_bytes_and_direction_not_of_names() -> None:
    painting, photo = PictureIdentity("a.png", sha256="1" * 64), PictureIdentity("b.png", sha256="2" * 64)
    here = Provenance(painting, photo, "painting -> photo")
    renamed = replace(here, photo=PictureIdentity("c.png", 3, sha256="2" * 64), seed=1)
    assert differences(here, renamed) == []
    other = replace(here, photo=PictureIdentity("b.png", sha256="3" * 64), direction="photo -> painting")
    assert differences(here, other) == [
        "the photo is b.png (22222222), was b.png (33333333)",
        "the direction is painting -> photo, was photo -> painting",
    ]
    stranger = Provenance.parse({"painting": None, "photo": {}})  # who may write anything
    assert differences(here, stranger) == [
        "the painting is a.png (11111111), was not told",
        "the photo is b.png (22222222), was ? (?)",
        "the direction is painting -> photo, was not told",
    ]
