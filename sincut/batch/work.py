"""The work on one picture, from fetching its source to putting the result in its place."""

from dataclasses import dataclass, replace

from sincut.batch.naming import Job
from sincut.batch.remote import Staged, stamp_of
from sincut.errors import ImageError, SincutError
from sincut.events import Listener
from sincut.files import sha256
from sincut.pictures import formats, reading, writing
from sincut.pictures.picture import Picture
from sincut.pictures.writing import Saving
from sincut.translation.options import Options
from sincut.translation.translator import Translator


@dataclass(frozen=True)
class Read:
    """What is known of a source: size and time of its file, its hash, and the picture or what went wrong.

    Without a picture and an error, there is no room for it beside what is in memory now.
    """

    staged: Staged
    before: tuple[int, int] = (0, 0)
    sha256: str = ""
    picture: Picture | None = None
    pixels: int = 0
    error: SincutError | MemoryError | None = None


def read(job: Job, translator: Translator, options: Options, hashed: bool = True) -> Read:
    """Fetch and decode the source of a job; whatever goes wrong with it is told in the result."""
    found = Read(Staged(job.source, job.target))
    source = found.staged.source
    try:
        found = replace(found, before=stamp_of(job.source) or (0, 0))
        found.staged.fetch()
        found = replace(found, sha256=sha256(source) if hashed and found.before[0] else "")
        h, w = reading.size_of(source, options.max_pixels)
        formats.check_fits_format(found.staged.target, (h, w))
        fits = translator.fits((h, w), options, reading.bytes_in_memory(source))
        picture = reading.load(source, options.max_pixels) if fits else None
        return replace(found, picture=picture, pixels=h * w)
    except (SincutError, MemoryError) as error:
        return replace(found, error=error)
    except OSError as error:
        return replace(found, error=ImageError(f"{job.source}: cannot be read ({error.strerror}); check it"))


def apply_staged(
    staged: Staged, translator: Translator, options: Options, saving: Saving, on_event: Listener
) -> tuple[str, ...]:
    """Translate from file to file, and put the result in its place. Raises `ImageError`."""
    notes = translator.apply_file(staged.source, staged.target, options, saving, on_event)
    staged.publish()
    staged.close()
    return notes


def save(picture: Picture, staged: Staged, saving: Saving) -> tuple[str, ...]:
    """Write a translated picture, put it in its place, and return all notes on it. Raises `ImageError`."""
    try:
        notes = picture.notes + writing.save(picture, staged.target, saving)
        staged.publish()
    finally:
        staged.close()
    return notes


def reason_of(error: Exception, job: Job, staged: Staged) -> str:
    """Why a picture failed, in a line that names it."""
    reason = staged.told(str(error)) or f"{job.source}: does not fit into memory; use a smaller picture"
    return reason if str(job.source) in reason or str(job.target) in reason else f"{job.source}: {reason}"
