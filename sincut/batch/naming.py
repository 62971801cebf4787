"""Naming outputs: a file, a folder that mirrors the input's tree, or a pattern such as `{stem}-{model}.jpg`."""

import os
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

from sincut.batch.remote import AnyPath, Url, place
from sincut.errors import ConfigError, ImageError, RunError
from sincut.pictures.formats import OTHERS, SUFFIXES, WRITABLE, writable_format, written_suffix

FIELDS = ("stem", "name", "suffix", "folder", "model")  # of a pattern for the output
LIKE_A_FILE = re.compile(r"\.[a-z][a-z0-9]{0,5}", re.IGNORECASE)  # suffixes that hardly a folder has


@dataclass(frozen=True)
class Job:
    """One picture to translate."""

    source: AnyPath
    target: AnyPath
    suffix: str = ""  # the format of a target that is a stream, where it is asked for


@dataclass(frozen=True)
class Naming:
    """The rule that gives each source its target. Raises `ConfigError` for a pattern that makes no sense.

    `output` is a file, for one file; a folder, which it is in any case where it `is_folder`; or a pattern such as
    `styled/{stem}-{model}.jpg`, whose fields are the source's `stem`, `name` and `suffix`, the `folder` it lies in
    below the input, and the `model`. Folders that are there already may have braces in their names. None stands for the
    inputs themselves. `format_`, a suffix without its dot, is for names that do not say it. Raises `ImageError` for a
    format that is not written.
    """

    output: AnyPath | None
    format_: str | None = None
    model: str = "model"
    is_folder: bool = False

    def __post_init__(self) -> None:
        if self.format_ is not None:
            writable_format(Path(f"x.{self.format_}"))
            if self.output is None:
                raise ConfigError("--format is for outputs with names of their own; with --in-place they keep theirs")
        if self.is_pattern:
            self._check_pattern()
        self._check_name()

    def _check_name(self) -> None:
        name = self.output.name if self.output is not None else ""
        if self.output is None or self.is_folder or name.lower() not in SUFFIXES | OTHERS or _is_dir(self.output):
            return
        raise ConfigError(
            f"-o {self.output}: is a suffix without a name; give a name too, as in "
            f"{self.output.with_name(f'picture{name}')}, or, if it is to be a hidden folder, end it with a slash"
        )

    def _check_pattern(self) -> None:
        try:
            parsed = [entry for entry in string.Formatter().parse(self._split[1]) if entry[1] is not None]
        except ValueError as error:
            raise ConfigError(f"-o {self.output}: {error}; write fields as in {{stem}}") from None
        if any(spec or conversion for _, _, spec, conversion in parsed):
            raise ConfigError(f"-o {self.output}: fields take no format; write them as in {{stem}}")
        unknown = [name for _, name, _, _ in parsed if name not in FIELDS]
        if unknown:
            known = ", ".join(f"{{{name}}}" for name in FIELDS)
            double = "write {{ and }} for braces of a new folder or file"
            raise ConfigError(f"-o {self.output}: no field {{{unknown[0]}}}; there are {known}; {double}")
        ending = PurePath(f"x{self._split[1].rpartition('}')[2]}")
        if ending.suffix.lower() in OTHERS | SUFFIXES:
            writable_format(ending)

    @cached_property
    def _split(self) -> tuple[AnyPath | None, str]:
        assert self.output is not None
        return split_pattern(self.output)

    @property
    def is_pattern(self) -> bool:
        """True if `output` has fields in braces."""
        return self.output is not None and "{" in self._split[1]

    @property
    def is_file(self) -> bool:
        """True if `output` names one file."""
        if self.output is None or self.is_pattern or self.is_folder:
            return False
        return self.output.suffix.lower() in SUFFIXES | OTHERS and not _is_dir(self.output)

    def file(self) -> AnyPath | None:
        """The name for a single picture, where `output` is one; None where it names a folder or a pattern.

        Raises `ImageError` for a suffix that is not written, be it known or not.
        """
        if self.is_file:
            assert self.output is not None
            writable_format(self.output)
            return self.output
        if self.output is None or self.is_pattern or self.is_folder or not LIKE_A_FILE.fullmatch(self.output.suffix):
            return None
        if not _is_dir(self.output):
            try:
                writable_format(self.output)
            except ImageError as error:
                raise ImageError(f"{error}; if it is to be a folder, end its name with a slash") from None
        return None

    def root(self, inputs: Sequence[AnyPath]) -> AnyPath | None:
        """The folder of all outputs, where the manifest lies; None where a single file is written.

        Raises `RunError` where inputs cannot be replaced in place: URLs, or files of several folders.
        """
        if self.output is None:
            remote = [path for path in inputs if isinstance(path, Url)]
            if remote:
                raise RunError(f"--in-place: {remote[0]} is no file of this machine, and is not replaced; give -o")
            roots = {path if path.is_dir() else path.parent for path in inputs}
            if len(roots) > 1:
                raise RunError("--in-place: give one folder, or files of one folder, at a time")
            return roots.pop()
        if self.is_file:
            return None
        if not self.is_pattern:
            return self.output
        there, pattern = self._split
        return _joined(there, pattern.replace("{model}", self.model).partition("{")[0] + "x").parent

    def target(self, source: AnyPath, folder: PurePath) -> AnyPath:
        """The target of a source that lies in `folder` below its input."""
        if self.output is None:
            return source
        if not self.is_pattern:
            return self.output / folder / self._named(source)
        values = {"stem": source.stem, "name": source.name, "suffix": source.suffix.removeprefix(".")}
        there, pattern = self._split
        target = _joined(there, pattern.format(**values, folder=folder, model=self.model))
        return target if target.suffix.lower() in WRITABLE else target.with_name(self._named(target, source))

    def _named(self, path: PurePath, source: PurePath | None = None) -> str:
        """The name of `path` with a suffix that can be written: its own, else the one of `source`."""
        if self.format_ is not None:
            return f"{path.stem if path.suffix.lower() in SUFFIXES else path.name}.{self.format_}"
        suffix = written_suffix((source or path).suffix)
        return path.name if path.suffix.lower() == suffix else f"{path.name}{suffix}"


def split_pattern(output: AnyPath) -> tuple[AnyPath | None, str]:
    """The folder in which an output or pattern begins, as it is there under this very name, and the rest as text.

    No folder, but all of it as text, for a URL.
    """
    if isinstance(output, Url):
        return None, str(output)
    there = next((folder for folder in (output, *output.parents) if os.path.isdir(folder)), Path())
    return there, os.fspath(output.relative_to(there))


def with_model(output: AnyPath, model: str) -> AnyPath:
    """An output or pattern with the name of the model filled in."""
    there, pattern = split_pattern(output)
    return _joined(there, pattern.replace("{model}", model))


def _joined(there: AnyPath | None, name: str) -> AnyPath:
    return place(name) if there is None else there / name


def _is_dir(path: AnyPath) -> bool:
    return path.is_dir() if isinstance(path, Url) else os.path.isdir(path)
