"""The two pictures of a training, as the caller gives them, and their identities."""

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from sincut.errors import ImageError
from sincut.files import sha256
from sincut.pictures import reading
from sincut.pictures.picture import Picture, to_pixels

AnyImage = Path | str | Image.Image | np.ndarray | Tensor


@dataclass(frozen=True)
class Source:
    """One of the two pictures with its identity."""

    name: str
    path: str  # as the caller named it, for messages
    picture: Picture
    sha256: str
    file: str = ""  # where it lies; nothing for what is no file

    def identity(self) -> dict[str, Any]:
        h, w = self.picture.size
        return {"name": self.name, "width": w, "height": h, "sha256": self.sha256}


def source_of(image: AnyImage, role: str) -> Source:
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


def identity(value: Any) -> Any:
    """What must not change: a picture's bytes, not its name."""
    return value["sha256"] if isinstance(value, dict) else value


def short(value: Any) -> str:
    return f"{value['name']} ({value['sha256'][:8]})" if isinstance(value, dict) else str(value)


def as_text(data: bytes) -> str:
    return base64.b64encode(data).decode()
