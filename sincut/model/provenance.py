"""The provenance of a model: what its file says of its making, as a type.

It stands in the file as a JSON object, and files come from strangers and from earlier versions. So it is parsed once,
here: a value of another type, a number that is not finite or absurdly large, a text or an object that is absurdly long
counts as not told. Keys that this version does not know are dropped, since nothing can be promised of their values.
The inputs in a checkpoint's metadata have the same form, with the pictures and the direction alone.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, TypeVar

from sincut.errors import ConfigError
from sincut.model.markup import LONGEST_TEXT

ROLES = ("painting", "photo")  # of the two pictures, whatever the direction
PARTS = ("source", "target")  # of a training, in the order of `Provenance.roles`
THUMBNAILS = (*PARTS, "output")
THERE, BACK = "painting -> photo", "photo -> painting"  # directions of a training
LONGEST_NUMBER = 10**15  # JavaScript, which draws the curves, counts exactly to 2^53
LARGEST_SEED = 2**63 - 1
LONGEST_THUMBNAIL = 2_000_000  # characters: more than a JPEG of `resampling.LARGEST_THUMBNAIL` px takes
MOST_ENTRIES = 100  # losses, figures, versions
MOST_PICTURES = 10_000  # of a set

T = TypeVar("T")


@dataclass(frozen=True)
class PictureIdentity:
    """A picture that a training has learned from. What is not told is empty or 0."""

    name: str = ""  # of the file; its role if it was none
    width: int = 0  # px
    height: int = 0  # px
    sha256: str = ""  # of the file, in hexadecimal; of the pixels if it was none
    notes: tuple[str, ...] = ()  # what was converted or left out as it was read, in words
    pictures: tuple["PictureIdentity", ...] = ()  # of a set: each of them, in order; none of one picture

    @classmethod
    def of_set(cls, name: str, pictures: Sequence["PictureIdentity"]) -> "PictureIdentity":
        """The identity of a set: a name for all, the size of the first, a hash of the pictures' hashes in order."""
        digest = hashlib.sha256("\n".join(picture.sha256 for picture in pictures).encode()).hexdigest()
        return cls(name, pictures[0].width, pictures[0].height, digest, pictures=tuple(pictures))

    @classmethod
    def parse(cls, value: Any) -> "PictureIdentity | None":
        """The identity in a JSON object; None for any other value."""
        if not isinstance(value, Mapping):
            return None
        width, height = (whole(value.get(key)) or 0 for key in ("width", "height"))
        told, several = value.get("notes"), value.get("pictures")
        notes = tuple(filter(None, map(_text, told[:MOST_ENTRIES]))) if isinstance(told, list) else ()
        each = several[:MOST_PICTURES] if isinstance(several, list) else ()
        pictures = tuple(filter(None, (cls.parse({**one, "pictures": None}) for one in each if isinstance(one, dict))))
        return cls(_text(value.get("name")) or "", width, height, _text(value.get("sha256")) or "", notes, pictures)

    @property
    def each(self) -> tuple["PictureIdentity", ...]:
        """The pictures of a set; of one picture, itself."""
        return self.pictures or (self,)

    @property
    def title(self) -> str:
        """The name, of a set with the number of its pictures."""
        return f"{self.name} ({len(self.pictures)} pictures)" if self.pictures else self.name

    def to_dict(self) -> dict[str, Any]:
        """The JSON object that stands in the file; notes and pictures only where there are some."""
        told = asdict(replace(self, pictures=()))
        told["pictures"] = tuple(picture.to_dict() for picture in self.pictures)
        return {key: value for key, value in told.items() if value != ()}

    def __str__(self) -> str:
        """Name and first digits of the SHA-256, for messages."""
        count = f", {len(self.pictures)} pictures" if self.pictures else ""
        return f"{self.name or '?'} ({self.sha256[:8] or '?'}{count})"


@dataclass(frozen=True)
class Provenance:
    """A model file's account of its making. What it does not tell is None, empty, or 0 for steps."""

    painting: PictureIdentity | None = None
    photo: PictureIdentity | None = None
    direction: str = ""  # THERE or BACK; of a stranger, any text
    seed: int | None = None
    # (low, high) by part: the scales at which crops were seen, 1 is the picture's own size. Early versions have the
    # names of the pictures for the parts.
    training_scale: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)  # of sincut and torch
    weights: Mapping[str, str] = field(default_factory=dict)  # by name, SHA-256 of files of weights that were given
    thumbnails: Mapping[str, str] = field(default_factory=dict)  # by THUMBNAILS: JPEGs in base64, not decoded yet
    steps: int = 0  # done
    planned_steps: int = 0  # of all trainings; 0: not known yet
    crops: int | None = None  # of a step
    members: int | None = None  # trainings begun
    seconds: float | None = None  # trained
    more: float | None = None  # minutes by which it was made longer, after it had ended or was stopped
    losses: Mapping[str, float] = field(default_factory=dict)  # by name, means of the last steps
    figures: Mapping[str, float] = field(default_factory=dict)  # by name, of the last preview: `report.measures`

    @classmethod
    def parse(cls, value: Any) -> "Provenance":
        """The provenance in a JSON object, as far as it makes sense. Raises ValueError for any other value."""
        if not isinstance(value, Mapping):
            raise ValueError("its provenance is no object")
        seconds, more = number(value.get("seconds")), number(value.get("more"))
        return cls(
            painting=PictureIdentity.parse(value.get("painting")),
            photo=PictureIdentity.parse(value.get("photo")),
            direction=_text(value.get("direction")) or "",
            seed=whole(value.get("seed"), LARGEST_SEED),
            training_scale=_entries(value.get("training_scale"), _range),
            versions=_entries(value.get("versions"), _text),
            weights=_entries(value.get("weights"), _text),
            thumbnails=_thumbnails(value.get("thumbnails")),
            steps=whole(value.get("steps")) or 0,
            planned_steps=whole(value.get("planned_steps")) or 0,
            crops=whole(value.get("crops")),
            members=whole(value.get("members")),
            seconds=seconds if seconds is not None and seconds >= 0 else None,
            more=more if more is not None and more > 0 else None,
            losses=numbers(value.get("losses")),
            figures=numbers(value.get("figures")),
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON object that stands in the file: what is told, in the order of the fields.

        Steps are told unless they are 0. Planned ones are told beside them even if 0: not known yet.
        """
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        values |= {role: picture and picture.to_dict() for role, picture in self.pictures.items()}
        values |= {key: dict(value) for key, value in values.items() if isinstance(value, Mapping)}
        values["training_scale"] = {part: list(scales) for part, scales in self.training_scale.items()}
        if not self.steps:
            values |= {"steps": None, "planned_steps": self.planned_steps or None}
        return {key: value for key, value in values.items() if value not in (None, "", {})}

    @property
    def reverse(self) -> bool:
        """True if photos are translated to the look of the painting."""
        return self.direction.startswith("photo")

    @property
    def roles(self) -> tuple[str, str]:
        """The roles of the source and of the target."""
        painting, photo = ROLES
        return (photo, painting) if self.reverse else (painting, photo)

    @property
    def pictures(self) -> dict[str, PictureIdentity | None]:
        """The two pictures by `ROLES`."""
        return {"painting": self.painting, "photo": self.photo}

    @property
    def source(self) -> PictureIdentity | None:
        """The picture that is translated: the painting; with `reverse` the photo."""
        return self.pictures[self.roles[0]]

    @property
    def target(self) -> PictureIdentity | None:
        """The picture whose look is learned: the photo; with `reverse` the painting."""
        return self.pictures[self.roles[1]]

    @property
    def scales(self) -> dict[str, tuple[float, float]]:
        """The lowest and the highest scale at which pictures were seen, by role, the source first."""
        by_role = zip(self.roles, PARTS, strict=True)
        return {role: self.training_scale[part] for role, part in by_role if part in self.training_scale}

    @property
    def is_finished(self) -> bool:
        """True if all planned steps are done."""
        return 0 < self.planned_steps <= self.steps


def direction(reverse: bool) -> str:
    """The direction of a training in words."""
    return BACK if reverse else THERE


def asked_reverse(to: str | None, reverse: bool | None = None) -> bool | None:
    """True for photo -> painting, False for painting -> photo, None if neither argument says.

    `to` is the role of the target, one of `ROLES`. Raises `ConfigError` for any other word, or if the two disagree.
    """
    if to is None:
        return reverse
    if to not in ROLES:
        raise ConfigError(f"to is {to!r}; it must be painting or photo: the one whose look is learned")
    if reverse is not None and reverse != (to == "painting"):
        raise ConfigError(f"to {to} and reverse disagree: reverse is the same as to painting; give one of them")
    return to == "painting"


def number(value: Any) -> float | None:
    """The value if it is a finite number that people can read; None for anything else in a stranger's file."""
    return value if type(value) in (int, float) and abs(value) < LONGEST_NUMBER else None  # no NaN is


def numbers(value: Any) -> dict[str, float]:
    """Those entries of an object that are a `number`; none if it is no object, or has more than `MOST_ENTRIES`."""
    return _entries(value, number)


def whole(value: Any, most: int = LONGEST_NUMBER) -> int | None:
    """The value if it is a whole number in 0..most; None for anything else in a stranger's file."""
    return value if type(value) is int and 0 <= value <= most else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and len(value) <= LONGEST_TEXT else None


def _range(value: Any) -> tuple[float, float] | None:
    """A list of two numbers, 0 <= low <= high."""
    ends = [number(end) for end in value] if isinstance(value, list | tuple) and len(value) == 2 else [None, None]
    low, high = ends
    return (low, high) if low is not None and high is not None and 0 <= low <= high else None


def _entries(value: Any, parsed: Callable[[Any], T | None]) -> dict[str, T]:
    """The entries of an object that make sense, by name; none if it is no object, or has more than `MOST_ENTRIES`."""
    if not isinstance(value, Mapping) or len(value) > MOST_ENTRIES:
        return {}
    entries = {name: parsed(entry) for name, entry in value.items() if _text(name)}
    return {name: entry for name, entry in entries.items() if entry is not None}


def _thumbnails(value: Any) -> dict[str, str]:
    """Texts by `THUMBNAILS`, in this order; whoever decodes them finds out whether they are pictures."""
    texts = {part: value.get(part) for part in THUMBNAILS} if isinstance(value, Mapping) else {}
    return {part: text for part, text in texts.items() if isinstance(text, str) and 0 < len(text) <= LONGEST_THUMBNAIL}
