"""`Picture` -> files, with the metadata that their format can hold."""

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from sincut.errors import ConfigError, ImageError
from sincut.files import write_whole
from sincut.pictures import libvips
from sincut.pictures.dressing import DRESSED, dress
from sincut.pictures.fitting import what_fits
from sincut.pictures.formats import (
    DEEP,
    DEFAULT_QUALITY,
    FULL_CHROMA,
    WITH_ALPHA,
    pixels_lost,
    refuse_long,
    writable_format,
)
from sincut.pictures.imprint import Imprint, imprinted, seal
from sincut.pictures.picture import Metadata, Picture, eight_bit, on_white
from sincut.pictures.profiles import transforms_of

GREYS = ("colour", "keep")


@dataclass(frozen=True)
class Saving:
    """The choices of a user in writing pictures. Raises `ConfigError` where a value is out of range."""

    quality: int | None = None  # 1 to 100, of JPEG, WebP and AVIF; None: the source's own, or `DEFAULT_QUALITY`
    strip: bool = False  # leave all metadata out
    greys: str = "colour"  # "keep" makes greys, by their luma, of pictures that came as greys
    keep_times: bool = False  # files of a batch get the time of the last change of their sources
    imprint: Imprint | None = None  # what a file says of its making, unless metadata are left out

    def __post_init__(self) -> None:
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ConfigError(f"a quality of {self.quality} is out of range: it must be 1 to 100")
        if self.greys not in GREYS:
            raise ConfigError(f"greys={self.greys!r} is unknown: it must be one of {', '.join(GREYS)}")


AS_IT_CAME = Saving()


def save(picture: Picture, path: Path, saving: Saving = AS_IT_CAME) -> tuple[str, ...]:
    """Write the picture whole or not at all, in the format of the suffix. Returns notes on what could not be kept.

    Raises `ImageError` for an unknown suffix, a picture that the format cannot hold, or where the file cannot be
    written.
    """
    data, notes = encode(picture, writable_format(path), saving, str(path))
    write_whole(path, data, ImageError)
    return notes


def encode(
    picture: Picture,
    format_: str,
    saving: Saving = AS_IT_CAME,
    name: str = "the picture",
) -> tuple[bytes, tuple[str, ...]]:
    """The bytes of a file in one of Pillow's formats, and notes on what could not be kept.

    Raises `ImageError`, which begins with `name`.
    """
    refuse_long(name, format_, picture.size)
    metadata, notes = to_write(picture.metadata, format_, saving)
    picture, deep = replace(picture, **metadata._asdict()), picture.pixels.dtype == np.uint16
    notes += pixels_lost(format_, picture.alpha is not None, deep)
    if format_ not in WITH_ALPHA:
        picture = on_white(picture)
    as_deep = deep and format_ in DEEP and libvips.installed()
    if deep and format_ in DEEP and not as_deep:
        notes.append(libvips.NEEDS_VIPS)
    file = io.BytesIO((_deep if as_deep else _eight_bits)(picture, format_, saving, name))  # which nobody else holds
    if format_ in DRESSED:
        dress(file, format_, metadata)
    if saving.imprint is None or saving.strip:
        return file.getvalue(), tuple(notes)
    data = bytearray(file.getbuffer())
    seal(data, saving.imprint)
    return bytes(data), tuple(notes)


def to_write(metadata: Metadata, format_: str, saving: Saving) -> tuple[Metadata, list[str]]:
    """The metadata that go into a file of a format, with the imprint, and notes on what it cannot hold."""
    if saving.strip:
        return Metadata(), []
    metadata, notes = what_fits(metadata, format_)
    metadata, lost = imprinted(metadata, format_, saving.imprint)
    return metadata, [*notes, *lost]


def to_pil(picture: Picture) -> Image.Image:
    """An 8-bit PIL image, RGB, or RGBA where there is alpha, in the space of the picture's ICC profile.

    The metadata is in its `info`.
    """
    image = Image.fromarray(eight_bit(picture.pixels))
    transforms = transforms_of(picture.icc) if picture.icc else None
    if transforms and transforms.from_srgb:
        image = ImageCms.applyTransform(image, transforms.from_srgb) or image
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(eight_bit(picture.alpha)))
    carried = {"icc_profile": picture.icc, "exif": picture.exif, "xmp": picture.xmp, "dpi": picture.dpi}
    image.info.update({key: value for key, value in carried.items() if value})
    return image


def _deep(picture: Picture, format_: str, saving: Saving, name: str) -> bytes:
    """The bytes of a PNG or TIFF file of 16 bits a channel. Raises `ImageError`."""
    grey = picture.grey and saving.greys == "keep"
    try:
        return libvips.encode(picture.pixels, picture.alpha, format_, grey, picture.metadata)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None


def _eight_bits(picture: Picture, format_: str, saving: Saving, name: str) -> bytes:
    """The bytes of a file of 8 bits a channel. Raises `ImageError`."""
    grey = picture.grey and saving.greys == "keep"
    image = to_pil(picture)
    if grey:
        image = image.convert("LA" if picture.alpha is not None else "L")
        image = image.convert("RGBA") if image.mode == "LA" and format_ not in ("PNG", "TIFF") else image
        image.info.pop("icc_profile", None)
    options = _options(picture, format_, saving, grey)
    file = io.BytesIO()
    try:
        image.save(file, format_, **options)
    except (OSError, ValueError, RuntimeError) as error:
        raise ImageError(f"{name}: {error}; choose another format, such as .png") from None
    return file.getvalue()


def _options(picture: Picture, format_: str, saving: Saving, grey: bool) -> dict[str, Any]:
    """Keywords for Pillow's `save`."""
    carried: dict[str, Any] = {"icc_profile": None if grey else picture.icc, "dpi": picture.dpi}
    if format_ not in DRESSED:
        carried |= {"exif": picture.exif, "xmp": picture.xmp}
    options = {key: value for key, value in carried.items() if value}
    if format_ == "TIFF":
        options["compression"] = "tiff_lzw"
    if format_ == "BMP":
        options["dpi"] = picture.dpi or (0, 0)  # else Pillow makes one up
    if format_ == "JPEG" and picture.jpeg and saving.quality is None:
        options |= picture.jpeg
    elif format_ in DEFAULT_QUALITY:
        options["quality"] = saving.quality or DEFAULT_QUALITY[format_]
        if format_ == "JPEG" and options["quality"] >= FULL_CHROMA:
            options["subsampling"] = 0
    return options
