"""The two pictures of a training, in every form they may have."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import scene

import sincut
from sincut.config.sections import Config
from sincut.errors import SincutError
from sincut.events import Event, Warned


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
