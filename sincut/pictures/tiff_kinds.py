"""The kinds of TIFF files: compression, layout, depth, samples, photometric interpretation; raw pictures of cameras.

Tags are numbered as in TIFF 6.0, its Technical Notes and DNG 1.7. What Pillow and libvips garble or do not read was
measured, file by file, against the arrays the files were made of.
"""

import contextlib
import io
import lzma
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, BinaryIO, NamedTuple

from PIL import Image, TiffImagePlugin

from sincut.pictures import libvips
from sincut.pictures.kind import DEVELOP, Kind, Trouble

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
OLD_JPEG = "old-style JPEG"
REPACK = "convert it to LZW or deflate"
UNKNOWN_TO_PILLOW = b"MM\0+"
NAMES = {
    **{1: "none", 2: "CCITT RLE", 3: "CCITT group 3", 4: "CCITT group 4", 5: "LZW", 6: OLD_JPEG, 7: "JPEG"},
    **{8: "deflate", 9: "JBIG", 10: "JBIG", 22610: "JPEG XR", 32766: "NeXT", 32767: "Sony ARW", 32769: "packed raw"},
    **{32771: "CCITT RLE-W", 32773: "PackBits", 32809: "ThunderScan", 32867: "Kodak KDC", 32895: "IT8 CT with padding"},
    **{32896: "IT8 line work", 32897: "IT8 monochrome", 32898: "IT8 binary", 32908: "PixarFilm", 32909: "PixarLog"},
    **{32946: "deflate", 32947: "Kodak DCS", 33003: "JPEG 2000", 33004: "JPEG 2000", 33005: "JPEG 2000"},
    **{34661: "JBIG", 34676: "SGI Log", 34677: "SGI Log 24", 34712: "JPEG 2000", 34713: "Nikon NEF", 34715: "JBIG2"},
    **{34718: "Microsoft MDI", 34719: "Microsoft MDI", 34720: "Microsoft MDI", 34887: "LERC", 34892: "lossy JPEG"},
    **{34925: "LZMA", 34926: "Zstandard", 34927: "WebP", 34933: "PNG", 34934: "JPEG XR", 48124: "Jetraw"},
    **{50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL", 52546: "JPEG XL", 65000: "Kodak DCR", 65535: "Pentax PEF"},
}
ALWAYS = {1, 2, 3, 4, 5, 6, 7, 8, 32773, 32809, 32946}  # compressions that any libtiff reads
LZMA, ZSTANDARD, WEBP = 34925, 50000, 50001  # those that a libtiff may be built without
JPEG_2000 = {33003, 33005, 34712}  # which libvips, with OpenJPEG, reads in tiles
BLACK = bytes(3)  # a pixel
# That pixel, not compressed, in a frame of Zstandard (RFC 8878, 3.1.1): of one segment and one block.
BLACK_IN_ZSTANDARD = b"\x28\xb5\x2f\xfd\x20\x03\x19\0\0" + BLACK
FAX = {2, 3, 4}
PREDICTORS = (1, 2, 3)
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB = 0, 1, 2, 3, 5, 6, 8
NOT_TOLD = -1
COLOURS = {
    NOT_TOLD: "it does not say which",
    **{WHITE_IS_ZERO: "greys", BLACK_IS_ZERO: "greys", RGB: "RGB", PALETTE: "a palette", 4: "a mask", CMYK: "CMYK"},
    **{YCBCR: "YCbCr", LAB: "Lab", 9: "ICC Lab", 10: "ITU Lab", 32803: "a colour filter array", 32844: "LogL"},
    **{32845: "LogLuv", 34892: "linear raw", 51177: "depths", 52527: "a semantic mask"},
}
READ = {WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB}
CHANNELS = {RGB: 3, CMYK: 4, YCBCR: 3, LAB: 3}  # greys and palettes: 1
RAW = {32803, 34892}  # photometric interpretations of DNG 1.7
MULTIPLIED = 1  # an extra channel that is alpha by which colours are multiplied
SAMPLES = {1: "unsigned", 2: "signed", 3: "float", 4: "unsigned", 5: "complex", 6: "complex"}
RAW_SUFFIXES = {
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq", ".k25", ".kdc", ".mef"),
    *(".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
}
MOST_SUBS = 32  # sub-directories that are looked into


class _Layout(NamedTuple):
    """The tags of a directory that say how its pixels are kept."""

    big_endian: bool
    compression: int
    photometric: int
    bits: tuple[int, ...]
    samples: str
    channels: int
    extra: tuple[int, ...]
    planar: bool
    one_plane: bool  # the same, of a single channel
    tiled: bool
    predictor: int
    subsampling: tuple[int, ...]
    inks: int
    dots: tuple[int, ...]  # the numbers of no ink and of all ink, where they are told
    palette: tuple[int, ...]
    slices: int  # of a volume, of which decoders give the first (ImageDepth, TileDepth)

    @property
    def deepest(self) -> int:
        """Bits of the deepest channel."""
        return max(self.bits)

    @property
    def grey(self) -> bool:
        """True if it knows no colours."""
        return self.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO)

    @property
    def plain(self) -> bool:
        """True if it is not compressed."""
        return self.compression == 1


def kind_of_tiff(file: BinaryIO, suffix: str = "") -> Kind:
    """The kind of an open TIFF or BigTIFF file whose name has this suffix.

    Damage is left for the decoders to tell: a file whose first directory makes no sense is one that they may read.
    """
    file.seek(0)
    if file.read(4) == UNKNOWN_TO_PILLOW:
        return Kind("TIFF", of_pillow=Trouble("its header (BigTIFF, big-endian)", "convert it to little-endian TIFF"))
    first = next(directories(file), None)
    if first is None:
        return Kind("TIFF")
    if _is_raw(file, first) or suffix.lower() in RAW_SUFFIXES:
        raw = Trouble("a raw picture of a camera", DEVELOP)
        return Kind("TIFF", colours="raw", of_pillow=raw, of_vips=raw)
    layout = _layout(first)
    if layout is None:
        return Kind("TIFF")
    if _is_thumbnail(file, first):
        copy = Trouble(
            "a TIFF file that begins with a thumbnail of its picture", "save the picture as a file of its own"
        )
        return Kind("TIFF", colours=_colours(layout), of_pillow=copy, of_vips=copy)
    both = _of_both(layout)
    return Kind(
        container="TIFF",
        compression=_compression(layout),
        tiled=layout.tiled,
        planar=layout.planar,
        bits=layout.deepest,
        samples=layout.samples,
        colours=_colours(layout),
        of_pillow=both or _of_pillow(layout),
        of_vips=both or _of_vips(layout),
        bands=_bands(layout),
        by_libtiff=layout.plain
        and (
            layout.photometric == YCBCR
            or layout.one_plane
            or (layout.planar and (layout.deepest > 8 or MULTIPLIED in layout.extra))
        ),
    )


def _bands(layout: _Layout) -> tuple[int, ...]:
    """The channels that are colours and alpha, where there are others too, such as infrared or spot colours."""
    if layout.photometric == PALETTE:
        return ()
    colours = CHANNELS.get(layout.photometric, 1)
    extra = layout.extra[: max(0, layout.channels - colours)]
    alpha = [colours + place for place, kind in enumerate(extra) if kind in (1, 2)][:1]
    return (*range(colours), *alpha) if len(extra) > len(alpha) else ()


def is_reduced(image: Image.Image) -> bool:
    """True if all further pages of a TIFF file are smaller copies of the first, as in a pyramid, where it is now."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or image.tell() or not image.tile:
        return False
    try:
        for page in range(1, image.n_frames):
            image.seek(page)
            if not _number(image.tag_v2, 254, 0) & 1:
                return False
    except SyntaxError:  # Pillow has no mode for one of them, such as a mask of the first
        return False
    finally:
        image.seek(0)
    return True


def directories(file: BinaryIO) -> Iterator[TiffImagePlugin.ImageFileDirectory_v2]:
    """The first directory of an open TIFF file, its sub-directories, and the second one; damage ends it."""
    with contextlib.suppress(Exception):  # Pillow's parser raises almost anything on damaged directories
        file.seek(0)
        head = file.read(8)
        head += file.read(8) if head[2:3] == b"+" else b""
        first = TiffImagePlugin.ImageFileDirectory_v2(head)
        _load(first, file, first.next)
        yield first
        below = first.get(330, ())
        places = [*(below if isinstance(below, tuple) else (below,))[:MOST_SUBS], first.next]
        for place in places:
            if isinstance(place, int) and place:
                directory = TiffImagePlugin.ImageFileDirectory_v2(head)
                _load(directory, file, place)
                yield directory


def _load(directory: TiffImagePlugin.ImageFileDirectory_v2, file: BinaryIO, place: int) -> None:
    """Read the tags of the directory at a place of the file."""
    file.seek(place)
    directory.load(file)


def _is_raw(file: BinaryIO, first: TiffImagePlugin.ImageFileDirectory_v2) -> bool:
    """True if the file is a camera's: what it shows at first is a preview of what nobody has developed yet."""
    file.seek(0)
    head = file.read(16)
    if head[8:10] == b"CR" or head[8:12] in (b"IIII", b"MMMM"):  # Canon CR2; Phase One IIQ
        return True
    if any(_numbers(tags, 262)[:1] in [(kind,) for kind in RAW] for tags in directories(file)):
        return True
    # DNGVersion; alone, in a file without previews, it is a tag that somebody has copied into an ordinary picture.
    return 50706 in first and (_number(first, 254, 0) & 1 == 1 or 330 in first)


def _is_thumbnail(file: BinaryIO, first: TiffImagePlugin.ImageFileDirectory_v2) -> bool:
    """True if the first picture of a file says that it is a small copy of another, and there is a larger one."""
    if not (_number(first, 254, 0) & 1 or _number(first, 255, 0) == 2):
        return False
    return any(_number(tags, 256, 0) > _number(first, 256, 0) for tags in directories(file))


def _numbers(tags: TiffImagePlugin.ImageFileDirectory_v2, tag: int) -> tuple[int, ...]:
    """The integers of a tag; none where it is missing or damaged."""
    value: Any = ()
    with contextlib.suppress(Exception):
        value = tags.get(tag, ())
    value = tuple(value) if isinstance(value, tuple | bytes) else (value,)
    return tuple(number for number in value if isinstance(number, int))


def _number(tags: TiffImagePlugin.ImageFileDirectory_v2, tag: int, default: int) -> int:
    """The first integer of a tag."""
    return next(iter(_numbers(tags, tag)), default)


def _layout(tags: TiffImagePlugin.ImageFileDirectory_v2) -> _Layout | None:
    """The layout of a directory; None where it has no size."""
    if not _number(tags, 256, 0) or not _number(tags, 257, 0):
        return None
    compression = _number(tags, 259, 1)
    photometric = YCBCR if compression == 6 else _number(tags, 262, WHITE_IS_ZERO if compression in FAX else NOT_TOLD)
    channels = _number(tags, 277, 3 if compression == 6 else 1)
    formats = _numbers(tags, 339)[: max(1, channels)] or (1,)
    return _Layout(
        big_endian=tags.prefix == b"MM",
        compression=compression,
        photometric=photometric,
        bits=_numbers(tags, 258)[: max(1, channels)] or ((8,) if compression == 6 else (1,)),
        samples=SAMPLES.get(formats[0], f"type {formats[0]}") if len(set(formats)) == 1 else "mixed",
        channels=channels,
        extra=_numbers(tags, 338),
        planar=_number(tags, 284, 1) == 2 and channels > 1,
        one_plane=_number(tags, 284, 1) == 2 and channels == 1,
        tiled=322 in tags,
        predictor=_number(tags, 317, 1) if compression in (5, 8, 32946, 34925, 50000) else 1,
        subsampling=_numbers(tags, 530) or (2, 2),
        inks=_number(tags, 332, 1) if photometric == CMYK else 1,
        dots=_numbers(tags, 336)[:2] if photometric == CMYK else (),
        palette=_numbers(tags, 320),
        slices=max(_number(tags, 32997, 1), _number(tags, 32998, 1)),
    )


def _compression(layout: _Layout) -> str:
    """The compression in words."""
    return NAMES.get(layout.compression, f"number {layout.compression}")


def _colours(layout: _Layout) -> str:
    """The photometric interpretation in words."""
    return COLOURS.get(layout.photometric, f"of photometric interpretation {layout.photometric}")


def _of_both(layout: _Layout) -> Trouble | None:
    """What neither library reads rightly, whatever it was built with."""
    bits, samples, other = layout.bits, layout.samples, "convert it to 8 or 16 bits"
    if layout.slices > 1:
        return Trouble(f"its volume of {layout.slices} slices (ImageDepth)", "save its slices as pictures of their own")
    if layout.photometric not in READ:
        return Trouble(f"its colours ({_colours(layout)})", "convert it to RGB")
    if layout.photometric == CMYK and layout.inks != 1:
        return Trouble("its colours (inks other than CMYK)", "convert it to RGB")
    if layout.dots and layout.dots[0] > layout.dots[-1]:
        return Trouble("its inks, of which the largest number is none (DotRange),", "convert it to RGB")
    if layout.photometric == PALETTE and not layout.palette:
        return Trouble("its palette, which is missing,", "convert it to RGB")
    if layout.predictor not in PREDICTORS:
        return Trouble(f"its predictor {layout.predictor}", REPACK)
    if len(set(bits)) > 1:
        return Trouble(f"its channels of {', '.join(map(str, bits))} bits", other)
    if samples not in ("unsigned", "signed", "float"):
        return Trouble(f"its numbers ({samples})", other)
    if samples == "float" and (bits[0] not in (16, 32) or (bits[0] == 16 and layout.planar)):
        return Trouble(f"its floating-point numbers of {bits[0]} bits{_apart(layout)}", other)
    if samples == "float" and (
        layout.photometric in (CMYK, YCBCR, PALETTE) or (layout.photometric == LAB and bits[0] != 32)
    ):
        return Trouble(f"its floating-point numbers ({_colours(layout)})", other)
    if samples == "float" and layout.photometric == WHITE_IS_ZERO:
        return Trouble("its floating-point numbers, of which 0 is white,", other)
    # Greys of 32 bits are taken by their values where these are within 0..65535.
    if samples == "signed" and (layout.channels > 1 or layout.photometric != BLACK_IS_ZERO or bits[0] != 32):
        return Trouble(f"its signed numbers of {bits[0]} bits", other) if layout.photometric != LAB else None
    if samples == "unsigned" and not _fits(layout):
        return Trouble(f"its {bits[0]} bits a channel", other)
    if layout.photometric == LAB and layout.channels > CHANNELS[LAB]:
        return Trouble("its Lab colours with further channels", "convert it to RGB")
    if layout.photometric == LAB and layout.planar:
        return Trouble("its Lab colours in separate planes", "convert it to interleaved channels")
    if layout.planar and (layout.grey or layout.photometric == PALETTE):
        return Trouble("its greys and alpha in separate planes", "convert it to interleaved channels")
    if layout.photometric == YCBCR and (layout.planar or bits[0] != 8):
        return Trouble(f"its YCbCr of {bits[0]} bits{_apart(layout)}", "convert it to RGB")
    return None


def _fits(layout: _Layout) -> bool:
    """True if unsigned integers of this depth are read, for the colours that they mean."""
    bits = layout.bits[0]
    if layout.photometric in CHANNELS or layout.channels > 1:
        return bits in (8, 16)
    return bits in (1, 2, 4, 8, 16, *((32,) if layout.photometric == BLACK_IS_ZERO else ()))


def _apart(layout: _Layout) -> str:
    """Words for channels that are kept apart."""
    return " in separate planes" if layout.planar else ""


def _of_pillow(layout: _Layout) -> Trouble | None:
    """What Pillow does not read, or not rightly; what it refuses by itself is left to it."""
    if layout.compression not in ALWAYS and not _pillow_knows(layout.compression):
        return _unknown(layout)
    if layout.bits[0] == 32 and layout.big_endian and not layout.plain:  # their bytes are swapped twice
        return Trouble("its compressed 32-bit numbers, big-endian,", "convert it to 8 or 16 bits")
    if layout.photometric == PALETTE and max(layout.palette, default=0) < 256:  # it takes the upper byte
        return Trouble("its palette of 8 bits", "convert it to RGB")
    if layout.samples == "float" and layout.channels > 1:
        return Trouble("its floating-point colours", "convert it to 16 bits")
    if layout.deepest == 16 and layout.photometric == WHITE_IS_ZERO:  # which it does not invert
        return Trouble("its greys of 16 bits, of which 0 is white,", "convert it to 8 bits")
    return None


def _of_vips(layout: _Layout) -> Trouble | None:
    """What libvips does not read, or not rightly."""
    if layout.compression not in ALWAYS and not _vips_knows(layout.compression):
        return _unknown(layout)
    if layout.compression in JPEG_2000 and not layout.tiled:
        return Trouble("its compression JPEG 2000 in strips", REPACK)
    if layout.planar and layout.tiled:
        return Trouble("its tiles of separate planes", "convert it to interleaved channels")
    if layout.one_plane and (layout.deepest < 8 or layout.photometric == WHITE_IS_ZERO):
        return Trouble("its single plane of greys", "convert it to interleaved channels")
    if layout.photometric == LAB and layout.deepest == 8:
        return Trouble("its Lab colours of 8 bits", "convert it to .tif, .png or .jpg in RGB")
    if layout.photometric == YCBCR and layout.compression not in (6, 7) and layout.subsampling[:2] == (1, 1):
        return Trouble("its YCbCr", "convert it to RGB")  # which it takes for RGB
    if layout.samples != "float" and layout.deepest == 32:
        return Trouble("its integers of 32 bits", "convert it to 8 or 16 bits")
    if layout.samples == "signed" and layout.photometric != LAB:
        return Trouble("its signed integers", "convert it to 8 or 16 bits")
    return None


def _unknown(layout: _Layout) -> Trouble:
    """A compression that is not read."""
    return Trouble(f"its compression {_compression(layout)}", REPACK)


@lru_cache(maxsize=8)
def _pillow_knows(compression: int) -> bool:
    """True if the libtiff of this Pillow has a compression. It is asked to read it: writing it could crash Pillow."""
    try:
        with Image.open(io.BytesIO(_sample(compression)), formats=["TIFF"]) as image:
            image.load()
    except (OSError, SyntaxError):
        return False
    return True


def _vips_knows(compression: int) -> bool:
    """True if the libtiff of this machine's libvips has a compression, or libvips itself; of none, as its wheels."""
    if not libvips.installed():
        return compression == WEBP
    return libvips.knows_jpeg2000() if compression in JPEG_2000 else _vips_reads(compression)


@lru_cache(maxsize=8)
def _vips_reads(compression: int) -> bool:
    """True if libvips reads a TIFF file in a compression."""
    return libvips.reads(_sample(compression))


def _sample(compression: int) -> bytes:
    """A TIFF file of one black pixel in a compression; nothing for one that libtiff never has."""
    data = io.BytesIO()
    if compression == LZMA:
        data.write(lzma.compress(BLACK))
    elif compression == ZSTANDARD:
        data.write(BLACK_IN_ZSTANDARD)
    elif compression == WEBP:
        Image.new("RGB", (1, 1)).save(data, "WEBP", lossless=True)
    else:
        return b""
    tags, file = TiffImagePlugin.ImageFileDirectory_v2(), io.BytesIO()
    layout = {256: 1, 257: 1, 258: (8, 8, 8), 259: compression, 262: RGB, 273: 0, 277: 3, 278: 1, 279: data.tell()}
    tags.update(layout)
    tags.save(file)
    return file.getvalue() + data.getvalue()
