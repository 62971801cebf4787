"""Progress as typed, frozen events handed to one callable; the default listener ignores them.

Values are plain Python numbers and texts, ready for a terminal or JSON; only `Preview` and `Checkpoint` carry tensors.
Class and field names are a format: `--json` prints them. Times are in seconds, sizes in pixels, memory in bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from sincut.model.kinds import AnyModel


@dataclass(frozen=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True)
class Directed(Event):
    """The direction of a training, its first event: which picture will look like which."""

    source: str  # name of the picture that is translated
    target: str  # name of the picture whose look is learned
    to: str  # role of the target: painting or photo
    resumed: bool = False

    def __str__(self) -> str:
        """The direction in plain words, on one line."""
        other = "photo" if self.to == "painting" else "painting"
        return f"{self.source} will look like {self.target} ({other} -> {self.to})"


@dataclass(frozen=True)
class Reading(Event):
    """The two pictures of a training are about to be read; nothing large has been taken yet."""

    painting: str  # names
    photo: str
    memory: int  # bytes of main memory that the program is expected to hold, at most


@dataclass(frozen=True)
class PictureRead(Event):
    """A picture of a training has been read."""

    role: str  # painting or photo
    name: str
    width: int  # of the file
    height: int
    notes: tuple[str, ...]  # what was converted or left out on the way, in words

    def __str__(self) -> str:
        """Role, name and notes, on one line."""
        return f"{self.role} {self.name}: {'; '.join(self.notes) or 'as it is'}"


@dataclass(frozen=True)
class Started(Event):
    """Training begins (or goes on at `step`)."""

    step: int
    device: str
    precision: str
    reason: str  # why this device and precision
    threads: int
    parameters: dict[str, int]  # of G, D and H
    more: float = 0.0  # minutes by which a run was made longer


@dataclass(frozen=True)
class Planned(Event):
    """The plan of the training: the number of steps, given or calibrated, and the crops of each step.

    Sent at the start, again when the measured pace has changed the plan, and where a phase begins: the training of
    another member of the ensemble, or at last the distillation of all members into one G.
    """

    step: int
    steps: int  # of all phases
    step_seconds: float
    crops: int
    ends_early: bool = False  # the minutes would give more steps than are of use
    phase_steps: int = 0  # of the phase that goes on
    member: int = 1  # the one that is trained, from 1
    members: int = 1  # as many as the minutes seem to have room for
    distils: bool = False  # the phase that goes on is the distillation
    doing: str = "training"  # the phase in words


@dataclass(frozen=True)
class Progress(Event):
    """A line of metrics, every `output.log_every` steps; losses are unweighted means over these steps."""

    step: int
    steps: int
    losses: dict[str, float]
    learning_rate: float
    step_seconds: float
    seconds: float  # trained so far, over all interruptions
    seconds_left: float
    threads: int = 0  # of the last step; 0: not known


@dataclass(frozen=True)
class Advanced(Event):
    """A step of a training is done; sent once a second or so, or after each step where steps take longer."""

    step: int  # done
    steps: int  # planned; 0: not known yet, while the machine is measured
    seconds: float  # trained so far, over all interruptions
    seconds_left: float  # 0 if that is not known yet
    doing: str  # in words, such as "training 2 of 3"


@dataclass(frozen=True)
class Preview(Event):
    """Time to look at the whole painting: the averaged model so far."""

    step: int
    steps: int
    model: "AnyModel"
    drawn: bool = True  # from the model's exemplar, if it carries one; False: G alone, which is quicker


@dataclass(frozen=True)
class Checkpoint(Event):
    """The state from which a training goes on exactly, and the averaged model so far; all weights are finite.

    The tensors are the training's own and go on changing: the listener writes or copies them before it returns.
    """

    step: int
    state: "dict[str, Tensor]"
    model: "AnyModel"


@dataclass(frozen=True)
class Saved(Event):
    """A file has been written completely."""

    path: Path
    kind: str  # model, preview or report


@dataclass(frozen=True)
class Evaluated(Event):
    """Figures of the last preview, see `sincut.report.measures`."""

    step: int
    figures: dict[str, float]


@dataclass(frozen=True)
class Trained(Event):
    """The last step is done and saved."""

    steps: int
    seconds: float
    losses: dict[str, float]


@dataclass(frozen=True)
class BatchStarted(Event):
    """The pictures to translate are known."""

    pictures: int
    skipped: int  # left out: their output is there already
    failed: int  # left out: they failed before and have not changed since
    pixels: int  # of the pictures to translate; estimated where there are very many


@dataclass(frozen=True)
class PictureStarted(Event):
    """A picture has been opened and its tiles are planned."""

    source: PurePath
    target: PurePath
    width: int
    height: int
    tiles: int
    memory: int  # bytes that the whole program is expected to hold, at most
    seconds: float  # expected; 0 where nothing is known yet
    unit: str = "tiles"  # what `tiles` counts here and in `TileDone`: iterations, of a model that has no tiles


@dataclass(frozen=True)
class TileDone(Event):
    """A tile of the current picture is done."""

    done: int
    tiles: int
    seconds_left: float


@dataclass(frozen=True)
class PictureDone(Event):
    """A picture is written."""

    source: PurePath
    target: PurePath
    seconds: float
    notes: tuple[str, ...]  # what was converted on the way, in words
    seconds_left: float  # for all that are still to come


@dataclass(frozen=True)
class PictureFailed(Event):
    """A picture could not be translated; the others go on."""

    source: PurePath
    error: str


@dataclass(frozen=True)
class Warned(Event):
    """Something the user should know that stops nothing."""

    message: str


Listener = Callable[[Event], None]


def all_of(*listeners: Listener) -> Listener:
    """A listener that passes events on to several, in turn."""

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return tell


def ignore(event: Event) -> None:
    """The listener that ignores everything."""
