"""Naming outputs: a file, a folder that mirrors the input's tree, or a pattern such as `{stem}-{model}.jpg`."""

import os
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from sincut.batch.remote import AnyPath, Url, place
from sincut.errors import ConfigError, RunError
from sincut.pictures.formats import SUFFIXES, WRITABLE, writable_format, written_suffix

FIELDS = ("stem", "name", "suffix", "folder", "model")  # of a pattern for the output


@dataclass(frozen=True)
class Job:
    """One picture to translate."""

    source: AnyPath
    target: AnyPath


@dataclass(frozen=True)
class Naming:
    """The rule that gives each source its target. Raises `ConfigError` for a pattern that makes no sense.

    `output` is a file, for one file; a folder; or a pattern such as `styled/{stem}-{model}.jpg`, whose fields are the
    source's `stem`, `name` and `suffix`, the `folder` it lies in below the input, and the `model`. None stands for the
    inputs themselves. `format_`, a suffix without its dot, is for names that do not say it.
    """

    output: AnyPath | None
    format_: str | None = None
    model: str = "model"

    def __post_init__(self) -> None:
        if self.format_ is not None:
            writable_format(Path(f"x.{self.format_}"))
            if self.output is None:
                raise ConfigError("--format is for outputs with names of their own; with --in-place they keep theirs")
        if self.is_pattern:
            self._check_pattern()

    def _check_pattern(self) -> None:
        try:
            parsed = [entry for entry in string.Formatter().parse(str(self.output)) if entry[1] is not None]
        except ValueError as error:
            raise ConfigError(f"-o {self.output}: {error}; write fields as in {{stem}}") from None
        if any(spec or conversion for _, _, spec, conversion in parsed):
            raise ConfigError(f"-o {self.output}: fields take no format; write them as in {{stem}}")
        unknown = [name for _, name, _, _ in parsed if name not in FIELDS]
        if unknown:
            known = ", ".join(f"{{{name}}}" for name in FIELDS)
            raise ConfigError(f"-o {self.output}: no field {{{unknown[0]}}}; there are {known}")

    @property
    def is_pattern(self) -> bool:
        """True if `output` has fields in braces."""
        return self.output is not None and "{" in str(self.output)

    @property
    def is_file(self) -> bool:
        """True if `output` names one file."""
        output = self.output
        if output is None or self.is_pattern:
            return False
        is_dir = output.is_dir() if isinstance(output, Url) else os.path.isdir(output)
        return output.suffix.lower() in SUFFIXES and not is_dir

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
        filled = str(self.output).replace("{model}", self.model)
        return place(filled.partition("{")[0] + "x").parent

    def target(self, source: AnyPath, folder: PurePath) -> AnyPath:
        """The target of a source that lies in `folder` below its input."""
        if self.output is None:
            return source
        if not self.is_pattern:
            return self.output / folder / self._named(source)
        values = {"stem": source.stem, "name": source.name, "suffix": source.suffix.removeprefix(".")}
        target = place(str(self.output).format(**values, folder=folder, model=self.model))
        return target if target.suffix.lower() in WRITABLE else target.with_name(self._named(target, source))

    def _named(self, path: PurePath, source: PurePath | None = None) -> str:
        """The name of `path` with a suffix that can be written: its own, else the one of `source`."""
        if self.format_ is not None:
            return f"{path.stem if path.suffix.lower() in SUFFIXES else path.name}.{self.format_}"
        suffix = written_suffix((source or path).suffix)
        return path.name if path.suffix.lower() == suffix else f"{path.name}{suffix}"
