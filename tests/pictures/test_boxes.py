"""Metadata in boxes: colours and pictures behind the picture of HEIC and AVIF, and what JPEG 2000 files carry."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from helpers import scene, wide_gamut_profile
from PIL import Image

from sincut.pictures import boxes, reading, writing

H, W = 24, 36
RGB = scene(H, W, 0)
IPTC = b"\x1c\x02\x78" + struct.pack(">H", 13) + b"Harbour, 1891"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><museum/></x:xmpmeta>'


def box(kind: bytes, *contents: bytes) -> bytes:
    data = b"".join(contents)
    return struct.pack(">L", len(data) + 8) + kind + data


def full(kind: bytes, *contents: bytes, version: int = 0) -> bytes:
    return box(kind, bytes([version, 0, 0, 0]), *contents)


def heif(*properties: bytes, owned: bytes = b"\1", items: tuple[bytes, ...] = (b"hvc1",), more: bytes = b"") -> bytes:
    """The boxes of a HEIC file whose first item has the properties `owned`."""
    entries = b"".join(
        full(b"infe", struct.pack(">HH", i + 1, 0), kind, b"\0", version=2) for i, kind in enumerate(items)
    )
    iinf = full(b"iinf", struct.pack(">H", len(items)), entries)
    ipma = full(b"ipma", struct.pack(">LHB", 1, 1, len(owned)), owned)
    meta = full(b"meta", full(b"pitm", b"\0\1"), iinf, box(b"iprp", box(b"ipco", *properties), ipma))
    return box(b"ftyp", b"heic\0\0\0\0mif1heic") + meta + box(b"mdat", bytes(50)) + more


def looked_at(data: bytes) -> boxes.Boxes:
    return boxes.of_heif(io.BytesIO(data))


def test_the_code_points_are_those_of_the_first_item() -> None:
    nclx = [box(b"colr", b"nclx", struct.pack(">HHHB", primaries, 13, 6, 128)) for primaries in (12, 1)]
    assert looked_at(heif(*nclx, owned=b"\1")).code_points == (12, 13)
    assert looked_at(heif(*nclx, owned=b"\x82")).code_points == (1, 13)  # the highest bit says that it is essential
    assert looked_at(heif(nclx[0], owned=b"")).code_points is None
    assert looked_at(heif(box(b"colr", b"prof", b"a profile"))).icc == b"a profile"


def test_what_lies_behind_the_picture_is_named() -> None:
    aux = {
        b"urn:com:apple:photo:2020:aux:hdrgainmap": "its HDR gain map was dropped",
        b"urn:mpeg:hevc:2015:auxid:2": "its depth map was dropped",
        b"urn:com:apple:photo:2018:aux:portraiteffectsmatte": boxes.OTHERS_DROPPED,
        b"urn:mpeg:hevc:2015:auxid:1": "",  # alpha, which is read
    }
    for name, note in aux.items():
        assert looked_at(heif(full(b"auxC", name + b"\0"))).notes == ([note] if note else [])
    assert looked_at(heif(items=(b"hvc1", b"tmap"))).notes == ["its HDR gain map was dropped"]
    assert looked_at(heif(more=box(b"mpvd", b"a film"))).notes == ["its motion video was dropped"]
    credentials = box(b"uuid", boxes.CREDENTIALS, b"c2pa")
    assert "credentials" in looked_at(heif(more=credentials)).notes[0]


def test_no_damage_of_boxes_stops_anything() -> None:
    data = heif(box(b"colr", b"nclx", struct.pack(">HHHB", 12, 13, 6, 128)), full(b"auxC", b"x\0"))
    for at in range(len(data)):
        for value in (0, 1, 255):
            looked_at(data[:at] + bytes([value]) + data[at + 1 :])
        looked_at(data[:at])


def jpeg2000(*more: bytes) -> bytes:
    """A JPEG 2000 file with these boxes in front of its codestream."""
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, "JPEG2000", irreversible=False)
    data = file.getvalue()
    at = data.index(b"jp2c") - 4
    return data[:at] + b"".join(more) + data[at:]


@pytest.mark.parametrize("extras", [True, False])
def test_jpeg_2000_keeps_what_it_carries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extras: bool) -> None:
    if not extras:
        monkeypatch.setattr("sincut.pictures.libvips.installed", lambda: False)
    exif = Image.Exif()
    exif[0x010E] = "a description"
    parts = [box(b"uuid", boxes.XMP, XMP), box(b"uuid", boxes.IPTC, IPTC), box(b"uuid", boxes.EXIF[0], exif.tobytes())]
    (tmp_path / "a.jp2").write_bytes(jpeg2000(*parts, box(b"xml ", b"<a/>"), box(b"uuid", bytes(16))))
    picture = reading.load(tmp_path / "a.jp2")
    assert np.array_equal(picture.pixels, RGB)
    assert picture.notes == ("its XML was dropped", "a box of it that is not known was dropped")
    assert not writing.save(picture, tmp_path / "b.jpg")
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.getexif()[0x010E] == "a description" and b"museum" in image.info["xmp"]
        assert image.info["photoshop"][0x0404] == IPTC


def test_jpeg_2000_is_converted_through_its_profile(tmp_path: Path) -> None:
    data = jpeg2000()
    at = data.index(b"colr") - 4
    size = struct.unpack_from(">L", data, at)[0]
    inner = data.index(b"jp2h") - 4
    new = box(b"colr", b"\2\0\0", wide_gamut_profile())
    grown = struct.unpack_from(">L", data, inner)[0] + len(new) - size
    data = data[:inner] + struct.pack(">L", grown) + data[inner + 4 : at] + new + data[at + size :]
    (tmp_path / "a.jp2").write_bytes(data)
    picture = reading.load(tmp_path / "a.jp2")
    assert picture.icc == wide_gamut_profile() and any("own ICC profile" in note for note in picture.notes)
    assert np.abs(picture.pixels.astype(int) - RGB).mean() > 1


def test_wide_colours_of_avif_are_converted_by_their_code_points(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "plain.avif", quality=100, subsampling="4:4:4")
    data = (tmp_path / "plain.avif").read_bytes()
    at = data.index(b"nclx") + 4
    (tmp_path / "wide.avif").write_bytes(data[:at] + struct.pack(">H", 12) + data[at + 2 :])
    plain, wide = (reading.load(tmp_path / f"{name}.avif") for name in ("plain", "wide"))
    assert plain.icc is None and not plain.notes
    assert wide.icc and any("became an ICC profile" in note for note in wide.notes)
    assert np.abs(wide.pixels.astype(int) - plain.pixels).mean() > 1


def test_xmp_and_comments_of_gif_are_kept(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.fromarray(RGB).quantize(16).save(file, "GIF", comment=b"glass plate 17")
    data = file.getvalue()
    trailer = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
    at = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    (tmp_path / "a.gif").write_bytes(data[:at] + b"\x21\xff\x0bXMP DataXMP" + XMP + trailer + data[at:])
    picture = reading.load(tmp_path / "a.gif")
    assert picture.xmp == XMP and picture.comments == (b"glass plate 17",)
    assert not writing.save(picture, tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["Comment"] == "glass plate 17" and "museum" in image.info["xmp"].decode()
