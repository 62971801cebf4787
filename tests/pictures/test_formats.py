"""Pictures from file to file: one case for each cell of the table in docs/formats.md, and what no table shows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips
from helpers import GENTLE, make_translator, scene
from PIL import Image

from sincut.errors import ImageError
from sincut.pictures import reading, writing
from sincut.pictures.picture import Picture, eight_bit
from sincut.pictures.writing import Saving
from sincut.translation.options import Options

TRANSLATOR = make_translator(GENTLE)
H, W = 40, 50
RGB = scene(H, W, 0)
ALPHA = np.linspace(0, 255, H * W).astype(np.uint8).reshape(H, W)
DEEP = (scene(H, W, 1).astype(np.uint16) << 8) + scene(H, W, 2)


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

    return Path(Naming(source.parent / "out").target(source, Path()))


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
    if after.alpha is not None and suffix != ".avif":
        assert before.alpha is not None and np.array_equal(after.alpha, before.alpha)
    assert (note in " ".join(notes)) if note else not notes, notes
    if suffix not in (".jpg", ".heic", ".avif", ".webp"):  # lossless: the very pixels
        want_pixels = TRANSLATOR.apply_picture(before).pixels
        assert np.array_equal(after.pixels, want_pixels)
    assert not np.array_equal(after.pixels, before.pixels)


def test_the_docs_show_the_table_as_it_is_tested() -> None:
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    for suffix, row in TABLE.items():
        shown = page.partition(f"| `{suffix}` |")[2].partition("\n| `")[0]  # up to the next format
        modes = {mode.strip() for line in shown.splitlines() for mode in line.lstrip("| ").split("|")[0].split(",")}
        assert {mode.removesuffix("+alpha") for mode in row} <= modes, suffix


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


def test_alpha_of_greys_is_kept_in_every_format(tmp_path: Path) -> None:
    source = make(tmp_path / "a.png", "LA")
    for suffix in (".png", ".tif", ".webp"):
        TRANSLATOR.apply_file(source, tmp_path / f"b{suffix}", saving=Saving(greys="keep"))
        out = reading.load(tmp_path / f"b{suffix}")
        assert out.alpha is not None and np.array_equal(out.alpha, ALPHA)
        assert (np.ptp(out.pixels.astype(int), axis=2) <= 2).all()


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


def test_without_the_extra_greys_of_sixteen_bits_are_kept_as_greys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep(tmp_path / "a.png", np.ascontiguousarray(deep_alpha()[..., 2:]))
    monkeypatch.setattr("sincut.pictures.libvips.installed", lambda: False)
    TRANSLATOR.apply_file(tmp_path / "a.png", tmp_path / "b.png", saving=Saving(greys="keep"))
    with Image.open(tmp_path / "b.png") as image:
        assert image.mode == "LA" and np.array_equal(np.asarray(image.getchannel("A")), ALPHA)


def test_heic_without_the_extra_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    source = make(tmp_path / "a.heic", "RGB")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r"sincut\[heic\]"):
        reading.load(source)


def test_the_limit_of_pixels_is_named(tmp_path: Path) -> None:
    source = make(tmp_path / "a.png", "RGB")
    with pytest.raises(ImageError, match=rf"{W}x{H} pixels, more than --max-pixels 1999"):
        TRANSLATOR.apply_file(source, tmp_path / "b.png", Options(max_pixels=1999))
    assert not (tmp_path / "b.png").exists()


def test_formats_that_end_before_the_picture_say_so(tmp_path: Path) -> None:
    long = Picture(np.zeros((2, 16_400, 3), np.uint8))
    writing.save(long, tmp_path / "a.png")
    too_long = r"b\.webp: WEBP files end at 16383 px a side, the picture has 16400"
    with pytest.raises(ImageError, match=too_long):
        writing.save(long, tmp_path / "b.webp")
    with pytest.raises(ImageError, match=too_long):
        TRANSLATOR.apply_file(tmp_path / "a.png", tmp_path / "b.webp")


def test_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"\.png"):
        writing.save(Picture(RGB), tmp_path / "a.xyz")
