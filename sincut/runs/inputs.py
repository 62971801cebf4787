"""The pictures of a training, in any form a caller may give them, with what identifies them later."""

import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from sincut.config.networks import Crops
from sincut.config.sections import Config
from sincut.errors import ImageError, listed
from sincut.events import Listener, PictureRead, Warned
from sincut.files import sha256
from sincut.method.algorithms import check_picture
from sincut.model.provenance import PictureIdentity, Provenance, direction
from sincut.pictures import learned, reading, resampling
from sincut.pictures.picture import Picture, on_white, to_pixels
from sincut.runs.finding import AnyImage, Found


@dataclass(frozen=True, eq=False)
class Source:
    """A picture, as it is learned from, with its identity."""

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

    @property
    def each(self) -> tuple["Source", ...]:
        """The pictures of the side, if it is no set: this one."""
        return (self,)

    @property
    def typed(self) -> str | list[str]:
        """The picture as the caller named it."""
        return self.path

    def identity(self) -> PictureIdentity:
        """Name, size in px, SHA-256 and notes on its reading, as model file and checkpoint hold them."""
        h, w = self.learned.size
        return PictureIdentity(self.name, w, h, self.sha256, self.picture.notes)

    def told(self, role: str) -> PictureRead:
        """The event that tells of this picture in its role."""
        h, w = self.learned.size
        return PictureRead(role, self.name, w, h, self.picture.notes)


@dataclass(frozen=True, eq=False)
class SourceSet:
    """The pictures of a side that has several, with their identity. Where one is shown for all, it is the first."""

    name: str
    words: tuple[str, ...]  # as the caller named them
    each: tuple[Source, ...]

    @property
    def picture(self) -> Picture:
        """The first picture."""
        return self.each[0].picture

    @property
    def sha256(self) -> str:
        """A hash of the hashes of all pictures, in order."""
        return self.identity().sha256

    @property
    def typed(self) -> str | list[str]:
        """The set as the caller named it: one word, or several."""
        return self.words[0] if len(self.words) == 1 else list(self.words)

    def identity(self) -> PictureIdentity:
        """The identity of the set, with that of each picture."""
        return PictureIdentity.of_set(self.name, [source.identity() for source in self.each])


AnySource = Source | SourceSet  # a side, as it is learned from


@dataclass(frozen=True, eq=False)
class Inputs:
    """The pictures of both sides and the direction: a training translates `source` into the look of `target`."""

    painting: AnySource
    photo: AnySource
    reverse: bool = False

    @property
    def both(self) -> tuple[AnySource, AnySource]:
        """Painting and photo, in this order whatever the direction."""
        return self.painting, self.photo

    @property
    def scaled(self) -> bool:
        """True if one of them is learned from at a smaller size than its own, so as to bound the memory it takes."""
        return any(source.learned.scale != 1 for side in self.both for source in side.each)

    @property
    def source(self) -> AnySource:
        """The painting; with `reverse` the photo."""
        return self.photo if self.reverse else self.painting

    @property
    def target(self) -> AnySource:
        """The photo; with `reverse` the painting."""
        return self.painting if self.reverse else self.photo

    def identity(self) -> Provenance:
        """The pictures and the direction, which identify a training besides its settings."""
        return Provenance(self.painting.identity(), self.photo.identity(), direction(self.reverse))

    def to_json(self) -> str:
        """`identity` and the paths of all files, as `parse_inputs` reads them from a checkpoint's metadata."""
        paths = [source.file for side in self.both for source in side.each]
        return json.dumps({**self.identity().to_dict(), "paths": paths})


def read_side(found: Found, role: str, config: Config, on_event: Listener) -> AnySource:
    """The pictures of a side, as a training with these settings learns from them; each is told. Raises `ImageError`.

    Of a set, a picture that cannot be read or is too small is `Warned` of and left out, as long as another one is left.
    """
    several = len(found.images) > 1
    sources, reasons = list[tuple[AnyImage, Source]](), list[str]()
    for number, image in enumerate(found.images, 1):
        try:
            source = _checked(image, f"{role} {number}" if several else role, config, several)
        except ImageError as error:
            if not several:
                raise
            reasons.append(str(error))
            on_event(Warned(f"{error}; this picture is left out"))
            continue
        sources.append((image, source))
        on_event(source.told(role))
    if not sources:
        raise ImageError(f"{found.name}: none of its {len(found.images)} pictures can be learned from; {reasons[0]}")
    if len(sources) == 1:  # as if it had been given alone
        (image, source) = sources[0]
        return _checked(image, role, config) if several else source
    return SourceSet(found.name, found.words, tuple(source for _, source in sources))


def _checked(image: AnyImage, role: str, config: Config, in_set: bool = False) -> Source:
    """A picture that is large enough for the crops of a training. Raises `ImageError`."""
    source = source_of(image, role, config.crops, in_set)
    check_picture(source.path, source.picture.size, config)
    return source


def source_of(image: AnyImage, role: str, crops: Crops | None = None, in_set: bool = False) -> Source:
    """A picture, as these crops learn from it, and its identity; `role` names one that is no file. Raises `ImageError`.

    One that is `in_set`, one of several of a side, is scaled down to less. `image` is a path, a PIL image, a uint8
    array (H, W, 3), or a float tensor (3, H, W) or (1, 3, H, W) in [0, 1].
    """
    crops = crops or Crops()
    if isinstance(image, Path | str):
        path = Path(image)
        return Source(
            path.name, str(path), learned.load(path, crops, in_set=in_set), sha256(path), str(path.absolute())
        )
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
        return Source(role, role, learned.of(picture, crops, in_set), digest)
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
            words.append(f"the {role} is {a}, was {b or 'not told'}{_others(a, b)}")
    if here.direction != there.direction:
        words.append(f"the direction is {here.direction}, was {there.direction or 'not told'}")
    return words


def thumbnail(picture: Picture) -> str:
    """A small JPEG in base64, transparent parts on white, as model files hold them."""
    return base64.b64encode(resampling.thumbnail(on_white(picture))).decode()


def _others(a: PictureIdentity | None, b: PictureIdentity | None) -> str:
    """In words, the pictures that only one of two sets has; empty if none of the two is a set."""
    if a is None or b is None or not (a.pictures or b.pictures):
        return ""
    hashes = [{picture.sha256 for picture in side.each} for side in (a, b)]
    pairs = zip((a, b), reversed(hashes), strict=True)
    names = [picture.name for side, other in pairs for picture in side.each if picture.sha256 not in other]
    return f" (in one of them only: {listed(names)})" if names else " (in another order)"


def _digest(picture: PictureIdentity | None) -> str:
    return picture.sha256 if picture is not None else ""
