"""Heat maps over a picture, side by side, with a colour bar. Their values are computed elsewhere.

The colours run from black over violet and orange to pale yellow with a lightness L* that rises linearly in CIELAB, so
that equal steps look equal, also to the colour-blind and in grey (P. Kovesi 2015, "Good Colour Maps: How to Design
Them", https://arxiv.org/abs/1509.03700). They are computed here, from the arc below.
"""

import numpy as np
import torch
from kornia.color import lab_to_rgb
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from sincut.pictures.picture import Picture
from sincut.pictures.resampling import shrink

LARGEST = 1.2  # megapixels of a panel; a larger picture is scaled down
LIGHTNESS = (3.0, 96.0)  # L* of the lowest and of the highest value
HUES = (-75.0, 105.0)  # degrees of a, b: violet, over red, to yellow
CHROMA = 62.0  # in CIELAB, in the middle; it falls towards the ends, since sRGB has none near black and white
SHARE = 0.8  # of the heat in a panel; the rest is the picture in grey
INK, PAPER = (20, 20, 20), (255, 255, 255)


def colours(count: int = 256) -> NDArray[np.uint8]:
    """(count, 3) uint8 sRGB, from the lowest value to the highest."""
    share = torch.linspace(0, 1, count)
    hue = torch.deg2rad(HUES[0] + share * (HUES[1] - HUES[0]))
    chroma = CHROMA * torch.sin(torch.pi * (0.04 + 0.86 * share))
    lightness = LIGHTNESS[0] + share * (LIGHTNESS[1] - LIGHTNESS[0])
    lab = torch.stack([lightness, chroma * hue.cos(), chroma * hue.sin()])[None, :, :, None]  # (1, 3, count, 1)
    table: NDArray[np.uint8] = (lab_to_rgb(lab)[0, :, :, 0].T * 255).round().byte().numpy()
    return table


def heat_maps(picture: Picture, maps: dict[str, Tensor], point: tuple[int, int], low: str, high: str) -> Picture:
    """A panel for each titled map (H', W') in [0, 1]: its colours over the picture in grey, and `point` (x, y) marked.

    Panels stand side by side, in two rows if there are more than three, below each other if they are wide; beside them
    stands a colour bar, with `low` and `high` at its ends.
    """
    small = shrink(picture, LARGEST)
    h, w = small.size
    unit = max(10, round(max(h, w) / 45))  # px of a line of text
    font = ImageFont.load_default(unit)
    across = 1 if w >= 1.6 * h else len(maps) if len(maps) <= 3 else -(-len(maps) // 2)
    down = -(-len(maps) // across)
    sheet = Image.new("RGB", (across * (w + unit) + 5 * unit, down * (h + 2 * unit) + unit), PAPER)
    draw = ImageDraw.Draw(sheet)
    scale = w / picture.size[1]
    for index, (title, values) in enumerate(maps.items()):
        left, top = unit // 2 + index % across * (w + unit), index // across * (h + 2 * unit) + 2 * unit
        draw.text((left, top - 1.5 * unit), title, INK, font)
        sheet.paste(_panel(small, values), (left, top))
        _mark(draw, left + (point[0] + 0.5) * scale, top + (point[1] + 0.5) * scale, unit)
    bar = np.repeat(colours()[::-1, None], unit, axis=1)
    left, bottom = across * (w + unit) + unit // 2, h + 2 * unit
    sheet.paste(Image.fromarray(bar).resize((unit, h)), (left, 2 * unit))
    for text, y in ((high, 2 * unit), (low, bottom - 1.2 * unit)):
        draw.text((left + 1.3 * unit, y), text, INK, font)
    return Picture(np.asarray(sheet))


def enlarged(picture: Picture, colours: Tensor) -> Picture:
    """The colours (3, H', W') in [0, 1] as a picture of `picture`'s size, interpolated linearly."""
    h, w = picture.size
    pixels = (colours * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    return Picture(np.asarray(Image.fromarray(pixels).resize((w, h), Image.Resampling.BILINEAR)))


def _panel(picture: Picture, values: Tensor) -> Image.Image:
    """One panel: the colours of a map (H', W') in [0, 1], scaled to the picture, over its light and dark."""
    h, w = picture.size
    levels = Image.fromarray((values.clamp(0, 1) * 255).round().byte().numpy())
    heat = Image.fromarray(colours()[np.asarray(levels.resize((w, h), Image.Resampling.BOX))])
    grey = Image.fromarray(picture.pixels).convert("L").convert("RGB")
    return Image.blend(grey, heat, SHARE)


def _mark(draw: ImageDraw.ImageDraw, x: float, y: float, unit: int) -> None:
    """Draw a ring that is seen on dark and on light; `unit` is the height of a line of text in px."""
    for radius, ink, width in ((0.8 * unit, INK, max(3, unit // 4)), (0.8 * unit - 1, PAPER, max(1, unit // 10))):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=ink, width=width)
