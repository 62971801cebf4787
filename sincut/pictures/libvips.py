"""Pictures of 16 bits a channel, with libvips (the extra `sincut[large]`), since Pillow has 8.

libvips decodes on demand: a region of a tiled TIFF costs its tiles, and formats without random access are unpacked
into a temporary file first; `large` builds on that. It is chosen because one library reads and writes all of this, with
its metadata, and its wheels bring everything along (https://www.libvips.org). Arrays are (H, W, 3), alpha (H, W) apart.
"""

import logging
import tempfile
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sincut.errors import ImageError, UnsupportedError, counted
from sincut.pictures.kind import told_by_decoder
from sincut.pictures.picture import Metadata, Pixels
from sincut.pictures.profiles import CONVERTED, UNUSABLE, space_of, way_of

if TYPE_CHECKING:
    import pyvips

MISSING = "this needs libvips: pip install 'sincut[large]'"
NEEDS_VIPS = "16 bits a channel became 8; pip install 'sincut[large]' keeps them"
LOADERS = ("png", "jpeg", "webp", "tiff", "gif", "heif")  # libvips' names; it has more, for files nobody should trust
SUFFIX = {"PNG": ".png", "TIFF": ".tif"}
SYSTEM_ERROR = "system error"  # in libvips' messages (iofuncs/error.c) where the system has refused something
MOST = 65_535  # of 16 bits
MM_PER_INCH = 25.4
DEFAULT_DPI = 72.0
_SILENCE = logging.NullHandler()  # so that libvips' warnings go where a program logs, and not to stderr if it does not
PROFILE = "icc-profile-data"  # libvips' name of it
KEEP = "icc"  # of all metadata, what libvips writes itself
D50 = [96.422, 100.0, 82.521]  # of ICC.1, which Adobe's programs mean by Lab
# From D50 to D65, linearly in XYZ (Lindbloom, http://www.brucelindbloom.com/Eqn_ChromAdapt.html, Bradford).
BRADFORD = [
    [0.9555766, -0.0230393, 0.0631636],
    [-0.0282895, 1.0099416, 0.0210077],
    [0.0122982, -0.0204830, 1.3299098],
]
REC_601 = [[0.299, 0.587, 0.114]]  # shares of R, G and B in luma (ITU-R BT.601), as Pillow has it


class Upright(NamedTuple):
    """A lazy image in sRGB, turned upright, of 8 or 16 bits, with 3 bands or, where there is alpha, 4."""

    image: "pyvips.Image"
    notes: list[str]  # conversions, in words
    converted: bool  # from the space of its ICC profile


def installed() -> bool:
    """True if the extra is there; nothing is imported."""
    return find_spec("pyvips") is not None


def reads(data: bytes) -> bool:
    """True if the libvips of this machine decodes the bytes of a small picture; False where there is none."""
    return _succeeds(lambda vips: vips.Image.new_from_buffer(data, "", fail_on="error").avg())


@lru_cache(maxsize=1)
def knows_hevc() -> bool:
    """True if the libvips of this machine has HEVC, which its wheels have not; it is asked to write a small picture."""
    return _succeeds(lambda vips: vips.Image.black(64, 64, bands=3).heifsave_buffer(compression="hevc"))


def _succeeds(attempt: Callable[[Any], object]) -> bool:
    """True if there is a libvips that does what is asked of it."""
    if not installed():
        return False
    vips = library()
    try:
        attempt(vips)
    except vips.Error:
        return False
    return True


@lru_cache(maxsize=1)
def knows_jpeg2000() -> bool:
    """True if the libvips of this machine has JPEG 2000, also in tiles of TIFF files."""
    return installed() and library().type_find("VipsForeignLoad", "jp2kload") != 0


def decode(
    source: Path,
    grey: bool,
    icc: bytes | None,
    orientation: int = 1,
    bands: Sequence[int] = (),
    size: tuple[int, int] | None = None,
) -> tuple[Pixels, Pixels | None, list[str]]:
    """Upright sRGB pixels (H, W, 3), their alpha (H, W), both of the file's 8 or 16 bits, and conversions in words.

    Of the file's channels, `bands` are taken, or all. They are scaled down to a `size` (H, W) before they are turned
    upright, or stay as they are.

    Raises `UnsupportedError` for numbers that mean no colours, `DamagedError`, and `ImageError` for errors of the
    system, all without the path.
    """
    vips = library()
    try:
        image = taken(lazy_image(source), bands) if size is None else shrunk(source, size, bands)
        upright = upright_srgb(image, grey, icc, orientation)
        pixels = upright.image.numpy()
    except vips.Error as error:
        raise failure(error) from None
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    alpha = np.ascontiguousarray(pixels[..., 3]) if pixels.shape[2] == 4 else None
    return np.ascontiguousarray(pixels[..., :3]), alpha, upright.notes


def shrunk(source: Path, size: tuple[int, int], bands: Sequence[int] = ()) -> "pyvips.Image":
    """An image in memory, scaled down to a size (H, W), of a file that is read once from top to bottom.

    Its numbers mean what those of the file mean; its channels are `bands`, or all. Raises `pyvips.Error`, and
    `UnsupportedError` for numbers that cannot be mixed.
    """
    image, (h, w) = taken(lazy_image(source, access="sequential"), bands), size
    if image.coding != "none":
        raise UnsupportedError(f"pixels coded as {image.coding} are not supported; convert it to RGB")
    format_, interpretation, alpha = image.format, image.interpretation, image.hasalpha()
    if alpha:  # colours count as far as they are seen
        image = image.premultiply()
    image = image.resize(w / image.width, vscale=h / image.height, kernel="linear")  # no overshoot
    if alpha:
        image = image.unpremultiply()
    if format_ not in ("float", "double"):
        image = image.rint().cast(format_)
    return image.copy(interpretation=interpretation).copy_memory()


def size_of(source: Path) -> tuple[int, int] | None:
    """Height and width that a file declares; None where it is no picture that libvips knows."""
    try:
        image = lazy_image(source)
    except (library().Error, ImageError):
        return None
    return image.height, image.width


def taken(image: "pyvips.Image", bands: Sequence[int]) -> "pyvips.Image":
    """A lazy image of some channels of another; without any, that one itself. Raises `pyvips.Error`."""
    if not bands:
        return image
    first, *others = (image[band] for band in bands)
    return first.bandjoin(others).copy(interpretation=image.interpretation) if others else first


def upright_srgb(image: "pyvips.Image", grey: bool, icc: bytes | None, orientation: int) -> Upright:
    """A lazy image, turned as the EXIF `orientation` says and converted to sRGB from the space of the profile `icc`.

    Without a profile, RGB and greys are taken for sRGB. Raises `UnsupportedError`.
    """
    image = image.copy()
    image.set_type(library().GValue.gint_type, "orientation", orientation)  # libvips does not look into XMP
    useless = bool(icc) and space_of(icc or b"") not in _spaces(image)
    image, icc, notes = _as_rgb_or_grey(image.autorot(), None if useless else icc)
    notes += [UNUSABLE] if useless else []
    if image.format in ("float", "double"):
        image = _of_floats(image)
        notes.append(f"floating-point values became {16 if image.format == 'ushort' else 8} bits")
    elif image.format not in ("uchar", "ushort"):
        raise UnsupportedError(f"values of type {image.format} are not supported; convert it to 8 or 16 bits")
    if image.bands not in (1, 2, 3, 4):
        raise UnsupportedError(
            f"{counted(image.bands, 'channel')} of {image.interpretation} are not supported; convert it to RGB"
        )
    alpha = image[image.bands - 1] if image.hasalpha() or image.bands in (2, 4) else None
    colours = image[: image.bands - 1] if alpha is not None else image
    deep, converted = image.format == "ushort", False
    if icc and colours.bands == 1 and space_of(icc) == "RGB":  # greys are colours to it
        colours = colours.bandjoin([colours, colours]).copy(interpretation="rgb16" if deep else "srgb")
    if icc:
        colours = colours.copy()
        colours.set_type(library().GValue.blob_type, PROFILE, icc)  # which may be made of what the file says otherwise
        try:
            colours = colours.icc_transform(
                "srgb", embedded=True, intent="relative", black_point_compensation=True, depth=16 if deep else 8
            )
            converted = True
            notes.append("translated in sRGB" if grey else way_of(icc).note or CONVERTED)
        except library().Error:  # a damaged profile must not stop the picture
            notes.append(UNUSABLE)
    if colours.bands == 1:
        colours = colours.bandjoin([colours, colours])
    colours = colours.copy(interpretation="rgb16" if deep else "srgb")
    return Upright(colours.bandjoin(alpha) if alpha is not None else colours, notes, converted)


def _spaces(image: "pyvips.Image") -> tuple[str, ...]:
    """The spaces of profiles that are of use to an image; of Lab, which needs none, any."""
    if image.interpretation in ("lab", "labs", "labq"):
        return ("Lab", "RGB", "GRAY", "CMYK")
    if image.interpretation == "cmyk":
        return ("CMYK",)
    return ("RGB",) if image.bands > 2 else ("GRAY", "RGB")


def _as_rgb_or_grey(image: "pyvips.Image", icc: bytes | None) -> tuple["pyvips.Image", bytes | None, list[str]]:
    """CMYK and Lab -> sRGB, anything else as it is; the profile that remains to be applied, and what was done."""
    notes: list[str] = []
    alpha = None
    if image.interpretation == "cmyk" and image.bands == 5:
        alpha, image = image[4], image[:4].copy(interpretation="cmyk")
    if image.interpretation == "cmyk" and image.format in ("uchar", "ushort") and not icc:  # as Pillow does it
        most, kind = (255, "srgb") if image.format == "uchar" else (MOST, "rgb16")
        image = ((most - image[:3]) * (most - image[3]) / most).rint().cast(image.format).copy(interpretation=kind)
        notes.append("CMYK became sRGB without a profile")
    if image.interpretation in ("cmyk", "lab", "labs", "labq"):
        through = " through its ICC profile" if image.interpretation == "cmyk" else ""
        notes.append(f"{image.interpretation.upper()} became sRGB{through}")
        eight = image.format == "uchar" or image.coding == "labq"
        image = _adapted(image) if image.interpretation != "cmyk" else image
        image, icc = image.colourspace("srgb" if eight else "rgb16"), None
    return image if alpha is None else image.bandjoin(alpha), icc, notes


def _adapted(image: "pyvips.Image") -> "pyvips.Image":
    """Lab under D50, as it is in files, as XYZ under D65, as libvips has it."""
    return image.colourspace("lab").Lab2XYZ(temp=D50).recomb(BRADFORD).copy(interpretation="xyz")


def _of_floats(image: "pyvips.Image") -> "pyvips.Image":
    """Floats in 0..1 -> greys of 8 bits, as Pillow has them, or colours of 16. Raises `UnsupportedError` for others.

    That looks at all of the picture.
    """
    low, high, total = image.stats().numpy()[0, :3]  # of all bands; only the sum tells of numbers that are none
    if not (low >= 0 and high <= 1 and np.isfinite(total)):
        raise UnsupportedError("its floating-point values are not all in 0..1; scale them, or convert it to 16 bits")
    if image.bands < 3:
        return (image * 255).rint().cast("uchar").copy(interpretation="b-w")
    return (image * MOST).rint().cast("ushort").copy(interpretation="rgb16")  # a profile says what they mean


def encode(pixels: Pixels, alpha: Pixels | None, format_: str, grey: bool, metadata: Metadata) -> bytes:
    """The bytes of a 16-bit PNG or TIFF file; with `grey` of its luma, then without the profile.

    The files get no other metadata than profile and resolution. Raises `ImageError`, without a path.
    """
    vips = library()
    image = vips.Image.new_from_array(np.ascontiguousarray(pixels)).copy(interpretation="rgb16")
    if grey:
        image, metadata = luma(image), metadata._replace(icc=None)
    with tempfile.TemporaryDirectory() as folder:
        if metadata.icc:
            try:
                image = in_space(image, metadata.icc, Path(folder))
            except vips.Error:  # which libvips alone cannot use
                metadata = metadata._replace(icc=None)
        if alpha is not None:
            image = image.bandjoin(vips.Image.new_from_array(alpha))
        image = with_metadata(image, metadata)
        options = {"compression": "deflate"} if format_ == "TIFF" else {}
        options["keep"] = KEEP
        try:
            data: bytes = image.write_to_buffer(SUFFIX[format_], **options)
        except vips.Error as error:
            raise ImageError(f"cannot be written ({reason(error)}); choose another format") from None
    return data


def lazy_image(source: Path, **options: int | str) -> "pyvips.Image":
    """A lazy image of a file. Raises `pyvips.Error`, also for damage where libvips would go on with grey."""
    vips = library()
    try:  # without `revalidate`, a file that was replaced would be remembered as it was
        image = vips.Image.new_from_file(source, fail_on="error", revalidate=True, **options)
        if image.get_typeof("tile-width") != 0:  # of tiles that it fails to decode it makes black ones, if not told so
            image = vips.Image.new_from_file(source, fail_on="warning", revalidate=True, **options)
    except UnicodeError:
        raise UnsupportedError(f"{str(source)!a}: its name is not UTF-8; rename it") from None
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
    """The luma of an image with 3 or 4 bands, as Pillow computes it, and its alpha."""
    grey = image[:3].recomb(REC_601).rint().cast(image.format)
    grey = grey.copy(interpretation="grey16" if image.format == "ushort" else "b-w")
    return grey.bandjoin(image[3]) if image.bands == 4 else grey


def with_metadata(image: "pyvips.Image", metadata: Metadata) -> "pyvips.Image":
    """The image with this profile and resolution, and no others; `dressing` brings the rest into the file."""
    vips = library()
    x, y = metadata.dpi or (DEFAULT_DPI, DEFAULT_DPI)  # libvips always writes one; `dressing` takes it out
    image = image.copy(xres=x / MM_PER_INCH, yres=y / MM_PER_INCH)
    if image.get_typeof(PROFILE):
        image.remove(PROFILE)
    if metadata.icc:
        image.set_type(vips.GValue.blob_type, PROFILE, metadata.icc)
    return image


def library() -> Any:
    """The module `pyvips`, imported when first needed. Raises `ImageError` where the extra is missing."""
    try:
        import pyvips
    except (ImportError, OSError) as error:  # OSError: the package without its library
        raise ImageError(f"{MISSING} ({error})") from None
    logging.getLogger(pyvips.__name__).addHandler(_SILENCE)
    return pyvips


def failure(error: "pyvips.Error") -> ImageError:
    """The error to raise, without a path, where libvips fails to decode: an error of the system, or of the file."""
    if SYSTEM_ERROR in str(error):
        what = f"cannot be read ({_system_reason(error)})"
        return ImageError(f"{what}; check its permissions and its disk, then try again")
    return told_by_decoder(reason(error))


def refusal(error: "pyvips.Error") -> ImageError:
    """The error to raise, without a path, where libvips does not open a file whose header Pillow has read."""
    if SYSTEM_ERROR in str(error):
        return failure(error)
    return UnsupportedError(f"libvips cannot read it ({reason(error)}); convert it to .tif, .png or .jpg in RGB")


def reason(error: Exception) -> str:
    """The last line of libvips' message, which is the innermost reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _system_reason(error: Exception) -> str:
    """The system's own words in libvips' message, such as "Too many open files"."""
    line = next(line for line in str(error).splitlines() if SYSTEM_ERROR in line)
    return line.partition(SYSTEM_ERROR)[2].strip(": ")
