"""Every kind of metadata in every format that is written: kept, or left out and said. Read by others than sincut."""

import io
import json
import shutil
import struct
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import ROOT, scene, wide_gamut_profile
from PIL import Image, IptcImagePlugin
from PIL.PngImagePlugin import PngInfo

from sincut.pictures import reading, writing
from sincut.pictures.dressing import splice
from sincut.pictures.picture import Picture
from sincut.pictures.writing import Saving

H, W = 24, 36
RGB = scene(H, W, 0)
IPTC = b"\x1c\x02\x78" + struct.pack(">H", 13) + b"Harbour, 1891"  # 2:120, a caption
XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:source="museum"/></rdf:RDF>'
    b"</x:xmpmeta>"
)
CANON = b"Canon EOS 40D"


def block(number: int, data: bytes) -> bytes:
    """One of Photoshop's resources."""
    return b"8BIM" + struct.pack(">HHL", number, 0, len(data)) + data + bytes(len(data) % 2)


def segment(marker: int, data: bytes) -> bytes:
    return bytes([255, marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg(*segments: bytes, behind: bytes = b"", **options: Any) -> bytes:
    """A JPEG file with these segments behind its first one."""
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, "JPEG", quality=95, **options)
    data = file.getvalue()
    return data[:20] + b"".join(segments) + data[20:] + behind


def directory(entries: list[tuple[int, int, int, bytes]], base: int) -> bytes:
    """A little-endian directory that stands at `base` of its stream: tags, types, counts and values."""
    extra, rows, at = b"", struct.pack("<H", len(entries)), base + 2 + 12 * len(entries) + 4
    for tag, kind, count, data in sorted(entries):
        value = data.ljust(4, b"\0") if len(data) <= 4 else struct.pack("<I", at + len(extra))
        rows += struct.pack("<HHI", tag, kind, count) + value
        extra += data if len(data) > 4 else b""
    return rows + bytes(4) + extra


def canon_note(at: int) -> bytes:
    """Maker notes as Canon's, whose places count from the start of EXIF."""
    return directory([(6, 2, 32, CANON.ljust(32, b"\0")), (9, 2, 32, b"Owner Name".ljust(32, b"\0"))], at)


def exif(make_note: Callable[[int], bytes] | None = canon_note, orientation: int = 1) -> bytes:
    """EXIF of a camera, with these maker notes."""
    at = sub = 0
    for _ in range(3):  # places depend on lengths
        note = make_note(at) if make_note else b""
        tags = [(0x10E, 2, 14, b"a description\0"), (0x10F, 2, 6, b"Canon\0"), (0x110, 2, 14, CANON + b"\0")]
        first = directory(
            [*tags, (274, 3, 1, struct.pack("<H", orientation)), (0x8769, 4, 1, struct.pack("<I", sub))], 8
        )
        sub = 8 + len(first)
        sides = [(0xA002, 4, 1, struct.pack("<I", W)), (0xA003, 4, 1, struct.pack("<I", H))]
        noted = [(0x927C, 7, len(note), note)] if note else []
        below = directory([(0x829A, 5, 1, struct.pack("<II", 1, 60)), *sides, *noted], sub)
        at = sub + (below.find(note[:10]) if note else 0)
    return b"Exif\0\0II*\0\x08\0\0\0" + first + below


def sources(folder: Path) -> dict[str, Path]:
    """A file for each kind of metadata, which has no other."""
    resources = b"Photoshop 3.0\0" + block(0x040A, b"\1")
    made = {
        "EXIF": jpeg(segment(0xE1, exif(None))),
        "maker notes": jpeg(segment(0xE1, exif())),
        "XMP": jpeg(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)),
        "IPTC": jpeg(segment(0xED, b"Photoshop 3.0\0" + block(0x0404, IPTC))),
        "Photoshop": jpeg(segment(0xED, resources)),
        "comment": jpeg(comment=b"glass plate 17"),
        "resolution": jpeg(dpi=(300, 300)),
        "ICC profile": jpeg(icc_profile=wide_gamut_profile()),
        "nothing": jpeg(),
    }
    for name, data in made.items():
        (folder / f"{name}.jpg").write_bytes(data)
    texts = PngInfo()
    texts.add_text("parameters", "a castle, steps 20")
    texts.add_itxt("Author", "Müller", zip=True)
    Image.fromarray(RGB).save(folder / "texts.png", pnginfo=texts)
    return {path.stem: path for path in folder.iterdir()}


# kind -> suffix -> a word of the note where it is left out, nothing where it is kept
LOST: dict[str, dict[str, str]] = {
    "EXIF": {".bmp": "EXIF"},
    "maker notes": {".tif": "maker notes", ".16.tif": "maker notes", ".bmp": "EXIF"},
    "XMP": {".bmp": "XMP"},
    "IPTC": {".webp": "IPTC", ".avif": "IPTC", ".bmp": "IPTC"},
    "Photoshop": {".webp": "Photoshop", ".avif": "Photoshop", ".bmp": "Photoshop"},
    "comment": dict.fromkeys((".tif", ".16.tif", ".webp", ".avif", ".bmp"), "comment"),
    "texts": dict.fromkeys((".jpg", ".tif", ".16.tif", ".webp", ".avif", ".bmp"), "texts parameters, Author"),
    "resolution": {},
    "ICC profile": {".bmp": "ICC profile"},
    "nothing": {},
}
SUFFIXES = (".jpg", ".png", ".tif", ".webp", ".avif", ".bmp", ".16.png", ".16.tif")
CELLS = [(kind, suffix) for kind in LOST for suffix in SUFFIXES]


def written(source: Path, target: Path, saving: Saving = writing.AS_IT_CAME) -> list[str]:
    """Notes on a file that is read and written, without a translation."""
    picture = reading.load(source)
    if ".16" in target.suffixes:
        picture = replace(picture, pixels=picture.pixels.astype(np.uint16) * 257)
    return [*picture.notes, *writing.save(picture, target, saving)]


def maker_notes(path: Path) -> bytes:
    """The owner as Canon's own software reads it from maker notes, by places from the start of EXIF."""
    data = path.read_bytes()
    head = data.find(b"II*\0")
    at = data.find(b"\x06\0\x02\0\x20\0\0\0", head) if head >= 0 else -1
    if at < 0:
        return b""
    (place,) = struct.unpack_from("<I", data, at + 12 + 8)
    return data[head + place : head + place + 10]


def seen(path: Path, kind: str) -> object:
    """The metadata of a file as Pillow, tifftools or a plain look at its bytes tell it; nothing where there is none."""
    with Image.open(path) as image:
        if kind == "EXIF":
            tags = image.getexif()
            return tags.get(0x10E) and float(tags.get_ifd(0x8769)[0x829A]) == 1 / 60 and tags[0x10E]
        if kind == "maker notes":
            return maker_notes(path)
        if kind == "XMP":
            return b"museum" in path.read_bytes() and (image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"))
        if kind in ("IPTC", "Photoshop"):
            wanted = b"Harbour, 1891" if kind == "IPTC" else block(0x040A, b"\1")
            if path.suffix == ".png":
                image.load()
                lines = str(image.info.get("Raw profile type iptc", "")).split("\n")[3:]
                return wanted in bytes.fromhex("".join(lines))
            if kind == "IPTC":
                return (IptcImagePlugin.getiptcinfo(image) or {}).get((2, 120)) == wanted
            return wanted in path.read_bytes()
        if kind == "comment":
            return image.info.get("comment") or image.info.get("Comment")
        if kind == "texts":
            texts = {key: str(value) for key, value in getattr(image, "text", {}).items()}
            return texts == {"parameters": "a castle, steps 20", "Author": "Müller"}
        if kind == "ICC profile":
            return image.info.get("icc_profile") == wide_gamut_profile()
        return resolution(path, image)


def resolution(path: Path, image: Image.Image) -> list[int] | None:
    """Dots per inch that a file tells; None where it tells none."""
    if path.suffix == ".tif":
        tags = pytest.importorskip("tifftools").read_tiff(str(path))["ifds"][0]["tags"]
        if 282 not in tags:
            return None
        assert tags[296]["data"] == [2]
        return [round(tags[tag]["data"][0] / tags[tag]["data"][1]) for tag in (282, 283)]
    tags = image.getexif()
    dpi = (tags[282], tags[283]) if 282 in tags else image.info.get("dpi")
    return [round(float(value)) for value in dpi] if dpi and dpi[0] else None


@pytest.mark.parametrize(("kind", "suffix"), CELLS)
def test_every_kind_of_metadata_is_kept_or_its_loss_is_said(tmp_path: Path, kind: str, suffix: str) -> None:
    (tmp_path / "in").mkdir()
    source, target = sources(tmp_path / "in")[kind], tmp_path / f"out{suffix}"
    notes = written(source, target)
    word = LOST[kind].get(suffix, "")
    about = [note for note in notes if "8 bits" not in note and "own ICC profile" not in note]
    assert (word in " ".join(about) and len(about) == 1) if word else not about, notes
    if kind == "nothing":
        assert seen(target, "resolution") is None
    else:
        assert bool(seen(target, kind)) != bool(word)
    if kind == "maker notes" and not word:
        assert maker_notes(target) == b"Owner Name"
    if kind == "resolution":
        assert seen(target, kind) == [300, 300]
    if target.suffix in (".png", ".tif", ".bmp") and kind != "ICC profile":  # of the pixels not one has moved
        assert np.array_equal(
            reading.load(target).pixels // (257 if ".16" in suffix else 1), reading.load(source).pixels
        )


@pytest.mark.parametrize("kind", [kind for kind in LOST if kind != "nothing"])
@pytest.mark.parametrize("between", [".png", ".tif", ".16.png", ".16.tif"])
def test_what_a_format_has_kept_comes_back_out_of_it(tmp_path: Path, kind: str, between: str) -> None:
    if LOST[kind].get(between) or LOST[kind].get(".jpg"):
        return
    (tmp_path / "in").mkdir()
    source = sources(tmp_path / "in")[kind]
    written(source, tmp_path / f"between{between}")
    assert not [note for note in written(tmp_path / f"between{between}", tmp_path / "out.jpg") if "cannot" in note]
    assert seen(tmp_path / "out.jpg", kind) == seen(source, kind)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_stripped_files_have_no_metadata_at_all(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "in").mkdir()
    for kind, source in sources(tmp_path / "in").items():
        notes = written(source, tmp_path / f"{kind}{suffix}", Saving(strip=True))
        assert not any("cannot" in note for note in notes)
        assert not seen(tmp_path / f"{kind}{suffix}", "resolution" if kind == "nothing" else kind)


def test_exiftool_reads_all_of_it(tmp_path: Path) -> None:
    exiftool = shutil.which("exiftool")
    if exiftool is None:
        pytest.skip("needs exiftool")
    picture = Picture(RGB)
    (tmp_path / "in").mkdir()
    for kind, source in sources(tmp_path / "in").items():
        one = reading.load(source)
        if kind not in ("EXIF", "ICC profile", "nothing"):
            own = {key: value for key, value in one.metadata._asdict().items() if value}
            picture = replace(picture, **own)
    for suffix in SUFFIXES:
        deep = replace(picture, pixels=picture.pixels.astype(np.uint16) * 257) if ".16" in suffix else picture
        if suffix != ".bmp":
            writing.save(replace(deep, photoshop=block(0x0404, IPTC) + block(0x040A, b"\1")), tmp_path / f"a{suffix}")
    command = [exiftool, "-j", "-G1", "-a", "-warning", "-all", *map(str, sorted(tmp_path.glob("a.*")))]
    for told in json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout):
        name = Path(told["SourceFile"]).name.removeprefix("a")
        values = {key.partition(":")[2]: value for key, value in told.items()}
        assert "Warning" not in values and "Error" not in values, (name, values)
        assert values["ImageDescription"] == "a description" and values["Source"] == "museum"
        assert "XResolution" in values or values["PixelsPerUnitX"] == 11811, name
        assert (values.get("OwnerName") == "Owner Name") == (not LOST["maker notes"].get(name)), name
        assert (values.get("Caption-Abstract") == "Harbour, 1891") == (not LOST["IPTC"].get(name)), name
        assert (values.get("CopyrightFlag") is True) == (not LOST["Photoshop"].get(name)), name
        assert (values.get("Comment") == "glass plate 17") == (not LOST["comment"].get(name)), name
        assert (values.get("Author") == "Müller") == (not LOST["texts"].get(name)), name


def test_the_docs_have_a_row_for_each_kind() -> None:
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    table = page.partition("| metadata |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| ")]
    for kind in (*LOST, "gAMA", "cICP", "gain maps", "layers", "C2PA", "frames"):
        assert kind == "nothing" or any(kind in row for row in rows), kind


@pytest.mark.parametrize("size", [0, 10, 1000])
def test_splicing_moves_what_follows(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sincut.pictures.dressing.AT_ONCE", 7)
    before = bytes(range(200))
    for old in (0, 5, 50):
        file, new = io.BytesIO(before), b"n" * size
        splice(file, 20, old, new)
        assert file.getvalue() == before[:20] + new + before[20 + old :]
