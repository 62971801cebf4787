"""What can go wrong through no bug of ours: a user's mistake or a file's fault.

Every message is one line that says where, what, and what to do. The command line prints it and exits with 1 (2 for
wrong usage); anything else that is raised is a bug and keeps its traceback.
"""


class SincutError(Exception):
    """Base of all errors that are not bugs."""


class ConfigError(SincutError):
    """A setting or preset that is unknown or out of range."""


class ImageError(SincutError):
    """A picture that cannot be read, is unsuitable, or cannot be written."""


class DamagedError(ImageError):
    """A picture file that no other setting would make readable: it is damaged, empty, or no picture."""


class ModelError(SincutError):
    """A file that is not a model, is damaged, or comes from a newer version."""


class RunError(SincutError):
    """A run folder that is in use, already filled, or does not fit what was asked."""


class DeviceError(SincutError):
    """A device that is not there."""


class TrainingError(SincutError):
    """Training that went wrong: losses that are not finite."""


class Interrupted(SincutError):  # noqa: N818 (nothing has gone wrong)
    """The user asked to stop; everything needed to go on has been saved."""
