"""Pictures for pages: JPEGs as data URIs, compressed until they fit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sincut.errors import DamagedError, ImageError
from sincut.model.card import data_uri
from sincut.pictures import reading, resampling, writing
from sincut.pictures.picture import Picture, on_white
from sincut.pictures.writing import Saving
from sincut.translation.tiles import Box


@dataclass(frozen=True)
class Fit:
    """The most that a picture may take in a page: megapixels, and bytes of its JPEG."""

    megapixels: float
    limit: int


LARGE, SIDE, FRAME = Fit(1.5, 700_000), Fit(0.5, 250_000), Fit(0.26, 34_000)
OF_SET = Fit(0.04, 9_000)  # one of the few pictures of a set that are shown
QUALITIES = (86, 78, 68, 56, 44, 32)  # of JPEGs, tried in this order before the picture is made smaller


class Pictures:
    """Compressed pictures by file and time of its last change, so that none is compressed twice."""

    def __init__(self) -> None:
        self.known: dict[tuple[Path, int, Fit, Box | None], dict[str, Any] | None] = {}

    def of(self, path: Path, fit: Fit, box: Box | None = None) -> dict[str, Any] | None:
        """The file, or that part of it, as `compressed` gives it; None if it is not there or cannot be read.

        What is transparent lies on white.

        Only of a damaged file it is remembered that it cannot be read: what else was wrong may be right the next time.
        """
        try:
            key = path, path.stat().st_mtime_ns, fit, box
            if key not in self.known:
                picture = on_white(reading.load(path))
                top, left, bottom, right = box or (0, 0, *picture.size)
                self.known[key] = compressed(Picture(picture.pixels[top:bottom, left:right]), fit)
        except DamagedError:
            self.known[key] = None
        except (ImageError, OSError):
            return None
        return self.known[key]

    def forget(self, fit: Fit, but: set[Path]) -> None:
        """Drop the pictures of this fit, but not those of these files, which are still shown."""
        self.known = {key: value for key, value in self.known.items() if key[2] != fit or key[0] in but}


def compressed(picture: Picture, fit: Fit) -> dict[str, Any]:
    """`src`, a JPEG that fits as a data URI (base64 comes on top), with its `width` and `height` in px."""
    megapixels = fit.megapixels
    while True:
        small = resampling.shrink(picture, megapixels)
        for quality in QUALITIES:
            data, _ = writing.encode(small, "JPEG", Saving(quality=quality, strip=True))
            if len(data) <= fit.limit:
                h, w = small.size
                return {"src": data_uri(data), "width": w, "height": h}
        megapixels = min(megapixels, small.size[0] * small.size[1] / 1e6) / 2


def model_thumbnail(text: str) -> dict[str, Any] | None:
    """A thumbnail as it stands in a model file, as `compressed` gives it, marked as such; None if it is none."""
    image = resampling.from_thumbnail(text)
    return {**compressed(reading.from_pil(image), SIDE), "thumbnail": True} if image is not None else None
