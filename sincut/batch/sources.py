"""Finding pictures: a file stands for itself, a folder for all pictures below it."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePath

from sincut.batch.naming import Job, Naming
from sincut.batch.remote import AnyPath, Url
from sincut.errors import ImageError, RunError
from sincut.pictures.formats import SUFFIXES


@dataclass(frozen=True)
class Filter:
    """Shell patterns that choose files of folders, matched with the name and with the path below the folder."""

    include: tuple[str, ...]
    exclude: tuple[str, ...]

    def __call__(self, path: PurePath) -> bool:
        def matches(patterns: tuple[str, ...]) -> bool:
            return any(fnmatch(path.name, p) or fnmatch(path.as_posix(), p) for p in patterns)

        return (not self.include or matches(self.include)) and not matches(self.exclude)


def jobs_of(
    path: AnyPath, naming: Naming, wanted: Callable[[PurePath], bool], refused: list[str],
    arrived: Collection[Path] | None = None,
) -> Iterator[Job]:  # fmt: skip
    """The jobs of one input, in order of their names; with `arrived`, only those of these files.

    Names that no file of this machine can have are told in `refused`. Raises `ImageError` for a folder that cannot be
    read or holds no pictures that are `wanted`, and `RunError` for one that the outputs would go into.
    """
    if path.is_file():
        if arrived is None:
            yield Job(path, naming.target(path, PurePath()))
        return
    root = naming.root([path])
    if naming.output is not None and root is not None and _lies_in(root, path):
        raise RunError(f"{root}: lies in {path}, and results would be taken for sources; give -o a place outside")
    is_empty = arrived is None
    sources: Iterable[AnyPath] = _files(path, refused) if arrived is None else sorted(arrived)
    for source in sources:
        if not source.is_relative_to(path):
            continue
        below = source.relative_to(path)
        if _is_picture(below) and wanted(below):
            is_empty = False
            yield Job(source, naming.target(source, below.parent))
    if is_empty:
        known = ", ".join(sorted(SUFFIXES))
        raise ImageError(
            f"{path}: holds no pictures ({known}) that are asked for; check the path, --include, --exclude"
        )


def _lies_in(place_: AnyPath, folder: AnyPath) -> bool:
    if isinstance(place_, Path) and isinstance(folder, Path):
        return place_.resolve().is_relative_to(folder.resolve())
    return isinstance(place_, Url) and isinstance(folder, Url) and place_.is_relative_to(folder)


def _is_picture(below: PurePath) -> bool:
    """True for a file below a folder that has a known suffix, and is not hidden, nor in a hidden folder."""
    return below.suffix.lower() in SUFFIXES and not any(part.startswith(".") for part in below.parts)


def _files(folder: AnyPath, refused: list[str]) -> Iterator[AnyPath]:
    """Files below a folder, in order; hidden folders are not looked into, links to folders not followed."""

    def refuse(error: OSError) -> None:
        raise ImageError(f"{error.filename}: this folder cannot be read ({error.strerror}); check its permissions")

    if isinstance(folder, Url):
        yield from folder.files(refused.append)
        return
    for here, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(here, name) for name in sorted(files))
