"""The two pictures of a training, in any form a caller may give them, with what identifies them later."""

import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from sincut.config.networks import Crops
from sincut.errors import ImageError
from sincut.events import PictureRead
from sincut.files import sha256
from sincut.model.provenance import PictureIdentity, Provenance, direction
from sincut.pictures import learned, reading, resampling
from sincut.pictures.picture import Picture, on_white, to_pixels

AnyImage = Path | str | Image.Image | np.ndarray | Tensor


@dataclass(frozen=True, eq=False)
class Source:
    """One of the two pictures, as it is learned from, with its identity."""

    name: str
    path: str  # as the caller named it, for messages
    learned: learned.Learned
    sha256: str  # of the file; of the pixels, if it is no file
    file: str = ""  # absolute path; empty if it is no file

    @property
    def picture(self) -> Picture:
        """Pixels that are learned from, which show nothing hidden; alpha beside them where parts of them are."""
        return self.learned.picture

    @property
    def width(self) -> float:
        """Width of what is learned from, in px of the whole picture."""
        return self.picture.size[1] / self.learned.scale

    def identity(self) -> PictureIdentity:
        """Name, size in px, SHA-256 and notes on its reading, as model file and checkpoint hold them."""
        h, w = self.learned.size
        return PictureIdentity(self.name, w, h, self.sha256, self.picture.notes)

    def told(self, role: str) -> PictureRead:
        """The event that tells of this picture in its role."""
        h, w = self.learned.size
        return PictureRead(role, self.name, w, h, self.picture.notes)


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
    def scaled(self) -> bool:
        """True if one of them is learned from at a smaller size than its own, so as to bound the memory it takes."""
        return any(side.learned.scale != 1 for side in self.both)

    @property
    def source(self) -> Source:
        """The painting; with `reverse` the photo."""
        return self.photo if self.reverse else self.painting

    @property
    def target(self) -> Source:
        """The photo; with `reverse` the painting."""
        return self.painting if self.reverse else self.photo

    def identity(self) -> Provenance:
        """The two pictures and the direction, which identify a training besides its settings."""
        return Provenance(self.painting.identity(), self.photo.identity(), direction(self.reverse))

    def to_json(self) -> str:
        """`identity` and the paths of the two files, as `parse_inputs` reads them from a checkpoint's metadata."""
        return json.dumps({**self.identity().to_dict(), "paths": [side.file for side in self.both]})


def name_of(image: AnyImage, role: str) -> str:
    """The name of a picture's file; its role if it is none."""
    return Path(image).name if isinstance(image, Path | str) else role


def source_of(image: AnyImage, role: str, crops: Crops | None = None) -> Source:
    """A picture, as these crops learn from it, and its identity; `role` names one that is no file. Raises `ImageError`.

    `image` is a path, a PIL image, a uint8 array (H, W, 3), or a float tensor (3, H, W) or (1, 3, H, W) in [0, 1].
    """
    crops = crops or Crops()
    if isinstance(image, Path | str):
        path = Path(image)
        return Source(path.name, str(path), learned.load(path, crops), sha256(path), str(path.absolute()))
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
    digest = hashlib.sha256(np.ascontiguousarray(picture.pixels).data).hexdigest()
    try:
        return Source(role, role, learned.of(picture, crops), digest)
    except ImageError as error:
        raise ImageError(f"{role}: {error}") from None


def parse_inputs(text: str) -> tuple[Provenance, list[Path]]:
    """`Inputs.identity` from the text of `Inputs.to_json`, and the paths of the pictures that came as files.

    Raises ValueError or RecursionError for any other text.
    """
    told = json.loads(text)
    identity = Provenance.parse(told)
    if not (identity.painting and identity.photo and identity.direction):
        raise ValueError("its inputs are not told")
    paths = told.get("paths")
    return identity, [Path(path) for path in paths if isinstance(path, str) and path] if isinstance(paths, list) else []


def differences(here: Provenance, there: Provenance) -> list[str]:
    """In words, pictures and direction of the training `here` that are others `there`. Names of pictures may differ."""
    words = []
    for role, a in here.pictures.items():
        b = there.pictures[role]
        if _digest(a) != _digest(b):
            words.append(f"the {role} is {a}, was {b or 'not told'}")
    if here.direction != there.direction:
        words.append(f"the direction is {here.direction}, was {there.direction or 'not told'}")
    return words


def thumbnail(picture: Picture) -> str:
    """A small JPEG in base64, transparent parts on white, as model files hold them."""
    return base64.b64encode(resampling.thumbnail(on_white(picture))).decode()


def _digest(picture: PictureIdentity | None) -> str:
    return picture.sha256 if picture is not None else ""
