"""The two pictures of a training, in any form a caller may give them, with what identifies them later."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from sincut.errors import ImageError
from sincut.files import sha256
from sincut.model.provenance import ROLES, direction
from sincut.pictures import reading, resampling
from sincut.pictures.picture import Picture, to_pixels

AnyImage = Path | str | Image.Image | np.ndarray | Tensor

IDENTIFYING = (*ROLES, "direction")  # keys of what must be the same for a run to go on


@dataclass(frozen=True, eq=False)
class Source:
    """One of the two pictures with its identity."""

    name: str
    path: str  # as the caller named it, for messages
    picture: Picture
    sha256: str  # of the file; of the pixels, if it is no file
    file: str = ""  # absolute path; empty if it is no file

    def identity(self) -> dict[str, Any]:
        """Name, size in px and SHA-256, as model file and checkpoint hold them."""
        h, w = self.picture.size
        return {"name": self.name, "width": w, "height": h, "sha256": self.sha256}


@dataclass(frozen=True, eq=False)
class Inputs:
    """The two pictures and the direction: a training translates `source` into the look of `target`."""

    painting: Source
    photo: Source
    reverse: bool = False

    @property
    def both(self) -> tuple[Source, Source]:
        """Painting and photo, in this order whatever the direction."""
        return self.painting, self.photo

    @property
    def source(self) -> Source:
        """The painting; with `reverse` the photo."""
        return self.photo if self.reverse else self.painting

    @property
    def target(self) -> Source:
        """The photo; with `reverse` the painting."""
        return self.painting if self.reverse else self.photo

    def identities(self) -> dict[str, Any]:
        """What identifies a training besides its settings, under the keys `IDENTIFYING`."""
        values = self.painting.identity(), self.photo.identity(), direction(self.reverse)
        return dict(zip(IDENTIFYING, values, strict=True))


def source_of(image: AnyImage, role: str) -> Source:
    """A picture and its identity; `role` names one that is no file. Raises `ImageError`.

    `image` is a path, a PIL image, a uint8 array (H, W, 3), or a float tensor (3, H, W) or (1, 3, H, W) in [0, 1].
    """
    if isinstance(image, Path | str):
        path = Path(image)
        return Source(path.name, str(path), reading.load(path), sha256(path), str(path.absolute()))
    if isinstance(image, Tensor):
        tensor = image[0] if image.ndim == 4 and len(image) == 1 else image
        if tensor.ndim != 3 or len(tensor) != 3 or not tensor.is_floating_point():
            raise ImageError(f"{role}: a tensor of {image.dtype} {tuple(image.shape)}; give floats (3, H, W) in [0, 1]")
        picture = Picture(to_pixels(tensor[None] * 2 - 1))
    elif isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ImageError(f"{role}: an array of {image.dtype} {image.shape}; give uint8 of shape (H, W, 3)")
        picture = Picture(np.ascontiguousarray(image))
    else:
        picture = reading.from_pil(image)
    return Source(role, role, picture, hashlib.sha256(picture.pixels.tobytes()).hexdigest())


def differences(here: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    """In words, what identifies the training `here` and is another `there`. Names of pictures may differ.

    Both have the keys `IDENTIFYING`; each picture is an object with at least `name` and `sha256`. What `there` comes
    from a file and may hold anything counts as another.
    """
    pairs = [(key, here[key], there.get(key)) for key in IDENTIFYING]
    return [f"the {key} is {named(a)}, was {named(b)}" for key, a, b in pairs if _essence(a) != _essence(b)]


def named(value: Any) -> str:
    """A picture's name with the first digits of its SHA-256, or a direction, for messages."""
    if not isinstance(value, dict):
        return str(value)
    return f"{value.get('name')} ({str(value.get('sha256'))[:8]})"


def thumbnail(picture: Picture) -> str:
    """A small JPEG in base64, as model files hold them."""
    return base64.b64encode(resampling.thumbnail(picture)).decode()


def _essence(value: Any) -> Any:
    """What must not change: a picture's bytes, not its name."""
    return value.get("sha256") if isinstance(value, dict) else value
