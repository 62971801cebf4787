"""The Python examples of README, `docs/` and `help(sincut)`, for mypy to check as any module of the tests; never run.

`test_typed_examples.py` holds that every line of them stands here.
"""

from pathlib import Path
from typing import Any, assert_type

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

import sincut
from sincut.notebook import Comparison, Live, translate
from sincut.synthesis.synthesis import Dials


def of_readme() -> None:
    translator = sincut.train("painting.jpg", "photo.jpg", "runs/first", config=sincut.resolve("quick"))
    translator = sincut.load("runs/first")
    translator.apply("another.jpg").save("out.png")
    translator.apply("painting.jpg").save("out.png")


def of_docs() -> None:
    config = sincut.resolve("quick", ["schedule.minutes=5"])
    translator = sincut.train("painting.jpg", "photo.jpg", "runs/first", config=config)
    painter = sincut.train("painting.jpg", "photo.jpg", "runs/back", config=config, to="painting")
    assert_type(painter, sincut.Translator)
    translator = sincut.load("runs/first", device="cpu")
    translator.apply("another.jpg").save("out.png")
    translator.apply("another.jpg", sincut.Options(blend=sincut.Blend(strength=0.7), scale="auto"))
    translator.apply_file(Path("scan.tif"), Path("styled.tif"))
    translator.apply("another.jpg", sincut.Options(dials=Dials(stroke_scale=2.0, fidelity=0.3))).save("out.png")
    translator.apply("another.jpg", sincut.Options(dials=Dials(by_height=True))).save("by-height.png")
    translator.apply("another.jpg", sincut.Options(fast=True)).save("fast.png")


def of_notebooks() -> None:
    translator = sincut.train("painting.jpg", "photo.jpg", "runs/first", on_event=Live())
    translate(translator, "another.jpg")
    assert_type(translate(translator, "another.jpg"), Comparison)


def of_each_kind(translator: sincut.Translator, array: NDArray[np.uint8], tensor: torch.Tensor) -> None:
    """What `apply` gives for each kind of picture."""
    assert_type(translator.apply("a.jpg"), Image.Image)
    assert_type(translator.apply(Path("a.jpg")), Image.Image)
    assert_type(translator.apply(Image.new("RGB", (9, 9))), Image.Image)
    assert_type(translator.apply(array), NDArray[Any])
    assert_type(translator.apply(tensor), torch.Tensor)
