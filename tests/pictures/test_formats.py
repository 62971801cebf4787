"""What of a file survives a translation: one case for each cell of README's table, and what no table shows."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from helpers import make_model, scene
from PIL import Image

from sincut.config.sections import Config, overlay
from sincut.errors import ConfigError, ImageError
from sincut.pictures import hidden as alpha
from sincut.pictures import reading, writing
from sincut.pictures.hidden import visible_everywhere
from sincut.pictures.picture import Picture, eight_bit, to_pixels, to_tensor
from sincut.pictures.writing import Saving
from sincut.translation.options import Options
from sincut.translation.translator import Translator

NETWORKS = {
    "networks": {
        "stem": 4,
        "inner": 6,
        "blocks": 2,
        "residual": 0.6,
    },  # random weights clip few colours: these ring in JPEG
    "losses": {"layers": [0, 2, 3]},
    "crops": {"low": 32.0, "high": 256.0},  # widths around those of the pictures here
}
TRANSLATOR = Translator(make_model(overlay(Config(), NETWORKS)), precision="float32")
H, W = 40, 50
RGB = scene(H, W, 0)
ALPHA = np.linspace(0, 255, H * W).astype(np.uint8).reshape(H, W)
DEEP = (scene(H, W, 1).astype(np.uint16) << 8) + scene(H, W, 2)
XMP = b'<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/">museum</x:xmpmeta>'


def p3() -> bytes:
    """The profile of a wider gamut, Display P3."""
    tagged = pyvips.Image.new_from_array(RGB).copy(interpretation="srgb").icc_transform("p3", input_profile="srgb")
    profile: bytes = tagged.get("icc-profile-data")
    return profile


def exif() -> Image.Exif:
    found = Image.Exif()
    found[0x010E], found[0x0112] = "a description", 6
    found.get_ifd(0x8769)[0x9003] = "2024:01:02 03:04:05"
    return found


def with_alpha(mode: str = "RGBA") -> Image.Image:
    image = Image.fromarray(RGB)
    image.putalpha(Image.fromarray(ALPHA))
    return image.convert(mode)


def palette() -> Image.Image:
    return Image.fromarray(RGB).quantize(16)


def deep(path: Path, array: np.ndarray, **options: Any) -> None:
    kind = {1: "grey16", 2: "grey16", 3: "rgb16", 4: "rgb16"}[array.shape[2]]
    pyvips.Image.new_from_array(array).copy(interpretation=kind).write_to_file(str(path), **options)


def deep_alpha() -> np.ndarray:
    return np.dstack([DEEP, ALPHA.astype(np.uint16) * 257])


MAKE: dict[str, Callable[[Path], object]] = {
    "1": lambda path: Image.fromarray(RGB).convert("1").save(path),
    "L": lambda path: Image.fromarray(RGB).convert("L").save(path),
    "LA": lambda path: with_alpha("LA").save(path),
    "P": lambda path: palette().save(path),
    "P+alpha": lambda path: palette().save(path, transparency=0),
    "RGB": lambda path: Image.fromarray(RGB).save(path),
    "RGBA": lambda path: with_alpha().save(path),
    "CMYK": lambda path: Image.fromarray(RGB).convert("CMYK").save(path),
    "YCbCr": lambda path: Image.fromarray(RGB).convert("YCbCr").save(path),
    "L16": lambda path: deep(path, DEEP[..., :1]),
    "RGB16": lambda path: deep(path, DEEP),
    "RGBA16": lambda path: deep(path, deep_alpha()),
    "F": lambda path: Image.fromarray(RGB[..., 0].astype(np.float32) / 255).save(path),
    "RGB32F": lambda path: pyvips.Image.new_from_array((RGB / 255).astype(np.float32)).write_to_file(str(path)),
}
# suffix -> mode -> (bits a channel that come out, whether alpha does, a word of the note or "")
TABLE: dict[str, dict[str, tuple[int, bool, str]]] = {
    ".png": {
        "1": (8, False, "greys"), "L": (8, False, "greys"), "LA": (8, True, "greys"), "P": (8, False, "mode P"),
        "P+alpha": (8, True, "mode P"), "RGB": (8, False, ""), "RGBA": (8, True, ""),
        "L16": (16, False, "greys"), "RGB16": (16, False, ""), "RGBA16": (16, True, ""),
    },
    ".jpg": {"L": (8, False, "greys"), "RGB": (8, False, ""), "CMYK": (8, False, "CMYK"), "YCbCr": (8, False, "")},
    ".webp": {"RGB": (8, False, ""), "RGBA": (8, True, "")},
    ".avif": {"RGB": (8, False, ""), "RGBA": (8, True, "")},
    ".tif": {
        "1": (8, False, "greys"), "L": (8, False, "greys"), "LA": (8, True, "greys"), "P": (8, False, "mode P"),
        "RGB": (8, False, ""), "RGBA": (8, True, ""), "CMYK": (8, False, "CMYK"),
        "L16": (16, False, "greys"), "RGB16": (16, False, ""), "RGBA16": (16, True, ""),
        "F": (8, False, "floating"), "RGB32F": (16, False, "floating"),
    },
    ".heic": {"RGB": (8, False, "")},
    ".gif": {"P": (8, False, "mode P"), "P+alpha": (8, True, "mode P")},
    ".bmp": {"RGB": (8, False, ""), "L": (8, False, "greys")},
}  # fmt: skip
CELLS = [(suffix, mode, want) for suffix, row in TABLE.items() for mode, want in row.items()]


def make(path: Path, mode: str) -> Path:
    if path.suffix == ".heic":
        import pillow_heif

        pillow_heif.from_pillow(Image.fromarray(RGB)).save(str(path), quality=90)
    else:
        MAKE[mode](path)
    return path


def target_of(source: Path) -> Path:
    from sincut.batch.naming import Naming

    return Naming(source.parent / "out").target(source, Path())


@pytest.mark.parametrize(("suffix", "mode", "want"), CELLS)
def test_every_cell_of_the_table(tmp_path: Path, suffix: str, mode: str, want: tuple[int, bool, str]) -> None:
    bits, alpha, note = want
    source = make(tmp_path / f"a{suffix}", mode)
    target = target_of(source)
    target.parent.mkdir()
    notes = TRANSLATOR.apply_file(source, target)
    before, after = reading.load(source), reading.load(target)
    assert after.size == (H, W)
    assert after.pixels.dtype == (np.uint16 if bits == 16 else np.uint8)
    assert (after.alpha is not None) == alpha
    if alpha and suffix != ".avif":
        assert np.array_equal(after.alpha, before.alpha)
    assert (note in " ".join(notes)) if note else not notes, notes
    if suffix not in (".jpg", ".heic", ".avif", ".webp"):  # lossless: the very pixels
        want_pixels = TRANSLATOR.apply_picture(before).pixels
        assert np.array_equal(after.pixels, want_pixels)
    assert not np.array_equal(after.pixels, before.pixels)


def test_readme_shows_the_table_as_it_is_tested() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    for suffix, row in TABLE.items():
        shown = readme.partition(f"| `{suffix}` |")[2].partition("\n| `")[0]  # up to the next format
        modes = {mode.strip() for line in shown.splitlines() for mode in line.lstrip("| ").split("|")[0].split(",")}
        assert {mode.removesuffix("+alpha") for mode in row} <= modes, suffix


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif"])
@pytest.mark.parametrize("strip", [False, True])
def test_metadata_of_every_format(tmp_path: Path, suffix: str, strip: bool) -> None:
    source, target = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    options: dict[str, Any] = {"exif": exif(), "icc_profile": p3(), "dpi": (300, 300)}
    if suffix == ".png":
        from PIL.PngImagePlugin import PngInfo

        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", XMP.decode())
    elif suffix == ".tif":
        options["exif"] = Image.Exif()
        options["exif"].load(exif().tobytes())  # else Pillow leaves the second directory out
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
        assert image.info["icc_profile"] == p3()
        assert b"museum" in xmp
        if suffix not in (".webp", ".avif"):  # have no resolution of their own
            assert [round(float(value)) for value in image.info["dpi"]] == [300, 300]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".avif"])
def test_texts_of_exif_keep_their_very_bytes(tmp_path: Path, suffix: str) -> None:
    found = Image.Exif()
    found[0x013B], found[0x8298] = "Émile Müller".encode(), "© 東京".encode()
    found.get_ifd(0x8769)[0xA433] = "Objektivbauer Groß".encode()
    found.get_ifd(0x8769)[0x9003] = "2024:01:02 03:04:05"
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=found)
    for source in ("a.jpg", f"b{suffix}"):  # from JPEG to this format, and from it to itself
        TRANSLATOR.apply_file(tmp_path / source, tmp_path / f"{source}-out{suffix}")
        (tmp_path / f"{source}-out{suffix}").rename(tmp_path / f"b{suffix}")
        with Image.open(tmp_path / f"b{suffix}") as image:
            kept = image.getexif()
            for got, want in ((kept[0x013B], found[0x013B]), (kept[0x8298], found[0x8298])):
                assert got.encode("latin-1") == want
            inner = kept.get_ifd(0x8769)[0xA433]
            assert (inner.encode("latin-1") if isinstance(inner, str) else inner) == found.get_ifd(0x8769)[0xA433]


def test_the_thumbnail_of_the_source_is_dropped(tmp_path: Path) -> None:
    small = io.BytesIO()
    Image.fromarray(RGB).resize((16, 16)).save(small, "JPEG")
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=exif().tobytes() + small.getvalue())
    TRANSLATOR.apply_file(tmp_path / "a.jpg", tmp_path / "b.jpg")
    with Image.open(tmp_path / "b.jpg") as image:
        assert small.getvalue() not in image.info["exif"]


@pytest.mark.parametrize("depth", [8, 16])
def test_a_wide_gamut_is_translated_in_srgb_and_written_in_its_own_space(tmp_path: Path, depth: int) -> None:
    source = tmp_path / "a.png"
    wide = pyvips.Image.new_from_array(RGB).copy(interpretation="srgb")
    wide = wide.icc_transform("p3", input_profile="srgb", depth=depth)
    wide.write_to_file(str(source))
    picture = reading.load(source)
    assert np.abs(eight_bit(picture.pixels).astype(int) - RGB).max() <= 3  # the same colours, in sRGB
    assert any("own ICC profile" in note for note in picture.notes)
    writing.save(picture, tmp_path / "b.png")
    again = reading.load(tmp_path / "b.png")
    assert again.icc == picture.icc and again.pixels.dtype == picture.pixels.dtype
    assert np.abs(again.pixels.astype(float) - picture.pixels).max() <= 3 * (257 if depth == 16 else 1)


def test_srgb_under_any_name_keeps_its_very_numbers(tmp_path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(RGB).save(tmp_path / "a.png", icc_profile=profile)
    picture = reading.load(tmp_path / "a.png")
    assert np.array_equal(picture.pixels, RGB) and picture.icc == profile and not picture.notes


def test_a_damaged_profile_stops_no_picture(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png", icc_profile=b"no profile at all")
    assert np.array_equal(reading.load(tmp_path / "a.png").pixels, RGB)
    TRANSLATOR.apply_file(tmp_path / "a.png", tmp_path / "b.png")


def test_colours_that_cannot_be_seen_change_nothing_that_can() -> None:
    visible = np.zeros((H, W), np.uint8)
    visible[8:30, 10:40] = 255
    one, other = RGB.copy(), RGB.copy()
    one[visible == 0], other[visible == 0] = 0, (255, 0, 255)
    outs = [TRANSLATOR.apply_picture(Picture(pixels, visible)).pixels for pixels in (one, other)]
    assert np.array_equal(outs[0][visible > 0], outs[1][visible > 0])
    filled = visible_everywhere(one, visible)
    assert np.array_equal(filled[visible > 0], RGB[visible > 0])
    inside = RGB[visible > 0]
    assert (filled[visible == 0] >= inside.min(0)).all() and (filled[visible == 0] <= inside.max(0)).all()
    assert np.array_equal(visible_everywhere(one, np.zeros((H, W), np.uint8)), one)


def test_hidden_colours_of_a_large_picture_are_guessed_on_a_coarse_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alpha, "MOST_CELLS", 200.0)
    visible = np.full((H, W), 255, np.uint8)
    visible[:, :17] = 0
    flat = np.full((H, W, 3), 90, np.uint8)
    flat[:, :17] = 0
    assert (visible_everywhere(flat, visible) == 90).all()


def test_greys_come_out_as_asked(tmp_path: Path) -> None:
    for mode, suffix in (("L", ".png"), ("L", ".jpg"), ("LA", ".png"), ("L16", ".png"), ("1", ".tif")):
        source = make(tmp_path / f"{mode}{suffix}", mode)
        TRANSLATOR.apply_file(source, tmp_path / f"grey{suffix}", saving=Saving(greys="keep"))
        with Image.open(tmp_path / f"grey{suffix}") as image:
            assert image.mode in ("L", "LA", "I;16"), (mode, image.mode)
            assert (image.mode == "LA") == (mode == "LA") and (image.mode == "I;16") == (mode == "L16")
        colour = eight_bit(TRANSLATOR.apply_picture(reading.load(source)).pixels).astype(float)
        grey = eight_bit(reading.load(tmp_path / f"grey{suffix}").pixels)[..., 0]
        assert np.corrcoef(grey.ravel(), (colour @ [0.299, 0.587, 0.114]).ravel())[0, 1] > 0.95


def test_a_jpeg_keeps_its_quality_unless_told(tmp_path: Path) -> None:
    source = tmp_path / "a.jpg"
    for quality, subsampling in ((60, 2), (97, 0)):
        Image.fromarray(RGB).save(source, quality=quality, subsampling=subsampling)
        TRANSLATOR.apply_file(source, tmp_path / "b.jpg")
        TRANSLATOR.apply_file(source, tmp_path / "c.jpg", saving=Saving(quality=30))
        with Image.open(source) as a, Image.open(tmp_path / "b.jpg") as b, Image.open(tmp_path / "c.jpg") as c:
            assert a.quantization == b.quantization != c.quantization
            from PIL.JpegImagePlugin import get_sampling

            assert get_sampling(a) == get_sampling(b)
    with pytest.raises(ConfigError, match="1 to 100"):
        Saving(quality=0)


def test_without_the_extra_sixteen_bits_become_eight_and_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make(tmp_path / "a.png", "RGB16")
    monkeypatch.setattr("sincut.pictures.libvips.installed", lambda: False)
    notes = TRANSLATOR.apply_file(source, tmp_path / "b.png")
    assert "sincut[large]" in " ".join(notes)
    assert reading.load(tmp_path / "b.png").pixels.dtype == np.uint8
    with pytest.raises(ImageError, match=r"pip install 'sincut\[large\]'"):
        TRANSLATOR.apply_file(source, tmp_path / "b.png", Options(max_memory=1))


def test_heic_without_the_extra_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    source = make(tmp_path / "a.heic", "RGB")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"sincut\[heic\]"):
        reading.load(source)


def test_deep_pixels_are_rounded_not_cut() -> None:
    values = np.array([0, 127, 128, 129, 385, 386, 65535], np.uint16)
    assert eight_bit(values).tolist() == [0, 0, 0, 1, 1, 2, 255]
    ramp = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16, 1).repeat(3, axis=2)
    assert np.array_equal(to_pixels(to_tensor(ramp), np.uint16), ramp)


def test_the_limit_of_pixels_is_named(tmp_path: Path) -> None:
    source = make(tmp_path / "a.png", "RGB")
    with pytest.raises(ImageError, match=rf"{W}x{H} pixels, more than --max-pixels 1999"):
        TRANSLATOR.apply_file(source, tmp_path / "b.png", Options(max_pixels=1999))
    assert not (tmp_path / "b.png").exists()


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    for array in (DEEP, DEEP[:20, ::-1]):
        deep(tmp_path / "a.png", np.ascontiguousarray(array))
        assert np.array_equal(reading.load(tmp_path / "a.png").pixels, array)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("memory", [None, 1])
def test_orientation_in_xmp_turns_nothing_twice(tmp_path: Path, suffix: str, memory: int | None) -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6" b="museum"/></x:xmpmeta>'
    source, target = tmp_path / "a.jpg", tmp_path / f"b{suffix}"
    Image.fromarray(RGB).save(source, exif=exif(), xmp=xmp)
    if memory and suffix == ".webp":
        return
    TRANSLATOR.apply_file(source, target, Options(max_memory=memory))
    picture = reading.load(target)
    assert picture.size == (W, H) and not any("upright" in note for note in picture.notes)
    with Image.open(target) as image:
        assert "museum" in str(image.info.get("xmp") or image.info.get("XML:com.adobe.xmp"))


def test_a_jpeg_s_exif_does_not_describe_the_tiff(tmp_path: Path) -> None:
    odd = exif()
    for tag, value in ((256, 100), (257, 80), (262, 1), (284, 2), (282, 300.0), (338, 1)):
        odd[tag] = value
    Image.fromarray(RGB).save(tmp_path / "a.jpg", exif=odd)
    TRANSLATOR.apply_file(tmp_path / "a.jpg", tmp_path / "b.tif")
    picture = reading.load(tmp_path / "b.tif")
    assert np.array_equal(picture.pixels, TRANSLATOR.apply_picture(reading.load(tmp_path / "a.jpg")).pixels)


def test_long_metadata_is_dropped_only_where_it_has_to_be(tmp_path: Path) -> None:
    long = Picture(RGB, xmp=XMP + b" " * 70_000, exif=b"Exif\0\0" + exif().tobytes()[6:] + b" " * 70_000)
    assert writing.save(long, tmp_path / "a.png") == ()
    notes = writing.save(long, tmp_path / "a.jpg")
    assert any("XMP" in note for note in notes) and any("EXIF" in note for note in notes)


@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("strip", [False, True])
def test_a_wide_gamut_is_streamed_as_in_memory(tmp_path: Path, suffix: str, bits: int, strip: bool) -> None:
    wide = pyvips.Image.new_from_array(RGB).copy(interpretation="srgb")
    wide = wide.icc_transform("p3", input_profile="srgb", depth=bits)
    source = tmp_path / "a.tif"
    wide.write_to_file(str(source))
    for name, memory in (("memory", None), ("streamed", 1)):
        TRANSLATOR.apply_file(source, tmp_path / f"{name}{suffix}", Options(max_memory=memory), Saving(100, strip))
    want, got = (reading.load(tmp_path / f"{name}{suffix}") for name in ("memory", "streamed"))
    assert got.icc == want.icc == (None if strip else p3()) and got.pixels.dtype == want.pixels.dtype
    difference = np.abs(eight_bit(got.pixels).astype(int) - eight_bit(want.pixels))
    assert difference.max() <= (12 if suffix == ".jpg" else 4) and difference.mean() < 1.5


def test_a_profile_that_is_srgb_changes_no_number_of_a_streamed_picture(tmp_path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(RGB).save(tmp_path / "a.png", icc_profile=profile)
    TRANSLATOR.apply_file(tmp_path / "a.png", tmp_path / "b.png", Options(max_memory=1))
    out = reading.load(tmp_path / "b.png")
    want = TRANSLATOR.apply_picture(reading.load(tmp_path / "a.png"))
    assert out.icc == profile and np.array_equal(out.pixels, want.pixels)


def test_cmyk_goes_through_rows_too(tmp_path: Path) -> None:
    for name in ("a.tif", "a.jpg"):
        Image.fromarray(RGB).convert("CMYK").point(lambda v: v // 2 + 30).save(tmp_path / name, quality=95)
        for kind, memory in (("memory", None), ("streamed", 1)):
            TRANSLATOR.apply_file(tmp_path / name, tmp_path / f"{kind}.png", Options(max_memory=memory))
        want, got = (reading.load(tmp_path / f"{kind}.png").pixels.astype(int) for kind in ("memory", "streamed"))
        assert np.abs(want - got).max() <= 4, name


def test_formats_that_end_before_the_picture_say_so(tmp_path: Path) -> None:
    long = Picture(np.zeros((2, 16_400, 3), np.uint8))
    writing.save(long, tmp_path / "a.png")
    for apply in (lambda path: writing.save(long, path), lambda path: TRANSLATOR.apply_file(tmp_path / "a.png", path)):
        with pytest.raises(ImageError, match=r"b\.webp: WEBP files end at 16383 px a side, the picture has 16400"):
            apply(tmp_path / "b.webp")


def test_programs_and_vectors_are_no_pictures(tmp_path: Path) -> None:
    eps = io.BytesIO()
    Image.fromarray(RGB).save(eps, "EPS")
    (tmp_path / "a.jpg").write_bytes(eps.getvalue())
    (tmp_path / "b.png").write_text('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>')
    (tmp_path / "c.png").write_text("1,2,3\n4,5,6\n")
    for name in ("a.jpg", "b.png", "c.png"):
        with pytest.raises(ImageError, match="not a picture in a known format"):
            reading.load(tmp_path / name)


def test_alpha_of_greys_is_kept_in_every_format(tmp_path: Path) -> None:
    source = make(tmp_path / "a.png", "LA")
    for suffix in (".png", ".tif", ".webp"):
        TRANSLATOR.apply_file(source, tmp_path / f"b{suffix}", saving=Saving(greys="keep"))
        out = reading.load(tmp_path / f"b{suffix}")
        assert np.array_equal(out.alpha, ALPHA) and (np.ptp(out.pixels.astype(int), axis=2) <= 2).all()
