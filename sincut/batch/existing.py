"""A single output file that is there already: whether it is what is asked for, may be made anew, or is not ours.

A folder's manifest knows this of its outputs. Of a file alone its imprint tells it (`pictures/imprint.py`).
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sincut.batch.naming import Job
from sincut.batch.remote import AnyPath, Url, sha256_of
from sincut.errors import ImageError, RunError
from sincut.pictures.imprint import Imprint, is_sealed
from sincut.pictures.reading import imprint_of

REMEDY = "--overwrite replaces it, or give -o another name"


def is_made(job: Job, recipe: Mapping[str, Any], told: list[str]) -> bool:
    """True if a target that is there is the translation by this recipe, False if it is to be made anew.

    Why is `told` in a line. Sincut made it of this source in both cases; raises `RunError` for any other file, which is
    not to be replaced unasked. False for a source that cannot be read: the run tells what is wrong with it.
    """
    imprint = _imprint_of(job.target)
    try:
        same = imprint.source_sha256 == sha256_of(job.source)
    except (OSError, ImageError):
        return False
    if not same:
        raise RunError(f"{job.target}: is there already, made of another picture; {REMEDY}")
    if imprint.recipe == dict(recipe):
        told.append(f"{job.target}: is this translation already, by the same model and options")
        return True
    changed = [name for name in {**imprint.recipe, **recipe} if recipe.get(name) != imprint.recipe.get(name)]
    options = ", ".join(f"{name.replace('_', ' ')} {imprint.recipe.get(name) or 'none'}" for name in changed)
    what = f"another model, {imprint.model}" if "model" in changed else f"other options ({options})"
    told.append(f"{job.target}: was made {'by' if 'model' in changed else 'with'} {what}; it is made anew")
    return False


def _imprint_of(target: AnyPath) -> Imprint:
    """The imprint of a file as sincut has left it. Raises `RunError` where it has none, or was changed since."""
    try:
        with _local(target) as path:
            imprint, sealed = imprint_of(path), is_sealed(path)
    except (ImageError, OSError):  # no picture, or not to be read
        imprint, sealed = None, False
    if imprint is None:
        raise RunError(f"{target}: is there already, and says nothing of being made by sincut; {REMEDY}")
    if not sealed:
        raise RunError(f"{target}: is there already, and was changed since sincut wrote it; {REMEDY}")
    return imprint


@contextmanager
def _local(target: AnyPath) -> Iterator[Path]:
    """A target as a file of this machine; a URL is fetched. Raises `ImageError`."""
    if not isinstance(target, Url):
        yield target
        return
    with tempfile.TemporaryDirectory(prefix="sincut-") as folder:
        path = Path(folder, f"target{target.suffix}")
        target.fetch(path)
        yield path
