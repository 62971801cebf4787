"""The pictures that are named for one side of a training: one, or a set as a folder, a pattern or a list.

A folder stands for all pictures below it, found by the rules by which `apply` takes them from its inputs
(`batch/sources.py`); a pattern such as `monets/*.jpg`, which a shell has not expanded, for the pictures that match it.
Nothing is opened here: what cannot be read shows when it is.
"""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from sincut.batch.sources import LeftOut, kinds_in_words, pictures_of
from sincut.errors import ImageError
from sincut.pictures.formats import SUFFIXES

AnyImage = Path | str | Image.Image | np.ndarray | Tensor
AnySide = AnyImage | Sequence[AnyImage]


@dataclass(frozen=True, eq=False)
class Found:
    """The pictures of one side, at least one and not read yet."""

    images: tuple[AnyImage, ...]
    name: str  # of the picture, or of the set
    stem: str  # for the name of a run folder
    words: tuple[str, ...]  # as they were named; a role for what is no file
    told: tuple[str, ...] = ()  # what was left out, in words

    @property
    def title(self) -> str:
        """The name, of a set with the number of its pictures."""
        return f"{self.name} ({len(self.images)} pictures)" if len(self.images) > 1 else self.name

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files among them."""
        return tuple(Path(image) for image in self.images if isinstance(image, Path | str))


def find(side: AnySide, role: str) -> Found:
    """The pictures of a side: painting or photo, as its `role` says. Raises `ImageError` where there are none.

    `side` is a path, a pattern, or a picture in memory, or a list or tuple of such.
    """
    if isinstance(side, list | tuple):
        return _of_list(side, role)
    if not isinstance(side, Path | str):
        return Found((side,), role, role, (role,))  # type: ignore[arg-type]
    path = Path(side)
    if path.is_dir():
        return _of_folder(path)
    if is_pattern(path):
        return _of_pattern(path)
    return Found((side,), path.name, path.stem, (str(path),))


def is_pattern(path: Path) -> bool:
    """True for a path with wildcards that names no file as it stands."""
    return glob.has_magic(str(path)) and not path.exists()


def _of_list(sides: Sequence[AnyImage], role: str) -> Found:
    if not sides:
        raise ImageError(f"{role}: an empty list of pictures; give at least one")
    several = len(sides) > 1
    each = [find(side, f"{role} {number}" if several else role) for number, side in enumerate(sides, 1)]
    first, images = each[0], tuple(image for found in each for image in found.images)
    name, stem = (f"{first.name} and more", f"{first.stem}-and-more") if several else (first.name, first.stem)
    words = tuple(word for found in each for word in found.words)
    return Found(images, name, stem, words, tuple(line for found in each for line in found.told))


def _of_folder(folder: Path) -> Found:
    left_out = LeftOut()
    files = tuple(pictures_of(folder, left_out))
    name = folder.name or folder.resolve().name or str(folder)
    told = (*left_out.unread.values(), *left_out.warnings())
    if not files:
        why = f" ({'; '.join(told)})" if told else ""
        raise ImageError(f"{folder}: there are no pictures in this folder{why}; give one that holds some")
    if len(files) == 1:
        return Found(files, files[0].name, files[0].stem, (str(folder),), told)
    return Found(files, name, name, (str(folder),), told)


def _of_pattern(pattern: Path) -> Found:
    left_out = LeftOut()
    matching = [Path(match) for match in sorted(glob.glob(str(pattern), recursive=True))]
    files = [path for path in matching if path.is_file()]
    taken = tuple(path for path in files if path.suffix.lower() in SUFFIXES)
    left_out.kinds.update(path.suffix.lower() for path in files if path not in taken)
    if not taken:
        only = f", only {kinds_in_words(left_out.kinds)}" if left_out.kinds else ""
        raise ImageError(f"{pattern}: no picture has such a name{only}; check the pattern, or give a folder")
    told = tuple(left_out.warnings())
    if len(taken) == 1:
        return Found(taken, taken[0].name, taken[0].stem, (str(pattern),), told)
    plain = pattern.parent.name
    stem = plain if plain and not glob.has_magic(plain) else "pictures"
    return Found(taken, "/".join(pattern.parts[-2:]), stem, (str(pattern),), told)
