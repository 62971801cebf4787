"""The work on one picture, from fetching its source to putting the result in its place."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from sincut.batch.beside import copy_sidecars, further_names
from sincut.batch.naming import Job
from sincut.batch.remote import stamp_of
from sincut.batch.staged import Staged
from sincut.devices import within_memory
from sincut.errors import DamagedError, ImageError, SincutError
from sincut.events import Listener
from sincut.files import sha256
from sincut.pictures import formats, reading, writing
from sincut.pictures.picture import Picture
from sincut.pictures.writing import Saving
from sincut.translation.options import Options
from sincut.translation.translator import Translator


@dataclass(frozen=True)
class Outcome:
    """The end of the work on one picture: translated, or failed where there is an `error`."""

    before: tuple[int, int]  # size in bytes and time of the source as it was read
    sha256: str  # of the source's bytes
    pixels: int  # of the source
    seconds: float
    notes: tuple[str, ...] = ()
    written: tuple[int, int] | None = None  # size and time of the output, where they were asked for
    error: str = ""
    damaged: bool = False  # the source is at fault: to try again is of no use before it changes


@dataclass(frozen=True, eq=False)
class Read:
    """A source that was read, or the error that came of it.

    With neither a picture nor an error, there was no room for the picture beside what was in memory.
    """

    staged: Staged
    before: tuple[int, int] = (0, 0)  # size in bytes and time of the file
    sha256: str = ""
    picture: Picture | None = None
    pixels: int = 0
    error: SincutError | MemoryError | None = None

    def signed(self, saving: Saving) -> Saving:
        """The choices of a user for its translation, whose imprint names this source."""
        imprint = saving.imprint
        return saving if imprint is None else replace(saving, imprint=replace(imprint, source_sha256=self.sha256))

    def outcome(self, seconds: float, notes: tuple[str, ...] = (), written: tuple[int, int] | None = None) -> Outcome:
        """The outcome of a picture that was translated."""
        return Outcome(self.before, self.sha256, self.pixels, seconds, notes, written)

    def failure(self, error: SincutError | MemoryError, seconds: float) -> Outcome:
        """The outcome of a picture that failed, with the reason in a line that names it."""
        source, target = (str(path) for path in self.staged.given)
        short = "does not fit into memory; close other programs, then try again, or use a smaller picture"
        reason = self.staged.told(str(error)) if str(error) and not isinstance(error, MemoryError) else short
        reason = reason if source in reason or target in reason else f"{source}: {reason}"
        return replace(self.outcome(seconds), error=reason, damaged=isinstance(error, DamagedError))


def read(job: Job, translator: Translator, options: Options, hashed: bool = True) -> Read:
    """Fetch and decode the source of a job. Raises nothing on account of the source: errors are in the result."""
    staged = Staged(job.source, job.target, job.suffix)
    result = Read(staged)
    try:
        result = replace(result, before=stamp_of(job.source) or (0, 0))
        staged.fetch()
        staged.name_target(reading.suffix_of)
        result = replace(
            result, sha256=sha256(staged.source) if hashed and (result.before[0] or staged.streams[0]) else ""
        )
        h, w = reading.size_of(staged.source, options.max_pixels)
        formats.check_fits_format(staged.target, (h, w))
        fits = translator.fits((h, w), options, reading.bytes_in_memory(staged.source))
        picture = reading.load(staged.source, options.max_pixels) if fits else None
        return replace(result, picture=picture, pixels=h * w)
    except (SincutError, MemoryError) as error:
        return replace(result, error=error)
    except OSError as error:
        return replace(result, error=ImageError(f"{job.source}: cannot be read ({error.strerror}); check it"))


def apply_staged(
    staged: Staged, translator: Translator, options: Options, saving: Saving, on_event: Listener
) -> tuple[str, ...]:
    """Translate from file to file, put the result in its place, and return the notes on it. Raises `ImageError`."""

    def write() -> tuple[str, ...]:
        with within_memory():
            return translator.apply_file(staged.source, staged.target, options, saving, on_event)

    return _placed(staged, saving, write)


def save(picture: Picture, staged: Staged, saving: Saving) -> tuple[str, ...]:
    """Write a translated picture, put it in its place, and return all notes on it. Raises `ImageError`."""
    return _placed(staged, saving, lambda: picture.notes + writing.save(picture, staged.target, saving))


def _placed(staged: Staged, saving: Saving, write: Callable[[], tuple[str, ...]]) -> tuple[str, ...]:
    """Have the target written and put it in its place, its sidecars with it; all notes."""
    names = further_names(*staged.given)
    try:
        notes = write() + names
        staged.publish()
        return notes if saving.strip else notes + copy_sidecars(*staged.given)
    finally:
        staged.close()
