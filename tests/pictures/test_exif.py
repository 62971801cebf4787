"""EXIF is changed in place where it can be, and taken over tag by tag into and from TIFF files."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from helpers import scene
from PIL import Image
from test_dressing import block, canon_note, directory, exif, jpeg, maker_notes, segment

from sincut.pictures import exif as of_exif
from sincut.pictures import ifd, reading, writing
from sincut.pictures.picture import Picture

H, W = 24, 36
RGB = scene(H, W, 0)
APPLE = b"Apple iOS\0\0\1MM" + bytes(40)


def with_thumbnail(order: str = "<") -> tuple[bytes, bytes]:
    """EXIF with a thumbnail, and the thumbnail's bytes."""
    file = io.BytesIO()
    Image.fromarray(RGB).resize((16, 16)).save(file, "JPEG", comment=b"the picture as it was")
    small = file.getvalue()
    name = b"a painter\0"
    at = 8 + 2 + 24 + 4
    second = at + len(name)
    behind = second + 2 + 24 + 4
    data = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(f"{order}L", 8)
    data += struct.pack(f"{order}HHHLHxx", 2, 274, 3, 1, 6) + struct.pack(f"{order}HHLL", 315, 2, len(name), at)
    data += struct.pack(f"{order}L", second) + name
    data += struct.pack(f"{order}HHHLLHHLL", 2, 513, 4, 1, behind, 514, 4, 1, len(small)) + bytes(4)
    return b"Exif\0\0" + data + small, small


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_and_thumbnail_are_taken_out_in_place(order: str) -> None:
    data, small = with_thumbnail(order)
    upright = of_exif.upright(data, 6)
    assert upright.exif is not None and not upright.notes
    tags = Image.Exif()
    tags.load(upright.exif)
    assert dict(tags) == {315: "a painter"} and small[20:] not in upright.exif and b"as it was" not in upright.exif
    assert upright.exif.index(b"a painter") == data.index(b"a painter")  # it has not moved


def test_sides_change_places_with_a_picture_on_its_side() -> None:
    for orientation, sides in ((1, (W, H)), (3, (W, H)), (6, (H, W)), (8, (H, W))):
        kept = of_exif.upright(exif(orientation=orientation), orientation).exif
        tags = Image.Exif()
        tags.load(kept or b"")
        inner = tags.get_ifd(0x8769)
        assert (inner[0xA002], inner[0xA003]) == sides and 274 not in tags


def test_all_of_a_damaged_exif_is_left_out_and_said() -> None:
    assert of_exif.upright(b"Exif\0\0 no EXIF at all") == (None, [of_exif.DAMAGED])
    whole = exif()
    for end in range(6, len(whole) - 1):
        upright = of_exif.upright(whole[:end])
        assert upright.notes == [of_exif.DAMAGED]
    loop = b"Exif\0\0II*\0\x08\0\0\0" + directory([(0x8769, 4, 1, struct.pack("<L", 8))], 8)  # it leads to itself
    assert of_exif.upright(loop).exif is not None or of_exif.upright(loop).notes


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    ("note", "kept"),
    [
        (lambda at: canon_note(at), False),
        (lambda at: APPLE, True),
        (lambda at: b"Nikon\0\2\x10\0\0MM\0*" + bytes(30), True),
        (lambda at: b"FUJIFILM\x0c\0\0\0" + bytes(30), True),
        (lambda at: b"SONY DSC \0\0\0" + bytes(range(30)), False),
        (lambda at: b"plain text of a maker\0", True),
    ],
    ids=["Canon", "Apple", "Nikon", "Fujifilm", "Sony", "text"],
)
def test_maker_notes_go_into_tiff_and_out_again_only_where_they_can_be_moved(
    tmp_path: Path, note: object, kept: bool, bits: int
) -> None:
    assert callable(note)
    (tmp_path / "a.jpg").write_bytes(jpeg(segment(0xE1, exif(note))))
    picture = reading.load(tmp_path / "a.jpg")
    pixels = picture.pixels if bits == 8 else picture.pixels.astype(np.uint16) * 257
    notes = writing.save(Picture(pixels, exif=picture.exif), tmp_path / "b.tif")
    assert notes == (() if kept else (of_exif.NOTES_DROPPED,))
    again = reading.load(tmp_path / "b.tif")
    assert not [text for text in again.notes if "maker" in text]
    writing.save(again, tmp_path / "c.jpg")
    for path in (tmp_path / "b.tif", tmp_path / "c.jpg"):
        with Image.open(path) as image:
            inner = image.getexif().get_ifd(0x8769)
            assert (0x927C in inner) == kept and float(inner[0x829A]) == 1 / 60
    if kept:
        kind = ifd.stream_of(again.exif or b"")
        entry = (kind.directory(kind.start)[0x8769].below or {})[0x927C]
        assert entry.data == note(0) and entry.kind == ifd.UNDEFINED


def test_bound_notes_in_a_tiff_file_are_dropped_and_said(tmp_path: Path) -> None:
    writing.save(Picture(RGB), tmp_path / "a.tif")
    with (tmp_path / "a.tif").open("r+b") as file:
        from sincut.pictures import tiff_exif

        below = {0x927C: ifd.Entry(ifd.UNDEFINED, 40, canon_note(0)[:40])}
        tiff_exif.add_tags(file, {0x8769: ifd.Entry(ifd.LONG, 1, below=below)})
    assert of_exif.NOTES_DROPPED in reading.load(tmp_path / "a.tif").notes


def test_big_endian_exif_means_the_same_in_a_tiff_file(tmp_path: Path) -> None:
    data = Image.Exif()
    data.endian = ">"
    data[315], data[0x8298] = "a painter", "somebody"
    inner = data.get_ifd(0x8769)
    inner[0x829A], inner[0xA002], inner[0x9286] = 1 / 60, W, b"UNICODE\0" + "Müller".encode("utf-16-be")
    writing.save(Picture(RGB, exif=data.tobytes()), tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as image:
        tags = image.getexif()
        inner = tags.get_ifd(0x8769)
        assert tags[315] == "a painter" and inner[0xA002] == W and round(1 / float(inner[0x829A])) == 60
        assert inner[0x9286] in (b"UNICODE\0" + "Müller".encode("utf-16-le"), "UNICODE\0" + "M\0ü\0l\0l\0e\0r\0")


def test_types_of_tags_stay_in_a_tiff_file(tmp_path: Path) -> None:
    tifftools = pytest.importorskip("tifftools")
    (tmp_path / "a.jpg").write_bytes(jpeg(segment(0xE1, exif(lambda at: APPLE))))
    writing.save(reading.load(tmp_path / "a.jpg"), tmp_path / "b.tif")
    inner = tifftools.read_tiff(str(tmp_path / "b.tif"))["ifds"][0]["tags"][0x8769]["ifds"][0][0]["tags"]
    assert inner[0x927C]["datatype"] == ifd.UNDEFINED and inner[0x829A]["datatype"] == ifd.RATIONAL


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_resolution_is_put_into_exif_without_moving_anything(order: str) -> None:
    data, _ = with_thumbnail(order)
    told = of_exif.with_resolution(data, (300, 240))
    tags = Image.Exif()
    tags.load(told)
    assert (tags[282], tags[283], tags[296], tags[315]) == (300, 240, 2, "a painter")
    assert told.index(b"a painter") == data.index(b"a painter")
    assert of_exif.with_resolution(told, (72, 72)) == told  # it tells one already
    assert maker_notes_of(of_exif.with_resolution(exif(), (300, 300))) == b"Owner Name"


def maker_notes_of(data: bytes) -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        path.write_bytes(data)
        return maker_notes(path)


def test_a_resolution_in_exif_alone_is_one(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.webp", exif=of_exif.with_resolution(None, (300, 300)))
    picture = reading.load(tmp_path / "a.webp")
    assert picture.dpi == (300, 300)
    writing.save(picture, tmp_path / "b.tif")
    assert reading.load(tmp_path / "b.tif").dpi == (300, 300)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_pixels_that_are_not_square_are_said(tmp_path: Path, name: str) -> None:
    data = bytearray(jpeg())
    data[13:18] = struct.pack(">BHH", 0, 1, 2)
    (tmp_path / "a.jpg").write_bytes(data)
    from sincut.pictures import chunks, tiff_exif

    writing.save(Picture(RGB), tmp_path / "a.png")
    body = (tmp_path / "a.png").read_bytes()
    proportion = chunks.chunk(b"pHYs", struct.pack(">LLB", 1, 2, 0))
    (tmp_path / "a.png").write_bytes(body[:33] + proportion + body[33:])
    writing.save(Picture(RGB), tmp_path / "a.tif")
    with (tmp_path / "a.tif").open("r+b") as file:
        tags = of_exif.resolution_tags((1, 2)) | {296: ifd.Entry(ifd.SHORT, 1, b"\1\0")}
        tiff_exif.add_tags(file, tags)
    picture = reading.load(tmp_path / name)
    assert picture.dpi is None and picture.notes == ("its pixels are not square (2:1); that was left out",)


def test_exif_does_not_say_adobe_rgb_of_a_picture_in_srgb(tmp_path: Path) -> None:
    data = Image.Exif()
    data.get_ifd(0x8769)[0xA001] = 0xFFFF
    data.get_ifd(0x8769)[0xA005] = {1: "R03"}
    writing.save(Picture(RGB, exif=data.tobytes()), tmp_path / "a.jpg")
    with Image.open(tmp_path / "a.jpg") as image:
        assert image.getexif().get_ifd(0x8769)[0xA001] == 1 and image.getexif().get_ifd(0xA005)[1] == "R98"


def test_pictures_in_sub_directories_are_said_unless_they_are_smaller_copies(tmp_path: Path) -> None:
    from sincut.pictures import tiff_exif

    for size, notes in (((W, H), ("the other pictures in its SubIFDs were dropped",)), ((W // 2, H // 2), ())):
        writing.save(Picture(RGB), tmp_path / "a.tif")
        below = {256: ifd.Entry(ifd.LONG, 1, struct.pack("<L", size[0]))}
        below |= {257: ifd.Entry(ifd.LONG, 1, struct.pack("<L", size[1]))}
        with (tmp_path / "a.tif").open("r+b") as file:
            tiff_exif.add_tags(file, {330: ifd.Entry(ifd.LONG, 1, below=below)})
        assert reading.load(tmp_path / "a.tif").notes == notes


@pytest.mark.parametrize("suffix", [".tif", ".16.tif"])
def test_layers_seals_and_thumbnails_of_a_tiff_file_do_not_go_along(tmp_path: Path, suffix: str) -> None:
    from sincut.pictures import tiff_exif

    pixels = RGB if suffix == ".tif" else RGB.astype(np.uint16) * 257
    source = tmp_path / f"a{suffix}"
    writing.save(Picture(pixels), source)
    with source.open("r+b") as file:
        layers, seal = b"Adobe Photoshop Document Data Block\0", b"jumb c2pa"
        blocks = block(0x040C, b"a thumbnail!") + block(0x040A, b"\1")
        tiff_exif.add_tags(
            file,
            {
                37724: ifd.Entry(ifd.UNDEFINED, len(layers), layers),
                0xCD41: ifd.Entry(ifd.UNDEFINED, len(seal), seal),
                34377: ifd.Entry(ifd.BYTE, len(blocks), blocks),
            },
        )
    picture = reading.load(source)
    assert sorted(note.split(" were")[0] for note in picture.notes) == [
        "its Photoshop layers",
        "its content credentials (C2PA)",
    ]
    writing.save(picture, tmp_path / f"b{suffix}")
    data = (tmp_path / f"b{suffix}").read_bytes()
    assert b"Document Data" not in data and b"c2pa" not in data and b"a thumbnail" not in data
    assert block(0x040A, b"\1") in data
