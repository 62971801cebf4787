"""The pictures of a run, found again when it goes on: by their hashes, wherever they lie now."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from sincut.errors import RunError
from sincut.files import sha256
from sincut.model.provenance import ROLES, PictureIdentity, Provenance
from sincut.runs.folder import load_inputs

INPUTS = "inputs"  # folder in a run folder with the pictures that the page has copied


def sides_of(folder: Path, candidates: Sequence[Path] = ()) -> dict[str, str | list[str]]:
    """The file of the painting and of the photo of a run, of a set its files, by role.

    Files are looked for in the run folder, where they were when it began, then among `candidates`. Raises `RunError` if
    one of them is nowhere, or the run has no checkpoint, and `ModelError` for an incomplete one.
    """
    known, earlier = load_inputs(folder)
    files = _by_hash((*sorted((folder / INPUTS).glob("*/*")), *earlier, *candidates))
    return {role: _files_of(folder, known, role, files) for role in ROLES}


def _files_of(folder: Path, known: Provenance, role: str, files: Mapping[str, Path]) -> str | list[str]:
    """The file of one side, or those of a set, among `files` by hash. Raises `RunError`."""
    side = known.pictures[role] or PictureIdentity()
    for picture in side.each:
        if picture.sha256 not in files:
            raise RunError(f"{folder.name}: its {role} {picture.name} is not where it was; give it, then resume")
    paths = [str(files[picture.sha256]) for picture in side.each]
    return paths if side.pictures else paths[0]


def _by_hash(paths: Sequence[Path]) -> dict[str, Path]:
    """The files that are there, by SHA-256; of equal ones the first."""
    files = dict[str, Path]()
    for path in paths:
        with suppress(OSError):
            if path.is_file():
                files.setdefault(sha256(path), path)
    return files
