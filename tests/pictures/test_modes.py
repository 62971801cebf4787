"""PIL images of every mode."""

import numpy as np
import pytest
from helpers import scene
from PIL import Image

from sincut.errors import ImageError
from sincut.pictures import reading

RGB = scene(24, 30, 0)
MODES = ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"]
MODES += ["I", "I;16", "I;16B", "I;16L", "I;16N", "F"]


def of_mode(mode: str) -> Image.Image:
    image = Image.fromarray(RGB)
    if mode in ("LA", "La", "PA", "RGBA", "RGBa"):
        image.putalpha(Image.fromarray(RGB[..., 1]))
    if mode == "La":
        return image.convert("LA").convert("La")
    if mode == "LAB":
        from PIL import ImageCms

        spaces = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        converted = ImageCms.profileToProfile(image, *spaces, outputMode="LAB")
        assert converted is not None
        return converted
    if mode == "F":
        return Image.fromarray(RGB[..., 0].astype(np.float32) / 255)
    return image.convert("L").convert("I").convert(mode) if mode.startswith("I") else image.convert(mode)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_of_pillow_is_a_picture_or_an_image_error(mode: str) -> None:
    image = of_mode(mode)
    assert image.mode == mode
    try:
        picture = reading.from_pil(image)
    except ImageError as error:
        assert "convert" in str(error)
        return
    assert picture.pixels.shape == RGB.shape and picture.pixels.dtype == np.uint8
    assert (picture.alpha is not None) == (mode in ("LA", "La", "PA", "RGBA", "RGBa"))
    assert image.mode == mode


def test_greys_multiplied_by_their_alpha_are_divided_by_it() -> None:
    levels, alpha = np.full((4, 5), 200, np.uint8), np.full((4, 5), 128, np.uint8)
    image = Image.fromarray(levels)
    image.putalpha(Image.fromarray(alpha))
    assert image.mode == "LA"
    picture = reading.from_pil(image.convert("La"))
    assert np.abs(picture.pixels.astype(int) - 200).max() <= 1
    assert picture.alpha is not None and np.array_equal(picture.alpha, alpha) and picture.grey
