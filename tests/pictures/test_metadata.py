"""EXIF, XMP, profile and resolution go from file to file; the orientation is applied."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import GENTLE, XMP, make_translator, photo_exif, scene, wide_gamut_profile
from PIL import Image, ImageCms

from sincut.pictures import reading, writing
from sincut.pictures.picture import Picture
from sincut.pictures.writing import Saving
from sincut.translation.options import Options

TRANSLATOR = make_translator(GENTLE)
H, W = 40, 50
RGB = scene(H, W, 0)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif"])
@pytest.mark.parametrize("strip", [False, True])
def test_metadata_of_every_format(tmp_path: Path, suffix: str, strip: bool) -> None:
    source, target = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    options: dict[str, Any] = {"exif": photo_exif(), "icc_profile": wide_gamut_profile(), "dpi": (300, 300)}
    if suffix == ".png":
        from PIL.PngImagePlugin import PngInfo

        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", XMP.decode())
    elif suffix == ".tif":
        options["exif"] = Image.Exif()
        options["exif"].load(photo_exif().tobytes())  # else Pillow leaves the second directory out
        options["exif"][700] = XMP
    else:
        options["xmp"] = XMP
    Image.fromarray(RGB).save(source, **options)
    TRANSLATOR.apply_file(source, target, saving=Saving(strip=strip))
    with Image.open(target) as image:
        assert image.size == (H, W)  # turned upright: was W x H
        kept = image.getexif()
        assert 0x0112 not in kept or kept[0x0112] == 1
        xmp = image.info.get("xmp") or b""
        xmp = xmp.encode() if isinstance(xmp, str) else xmp
        if strip:
            assert not kept.get(0x010E) and not image.info.get("icc_profile") and not xmp
            return
        assert kept[0x010E] == "a description"
        assert kept.get_ifd(0x8769)[0x9003] == "2024:01:02 03:04:05"
        assert image.info["icc_profile"] == wide_gamut_profile()
        assert b"museum" in xmp
        if suffix not in (".webp", ".avif"):  # have no resolution of their own
            assert [round(float(value)) for value in image.info["dpi"]] == [300, 300]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif"])
def test_texts_of_exif_keep_their_very_bytes(tmp_path: Path, suffix: str) -> None:
    given = Image.Exif()
    given[0x013B], given[0x8298] = "Émile Müller".encode(), "© 東京".encode()
    given.get_ifd(0x8769)[0xA433] = "Objektivbauer Groß".encode()
    given.get_ifd(0x8769)[0x9003] = "2024:01:02 03:04:05"
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=given)
    for source in ("a.jpg", f"b{suffix}"):  # from JPEG to this format, and from it to itself
        TRANSLATOR.apply_file(tmp_path / source, tmp_path / f"{source}-out{suffix}")
        (tmp_path / f"{source}-out{suffix}").rename(tmp_path / f"b{suffix}")
        with Image.open(tmp_path / f"b{suffix}") as image:
            kept = image.getexif()
            for got, want in ((kept[0x013B], given[0x013B]), (kept[0x8298], given[0x8298])):
                assert got.encode("latin-1") == want
            inner = kept.get_ifd(0x8769)[0xA433]
            assert (inner.encode("latin-1") if isinstance(inner, str) else inner) == given.get_ifd(0x8769)[0xA433]


def test_the_thumbnail_of_the_source_is_dropped(tmp_path: Path) -> None:
    small = io.BytesIO()
    Image.fromarray(RGB).resize((16, 16)).save(small, "JPEG")
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=photo_exif().tobytes() + small.getvalue())
    TRANSLATOR.apply_file(tmp_path / "a.jpg", tmp_path / "b.jpg")
    with Image.open(tmp_path / "b.jpg") as image:
        assert small.getvalue() not in image.info["exif"]


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("memory", [None, 1])
def test_orientation_in_xmp_turns_nothing_twice(tmp_path: Path, suffix: str, memory: int | None) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6" b="museum"/></x:xmpmeta>'
    source, target = tmp_path / "a.jpg", tmp_path / f"b{suffix}"
    Image.fromarray(RGB).save(source, exif=photo_exif(), xmp=xmp)
    if memory and suffix == ".webp":
        return
    TRANSLATOR.apply_file(source, target, Options(max_memory=memory))
    picture = reading.load(target)
    assert picture.size == (W, H) and not any("upright" in note for note in picture.notes)
    with Image.open(target) as image:
        assert "museum" in str(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"))


def test_a_jpeg_s_exif_does_not_describe_the_tiff(tmp_path: Path) -> None:
    odd = photo_exif()
    for tag, value in ((256, 100), (257, 80), (262, 1), (284, 2), (282, 300.0), (338, 1)):
        odd[tag] = value
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=odd)
    TRANSLATOR.apply_file(tmp_path / "a.jpg", tmp_path / "b.tif")
    picture = reading.load(tmp_path / "b.tif")
    assert np.array_equal(picture.pixels, TRANSLATOR.apply_picture(reading.load(tmp_path / "a.jpg")).pixels)


def test_long_metadata_is_dropped_only_where_it_has_to_be(tmp_path: Path) -> None:
    long = Picture(RGB, xmp=XMP + b" " * 70_000, exif=b"Exif\0\0" + photo_exif().tobytes()[6:] + b" " * 70_000)
    assert writing.save(long, tmp_path / "a.png") == ()
    notes = writing.save(long, tmp_path / "a.jpg")
    assert any("XMP" in note for note in notes) and any("EXIF" in note for note in notes)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_profile_exif_and_resolution_are_carried_over(tmp_path: Path, suffix: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010E] = "a description"
    Image.fromarray(RGB).save(tmp_path / f"a{suffix}", icc_profile=profile, exif=exif, dpi=(300, 300))
    picture = reading.load(tmp_path / f"a{suffix}")
    writing.save(picture, tmp_path / f"b{suffix}")
    with Image.open(tmp_path / f"b{suffix}") as again:
        assert again.info["icc_profile"] == profile
        assert again.getexif()[0x010E] == "a description"
        if suffix != ".webp":  # has no resolution of its own
            assert [round(float(value)) for value in again.info["dpi"]] == [300, 300]


def test_orientation_is_applied_and_reset(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    Image.fromarray(RGB).save(tmp_path / "o.jpg", exif=exif)
    picture = reading.load(tmp_path / "o.jpg")
    assert picture.size == (W, H)
    writing.save(picture, tmp_path / "p.jpg")
    with Image.open(tmp_path / "p.jpg") as again:
        assert again.size == (H, W)
        assert again.getexif().get(0x0112, 1) == 1 and again.getexif()[0x010F] == "maker"


def test_chunks_of_webp_that_are_not_known_are_named(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.webp", lossless=True)
    data = (tmp_path / "a.webp").read_bytes()
    more = b"C2PA\4\0\0\0seal" + b"odd \3\0\0\0abc\0"
    (tmp_path / "a.webp").write_bytes(data[:4] + (len(data) + len(more) - 8).to_bytes(4, "little") + data[8:] + more)
    picture = reading.load(tmp_path / "a.webp")
    assert np.array_equal(picture.pixels, RGB)
    assert [note.split(" was")[0].split(" were")[0] for note in picture.notes] == [
        "its content credentials (C2PA)",
        "its chunk 'odd '",
    ]


def test_a_bmp_is_converted_through_its_profile_and_tells_no_resolution_it_has_not(tmp_path: Path) -> None:
    icc = wide_gamut_profile()
    writing.save(Picture(RGB), tmp_path / "a.bmp")
    plain = (tmp_path / "a.bmp").read_bytes()
    assert plain[38:46] == bytes(8)  # no dots a metre
    pixels = plain[54:]
    header = (124).to_bytes(4, "little") + plain[18:54] + bytes(16) + b"DEBM" + bytes(48 + 4)
    header += (124 + len(pixels)).to_bytes(4, "little") + len(icc).to_bytes(4, "little") + bytes(4)
    body = header + pixels + icc
    start = b"BM" + (14 + len(body)).to_bytes(4, "little") + bytes(4) + (14 + 124).to_bytes(4, "little")
    (tmp_path / "b.bmp").write_bytes(start + body)
    picture = reading.load(tmp_path / "b.bmp")
    assert picture.icc == icc and np.abs(picture.pixels.astype(int) - RGB).mean() > 1
    assert writing.save(picture, tmp_path / "c.bmp") == ("BMP cannot hold its ICC profile: written in sRGB",)
    assert np.array_equal(reading.load(tmp_path / "c.bmp").pixels, picture.pixels)


def test_comments_of_a_ppm_are_kept(tmp_path: Path) -> None:
    body = b"P6\n# glass plate 17\n%d # wide\n%d\n255\n" % (W, H) + RGB.tobytes()
    (tmp_path / "a.ppm").write_bytes(body)
    picture = reading.load(tmp_path / "a.ppm")
    assert np.array_equal(picture.pixels, RGB) and picture.comments == (b"glass plate 17", b"wide")
    (tmp_path / "b.ppm").write_bytes(b"P6 %d %d 255\n" % (W, H) + RGB.tobytes())
    assert reading.load(tmp_path / "b.ppm").comments == ()


@pytest.mark.parametrize("format_", ["TIFF", "JPEG", "PNG"])
def test_images_of_pillow_keep_their_exif_and_no_layout(format_: str) -> None:
    file, exif = io.BytesIO(), Image.Exif()
    exif.load(photo_exif().tobytes())  # else Pillow leaves the second directory out
    Image.fromarray(RGB).save(file, format_, exif=exif)
    with Image.open(file) as image:
        picture = reading.from_pil(image)
    kept = Image.Exif()
    kept.load(picture.exif or b"")
    assert kept[0x010E] == "a description" and not {256, 257, 258, 273, 274, 279} & set(kept)
    assert picture.size == (W, H) and kept.get_ifd(0x8769)[0x9003] == "2024:01:02 03:04:05"


@pytest.mark.filterwarnings("ignore:::PIL")
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp", "a.avif", "a.bmp", "a.gif"])
def test_no_damage_in_front_of_the_pixels_raises_anything_of_ours(tmp_path: Path, name: str) -> None:
    """Metadata that is damaged at every place; the decoders' own errors are errors of the picture."""
    import random

    from sincut.errors import ImageError

    exif = Image.Exif()
    exif[0x010E] = "a description"
    options: dict[str, Any] = {} if name in ("a.bmp", "a.gif") else {"exif": exif, "icc_profile": wide_gamut_profile()}
    Image.fromarray(RGB).save(tmp_path / name, **options)
    whole, chance = (tmp_path / name).read_bytes(), random.Random(0)
    for _ in range(40):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 3, 9))):
            data[chance.randrange(min(len(data), 1200))] = chance.choice((0, 255, chance.randrange(256)))
        (tmp_path / name).write_bytes(data)
        try:
            writing.save(reading.load(tmp_path / name), tmp_path / "out.png")
        except ImageError as error:
            assert str(tmp_path) in str(error)
