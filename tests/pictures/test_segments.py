"""The segments of JPEG files: all that they hold is kept or named."""

import io
import struct
from pathlib import Path

import pytest
from PIL import Image
from test_dressing import RGB, XMP, jpeg, segment

from sincut.pictures import reading, segments, writing
from sincut.pictures import xmp as of_xmp

PACKET = b"http://ns.adobe.com/xap/1.0/\0"


def notes_of(folder: Path, *parts: bytes, behind: bytes = b"") -> tuple[str, ...]:
    (folder / "a.jpg").write_bytes(jpeg(*parts, behind=behind))
    return reading.load(folder / "a.jpg").notes


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (segment(0xE1, b"FLIR\0\1\2"), "APP1 (FLIR)"),
        (segment(0xE2, b"FPXR\0\0"), "APP2 (FPXR)"),
        (segment(0xE3, b"Meta\0\0"), "APP3 (Meta)"),
        (segment(0xE9, b"\x01\x02"), "APP9"),
        (segment(0xEB, b"JP\0\1\0\0\0\1\0\0\0\x10jumbxxxx"), "APP11 (JUMBF)"),
    ],
)
def test_segments_that_are_not_known_are_named(tmp_path: Path, part: bytes, name: str) -> None:
    assert notes_of(tmp_path, part) == (f"its segments {name} were dropped",)


def test_those_of_encoders_are_not_worth_a_word(tmp_path: Path) -> None:
    parts = segment(0xEC, b"Ducky\0\1"), segment(0xEE, b"Adobe\0d\0\0\0\0\1"), segment(0xE0, b"JFXX\0\x13")
    assert notes_of(tmp_path, *parts, behind=bytes(1000)) == ()


@pytest.mark.parametrize(
    ("behind", "note"),
    [
        (struct.pack(">L", 24) + b"ftypmp42" + bytes(100), "its motion video was dropped"),
        (b"SEFH and more", "what lies behind the picture in its file was dropped"),
        (bytes(70_000) + jpeg(), "what lies behind the picture in its file was dropped"),
    ],
)
def test_what_lies_behind_the_picture_is_named(tmp_path: Path, behind: bytes, note: str) -> None:
    assert notes_of(tmp_path, behind=behind) == (note,)


def test_the_end_is_found_in_progressive_files_with_restarts(tmp_path: Path) -> None:
    for options in ({"progressive": True}, {"restart_marker_rows": 1}, {"progressive": True, "optimize": True}):
        data = jpeg(segment(0xED, b"\xff\xd9 no end"), **options)
        held = segments.read(io.BytesIO(data + b"behind"))
        assert held.behind == b"behind", options


@pytest.mark.parametrize("number", [0, 1])
def test_a_long_packet_is_read_from_its_parts_in_any_order(tmp_path: Path, number: int) -> None:
    whole = XMP.replace(b"museum", b"museum " * 20_000)
    body = segments.written(None, whole, None, ())
    parts = body.split(b"\xff\xe1")[1:]
    assert len(parts) > 2 and all(len(part) <= 65_535 for part in parts)
    order = parts if number == 0 else [parts[0], *parts[:0:-1]]
    (tmp_path / "a.jpg").write_bytes(jpeg(b"".join(b"\xff\xe1" + part for part in order)))
    picture = reading.load(tmp_path / "a.jpg")
    assert picture.xmp is not None and picture.xmp.count(b"museum ") == 20_000 and not picture.notes
    assert writing.save(picture, tmp_path / "b.jpg") == () == writing.save(picture, tmp_path / "b.png")
    assert (reading.load(tmp_path / "b.jpg").xmp or b"").count(b"museum ") == 20_000
    (tmp_path / "a.jpg").write_bytes(jpeg(b"\xff\xe1" + parts[0]))
    assert reading.load(tmp_path / "a.jpg").notes == ("a part of its XMP is missing",)


def test_several_comments_and_long_resources_come_through(tmp_path: Path) -> None:
    resources = b"".join(
        b"8BIM" + struct.pack(">HHL", number, 0, 40_000) + bytes([number & 255]) * 40_000 for number in (1064, 1070)
    )
    body = b"".join(segment(0xED, b"Photoshop 3.0\0" + resources[at : at + 65_000]) for at in (0, 65_000))
    (tmp_path / "a.jpg").write_bytes(jpeg(body, segment(0xFE, b"one"), segment(0xFE, "zwölf".encode("latin-1"))))
    picture = reading.load(tmp_path / "a.jpg")
    assert picture.photoshop == resources and picture.comments == (b"one", b"zw\xf6lf")
    writing.save(picture, tmp_path / "b.jpg")
    again = reading.load(tmp_path / "b.jpg")
    assert (again.photoshop, again.comments) == (picture.photoshop, picture.comments)
    writing.save(picture, tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        assert image.info["Comment"] == "zwölf"
    assert reading.load(tmp_path / "b.png").photoshop == resources


def test_a_stereo_pair_is_said_once(tmp_path: Path) -> None:
    first, second = Image.fromarray(RGB), Image.fromarray(255 - RGB)
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[second])
    assert reading.load(tmp_path / "a.jpg").notes == ("only the first of its images was taken",)


def test_no_packet_is_split_that_could_not_be_joined_again(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    from sincut.pictures.picture import Picture

    assert not of_xmp.can_be_split(b"<a/>" * 30_000)
    assert writing.save(Picture(RGB, xmp=b"<a/>" * 30_000), tmp_path / "a.jpg") == (
        "JPEG cannot hold XMP of this length",
    )
