"""File formats, by Pillow's names: their suffixes, and what each can hold."""

from pathlib import Path, PurePath

from PIL import features

from sincut.errors import ImageError

JPEGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif", ".pjpeg", ".pjpg", ".pjp")
HEIF = {".heic", ".heif", ".hif", ".heics", ".heifs"}
# Suffixes that are read, by what a translation of such a file is written as.
READ_ONLY = {
    **dict.fromkeys((*HEIF, ".mpo", ".jps"), ".jpg"),
    **dict.fromkeys((".ptif", ".ptiff", ".btf", ".tf8"), ".tif"),
    **dict.fromkeys((".gif", ".apng", ".dib", ".avifs"), ".png"),
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm"), ".png"),
    **dict.fromkeys((".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"), ".png"),
}
# The first suffix of a format is the one that messages name.
WRITABLE = {
    ".png": "PNG",
    **dict.fromkeys(JPEGS, "JPEG"),
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    **({".avif": "AVIF"} if features.check("avif") else {}),
}
SUFFIXES = {*WRITABLE, ".avif", *READ_ONLY}
# Suffixes of pictures and documents that are neither read nor written.
OTHERS = {
    *(".jxl", ".jxr", ".wdp", ".hdp", ".bpg", ".flif", ".qoi", ".exr", ".hdr", ".pfm", ".tga", ".pcx", ".dds", ".fits"),
    *(".ico", ".icns", ".cur", ".psd", ".psb", ".xcf", ".kra", ".ora", ".svg", ".svgz", ".ai", ".eps", ".ps", ".pdf"),
    *(".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw", ".raw", ".3fr", ".iiq"),
    *(".djvu", ".dcm", ".svs", ".mp4", ".mov", ".webm"),
}
DEFAULT_QUALITY = {"JPEG": 95, "WEBP": 95, "AVIF": 90}
FULL_CHROMA = 90  # quality of a JPEG from which its colours are not subsampled
WITH_ALPHA = {"PNG", "WEBP", "TIFF", "AVIF"}
WITH_METADATA = {"PNG", "JPEG", "WEBP", "TIFF", "AVIF"}  # ICC profile, EXIF and XMP
WITH_PHOTOSHOP = {"PNG", "JPEG", "TIFF"}  # Photoshop's resources, IPTC among them
WITH_COMMENTS = {"PNG", "JPEG"}
WITH_RESOLUTION = {"PNG", "JPEG", "TIFF", "BMP"}
DEEP = {"PNG", "TIFF"}  # formats that hold 16 bits
LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383, "AVIF": 65_535}  # px that their encoders take


def writable_format(path: PurePath) -> str:
    """Pillow's name of the format of a suffix. Raises `ImageError` for one that is not written."""
    format_ = WRITABLE.get(path.suffix.lower())
    if format_ is None:
        known = ", ".join(dict.fromkeys(suffix_of(format_) for format_ in WRITABLE.values()))
        raise ImageError(f"{path}: cannot write {path.suffix or 'a file without suffix'}; use one of {known}")
    return format_


def suffix_of(format_: str) -> str:
    """The usual suffix of one of Pillow's formats; .png for one that is not written."""
    return next((suffix for suffix, known in WRITABLE.items() if known == format_), ".png")


def written_suffix(suffix: str) -> str:
    """The suffix, in small letters, that a translation of a file with this one gets: its own where it is written."""
    own = suffix.lower()
    return own if own in WRITABLE else READ_ONLY.get(own, ".png")


def check_fits_format(path: Path, size: tuple[int, int]) -> None:
    """Raise `ImageError` where the format of the suffix is not written, or holds no picture of this size."""
    refuse_long(str(path), writable_format(path), size)


def pixels_lost(format_: str, alpha: bool, deep: bool) -> list[str]:
    """Notes on what a format cannot hold of pixels with alpha, or of 16 bits a channel."""
    on_white = f"{format_} has no alpha: transparent parts were laid on white"
    eight = f"{format_} has 8 bits a channel"
    return [
        *([on_white] if alpha and format_ not in WITH_ALPHA else []),
        *([eight] if deep and format_ not in DEEP else []),
    ]


def refuse_long(name: str, format_: str, size: tuple[int, int]) -> None:
    """Raise `ImageError`, which begins with the name, where a format's encoder takes no picture (H, W) so long."""
    longest, most = max(size), LONGEST_SIDE.get(format_, max(size))
    if longest > most:
        raise ImageError(
            f"{name}: {format_} files end at {most} px a side, the picture has {longest}; use .tif or .png"
        )
