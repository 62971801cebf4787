"""The kind of a picture file by its first bytes, before any decoder is called; what is no picture here has a name.

Sources: ITU-T T.81 (JPEG), T.800 (JPEG 2000), ISO/IEC 14496-12 and 23008-12 (HEIF, AVIF), PNG 3, netpbm.
"""

import contextlib
import re
from pathlib import Path
from typing import BinaryIO

from sincut.pictures import boxes, libvips, scans
from sincut.pictures.jpeg import has_end
from sincut.pictures.kind import DEVELOP, Kind, Trouble
from sincut.pictures.tiff_kinds import MAGIC as TIFF_MAGIC
from sincut.pictures.tiff_kinds import kind_of_tiff

HEAD = 512  # bytes that tell one format from another
MOST_SEGMENTS = 10_000  # of a JPEG before its frame header
MOST_META = 2**20  # bytes of the boxes of a HEIF file that are looked into
EXPORT = "convert it to PNG, JPEG, WebP or TIFF"
NO_PICTURE = "convert or save what it shows as PNG, JPEG, WebP or TIFF"
EIGHT = "convert it to 8 bits"
# The major brands of HEIC files (ISO/IEC 23008-12, annex B), and those that files of both HEVC and AV1 have.
HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1", b"mif2"}
AVIF_BRANDS = {b"avif", b"avis"}
VIDEO_BRANDS = {b"isom", b"iso2", b"mp41", b"mp42", b"qt  ", b"M4V ", b"avc1", b"3gp4", b"3gp5", b"dash"}
RAW_MAGIC = {
    **{b"IIRO": "Olympus ORF", b"IIRS": "Olympus ORF", b"MMOR": "Olympus ORF", b"IIU\0": "Panasonic RW2"},
    **{b"FUJIFILMCCD-RAW": "Fujifilm RAF", b"\0MRM": "Minolta MRW", b"FOVb": "Sigma X3F"},
    b"II\x1a\0\0\0HEAPCCDR": "Canon CRW",
}
OTHERS = {
    **{
        b"\xff\x0a": "a JPEG XL picture",
        b"\0\0\0\x0cJXL \r\n\x87\n": "a JPEG XL picture",
        b"8BPS": "a Photoshop document",
    },
    **{b"v/1\x01": "an OpenEXR picture", b"#?RADIANCE": "a Radiance HDR picture", b"#?RGBE": "a Radiance HDR picture"},
    **{b"gimp xcf": "a GIMP picture", b"qoif": "a QOI picture", b"DDS ": "a DDS picture", b"FLIF": "a FLIF picture"},
    **{
        b"BPG\xfb": "a BPG picture",
        b"II\xbc\x01": "a JPEG XR picture",
        b"P7\n": "a PAM picture",
        b"PF\n": "a PFM picture",
    },
    **{b"SIMPLE  =": "a FITS file", b"AT&TFORM": "a DjVu document", b"\0\0\x01\0": "an icon", b"icns": "an icon"},
    **{
        b"\xd7\xcd\xc6\x9a": "a Windows metafile",
        b"%!PS": "a PostScript file",
        b"\xc5\xd0\xd3\xc6": "a PostScript file",
    },
    **{b"BLP1": "a BLP picture", b"BLP2": "a BLP picture", b"\x8aMNG": "an MNG animation", b"\x8bJNG": "a JNG picture"},
}
# Those that are told by more than their first bytes.
LATER = {
    re.compile(rb"(\xef\xbb\xbf)?(\s|<\?.*?\?>|<!.*?>)*<svg[\s>]", re.DOTALL): "an SVG drawing",
    re.compile(rb".{128}DICM", re.DOTALL): "a DICOM file",
    re.compile(rb"\x01\x00\x00\x00.{36} EMF", re.DOTALL): "a Windows metafile",
    re.compile(rb"\x01\xda[\x00\x01][\x01\x02]", re.DOTALL): "an SGI picture",
    re.compile(rb"\n[\x00\x02-\x05]\x01[\x01\x02\x04\x08]", re.DOTALL): "a PCX picture",
}
NO_PICTURES = {
    **{
        b"%PDF": "a PDF document",
        b"PK\x03\x04": "an archive or document",
        b"Rar!": "an archive",
        b"7z\xbc\xaf": "an archive",
    },
    **{b"\x1f\x8b": "an archive", b"\x1aE\xdf\xa3": "a video", b"<!DOCTYPE html": "a web page"},
    **{
        b"<!doctype html": "a web page",
        b"<html": "a web page",
        b"\0\5\x16\7": "what macOS keeps beside a file (AppleDouble)",
    },
}
# Frame headers of JPEG (T.81, table B.1) whose coding processes no decoder here has.
HIERARCHICAL = {0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF}
FRAMES = scans.FRAMES | {0xF7}  # of JPEG-LS (T.87)
HEADERS_OF_DIB = {bytes((size, 0, 0, 0)) for size in (12, 40, 52, 56, 64, 108, 124)}  # a BMP without its first bytes
NO_END = Trouble("its end, which is missing,", "copy it again or repair it")


def kind_of(path: Path) -> Kind:
    """The kind of a file. Raises `OSError` of the system; damage is left for the decoders to tell."""
    with path.open("rb") as file:
        head = file.read(HEAD)
        if head[:4] in TIFF_MAGIC:
            return kind_of_tiff(file, path.suffix)
        for magic, name in RAW_MAGIC.items():
            if head.startswith(magic):
                return _refused(f"a raw picture of a camera ({name})", DEVELOP)
        with contextlib.suppress(IndexError, ValueError):  # it ends where its header should go on
            if head[4:8] == b"ftyp":
                return _boxed(file, head)
            if head[:3] == b"\xff\xd8\xff":
                return _jpeg(file)
            if head[:8] == b"\x89PNG\r\n\x1a\n":
                return _png(head)
            if head[:4] == b"\xff\x4f\xff\x51":
                return _jpeg2000(file, 0)
            if head[4:12] == b"jP  \r\n\x87\n":
                return _jpeg2000(file, _codestream(file))
            if re.match(rb"P[1-6f]\s", head):
                return _netpbm(file)
            if head[:2] == b"BM":
                return _bmp(head)
            if head[:4] == b"RIFF":
                return Kind("WEBP") if head[8:12] == b"WEBP" else _no_picture("a sound or a video")
            if head[:4] == b"GIF8":
                return Kind("GIF", "LZW")
    named = [name for magic, name in OTHERS.items() if head.startswith(magic)]
    named += [name for pattern, name in LATER.items() if pattern.match(head)]
    named += ["a TGA picture"] if path.suffix.lower() == ".tga" else []  # which begins with no word of its own
    if named:
        return _refused(named[0], EXPORT)
    if head[1:4] == b"PNG":  # its first bytes show whether a program has changed its line ends, as it were a text
        return Kind("PNG")
    what = next((name for magic, name in NO_PICTURES.items() if head.startswith(magic)), "")
    return _no_picture(what) if what else Kind("")


def may_be_picture(head: bytes) -> bool:
    """True if a file that begins with these bytes, 16 or more, may be read; of what is none no more is needed."""
    known = (*TIFF_MAGIC, b"\xff\xd8", b"\x89PNG", b"\xff\x4f\xff\x51", b"BM", b"RIFF", b"GIF8")
    boxed = head[4:8] == b"ftyp" or head[4:12] == b"jP  \r\n\x87\n"
    return boxed or head.startswith(known) or bool(re.match(rb"P[1-6f]\s", head)) or head[:4] in HEADERS_OF_DIB


def _refused(what: str, remedy: str, container: str = "", bits: int = 8) -> Kind:
    """The kind of a file that no library reads."""
    trouble = Trouble(what, remedy)
    return Kind(container, bits=bits, of_pillow=trouble, of_vips=trouble)


def _no_picture(what: str) -> Kind:
    """The kind of a file that is something else altogether."""
    return _refused(f"{what}, not a picture", NO_PICTURE)


def _pillow_only(container: str, what: str, bits: int = 8, compression: str = "") -> Kind:
    """The kind of a file that libvips, as its wheels are built, does not read."""
    remedy = "convert it to .tif, .png or .jpg"
    return Kind(container, compression, bits=bits, of_vips=Trouble(what, remedy))


def _png(head: bytes) -> Kind:
    """The kind of a PNG file, by its first chunk."""
    if head[12:16] == b"CgBI":  # https://theapplewiki.com/wiki/PNG_CgBI_Format
        return _refused("a PNG picture as apps of iPhones hold it (CgBI)", EXPORT, "PNG")
    return Kind("PNG", "deflate", bits=max(8, head[24]))


def _jpeg(file: BinaryIO) -> Kind:
    """The kind of a JPEG file, by its frame header."""
    file.seek(2)
    for _ in range(MOST_SEGMENTS):
        start = file.read(2)
        while start[1] == 0xFF:  # fill bytes
            start = start[1:] + file.read(1)
        marker = start[1]
        if start[0] != 0xFF or marker in (0xD9, 0xDA):
            break
        if marker in scans.ALONE:
            continue
        length = int.from_bytes(file.read(2), "big")
        if marker in FRAMES:
            frame = file.read(6)
            kind = _frame(marker, frame[0], int.from_bytes(frame[1:3], "big"), frame[5])
            return kind if kind.refused or has_end(file) else kind._replace(of_vips=NO_END)
        file.seek(max(0, length - 2), 1)
    return Kind("JPEG", "JPEG")


def _frame(marker: int, bits: int, height: int, channels: int) -> Kind:
    """The kind of a JPEG file with this frame header."""
    if marker == 0xF7:
        return _refused("its compression JPEG-LS", EXPORT, "JPEG", bits)
    if marker in HIERARCHICAL:
        return _refused("its compression hierarchical JPEG", EXPORT, "JPEG", bits)
    if bits != 8:
        return _refused(f"its {bits} bits a channel", f"{EIGHT}, or to TIFF or PNG", "JPEG", bits)
    if channels not in (1, 3, 4):
        return _refused(f"its {channels} channels", "convert it to RGB", "JPEG")
    if not height:
        return _refused("its height, which comes behind its pixels (DNL),", EXPORT, "JPEG")
    return Kind("JPEG", "JPEG")


def _codestream(file: BinaryIO) -> int:
    """The place of the JPEG 2000 codestream in an open JP2 file. Raises `ValueError` where there is none."""
    for kind, start, _ in boxes.places(file):
        if kind == b"jp2c":
            return start
    raise ValueError("no codestream")


def _jpeg2000(file: BinaryIO, place: int) -> Kind:
    """The kind of a JPEG 2000 file whose codestream begins at a place, by its SIZ marker segment (T.800, A.5.1)."""
    file.seek(place)
    head = file.read(42)
    depths = file.read(3 * int.from_bytes(head[40:42], "big"))[::3]
    bits, signed = max((depth & 127) + 1 for depth in depths), any(depth & 128 for depth in depths)
    if len(depths) > 4:
        return _refused(f"its {len(depths)} channels", "convert it to RGB", "JPEG2000", bits)
    if bits > 16:
        return _refused(f"its {bits} bits a channel", "convert it to 8 or 16 bits", "JPEG2000", bits)
    if signed:
        return _refused("its signed numbers", "convert it to 8 or 16 bits", "JPEG2000", bits)
    return _pillow_only("JPEG2000", "JPEG 2000", bits, "JPEG 2000")


def _boxed(file: BinaryIO, head: bytes) -> Kind:
    """The kind of a file of boxes that begins with its brands: HEIF, AVIF, or something else."""
    file.seek(0)
    brands = file.read(min(max(16, int.from_bytes(head[:4], "big")), 1024))
    major, compatible = brands[8:12], {brands[i : i + 4] for i in range(16, len(brands), 4)}
    if major == b"crx ":
        return _refused("a raw picture of a camera (Canon CR3)", DEVELOP)
    both = major in {b"mif1", b"msf1", b"mif2"}
    if major in AVIF_BRANDS or (both and compatible & AVIF_BRANDS and not compatible & {b"heic", b"heix"}):
        bits = _depth(file)
        deep = Trouble(f"its {bits} bits a channel", EIGHT) if bits > 8 else None
        return Kind("AVIF", "AV1", bits=bits, of_vips=deep)
    if major in HEIF_BRANDS:
        bits = _depth(file)
        if libvips.knows_hevc():
            return Kind("HEIF", "HEVC", bits=bits)
        return _pillow_only("HEIF", "HEIC", bits, "HEVC")
    if major in VIDEO_BRANDS:
        return _no_picture("a video")
    return Kind("")


def _depth(file: BinaryIO) -> int:
    """Bits of the deepest channel of any image in an open HEIF or AVIF file, by its property boxes."""
    file.seek(0)
    data, most = file.read(MOST_META), 8
    for found in re.finditer(rb"pixi\x00{4}([\x01-\x04])", data):
        most = max([most, *data[found.end() : found.end() + found[1][0]]])
    for found in re.finditer(rb"av1C\x81.(.)", data, re.DOTALL):
        most = max(most, (8, 8, 10, 12)[found[1][0] >> 5 & 3])
    for found in re.finditer(rb"hvcC\x01", data):
        most = max(most, 8 + (data[found.end() + 16] & 7))
    return most if most <= 16 else 8


def _netpbm(file: BinaryIO) -> Kind:
    """The kind of a PBM, PGM or PPM file, by the highest value in its header."""
    file.seek(0)
    head = re.sub(rb"#[^\n]*\n", b"", file.read(4096)).split(maxsplit=4)
    most = int(head[3]) if head[0] in (b"P2", b"P3", b"P5", b"P6") else 255
    return _pillow_only("PPM", "PPM", 16 if most > 255 else 8)


def _bmp(head: bytes) -> Kind:
    """The kind of a BMP file, by its header."""
    long = int.from_bytes(head[14:18], "little") >= 40
    depth = int.from_bytes(head[28:30] if long else head[24:26], "little")
    packing = int.from_bytes(head[30:34], "little") if long else 0
    if packing in (4, 5):
        return _refused(f"its compression {'JPEG' if packing == 4 else 'PNG'}", EXPORT, "BMP")
    if depth not in (1, 4, 8, 16, 24, 32):
        return _refused(f"its {depth} bits a pixel", "convert it to 24 bits", "BMP")
    return _pillow_only("BMP", "BMP")
