"""Errors that are no bugs: a user's mistake, or a file or machine that is at fault.

Every message is one line that says where, what, and what to do. The command line prints it and exits with 1 (2 for
wrong usage); anything else that is raised is a bug and keeps its traceback.
"""

import os
from collections.abc import Sequence
from pathlib import PurePath

LISTED = 20  # names at most in one message
NOT_BEGUN = "stopped before the first step; nothing was learned, and there is no model"  # of `Interrupted`


class SincutError(Exception):
    """Base of all errors that are not bugs."""


class ConfigError(SincutError):
    """A setting or preset that is unknown or out of range."""


class ImageError(SincutError):
    """A picture that cannot be read, is unsuitable, or cannot be written."""


class DamagedError(ImageError):
    """A picture file whose bytes are at fault: damaged, empty, or no picture.

    A folder's manifest remembers it as failed, and it is left alone until it changes. What another try may mend
    (rights, disks, memory, a missing extra) is a plain `ImageError`.
    """


class UnsupportedError(ImageError):
    """A picture file that is whole, but of a kind that is not read; the message says what it is.

    Nothing remembers it: the next version, or an extra, may read it.
    """


class ModelError(SincutError):
    """A file that is not a model, is damaged, or comes from a newer version."""


class RunError(SincutError):
    """Work that cannot be done as asked.

    A run or output folder is in use, filled already or closed to writing, the web page cannot have its address, or
    pictures of a folder failed.
    """


class DeviceError(SincutError):
    """A device or a precision that is not there."""


class TrainingError(SincutError):
    """Training that went wrong: losses or weights that are not finite, or too little memory for the settings."""


class Interrupted(SincutError):  # noqa: N818 (nothing has gone wrong)
    """The user asked to stop; everything needed to go on has been saved."""


def listed(names: Sequence[str]) -> str:
    """Names for a message, with commas between; of very many only the first `LISTED`, and how many more there are."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def counted(count: int | str, noun: str, nouns: str = "") -> str:
    """A number, or one that is written already, with its noun: 1 picture, 2 pictures.

    `nouns` is a plural that is made otherwise than by an s.
    """
    return f"{count} {noun if str(count) == '1' else nouns or noun + 's'}"


def within(message: str, folder: PurePath) -> str:
    """A message in which what lies below a folder is named by its path there, as a user knows it."""
    return message.replace(f"{folder}{os.sep}", "")
