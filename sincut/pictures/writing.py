"""`Picture` -> files, with the metadata that their format can hold."""

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

from sincut.errors import ConfigError, ImageError
from sincut.files import write_whole
from sincut.pictures import libvips as vips
from sincut.pictures.formats import (
    DEEP,
    DEFAULT_QUALITY,
    FULL_CHROMA,
    LONGEST_IN_JPEG,
    WITH_ALPHA,
    WITH_XMP,
    refuse_long,
    writable_format,
)
from sincut.pictures.libvips import NEEDS_VIPS
from sincut.pictures.metadata import SUB_DIRECTORIES, XMP_TAG, add_to_tiff, for_tiff
from sincut.pictures.picture import Picture, eight_bit, on_white
from sincut.pictures.profiles import transforms_of

GREYS = ("colour", "keep")


@dataclass(frozen=True)
class Saving:
    """How pictures are written. `strip` leaves all metadata out; `greys="keep"` makes greys of what came as greys."""

    quality: int | None = None  # 1 to 100, of JPEG, WebP and AVIF; None: the source's own, or a good one
    strip: bool = False
    greys: str = "colour"

    def __post_init__(self) -> None:
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ConfigError(f"a quality of {self.quality} is out of range: it must be 1 to 100")
        if self.greys not in GREYS:
            raise ConfigError(f"greys={self.greys!r} is unknown: it must be one of {', '.join(GREYS)}")


AS_IT_CAME = Saving()


def to_pil(picture: Picture) -> Image.Image:
    """8-bit RGB, or RGBA where there is alpha, with the metadata in `info`; in the space of the ICC profile there."""
    image = Image.fromarray(eight_bit(picture.pixels))
    transforms = transforms_of(picture.icc) if picture.icc else None
    if transforms:
        image = ImageCms.applyTransform(image, transforms[1]) or image
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(eight_bit(picture.alpha)))
    carried = {"icc_profile": picture.icc, "exif": picture.exif, "xmp": picture.xmp, "dpi": picture.dpi}
    image.info.update({key: value for key, value in carried.items() if value})
    return image


def save(picture: Picture, path: Path, saving: Saving = AS_IT_CAME) -> tuple[str, ...]:
    """Write the picture whole or not at all, in the format of the suffix. Returns notes on what could not be kept.

    Raises `ImageError` for an unknown suffix or where the file cannot be written.
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
    """The bytes of a file in one of Pillow's formats, and notes on what could not be kept. Raises `ImageError`."""
    refuse_long(name, format_, picture.size)
    notes: list[str] = []
    if saving.strip:
        picture = replace(picture, icc=None, exif=None, xmp=None, dpi=None)
    too_long = format_ == "JPEG" and len(picture.xmp or b"") > LONGEST_IN_JPEG
    if picture.xmp and (format_ not in WITH_XMP or too_long):
        picture = replace(picture, xmp=None)
        notes.append(f"{format_} cannot hold its XMP")
    if format_ == "JPEG" and len(picture.exif or b"") > LONGEST_IN_JPEG:
        picture = replace(picture, exif=None)
        notes.append("JPEG cannot hold EXIF of this length")
    if picture.alpha is not None and format_ not in WITH_ALPHA:
        notes.append(f"{format_} has no alpha: transparent parts were laid on white")
        picture = on_white(picture)
    grey = picture.grey and saving.greys == "keep"
    deep = picture.pixels.dtype == np.uint16
    if deep and format_ in DEEP and vips.installed():
        data = vips.encode(
            picture.pixels, picture.alpha, format_, grey, picture.icc, picture.exif, picture.xmp, picture.dpi
        )
        if format_ == "TIFF" and picture.exif:
            file = io.BytesIO(data)
            add_to_tiff(file, picture.exif)
            data = file.getvalue()
        return data, tuple(notes)
    if deep:
        notes.append(f"{format_} has 8 bits a channel" if format_ not in DEEP else NEEDS_VIPS)
    image = to_pil(picture)
    if grey:
        image = image.convert("LA" if picture.alpha is not None else "L")
        image = image.convert("RGBA") if image.mode == "LA" and format_ not in ("PNG", "TIFF") else image
        image.info.pop("icc_profile", None)
    file = io.BytesIO()
    try:
        image.save(file, format_, **_options(picture, format_, saving, grey))
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise ImageError(f"{name}: {error}; choose another format, such as .png") from None
    return file.getvalue(), tuple(notes)


def _options(picture: Picture, format_: str, saving: Saving, grey: bool) -> dict[str, Any]:
    """What Pillow's `save` is told besides the format."""
    carried = {"icc_profile": None if grey else picture.icc, "exif": picture.exif, "dpi": picture.dpi}
    options: dict[str, Any] = {key: value for key, value in carried.items() if value}
    if picture.xmp and format_ == "PNG":
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", picture.xmp.decode("utf-8", "replace"))
    elif format_ == "TIFF":
        exif = for_tiff(picture.exif)
        if picture.xmp:
            exif[XMP_TAG] = picture.xmp
        options |= {"exif": exif} if len(exif) else {}
        if not any(exif.get_ifd(tag) for tag in SUB_DIRECTORIES):  # Pillow compresses no file that has them
            options["compression"] = "tiff_lzw"
    elif picture.xmp:
        options["xmp"] = picture.xmp
    if format_ == "JPEG" and picture.jpeg and saving.quality is None:
        options |= picture.jpeg
    elif format_ in DEFAULT_QUALITY:
        options["quality"] = saving.quality or DEFAULT_QUALITY[format_]
        if format_ == "JPEG" and options["quality"] >= FULL_CHROMA:
            options["subsampling"] = 0
    return options
