"""Finding pictures: a file stands for itself, a folder for all pictures below it. What is left out is noted."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePath

from sincut.batch.manifest import MANIFEST_FILE
from sincut.batch.naming import Job, Naming
from sincut.batch.remote import AnyPath, Url
from sincut.errors import ImageError, RunError, listed
from sincut.pictures.formats import SUFFIXES

# Folders of systems, in small letters: deleted files, thumbnails, snapshots and copies of metadata.
SYSTEM_FOLDERS = {
    *("@eadir", "#recycle", "#snapshot", "@tmp", "@sharebin", "@synoeastream"),  # Synology
    *("@recycle", "@recently-snapshot"),  # QNAP
    *("$recycle.bin", "recycler", "recycled", "system volume information", "found.000"),  # Windows
    *("__macosx", "network trash folder", "temporary items", "thevolumesettingsfolder"),  # macOS
    "lost+found",
}
SYSTEM_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", MANIFEST_FILE}
SIDECARS = {".xmp"}  # no pictures, but what programs say of one
# What became of links and the like; each is followed by a count and names.
REPEATED = "links left out, as they lead to pictures that are taken themselves"
IN_PLACE = "links left out, as --in-place replaces only files that lie in the folder themselves"
OUTSIDE = "links that lead out of the folder are translated like files of it"
FOLDERS = "links to folders elsewhere are not followed; name those folders too if they are wanted"
NO_FILES = "left out, as they are no files"
TWICE = "given twice, and taken once"
REPLACED = "links given by name; what they lead to is replaced"


@dataclass(frozen=True)
class Filter:
    """Shell patterns that choose from folders, matched with the name and with the path below the folder.

    `exclude` is for folders too: they are not entered. `include` is for files alone.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __call__(self, path: PurePath) -> bool:
        return (not self.include or _matches(path, self.include)) and not self.excludes(path)

    def excludes(self, path: PurePath) -> bool:
        """True if the path below the folder is excluded, be it of a file or of a folder."""
        return _matches(path, self.exclude)

    def enters(self, folder: PurePath) -> bool:
        """True if a folder below the folder is to be looked into, as far as patterns say."""
        names = folder.name, folder.as_posix(), f"{folder.name}/", f"{folder.as_posix()}/"
        return not any(fnmatch(name, pattern) for name in names for pattern in self.exclude)


def _matches(path: PurePath, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(path.name, p) or fnmatch(path.as_posix(), p) for p in patterns)


@dataclass
class LeftOut:
    """What inputs hold beside the pictures that are taken."""

    kinds: Counter[str] = field(default_factory=Counter)  # files of other kinds, by suffix in small letters
    system: dict[str, None] = field(default_factory=dict)  # names of folders of systems
    links: dict[str, list[str]] = field(default_factory=dict)  # by what became of them
    lines: list[str] = field(default_factory=list)  # on single files or folders
    unread: dict[AnyPath, str] = field(default_factory=dict)  # folders that cannot be read and why: failures
    empty: list[str] = field(default_factory=list)  # a line on each input without pictures

    def note(self, what: str, path: AnyPath) -> None:
        """Note a link, or another path, by what became of it: one of the texts above."""
        leads = f" -> {os.path.realpath(path)}" if isinstance(path, Path) and os.path.islink(path) else ""
        if what == REPEATED and f"{path}{leads}" in self.links.get(OUTSIDE, []):
            self.links[OUTSIDE].remove(f"{path}{leads}")
        self.links.setdefault(what, []).append(f"{path}{leads}")

    def warnings(self) -> list[str]:
        """A line for each reason to leave something out, with a count and names."""
        lines = list(self.lines)
        if self.kinds:
            lines.append(f"files left out, as sincut does not read their kinds: {kinds_in_words(self.kinds)}")
        if self.system:
            what = "they hold deleted files, thumbnails and the like; name one as an input if it is wanted"
            lines.append(f"folders of the system left out: {listed(list(self.system))}; {what}")
        return lines + [f"{what} ({len(paths)}): {listed(paths)}" for what, paths in self.links.items()]


def kinds_in_words(kinds: Counter[str]) -> str:
    """Suffixes with their counts, the most frequent first."""
    return listed([f"{' '.join(kind.split()) or 'no suffix'} ({count})" for kind, count in kinds.most_common()])


def jobs_of(
    path: AnyPath, naming: Naming, wanted: Filter, left_out: LeftOut, arrived: Collection[Path] | None = None
) -> Iterator[Job]:
    """The jobs of one input, in order of their names; with `arrived`, only those of these files.

    What else there is goes into `left_out`, a folder that cannot be read too. Raises `RunError` for a folder that the
    outputs would go into.
    """
    if path.is_file():
        if arrived is None:
            yield Job(path, naming.target(path, PurePath()))
        return
    root = naming.root([path])
    if naming.output is not None and root is not None and _would_be_found(root, path, wanted):
        raise RunError(f"{root}: lies in {path}, and results would be taken for sources; give -o a place outside")
    search = _Search(path, naming.output is None, wanted, left_out)
    is_empty, unread, kinds = arrived is None, len(left_out.unread), Counter(left_out.kinds)
    for source in search.files() if arrived is None else search.among(sorted(arrived)):
        is_empty = False
        yield Job(source, naming.target(source, source.relative_to(path).parent))
    if is_empty and len(left_out.unread) == unread:
        others = left_out.kinds - kinds
        only = f", only {kinds_in_words(others)}" if others else ""
        check = "check the path, --include, --exclude"
        left_out.empty.append(f"{path}: holds no pictures that are asked for{only}; {check}")


def pictures_of(folder: Path, left_out: LeftOut) -> Iterator[Path]:
    """All pictures below a folder that `jobs_of` would take, in order of their names; the rest goes into `left_out`."""
    return (path for path in _Search(folder, False, Filter(), left_out).files() if isinstance(path, Path))


@dataclass(frozen=True)
class _Search:
    """The search for pictures in one folder."""

    folder: AnyPath
    in_place: bool
    wanted: Filter
    left_out: LeftOut

    def files(self) -> Iterator[AnyPath]:
        """The pictures that are wanted, those of a folder before those of the folders in it."""
        if isinstance(self.folder, Url):
            try:
                yield from self.among(self.folder.files(self.left_out.lines.append))
            except ImageError as error:
                self.left_out.unread[self.folder] = str(error)
            return
        waiting = [self.folder]
        while waiting:
            folders: list[Path] = []
            here = waiting.pop()
            for entry in self._entries(here):
                path = here / entry.name
                below = path.relative_to(self.folder)
                if entry.name.startswith(".") or self.wanted.excludes(below):
                    continue
                if _is(entry.is_dir):
                    folders += [path] if self._is_entered(below) else []
                elif entry.is_symlink() and os.path.isdir(path):
                    if not _lies_in(path, self.folder):
                        self.left_out.note(FOLDERS, path)
                elif self._is_picture(below) and (_is(entry.is_file) or self._is_taken(path)):
                    yield path
            waiting += reversed(folders)

    def among(self, paths: Iterable[AnyPath]) -> Iterator[AnyPath]:
        """Those of some files that `files` would give."""
        for path in paths:
            if not path.is_relative_to(self.folder):
                continue
            below = path.relative_to(self.folder)
            if any(part.startswith(".") for part in below.parts):
                continue
            parents = [*below.parents][-2::-1]  # from the outermost, without the folder itself
            is_picture = all(map(self._is_entered, parents)) and self._is_picture(below)
            if is_picture and (isinstance(path, Url) or self._is_taken(path)):
                yield path

    def _entries(self, folder: Path) -> Sequence["os.DirEntry[str]"]:
        """What lies in a folder, in order of the names; nothing where it cannot be read, which is noted."""
        try:
            with os.scandir(folder) as entries:
                return sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            what = f"this folder cannot be read ({error.strerror}); check its permissions, or leave it out by --exclude"
            self.left_out.unread[folder] = f"{folder}: {what}"
            return ()

    def _is_entered(self, below: PurePath) -> bool:
        """True for a folder that pictures are taken from: not excluded, and none of a system's own."""
        if not self.wanted.enters(below):
            return False
        if below.name.lower() in SYSTEM_FOLDERS:
            self.left_out.system[below.name] = None
            return False
        return True

    def _is_picture(self, below: PurePath) -> bool:
        """True for a file that is wanted and has the suffix of a picture; one with another suffix is counted."""
        if not self.wanted(below):
            return False
        suffix = below.suffix.lower()
        if suffix not in SUFFIXES and suffix not in SIDECARS and below.name.lower() not in SYSTEM_FILES:
            self.left_out.kinds[suffix] += 1
        return suffix in SUFFIXES

    def _is_taken(self, path: Path) -> bool:
        """True for what becomes a job, be it a link: one that cannot be read does too, and fails as such."""
        if not os.path.exists(path):
            return True
        if not os.path.isfile(path):
            self.left_out.note(NO_FILES, path)
            return False
        if os.path.islink(path):
            if self.in_place:
                self.left_out.note(IN_PLACE, path)
                return False
            if not _lies_in(path, self.folder):
                self.left_out.note(OUTSIDE, path)
        return True


def _is(asked: Callable[..., bool]) -> bool:
    """The answer of an entry's `is_file` or `is_dir` about itself, not about what it leads to; False for no answer."""
    try:
        return asked(follow_symlinks=False)
    except OSError:  # such as of a folder whose names may be read, and nothing else
        return False


def _would_be_found(place_: AnyPath, folder: AnyPath, wanted: Filter) -> bool:
    """True if pictures in a place would be found in the folder, or if it is the folder itself."""
    if not _lies_in(place_, folder):
        return False
    if isinstance(place_, Path):
        place_, folder = place_.resolve(), Path(os.path.realpath(folder))
    below = place_.relative_to(folder)
    steps = [below, *below.parents][-2::-1]
    return all(wanted.enters(step) and not step.name.startswith(".") for step in steps)


def _lies_in(place_: AnyPath, folder: AnyPath) -> bool:
    if isinstance(place_, Path) and isinstance(folder, Path):
        return place_.resolve().is_relative_to(folder.resolve())
    return isinstance(place_, Url) and isinstance(folder, Url) and place_.is_relative_to(folder)
