"""Pictures for pages: JPEGs as data URIs, compressed until they fit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sincut.errors import ImageError
from sincut.model.card import data_uri
from sincut.pictures import reading, resampling, writing
from sincut.pictures.picture import Picture
from sincut.pictures.writing import Saving


@dataclass(frozen=True)
class Fit:
    """How large a picture may be in the page."""

    megapixels: float
    limit: int  # bytes


LARGE, SIDE, FRAME = Fit(1.5, 700_000), Fit(0.5, 250_000), Fit(0.26, 34_000)
QUALITIES = (86, 78, 68, 56, 44, 32)


class Pictures:
    """Compressed pictures by file and time of its last change, so that none is compressed twice."""

    def __init__(self) -> None:
        self.known: dict[tuple[Path, int, Fit], dict[str, Any] | None] = {}

    def of(self, path: Path, fit: Fit) -> dict[str, Any] | None:
        """Data URI and size; None for a file that is not there or is damaged."""
        try:
            key = path, path.stat().st_mtime_ns, fit
            if key not in self.known:
                self.known[key] = None
                self.known[key] = compressed(reading.load(path), fit)
        except (ImageError, OSError):
            return None
        return self.known[key]

    def forget(self, fit: Fit, but: set[Path]) -> None:
        """Drop what is no longer shown."""
        self.known = {key: value for key, value in self.known.items() if key[2] != fit or key[0] in but}


def compressed(picture: Picture, fit: Fit) -> dict[str, Any]:
    """A JPEG as a data URI of at most `fit.limit` bytes before base64, with its size and its share of the original."""
    megapixels = fit.megapixels
    while True:
        small = resampling.shrink(picture, megapixels)
        for quality in QUALITIES:
            data, _ = writing.encode(small, "JPEG", Saving(quality=quality, strip=True))
            if len(data) <= fit.limit:
                h, w = small.size
                return {"src": data_uri(data), "width": w, "height": h}
        megapixels = min(megapixels, small.size[0] * small.size[1] / 1e6) / 2
