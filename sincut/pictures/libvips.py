"""What Pillow cannot do, with libvips (the extra `sincut[large]`): 16 bits a channel, and pictures beyond memory.

libvips decodes on demand: a region of a tiled TIFF costs its tiles, and formats without random access are unpacked
into a temporary file first. It is chosen because one library reads and writes all of this, with its metadata, and its
wheels bring everything along (https://www.libvips.org). Arrays are (H, W, 3) with alpha (H, W) apart.
"""

import contextlib
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sincut.errors import DamagedError, ImageError
from sincut.pictures.picture import Pixels

if TYPE_CHECKING:
    import pyvips

MISSING = "this needs libvips: pip install 'sincut[large]'"
NEEDS_VIPS = "16 bits a channel became 8; pip install 'sincut[large]' keeps them"
SUFFIX = {"PNG": ".png", "TIFF": ".tif"}
MOST = 65_535
MM_PER_INCH = 25.4
DEFAULT_DPI = 72.0
LOADERS = ("png", "jpeg", "webp", "tiff", "gif", "heif")  # of libvips; it has more, for files nobody should trust


def installed() -> bool:
    """Whether the extra is there; nothing is imported."""
    return find_spec("pyvips") is not None


def decode(
    source: Path, grey: bool, icc: bytes | None, orientation: int = 1
) -> tuple[Pixels, Pixels | None, list[str]]:
    """Upright sRGB pixels of 16 bits, their alpha, and notes. Raises `ImageError` for numbers that mean no colours."""
    vips = library()
    try:
        image = lazy_image(source)
        image, notes = upright_srgb(image, grey, icc, orientation)
        pixels = image.numpy()
    except vips.Error as error:
        raise DamagedError(f"is damaged or cannot be read ({reason(error)}); copy it again or repair it") from None
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    alpha = np.ascontiguousarray(pixels[..., 3]) if pixels.shape[2] == 4 else None
    return np.ascontiguousarray(pixels[..., :3]), alpha, notes


def size_of(source: Path) -> tuple[int, int] | None:
    """Height and width that a file declares; None where it is no picture that libvips knows."""
    try:
        image = lazy_image(source)
    except (library().Error, ImageError):
        return None
    return image.height, image.width


def upright_srgb(
    image: "pyvips.Image", grey: bool, icc: bytes | None, orientation: int
) -> tuple["pyvips.Image", list[str]]:
    """A lazy image of sRGB in 8 or 16 bits with 3 or 4 bands, and what was done in words."""
    notes: list[str] = []
    image = image.copy()
    image.set_type(library().GValue.gint_type, "orientation", orientation)  # libvips does not look into XMP
    image = image.autorot()
    if image.interpretation == "cmyk" and image.format == "uchar" and not icc:  # as Pillow does it, by no profile
        image = ((255 - image[:3]) * (255 - image[3]) / 255).rint().cast("uchar").copy(interpretation="srgb")
        notes.append("CMYK became sRGB")
    if image.interpretation in ("cmyk", "lab", "labs", "labq"):
        notes.append(f"{image.interpretation.upper()} became sRGB")
        image, icc = image.colourspace("srgb" if image.format == "uchar" or image.coding == "labq" else "rgb16"), None
    depth = 8 if image.format == "uchar" else 16
    if image.format in ("float", "double"):
        if image.min() < 0 or image.max() > 1:
            raise ImageError("its floating-point values are not all in 0..1; scale them, or convert it to 16 bits")
        image = (image * MOST).rint().cast("ushort")
        notes.append("floating-point values became 16 bits")
    elif image.format not in ("uchar", "ushort"):
        raise ImageError(f"values of type {image.format} are not supported; convert the picture to 8 or 16 bits")
    if image.bands not in (1, 2, 3, 4):
        raise ImageError(f"{image.bands} channels of {image.interpretation} are not supported; convert it to RGB")
    alpha = image[image.bands - 1] if image.hasalpha() or image.bands in (2, 4) else None
    colours = image[: image.bands - 1] if alpha is not None else image
    if icc:
        try:
            colours = colours.icc_transform(
                "srgb", embedded=True, intent="relative", black_point_compensation=True, depth=depth
            )
            notes.append(
                "translated in sRGB" if grey else "translated in sRGB, written in the space of its own ICC profile"
            )
        except library().Error:
            pass  # a damaged profile must not stop the picture
    if colours.bands == 1:
        colours = colours.bandjoin([colours, colours])
    wanted = "srgb" if depth == 8 else "rgb16"
    colours = colours.copy(interpretation=wanted)
    return (colours.bandjoin(alpha) if alpha is not None else colours), notes


def encode(
    pixels: Pixels,
    alpha: Pixels | None,
    format_: str,
    grey: bool,
    icc: bytes | None,
    exif: bytes | None,
    xmp: bytes | None,
    dpi: tuple[float, float] | None,
) -> bytes:
    """The bytes of a 16-bit PNG or TIFF; with `grey` of its luminance. TIFF files get no EXIF: libvips writes none."""
    vips = library()
    image = vips.Image.new_from_array(np.ascontiguousarray(pixels)).copy(interpretation="rgb16")
    if grey:
        image, icc = luma(image), None
    with tempfile.TemporaryDirectory() as folder:
        if icc:
            with contextlib.suppress(vips.Error):  # a damaged profile must not stop the picture
                image = in_space(image, icc, Path(folder))
        if alpha is not None:
            image = image.bandjoin(vips.Image.new_from_array(alpha))
        image = with_metadata(image, icc, exif, xmp, dpi)
        options = {"compression": "deflate"} if format_ == "TIFF" else {}
        try:
            data: bytes = image.write_to_buffer(SUFFIX[format_], **options)
        except vips.Error as error:
            raise ImageError(f"cannot be written ({reason(error)}); choose another format") from None
    return data


def lazy_image(source: Path, **options: int) -> "pyvips.Image":
    """A lazy image; damage is an error where libvips would go on with grey."""
    vips = library()
    try:  # without `revalidate`, a file that was replaced would be remembered as it was
        image = vips.Image.new_from_file(source, fail_on="error", revalidate=True, **options)
    except UnicodeError:
        raise ImageError(f"{str(source)!a}: its name is not UTF-8; rename it") from None
    loader = str(image.get("vips-loader"))
    if not loader.startswith(LOADERS):
        raise vips.Error(f"files read by {loader} are not supported")
    return image


def in_space(image: "pyvips.Image", icc: bytes, folder: Path) -> "pyvips.Image":
    """An sRGB image in the space of an RGB profile; `folder` has to be there until it is written."""
    profile = folder / "own.icc"
    profile.write_bytes(icc)
    depth = 16 if image.format == "ushort" else 8
    colours = image[:3].icc_transform(
        str(profile), input_profile="srgb", intent="relative", black_point_compensation=True, depth=depth
    )
    return colours.bandjoin(image[3]) if image.bands == 4 else colours


def luma(image: "pyvips.Image") -> "pyvips.Image":
    """Its brightness as Pillow computes it (ITU-R BT.601), and its alpha."""
    deep = image.format == "ushort"
    grey = image[:3].recomb([[0.299, 0.587, 0.114]]).rint().cast(image.format)
    grey = grey.copy(interpretation="grey16" if deep else "b-w")
    return grey.bandjoin(image[3]) if image.bands == 4 else grey


def with_metadata(
    image: "pyvips.Image",
    icc: bytes | None,
    exif: bytes | None,
    xmp: bytes | None,
    dpi: tuple[float, float] | None,
) -> "pyvips.Image":
    """The image with what is written into its file."""
    vips = library()
    x, y = dpi or (DEFAULT_DPI, DEFAULT_DPI)  # libvips always writes one
    image = image.copy(xres=x / MM_PER_INCH, yres=y / MM_PER_INCH)
    blobs = {"icc-profile-data": icc, "exif-data": _headed(exif), "xmp-data": xmp}
    for name, blob in blobs.items():
        if image.get_typeof(name):
            image.remove(name)
        if blob:
            image.set_type(vips.GValue.blob_type, name, blob)
    return image


def _headed(exif: bytes | None) -> bytes | None:
    """EXIF with the marker that libvips wants in front, as in a JPEG."""
    return exif if exif is None or exif.startswith(b"Exif\0\0") else b"Exif\0\0" + exif


def library() -> Any:
    try:
        import pyvips
    except (ImportError, OSError) as error:  # OSError: the package without its library
        raise ImageError(f"{MISSING} ({error})") from None
    return pyvips


def reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
