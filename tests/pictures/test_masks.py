"""Masks adapt to the picture, and hard edges are softened."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sincut.errors import ImageError
from sincut.pictures import masks


def weights(path: Path, size: tuple[int, int]) -> np.ndarray:
    """0 to 255, whole."""
    return masks.load_mask(path, size).weight((0, 0, *size))[0, 0].numpy() * 255


def mask_file(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values.astype(np.uint8)).save(path)
    return path


def test_hard_edges_of_a_mask_are_softened_and_its_size_adapts(tmp_path: Path) -> None:
    values = np.zeros((300, 400), np.uint8)
    values[:, 200:] = 255
    mask = weights(mask_file(tmp_path / "m.png", values), (600, 800))
    assert mask.shape == (600, 800)
    assert mask[:, :380].max() == 0 and mask[:, 420:].min() == 255 and len(np.unique(mask)) > 4
    with pytest.raises(ImageError, match=r"m\.png: the mask is 400x300, the picture 300x600"):
        masks.load_mask(tmp_path / "m.png", (600, 300))
    turned = Image.Exif()
    turned[0x0112] = 6  # what lies there as 400x300 is seen as 300x400
    Image.fromarray(values).save(tmp_path / "turned.png", exif=turned)
    assert masks.load_mask(tmp_path / "turned.png", (800, 600)).size == (800, 600)
    with pytest.raises(ImageError, match=r"turned\.png: the mask is 300x400, the picture 800x600"):
        masks.load_mask(tmp_path / "turned.png", (600, 800))
    see_through = Image.new("RGBA", (60, 30), (255, 255, 255, 0))  # white, but not to be seen
    see_through.paste((255, 255, 255, 255), (0, 0, 20, 30))
    see_through.paste((0, 0, 0, 255), (20, 0, 40, 30))
    see_through.save(tmp_path / "a.png")
    assert weights(tmp_path / "a.png", (30, 60))[15, [5, 30, 55]].tolist() == [255, 0, 0]
    ramp = np.linspace(0, 65535, 30 * 40).astype(np.uint16).reshape(30, 40)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    assert np.abs(weights(tmp_path / "deep.png", (30, 40)) - ramp / 257).max() <= 1
