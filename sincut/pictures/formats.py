"""File formats: their suffixes, and what each can hold."""

from pathlib import Path, PurePath

from PIL import features

from sincut.errors import ImageError

HEIF = {".heic", ".heif"}
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".jp2", ".avif", *HEIF}
WRITABLE = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    **({".avif": "AVIF"} if features.check("avif") else {}),
}
DEFAULT_QUALITY = {"JPEG": 95, "WEBP": 95, "AVIF": 90}
FULL_CHROMA = 90  # quality of a JPEG from which its colours are not subsampled
WITH_ALPHA = {"PNG", "WEBP", "TIFF", "AVIF"}
WITH_XMP = {"PNG", "JPEG", "WEBP", "TIFF", "AVIF"}
DEEP = {"PNG", "TIFF"}  # formats that hold 16 bits
LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383, "AVIF": 65_535}  # px that their encoders take
LONGEST_IN_JPEG = 65_000  # bytes of one block


def writable_format(path: PurePath) -> str:
    """Pillow's name of the format of a suffix. Raises `ImageError` for one that is not written."""
    format_ = WRITABLE.get(path.suffix.lower())
    if format_ is None:
        known = ", ".join(sorted(WRITABLE))
        raise ImageError(f"{path}: cannot write {path.suffix or 'a file without suffix'}; use one of {known}")
    return format_


def check_fits_format(path: Path, size: tuple[int, int]) -> None:
    """Raise `ImageError` where the format of the suffix is not written, or holds no picture of this size."""
    refuse_long(str(path), writable_format(path), size)


def refuse_long(name: str, format_: str, size: tuple[int, int]) -> None:
    longest, most = max(size), LONGEST_SIDE.get(format_, max(size))
    if longest > most:
        raise ImageError(
            f"{name}: {format_} files end at {most} px a side, the picture has {longest}; use .tif or .png"
        )
