"""The kind of a picture file: how its pixels are kept, and which libraries read them all and rightly.

`kinds` finds it out; `opening` asks for it before any decoder is called, so that no decoder is given what it is known
to garble, and what nobody reads is refused by the name of what it is.
"""

import re
from typing import NamedTuple

from sincut.errors import DamagedError, ImageError, UnsupportedError

DEVELOP = "develop it first, as with darktable or RawTherapee, into TIFF or JPEG"

NO_MEMORY = "does not fit into memory; close other programs or use a smaller picture"
# Decoders' words for too little memory, and for what they have no code for; anything else that they say is damage.
WORDS_OF_MEMORY = re.compile(
    r"out of memory|insufficient memory|not enough memory|memory allocation|bad_alloc"
    r"|(can't|cannot|can not|could not|unable to|failed to) (be )?alloc",
    re.IGNORECASE,
)
WORDS_OF_KIND = re.compile(r"unsupported|not (yet )?(supported|implemented|configured)|cannot handle", re.IGNORECASE)


def told_by_decoder(what: str) -> ImageError:
    """The error to raise, without the path, for what a decoder says: too little memory, no code for it, or damage."""
    if WORDS_OF_MEMORY.search(what):
        return ImageError(NO_MEMORY)
    if WORDS_OF_KIND.search(what):
        return UnsupportedError(f"cannot be read ({what}); convert it to PNG, JPEG, WebP or TIFF")
    return DamagedError(f"is damaged or cannot be read ({what}); copy it again or repair it")


class Trouble(NamedTuple):
    """What of a file cannot be read, such as "its compression JPEG 2000", or what it is, such as "a raw picture of a
    camera"; and what a user can do about it.
    """

    what: str
    remedy: str

    @property
    def refusal(self) -> str:
        """The words of an error, without the path."""
        return f"{self.what} cannot be read; {self.remedy}" if self.is_part else f"is {self.what}; {self.remedy}"

    @property
    def is_part(self) -> bool:
        """True if it is something about the file, not what the file is."""
        return self.what.startswith("its ")

    @property
    def needs_libvips(self) -> str:
        """The words of an error, without the path, where the extra with libvips would read it."""
        return f"{self.what} cannot be read without libvips: pip install 'sincut[large]', or {self.remedy}"

    @property
    def whole_only(self) -> str:
        """The words of an error, without the path, where it can be read, but not in parts."""
        return f"{self.what} cannot be read in parts; raise --max-memory, close other programs, or {self.remedy}"


class Kind(NamedTuple):
    """How a file keeps its pixels. `of_pillow` and `of_vips` say why that library does not read them; None: it does."""

    container: str  # Pillow's name of the format; "" where this is none that is known
    compression: str = ""
    tiled: bool = False
    planar: bool = False  # each channel apart
    bits: int = 8  # of the deepest channel
    samples: str = "unsigned"  # or "signed", "float", "complex"
    colours: str = ""  # how numbers become colours, such as "RGB"
    of_pillow: Trouble | None = None
    of_vips: Trouble | None = None
    bands: tuple[int, ...] = ()  # the channels that are colours and alpha, where there are others; (): all are
    by_libtiff: bool = False  # Pillow reads it rightly only through libtiff, not by its own code

    @property
    def deep(self) -> bool:
        """True if it has more than 8 bits a channel."""
        return self.bits > 8

    @property
    def refused(self) -> Trouble | None:
        """Why no library reads it; None where one does."""
        return self.of_vips if self.of_pillow and self.of_vips else None
