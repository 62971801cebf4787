"""Pictures from a browser: put into a folder, translated as `sincut apply` translates one, and packed for download.

Folders on this machine may be named, too, if they lie below the folder that the server was started in.
"""

import os
import re
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sincut.batch import pipe
from sincut.batch.naming import Job
from sincut.batch.plan import make_plans
from sincut.batch.tally import Result
from sincut.errors import ImageError, RunError, within
from sincut.events import Listener, ignore
from sincut.files import make_folder
from sincut.pictures import reading, writing
from sincut.pictures.opening import MAX_PIXELS
from sincut.pictures.picture import Picture
from sincut.pictures.writing import Saving
from sincut.translation.options import Options
from sincut.translation.translator import Translator

DOWNLOADED_BYTES = 2_000_000_000  # of all results together that are packed; more are left where they lie
SCREEN_MEGAPIXELS = 12.0  # largest size at which a picture is shown, to be judged at 100 %; larger ones are reduced
TOO_LARGE_TO_SHOW = 200e6  # pixels; larger pictures are not decoded only to be shown
KEPT_SECONDS = 86_400.0  # age at which results are removed
PREFIX = "styled-"  # of the folders of results
ZIP = "styled.zip"
UNSAFE = re.compile(r'[\x00-\x1f<>:"/\\|?*]')  # characters that some system forbids in file names


@dataclass(frozen=True)
class Batch:
    """The outcome of a styling."""

    done: tuple[Job, ...]
    skipped: tuple[Job, ...]  # their outputs were there already
    failed: tuple[str, ...]  # a line for each
    left: int  # pictures not reached when it was stopped
    archive: Path | None = None  # zip file of all results
    left_out: tuple[str, ...] = ()  # a line for each reason to leave something out

    @property
    def shown(self) -> tuple[Job, ...]:
        """The jobs whose outputs exist."""
        return (*self.done, *self.skipped)


def inside(root: Path, text: str) -> Path:
    """The absolute path that a visitor has typed, relative to `root`. Raises `RunError` if it does not lie below it."""
    try:
        path = (root / text.strip()).resolve()
        below = path.is_relative_to(root.resolve())
    except (OSError, ValueError):
        below = False
    if not below:
        raise RunError(f"{text}: does not lie in {root}; give a path below that folder, or drop the files")
    return path


def translate_uploads(
    files: Sequence[Path],
    place: Path,
    model: Path,
    translator: Translator,
    options: Options,
    saving: Saving,
    format_: str | None = None,
    on_event: Listener = ignore,
    stop: Callable[[], bool] = lambda: False,
) -> Batch:
    """Translate uploaded files into a new folder in `place`, and pack the results. Raises `SincutError`.

    `model` is the path behind `translator`; `format_` None keeps each file's own format.
    """
    if not files:
        raise ImageError("no pictures: drop some, or name a folder")
    _forget_old(place)
    here = new_folder(place)
    sources = _staged(files, here / "sources")
    name = (model if model.is_dir() else model.with_suffix("")).name
    named = "{folder}/{stem}-" + name.replace("{", "{{").replace("}", "}}")
    make_folder(here / "results", RunError)
    batch = translate_folder(
        sources, here / "results" / named, model, translator, options, saving, format_, on_event=on_event, stop=stop
    )
    return packed(batch, here / "results", here)


def translate_folder(
    source: Path,
    output: Path,
    model: Path,
    translator: Translator,
    options: Options,
    saving: Saving,
    format_: str | None = None,
    overwrite: bool = False,
    on_event: Listener = ignore,
    stop: Callable[[], bool] = lambda: False,
) -> Batch:
    """Translate a file or a whole folder into the folder `output`, as `sincut apply` does. Raises `SincutError`."""
    named: dict[str, Any] = {"format_": format_, "is_folder": True, "overwrite": overwrite}
    ((_, plan),) = make_plans([model], [source], output, options, saving, **named)
    result = Result()
    result.add(plan, *pipe.run(plan, translator, options, saving, on_event, stop))
    failed = [*(reason for _, reason in result.failed), *result.unread.values()]
    failed += [f"{job.source}: failed before and is as it was" for job in result.failed_before]
    failed, left_out = ([within(line, source) for line in lines] for lines in (failed, plan.warnings))
    return Batch(tuple(result.done), tuple(result.skipped), tuple(failed), result.left, left_out=tuple(left_out))


def packed(batch: Batch, results: Path, place: Path) -> Batch:
    """The batch with a zip file in `place` of all results, which are stored as they are: pictures are compressed.

    Names in it are paths below the folder `results`. There is none of more than `DOWNLOADED_BYTES`.
    """
    if not batch.shown or sum(Path(job.target).stat().st_size for job in batch.shown) > DOWNLOADED_BYTES:
        return batch
    target = new_folder(place) / ZIP
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for job in batch.shown:
            archive.write(job.target, job.target.relative_to(results))
    return replace(batch, archive=target)


def on_screen(path: Path, place: Path, max_pixels: int = MAX_PIXELS) -> Path:
    """The path of a reduced copy in `place` that any browser can show. Raises `ImageError`."""
    size_to_show(path, max_pixels)
    return as_file(reading.viewable(path, SCREEN_MEGAPIXELS, max_pixels), path.stem, place)


def size_to_show(path: Path, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """The size (H, W) of a picture file. Raises `ImageError` for one that is too large to be shown."""
    h, w = reading.size_of(path, max_pixels)
    if h * w > TOO_LARGE_TO_SHOW:
        raise ImageError(f"{path.name}: {w}x{h} pixels are too many to be shown here; open the file instead")
    return h, w


def as_file(picture: Picture, name: str, place: Path) -> Path:
    """The path of the picture saved as a JPEG file of that name, in a new folder in `place`."""
    target = new_folder(place) / f"{UNSAFE.sub('_', name)[:80]}.jpg"
    writing.save(picture, target)
    return target


def new_folder(place: Path) -> Path:
    """A new folder in `place`, which is removed when it is older than `KEPT_SECONDS`."""
    return Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))


def _staged(files: Sequence[Path], target: Path) -> Path:
    """Link or copy the files into the folder `target`, which is made and returned; equal names are numbered.

    So are those that differ in their suffix alone: formats that are not written become JPEG, and names would be equal.
    """
    make_folder(target, RunError)
    stems = set[str]()
    for path in files:
        name = Path(UNSAFE.sub("_", path.name).lstrip(".") or "picture")
        stem, number = name.stem, 1
        while stem.lower() in stems:
            number += 1
            stem = f"{name.stem}-{number}"
        stems.add(stem.lower())
        link = target / f"{stem}{name.suffix}"
        try:
            os.link(path, link)
        except OSError:  # another disk, or a file system without links
            shutil.copyfile(path, link)
    return target


def _forget_old(place: Path) -> None:
    """Remove folders of results in `place` that are older than `KEPT_SECONDS`; make `place` if it is not there."""
    make_folder(place, RunError)
    for old in place.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > KEPT_SECONDS:
                shutil.rmtree(old)
