"""What a picture's file says of its making: there and back in every format, beside what was there, and sealed."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import scene
from PIL import Image

from sincut.pictures import chunks, reading, segments, writing, xmp
from sincut.pictures.imprint import Imprint, is_sealed, read
from sincut.pictures.large import open_large
from sincut.pictures.picture import Picture
from sincut.pictures.reading import imprint_of
from sincut.pictures.writing import Saving

RECIPE = {
    **{"model": "ab" * 32, "mask": "cd" * 32, "strength": 0.5, "keep": "texture", "scale": "auto", "quality": 90},
    **{"strip": False, "greys": "keep", "fast": False, "stroke_scale": 2, "fidelity": 0.25, "by_height": True},
}
IMPRINT = replace(Imprint.of(RECIPE, 'é "<&>\n', "1.2.3"), source_sha256="ef" * 32)
SIGNED = Saving(imprint=IMPRINT)
NAMED = replace(IMPRINT, model='é "<&>?')  # as XML can hold it
PACKET = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" dc:format="image/jpeg">%s'
    b"</rdf:Description></rdf:RDF></x:xmpmeta>"
)
BARE = Imprint.of({**RECIPE, "mask": None, "keep": "", "quality": None}, "m", "1")


def picture(**carried: object) -> Picture:
    return replace(Picture(np.array(scene(24, 16, 1), np.uint8)), **carried)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif", "avif"])
def test_a_picture_tells_what_made_it_and_any_change_shows(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    notes = writing.save(picture(xmp=PACKET % b"", exif=b""), path, SIGNED)
    assert not notes and imprint_of(path) == NAMED and NAMED.recipe == RECIPE
    assert reading.load(path).xmp == PACKET % b""  # as the source had it
    assert is_sealed(path)
    data = path.read_bytes()
    for at in range(0, len(data), max(1, len(data) // 40)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        assert not is_sealed(path), at
    path.write_bytes(data + b"\0")
    assert not is_sealed(path)
    writing.save(picture(xmp=PACKET % b"", exif=b""), path, SIGNED)
    assert path.read_bytes() == data  # no date is in it


def test_chunks_of_a_sealed_png_file_are_sound(tmp_path: Path) -> None:
    writing.save(picture(), tmp_path / "a.png", SIGNED)
    with Image.open(tmp_path / "a.png") as image:
        image.load()
        told = json.loads(image.info["sincut"])
    with Image.open(tmp_path / "a.png") as image:
        image.verify()  # the checksums
    assert (told["Model"], told["Strength"], told["Fast"]) == (IMPRINT.model, "0.5", "False")
    with (tmp_path / "a.png").open("rb") as file:
        held = chunks.read(file)
    assert read(b"", held.own) == IMPRINT and not held.texts


@pytest.mark.parametrize("saving", [replace(SIGNED, strip=True), Saving()])
def test_nothing_is_told_where_metadata_are_left_out_or_nothing_is_known(saving: Saving, tmp_path: Path) -> None:
    writing.save(picture(), tmp_path / "a.png", saving)
    assert imprint_of(tmp_path / "a.png") is None and not is_sealed(tmp_path / "a.png")
    assert b"sincut" not in (tmp_path / "a.png").read_bytes()


def test_what_holds_no_xmp_says_nothing(tmp_path: Path) -> None:
    assert not writing.save(picture(), tmp_path / "a.bmp", SIGNED)
    assert imprint_of(tmp_path / "a.bmp") is None


def test_a_translation_of_a_translation_tells_of_the_last_alone(tmp_path: Path) -> None:
    sizes = []
    for number in range(3):
        source = reading.load(tmp_path / "a.png") if number else picture()
        assert source.xmp is None and not source.chunks
        writing.save(source, tmp_path / "a.png", Saving(imprint=replace(BARE, version=str(number))))
        sizes.append((tmp_path / "a.png").stat().st_size)
        imprint = imprint_of(tmp_path / "a.png")
        assert imprint is not None and imprint.version == str(number)
    assert len(set(sizes)) == 1


def test_xmp_that_takes_several_segments_keeps_its_digest(tmp_path: Path) -> None:
    """Else the seal would change the digest that holds the segments together."""
    packet = PACKET % (b"<dc:title>" + b"x" * 70_000 + b"</dc:title>")
    writing.save(picture(xmp=packet), tmp_path / "a.jpg", SIGNED)
    assert is_sealed(tmp_path / "a.jpg") and imprint_of(tmp_path / "a.jpg") == NAMED
    with (tmp_path / "a.jpg").open("rb") as file:
        held = segments.read(file)
    assert not held.damaged and b"x" * 70_000 in held.xmp
    assert b"x" * 70_000 in (reading.load(tmp_path / "a.jpg").xmp or b"")


def test_damaged_xmp_stays_and_that_is_told(tmp_path: Path) -> None:
    notes = writing.save(picture(xmp=b"<x:xmpmeta"), tmp_path / "a.jpg", SIGNED)
    assert notes == ("its XMP is damaged, and was left without what made the picture",)
    assert reading.load(tmp_path / "a.jpg").xmp == b"<x:xmpmeta" and imprint_of(tmp_path / "a.jpg") is None


def test_beyond_memory_it_is_told_and_sealed_too(tmp_path: Path) -> None:
    pytest.importorskip("pyvips")
    Image.fromarray(scene(24, 16, 1)).save(tmp_path / "source.png")
    for suffix in ("png", "jpg", "tif"):
        target = tmp_path / f"a.{suffix}"
        with open_large(tmp_path / "source.png", target, SIGNED) as large:
            large.writer.write(large.reader.rows(0, large.reader.size[0]))
        assert imprint_of(target) == NAMED and is_sealed(target), suffix


def test_xmp_that_another_program_has_written_anew_is_read_and_dropped() -> None:
    elements = "".join(f"<s:{name}>{value}</s:{name}>" for name, value in BARE.properties().items())
    space = xmp.OWN_SPACE.decode()
    packet = (PACKET % b"").replace(b"</rdf:D", f'<a xmlns:s="{space}">{elements}</a></rdf:D'.encode())
    assert read(packet) == BARE
    assert b"<s:" not in xmp.upright(packet) and b"dc:format" in xmp.upright(packet)


@pytest.mark.parametrize(
    "damage",
    [
        {"ModelSHA256": "short"},
        {"SourceSHA256": "../../x"},
        {"Strength": "nan"},
        {"Strength": "2"},
        {"Strength": "x"},
        {"Scale": "1e9"},
        {"Keep": "everything"},
        {"Mask": "no digits"},
        {"Fast": "perhaps"},
        {"ModelSHA256": "a" * 2000},
        {f"X{number}": "1" for number in range(200)},
    ],
    ids=str,
)
def test_nonsense_of_strangers_is_no_imprint(damage: dict[str, str]) -> None:
    assert Imprint.parse({**BARE.properties(), **damage}) is None
    assert read(b"", json.dumps({**BARE.properties(), **damage}).encode()) is None


def test_options_of_later_versions_make_another_recipe() -> None:
    known = Imprint.parse({**BARE.properties(), "BrushKind": "round"})
    assert known is not None and known.options["brush_kind"] == "round" and known.recipe != BARE.recipe


def test_other_texts_are_no_imprint() -> None:
    assert read(b"", b"[" * 100_000) is None and read(b"", b"[1]") is None and read(b"", b"{}") is None
    entity = b'<!DOCTYPE a [<!ENTITY b "c">]><a xmlns:s="' + xmp.OWN_SPACE + b'" s:Model="m"/>'
    assert read(entity) is None and read(b'<a xmlns:s="' + xmp.OWN_SPACE + b'"') is None


def test_words_tell_model_and_options() -> None:
    rows = dict(NAMED.rows())
    assert rows["made by"] == "sincut 1.2.3" and rows["stroke scale"] == "2" and rows["keep"] == "texture"
    assert "mask" not in dict(BARE.rows()) and dict(BARE.rows())["source SHA-256"] == "not told"


def test_a_file_of_nothing_is_not_sealed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    assert not is_sealed(tmp_path / "a")
    buffer = io.BytesIO()
    Image.fromarray(scene(24, 16, 1)).save(buffer, "PNG")
    (tmp_path / "a").write_bytes(buffer.getvalue() + b'sincut:Seal="' + b"0" * 64)
    assert not is_sealed(tmp_path / "a")
